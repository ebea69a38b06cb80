"""An ended run leaves no reference cycles: reference counting frees it, the collector need not."""

from __future__ import annotations

import asyncio
import collections
import gc

import pytest

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, action

RUNS = 100


async def echo(value: int) -> int:
    return value


class Coroutine(Agent):
    @action(InputEvent)
    async def first(self, event, ctx):
        calls = [ctx.durable_execute_async(echo, n) for n in range(3)]
        ctx.short_term_memory.set("sum", sum(await asyncio.gather(*calls)))
        ctx.send_event(Event(type="next", attributes={}))

    @action("next")
    async def second(self, event, ctx):
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(echo, 1)))


class Plain(Agent):
    @action(InputEvent)
    def first(self, event, ctx):
        calls = [ctx.durable_execute_async(echo, n) for n in range(3)]
        ctx.send_event(OutputEvent(output=[call.result() for call in calls]))


async def left_behind(agent: type[Agent]) -> collections.Counter[str]:
    """Return what the collector finds of runs that have ended, while their job goes on."""

    async def go(numbers: range) -> None:
        runs = [await job.submit({"id": n}, key=n) for n in numbers]
        for run in runs:
            await run.wait()

    async with LocalEngine(store="memory://").open(agent()) as job:
        await go(range(5))  # what is made once is not a run's
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await go(range(5, 5 + RUNS))
            gc.collect()
            return collections.Counter(type(thing).__name__ for thing in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


@pytest.mark.parametrize("agent", [Coroutine, Plain])
def test_an_ended_run_leaves_no_cycles(agent: type[Agent]) -> None:
    left = asyncio.run(left_behind(agent))
    # Less than one thing for every ten runs: the job's own, whatever the number of its runs.
    assert {name: count for name, count in left.items() if count >= RUNS // 10} == {}
