"""G6, G10: a run at work that was cancelled while no process ran makes no call again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.inside import commits_of
from tests.promises.legs import until
from tests.promises.support import SECONDS, State

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, RunStatus, action


class Next(Event):
    """What the second action is triggered by."""


async def call(name: str) -> None:
    State.calls.append(name)


async def hangs(name: str) -> None:
    State.calls.append(name)
    await asyncio.sleep(SECONDS)


async def fails_first(name: str, after: list[str]) -> None:
    await until(lambda: all(each in State.calls for each in after))
    State.calls.append(name)
    if State.calls.count(name) == 1:
        raise ValueError(name)


class Pays(Agent):
    """Its runs differ in where their process ends; what they pay, they pay in a call that hangs."""

    @action(InputEvent)
    async def first(self, event: Any, ctx: Any) -> None:
        how = event.input
        if how == "first in its call":
            await ctx.durable_execute_async(call, "before")
            await ctx.durable_execute_async(hangs, "pay")
        elif how == "second in its call":
            ctx.short_term_memory.set("done", how)
            ctx.send_event(Next())
        elif how in ("put back", "both put back"):
            after = [] if how == "put back" else ["pay beside"]
            await ctx.durable_execute_async(fails_first, "pay once", after)
            await ctx.durable_execute_async(hangs, "pay")
        elif how == "remembers":
            State.calls.append(ctx.short_term_memory.get("done"))

    @action(InputEvent)
    async def beside(self, event: Any, ctx: Any) -> None:
        if event.input == "beside in its call":
            await ctx.durable_execute_async(hangs, "pay")
        elif event.input == "both put back":
            await ctx.durable_execute_async(call, "reserve")
            try:
                await ctx.durable_execute_async(hangs, "pay beside")
            finally:
                await ctx.durable_execute_async(call, "release")

    @action(Next)
    async def second(self, event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(hangs, "pay")
        ctx.send_event(OutputEvent(output="paid"))


def is_at_work(how: str, job: Any) -> bool:
    """Say whether a run is where its process is to end."""
    if how == "put back":
        return bool(job.progress.retries)
    if how == "both put back":
        return State.calls.count("pay") == 1 and State.calls.count("pay beside") == 2
    return "pay" in State.calls or how == "is queued"


def left(engine: LocalEngine, how: str) -> None:
    """Have a process end where the run `a` is at work."""

    async def go() -> None:
        async with engine.open(Pays()) as job:
            if how == "is queued":
                await job.submit("first in its call", key="k", id="before")
                await until(lambda: "pay" in State.calls)
            await job.submit(how, key="k", id="a")
            await until(lambda: is_at_work(how, job))
            await commits_of(job).caught_up()
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(go())


def resumed(engine: LocalEngine) -> tuple[RunStatus, RunStatus]:
    """Return the ends of the run `a` and of one of its key behind it, in the next process."""

    async def go() -> tuple[RunStatus, RunStatus]:
        async with engine.open(Pays()) as job:
            run = job.run("a")
            behind = await job.submit("remembers", key="k", id="behind")
            return await run.wait(), await behind.wait()

    return asyncio.run(asyncio.wait_for(go(), SECONDS))


PLACES = ["first in its call", "second in its call", "beside in its call", "put back", "is queued"]


@pytest.mark.parametrize("signals", [0, 2])
@pytest.mark.parametrize("how", PLACES)
def test_g10_a_run_that_was_cancelled_with_no_process_makes_no_call_again(
    how: str, signals: int, sqlite: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"error-handling-strategy": "retry"}
    config["retry-wait-interval"] = SECONDS if how == "put back" else 0
    engine = LocalEngine(sqlite, config=config)
    left(engine, how)
    made = [*State.calls]
    for number in range(signals):
        engine.signal("a", "note", number)
    engine.cancel("a")
    if how == "is queued":
        engine.cancel("before")
    caplog.clear()
    ends = resumed(LocalEngine(sqlite, config=config))
    assert ends == (RunStatus.CANCELLED, RunStatus.COMPLETED)
    remembered = how if how == "second in its call" else None
    assert State.calls == [*made, remembered]  # as where it is cancelled with a process
    assert not caplog.records


@pytest.mark.parametrize("signals", [0, 1])
def test_g10_an_action_that_a_retry_put_back_cleans_up_as_it_is_cancelled_with_no_process(
    signals: int, sqlite: str
) -> None:
    config = {"error-handling-strategy": "retry", "retry-wait-interval": 0}
    left(LocalEngine(sqlite, config=config), "both put back")
    made = [*State.calls]
    engine = LocalEngine(sqlite, config=config)
    for number in range(signals):
        engine.signal("a", "note", number)
    engine.cancel("a")
    ends = resumed(LocalEngine(sqlite, config=config))
    assert ends == (RunStatus.CANCELLED, RunStatus.COMPLETED)
    assert State.calls == [*made, "release", None]
