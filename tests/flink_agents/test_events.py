"""Events: pydantic models with a UUID, attributes and extras."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from uuid import UUID

import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.events.tool_event import ToolResponseEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext
from pydantic import Field, ValidationError
from pydantic_core import PydanticSerializationError


class Scored(Event):
    """A typed event, as the documentation writes them."""

    EVENT_TYPE: ClassVar[str] = "scored"

    def __init__(self, score: int) -> None:
        super().__init__(type=self.EVENT_TYPE, attributes={"score": score})

    @classmethod
    def from_event(cls, event: Event) -> Scored:
        return cls(event.get_attr("score")).reconstruct_from(event)

    @property
    def score(self) -> int:
        return self.get_attr("score")


class Fielded(Event):
    """A typed event with pydantic fields of its own."""

    type: str = "fielded"
    note: str = Field(min_length=1)


def test_an_event_is_a_pydantic_model_with_a_uuid() -> None:
    event = Event(type="x", attributes={"a": 1}, top=2)

    assert isinstance(event.id, UUID)
    assert event.get_type() == event.type == "x"
    assert (event.get_attr("a"), event.get_attr("b"), event.top) == (1, None, 2)
    assert json.loads(event.model_dump_json())["id"] == str(event.id)
    assert Event.from_json(event.model_dump_json()) == event
    assert Event(type="x").id != Event(type="x").id


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValidationError):
        Event(type="x", a=object())
    with pytest.raises(ValidationError):
        Event(a=1)
    event = Event(type="x")
    with pytest.raises(PydanticSerializationError):
        event.c = object()
    with pytest.raises(ValueError, match="type"):
        Event.from_json('{"attributes": {}}')


def test_subclasses_have_fields_validators_and_identity() -> None:
    source = Event(type="scored", attributes={"score": 3})
    seen = Scored.from_event(source)

    assert (seen.score, seen.id) == (3, source.id)
    with pytest.raises(ValidationError):
        Fielded(note="")
    assert InputEvent(input=1).type == "_input_event"
    assert OutputEvent(output=1).model_copy().output == 1
    assert ToolResponseEvent(UUID(int=1), {"a": 1}).success == {}


class Passing(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        scored, fielded = Scored(4), Fielded(note="n", more={"deep": [1]})
        for each in (scored, fielded):
            ctx.send_event(each)
        ctx.sensory_memory.set("ids", [str(scored.id), str(fielded.id)])

    @action(Scored.EVENT_TYPE)
    @staticmethod
    def take_score(event: Event, ctx: RunnerContext) -> None:
        assert type(event) is Event
        seen = Scored.from_event(event)
        assert ctx.sensory_memory.get("ids")[0] == str(seen.id)
        assert isinstance(event.upstream_event_id, UUID)
        assert event.upstream_action_name == "begin"
        ctx.send_event(OutputEvent(output=["score", seen.score, str(seen.id)]))

    @action("fielded")
    @staticmethod
    def take_fields(event: Event, ctx: RunnerContext) -> None:
        assert ctx.sensory_memory.get("ids")[1] == str(event.id)
        ctx.send_event(OutputEvent(output=["note", event.note, event.more]))


def outputs_of(agent: Agent, url: str, job: str) -> list[Any]:
    env = AgentsExecutionEnvironment.get_execution_environment(store=url, job=job)
    outputs = env.from_list([{"key": "k", "value": 0}]).apply(agent).to_list()
    env.execute()
    return [each["k"] for each in outputs]


def test_g3_events_cross_with_id_attributes_fields_and_extras(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    first = outputs_of(Passing(), url, "events")

    assert [each[:2] for each in first] == [["score", 4], ["note", "n"]]
    assert first[1][2] == {"deep": [1]}
    assert outputs_of(Passing(), url, "events") == first


class Conditional(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        for n in (1, 5):
            ctx.send_event(Event(type="number", attributes={"n": n}))

    @action("type == 'number' && n > 3")
    @staticmethod
    def great(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.get_attr("n")))


def test_conditions_trigger_actions() -> None:
    assert outputs_of(Conditional(), "memory://", "conditions") == [5]


class Added(Agent):
    """Actions and configuration given by hand, in the words of 0.3 and of 0.4."""

    def __init__(self) -> None:
        super().__init__()
        self.add_action("one", [InputEvent.EVENT_TYPE], Added.act, factor=3)
        self.add_action(name="two", events=[InputEvent.EVENT_TYPE], func=Added.act)
        with pytest.raises(ValueError, match="Action one already defined"):
            self.add_action("one", [InputEvent.EVENT_TYPE], Added.act)

    @staticmethod
    def act(event: Event, ctx: RunnerContext) -> None:
        factor = ctx.get_action_config_value("factor")
        ctx.send_event(OutputEvent(output=[factor, ctx.action_config]))


def test_actions_are_added_with_their_configuration() -> None:
    found = outputs_of(Added(), "memory://", "added")
    assert sorted(found, key=str) == [[3, {"factor": 3}], [None, {}]]
