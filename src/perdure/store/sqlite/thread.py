"""The thread of an open store, for what waits for the disk: reads, flushes, large commits."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from perdure.errors import PerdureError
from perdure.store import switching
from perdure.store.batch import settle

__all__ = ["StoreThread"]

T = TypeVar("T")

END_SECONDS = 5.0  # that whoever ends the thread waits for it: it may wait for a disk


class StoreThread:
    """Does what the host loop asks of it, in order.

    Owns: the thread. Lifecycle: begins when it is made, on the host loop, and goes on until `end`.

    Attributes:
        host: the loop that asks.

    Args:
        known: gives the error of perdure's own that an error is told as.
    """

    def __init__(self, known: Callable[[Exception], PerdureError]) -> None:
        self._known = known
        self.host = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(
            target=_serve, args=[self._work], name="perdure-store", daemon=True
        ).start()
        switching.quicken()

    def end(self) -> None:
        """End once all is done that was asked before."""
        self._work.put(None)
        switching.slow_down()

    def end_with(self, work: Callable[[], None]) -> None:
        """End with some work, whose end no loop is told of; blocks, but not for ever."""
        done = threading.Event()

        def last() -> None:
            with contextlib.suppress(Exception):  # whoever opens the store next is told
                work()
            done.set()

        self._work.put(last)
        self.end()
        done.wait(END_SECONDS)

    def ask(
        self, work: Callable[[], T], over: Callable[[], None] = lambda: None
    ) -> asyncio.Future[T]:
        """Have work done, behind all that was asked before; then call `over` on the host loop."""
        host = self.host
        future: asyncio.Future[T] = host.create_future()

        def perform() -> None:
            value, failed = None, None
            try:
                value = work()
            except Exception as error:
                failed = self._known(error)
            try:
                host.call_soon_threadsafe(told, value, failed)
            except RuntimeError:
                pass  # the host loop is closed: nobody waits

        def told(value: Any, error: PerdureError | None) -> None:
            settle(future, value, error)
            over()

        self._work.put(perform)
        return future


def _serve(asked: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (work := asked.get()) is not None:
        work()
        del work  # what it was for is free while the thread rests
