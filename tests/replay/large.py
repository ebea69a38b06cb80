"""Payloads that a store keeps compressed, in each place where a journal holds one."""

from __future__ import annotations

from typing import Any

from tests.replay.agents import fetch, note, out, takes
from tests.replay.harness import Expected, Life, Scenario, at, fetched

from perdure import Agent, Event, InputEvent, action
from perdure.engine.job import Job


def text(what: str, more: int = 0) -> str:
    """Return a text that compresses to a third, and `more` that does to next to nothing."""
    lines = [f"{what}, line {n}: it says {n * n} and no more." for n in range(60)]
    return "\n".join(lines) + "." * more


class Draft(Event):
    text: str


async def read(what: str, given: str, more: int = 0) -> str:
    """Return a large text for a large argument."""
    note("read", what)
    await takes(1)
    return text(f"{what} of {len(given)}", more)


async def fail(what: str) -> None:
    """Fail at length."""
    note("fail", what)
    await takes(1)
    raise LookupError(text(what))


class Editor(Agent):
    """Hands large texts from one place to the next."""

    @action(InputEvent)
    async def write(self, event: InputEvent, ctx: Any) -> None:
        ctx.set_status(text("status"))
        one = await ctx.durable_execute_async(read, "one", event.input)
        ctx.short_term_memory.set("one", one)
        ctx.sensory_memory.set("two", text("two"))
        ctx.send_event(Draft(text=text("draft")))
        out(ctx, one)

    @action(Draft)
    async def edit(self, event: Draft, ctx: Any) -> None:
        huge = await ctx.durable_execute_async(read, "huge", event.text, 70_000)
        try:
            await ctx.durable_execute_async(fail, "refused")
        except LookupError as error:
            refused = str(error)
        signal = await ctx.wait_for_signal("proof")
        await ctx.durable_execute_async(fetch, "last")
        seen = [event.text, huge, refused, signal, ctx.sensory_memory.get("two")]
        out(ctx, [*map(len, seen), huge[-20:], ctx.short_term_memory.get("one")])


async def _sends(job: Job) -> None:
    run = await job.submit(text("input"), key="k")
    await at(2.5)
    await run.signal("proof", text("proof"))
    failing = await job.submit(text("other input"), key="other")
    await at(6)
    await failing.signal("unread", text("unread"))


ONE = text(f"one of {len(text('input'))}")
OTHER = text(f"one of {len(text('other input'))}")
LENGTHS = [
    len(text("draft")),
    len(text(f"huge of {len(text('draft'))}", 70_000)),
    len(text("refused")),
]

SCENARIOS: dict[str, Scenario] = {
    "large": Scenario(
        about="Large texts in an input, results, errors, events, both memories, signals, outputs.",
        lives=(Life(agent=Editor, body=_sends, until=6.2),),
        first=4,
    ),
}


async def _sends_late(job: Job) -> None:
    assert await job.signal("r2", "proof", text("late proof"))


def _seen(one: str, proof: str) -> list[Any]:
    end = text(f"huge of {LENGTHS[0]}", 70_000)[-20:]
    return [one, [*LENGTHS, len(text(proof)), len(text("two")), end, one]]


EXPECTED: dict[str, Expected] = {
    "large": Expected(
        begin=8,
        body=_sends_late,
        outputs={"r1": _seen(ONE, "proof"), "r2": _seen(OTHER, "late proof")},
        executed=fetched("last"),
        memory={"'k'": {"one": ONE}, "'other'": {"one": OTHER}},
    ),
}
