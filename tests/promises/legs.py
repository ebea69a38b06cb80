"""What the tests of runs that wait share: jobs that crash, and actions of every kind.

An action is written once, as a generator that yields what it waits for; `agent_for` makes a
coroutine or a plain action of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

from tests.promises.support import COROUTINE, SECONDS, State, agent_of, config_of

from perdure import Agent, LocalEngine
from perdure.engine.job import Job

Steps = Callable[[Any, Any], Generator[Any, Any, None]]


class _Crash(Exception):
    """Leaves a job with its runs unfinished."""


class Legs:
    """One job that is opened several times, by one process after another as far as can be."""

    def __init__(self, store: str, kind: str = COROUTINE, **config: Any) -> None:
        self._store = store
        self._config = config_of(kind, **config)
        self.engine = LocalEngine(store, config=self._config)

    def _next(self) -> None:
        if self._store != "memory://":
            self.engine = LocalEngine(self._store, config=self._config)

    @contextlib.asynccontextmanager
    async def crashing(self, agent: Any) -> AsyncIterator[Job]:
        """Open the job; when the block is left, drop it in the middle of its runs."""
        try:
            async with self.engine.open(agent) as job:
                yield job
                raise _Crash
        except _Crash:
            State.gate.open, State.leg = True, State.leg + 1
            self._next()

    @contextlib.asynccontextmanager
    async def opened(self, agent: Any) -> AsyncIterator[Job]:
        """Open the job; leaving the block waits for its runs."""
        async with self.engine.open(agent) as job:
            yield job
        self._next()

    def slow_commits(self, seconds: float) -> None:
        """Let each commit take a while, so that what happens meanwhile shares the next."""
        store = self.engine._store
        real = store.commit

        def commit(rows: Any) -> asyncio.Future[None]:
            host = asyncio.get_running_loop()
            slow: asyncio.Future[None] = host.create_future()

            def over(done: asyncio.Future[None]) -> None:
                if slow.done():
                    return
                error = done.exception()
                if error is None:
                    slow.set_result(None)
                else:
                    slow.set_exception(error)

            host.call_later(seconds, lambda: real(rows).add_done_callback(over))
            return slow

        store.commit = commit  # type: ignore[method-assign]

    def quick_commits(self) -> None:
        """Undo `slow_commits`."""
        self.engine._store.__dict__.pop("commit", None)


def action_for(kind: str, steps: Steps) -> Callable[[Any, Any], Any]:
    """Return the action of a kind that does `steps`."""

    async def coroutine(event: Any, ctx: Any) -> None:
        work = steps(event, ctx)
        step = work.send, None
        while True:
            try:
                call = step[0](step[1])
            except StopIteration:
                return
            try:
                step = work.send, await call
            except BaseException as error:
                step = work.throw, error  # type: ignore[assignment]

    def plain(event: Any, ctx: Any) -> None:
        work = steps(event, ctx)
        step = work.send, None
        while True:
            try:
                call = step[0](step[1])
            except StopIteration:
                return
            try:
                step = work.send, call.result()
            except BaseException as error:
                step = work.throw, error  # type: ignore[assignment]

    return coroutine if kind == COROUTINE else plain


def agent_for(kind: str, steps: Steps) -> Agent:
    """Return an agent with one action of the kind, triggered by the input."""
    return agent_of(action_for(kind, steps))


async def until(condition: Callable[[], Any]) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


def go(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run the coroutine of a test."""
    return asyncio.run(asyncio.wait_for(test(), 3 * SECONDS))
