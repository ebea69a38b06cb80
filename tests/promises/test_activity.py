"""What a run says that it does is seen live, and kept over a restart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.legs import Legs, agent_for, all_wait, go, in_memory, until
from tests.promises.support import COROUTINE, SECONDS, State, echo, hold

from perdure import Agent, InputEvent, RunStatus
from perdure.engine.job import Run
from perdure.errors import EncodeError


def told(event: Any, ctx: Any) -> Any:
    ctx.set_status({"step": 1})
    yield ctx.durable_execute_async(echo, 1, 0.01)
    ctx.set_status({"step": 2})
    yield ctx.wait_for_signal("x")
    ctx.set_status({"step": 3})
    yield ctx.durable_execute_async(hold)


def notes(legs: Legs, run_: Run) -> list[Any]:
    """Return what the journal has of a run's own words."""
    from perdure.journal.record import RecordKind
    from perdure.operate.history import History

    with History.of(legs.engine._store) as history:
        number = legs.engine.run_info(run_.id).number
        records = history.wait(history.awaited.view.records(number))
        decode = history.awaited.codec.decode
        return [decode(r.payload) for r in records if r.kind == RecordKind.NOTE]


def test_a_status_is_seen_live_and_in_the_store(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent_for(kind, told)) as job:
            run_ = await job.submit({}, key="a", id=1)
            assert run_.activity in (None, {"step": 1})
            await until(lambda: run_.activity == {"step": 2})
            await until(lambda: run_.status is RunStatus.WAITING)
            await until(lambda: notes(legs, run_) == [{"step": 1}, {"step": 2}])
            await run_.signal("x")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            assert run_.activity == {"step": 3}

    go(test)


def test_a_status_is_not_repeated_on_replay_and_is_kept_over_a_restart(
    kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = agent_for(kind, told)
        for _ in range(2):
            async with legs.crashing(agent) as job:
                run_ = await job.submit({}, key="a", id=1)
                await until(lambda run_=run_: run_.status is RunStatus.WAITING)
                assert run_.activity == {"step": 2}
            assert notes(legs, run_) == [{"step": 1}, {"step": 2}]
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x")
            await run_.wait()
            assert notes(legs, run_) == [{"step": 1}, {"step": 2}, {"step": 3}]

    go(test)


def test_a_status_of_a_completed_action_is_kept_over_a_restart(store: str) -> None:
    async def says(event: Any, ctx: Any) -> None:
        ctx.set_status("said")

    async def waits(event: Any, ctx: Any) -> None:
        await ctx.wait_for_signal("x")

    agent = Agent().add_action("one", [InputEvent], says).add_action("two", [InputEvent], waits)

    async def test() -> None:
        legs = Legs(store)
        for _ in range(2):
            async with legs.crashing(agent) as job:
                run_ = await job.submit({}, key="a", id=1)
                await until(lambda run_=run_: run_.status is RunStatus.WAITING)
                assert run_.activity == "said"
                assert notes(legs, run_) == ["said"]

    go(test)


def test_a_status_said_right_before_leaving_memory_is_kept(store: str) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=1)
        async with legs.crashing(agent_for(COROUTINE, told)) as job:
            runs = [await job.submit({}, key=n, id=n) for n in range(3)]
            await all_wait(runs)
            await until(lambda: in_memory(job) == 1)
            kept = [notes(legs, run_)[-1] for run_ in runs]
            assert kept.count({"step": 2}) >= 2  # of those that have left
            for run_ in runs:
                assert run_.activity == {"step": 2}

    go(test)


def test_a_status_that_cannot_be_kept_is_refused(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        with pytest.raises(EncodeError):
            ctx.set_status(object())
        yield ctx.sleep(0)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a")
            assert await run_.wait() is RunStatus.COMPLETED

    go(test)
