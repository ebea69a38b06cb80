"""G10: threads that hang stop nobody, and what they return too late is dropped and counted."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from tests.inside import services_of
from tests.promises.callees import told
from tests.promises.support import ONE, SECONDS, State, agent_of, out, run, values

from perdure import LocalEngine


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_g10_late_results_of_threads_are_dropped_and_counted(how: str, store: str) -> None:
    release = threading.Event()

    def late(n: int) -> str:
        State.calls.append(n)
        release.wait(SECONDS)
        if n % 2:
            raise OSError("late")
        return "late"

    async def frees() -> None:
        while len(State.calls) < 4:
            await asyncio.sleep(0.001)
        release.set()

    async def calls(event: Any, ctx: Any) -> None:
        hung = ctx.with_options(timeout=0.05) if how == "timeout" else ctx
        made = [hung.durable_execute_async(late, n) for n in range(4)]
        if how == "cancel":
            while len(State.calls) < 4:
                await ctx.sleep(0.005)
            for one in made:
                one.cancel()
        seen = [told(one) for one in await ctx.gather(*made)]
        await ctx.durable_execute_async(frees)
        again = [told(one) for one in await ctx.gather(*made)]
        out(ctx, [seen == again, *set(seen)])

    async def go() -> tuple[list[Any], int, int]:
        async with LocalEngine(store).open(agent_of(calls)) as job:
            run_ = await job.submit({}, key="a")
            outputs = await asyncio.wait_for(run_.outputs(), SECONDS)
            deadline = time.monotonic() + SECONDS
            while job.progress.late_results < 4 and time.monotonic() < deadline:
                await asyncio.sleep(0.005)
            executor = services_of(job).executor
            return values(outputs), job.progress.late_results, executor.in_flight

    error = "TimeoutError" if how == "timeout" else "CancelledError"
    assert asyncio.run(go()) == ([[True, error]], 4, 0)


def test_g10_fifty_hung_threads_do_not_stop_fifty_others(store: str) -> None:
    release = threading.Event()
    ended = []

    def hangs(n: int) -> None:
        ended.append(release.wait(SECONDS))

    def works(n: int) -> int:
        State.calls.append(n)
        return n

    async def calls(event: Any, ctx: Any) -> None:
        bound = ctx.with_options(timeout=0.2)
        hung = [bound.durable_execute_async(hangs, n) for n in range(50)]
        others = [ctx.durable_execute_async(works, n) for n in range(50)]
        done = [told(one) for one in await ctx.gather(*others)]
        out(ctx, [done, {told(one) for one in await ctx.gather(*hung)}])

    config = {"num-async-threads": 8, "max-abandoned-threads": 50}
    try:
        results = run(agent_of(calls), ONE, store=store, config=config)
        assert ended == []  # nobody waited for the threads
    finally:
        release.set()
    assert results == [[list(range(50)), {"TimeoutError"}]]
    assert sorted(State.calls) == list(range(50))
