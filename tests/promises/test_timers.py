"""G10, G12: time, chance and cancellation, over a crash."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from tests.promises.clock import HOUR, Clock
from tests.promises.support import (
    COROUTINE,
    OFF,
    SECONDS,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    hold,
    out,
    pick,
    values,
)

from perdure import LocalEngine, RunCancelledError, RunStatus

ONE = [{"k": "a"}]
drawn: list[Any] = []


def draw(ctx: Any) -> list[Any]:
    return [ctx.now(), str(ctx.uuid4()), ctx.random.random(), ctx.random.sample(range(99), 5)]


async def draws(event: Any, ctx: Any) -> None:
    first = draw(ctx)
    await ctx.durable_execute_async(echo, 1, 0.01)
    second = draw(ctx)
    drawn.append([first, second])
    await ctx.durable_execute_async(hold)
    out(ctx, second[1:])


def draws_plain(event: Any, ctx: Any) -> None:
    first = draw(ctx)
    ctx.durable_execute_async(echo, 1, 0.01).result()
    second = draw(ctx)
    drawn.append([first, second])
    ctx.durable_execute_async(hold).result()
    out(ctx, second[1:])


def test_g12_time_and_chance_are_the_same_on_replay(kind: str, store: str) -> None:
    drawn.clear()
    began = time.time()
    agent = pick(kind, draws, draws_plain)
    crash_and_resume(agent, ONE, store=store, config=config_of(kind), pause=0.05)
    live, replayed = drawn
    assert replayed == live
    first, second = live
    assert first[0] < second[0]
    assert first[1] != second[1]
    assert began - 1 < first[0].timestamp() < time.time() + 1
    assert first[0].tzinfo is not None


def test_g12_chance_differs_between_keys_runs_and_jobs(store: str) -> None:
    def one(event: Any, ctx: Any) -> None:
        out(ctx, str(ctx.uuid4()))

    inputs = [{"k": k} for k in "aabb"]
    engines = [LocalEngine(store, job=job) for job in ("one", "two")]
    results = [v for e in engines for v in values(e.run(agent_of(one), inputs, key="k"))]
    assert len(set(results)) == 8


async def rest_passes() -> None:
    State.rest()


async def sleeps(event: Any, ctx: Any) -> None:
    began = ctx.now()
    timer = ctx.sleep(HOUR)
    other = asyncio.ensure_future(asyncio.sleep(HOUR))
    await ctx.durable_execute_async(hold)
    early = timer.done()
    await ctx.durable_execute_async(rest_passes)
    await timer
    await other
    out(ctx, [early, (ctx.now() - began).total_seconds()])


def sleeps_plain(event: Any, ctx: Any) -> None:
    began = ctx.now()
    timer = ctx.sleep(HOUR)
    ctx.durable_execute_async(hold).result()
    early = timer.done()
    ctx.durable_execute_async(rest_passes).result()
    timer.result()
    out(ctx, [early, (ctx.now() - began).total_seconds()])


@pytest.mark.parametrize("down", [0.5, 1.5], ids=["due later", "due while down"])
@pytest.mark.parametrize("kind", [COROUTINE, "plain"])
def test_g12_a_sleep_over_a_crash_keeps_its_deadline(
    kind: str, down: float, store: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set anew by the second leg it would be due an hour after that began: never in this test."""
    rest = (1.0 - down) * HOUR if down < 1.0 else 0.0
    monkeypatch.setattr(State, "rest", lambda: clock.forward(rest), raising=False)
    agent = pick(kind, sleeps, sleeps_plain)
    ((early, took),) = crash_and_resume(
        agent, ONE, store=store, down=lambda: clock.forward(down * HOUR)
    )
    assert not (early and down < 1.0)
    assert HOUR <= took < (down + 0.6) * HOUR


def test_g12_a_sleep_without_continuations(store: str) -> None:
    def naps(event: Any, ctx: Any) -> None:
        began = ctx.now()
        ctx.sleep(0.05).result()
        first = ctx.now()
        ctx.durable_execute_async(hold).result()
        ctx.sleep(0.05).result()
        out(ctx, [(first - began).total_seconds() >= 0.05, ctx.now() > first])

    results = crash_and_resume(agent_of(naps), ONE, store=store, config=config_of(OFF))
    assert results == [[True, True]]


async def times_out(event: Any, ctx: Any) -> None:
    try:
        async with asyncio.timeout(0.05):
            await ctx.durable_execute_async(echo, "too slow", 30)
    except TimeoutError:
        first = "timed out"
    try:
        async with asyncio.timeout(30):
            second = await ctx.durable_execute_async(echo, "in time")
    except TimeoutError:
        second = "late"
    await ctx.durable_execute_async(hold)
    out(ctx, [first, second])


