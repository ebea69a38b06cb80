"""On which thread each commit of an open store is written, and who uses its connection when.

There is one connection, which one thread uses at a time. The store's thread reads; the host loop's
writes whenever that thread does nothing with the connection, and leaves to it what may take long
(`store.pace`). A commit that is asked for meanwhile waits until it is free, and goes before what is
asked of that thread behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from perdure.errors import PerdureError
from perdure.store.base import Row
from perdure.store.batch import interrupted, settle
from perdure.store.pace import CommitPace
from perdure.store.sqlite.disk import code_of
from perdure.store.sqlite.flush import LogFlush
from perdure.store.sqlite.log_size import LogSize
from perdure.store.sqlite.thread import StoreThread
from perdure.store.sqlite.write import TakesTime

__all__ = ["SqliteCommits"]

T = TypeVar("T")


class SqliteCommits:
    """The commits of an open store, and all else that uses its connection, in order.

    Owns: the commits that wait for the connection, what it knows of their pace. Lifecycle: made
    when the store is opened, on the host loop; its methods run there.

    Args:
        thread: the store's.
        write: writes a commit; told whether it may wait for locks, and take long.
        log_size: says when the log is long.
        known: gives the error of perdure's own that an error is told as.
    """

    def __init__(
        self,
        thread: StoreThread,
        write: Callable[[Sequence[Row], bool], None],
        log_size: LogSize,
        known: Callable[[Exception], PerdureError],
    ) -> None:
        self._thread = thread
        self._write = write
        self._known = known
        self._pace = CommitPace()
        self._log_size = log_size
        self._using = 0  # what the thread was asked that uses the connection, and is not answered
        self._held: list[tuple[Sequence[Row], asyncio.Future[None]]] = []  # wait for it, in order
        self._flush: LogFlush | None = None
        self._waits = False  # each commit does, for the disk
        self._db: sqlite3.Connection | None = None

    def begin(self, db: sqlite3.Connection, flush: LogFlush, *, has_log: bool) -> None:
        """Flush what is committed from here on, and see to the length of the log.

        Args:
            db: the store's connection.
            flush: flushes its log.
            has_log: there is one: else a commit waits for the disk.
        """
        self._db, self._flush, self._waits = db, flush, not has_log

    def call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do what uses the connection on the store's thread, behind all that was asked before."""
        self._using += 1
        if self._held:
            self._let_go()
        return self._thread.ask(work, self._used)

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Write `rows` in one transaction; the future is done when they are durable."""
        if not self._using:
            return self._commit(rows)
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append((rows, held))
        return held

    def _used(self) -> None:
        self._using -= 1
        if self._held and not self._using:
            self._let_go()

    def _let_go(self) -> None:
        """Commit what waited for the connection; on the thread, where that has more to do."""
        held, self._held = self._held, []
        for done, (rows, future) in enumerate(held, start=1):
            try:
                self._commit(rows).add_done_callback(partial(_pass_on, future))
            except BaseException as error:
                future.set_exception(interrupted(error))
                self._held = [*held[done:], *self._held]
                raise

    def _commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        # The first one begins a life of the job, which takes some flushes.
        has_begun = self._flush is None or self._flush.has_begun
        if self._using or self._waits or not has_begun:
            return self._commit_there(rows)
        try:
            return self._commit_here(rows)
        except Exception as error:
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(self._known(error))
            return failed

    def _commit_there(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        def work() -> None:
            self._write(rows, True)
            if self._flush is not None:
                self._flush.now()

        future = self.call(work)
        self._write_back()
        return future

    def _commit_here(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Write rows on the loop's thread, unless that may take long."""
        pace, count, began = self._pace, len(rows), time.perf_counter()
        if not pace.writes_here(count):
            return self._commit_there(rows)
        try:
            self._write(rows, False)
        except TakesTime:
            return self._commit_there(rows)
        except Exception as error:
            pace.failed()
            if code_of(error.__cause__ or error) == sqlite3.SQLITE_BUSY:
                return self._commit_there(rows)  # nothing was written; the thread waits
            raise
        took = time.perf_counter() - began
        pace.wrote(took)
        future = self._flush_here(count, took)
        self._write_back()
        return future

    def _flush_here(self, count: int, took: float) -> asyncio.Future[None]:
        """Have a commit be durable that took so many seconds to write."""
        flush, pace = self._flush, self._pace
        if flush is not None:
            if flush.waits and not (flush.is_idle and pace.flushes_here(count)):
                return flush.soon(lambda seconds: pace.took(count, took + seconds))
            pace.took(count, took + flush.now())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _write_back(self) -> None:
        """Have the log written back where it is long."""
        db, flush = self._db, self._flush
        if db is None or flush is None or not self._log_size.is_due:
            return

        def work() -> None:
            # Never what the disk may not have. The next one, or who closes, does what fails here.
            if flush.failed is None:
                with contextlib.suppress(sqlite3.Error):
                    self._log_size.checkpoint(db)

        self.call(work)


def _pass_on(to: asyncio.Future[None], done: asyncio.Future[None]) -> None:
    settle(to, None, done.exception())
