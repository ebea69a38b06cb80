"""When the write-ahead log is written back into the database file (a checkpoint).

SQLite would look after each commit how long the log is, and write it back there and then, on
whatever thread commits. That takes as long as the disk does, so the store's thread is asked for it.
"""

from __future__ import annotations

import sqlite3

CHECKPOINT_PAGES = 4000  # pages in the write-ahead log before it is written back
COMMIT_ROWS = 4  # what a commit of no rows counts
_LEAST = 1 / 64  # pages that a row takes, whatever was found


class LogSize:
    """Guesses how many pages the log has, from how many the rows before have taken.

    Owns: the rows since the last checkpoint. On whatever thread uses the connection.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._pages_each = 1.0

    def wrote(self, rows: int) -> None:
        """Take note of a commit."""
        self._rows += COMMIT_ROWS + rows

    @property
    def is_due(self) -> bool:
        """True where the log should be written back."""
        return self._rows * self._pages_each >= CHECKPOINT_PAGES

    def checkpoint(self, db: sqlite3.Connection) -> None:
        """Write the log back, as far as readers allow.

        Args:
            db: the store's connection, in no transaction.

        Raises:
            sqlite3.Error: it failed; what the log has is as it was.
        """
        rows, self._rows = self._rows, 0
        _, pages, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if rows:
            self._pages_each = max(_LEAST, pages / rows)
