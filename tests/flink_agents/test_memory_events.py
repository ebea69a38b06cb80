"""Memory events and the event that begins a run, as Flink Agents has them."""

from __future__ import annotations

from typing import Any

import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.core_options import AgentExecutionOptions, MemoryEventOptions
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.events.event_type import EventType
from flink_agents.api.events.memory_event import (
    LongTermSearchEvent,
    LongTermUpdateEvent,
    MemoryEvent,
    SensoryReadEvent,
    ShortTermReadEvent,
    ShortTermWriteEvent,
)
from flink_agents.api.events.run_event import AgentRunBeginEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext
from tests.promises.support import crash_and_resume, hold, reset

from perdure.flink_agents.border.compiled import compiled
from perdure.flink_agents.plan.configuration import AgentConfiguration

TYPES = [
    EventType.ShortTermWriteEvent,
    EventType.ShortTermReadEvent,
    EventType.SensoryWriteEvent,
    EventType.SensoryReadEvent,
    EventType.LongTermUpdateEvent,
    EventType.LongTermGetEvent,
    EventType.LongTermSearchEvent,
]


class Using(Agent):
    """Uses all memories, and outputs what is told of them."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def use(event: Event, ctx: RunnerContext) -> None:
        short = ctx.short_term_memory
        short.set("user.tier", "silver")
        short.set("user.tier", "gold")
        short.new_object("empty")
        assert short.get("user").get("tier") == "gold"
        ctx.sensory_memory.set("seen", {"n": 1})
        notes = ctx.long_term_memory.get_memory_set("notes")
        notes.add("old")
        notes.delete()
        assert notes.add(["green tea"]) != []
        notes.search("tea", 3)
        notes.get()

    @action(*TYPES)
    @staticmethod
    def tell(event: Event, ctx: RunnerContext) -> None:
        told = MemoryEvent.from_event(event)
        assert type(told) is type(event)
        ctx.short_term_memory.set("told", told.type)
        sets = getattr(told, "cleared_sets", None)
        ctx.send_event(OutputEvent(output=[told.type, told.key, told.value, sets]))


def run(agent: Any, options: Any = (), *, inputs: Any = (1,), store: str = "memory://") -> Any:
    env = AgentsExecutionEnvironment.get_execution_environment(store=store, job="memory")
    for option, value in options:
        env.get_config().set(option, value)
    outputs = env.from_list([{"key": 7, "value": each} for each in inputs]).apply(agent).to_list()
    env.execute()
    return [each[7] for each in outputs]


def test_what_an_action_did_to_memory_is_told(store: str) -> None:
    write, sensory, update, got, searched = run(Using(), store=store)
    assert write == [
        "_short_term_write_event", "7", {"user.tier": "gold", "empty": None}, None,
    ]  # fmt: skip
    assert sensory == ["_sensory_write_event", "7", {"seen": {"n": 1}}, None]
    ((id_, text),) = update[2]["notes"].items()
    assert (text, update[3]) == ("green tea", ["notes"])
    assert got == ["_long_term_get_event", "7", {"notes": {id_: text}}, None]
    assert searched[:2] == ["_long_term_search_event", "7"]
    (hit,) = searched[2]["notes"]["tea"]
    assert (hit["id"], hit["value"]) == (id_, text)


@pytest.mark.parametrize(
    ("options", "types"),
    [
        ([(MemoryEventOptions.MEMORY_GENERATE_EVENT, True)], TYPES[:3] + TYPES[4:]),
        ([(MemoryEventOptions.MEMORY_GENERATE_EVENT, False)], []),
        (
            [
                (MemoryEventOptions.MEMORY_GENERATE_EVENT, "false"),
                (MemoryEventOptions.SHORT_TERM_READ, True),
                (MemoryEventOptions.LONG_TERM_GET, "true"),
            ],
            [TYPES[1], TYPES[5]],
        ),
    ],
)
def test_switches(options: Any, types: list[str]) -> None:
    assert [each[0] for each in run(Using(), options)] == types


class Begun(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def use(event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("a.b", [1])
        ctx.send_event(OutputEvent(output="used"))

    @action(EventType.AgentRunBeginEvent)
    @staticmethod
    def tell(event: Event, ctx: RunnerContext) -> None:
        begun = AgentRunBeginEvent.from_event(event)
        ctx.send_event(OutputEvent(output=[begun.key, begun.value]))


def test_a_run_begins_with_what_its_memory_had(store: str) -> None:
    on = [(AgentExecutionOptions.AGENT_RUN_BEGIN_EVENT, True)]
    assert run(Begun(), on, inputs=(1, 2), store=store) == [
        "used", ["7", {}], "used", ["7", {"a.b": [1]}],
    ]  # fmt: skip
    assert run(Begun()) == ["used"]


async def held() -> str:
    return await hold()


class Held(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def use(event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("a", 1)
        await ctx.durable_execute_async(held)
        ctx.sensory_memory.set("b", ctx.short_term_memory.get("a"))

    @action(*TYPES)
    @staticmethod
    def tell(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=[str(event.id), event.type, event.get_attr("value")]))


def test_g3_events_after_a_crash_are_those_without_one(tmp_path: Any) -> None:
    reset()
    config = {"memory.generate-event": True}

    def found(name: str) -> Any:
        made = compiled(Held(), AgentConfiguration())
        store = f"sqlite:///{tmp_path}/{name}.db"
        return crash_and_resume(made, ["go"], store=store, key=str, config=config)

    crashed = found("crashed")
    reset()
    assert crashed == found("again")
    assert [each[1:] for each in crashed] == [
        ["_short_term_write_event", {"a": 1}],
        ["_short_term_read_event", {"a": 1}],
        ["_sensory_write_event", {"b": 1}],
    ]
    assert len({each[0] for each in crashed}) == 3


# The classes by themselves


def test_values_become_plain_data_of_their_own() -> None:
    given = {"deep": {"n": 1}, "bytes": b"\x01\x02\x03"}
    event = ShortTermWriteEvent(key="k", value=given)
    given["deep"]["n"] = 2  # type: ignore[index]
    assert event.value == {"deep": {"n": 1}, "bytes": "AQID"}
    assert Event.from_json(event.model_dump_json()).attributes == event.attributes
    assert ShortTermWriteEvent.model_validate(event.model_dump()) == event


def test_an_event_is_seen_as_the_class_of_its_type() -> None:
    plain = Event(
        type=EventType.LongTermUpdateEvent,
        attributes={"key": "k", "value": {"s": {"i": None}}, "cleared_sets": ["s"]},
    )
    seen = MemoryEvent.from_event(plain)
    assert isinstance(seen, LongTermUpdateEvent)
    assert (seen.id, seen.value, seen.cleared_sets) == (plain.id, {"s": {"i": None}}, ["s"])
    assert LongTermSearchEvent(key="k", value={"s": {"q": []}}).results == {"s": {"q": []}}
    assert MemoryEvent.is_memory_type(SensoryReadEvent.EVENT_TYPE)
    assert not MemoryEvent.is_memory_type("_input_event")
    assert not MemoryEvent.is_memory_type(None)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: MemoryEvent(key="k", value={}), TypeError, "abstract"),
        (lambda: ShortTermReadEvent(key=None, value={}), TypeError, "key"),
        (lambda: ShortTermReadEvent(key="k"), TypeError, "value"),
        (lambda: AgentRunBeginEvent(key="k", value=None), TypeError, "value"),
        (lambda: ShortTermReadEvent(key="k", value={"a": float("nan")}), ValueError, "JSON seri"),
        (lambda: ShortTermReadEvent(key="k", value={"a": object()}), ValueError, "JSON seri"),
        (lambda: MemoryEvent.from_event(Event(type="x")), ValueError, "Not a memory event type: x"),
        (
            lambda: MemoryEvent.from_event(Event(type=TYPES[0], attributes={"key": "k"})),
            TypeError,
            "value",
        ),
        (
            lambda: LongTermUpdateEvent(key="k", value={}, cleared_sets="prefs"),
            TypeError,
            "must be a list",
        ),
        (
            lambda: LongTermUpdateEvent(key="k", value={}, cleared_sets=["prefs", 1]),
            TypeError,
            "only strings",
        ),
    ],
)
def test_what_is_no_memory_event_is_refused(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()
