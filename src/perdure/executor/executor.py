"""ContinuationActionExecutor: starts durable calls and says how an action is continued.

A coroutine function runs as a task of the host loop and takes no thread; a plain function runs on
the fixed pool of `num-async-threads`. Completion wakes the action; nothing polls.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from perdure.executor.continuation import (
    ContinuationContext,
    PlainContinuation,
    TurnHub,
    is_continuation_supported,
    new_hub,
)
from perdure.executor.fallback import SequentialLane, ThreadedContinuation

Finish = Callable[["Invocation", Any, BaseException | None], None]


class Invocation:
    """One execution of a durable callable, from its start to its outcome or its cancellation."""

    __slots__ = ("_task", "args", "context", "dropped", "finish", "func", "kwargs", "started_at")

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        finish: Finish,
    ) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.finish = finish
        self.started_at = 0
        self.dropped = False
        self.context: contextvars.Context | None = None
        self._task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Cancel a coroutine; a thread goes on and its late result is dropped."""
        self.dropped = True
        if self._task is not None:
            self._task.cancel()


class ContinuationActionExecutor:
    """Runs durable calls; makes the continuation of each action.

    Owns: the thread pool (daemon threads, started on demand), the tasks of the coroutine callables,
    the lane of the sequential fallback. Lifecycle: made and closed on the host loop.

    Args:
        num_async_threads: size of the pool for plain callables.
        continuations: False chooses the sequential fallback for plain actions.
        on_shutdown: called on the host loop when a callable raised KeyboardInterrupt or SystemExit,
            which means shutdown and is no outcome.
    """

    def __init__(
        self,
        *,
        num_async_threads: int,
        continuations: bool,
        on_shutdown: Callable[[BaseException], None],
    ) -> None:
        self._host = asyncio.get_running_loop()
        self._hub = new_hub()
        self._continuations = continuations and is_continuation_supported()
        self._lane = SequentialLane(self._host)
        self._on_shutdown = on_shutdown
        self._size = num_async_threads
        self._threads: list[threading.Thread] = []
        self._queue: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.in_flight = 0
        self.late_results = 0

    def continuation(self, name: str, seed: int, *, is_coroutine: bool) -> ContinuationContext:
        """Return what suspends and continues one action."""
        if is_coroutine:
            return ContinuationContext(name, seed, self._hub)
        if self._continuations and isinstance(self._hub, TurnHub):
            return PlainContinuation(name, seed, self._hub)
        return ThreadedContinuation(name, seed, self._hub, self._lane)

    def start(self, invocation: Invocation, *, is_coroutine: bool) -> None:
        """Start a call; its outcome reaches `invocation.finish` on the host loop.

        Once closed it starts nothing: the next process does.
        """
        if self._closed:
            return
        self.in_flight += 1
        if is_coroutine:
            task = self._host.create_task(self._drive(invocation))
            invocation._task = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        invocation.context = contextvars.copy_context()
        if len(self._threads) < self._size and len(self._threads) < self.in_flight:
            thread = threading.Thread(
                target=self._work, name=f"perdure-call-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        self._queue.put(invocation)

    def soon(self, work: Callable[[], None]) -> None:
        """Run `work` on the host loop, outside every turn."""
        self._host.call_soon(work)

    def run_inline(self, invocation: Invocation) -> None:
        """Run a plain callable on the calling thread, with no running loop, and finish it."""
        if self._closed:
            return
        self.in_flight += 1
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        invocation.started_at = time.time_ns()
        value, error = None, None
        try:
            value = invocation.func(*invocation.args, **invocation.kwargs)
        except Exception as raised:
            error = raised
        finally:
            asyncio._set_running_loop(loop)
        self._finish(invocation, value, error)

    async def close(self) -> None:
        """Cancel coroutine callables and wait for them; leave threads to end by themselves."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        self._lane.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _drive(self, invocation: Invocation) -> None:
        invocation.started_at = time.time_ns()
        try:
            value = await invocation.func(*invocation.args, **invocation.kwargs)
        except (KeyboardInterrupt, SystemExit) as stop:
            self.in_flight -= 1
            self._on_shutdown(stop)
        except asyncio.CancelledError as cancelled:
            if invocation.dropped or self._closed:
                self.in_flight -= 1
                raise
            self._finish(invocation, None, cancelled)
        except Exception as error:
            self._finish(invocation, None, error)
        else:
            self._finish(invocation, value, None)

    def _finish(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        self.in_flight -= 1
        if invocation.dropped or self._closed:
            self.late_results += 1
            return
        if error is not None and isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._on_shutdown(error)
            return
        invocation.finish(invocation, value, error)

    def _work(self) -> None:
        while True:
            invocation = self._queue.get()
            if invocation is None:
                return
            value: Any = None
            error: BaseException | None = None
            if not invocation.dropped:
                invocation.started_at = time.time_ns()
                context = invocation.context
                assert context is not None
                try:
                    value = context.run(invocation.func, *invocation.args, **invocation.kwargs)
                except BaseException as raised:
                    error = raised
            try:
                self._host.call_soon_threadsafe(self._finish, invocation, value, error)
            except RuntimeError:
                return  # the host loop is closed: nobody waits for the result
            del invocation, value, error
