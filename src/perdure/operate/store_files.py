"""Which files are a store's: what a command writes is none of them."""

from __future__ import annotations

import os
from pathlib import Path

from perdure.store.ownership import real_path
from perdure.store.url import sqlite_path

__all__ = ["store_file"]

_LOGS = ("-wal", "-shm", "-journal")
_OF_JOBS = (".lock", ".mark")  # behind the job's name: of any job


def store_file(url: str, path: str) -> Path | None:
    """Return the file of a store that `path` leads to, links of both kinds included.

    Args:
        url: the store; it need not exist.
        path: a file that need not exist.

    Raises:
        ConfigurationError: the URL names no store that there is.
    """
    if url == "memory://":
        return None
    real, found = real_path(sqlite_path(url)), Path(os.path.realpath(path))
    if found.parent == real.parent and _is_name(found.name, real.name):
        return found
    try:
        there = os.stat(found)
    except OSError:
        return None
    if there.st_nlink < 2:
        return None  # it has this name alone
    for each in real.parent.iterdir() if real.parent.is_dir() else ():
        if _is_name(each.name, real.name) and each.exists() and each.samefile(found):
            return each
    return None


def _is_name(name: str, store: str) -> bool:
    """Say whether a name is of the database's file, its log or the lock or mark of a job."""
    if not name.startswith(store):
        return False
    end = name[len(store) :]
    return end in ("", *_LOGS) or (end.startswith("-") and end.endswith(_OF_JOBS))
