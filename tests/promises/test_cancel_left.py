"""G6, G10: what was cancelled while no process ran does nothing more when one comes up."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.inside import commits_of
from tests.promises.legs import until
from tests.promises.support import SECONDS, State, config_of, pick

from perdure import LocalEngine, RetryableError, RetryPolicy, RunStatus


async def pays(event: Any, ctx: Any) -> None:
    State.gate.reached.set()
    how = event.input
    if how == "sleep":
        await ctx.sleep(0.2)
    elif how == "backs off":
        policy = RetryPolicy(max_attempts=2, initial_interval=0.2, jitter=0)
        await ctx.with_options(retry=policy).durable_execute_async(pay, how)
    else:
        await ctx.wait_for_signal("go")
    await ctx.durable_execute_async(pay, how)


def pays_plain(event: Any, ctx: Any) -> None:
    State.gate.reached.set()
    how = event.input
    if how == "sleep":
        ctx.sleep(0.2).result()
    elif how == "backs off":
        policy = RetryPolicy(max_attempts=2, initial_interval=0.2, jitter=0)
        ctx.with_options(retry=policy).durable_execute_async(pay, how).result()
    else:
        ctx.wait_for_signal("go").result()
    ctx.durable_execute_async(pay, how).result()


async def pay(how: str) -> None:
    State.calls.append(how)
    if State.calls == ["backs off"]:
        raise RetryableError("not yet")


@pytest.mark.parametrize("how", ["sleep", "backs off", "is delayed", "is queued", "has a signal"])
def test_g6_a_cancellation_that_was_left_is_taken_in_before_timers_fire(
    how: str, kind: str, sqlite: str
) -> None:
    async def first(engine: LocalEngine) -> str:
        async with engine.open(pick(kind, pays, pays_plain)) as job:
            if how == "is queued":
                await job.submit("waits", key="a", id="before")
            delay = 0.2 if how == "is delayed" else 0.0
            run_ = await job.submit(how, key="a", id="a", delay=delay)
            if how == "sleep":
                await until(lambda: job.progress.waiting == 1)
            elif how == "backs off":
                await until(lambda: "backs off" in State.calls)
                await commits_of(job).caught_up()
            elif how != "is delayed":
                await until(lambda: job.progress.waiting == 1)
            raise LookupError(run_.id)

    async def second(engine: LocalEngine, run: str) -> RunStatus:
        async with engine.open(pick(kind, pays, pays_plain)) as job:
            if how == "is queued":
                await job.run("before").signal("go", 1)
            return await asyncio.wait_for(job.run(run).wait(), SECONDS)

    engine = LocalEngine(sqlite, config=config_of(kind))
    with pytest.raises(LookupError) as left:
        asyncio.run(first(engine))
    (run,) = left.value.args
    if how == "has a signal":  # which came first
        engine.signal(run, "go", 1)
    engine.cancel(run)
    if how == "is queued":
        engine.cancel("before")
    made = [*State.calls]
    time.sleep(0.25)  # when it comes up again its time is over
    assert (
        asyncio.run(second(LocalEngine(sqlite, config=config_of(kind)), run)) is RunStatus.CANCELLED
    )
    assert State.calls == made or how == "has a signal"
