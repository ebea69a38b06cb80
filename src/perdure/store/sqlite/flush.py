"""Has what was committed be durable: flushes the write-ahead log, after the commit and apart.

SQLite would flush it inside each commit, and whoever commits would wait for the disk. Apart, a
commit is written on the event loop's thread in the time of its rows, and the store's thread does
nothing but wait for the disk. What is written is in the system's memory: a process that is killed
loses nothing of it from then on. A machine that loses power does until the log is flushed, and
nobody is told of a commit before it is.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from perdure.errors import StoreError
from perdure.store.batch import settle
from perdure.store.sqlite.mark import LogMark, log_path

__all__ = ["LogFlush"]

Flushed = Callable[[float], None]  # told the seconds that the disk took
Ask = Callable[[Callable[[], float]], "asyncio.Future[float]"]


class LogFlush:
    """Flushes the log of an open store, and has its mark say what is durable by then.

    A flush that fails is the last one: what the system took for written it may have thrown away,
    and a later flush would not say so. So the job stops, and goes on from what the disk has.

    Owns: a descriptor of the log, and those that wait for a flush. Lifecycle: made when the store
    is open, `close` before that is closed.

    Args:
        database: the store's file, as `real_path` gives it; its log is there.
        mark: the log's mark.
        waits: a commit is durable only when the log was flushed; else nothing is.
        ask: has work done on the store's thread, in turn.

    Attributes:
        waits: as it was given.
        failed: why nothing is flushed any more; None until then.
    """

    def __init__(self, database: Path, mark: LogMark, *, waits: bool, ask: Ask) -> None:
        self._database = database
        self._mark = mark
        self._ask = ask
        self._file = os.open(log_path(database), os.O_RDWR) if waits else None
        self.waits = waits
        self._waiting: list[tuple[asyncio.Future[None], Flushed]] = []
        self._under_way: list[tuple[asyncio.Future[None], Flushed]] = []
        self.failed: StoreError | None = None

    @property
    def has_begun(self) -> bool:
        """True once the job has begun a life in the store, with its first commit."""
        return self._mark.has_begun

    @property
    def is_idle(self) -> bool:
        """True where nobody waits for a flush."""
        return not self._under_way

    def now(self) -> float:
        """Flush, on this thread, with nobody committing meanwhile; return the seconds it took.

        Raises:
            StoreError: the disk failed; it is final.
        """
        return self._flush(self._mark.take())

    def soon(self, flushed: Flushed) -> asyncio.Future[None]:
        """Flush on the store's thread what is committed by now; for the loop's thread.

        All that wait share the next flush.

        Args:
            flushed: told, on the loop's thread, how long it took.

        Returns:
            Done when that is durable; in the order of the calls.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, flushed))
        if not self._under_way:
            self._begin()
        return future

    def _begin(self) -> None:
        self._under_way, self._waiting = self._waiting, []
        mark = self._mark.take()
        self._ask(lambda: self._flush(mark)).add_done_callback(self._over)

    def _over(self, done: asyncio.Future[float]) -> None:
        told, self._under_way = self._under_way, []
        if self._waiting:
            self._begin()  # the disk works while they are told
        error = done.exception()
        for future, flushed in told:
            if error is None:
                flushed(done.result())
            settle(future, None, error)

    def _flush(self, mark: Callable[[], None]) -> float:
        if not self.waits:
            mark()
            return 0.0
        if self.failed is not None:
            raise self.failed
        if self._file is None:
            raise StoreError(f"{self._database} is not open")
        began = time.perf_counter()
        try:
            flush_file(self._file)
        except OSError as error:
            self.failed = failed = StoreError(
                f"the disk failed to keep what was written to {self._database}"
                f" ({error.strerror}), and nobody knows what of it is lost: the job was stopped;"
                " look at the system's log, then run the job again"
            )
            failed.is_final = True
            raise failed from error
        took = time.perf_counter() - began
        mark()
        return took

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def flush_file(file: int) -> None:
    """Have the disk keep what a file holds.

    Raises:
        OSError: it does not.
    """
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # fsync stops at the disk's own cache there
    elif hasattr(os, "fdatasync"):
        os.fdatasync(file)
    else:
        os.fsync(file)
