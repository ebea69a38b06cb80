"""Runs that start each other or by the clock, and what they say they do."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Any

from tests.inside import runtime_of
from tests.replay.agents import fetch, out
from tests.replay.harness import Expected, Scenario, at, fetched, one, submits
from tests.replay.value_types import Colour, Point, Visit

from perdure import Agent, InputEvent, RunCancelledError, action
from perdure.engine.job import Job

# By the clock


def tick_of(tick: datetime.datetime) -> dict[str, Any]:
    """Return the input of a tick."""
    return {"tick": tick, "point": Point(tick.minute)}


async def schedules(job: Job) -> None:
    """Declare the schedule, as a program does whenever it opens the job."""
    await job.schedule("each minute", "* * * * *", tick_of, key=Colour.RED, timezone="UTC")


async def _schedules_for_a_while(job: Job) -> None:
    await schedules(job)
    await at(121)


class Clockwork(Agent):
    """Takes two seconds for each tick."""

    @action(InputEvent)
    async def tick(self, event: InputEvent, ctx: Any) -> None:
        """Fetch what the tick says."""
        for step in ("begin", "end"):
            what = f"{event.input['tick']:%H:%M:%S} {event.input['point'].x} {step}"
            await ctx.durable_execute_async(fetch, what)
        out(ctx, [ctx.key, event.input])

    @action(Visit)
    async def never(self, event: Visit, ctx: Any) -> None:
        """Be there for the annotation."""


def ticked(minute: int) -> list[Any]:
    """Return the outputs of a tick."""
    tick = datetime.datetime(2026, 1, 1, 0, minute, tzinfo=zoneinfo.ZoneInfo("UTC"))
    return [[Colour.RED, tick_of(tick)]]


# By another run


class Family(Agent):
    """Starts runs at once, later, and for nobody; one of them is cancelled."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        """Be the parent, or a child that is named by its colour."""
        if isinstance(event.input, Point):
            await self.be_child(event.input, ctx)
            return
        ctx.set_status({"colour": Colour.RED, "at": [Point(0)]})
        soon = await ctx.submit(Point(1), key=Colour.RED)
        later = await ctx.submit(Point(2), key=Colour.BLUE, delay=20)
        stopped = await ctx.submit(Point(3), key=("stopped", Colour.RED))
        await ctx.submit(Point(4), key=Colour.RED)
        ctx.set_status(Point(1), entry=("children", "soon"))
        outputs = [[output.value, output.key] for output in await soon.outputs()]
        try:
            await stopped.outputs()
        except RunCancelledError as error:
            outputs.append([type(error).__name__, stopped.id in str(error)])
        ctx.set_status(None, entry=("children", "soon"))
        await ctx.durable_execute_async(fetch, f"{event.input}: {outputs}", 3)
        outputs.extend([output.value, output.key] for output in await later.outputs())
        out(ctx, outputs)

    async def be_child(self, point: Point, ctx: Any) -> None:
        """Take as many seconds as the point says."""
        ctx.set_status(point)
        await ctx.durable_execute_async(fetch, f"child {point.x}", point.x)
        out(ctx, point)

    @action(Visit)
    async def never(self, event: Visit, ctx: Any) -> None:
        """Be there for the annotation."""


async def _stops_one(job: Job) -> None:
    await submits(("family", "f"))(job)
    await at(0.5)
    run = await job.submit("other", key="other")
    await at(1.5)
    runtime = runtime_of(job)
    assert await runtime.cancel(runtime.job_number << 40 | 4)
    await run.cancel()


CHILDREN = [[Point(1), Colour.RED], ["RunCancelledError", True], [Point(2), Colour.BLUE]]
TYPES = (Colour, Point)

SCENARIOS: dict[str, Scenario] = {
    "schedule": one(
        "Runs of a schedule: one that ended, one in the middle, one to come.",
        Clockwork, _schedules_for_a_while, 121.5, first=3,
    ),
    "family": one(
        "Children with typed inputs and keys: ended, cancelled, due later, for nobody.",
        Family, _stops_one, 3, first=3,
    ),
}  # fmt: skip

EXPECTED: dict[str, Expected] = {
    "schedule": Expected(
        begin=190,
        outputs={"r1": ticked(1), "r3": ticked(2), "r5": ticked(3)},
        executed=fetched("00:02:00 2 end", "00:03:00 3 begin", "00:03:00 3 end"),
        types=TYPES,
    ),
    "family": Expected(
        begin=30,
        outputs={
            "r1": [CHILDREN],
            **{f"r{run:x}": [Point(x)] for run, x in {2: 1, 3: 2, 5: 4, 7: 1, 8: 2, 9: 3}.items()},
            "ra": [Point(4)],
        },
        executed=fetched(
            f"family: {CHILDREN[:2]}", "child 4", "child 3", "child 2", "child 2", "child 1",
            "child 4",
        ),
        statuses={"r4": "cancelled", "r6": "cancelled"},
        types=TYPES,
    ),
}  # fmt: skip
