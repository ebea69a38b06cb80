"""Actions from before rules had numbers (`journal.record.RULES`): they keep the old to their end.

The journals were made by a perdure that knew no other rules, and are made by nobody again.
"""

from __future__ import annotations

from typing import Any

from tests.replay.agents import fetch, out
from tests.replay.harness import Expected, Scenario, fetched, one, submits

from perdure import Agent, Event, InputEvent, action


class Asked(Event):
    """Sent by the first action, twice."""

    what: str


class Old(Agent):
    """Depends on what was so: events without an id until they are sent, memory that is replaced."""

    @action(InputEvent)
    async def ask(self, event: InputEvent, ctx: Any) -> None:
        """Use the id of an event that is not sent, and replace an object by a value."""
        memory = ctx.short_term_memory
        asked, never = Asked(what="a"), Asked(what="never sent")
        await ctx.durable_execute_async(fetch, f"before <{asked.id}>")
        memory.set("profile.orders.o1", "paid")
        memory.set("profile", "active")
        memory.set("state", "important")
        memory.set("state.now", 1)
        memory.set("gone", 1)
        memory.new_object("gone")
        memory.delete("gone")
        memory.set("profile.again", 2)
        ctx.send_event(asked)
        first = asked.id
        ctx.send_event(asked)
        await ctx.durable_execute_async(fetch, f"sent {first} {asked.id} <{never.id}>")
        await ctx.durable_execute_async(fetch, "the end of ask")
        out(ctx, [memory.get("profile.again"), memory.get("state").get_fields()])

    @action(Asked)
    async def answer(self, event: Asked, ctx: Any) -> None:
        """Begin under the rules of whoever takes the run up."""
        out(ctx, [event.what, event.id])


SCENARIOS: dict[str, Scenario] = {
    "before_rules": one(
        "An action in the middle that sends events and replaces memory, from before rules.",
        Old, submits(("old", "k")), 2.5, first=4,
    ),
}  # fmt: skip

EXPECTED: dict[str, Expected] = {
    "before_rules": Expected(
        begin=30,
        outputs={
            "r1": [
                [2, {"now": 1}],
                ["a", "8c8bfc5b99a3938f724de5edf2f7521f"],
                ["a", "89830ce5f877b60a9e7075b95592eff8"],
            ]
        },
        memory={"'k'": {"profile.again": 2, "state.now": 1}},
        executed=fetched("the end of ask"),
        types=(Asked,),
    ),
}
