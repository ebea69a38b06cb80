"""When the write-ahead log is written back into the database file (a checkpoint).

SQLite would look after each commit how long the log is, and write it back there and then, on
whatever thread commits. That takes as long as the disk does, so the store's thread is asked for it.
"""

from __future__ import annotations

import sqlite3

CHECKPOINT_PAGES = 4000  # pages in the write-ahead log before it is written back
COMMIT_ROWS = 4  # what a commit of no rows counts
PAGE_BYTES = 4096
_LEAST = 1 / 8  # pages that a row takes, whatever was found: the next ones may be larger


class LogSize:
    """Guesses how many pages the log has, from large payloads and what the rows before have taken.

    Owns: the rows and bytes since the last checkpoint. On whatever thread uses the connection.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._large = 0
        self._pages_each = 1.0

    def wrote(self, rows: int, large: int) -> None:
        """Take note of a commit of so many rows, with so many bytes in large payloads."""
        self._rows += COMMIT_ROWS + rows
        self._large += large

    @property
    def is_due(self) -> bool:
        """True where the log should be written back."""
        pages = self._rows * self._pages_each + self._large / PAGE_BYTES
        return pages >= CHECKPOINT_PAGES

    def checkpoint(self, db: sqlite3.Connection) -> None:
        """Write the log back, as far as readers allow.

        Args:
            db: the store's connection, in no transaction.

        Raises:
            sqlite3.Error: it failed; what the log has is as it was.
        """
        rows, large = self._rows, self._large / PAGE_BYTES
        self._rows = self._large = 0
        _, pages, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if rows:
            self._pages_each = max(_LEAST, (pages - large) / rows)
