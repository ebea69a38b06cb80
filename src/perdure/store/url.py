"""Store URLs: which store one names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from perdure.errors import ConfigurationError
from perdure.store.base import ActionStateStore, StoreView
from perdure.store.ownership import PRIVATE, Place
from perdure.store.sqlite.file import job_names as sqlite_job_names
from perdure.store.sqlite.health import Finding, check_commits, check_sqlite
from perdure.store.sqlite.memory_store import MemoryStore
from perdure.store.sqlite.store import SqliteStore
from perdure.store.sqlite.view import SqliteView

DEFAULT_STORE = "sqlite:///perdure.db"
_SQLITE = "sqlite:///"
_FILES = (".db", ".sqlite", ".sqlite3")  # what a path of a store ends in that stands for its URL


def open_store(url: str, *, relaxed: bool = False, mode: int = PRIVATE) -> ActionStateStore:
    """Return the store that `url` names, not yet open.

    Args:
        url: `memory://` or `sqlite:///path.db` (a fourth slash begins an absolute path); a path
            that ends in .db, .sqlite or .sqlite3 is one too.
        relaxed: commit without fsync.
        mode: the permissions of the files that are made for it.

    Raises:
        ConfigurationError: it names no store that there is.
    """
    if url == "memory://":
        return MemoryStore()
    return SqliteStore(sqlite_path(url), relaxed=relaxed, mode=mode)


def sqlite_path(url: str) -> Path:
    """Return the path of an SQLite store's URL.

    Raises:
        ConfigurationError: it is not one.
    """
    _check_text(url)
    if url == f"{_SQLITE}:memory:":
        raise ConfigurationError(
            f"store {url!r} would be a file of that name: use memory:// for a store in memory"
        )
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return Path(url[len(_SQLITE) :])
    if "://" not in url and url.endswith(_FILES):
        return Path(url)
    if url.startswith("postgresql:"):
        raise ConfigurationError(
            f"store {url.split('@')[-1]!r}: this version keeps its journal in SQLite only; use"
            " sqlite:///PATH"
        )
    if url == "flink://":
        raise ConfigurationError(
            "store 'flink://' is the state of a Flink job: use it with FlinkEngine, and"
            " sqlite:///PATH or memory:// here"
        )
    raise ConfigurationError(
        f"store {url!r} is not known: use sqlite:///PATH (such as sqlite:///perdure.db) or memory://"
    )


def _check_text(url: object) -> None:
    """Refuse what can be no URL, or has in it what no file name can have."""
    if not isinstance(url, str):
        such = f"sqlite:///{url}" if isinstance(url, os.PathLike) else DEFAULT_STORE
        raise ConfigurationError(
            f"store is a {type(url).__name__}: give its URL as a text, such as {such!r}"
        )
    if "\0" in url:
        raise ConfigurationError(
            f"store {url!r} has a NUL character, which no file name can have: leave it out"
        )
    try:
        os.fsencode(url)
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"store {url!r} has what no file name here can have (such as half of a character, a"
            " lone surrogate): leave it out"
        ) from None


def open_view(url: str) -> StoreView:
    """Return the store that `url` names as seen from outside, not yet open.

    Raises:
        ConfigurationError: it names no store that another process could have written.
    """
    if url == "memory://":
        raise ConfigurationError("memory:// lives in one process only: name an sqlite:/// store")
    return SqliteView(Place(sqlite_path(url)))


def job_names(url: str) -> frozenset[str]:
    """Return the names of the jobs of a store of any version; none where it cannot be read.

    Raises:
        ConfigurationError: it names no store that there is.
    """
    return frozenset() if url == "memory://" else sqlite_job_names(sqlite_path(url))


def checks(url: str | None) -> dict[str, Callable[[], Finding]]:
    """Return what can be asked of this machine about keeping stores, by subject.

    Args:
        url: a store, for what depends on where it is; nothing of it changes.
    """
    path = sqlite_path(url) if url is not None and url.startswith(_SQLITE) else None
    return {"sqlite": check_sqlite, "commits": lambda: check_commits(path)}
