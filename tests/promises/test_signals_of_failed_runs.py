"""G6, G7, G10: signals of runs that fail, are retried or cancelled, or take another way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.legs import KINDS, Legs, agent_for, go, results, stuck, until
from tests.promises.support import SECONDS, State, echo, hold, out

from perdure import RunStatus
from perdure.errors import NonDeterminismError

# Failures, retries, cancellation


def test_g6_a_retried_run_gets_the_signals_that_its_failure_cut(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        first = yield ctx.wait_for_signal("x")
        try:
            yield ctx.durable_execute_async(fails_once)
        except LookupError:
            State.calls.append("failed")
        second = yield ctx.wait_for_signal("x")
        if State.leg == 1:
            raise LookupError(second)
        out(ctx, [first, second])

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 1)
            await run_.signal("x", 2)
            assert await run_.wait() is RunStatus.FAILED
            State.leg = 2
            legs.engine.retry(run_.id)
            await until(lambda: legs.engine.run_info(run_.id).status is RunStatus.COMPLETED)
            again = await job.submit({}, key="a", id=1)
            assert await results(again) == [[1, 2]]

    go(test)
    assert State.calls == ["failed"]


async def fails_once() -> str:
    if State.leg == 1:
        raise LookupError
    return "fine"


def test_g6_runs_that_are_retried_by_themselves_keep_their_signals(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        first = yield ctx.wait_for_signal("x")
        yield ctx.durable_execute_async(fails_once)
        out(ctx, [first, (yield ctx.wait_for_signal("x"))])

    async def test() -> None:
        config = {"error_handling_strategy": "retry", "retry_wait_interval": 0.2}
        legs = Legs(store, kind, **config)
        async with legs.opened(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 1)
            await until(lambda: job.progress.retries)
            State.leg = 2
            await run_.signal("x", 2)
            assert await results(run_) == [[1, 2]]

    go(test)


def cleans_up(event: Any, ctx: Any) -> Any:
    try:
        yield ctx.wait_for_signal("x")
    finally:
        # As calls: when a run leaves memory its code leaves this block too, and makes none.
        yield ctx.durable_execute_async(echo, "finally")
        yield ctx.durable_execute_async(echo, "cleaned")


def test_g10_a_cancelled_run_that_waits_cleans_up(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, cleans_up)) as job:
            run_ = await job.submit({}, key="a")
            await until(lambda: run_.status is RunStatus.WAITING)
            assert await run_.cancel()
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED
            assert not await run_.signal("x")

    go(test)
    assert State.calls == ["finally", "cleaned"]


# Divergence


def test_g7_an_action_that_no_longer_waits_for_what_it_took_fails(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        name = "x" if State.leg == 1 else "y"
        yield ctx.wait_for_signal(name)
        yield ctx.durable_execute_async(hold)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 1)
            await stuck()
        async with legs.opened(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id=1)
            with pytest.raises(NonDeterminismError, match="signal 'x'"):
                await results(run_)

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g7_reexecute_puts_the_signals_back_that_it_cuts(kind: str, store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        yield ctx.durable_execute_async(echo, State.leg)
        first = yield ctx.wait_for_signal("x")
        yield ctx.durable_execute_async(hold)
        out(ctx, [first, (yield ctx.wait_for_signal("x"))])

    async def test() -> None:
        legs = Legs(store, kind, on_divergence="reexecute")
        async with legs.crashing(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 1)
            await stuck()
        async with legs.opened(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 2)
            assert await results(run_) == [[1, 2]]

    go(test)
