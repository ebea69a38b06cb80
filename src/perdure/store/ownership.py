"""Ownership of a SQLite job: an operating-system lock on a file (G22).

The lock goes with its process, so a restart right after SIGKILL is neither refused nor delayed.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from pathlib import Path
from typing import IO

from perdure.errors import StoreError, StoreLockedError


def lock_path(database: Path, job: str) -> Path:
    """Return the file whose lock means owning `job` of `database`."""
    slug = re.sub(r"[^A-Za-z0-9._-]", "-", job)[:60]
    if slug != job:  # two names must not meet in one file: "~" is in no plain one
        name = job.encode("utf-8", "surrogatepass")
        slug += "~" + hashlib.blake2b(name, digest_size=4).hexdigest()
    return database.with_name(f"{database.name}-{slug}.lock")


class JobLock:
    """The lock of one job, held until `release` or the end of the process."""

    def __init__(self, database: Path, job: str) -> None:
        self._path = lock_path(database, job)
        try:
            self._file: IO[str] | None = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot open the lock file {self._path}: {error.strerror}") from error
        try:
            _lock_soon(self._file.fileno())
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read(20).strip() or "unknown"
            self._file.close()
            raise StoreLockedError(
                f"job {job!r} in {database} is being run by another process (pid {holder}): stop"
                " that one first, or give this one another --job or --store"
            ) from error
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Give the job back. The file stays: removing it would race with the next owner."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_owned(database: Path, job: str) -> bool:
    """Say whether a live process owns `job`; takes nothing."""
    path = lock_path(database, job)
    if not path.exists():
        return False
    with path.open("a+", encoding="utf-8") as file:
        try:
            _lock(file.fileno())
        except OSError:
            return True
    return False


def _lock_soon(descriptor: int) -> None:
    """Take the lock; whoever only looks (`is_owned`) holds it for a moment and is waited for."""
    for _ in range(4):
        try:
            _lock(descriptor)
            return
        except OSError:
            time.sleep(0.01)
    _lock(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Far behind the text, so that the holder's pid stays readable.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
