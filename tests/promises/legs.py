"""What the tests of runs that wait share: jobs that crash, actions of every kind, and waits.

An action is written once, as a generator that yields what it waits for; `agent_for` makes a
coroutine or a plain action of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from typing import Any

from tests.inside import executions_of
from tests.promises.support import (
    COROUTINE,
    PLAIN,
    SECONDS,
    TURNS,
    State,
    agent_of,
    config_of,
    echo,
    out,
    values,
)

from perdure import Agent, LocalEngine, RunStatus
from perdure.engine.job import Job, Run
from perdure.journal.record import Record, RecordKind
from perdure.run import STATUS_NUMBERS
from perdure.store.base import ActionStateStore, Row, StatusRow

# Without continuations plain actions go one at a time: one that waits for another's outputs would
# wait for ever, so the tests that do so leave that out.
KINDS = [COROUTINE, PLAIN]

Steps = Callable[[Any, Any], Generator[Any, Any, None]]


class _Crash(Exception):
    """Leaves a job with its runs unfinished."""


class Legs:
    """One job that is opened several times, by one process after another as far as can be."""

    def __init__(self, store: str, kind: str = COROUTINE, **config: Any) -> None:
        self._store = store
        self._config = config_of(kind, **config)
        self.engine = self._made()

    def _made(self) -> LocalEngine:
        engine = LocalEngine(self._store, config=self._config)
        # A commit has all its rows when a test looks at it, holds or fails it, from the first on.
        engine._store.takes_late = False
        return engine

    def _next(self) -> None:
        if self._store != "memory://":
            self.engine = self._made()

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
            over = functools.partial(_answer, slow)
            host.call_later(seconds, lambda: real(rows).add_done_callback(over))
            return slow

        store.commit = commit  # type: ignore[method-assign]

    def hold_commits(self, wanted: Callable[[Sequence[Row]], bool] = lambda rows: True) -> Held:
        """Hold the next commit whose rows are wanted, and all behind it, until it is released."""
        return Held(self.engine._store, wanted)

    def quick_commits(self) -> None:
        """Undo `slow_commits`, and `hold_commits` where nothing is held."""
        self.engine._store.__dict__.pop("commit", None)


class Held:
    """Commits that the test holds: the first that is wanted, and all behind it.

    Attributes:
        reached: a commit is held.
    """

    def __init__(self, store: ActionStateStore, wanted: Callable[[Sequence[Row]], bool]) -> None:
        self.reached = asyncio.Event()
        self._wanted = wanted
        self._store = store
        self._real = store.commit
        self._held: list[tuple[Sequence[Row], asyncio.Future[None]]] = []
        store.commit = self._commit  # type: ignore[method-assign]

    def _commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        if not (self._held or self._wanted(rows)):
            return self._real(rows)
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append((rows, held))
        self.reached.set()
        return held

    async def is_reached(self) -> None:
        """Return when a commit is held."""
        await asyncio.wait_for(self.reached.wait(), SECONDS)

    async def settled(self) -> None:
        """Return when all has happened that can while the commit is held."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def release(self) -> None:
        """Make what is held, and hold nothing any more."""
        self._store.commit = self._real  # type: ignore[method-assign]
        for rows, held in self._held:
            self._real(rows).add_done_callback(functools.partial(_answer, held))
        self._held = []


def _answer(held: asyncio.Future[None], done: asyncio.Future[None]) -> None:
    if held.done():
        return
    if (error := done.exception()) is None:
        held.set_result(None)
    else:
        held.set_exception(error)


def has_kind(kind: RecordKind) -> Callable[[Sequence[Row]], bool]:
    """Return what says of a commit's rows whether a record of the kind is among them."""
    return lambda rows: any(isinstance(row, Record) and row.kind == kind for row in rows)


def has_status(status: RunStatus) -> Callable[[Sequence[Row]], bool]:
    """Return what says of a commit's rows whether a run gets the status by one of them."""
    number = STATUS_NUMBERS[status]
    return lambda rows: any(isinstance(row, StatusRow) and row.status == number for row in rows)


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


def waits_for(*names: str) -> Any:
    """Return steps that wait for signals, one after another."""

    def steps(event: Any, ctx: Any) -> Any:
        taken = []
        for name in names:
            taken.append((yield ctx.wait_for_signal(name)))
        out(ctx, taken)

    return steps


def family(kind: str, parent: Any) -> Agent:
    """Return an agent whose runs are children, but for that of the key "parent"."""

    def steps(event: Any, ctx: Any) -> Any:
        if ctx.key == "parent":
            yield from parent(event, ctx)
        else:
            State.calls.append(event.input)
            if event.input == "fail":
                raise LookupError("the child failed")
            if event.input == "wait":
                yield ctx.wait_for_signal("x")
            yield ctx.durable_execute_async(echo, event.input, 0.01)
            out(ctx, ["child", event.input])

    return agent_for(kind, steps)


def children_of(legs: Legs) -> list[Any]:
    """Return the inputs of the runs that are not the parent's, oldest first."""
    return [info.input for info in legs.engine.runs()[::-1] if info.key != "parent"]


async def results(run_: Run) -> list[Any]:
    """Return what a run sent out, in the time that everything may take."""
    return values(await asyncio.wait_for(run_.outputs(), SECONDS))


async def stuck() -> None:
    """Wait until the first leg has reached its crash."""
    await asyncio.wait_for(State.gate.reached.wait(), SECONDS)


def in_memory(job: Job) -> int:
    """Return how many runs of the job are in memory."""
    return len(executions_of(job))


async def all_wait(runs: list[Run]) -> None:
    """Wait until all the runs wait."""
    await until(lambda: all(run_.status is RunStatus.WAITING for run_ in runs))


async def until(condition: Callable[[], Any]) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


def go(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run the coroutine of a test."""
    return asyncio.run(asyncio.wait_for(test(), 3 * SECONDS))
