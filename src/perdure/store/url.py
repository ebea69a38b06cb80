"""Store URLs: which store one names."""

from __future__ import annotations

from pathlib import Path

from perdure.errors import ConfigurationError
from perdure.store.base import ActionStateStore
from perdure.store.reader import StoreReader
from perdure.store.sqlite import MemoryStore, SqliteStore
from perdure.store.sqlite_file import connect_reader

DEFAULT_STORE = "sqlite:///perdure.db"
_SQLITE = "sqlite:///"


def open_store(url: str, *, relaxed: bool = False) -> ActionStateStore:
    """Return the store that `url` names, not yet open.

    Args:
        url: `memory://` or `sqlite:///path.db` (a fourth slash begins an absolute path).
        relaxed: commit without fsync.

    Raises:
        ConfigurationError: it names no store that there is.
    """
    if url == "memory://":
        return MemoryStore()
    return SqliteStore(sqlite_path(url), relaxed=relaxed)


def sqlite_path(url: str) -> Path:
    """Return the path of an SQLite store's URL.

    Raises:
        ConfigurationError: it is not one.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return Path(url[len(_SQLITE) :])
    if url.startswith("postgresql:"):
        raise ConfigurationError(
            f"store {url.split('@')[-1]!r}: this version keeps its journal in SQLite only; use"
            " sqlite:///PATH"
        )
    raise ConfigurationError(
        f"store {url!r} is not known: use sqlite:///PATH (such as sqlite:///perdure.db) or memory://"
    )


def open_reader(url: str) -> StoreReader:
    """Open the store that `url` names for reading, beside its owner if there is one.

    Raises:
        ConfigurationError: it names no store that another process could have written.
        StoreError: there is none, or it cannot be read.
    """
    if url == "memory://":
        raise ConfigurationError("memory:// lives in one process only: name an sqlite:/// store")
    path = sqlite_path(url)
    return StoreReader(connect_reader(path), path)


def reader_of(store: ActionStateStore) -> StoreReader:
    """Return a reader of a store of this process."""
    if isinstance(store, MemoryStore):
        return StoreReader(store.connection, None)
    return open_reader(store.url)
