"""ContinuationActionExecutor: starts durable calls and says how an action is continued.

A coroutine function runs as a task of the host loop and takes no thread; a plain function runs on
the fixed pool of `num-async-threads`. Completion wakes the action; nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import time
from collections.abc import Awaitable, Callable
from time import perf_counter
from types import CoroutineType
from typing import Any

from perdure.executor import forks, running
from perdure.executor.continuation import (
    ContinuationContext,
    PlainContinuation,
    is_continuation_supported,
)
from perdure.executor.fallback import SequentialLane, ThreadedContinuation
from perdure.executor.hub import TurnHub, new_hub
from perdure.executor.pool import Invocation, PoolUsage, ThreadPool
from perdure.executor.shutdown import ends_process, what_ends
from perdure.executor.steps import LOOK_SECONDS, StepWatch

TASK = "perdure durable call"  # the name of its task, or asyncio makes one of a number


class ContinuationActionExecutor:
    """Runs durable calls; makes the continuation of each action.

    Owns: the thread pool, the tasks of the coroutine callables, the lane of the sequential
    fallback. Lifecycle: made and closed on the host loop.

    Args:
        num_async_threads: size of the pool for plain callables.
        continuations: False chooses the sequential fallback for plain actions.
        on_shutdown: called on the host loop when a callable there raised what ends the process,
            which is no outcome.
        max_abandoned_threads: threads that may hang in calls which nobody waits for; None for four
            times `num_async_threads`.
        make_pool: makes the pool, given what `ThreadPool` takes.
        now: wall-clock time, ns since the epoch.
    """

    def __init__(
        self,
        *,
        num_async_threads: int,
        continuations: bool,
        on_shutdown: Callable[[BaseException], None],
        max_abandoned_threads: int | None = None,
        make_pool: Callable[..., ThreadPool] = ThreadPool,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._host = asyncio.get_running_loop()
        self._hooks = sys.get_asyncgen_hooks()  # the host's, which turns of actions replace
        self._hub = new_hub()
        self._continuations = continuations and is_continuation_supported()
        self._lane = SequentialLane(self._host)
        self._on_shutdown = on_shutdown
        self._pool = make_pool(
            num_async_threads, self._returned, max_abandoned=max_abandoned_threads, now=now
        )
        self._now = now
        self._steps = StepWatch(self._host)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[Callable[[], None]] | None = None  # starts that wait for `let_go`
        self._closed = False
        self._ending = False  # the host loop cancels all that there is
        self._forked = False  # this is a child of the process that made it
        self.late_results = 0
        forks.begin(self)

    @property
    def in_flight(self) -> int:
        """Number of calls started and not over, abandoned ones included."""
        return self._pool.busy + len(self._tasks)

    @property
    def pool_usage(self) -> PoolUsage:
        """What the threads for plain callables do at this moment."""
        return self._pool.usage

    def continuation(self, name: str, seed: int, *, is_coroutine: bool) -> ContinuationContext:
        """Return what suspends and continues one action."""
        if is_coroutine:
            return ContinuationContext(name, seed, self._hub)
        if self._continuations and isinstance(self._hub, TurnHub):
            return PlainContinuation(name, seed, self._hub)
        return self._fallback(name, seed)

    def _fallback(self, name: str, seed: int) -> ThreadedContinuation:
        return ThreadedContinuation(name, seed, self._hub, self._lane)

    def start(self, invocation: Invocation, *, is_coroutine: bool, at_once: bool = True) -> None:
        """Start a call; its outcome reaches `invocation.finish` on the host loop.

        Once closed it starts nothing: the next process does.

        Args:
            invocation: the call.
            is_coroutine: it is a coroutine function.
            at_once: that may begin inside this call, where Python can.
        """
        if self._closed or invocation.dropped:
            self._end_if_forked()
            return
        if self._held is not None:
            again = functools.partial(
                self.start, invocation, is_coroutine=is_coroutine, at_once=at_once
            )
            self._held.append(again)
            return
        if not is_coroutine:
            self._pool.submit(invocation)
            return
        work = self._drive(invocation, None)
        if at_once:
            task = running.task_at_once(
                self._host, work, invocation.context, self._hooks, name=TASK
            )
            if task.done():
                return
        else:
            task = running.later_task(self._host, work, invocation.context, name=TASK)
        invocation.task = task
        self._tasks.add(task)

    def drop(self, invocation: Invocation) -> None:
        """Cancel a coroutine; let a thread go on, drop its late result and replace its thread."""
        invocation.dropped = True
        if invocation.task is not None:
            # One that has not begun never comes to where it takes itself out.
            invocation.task.add_done_callback(self._tasks.discard)
            invocation.task.cancel()
        else:
            self._pool.abandon(invocation)

    def hold(self) -> None:
        """Start nothing until `let_go`, whatever waits for a thread included.

        What executes goes on, and what of it ends is told.
        """
        if self._held is None:
            self._held = []
            self._pool.hold()

    def let_go(self) -> None:
        """Start what was held, in its order."""
        held, self._held = self._held, None
        if held is not None:
            self._pool.let_go()
            for start in held:
                self.soon(start)

    def soon(self, work: Callable[[], None]) -> None:
        """Run `work` on the host loop, outside every turn."""
        self._host.call_soon(work)

    def soon_threadsafe(self, work: Callable[[], None]) -> None:
        """Run `work` on the host loop, outside every turn; from any thread."""
        try:
            self._host.call_soon_threadsafe(work)
        except RuntimeError:
            pass  # the host loop is closed: the next process takes the action up

    def run_inline(self, invocation: Invocation) -> None:
        """Run a plain callable on the calling thread, with no running loop, and finish it.

        What is held runs later, on the host loop's thread.
        """
        if self._closed or invocation.dropped:
            self._end_if_forked()
            return
        if self._held is not None:
            self._held.append(functools.partial(self.run_inline, invocation))
            return
        caller = running.here()
        invocation.started_at = self._now()
        value: Any = None
        error: BaseException | None = None
        try:
            running.go_to(None)
            value = invocation.context.run(invocation.func, *invocation.args, **invocation.kwargs)
            running.leave(caller)
        except BaseException as raised:
            running.leave(caller)
            if ends_process(raised):
                self._process_ends(what_ends(raised))
                raise what_ends(raised)  # noqa: B904 - it was raised in there
            error = raised
        self._returned(invocation, value, error)

    async def close(self) -> None:
        """Cancel coroutine callables and wait for them; leave threads to end by themselves."""
        self.start_nothing()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def start_nothing(self) -> None:
        """Start no more calls, and take what is cancelled from here on for no outcome."""
        self._closed = True
        self._pool.close()
        self._lane.close()

    def _process_ends(self, error: BaseException) -> None:
        # At once: what is ready comes before whoever hears of it, and may block for long.
        self.start_nothing()
        self._on_shutdown(error)

    def release(self) -> None:
        """Let go of what turns ran in; after `close`, when no action is left to be dropped."""
        self._hub.close()
        forks.end(self)

    def forked(self) -> None:
        """In a forked child: start nothing, and end what comes back from where it was forked."""
        self._forked = self._steps.forked = self._closed = True
        with contextlib.suppress(RuntimeError):  # a closed loop goes no further anyway
            running.call_next(self._host, forks.end_child)
        with contextlib.suppress(OSError):  # no descriptor is left for it
            running.set_apart(self._host)

    def _end_if_forked(self) -> None:
        """See whether it is closed for being in a child, which has come back then."""
        if self._forked:
            forks.end_child()

    async def _drive(self, invocation: Invocation, returned: Awaitable[Any] | None) -> None:
        """Run a coroutine callable in its task, or wait for what a plain one has `returned`.

        Whatever comes of it is told.
        """
        value: Any = None
        error: BaseException | None = None
        try:
            if returned is None:
                if self._held is not None:  # it was just about to begin
                    await self._until_let_go(self._held)
                invocation.started_at = self._now()
                if invocation.on_start is not None:
                    invocation.on_start(invocation)
                returned = invocation.func(*invocation.args, **invocation.kwargs)
            if type(returned) is CoroutineType:
                # The first step by hand: what ends in it needs nothing that times further ones.
                rest: Awaitable[Any] | None = None
                began = perf_counter()
                try:
                    rest = self._steps.rest(invocation.func, returned, returned.send(None))
                except StopIteration as end:
                    value = end.value
                finally:
                    if self._forked:
                        forks.end_child()
                    if (seconds := perf_counter() - began) > LOOK_SECONDS:
                        self._steps.took(invocation.func, began, began + seconds)
                if rest is not None:
                    value = await rest
            else:
                value = await returned
        except BaseException as raised:
            # By its type: isinstance asks the exception, which may be of anybody's making.
            kind = type(raised)
            if issubclass(kind, asyncio.CancelledError | GeneratorExit):
                if self._is_asked_to_end(invocation, kind):
                    raise
            elif self._forked:
                forks.end_child()
            elif ends_process(raised) or (issubclass(kind, SystemExit) and self._closed):
                self._process_ends(what_ends(raised))
                return
            elif self._is_shutdown():  # which it may have made an error of
                return
            error = raised
        finally:
            self._tasks.discard(invocation.task)
        if invocation.dropped or self._closed:
            self._end_if_forked()
            self.late_results += 1
        else:
            invocation.finish(invocation, value, error)

    async def _until_let_go(self, held: list[Callable[[], None]]) -> None:
        released = self._host.create_future()
        held.append(functools.partial(_release, released))
        await released

    def _is_asked_to_end(self, invocation: Invocation, kind: type[BaseException]) -> bool:
        """Say, where a callable was left, whether that came from outside of it."""
        if issubclass(kind, GeneratorExit):
            # Closing a coroutine throws one in, from wherever that is done; but not in the step
            # that it begins with, where its task may not be known yet.
            loop, task = running.running_loop(), invocation.task
            is_own = task is None or asyncio.current_task(loop) is task
            return loop is not self._host or not is_own
        return invocation.dropped or self._closed or self._is_shutdown()

    def _is_shutdown(self) -> bool:
        """Say, in the task of a callable, whether the host loop is coming to its end.

        `asyncio.run` cancels all tasks at once when an exception has left the loop: a SystemExit
        of a signal handler, say. A callable that cancels itself is the only one. What was ready
        then may have begun others since, above all calls.
        """
        task = asyncio.current_task()
        if not self._ending and task is not None and task.cancelling():
            others = [each.cancelling() > 0 for each in asyncio.all_tasks() - self._tasks]
            self._ending = not others or 2 * sum(others) > len(others)
        return self._ending

    def _returned(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        """A plain callable is over; one that has returned a coroutine goes on with that."""
        if getattr(type(value), "__await__", None) is None:
            self._finish(invocation, value, error)
        elif not (invocation.dropped or self._closed):
            invocation.task = running.later_task(
                self._host, self._drive(invocation, value), invocation.context, name=TASK
            )
            self._tasks.add(invocation.task)
        else:
            if asyncio.iscoroutine(value):
                value.close()  # nobody will await it
            self._finish(invocation, None, None)

    def _finish(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        if invocation.dropped or self._closed:
            self.late_results += 1
            return
        invocation.finish(invocation, value, error)


def _release(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
