"""The row of a process that has a job: from when, until when, on which machine."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time

from perdure.store.ownership import JobLock, this_host
from perdure.store.sqlite import rows as kinds
from perdure.store.statements import load_statements

__all__ = ["Life", "refuse_second_owner"]

EVERY_SECONDS = 10.0  # between two times that it is seen
_SQL = load_statements("sqlite", "life.sql")


class Life:
    """This process, as one that has a job of an SQLite store.

    It is written with what it commits first, so that a store that is refused stays as it was, and
    seen again with later commits: it costs none of its own but one at the end. Lifecycle: `write`
    in a transaction while `is_due`, `wrote` after it, `end` before the store is closed. On
    whatever thread uses the connection.

    Args:
        job: the job's number.
        code: a digest of the agent's source, "" without.
    """

    def __init__(self, job: int, code: str) -> None:
        self._job = job
        self._code = code
        self._begun_at = time.time_ns()
        self._life: int | None = None  # the number of its row
        self._writes: int | None = None  # the number that it has if the transaction succeeds
        self._due = 0.0

    @property
    def is_due(self) -> bool:
        """True where the next transaction is to have it."""
        return time.monotonic() >= self._due

    def write(self, db: sqlite3.Connection) -> None:
        """Write that the process has the job, in a transaction."""
        now = time.time_ns()
        if self._life is not None:
            db.execute(_SQL["seen"], (now, self._life))
            return
        values = (self._job, this_host(), os.getpid(), self._begun_at, now, self._code)
        self._writes = db.execute(_SQL["begin"], values).lastrowid

    def wrote(self) -> None:
        """The transaction is committed."""
        if self._life is None:
            self._life = self._writes
        self._due = time.monotonic() + EVERY_SECONDS

    def end(self, db: sqlite3.Connection) -> None:
        """Write that the process gives the job back; where the disk is full, that stays unsaid."""
        if self._life is not None:
            now = time.time_ns()
            with contextlib.suppress(sqlite3.Error):
                db.execute(_SQL["end"], (now, now, self._life))


def refuse_second_owner(db: sqlite3.Connection, where: object, job: int, lock: JobLock) -> None:
    """Refuse a job whose last owner goes on, though this process has got the lock.

    Args:
        db: the store.
        where: the store, for messages.
        job: the job's number.
        lock: its lock.

    Raises:
        StoreLockedError: says who has the job.
        StoreFormatError: the store is damaged.
    """
    for last in kinds.LIVES.plain(db, where, _SQL["last"], (job,)):
        if not last.ended_at:
            lock.refuse_beside(last.host, last.pid, last.begun_at)
