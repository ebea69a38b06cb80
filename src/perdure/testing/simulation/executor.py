"""Durable calls in simulated time: no thread, no task that sleeps."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import greenlet

from perdure.executor import running
from perdure.executor.executor import ContinuationActionExecutor
from perdure.executor.fallback import ActionDropped, SequentialLane, ThreadedContinuation
from perdure.executor.hub import DirectHub, TurnHub
from perdure.executor.pool import Finish, Invocation, ThreadPool
from perdure.testing.simulation.calls import Life, describe
from perdure.testing.simulation.loop import SimulatedLoop

T = TypeVar("T")


class SimulatedPool(ThreadPool):
    """The pool for plain callables: they run when they begin, and are over some time later.

    Owns: what waits, what executes, what hangs. On the simulated loop.
    """

    def __init__(self, size: int, done: Finish, life: Life, **_options: Any) -> None:
        self._life = life
        self._tell = done
        self._free = size
        self._queued: deque[Invocation] = deque()
        self._executing: dict[Invocation, bool] = {}  # -> was abandoned

    @property
    def busy(self) -> int:
        """Number of invocations that wait or execute, abandoned ones included."""
        return len(self._queued) + len(self._executing)

    def submit(self, invocation: Invocation) -> None:
        self._queued.append(invocation)
        self._refill()

    def abandon(self, invocation: Invocation) -> None:
        if self._executing.get(invocation) is False:
            self._executing[invocation] = True
            self._free += 1
            self._refill()

    def hold(self) -> None:
        self._kept = []  # and so nothing begins

    def let_go(self) -> None:
        self._kept = None
        self._refill()

    def close(self) -> None:
        self._queued.clear()

    def _refill(self) -> None:
        while self._queued and self._free > 0 and self._kept is None:
            invocation = self._queued.popleft()
            if not invocation.dropped:
                self._free -= 1
                self._execute(invocation)

    def _execute(self, invocation: Invocation) -> None:
        life, loop = self._life, self._life.loop
        self._executing[invocation] = False
        invocation.started_at = loop.instant
        if invocation.on_start is not None:
            loop.call_soon(invocation.on_start, invocation)
        execution = life.begin(describe(invocation))
        value: Any = None
        error: BaseException | None = None
        caller = running.enter(None)
        try:
            func = life.fake(invocation.func)
            value = invocation.context.run(
                execution.enter, func, invocation.args, invocation.kwargs
            )
        except BaseException as raised:
            error = raised
        finally:
            running.leave(caller)
        moment = life.over(execution)
        if moment is not None:
            # With one step more, as a coroutine takes: those of one moment end in their order.
            loop.call_at_moment(moment, loop.call_soon, self._ended, invocation, value, error)

    def _ended(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        if not self._executing.pop(invocation):
            self._free += 1
        self._refill()
        self._tell(invocation, value, error)


class SimulatedExecutor(ContinuationActionExecutor):
    """The executor, with every execution counted and timed by the simulation."""

    def __init__(self, *, life: Life, **options: Any) -> None:
        super().__init__(**options, make_pool=functools.partial(SimulatedPool, life=life))
        self._life = life
        self._lane = self._simulated_lane = SimulatedLane(life.loop)

    def _fallback(self, name: str, seed: int) -> ThreadedContinuation:
        return SimulatedFallback(name, seed, self._hub, self._simulated_lane)

    def start(self, invocation: Invocation, *, is_coroutine: bool, at_once: bool = True) -> None:
        if is_coroutine and self._held is None:  # else it comes here again
            invocation.func = self._life.wrapped(invocation)
        super().start(invocation, is_coroutine=is_coroutine, at_once=at_once)

    def run_inline(self, invocation: Invocation) -> None:
        if self._closed:
            return
        if self._held is not None:
            super().run_inline(invocation)  # it comes here again
            return
        execution = self._life.begin(describe(invocation))
        func, args, kwargs = self._life.fake(invocation.func), invocation.args, invocation.kwargs
        invocation.func, invocation.args, invocation.kwargs = (
            execution.enter,
            (func, args, kwargs),
            {},
        )
        super().run_inline(invocation)


class SimulatedLane(SequentialLane):
    """The lane of the fallback on a greenlet in the place of its thread."""

    def __init__(self, host: SimulatedLoop) -> None:
        super().__init__(host)
        self._work_left: deque[Callable[[], None]] = deque()
        self._greenlet: greenlet.greenlet | None = None
        self._running: asyncio.AbstractEventLoop | None = None  # as code on the lane sees it

    @property
    def is_busy(self) -> bool:
        return self._greenlet is not None or bool(self._work_left)

    def submit(self, work: Callable[[], None]) -> None:
        self._work_left.append(work)
        if len(self._work_left) == 1 and self._greenlet is None:
            self.host.call_soon(self._begin)

    def close(self) -> None:
        """Nothing to end: what is parked leaves when its action is dropped."""

    def _begin(self) -> None:
        if self._greenlet is None and self._work_left:
            self._greenlet = greenlet.greenlet(self._work_left.popleft())
            self.resume()

    def resume(self) -> None:
        """Go on with what runs on the lane, until it pauses or ends."""
        lane = self._greenlet
        if lane is None:
            return
        lane.parent = greenlet.getcurrent()
        host = running.enter(self._running)
        lane.switch()
        self._running = running.running_loop()
        running.leave(host)
        if lane.dead:
            self._greenlet = None
            self.host.call_soon(self._begin)

    def pause(self) -> None:
        """Wait, on the lane, until it is resumed."""
        parent = greenlet.getcurrent().parent
        assert parent is not None
        parent.switch()


class _Progress:
    """The condition that a lane's action waits for, without a thread."""

    def __init__(self, lane: SimulatedLane) -> None:
        self._lane = lane
        self._waiting = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        pass

    def wait_for(self, satisfied: Callable[[], bool]) -> None:
        while not satisfied():
            self._waiting = True
            self._lane.pause()

    def notify_all(self) -> None:
        if self._waiting:
            self._waiting = False
            self._lane.host.call_soon(self._lane.resume)


class SimulatedFallback(ThreadedContinuation):
    """A plain action on the simulated lane."""

    def __init__(self, name: str, seed: int, hub: TurnHub | DirectHub, lane: SimulatedLane) -> None:
        super().__init__(name, seed, hub, lane)
        self._greenlets = lane
        self._progress = _Progress(lane)  # type: ignore[assignment]

    def on_host(self, work: Callable[[], T]) -> T:
        outcome: list[tuple[Any, BaseException | None]] = []

        def perform() -> None:
            try:
                outcome.append((work(), None))
            except BaseException as error:
                outcome.append((None, error))
            self._greenlets.resume()

        self._greenlets.host.call_soon(perform)
        self._greenlets.pause()
        if not outcome:
            raise ActionDropped
        value, error = outcome[0]
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]
