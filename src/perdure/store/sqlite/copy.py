"""StoreCopy: a store that this user may read and not write, copied aside to be looked at.

SQLite needs files beside a store to read it with its write-ahead log, and those of another user
would be in its owner's way. So both are copied, whole, to a folder that goes with the copy.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from perdure.errors import StoreError
from perdure.store.ownership import real_path
from perdure.store.sqlite.disk import may
from perdure.store.sqlite.mark import log_path

__all__ = ["StoreCopy", "may_write"]

TRIES = 5
_HEAD = 32  # bytes at the beginning of a log: another one when it is begun anew


def may_write(path: Path) -> bool:
    """Say whether this user may write a store, and beside it."""
    real = real_path(path)
    beside = [each for end in ("-wal", "-shm") if (each := Path(f"{real}{end}")).exists()]
    return all(may(each, os.R_OK | os.W_OK) for each in (real, *beside)) and may(
        real.parent, os.W_OK | os.X_OK
    )


class StoreCopy:
    """A store as it was at a moment, in a folder of its own.

    Owns: the folder, until `close`.

    Args:
        path: the store's file.

    Raises:
        StoreError: it cannot be read, or there is no room for a copy.
    """

    def __init__(self, path: Path) -> None:
        self._path = real_path(path)
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="perdure-copy-")
        except OSError as error:
            raise StoreError(
                f"{path} can be read and not written, so that a look needs a copy of it, and there"
                f" is no folder for one: {error.strerror or error}; set TMPDIR to one with room"
            ) from error
        self.path = Path(self._folder.name) / "copy.db"
        try:
            self._copy()
        except OSError as error:
            self.close()
            raise StoreError(
                f"{path} cannot be copied to look at it: {error.filename or self._folder.name}:"
                f" {error.strerror or error}; it takes the right to read the store and the files"
                " beside it, and room in TMPDIR"
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove it."""
        self._folder.cleanup()

    @property
    def is_old(self) -> bool:
        """Whether the store has changed since."""
        return self._state() != self._copied

    def _state(self) -> tuple[tuple[int, int], ...]:
        found = []
        for each in (self._path, log_path(self._path)):
            try:
                status = each.stat()
                found.append((status.st_mtime_ns, status.st_size))
            except FileNotFoundError:
                found.append((0, -1))
        return tuple(found)

    def _copy(self) -> None:
        """Copy the file, then its log: whatever a checkpoint changes meanwhile is in both."""
        log = log_path(self._path)
        for _ in range(TRIES):
            self._copied = self._state()
            before = _head(log)
            shutil.copyfile(self._path, self.path)
            copied = log_path(self.path)
            copied.unlink(missing_ok=True)
            if before is not None:
                try:
                    shutil.copyfile(log, copied)
                except FileNotFoundError:
                    continue  # its owner has ended meanwhile
            if before == _head(log) and (before is None or before == _head(copied)):
                return
        raise StoreError(
            f"{self._path} changes while it is copied to look at it: look again, or look as a user"
            " who may write it"
        )


def _head(log: Path) -> bytes | None:
    try:
        with log.open("rb") as file:
            return file.read(_HEAD)
    except FileNotFoundError:
        return None
