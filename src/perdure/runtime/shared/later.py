"""Later: what the store is told of a wait once it has lasted for a moment."""

from __future__ import annotations

from collections.abc import Callable

from perdure.runtime.shared.timers import Timer, TimerService

MOMENT = 10_000_000  # ns; less than it takes anybody to look, and more than a quick answer


class Later:
    """What is to be written for those who look from outside, unless it is over before.

    A wait that is answered at once costs no commit for that, and no other to take it back.

    Owns: what is to be written, one timer. Lifecycle: made when the job opens; from `stop` on all
    is written at once. On the host loop.

    Args:
        timers: those of the job.
        now: the time that these are in, ns.
    """

    def __init__(self, timers: TimerService, now: Callable[[], int]) -> None:
        self._timers = timers
        self._now = now
        self._writes: dict[object, Callable[[], None]] = {}
        self._timer: Timer | None = None
        self._is_stopped = False

    def add(self, what: object, write: Callable[[], None]) -> None:
        """Have `write` called in a moment, once for each `what`."""
        if self._is_stopped:
            write()
            return
        self._writes[what] = write
        if self._timer is None:
            self._timer = self._timers.arm(self._now() + MOMENT, self.write)

    def drop(self, what: object) -> None:
        """Forget `what`: it is over."""
        self._writes.pop(what, None)

    def write(self) -> None:
        """Write at once all that waits."""
        if self._timer is not None:
            self._timers.cancel(self._timer)
            self._timer = None
        writes, self._writes = self._writes, {}
        for write in writes.values():
            write()

    def stop(self) -> None:
        """Write at once all that waits, and what comes: the job closes."""
        self._is_stopped = True
        self.write()
