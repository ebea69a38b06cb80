"""Notices that the files of an open store are no longer at their paths (G22, G25).

What was removed, moved or replaced can be written all the same, and nobody finds it again: the next
process makes a store anew, and every call with it. A lock on a file that is gone keeps nobody out.
"""

from __future__ import annotations

import os
from pathlib import Path

from perdure.errors import StoreError
from perdure.same_file import is_still
from perdure.store.ownership import JobLock

__all__ = ["InPlace"]

EVERY_SECONDS = 0.05  # between two looks at least: each asks the system a few times


class InPlace:
    """The files of a store, which stay where they are for as long as a job of it is open.

    Lifecycle: made when the store is open; `check` before each commit. On whatever thread uses the
    connection.

    Args:
        database: the store's file, as `real_path` gives it: the working directory may change.
        lock: the job's lock; it is held.
    """

    def __init__(self, database: Path, lock: JobLock) -> None:
        self._database = database
        self._lock = lock
        self._known = os.stat(database)
        self._due = 0.0
        self._found: StoreError | None = None

    def check(self, now: float) -> None:
        """Make sure that all are where they were, unless that was done a moment ago.

        Args:
            now: `time.perf_counter()`.

        Raises:
            StoreError: one is not, from then on always; nothing was written, and the job stops.
        """
        if now < self._due:
            return
        if self._found is None:
            self._found = self._look()
            if self._found is None:
                self._due = now + EVERY_SECONDS
                return
            self._found.undone = self._found.is_final = True
        raise self._found

    def _look(self) -> StoreError | None:
        what = ""
        if not is_still(self._database, self._known):
            what = "removed, moved or replaced"
        elif _is_empty(self._database):
            what = "cut off"
        if not what:
            return self._lock.lost()
        return StoreError(
            f"the store {self._database} was {what} under the running job, so what it writes would"
            " be lost: the job was stopped; put the file back, or restore a backup, and then run"
            " the job again"
        )


def _is_empty(database: Path) -> bool:
    try:
        return os.stat(database).st_size == 0
    except OSError:
        return False
