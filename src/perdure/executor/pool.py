"""The fixed pool of threads for plain durable callables.

Its threads are daemons, so neither closing nor interpreter exit waits for a callable that hangs;
`concurrent.futures` would join them.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import time
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from perdure.executor import forks
from perdure.executor.fair_queue import FairQueue
from perdure.executor.threads import ThreadStarter
from perdure.printable import printable_logger

logger = printable_logger("perdure")


class Invocation:
    """One execution of a durable callable, from its start to its outcome or its being dropped.

    Attributes:
        finish: told on the host loop what came of it, unless it was dropped.
        on_start: told on the host loop when it has begun to execute, or would have if the system
            had given a thread: from there on its time counts.
        on_wait: told on the host loop, with what it waits for, when no thread is left that could
            come to it.
        key: whom it is for; the keys take turns on the threads.
        context: the variables that it executes with, its own.
        started_at: when that was, ns since the epoch; 0 before.
        dropped: nobody waits for it any more.
    """

    __slots__ = (
        "args", "context", "dropped", "finish", "func", "key", "kwargs", "on_start", "on_wait",
        "started_at", "task",
    )  # fmt: skip

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        finish: Finish,
        context: contextvars.Context,
    ) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.finish = finish
        self.on_start: Callable[[Invocation], None] | None = None
        self.on_wait: Callable[[str], None] | None = None
        self.key: Hashable = None
        self.started_at = 0
        self.dropped = False
        self.context = context
        self.task: asyncio.Task[None] | None = None


class PoolUsage(NamedTuple):
    """How many invocations execute, wait for a thread, and hang in one that nobody waits for."""

    size: int
    executing: int
    waiting: int
    abandoned: int


Finish = Callable[[Invocation, Any, BaseException | None], None]


class ThreadPool:
    """Runs invocations on at most `size` threads, besides those that hang in abandoned ones.

    Owns: the threads, started on demand; a fair queue of what waits for its key's turn; a plain
    one of what has been handed to the threads. As much again as can execute is handed over, so
    that a thread need not wait for the host loop between two short invocations.

    Where the system refuses a thread, it goes on with those that it has and asks again later; where
    all of these hang, what waits is told that it would have begun, so that its timeout counts.

    Lifecycle: on the host loop's thread but for `_work`; `close` lets the threads end when they are
    idle and forgets what has not begun. Nothing is submitted after that.

    Args:
        size: threads that may execute at the same time.
        done: told on the host loop what came of an invocation.
        max_abandoned: threads that may hang in dropped invocations besides; beyond it, what is
            submitted waits until one of them ends.
        now: wall-clock time, ns since the epoch.
    """

    _kept: list[Invocation] | None = None  # while held: what was taken back from the threads

    def __init__(
        self,
        size: int,
        done: Finish,
        *,
        max_abandoned: int | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._host = asyncio.get_running_loop()
        self._done = done
        self._size = size
        self._max_abandoned = 4 * size if max_abandoned is None else max_abandoned
        self._now = now
        self._threads = 0
        self._handed: dict[Invocation, None] = {}  # to the threads, and not over
        self._abandoned: set[Invocation] = set()  # of those, the ones that may hang
        self._waiting: FairQueue[Hashable, Invocation] = FairQueue()
        self._queue: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._starter = ThreadStarter(self._host, self._grow_again)
        self._exhausted = False  # as many threads hang as may
        self._stuck = False  # for either reason no thread is left but those that hang

    @property
    def usage(self) -> PoolUsage:
        """What its threads do at this moment."""
        executing = sum(1 for each in self._handed if each.started_at)
        hanging = len(self._abandoned)
        return PoolUsage(self._size, executing - hanging, self.busy - executing, hanging)

    @property
    def busy(self) -> int:
        """Number of invocations that wait or execute, abandoned ones included."""
        return len(self._waiting) + len(self._handed)

    def submit(self, invocation: Invocation) -> None:
        """Run the invocation in its key's turn; `done` is told on the host loop."""
        if self._has_room():  # and so nothing waits
            self._hand_over(invocation)
        else:
            self._waiting.push(invocation.key, invocation)
        if self._stuck:
            self._inform(invocation)

    def abandon(self, invocation: Invocation) -> None:
        """Take a dropped invocation out of the queue, or replace the thread that may hang in it."""
        if self._waiting.remove(invocation.key, invocation):
            return
        if invocation.started_at and invocation in self._handed:  # else not the pool's, or over
            self._abandoned.add(invocation)
            self._note_exhausted()
            self._grow()
            self._refill()
            self._note_stuck()

    def hold(self) -> None:
        """Begin nothing until `let_go`: what no thread has taken yet is taken back."""
        self._kept = kept = self._kept or []
        endings = 0
        try:
            while True:
                invocation = self._queue.get_nowait()
                if invocation is None:
                    endings += 1
                else:
                    kept.append(invocation)
        except queue.Empty:
            pass
        for _ in range(endings):
            self._queue.put(None)

    def let_go(self) -> None:
        """Begin what was held, and what has come since."""
        kept, self._kept = self._kept or [], None
        for invocation in kept:
            self._queue.put(invocation)
        self._refill()

    def close(self) -> None:
        """Let every thread end after what it executes; what has not begun never does."""
        self._waiting = FairQueue()
        self._starter.close()
        endings = self._threads
        try:
            while True:
                invocation = self._queue.get_nowait()
                if invocation is None:
                    endings += 1
                else:
                    del self._handed[invocation]
        except queue.Empty:
            pass
        for _ in range(endings):
            self._queue.put(None)

    @property
    def _allowed(self) -> int:
        return self._size + min(len(self._abandoned), self._max_abandoned)

    def _has_room(self) -> bool:
        return self._kept is None and len(self._handed) < self._allowed + self._size

    def _hand_over(self, invocation: Invocation) -> None:
        self._handed[invocation] = None
        self._grow()
        self._queue.put(invocation)

    def _refill(self) -> None:
        while self._waiting and self._has_room():
            self._hand_over(self._waiting.pop())

    def _grow(self) -> None:
        if self._threads >= self._allowed or self._threads >= len(self._handed):
            return
        refusal = (
            "the system refuses a thread for plain calls (%s): going on with"
            f" {self._threads}; allow the process more threads, or set num-async-threads lower"
        )
        name = f"perdure-call-{self._threads + 1}"
        if self._starter.start(self._work, name, refusal=refusal):
            self._threads += 1
            self._stuck = False
        else:
            self._note_stuck()

    # What waits where no thread can be had

    def _grow_again(self) -> None:
        self._grow()
        self._note_stuck()

    def _note_exhausted(self) -> None:
        exhausted = len(self._abandoned) >= self._max_abandoned + self._size
        if exhausted and not self._exhausted:
            logger.warning("plain calls wait for %s", self._hanging())
        self._exhausted = exhausted

    def _hanging(self) -> str:
        return (
            f"a thread: {len(self._abandoned)} hang in calls that timed out or were cancelled"
            " (max-abandoned-threads)"
        )

    def _note_stuck(self) -> None:
        stuck = (self._starter.refused or self._exhausted) and self._threads <= len(self._abandoned)
        if stuck and not self._stuck:
            for invocation in (*self._handed, *self._waiting):
                self._inform(invocation)
        self._stuck = stuck

    def _inform(self, invocation: Invocation) -> None:
        """Tell an invocation that no thread will come to it, if it has not begun."""
        if invocation.started_at or invocation.dropped:
            return
        on_wait, invocation.on_wait = invocation.on_wait, None
        if on_wait is not None:
            on_wait(self._hanging() if self._exhausted else "a thread, which the system refuses")
        if not self._exhausted:
            on_start, invocation.on_start = invocation.on_start, None
            if on_start is not None:
                on_start(invocation)

    # An invocation's end

    def _ended(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        self._left(invocation)
        self._done(invocation, value, error)

    def _left(self, invocation: Invocation) -> None:
        """A thread is through with the invocation, or has passed over a dropped one."""
        self._handed.pop(invocation, None)
        if invocation in self._abandoned:
            self._abandoned.discard(invocation)
            self._exhausted = self._stuck = False
            if self._threads > self._allowed:
                self._threads -= 1
                self._queue.put(None)  # the one that came back, or another: one too many
        self._refill()

    def _work(self) -> None:
        process = forks.process
        while (invocation := self._queue.get()) is not None:
            value: Any = None
            error: BaseException | None = None
            # Before `dropped` is read: whoever drops it from here on gives the pool a thread.
            invocation.started_at = self._now()
            try:
                if invocation.dropped:
                    self._host.call_soon_threadsafe(self._left, invocation)
                    continue
                on_start = invocation.on_start
                if on_start is not None:
                    self._host.call_soon_threadsafe(on_start, invocation)
                try:
                    value = invocation.context.run(
                        invocation.func, *invocation.args, **invocation.kwargs
                    )
                except BaseException as raised:
                    error = raised
                if process is not forks.process:
                    forks.end_child()
                self._host.call_soon_threadsafe(self._ended, invocation, value, error)
            except RuntimeError:
                return  # the host loop is closed: nobody waits for the result
            finally:
                # A thread at rest holds on to nothing of what it has done.
                del invocation, value, error
                on_start = None
