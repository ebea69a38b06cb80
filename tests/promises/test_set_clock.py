"""G10, G12: the wall clock is set while a job runs: no healthy call fails, nothing waits longer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises.clock import HOUR
from tests.promises.legs import Legs, agent_for, go, results, until, waits_for
from tests.promises.support import COROUTINE, ONE, config_of, echo, out, pick, run

from perdure import RetryPolicy, RunStatus
from perdure.operate.history import History
from perdure.runtime import job_runtime
from perdure.runtime.shared import timers
from perdure.runtime.shared.clock import SteadyClock
from perdure.runtime.shared.world import World


class Wall:
    """The wall clock, as somebody sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        clock = lambda: SteadyClock(self.now)  # noqa: E731
        monkeypatch.setattr(job_runtime, "World", lambda: World(now=clock()))

    def now(self) -> int:
        return time.time_ns() + round(self.ahead * 1e9)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_g10_a_clock_that_is_set_fails_no_healthy_call(wall: Wall, by: float, kind: str) -> None:
    async def works() -> str:
        wall.ahead += by
        await asyncio.sleep(0.01)
        return "done"

    def works_plain() -> str:
        wall.ahead += by
        time.sleep(0.01)
        return "done"

    async def go(event: Any, ctx: Any) -> None:
        bound = ctx.with_options(timeout=PATIENCE)
        out(ctx, [await bound.durable_execute_async(f) for f in (works, works_plain)])

    def go_plain(event: Any, ctx: Any) -> None:
        bound = ctx.with_options(timeout=PATIENCE)
        out(ctx, [bound.durable_execute_async(f).result() for f in (works, works_plain)])

    assert run(pick(kind, go, go_plain), ONE, config=config_of(kind)) == [["done", "done"]]


def test_g10_nothing_waits_longer_when_the_clock_is_set_back(wall: Wall, kind: str) -> None:
    async def hangs() -> None:
        wall.ahead -= HOUR
        await asyncio.Event().wait()

    def outcome(one: Any) -> str:
        return type(one.error).__name__

    async def go(event: Any, ctx: Any) -> None:
        call = ctx.with_options(timeout=0.02).durable_execute_async(hangs)
        told = [outcome(one) for one in await ctx.gather(call)]
        await ctx.sleep(0.01)
        limited = [ctx.with_options(limit="r").durable_execute_async(len, "x") for _ in range(3)]
        out(ctx, [told, [one.value for one in await ctx.gather(*limited)]])

    def go_plain(event: Any, ctx: Any) -> None:
        call = ctx.with_options(timeout=0.02).durable_execute_async(hangs)
        told = [outcome(one) for one in ctx.gather(call)]
        ctx.sleep(0.01).result()
        limited = [ctx.with_options(limit="r").durable_execute_async(len, "x") for _ in range(3)]
        out(ctx, [told, [one.value for one in ctx.gather(*limited)]])

    config = config_of(kind, **{"limits.r.rate": "50/s"})
    results = run(pick(kind, go, go_plain), ONE, config=config)
    assert results == [[["TimeoutError"], [1, 1, 1]]]


def test_g12_a_clock_that_is_set_forward_moves_deadlines(
    wall: Wall, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        if event.input == "sleep":
            yield ctx.sleep(HOUR)
        elif event.input == "signal":
            try:
                yield ctx.wait_for_signal("never", timeout=HOUR)
            except TimeoutError:
                pass
        out(ctx, "over")

    async def test() -> None:
        async with Legs("memory://", kind).opened(agent_for(kind, steps)) as job:
            waiting = [await job.submit(each, key=each) for each in ("sleep", "signal")]
            await until(lambda: all(each.status is RunStatus.WAITING for each in waiting))
            waiting.append(await job.submit("delayed", key="delayed", delay=HOUR))
            wall.ahead = 2 * HOUR
            for each in waiting:
                assert await results(each) == ["over"]

    monkeypatch.setattr(timers, "LOOK_AGAIN", 0.01)
    go(test)


def test_g12_what_is_shown_of_a_run_is_true_though_the_clock_was_set_back_between_its_processes(
    wall: Wall, kind: str, sqlite: str
) -> None:
    tried: list[int] = []

    async def fails_once() -> str:
        tried.append(1)
        if len(tried) == 1:
            raise ConnectionError("once")
        return "done"

    def steps(event: Any, ctx: Any) -> Any:
        policy = RetryPolicy(initial_interval=0.0, jitter=0.0)
        yield ctx.durable_execute_async(echo, 1)
        yield ctx.wait_for_signal("go")
        yield ctx.durable_execute_async(echo, 2, 0.02)
        said = yield ctx.with_options(retry=policy).durable_execute_async(fails_once)
        out(ctx, said)

    async def test() -> None:
        legs = Legs(sqlite, kind)
        wall.ahead = HOUR
        async with legs.crashing(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id="i")
            await until(lambda: run_.waits)
        wall.ahead = 0.0
        async with legs.opened(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id="i")
            await run_.signal("go")
            assert await results(run_) == ["done"]
        with History.open(sqlite) as history:
            detail = history.detail(history.choose_job(None), run_.id)
        (action,) = detail.actions
        run_info, calls = detail.run, action.calls
        assert [call.attempts for call in calls] == [1, 1, 2]
        took = [call.settled_at - call.started_at for call in calls]
        assert took[1] >= 10e6  # of 20 ms, which event loops round
        took.append(action.finished_at - action.started_at)
        took.append(run_info.finished_at - run_info.admitted_at)
        assert all(0 <= each < PATIENCE * 1e9 for each in took)
        assert action.started_at <= action.finished_at <= run_info.finished_at
        assert all(call.settled_at <= action.finished_at for call in calls)

    go(test)


def test_a_run_never_ends_before_it_was_admitted_as_it_is_shown(wall: Wall, sqlite: str) -> None:
    async def test() -> None:
        legs = Legs(sqlite)
        wall.ahead = HOUR
        async with legs.crashing(agent_for(COROUTINE, waits_for("go"))) as job:
            run_ = await job.submit({}, key="a")
            await until(lambda: run_.waits)
        wall.ahead = 0.0
        async with legs.opened(agent_for(COROUTINE, waits_for("go"))) as job:
            assert await job.cancel(run_.id)
        info = legs.engine.run_info(run_.id)
        assert info.finished_at == info.admitted_at

    go(test)