def test_g12_asyncio_timeout_takes_the_same_branch_again(store: str) -> None:
    results = crash_and_resume(agent_of(times_out), ONE, store=store, pause=0.1)
    assert results == [["timed out", "in time"]]
    assert sorted(State.calls) == ["in time", "too slow"]


def test_g10_result_with_a_timeout_leaves_the_call_running(store: str) -> None:
    def waits(event: Any, ctx: Any) -> None:
        call = ctx.durable_execute_async(echo, "late", 0.15)
        try:
            first = call.result(timeout=0.02)
        except TimeoutError as error:
            first = str(error)
        ctx.durable_execute_async(hold).result()
        out(ctx, [first, call.result()])

    ((first, second),) = crash_and_resume(agent_of(waits), ONE, store=store)
    assert "echo" in first
    assert second == "late"


async def cleans_up(event: Any, ctx: Any) -> None:
    try:
        State.gate.reached.set()
        await ctx.sleep(3600)
    except asyncio.CancelledError:
        State.calls.append("cancelled")
        await ctx.durable_execute_async(echo, "clean up")
        raise


def cleans_up_plain(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async(echo, "long", 60)
    ctx.durable_execute(ready)
    try:
        call.result()
    except asyncio.CancelledError:
        State.calls.append("cancelled")
        ctx.durable_execute_async(echo, "clean up").result()
        raise


def ready() -> None:
    State.gate.reached.set()


@pytest.mark.parametrize("kind", [COROUTINE, "plain"])
def test_g10_a_run_can_be_cancelled_and_may_clean_up(kind: str, store: str) -> None:
    async def go() -> None:
        engine = LocalEngine(store)
        async with engine.open(pick(kind, cleans_up, cleans_up_plain)) as job:
            run_ = await job.submit({}, key="a")
            behind = await job.submit({}, key="a")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            assert await behind.cancel()
            assert await run_.cancel()
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED
            assert await asyncio.wait_for(behind.wait(), SECONDS) is RunStatus.CANCELLED
            for one in (run_, behind):
                with pytest.raises(RunCancelledError):
                    await one.outputs()
            assert not await run_.cancel()
        assert {info.status for info in engine.runs()} == {RunStatus.CANCELLED}
        assert engine.run_info(run_.id).status is RunStatus.CANCELLED

    asyncio.run(go())
    assert [c for c in State.calls if c != "long"] == ["cancelled", "clean up"]


def test_g10_a_cancellation_survives_a_crash(sqlite: str) -> None:
    async def stubborn(event: Any, ctx: Any) -> None:
        try:
            State.gate.reached.set()
            await ctx.sleep(3600)
        finally:
            await ctx.durable_execute_async(hold)

    async def go() -> None:
        engine = LocalEngine(sqlite)
        with contextlib.suppress(LookupError):
            async with engine.open(agent_of(stubborn)) as job:
                run_ = await job.submit({}, key="a")
                await State.gate.reached.wait()
                State.gate.reached.clear()
                await run_.cancel()
                await asyncio.wait_for(State.gate.reached.wait(), SECONDS)  # in its finally block
                raise LookupError
        State.gate.open = True
        async with LocalEngine(sqlite).open(agent_of(stubborn)):
            pass
        assert engine.run_info(run_.id).status is RunStatus.CANCELLED

    asyncio.run(go())


def test_g10_cancel_reaches_the_owner_through_the_inbox(sqlite: str) -> None:
    async def go() -> None:
        engine, other = LocalEngine(sqlite), LocalEngine(sqlite)
        async with engine.open(agent_of(cleans_up)) as job:
            run_ = await job.submit({}, key="a")
            await State.gate.reached.wait()
            await asyncio.to_thread(other.cancel, run_.id)
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED

    asyncio.run(go())


def test_g10_an_engine_cancels_and_retries_runs_of_its_own_open_job(store: str) -> None:
    async def go() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(cleans_up)) as job:
            run_ = await job.submit({}, key="a")
            for _ in range(2):
                await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
                State.gate.reached.clear()
                engine.cancel(run_.id)
                deadline = time.monotonic() + SECONDS
                while engine.run_info(run_.id).status is not RunStatus.CANCELLED:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.02)
                if len(State.calls) <= 2:
                    engine.retry(run_.id)

    asyncio.run(go())
    assert State.calls.count("cancelled") == 2
