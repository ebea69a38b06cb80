"""SimulatedLoop: an event loop whose time stands still while anything is ready, and then jumps.

A moment of it has two parts: an instant in ns, which is what clocks show, and a position within
that instant. What takes no time worth speaking of (a commit) takes its place in the instant; so
its order with everything else is simulated, and no clock depends on it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from perdure.errors import PerdureError
from perdure.executor import running

T = TypeVar("T")

MAX_ROUNDS = 1_000_000


class SimulationStuckError(PerdureError):
    """Nothing is ready, no timer runs, and the simulation is not at its end; or it never ends."""


class Moment(NamedTuple):
    """A point of simulated time."""

    instant: int  # ns since the epoch
    position: int = 0  # within the instant
    order: int = 0  # among what is due at the very same moment


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop with a clock of its own: no I/O, no threads, no sleeping.

    Owns: the clock, the timer heap. Lifecycle: like any event loop; cheap to make.

    Args:
        start: what its clock shows at first.
    """

    def __init__(self, start: Moment) -> None:
        super().__init__()
        self.instant, self.position, _ = start
        self.problems: list[str] = []
        self.hurries: Callable[[], bool] = lambda: False  # whether its caller's delays are none
        self.before_time_passes: Callable[[], None] = lambda: None  # when nothing is ready
        self._count = 0
        self._popped = start[:2]  # the moment that the newest timer was for
        self._rounds = 0
        self._timers: list[tuple[int, int, int, int, asyncio.Handle]] = []
        self.set_exception_handler(self._take_note)

    @property
    def moment(self) -> Moment:
        """The present moment."""
        return Moment(self.instant, self.position)

    def now(self) -> int:
        """Return the present instant, ns since the epoch."""
        return self.instant

    def time(self) -> float:
        """Return the present instant, in seconds since the epoch."""
        return self.instant / 1e9

    # The overrides take what asyncio passes; typeshed's variadic generics cannot be repeated here.
    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        later = self.instant if self.hurries() else self.instant + max(0, round(delay * 1e9))
        position = 0 if later > self.instant else self.position
        return self.call_at_moment(Moment(later, position), callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def call_at_moment(
        self, moment: Moment, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Call `callback` at `moment`; those of the past come next, in their order."""
        handle = asyncio.TimerHandle(moment.instant / 1e9, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (*moment, self._count, handle))
        return handle

    def call_after(self, positions: int, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` in this instant, but so much later in it."""
        self.call_at_moment(Moment(self.instant, self.position + positions), callback, *args)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call `func` at once: there are no threads here. What it takes, `takes` says."""
        future: asyncio.Future[T] = self.create_future()
        caller = running.enter(None)
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        finally:
            running.leave(caller)
        return future

    # What BaseEventLoop asks of its subclasses

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        if not ready:
            self.before_time_passes()
        if not ready:
            ready.append(self._next_timer())
            timers, moment = self._timers, self._popped
            while timers and timers[0][:2] == moment:  # at the very same moment: in one round
                ready.append(heapq.heappop(timers)[4])
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise SimulationStuckError(
                f"the simulation does not end: {MAX_ROUNDS:,} rounds of its loop, and"
                f" {self._waiting()}"
            )
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _next_timer(self) -> asyncio.Handle:
        while self._timers:
            instant, position, _, _, handle = heapq.heappop(self._timers)
            if handle.cancelled():
                continue
            self._popped = (instant, position)
            if (instant, position) > (self.instant, self.position):
                self.instant, self.position = instant, position
            return handle
        raise SimulationStuckError(
            f"nothing is ready and no timer runs, but the simulation is not at its end:"
            f" {self._waiting()}"
        )

    def _waiting(self) -> str:
        tasks = sorted(
            f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})"
            for task in asyncio.all_tasks(self)
        )
        return f"{len(tasks)} task(s) wait: {', '.join(tasks[:10])}"

    def _process_events(self, _events: Any) -> None:
        """There is no I/O."""

    def _write_to_self(self) -> None:
        """Nothing sleeps that would have to be woken."""

    def _take_note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.problems.append(f"{context.get('message')}: {type(error).__name__}: {error}")
