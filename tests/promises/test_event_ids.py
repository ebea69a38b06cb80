"""G3: an event has its id from construction on, derived where an action makes it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.promises.chat_support import model
from tests.promises.support import (
    ONE,
    State,
    config_of,
    crash_and_resume,
    echo,
    hold,
    out,
    pick,
    run,
)

from perdure import Agent, Event, InputEvent, OutputEvent
from perdure.actions.chat import chat
from perdure.journal.record import RULES
from perdure.resource import ResourceType
from perdure.runtime import job_runtime
from perdure.runtime.shared.world import World

SHARED: list[Event] = []


class Note(Event):
    """An event of the test."""

    text: str = ""


def made(ctx: Any) -> tuple[list[str], list[str]]:
    """Make and send events in every way; return the ids before and after."""
    first, second, never = Note(text="a"), Note(text="b"), Note(text="never sent")
    before = [first.id, second.id, never.id]
    ctx.send_event(second)
    ctx.send_event(first)
    after = [first.id, second.id, never.id]
    ctx.send_event(first)  # again
    twin = copy.copy(second)
    ctx.send_event(twin)
    after += [first.id, twin.id]
    elsewhere = SHARED[0]
    ctx.send_event(elsewhere)
    return before, [*after, elsewhere.id]


async def remember(*ids: str) -> list[str]:
    State.calls.append(ids)
    return list(ids)


def check(ids: list[list[str]]) -> None:
    before, (first, second, never, again, twin, elsewhere) = ids
    assert before == [first, second, never]
    assert len({first, second, never, again, twin, elsewhere}) == 6
    assert all(len(each) == 32 for each in (*before, again, twin, elsewhere))


def test_g3_ids_are_there_from_construction_on_and_the_same_after_a_crash(
    kind: str, store: str
) -> None:
    SHARED[:] = [Note(text="made outside")]
    outside = SHARED[0].id
    assert len(outside) == 32

    async def go(event: Any, ctx: Any) -> None:
        before, after = made(ctx)
        await ctx.durable_execute_async(remember, *before, *after)
        await ctx.durable_execute_async(hold)
        out(ctx, [before, after])

    def go_plain(event: Any, ctx: Any) -> None:
        before, after = made(ctx)
        ctx.durable_execute_async(remember, *before, *after).result()
        ctx.durable_execute_async(hold).result()
        out(ctx, [before, after])

    agent = pick(kind, go, go_plain)
    [ids] = crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    check(ids)
    assert outside not in [*ids[0], *ids[1]]  # what was sent goes by a derived one
    assert len(State.calls) == 1


def test_g3_an_action_hears_of_an_event_under_the_id_that_its_maker_knew(kind: str) -> None:
    async def ask(event: Any, ctx: Any) -> None:
        asked = Note(text="?")
        ctx.sensory_memory.set("asked", asked.id)
        ctx.send_event(asked)

    def ask_plain(event: Any, ctx: Any) -> None:
        asked = Note(text="?")
        ctx.sensory_memory.set("asked", asked.id)
        ctx.send_event(asked)

    def answer(event: Note, ctx: Any) -> None:
        out(ctx, event.id == ctx.sensory_memory.get("asked"))
        again = Note.from_event(event)
        ctx.send_event(Event(type="other", attributes={"id": again.id}))

    agent = pick(kind, ask, ask_plain).add_action("answer", [Note], answer)
    assert run(agent, ONE, config=config_of(kind)) == [True]


def test_events_made_outside_of_actions_have_ids_of_their_own() -> None:
    one, other = Note(text="a"), Note(text="a")
    assert one.id
    assert one.id != other.id
    assert one == other
    assert Note.from_event(one).id == one.id
    assert Event(type="x", id="mine").id == "mine"
    assert InputEvent(input=1).id
    assert OutputEvent(output=1).id


def test_what_a_callable_makes_is_made_elsewhere(kind: str) -> None:
    def makes() -> str:
        return Note(text="in a callable").id

    async def go(event: Any, ctx: Any) -> None:
        first = Note().id
        inside = [await ctx.durable_execute_async(makes), ctx.durable_execute(makes)]
        out(ctx, len({first, Note().id, *inside}))

    def go_plain(event: Any, ctx: Any) -> None:
        first = Note().id
        inside = [ctx.durable_execute_async(makes).result(), ctx.durable_execute(makes)]
        out(ctx, len({first, Note().id, *inside}))

    assert run(pick(kind, go, go_plain), ONE, config=config_of(kind)) == [4]


def test_the_id_of_an_output_is_the_one_that_its_event_has(kind: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        event = OutputEvent(output="x")
        State.calls.append(event.id)
        ctx.send_event(event)

    def go_plain(event: Any, ctx: Any) -> None:
        event = OutputEvent(output="x")
        State.calls.append(event.id)
        ctx.send_event(event)

    sent: list[Any] = []
    agent: Agent = pick(kind, go, go_plain)
    run(agent, ONE, config=config_of(kind), sink=sent.append)
    assert [output.id for output in sent] == State.calls


@pytest.mark.parametrize(("rules", "taken"), [(2, 2), (RULES, 1)])
def test_g3_a_chat_takes_as_many_ids_as_by_the_rules_that_its_action_began_by(
    rules: int, taken: int, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go(event: Event, ctx: Any) -> None:
        await chat(ctx, "model", "hi")
        made = OutputEvent(output=1)
        await ctx.durable_execute_async(echo, made.id)  # another id is another call
        await ctx.durable_execute_async(hold)
        out(ctx, made.id)

    async def without(event: Event, ctx: Any) -> None:
        out(ctx, [OutputEvent(output=1).id for _ in range(taken + 1)][-1])

    expected = run(Agent().add_action("go", InputEvent, without), ONE)
    lives = iter([World(rules=rules), World()])
    monkeypatch.setattr(job_runtime, "World", lambda: next(lives))
    agent = Agent().add_action("go", InputEvent, go)
    agent.add_resource("model", ResourceType.CHAT_MODEL, model())
    assert crash_and_resume(agent, ONE, store=sqlite) == expected == State.calls
