"""The fixed pool of threads for plain durable callables.

Its threads are daemons, so neither closing nor interpreter exit waits for a callable that hangs;
`concurrent.futures` would join them.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import time
from collections.abc import Callable
from typing import Any


class Invocation:
    """One execution of a durable callable, from its start to its outcome or its being dropped.

    Attributes:
        finish: told on the host loop what came of it, unless it was dropped.
        on_start: told on the host loop when it has begun to execute.
        started_at: when that was, ns since the epoch; 0 before.
        dropped: nobody waits for it any more.
    """

    __slots__ = (
        "args", "context", "dropped", "finish", "func", "kwargs", "on_start", "started_at", "task",
    )  # fmt: skip

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
        self.on_start: Callable[[Invocation], None] | None = None
        self.started_at = 0
        self.dropped = False
        self.context: contextvars.Context | None = None
        self.task: asyncio.Task[None] | None = None


Finish = Callable[[Invocation, Any, BaseException | None], None]


class ThreadPool:
    """Runs invocations on at most `size` threads, besides those that hang in abandoned ones.

    Owns: the threads, started on demand, and the queue. Lifecycle: on the host loop's thread but
    for `_work`; `close` lets the threads end when they are idle.
    """

    def __init__(self, size: int, done: Finish) -> None:
        self._host = asyncio.get_running_loop()
        self._done = done
        self._allowed = size
        self._threads = 0
        self._abandoned: set[Invocation] = set()
        self._queue: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self.busy = 0  # invocations queued or executing

    def submit(self, invocation: Invocation) -> None:
        """Run the invocation when a thread is free; `done` is told on the host loop."""
        invocation.context = contextvars.copy_context()
        self.busy += 1
        self._grow()
        self._queue.put(invocation)

    def abandon(self, invocation: Invocation) -> None:
        """Give the pool another thread for the one that may hang in a dropped invocation."""
        if invocation.started_at and invocation not in self._abandoned:
            self._abandoned.add(invocation)
            self._allowed += 1
            self._grow()

    def close(self) -> None:
        """Let every thread end after what it executes."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _grow(self) -> None:
        if self._threads < self._allowed and self._threads < self.busy:
            self._threads += 1
            name = f"perdure-call-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def _ended(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        self.busy -= 1
        if invocation in self._abandoned:
            self._abandoned.discard(invocation)
            self._allowed -= 1
            if self._threads > self._allowed:
                self._threads -= 1
                self._queue.put(None)  # the one that came back, or another: one too many
        self._done(invocation, value, error)

    def _work(self) -> None:
        while (invocation := self._queue.get()) is not None:
            value: Any = None
            error: BaseException | None = None
            # Before `dropped` is read: whoever drops it from here on gives the pool a thread.
            invocation.started_at = time.time_ns()
            try:
                if not invocation.dropped:
                    if invocation.on_start is not None:
                        self._host.call_soon_threadsafe(invocation.on_start, invocation)
                    context = invocation.context
                    assert context is not None
                    try:
                        value = context.run(invocation.func, *invocation.args, **invocation.kwargs)
                    except BaseException as raised:
                        error = raised
                self._host.call_soon_threadsafe(self._ended, invocation, value, error)
            except RuntimeError:
                return  # the host loop is closed: nobody waits for the result
            del invocation, value, error
