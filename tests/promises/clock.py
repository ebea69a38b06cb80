"""A wall clock that a test sets forward, so that what is due in an hour is due now."""

from __future__ import annotations

import functools
import time
import weakref

import pytest

from perdure.operate import control
from perdure.runtime import job_runtime
from perdure.runtime.shared import services
from perdure.runtime.shared.timers import TimerService
from perdure.runtime.shared.world import World

HOUR = 3600.0  # seconds: longer than any test runs, so that nothing is due before it is said to be


class Clock:
    """The wall clock of all jobs that are opened in one test, and of commands left for them.

    Owns: how far it is ahead of the real one, and which jobs' timers have to look at it again.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0
        self._timers: weakref.WeakSet[TimerService] = weakref.WeakSet()
        monkeypatch.setattr(job_runtime, "World", functools.partial(World, now=self.now))
        monkeypatch.setattr(services, "TimerService", self._watched)
        monkeypatch.setattr(control, "time_ns", self.now)

    def now(self) -> int:
        """Return the time, ns since the epoch."""
        return time.time_ns() + self._ahead

    def forward(self, seconds: float) -> None:
        """Let time pass. What is due fires in the next steps of its event loop."""
        self._ahead += round(seconds * 1e9)
        for timers in self._timers:
            if not timers._host.is_closed():
                timers._host.call_soon_threadsafe(timers._fire)

    def _watched(self, *args: object) -> TimerService:
        timers = TimerService(*args)  # type: ignore[arg-type]
        self._timers.add(timers)
        return timers
