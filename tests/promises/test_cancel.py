"""G10: a cancellation is a settlement: it hits the same place again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from tests.inside import executions_of
from tests.promises.clock import HOUR, Clock
from tests.promises.support import (
    SECONDS,
    State,
    agent_of,
    config_of,
    echo,
    hold,
    out,
    pick,
)

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, RunStatus, action
from perdure.runtime.run.time_out import time_out


async def long() -> None:
    State.calls.append("long")
    State.gate.reached.set()
    await asyncio.sleep(60)


async def stubborn(event: Any, ctx: Any) -> None:
    where = "one"
    try:
        await ctx.durable_execute_async(echo, "one")
        where = "two"
        await ctx.durable_execute_async(echo, "two")
        where = "long"
        await ctx.durable_execute_async(long)
    except asyncio.CancelledError:
        State.calls.append(f"cancelled in {where}")
        await ctx.durable_execute_async(echo, "clean up")
        await ctx.durable_execute_async(hold)
        raise


def stubborn_plain(event: Any, ctx: Any) -> None:
    where = "one"
    try:
        ctx.durable_execute_async(echo, "one").result()
        where = "two"
        ctx.durable_execute_async(echo, "two").result()
        where = "long"
        ctx.durable_execute_async(long).result()
    except asyncio.CancelledError:
        State.calls.append(f"cancelled in {where}")
        ctx.durable_execute_async(echo, "clean up").result()
        ctx.durable_execute_async(hold).result()
        raise


async def cleans_up(event: Any, ctx: Any) -> None:
    try:
        await ctx.durable_execute_async(long)
    finally:
        await ctx.durable_execute_async(hold)
        await ctx.sleep(0.01)
        await ctx.durable_execute_async(echo, "clean")


def cleans_up_plain(event: Any, ctx: Any) -> None:
    try:
        ctx.durable_execute_async(long).result()
    finally:
        ctx.durable_execute_async(hold).result()
        ctx.sleep(0.01).result()
        ctx.durable_execute_async(echo, "clean").result()


async def cancel_crash_resume(agent: Agent, store: str, config: dict[str, Any]) -> RunStatus:
    engine = LocalEngine(store, config=config)
    with contextlib.suppress(LookupError):
        async with engine.open(agent) as job:
            run_ = await job.submit({}, key="a")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            State.gate.reached.clear()
            await run_.cancel()
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            await asyncio.sleep(0.02)
            raise LookupError
    State.gate.open = True
    again = engine if store == "memory://" else LocalEngine(store, config=config)
    async with again.open(agent):
        pass
    return again.run_info(run_.id).status


def test_g10_a_cancellation_hits_the_same_place_after_a_crash(kind: str, store: str) -> None:
    agent = pick(kind, stubborn, stubborn_plain)
    status = asyncio.run(cancel_crash_resume(agent, store, config_of(kind)))
    assert status is RunStatus.CANCELLED
    once = ["one", "two", "long", "cancelled in long", "clean up"]
    assert State.calls == [*once, "cancelled in long"]


async def synchronous(event: Any, ctx: Any) -> None:
    try:
        async with asyncio.timeout(HOUR):
            ctx.durable_execute(long)
    except asyncio.CancelledError:
        State.calls.append("cancelled in long")
        await ctx.durable_execute_async(echo, "clean up")
        ctx.durable_execute(hold)
        raise


async def synchronous_in_a_task(event: Any, ctx: Any) -> None:
    async def part() -> None:
        try:
            ctx.durable_execute(long)
        finally:
            State.calls.append("cancelled in long")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(part())
    except asyncio.CancelledError:
        await ctx.durable_execute_async(echo, "clean up")
        await ctx.durable_execute_async(hold)
        raise


@pytest.mark.parametrize("action", [synchronous, synchronous_in_a_task])
def test_g10_a_synchronous_call_of_a_coroutine_action_is_cancelled_with_it(
    action: Any, store: str
) -> None:
    status = asyncio.run(cancel_crash_resume(agent_of(action), store, {}))
    assert status is RunStatus.CANCELLED
    assert State.calls == ["long", "cancelled in long", "clean up", "cancelled in long"]


def test_g10_so_is_it_by_the_runs_timeout(store: str, clock: Clock) -> None:
    async def go() -> RunStatus:
        engine = LocalEngine(store, config={"run-timeout": HOUR})
        async with engine.open(agent_of(synchronous)) as job:
            run_ = await job.submit({}, key="a")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            State.gate.open = True
            clock.forward(HOUR)
            await asyncio.wait_for(run_.wait(), SECONDS)
        return engine.run_info(run_.id).status

    assert asyncio.run(go()) is RunStatus.FAILED
    assert State.calls == ["long", "cancelled in long", "clean up"]


class Two(Agent):
    """Two actions that both wait; what they did is not to be seen."""

    @action(InputEvent)
    async def first(self, event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output="never"))
        ctx.short_term_memory.set("never", 1)
        await ctx.sleep(3600)

    @action(InputEvent)
    async def second(self, event: Any, ctx: Any) -> None:
        ctx.send_event(Event(type="next", attributes={}))
        with contextlib.suppress(asyncio.CancelledError):
            State.gate.reached.set()
            await ctx.sleep(3600)
        ctx.short_term_memory.set("graceful", 1)

    @action("next")
    async def third(self, event: Any, ctx: Any) -> None:
        State.calls.append("third")


def test_g10_what_a_cancelled_action_did_is_not_seen(store: str) -> None:
    async def reads(event: Any, ctx: Any) -> None:
        names = sorted(ctx.short_term_memory.get_field_names())
        out(ctx, names)

    async def go() -> list[Any]:
        engine = LocalEngine(store)
        async with engine.open(Two()) as job:
            run_ = await job.submit({}, key="a")
            await State.gate.reached.wait()
            await run_.cancel()
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED
        async with engine.open(agent_of(reads)) as job:
            run_ = await job.submit({}, key="a")
            return [output.value for output in await run_.outputs()]

    # An action that ended of itself when asked to stop has completed.
    assert asyncio.run(go()) == [["graceful"]]
    assert State.calls == []


@pytest.mark.parametrize("times", [3])
def test_g10_cancelling_again_is_harmless(kind: str, times: int, store: str) -> None:
    agent = pick(kind, stubborn, stubborn_plain)
    State.gate.open = True

    async def go() -> RunStatus:
        async with LocalEngine(store, config=config_of(kind)).open(agent) as job:
            run_ = await job.submit({}, key="a")
            while "long" not in State.calls:
                await asyncio.sleep(0.005)
            await asyncio.gather(*(run_.cancel() for _ in range(times)))
            return await asyncio.wait_for(run_.wait(), SECONDS)

    assert asyncio.run(go()) is RunStatus.CANCELLED


@pytest.mark.parametrize("again", ["cancel", "job.cancel", "run-timeout", "in another life"])
def test_g10_an_action_is_asked_once_and_its_cleanup_is_left_to_it(
    again: str, kind: str, store: str
) -> None:
    agent = pick(kind, cleans_up, cleans_up_plain)

    async def go() -> RunStatus:
        engine = LocalEngine(store, config=config_of(kind))
        with contextlib.suppress(LookupError):
            async with engine.open(agent) as job:
                run_ = await job.submit({}, key="a", id="a")
                await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
                State.gate.reached.clear()
                assert await run_.cancel()
                await asyncio.wait_for(State.gate.reached.wait(), SECONDS)  # it cleans up
                if again == "cancel":
                    assert await run_.cancel()
                elif again == "job.cancel":
                    assert await job.cancel(run_.id)
                elif again == "run-timeout":
                    (execution,) = executions_of(job)
                    await time_out(execution)  # as when its time is over
                else:
                    raise LookupError
                State.gate.release()
                return await asyncio.wait_for(run_.wait(), SECONDS)
        State.gate.reached.clear()
        async with engine.open(agent) as job:
            run_ = job.run(run_.id)
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            assert await run_.cancel()
            State.gate.release()
            return await asyncio.wait_for(run_.wait(), SECONDS)

    assert asyncio.run(go()) is RunStatus.CANCELLED
    assert State.calls == ["long", "clean"]
