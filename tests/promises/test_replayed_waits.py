"""A wait goes on while its action is replayed: those who look from outside see it all the time."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.promises.legs import Legs, agent_for, go, in_memory, results, stuck, until
from tests.promises.support import OFF, SECONDS, Gate, State, agent_of, echo, hold, out

from perdure import LocalEngine, RunStatus


class Door:
    """Where the thread of a plain action stands still while it is replayed (G19)."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()
        self._opened.set()

    def pass_through(self) -> None:
        """Called by the action: go on once the door is open."""
        self.reached.set()
        assert self._opened.wait(SECONDS), "nobody opened the door"

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Let nobody through in the block."""
        self.reached.clear()
        self._opened.clear()
        try:
            yield
        finally:
            self._opened.set()


@pytest.fixture
def door() -> Door:
    """The door that the action of the test goes through."""
    return Door()


def asks_behind(door: Door, *, has_call: bool) -> Any:
    """Return an agent that asks for two approvals, perhaps with an outcome before the first."""

    def asks(event: Any, ctx: Any) -> None:
        said = [ctx.durable_execute_async(echo, "x").result()] if has_call else []
        door.pass_through()
        for name in ("refund", "goodwill"):
            said.append(bool(ctx.wait_for_approval(name).result()))
        out(ctx, said)

    return agent_of(asks)


def told(engine: LocalEngine) -> list[str]:
    return [wait.name for wait in engine.waits()]


has_call = pytest.mark.parametrize("has_call", [False, True], ids=["at once", "behind a call"])


@has_call
def test_g27_a_signal_of_another_name_leaves_a_wait_open(
    has_call: bool, door: Door, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, OFF)
        async with legs.opened(asks_behind(door, has_call=has_call)) as job:
            run = await job.submit({}, key="a")
            # It has left memory: without continuations it would be in the way of others.
            await until(lambda: told(legs.engine) == ["refund"] and not in_memory(job))
            (since,) = (wait.since for wait in run.waits)
            with door.closed():
                assert await run.signal("other")  # brings it back
                await until(door.reached.is_set)
                assert await run.signal("another")  # what was written before it is durable now
                assert told(legs.engine) == [wait.name for wait in run.waits] == ["refund"]
                assert await run.approve() == "refund"
            await until(lambda: told(legs.engine) == ["goodwill"])
            assert run.waits[0].since > since
            await run.approve(approved=False)
            assert await results(run) == [[*(["x"] if has_call else []), True, False]]
        assert told(legs.engine) == []

    go(test)


@has_call
def test_g27_a_wait_goes_on_after_a_crash(has_call: bool, door: Door, sqlite: str) -> None:
    async def test() -> None:
        legs = Legs(sqlite, OFF)
        agent = asks_behind(door, has_call=has_call)
        async with legs.crashing(agent) as job:
            run = await job.submit({}, key="a")
            await until(lambda: told(legs.engine) == ["refund"])
            since = run.waits[0].since
        closed = contextlib.ExitStack()
        closed.enter_context(door.closed())
        async with legs.opened(agent) as job:
            with closed:
                await until(door.reached.is_set)
                # Durable, so that what was written before it is.
                await (await job.submit({}, key="a")).cancel()
                (wait,) = legs.engine.waits()
                assert (wait.name, wait.since) == ("refund", since)
                assert await job.approve(run.id) == "refund"
            await until(lambda: told(legs.engine) == ["goodwill"])
            await job.approve(run.id)
        assert legs.engine.run_info(run.id).status is RunStatus.COMPLETED
        assert told(legs.engine) == []

    go(test)


def test_g27_what_is_no_wait_any_more_is_taken_back_with_the_next_call(
    kind: str, sqlite: str
) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        yield ctx.wait_for_signal("go")
        out(ctx, (yield ctx.durable_execute_async(hold)))

    async def test() -> None:
        legs = Legs(sqlite, kind)
        async with legs.crashing(agent_for(kind, steps)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: told(legs.engine) == ["go"])
            with contextlib.closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"))) as db:
                (row,) = db.execute("SELECT * FROM wait").fetchall()
            await run.signal("go")
            await stuck()
            await until(lambda: told(legs.engine) == [])
        with contextlib.closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"))) as db, db:
            # As if the process had died between the signal and the end of its wait.
            db.execute(f"INSERT INTO wait VALUES ({', '.join('?' * len(row))})", row)
        assert told(legs.engine) == ["go"]
        State.gate = Gate()
        async with legs.opened(agent_for(kind, steps)) as job:
            await stuck()
            await until(lambda: told(legs.engine) == [])
            State.gate.release()

    go(test)
