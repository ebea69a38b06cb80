"""A retry of a run that a timeout has ended begins that timeout anew (G1, G10)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.legs import until
from tests.promises.support import (
    SECONDS,
    State,
    agent_of,
    echo,
    hold,
    out,
    values,
)

from perdure import InputEvent, LocalEngine, RunnerContext, RunStatus

SHORT = 0.02


async def signal(event: InputEvent, ctx: RunnerContext) -> None:
    out(ctx, await ctx.wait_for_signal("go", timeout=limit()))


async def approval(event: InputEvent, ctx: RunnerContext) -> None:
    out(ctx, (await ctx.wait_for_approval("go", timeout=limit())).approved)


async def block(event: InputEvent, ctx: RunnerContext) -> None:
    async with asyncio.timeout(limit()):
        out(ctx, await ctx.wait_for_signal("go"))


async def awaited(event: InputEvent, ctx: RunnerContext) -> None:
    await ctx.durable_execute_async(echo, "before")
    out(ctx, await asyncio.wait_for(ctx.wait_for_signal("go"), limit()))


def plain(event: InputEvent, ctx: RunnerContext) -> None:
    out(ctx, ctx.wait_for_signal("go", timeout=limit()).result())


def limit() -> float:
    """As an edited agent has it: the second leg is not to depend on how fast the machine is."""
    return SHORT if State.leg == 1 else 10 * SECONDS


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("action", [signal, approval, block, awaited, plain])
def test_a_wait_that_ended_a_run_is_waited_again(action: Any, reopened: bool, sqlite: str) -> None:
    async def test() -> None:
        engine = LocalEngine(sqlite)
        job = await engine.start(agent_of(action))
        run = await job.submit(1, key="k")
        assert await run.wait() is RunStatus.FAILED
        State.leg = 2
        if reopened:
            await job.close()
            job = await engine.start(agent_of(action))
            run = job.run(run.id)
        assert await job.retry(run)
        await until(lambda: run.status is RunStatus.WAITING)
        await run.signal("go", True)
        assert values(await run.outputs()) == [True]
        assert State.calls == (["before"] if action is awaited else [])
        await job.close()

    asyncio.run(asyncio.wait_for(test(), 3 * SECONDS))


async def several(event: InputEvent, ctx: RunnerContext) -> None:
    async with asyncio.timeout(limit()):
        first = await ctx.durable_execute_async(echo, "first")
        second = await ctx.durable_execute_async(echo, "second")
        out(ctx, [first, second, await ctx.durable_execute_async(hold)])


def several_plain(event: InputEvent, ctx: RunnerContext) -> None:
    first = ctx.durable_execute_async(echo, "first").result()
    second = ctx.durable_execute_async(echo, "second").result()
    out(ctx, [first, second, ctx.durable_execute_async(hold).result(timeout=limit())])


@pytest.mark.parametrize("action", [several, several_plain])
def test_what_succeeded_under_the_timeout_is_not_done_again(action: Any, store: str) -> None:
    async def test() -> None:
        async with LocalEngine(store).open(agent_of(action)) as job:
            run = await job.submit(1, key="k")
            with pytest.raises(TimeoutError):
                await run.outputs()
            State.leg = 2
            State.gate.release()
            assert await job.retry(run)
            assert values(await run.outputs()) == [["first", "second", "held"]]
        assert State.calls == ["first", "second"]

    asyncio.run(asyncio.wait_for(test(), 3 * SECONDS))


async def times_out_once(event: InputEvent, ctx: RunnerContext) -> None:
    State.calls.append("begun")
    async with asyncio.timeout(SHORT if len(State.calls) == 1 else SECONDS):
        out(ctx, await ctx.durable_execute_async(hang_once))


async def hang_once() -> str:
    State.calls.append("called")
    if State.calls.count("called") == 1:
        await asyncio.Event().wait()
    return "done"


def test_the_strategy_makes_the_call_again_that_a_timeout_cut_short(store: str) -> None:
    config = {"error-handling-strategy": "retry", "max-retries": 1, "retry-wait-interval": 0.0}
    done = LocalEngine(store, config=config).run(agent_of(times_out_once), [1], key=str)
    assert values(done) == ["done"]
    assert State.calls == ["begun", "called"] * 2


async def sleeps(event: InputEvent, ctx: RunnerContext) -> None:
    State.calls.append("begun")
    await ctx.sleep(SHORT)
    raise ValueError("after the sleep")


async def gives_up(event: InputEvent, ctx: RunnerContext) -> None:
    State.calls.append("begun")
    try:
        await ctx.wait_for_signal("go", timeout=SHORT)
    except TimeoutError:
        await ctx.durable_execute_async(echo, "clean")
        raise


@pytest.mark.parametrize("action", [sleeps, gives_up])
def test_a_timer_that_did_not_end_the_action_is_not_begun_anew(action: Any, store: str) -> None:
    async def test() -> None:
        async with LocalEngine(store).open(agent_of(action)) as job:
            run = await job.submit(1, key="k")
            assert await run.wait() is RunStatus.FAILED
            assert await job.retry(run)
            assert await run.wait() is RunStatus.FAILED
            with job.machinery.view() as history:
                (of_action,) = history.detail(history.choose_job(None), run.id).actions
        assert len(of_action.timers) == 1
        cleaned = ["clean"] if action is gives_up else []
        assert State.calls == ["begun", *cleaned, "begun"]

    asyncio.run(asyncio.wait_for(test(), SECONDS))
