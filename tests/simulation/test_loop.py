"""The simulated loop: no time passes but simulated time, and nothing waits for ever unseen."""

from __future__ import annotations

import asyncio
import threading

import pytest

from perdure import Agent, InputEvent, action
from perdure.testing.simulation import simulate
from perdure.testing.simulation.loop import Moment, SimulatedLoop, SimulationStuckError

START = Moment(1_000_000_000)


def run(work):
    loop = SimulatedLoop(START)
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.close()


def test_a_day_passes_in_no_time() -> None:
    async def work(loop):
        await asyncio.sleep(86_400)
        return loop.now()

    assert run(work) == START.instant + 86_400 * 10**9


def test_what_is_ready_goes_before_time() -> None:
    async def work(loop):
        seen = []
        loop.call_later(0, seen.append, "timer")
        for n in range(3):
            await asyncio.sleep(0)
            seen.append(n)
        await asyncio.sleep(1)
        return seen

    assert run(work) == [0, 1, 2, "timer"]


def test_moments_of_the_past_come_next_in_their_order() -> None:
    async def work(loop):
        seen = []
        await asyncio.sleep(5)
        for moment in (Moment(START.instant + 3), Moment(START.instant, 7), Moment(START.instant)):
            loop.call_at_moment(moment, seen.append, tuple(moment)[:2])
        await asyncio.sleep(0.001)
        return seen, loop.now()

    seen, now = run(work)
    assert seen == sorted(seen)
    assert len(seen) == 3
    assert now == START.instant + 5_001_000_000


def test_positions_pass_within_an_instant() -> None:
    async def work(loop):
        reached = loop.create_future()
        loop.call_after(10, reached.set_result, None)
        await reached
        return loop.moment

    assert run(work)[:2] == (START.instant, 10)


def test_a_deadlock_is_an_error_that_says_what_waits() -> None:
    async def forever(loop):
        await loop.create_future()

    with pytest.raises(SimulationStuckError, match="forever"):
        run(forever)


def plain() -> int:
    return threading.get_ident()


class UsesThreads(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        assert await ctx.durable_execute_async(plain) == threading.get_ident()

    @action(InputEvent)
    def also(self, event, ctx):
        assert ctx.durable_execute_async(plain).result() == threading.get_ident()


@pytest.mark.parametrize("continuations", ["auto", "off"])
def test_nothing_runs_on_a_thread(continuations: str) -> None:
    simulate(UsesThreads, [1], key=str, seeds=2, config={"continuations": continuations})
