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
from collections.abc import Callable, Hashable
from typing import Any

from perdure.executor.fair_queue import FairQueue


class Invocation:
    """One execution of a durable callable, from its start to its outcome or its being dropped.

    Attributes:
        finish: told on the host loop what came of it, unless it was dropped.
        on_start: told on the host loop when it has begun to execute.
        key: whom it is for; the keys take turns on the threads.
        started_at: when that was, ns since the epoch; 0 before.
        dropped: nobody waits for it any more.
    """

    __slots__ = (
        "args", "context", "dropped", "finish", "func", "key", "kwargs", "on_start", "started_at",
        "task",
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
        self.key: Hashable = None
        self.started_at = 0
        self.dropped = False
        self.context: contextvars.Context | None = None
        self.task: asyncio.Task[None] | None = None


Finish = Callable[[Invocation, Any, BaseException | None], None]


class ThreadPool:
    """Runs invocations on at most `size` threads, besides those that hang in abandoned ones.

    Owns: the threads, started on demand; a fair queue of what waits for its key's turn; a plain
    one of what has been handed to the threads. As much again as can execute is handed over, so
    that a thread need not wait for the host loop between two short invocations.

    Lifecycle: on the host loop's thread but for `_work`; `close` lets the threads end when they are
    idle and forgets what has not begun. Nothing is submitted after that.
    """

    def __init__(self, size: int, done: Finish) -> None:
        self._host = asyncio.get_running_loop()
        self._done = done
        self._size = size
        self._threads = 0
        self._handed = 0  # invocations handed to the threads and not over
        self._abandoned: set[Invocation] = set()  # of those, the ones that may hang
        self._waiting: FairQueue[Hashable, Invocation] = FairQueue()
        self._queue: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()

    @property
    def busy(self) -> int:
        """Number of invocations that wait or execute, abandoned ones included."""
        return len(self._waiting) + self._handed

    def submit(self, invocation: Invocation) -> None:
        """Run the invocation in its key's turn; `done` is told on the host loop."""
        invocation.context = contextvars.copy_context()
        if self._has_room():  # and so nothing waits
            self._hand_over(invocation)
        else:
            self._waiting.push(invocation.key, invocation)

    def abandon(self, invocation: Invocation) -> None:
        """Take a dropped invocation out of the queue, or replace the thread that may hang in it."""
        if self._waiting.remove(invocation.key, invocation):
            return
        # One without a context is not the pool's, or is over.
        if invocation.started_at and invocation.context is not None:
            self._abandoned.add(invocation)
            self._grow()
            self._refill()

    def close(self) -> None:
        """Let every thread end after what it executes; what has not begun never does."""
        self._waiting = FairQueue()
        endings = self._threads
        try:
            while True:
                if self._queue.get_nowait() is None:
                    endings += 1
                else:
                    self._handed -= 1
        except queue.Empty:
            pass
        for _ in range(endings):
            self._queue.put(None)

    @property
    def _allowed(self) -> int:
        return self._size + len(self._abandoned)

    def _has_room(self) -> bool:
        return self._handed < self._allowed + self._size

    def _hand_over(self, invocation: Invocation) -> None:
        self._handed += 1
        self._grow()
        self._queue.put(invocation)

    def _refill(self) -> None:
        while self._waiting and self._has_room():
            self._hand_over(self._waiting.pop())

    def _grow(self) -> None:
        if self._threads < self._allowed and self._threads < self._handed:
            self._threads += 1
            name = f"perdure-call-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def _ended(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        self._left(invocation)
        self._done(invocation, value, error)

    def _left(self, invocation: Invocation) -> None:
        """A thread is through with the invocation, or has passed over a dropped one."""
        invocation.context = None
        self._handed -= 1
        if invocation in self._abandoned:
            self._abandoned.discard(invocation)
            if self._threads > self._allowed:
                self._threads -= 1
                self._queue.put(None)  # the one that came back, or another: one too many
        self._refill()

    def _work(self) -> None:
        while (invocation := self._queue.get()) is not None:
            value: Any = None
            error: BaseException | None = None
            # Before `dropped` is read: whoever drops it from here on gives the pool a thread.
            invocation.started_at = time.time_ns()
            try:
                if invocation.dropped:
                    self._host.call_soon_threadsafe(self._left, invocation)
                    continue
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
            finally:
                del invocation, value, error
