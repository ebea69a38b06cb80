"""G10, G12: the wall clock is set while a job runs: no healthy call fails, nothing waits longer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises.clock import HOUR
from tests.promises.support import ONE, config_of, out, pick, run

from perdure.runtime import job_runtime
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
