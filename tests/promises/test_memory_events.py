"""Memory events: what an action did to each memory, told once it has completed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.promises.chat_support import CrashAt, output_for_each_crash
from tests.promises.legs import agent_for
from tests.promises.support import (
    ONE,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    error_text,
    failures,
    hold,
    out,
    run,
)

from perdure import (
    Agent,
    AgentDefinitionError,
    AgentRunBeginEvent,
    EventType,
    InputEvent,
    LongTermGetEvent,
    LongTermSearchEvent,
    LongTermUpdateEvent,
    MemoryEvent,
    SensoryReadEvent,
    SensoryWriteEvent,
    ShortTermReadEvent,
    ShortTermWriteEvent,
    action,
)

READS = {
    "memory.generate-event.short-term-read": True,
    "memory.generate-event.sensory-read": True,
}
ALL = [
    ShortTermWriteEvent,
    ShortTermReadEvent,
    SensoryWriteEvent,
    SensoryReadEvent,
    LongTermUpdateEvent,
    LongTermGetEvent,
    LongTermSearchEvent,
]


def told(agent: Agent, *types: Any) -> Agent:
    """Let an agent put out the memory events of some types."""

    async def tell(event: MemoryEvent, ctx: Any) -> None:
        out(ctx, [event.type, event.key, event.value])

    return agent.add_action("tell", types or ALL, tell)


def found_by(steps: Any, *types: Any, kind: str = "coroutine", **more: Any) -> list[Any]:
    """Return the memory events of one action."""
    config = {**more.pop("config", {}), **config_of(kind)}
    return run(told(agent_for(kind, steps), *types), ONE, config=config, **more)


# What an event says


def test_the_last_write_and_read_of_each_path_is_told(store: str, kind: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        short, sensory = ctx.short_term_memory, ctx.sensory_memory
        short.set("user.tier", "silver")
        short.set("user.tier", "gold")
        short.new_object("empty")
        short.set("made.and", 1)
        short.delete("made")
        short.update("count", lambda n: (n or 0) + 1)
        sensory.set("seen", [1])
        yield ctx.durable_execute_async(echo, 1)
        short.update("count", lambda n: (n or 0) + 1)
        assert short.get("user.tier") == "gold"
        assert short.get("user").get_fields() == {"tier": "gold"}
        assert sensory.get("seen") == [1]
        assert sensory.get("none") is None
        assert "count" in short

    assert found_by(steps, kind=kind, store=store, config=READS) == [
        ["_short_term_write_event", "a", {"count": 2, "empty": None, "user.tier": "gold"}],
        ["_short_term_read_event", "a", {"user.tier": "gold"}],
        ["_sensory_write_event", "a", {"seen": [1]}],
        ["_sensory_read_event", "a", {"seen": [1]}],
    ]


def test_what_was_there_before_is_told_when_it_goes(store: str) -> None:
    class Two(Agent):
        @action(InputEvent)
        async def go(self, event: InputEvent, ctx: Any) -> None:
            if event.input["n"] == 1:
                ctx.short_term_memory.set("a.b", {"x": 1})
            else:
                ctx.short_term_memory.delete("a")

    inputs = [{"k": "a", "n": 1}, {"k": "a", "n": 2}]
    assert run(told(Two()), inputs, store=store) == [
        ["_short_term_write_event", "a", {"a.b": {"x": 1}}],
        ["_short_term_write_event", "a", {"a.b": None}],
    ]


def test_a_write_is_told_as_it_was_completed_over_others(store: str) -> None:
    class Both(Agent):
        @action(InputEvent)
        async def slow(self, event: Any, ctx: Any) -> None:
            ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
            await ctx.durable_execute_async(hold)

        @action(InputEvent)
        async def fast(self, event: Any, ctx: Any) -> None:
            ctx.short_term_memory.update("n", lambda n: (n or 0) + 10)

    assert crash_and_resume(told(Both()), ONE, store=store) == [
        ["_short_term_write_event", "a", {"n": 10}],
        ["_short_term_write_event", "a", {"n": 11}],
    ]


def test_long_term_memory_is_told_by_set(store: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        notes = ctx.long_term_memory.get_memory_set("notes")
        old = ctx.long_term_memory.get_memory_set("old")
        yield notes.add(["green tea", "coffee", "black tea"], ids=["g", "c", "b"])
        yield notes.update("c", "no coffee")
        yield notes.update("nobody", "x")
        yield notes.delete("b")
        yield notes.get(["g", "b"])
        yield notes.search("tea")
        yield old.add("x", ids="x")
        yield ctx.long_term_memory.delete_memory_set("old")
        yield old.add("y", ids="y")
        yield old.search("nothing like it")
        yield notes.size()

    update, got, searched = found_by(steps, store=store)
    assert update == [
        "_long_term_update_event",
        "a",
        {"notes": {"g": "green tea", "c": "no coffee", "b": None}, "old": {"y": "y"}},
    ]
    assert got == ["_long_term_get_event", "a", {"notes": {"g": "green tea"}}]
    name, _, value = searched
    assert name == "_long_term_search_event"
    (hit,) = value["notes"]["tea"]
    assert (hit["id"], hit["value"]) == ("g", "green tea")
    assert hit["score"] > 0
    assert value["old"] == {"nothing like it": []}


def test_the_classes_say_the_same(store: str) -> None:
    class Typed(Agent):
        @action(InputEvent)
        async def go(self, event: Any, ctx: Any) -> None:
            notes = ctx.long_term_memory.get_memory_set("notes")
            await notes.add("tea", ids="t")
            await ctx.long_term_memory.delete_memory_set("notes")
            await notes.search("tea")

        @action(LongTermUpdateEvent)
        async def updated(self, event: LongTermUpdateEvent, ctx: Any) -> None:
            out(ctx, [event.value, event.cleared_sets, event.upstream_action_name])

        @action("type == EventType.LongTermSearchEvent")
        async def searched(self, event: LongTermSearchEvent, ctx: Any) -> None:
            out(ctx, event.results)

    assert run(Typed(), ONE, store=store) == [
        [{}, ["notes"], "go"],
        {"notes": {"tea": []}},
    ]


# Where they are made, and where not


def test_no_event_is_made_that_no_action_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from perdure.runtime.run import events

    def never(*args: Any, **more: Any) -> Any:
        raise AssertionError(args)

    monkeypatch.setattr(events, "memory_events", never)

    async def go(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("a", 1)
        assert ctx.short_term_memory.get("a") == 1
        await ctx.long_term_memory.get_memory_set("notes").add("x")
        assert ctx.long_term is None
        assert ctx.short_term_memory._memory.reads == {}
        out(ctx, "done")

    async def any_event(event: Any, ctx: Any) -> None:
        if event.type != EventType.InputEvent:
            out(ctx, event.type)

    # A condition that asks for no type does not ask for memory events.
    agent = agent_of(go).add_action("any", ["id != ''"], any_event)
    assert run(agent, ONE) == ["done"]


def test_what_an_action_for_memory_events_does_is_not_told(store: str) -> None:
    class Echoing(Agent):
        @action(InputEvent)
        async def go(self, event: Any, ctx: Any) -> None:
            ctx.short_term_memory.set("n", 1)

        @action(ShortTermWriteEvent)
        async def tell(self, event: ShortTermWriteEvent, ctx: Any) -> None:
            ctx.short_term_memory.update("n", lambda n: n + 1)
            out(ctx, event.value)

    assert run(Echoing(), ONE, store=store) == [{"n": 1}]


def test_an_action_that_fails_tells_nothing(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("a", 1)
        raise LookupError("no")

    ran: list[Any] = []

    async def tell(event: Any, ctx: Any) -> None:
        ran.append(event)

    agent = agent_of(go).add_action("tell", [ShortTermWriteEvent], tell)
    assert "no" in error_text(failures(agent, ONE, store=store))
    assert ran == []


MASTER = "memory.generate-event"
WRITE, READ = f"{MASTER}.short-term-write", f"{MASTER}.short-term-read"


@pytest.mark.parametrize(
    ("config", "types"),
    [
        ({}, ["write"]),
        ({MASTER: False}, []),
        ({MASTER: True}, ["write", "read"]),
        ({MASTER: False, READ: True}, ["read"]),
        ({MASTER: True, WRITE: False}, ["read"]),
        ({WRITE: "no"}, []),
        ({"memory": {"generate-event": True, "generate-event.short-term-write": False}}, ["read"]),
    ],
)
def test_switches(config: Any, types: list[str]) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        ctx.short_term_memory.set("a", 1)
        yield ctx.durable_execute_async(echo, ctx.short_term_memory.get("a"))

    found = found_by(steps, config=config)
    assert [each[0] for each in found] == [f"_short_term_{each}_event" for each in types]


def test_what_no_event_can_hold_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        ctx.short_term_memory.set("large", "x" * 900)
        ctx.short_term_memory.set("larger", "y" * 990)
        ctx.short_term_memory.set("small", 1)
        yield ctx.durable_execute_async(echo, 1)

    with caplog.at_level(logging.WARNING, "perdure"):
        found = found_by(steps, config={"max-payload-bytes": 1000}, store="memory://")
    ((_, _, value),) = found
    assert value == {"large": "x" * 900, "small": 1}
    assert "_short_term_write_event is made without 'larger'" in caplog.text


def test_the_base_of_memory_events_triggers_nothing() -> None:
    with pytest.raises(AgentDefinitionError, match="it has no type: name a subclass"):

        @action(MemoryEvent)
        async def go(event: Any, ctx: Any) -> None: ...


# The beginning of a run


class Beginning(Agent):
    @action(AgentRunBeginEvent)
    async def begun(self, event: AgentRunBeginEvent, ctx: Any) -> None:
        out(ctx, [event.key, event.value, event.upstream_action_name])

    @action(InputEvent)
    async def go(self, event: Any, ctx: Any) -> None:
        ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
        ctx.short_term_memory.set("deep.er", "x")


def test_a_run_begins_with_what_its_memory_had(store: str) -> None:
    config = {"agent-run.begin-event": True, **READS}
    found = run(told(Beginning(), ShortTermReadEvent), [*ONE, *ONE], store=store, config=config)
    by = "agent_run_begin_action"
    assert found == [["a", {}, by], ["a", {"deep.er": "x", "n": 1}, by]]
    assert run(Beginning(), ONE) == []


# They are durable


def everything(event: Any, ctx: Any) -> Any:
    """Touch all memories, with calls between."""
    short, sensory = ctx.short_term_memory, ctx.sensory_memory
    short.set("a", 1)
    assert short.get("a") == 1
    notes = ctx.long_term_memory.get_memory_set("notes")
    yield notes.add(["green tea", "coffee"])
    yield ctx.durable_execute_async(hold)
    sensory.set("b", short.get("a"))
    assert sensory.get("b") == 1
    yield notes.get()
    yield notes.search("tea")


def identified(kind: str, *, is_free: bool = False) -> Agent:
    async def tell(event: MemoryEvent, ctx: Any) -> None:
        out(ctx, [event.id, event.type, event.value])

    State.gate.open |= is_free
    return agent_for(kind, everything).add_action("tell", ALL, tell)


def test_g3_events_after_a_crash_are_those_without_one(kind: str, tmp_path: Path) -> None:
    config = {**READS, **config_of(kind)}
    found = crash_and_resume(
        identified(kind), ONE, store=f"sqlite:///{tmp_path}/crashed.db", config=config
    )
    whole = run(
        identified(kind, is_free=True), ONE, store=f"sqlite:///{tmp_path}/whole.db", config=config
    )
    assert [name for _, name, _ in found] == [each.EVENT_TYPE for each in ALL]
    assert found == whole
    assert len({id_ for id_, _, _ in found}) == len(ALL)


def test_g2_a_crash_at_any_commit_changes_no_memory_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(store: str) -> Any:
        return run(identified("coroutine", is_free=True), ONE, store=store, config=READS)

    found = output_for_each_crash(CrashAt(monkeypatch), one, tmp_path)
    results = [result for _, _, result in found]
    assert len(results) > 6
    assert results == [results[0]] * len(results)
    assert len(results[0]) == len(ALL)


def test_g2_what_was_told_stays_when_the_switch_is_off_later(sqlite: str) -> None:
    class Held(Agent):
        @action(InputEvent)
        async def go(self, event: Any, ctx: Any) -> None:
            ctx.short_term_memory.set("a", 1)

        @action(ShortTermWriteEvent)
        async def tell(self, event: ShortTermWriteEvent, ctx: Any) -> None:
            await ctx.durable_execute_async(hold)
            out(ctx, event.value)

    off = {"memory.generate-event": False}
    found = crash_and_resume(Held(), ONE, store=sqlite, resume_config=off)
    assert found == [{"a": 1}]
