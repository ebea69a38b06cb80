"""One host timer for all durable timers of a job."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable

from perdure.printable import printable_logger

logger = printable_logger("perdure")

COMPACT_ABOVE = 1024  # cancelled timers kept before the heap is cleaned

# s, until the time is looked at again while a timer is armed: nobody says that the wall clock was
# set forward, or that the machine was suspended, which the host's clock does not count.
LOOK_AGAIN = 30.0


class Timer:
    """An armed timer. `deadline` is in ns, in the time of its service."""

    __slots__ = ("callback", "deadline")

    def __init__(self, deadline: int, callback: Callable[[], object]) -> None:
        self.deadline = deadline
        self.callback: Callable[[], object] | None = callback


class TimerService:
    """A heap of deadlines served by a single timer of the host loop.

    Where `now` jumps forward, what is due by it fires within LOOK_AGAIN seconds.

    Owns: the heap and the host timer. Lifecycle: made on the host loop; `close` cancels the timer.

    Args:
        now: the time that deadlines are in, ns; it must not go back.
        failed: told what a callback raised; the others are called all the same.
    """

    def __init__(
        self,
        now: Callable[[], int] = time.time_ns,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._now = now
        self._failed = failed
        self._host = asyncio.get_running_loop()
        self._heap: list[tuple[int, int, Timer]] = []  # deadline, order of arming
        self._count = 0
        self._cancelled = 0
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0

    def arm(self, deadline: int, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the host loop when `deadline` has passed."""
        self._count += 1
        timer = Timer(deadline, callback)
        heapq.heappush(self._heap, (deadline, self._count, timer))
        self._schedule()
        return timer

    def cancel(self, timer: Timer) -> None:
        """Forget a timer; what it refers to is free at once."""
        if timer.callback is None:
            return
        timer.callback = None
        self._cancelled += 1
        if self._cancelled > COMPACT_ABOVE and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def close(self) -> None:
        """Forget all timers."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        if not self._heap:
            return
        earliest = self._heap[0][0]
        if self._timer is not None:
            if self._armed_for <= earliest:
                return
            self._timer.cancel()
        self._armed_for = earliest
        delay = min(max(0.0, (earliest - self._now()) / 1e9), LOOK_AGAIN)
        self._timer = self._host.call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._now()
        try:
            while self._heap and self._heap[0][0] <= now:
                timer = heapq.heappop(self._heap)[2]
                callback, timer.callback = timer.callback, None
                if callback is not None:
                    self._call(callback)
                elif self._cancelled:
                    self._cancelled -= 1
        finally:
            self._schedule()

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:
            # A fault of the runtime: it must not silence the timers behind it.
            logger.exception("a timer's callback failed")
            if self._failed is not None:
                self._failed(error)
