"""SteadyClock: wall-clock time that a process may rely on, however its clock is set meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["SteadyClock"]


class SteadyClock:
    """The time of a process, ns since the epoch: it passes, and never goes back.

    It is the wall clock, also where that is set forward: what is due then is due. Where the wall
    clock is set back, time goes on from where it was, at the pace of the monotonic clock, so that
    nothing waits longer. A later process begins with the wall clock again. Safe on any thread.

    Args:
        wall: the wall clock, ns since the epoch.
        monotonic: a clock that nobody sets, ns.
    """

    __slots__ = ("_ahead", "_monotonic", "_wall")

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()  # of the monotonic clock

    def __call__(self) -> int:
        """Return the time."""
        # In this order: a pause between the two makes the difference too small, never too great,
        # so the pauses do not add up.
        ahead = self._wall() - (passed := self._monotonic())
        if ahead > self._ahead:
            self._ahead = ahead
        return passed + self._ahead
