"""plan_of: what every engine makes of an agent before it runs it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    Agent,
    AgentDefinitionError,
    ConfigurationError,
    Event,
    EventType,
    InputEvent,
    Prompt,
    ResourceType,
)
from perdure.actions.builtin import BUILTIN, builtin
from perdure.agent.plan import AgentPlan
from perdure.agent.resources import added_resource
from perdure.codec.names import NAMES
from perdure.codec.types import TypeRegistry
from perdure.config.configuration import Configuration
from perdure.engine.plan_of import plan_of


def act(event: Any, ctx: Any) -> None:
    pass


def test_a_plan_has_the_built_in_actions_and_the_resources_of_agent_engine_and_job() -> None:
    agent = Agent().add_action("act", InputEvent, act)
    agent.add_resource("own", ResourceType.PROMPT, Prompt.from_text("of the agent"))
    shared = [
        added_resource(name, ResourceType.PROMPT, Prompt.from_text("of the engine"), "the engine")
        for name in ("own", "shared")
    ]
    plan = plan_of(agent, Configuration(), shared)
    names = {spec.name for spec in plan.actions}
    assert {"act", "chat_model_action", "tool_call_action"} <= names
    assert plan.resources[ResourceType.PROMPT, "own"].where != "the engine"
    assert plan.resources[ResourceType.PROMPT, "shared"].where == "the engine"
    stores = [name for kind, name in plan.resources if kind is ResourceType.VECTOR_STORE]
    assert len(stores) == 1  # that of long-term memory


def test_a_resource_that_an_option_names_must_be_declared() -> None:
    config = Configuration({"long-term-memory.chat-model": "none such"})
    with pytest.raises(ConfigurationError, match=r"long-term-memory\.chat-model.*'none such'"):
        plan_of(Agent().add_action("act", InputEvent, act), config)


@pytest.mark.parametrize(("trigger", "warnings"), [(InputEvent, 0), ("misspelled", 1)])
def test_an_agent_that_no_input_can_trigger_is_warned_about(
    trigger: Any, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "perdure"):
        plan_of(Agent().add_action("act", trigger, act), Configuration())
    assert len([each for each in caplog.messages if "no action is triggered" in each]) == warnings


# What every agent has is loaded when something of it is used


def test_what_is_said_of_the_built_in_actions_is_so() -> None:
    compiled = builtin().compiled
    assert {spec.name for spec in compiled.actions} == BUILTIN.names
    triggers = {trigger for spec in compiled.actions for trigger in spec.triggers}
    of_every_agent = AgentPlan.from_agent(Agent().add_action("act", InputEvent, act)).event_classes
    classes = {cls.EVENT_TYPE for cls in compiled.event_classes} - set(of_every_agent)
    assert triggers | classes == BUILTIN.event_types
    assert not any(spec.conditions for spec in compiled.actions)
    assert not builtin().in_turn


def test_all_types_that_are_known_on_use_have_names_of_perdure() -> None:
    # By these a registry tells that it has to load them.
    registry = TypeRegistry()
    for annotated in builtin().compiled.annotated_types:
        registry.register_annotation(annotated)
    classes = {shape.cls for shape in registry._by_name.values()}
    assert {"ChatMessage", "Document", "MemorySetItem", "VectorStoreQuery"} <= {
        cls.__name__ for cls in classes
    }
    for cls in classes:
        assert cls.__module__.startswith("perdure.")
        assert all(name.startswith(("perdure:", "perdure.")) for name in NAMES.of(cls))


def test_a_plan_loads_the_built_in_actions_when_an_event_or_a_name_asks_for_one() -> None:
    def plan() -> AgentPlan:
        return plan_of(Agent().add_action("act", InputEvent, act), Configuration())

    assert [spec.name for spec in plan().actions_for(InputEvent.EVENT_TYPE)] == ["act"]
    found = plan().actions_for(EventType.ToolRequestEvent)
    assert [spec.name for spec in found] == ["tool_call_action"]
    assert plan().event_class_for(EventType.ToolRequestEvent).__name__ == "ToolRequestEvent"
    assert plan().action("chat_model_action").name == "chat_model_action"
    with pytest.raises(KeyError):
        plan().action("none such")
    whole = plan()
    assert {spec.name for spec in whole.actions} == {"act", *BUILTIN.names}
    assert whole.types_on_use is None
    assert whole.builtin is builtin()


def test_an_agent_that_names_an_event_of_theirs_has_them_at_once_and_is_checked() -> None:
    class Mine(Event):
        EVENT_TYPE = EventType.ToolRequestEvent

    with pytest.raises(AgentDefinitionError, match="both events of type"):
        plan_of(Agent().add_action("act", Mine, act), Configuration())
    with pytest.raises(AgentDefinitionError, match="the name of a built-in action"):
        plan_of(Agent().add_action("tool_call_action", InputEvent, act), Configuration())
    own = plan_of(Agent().add_action("act", EventType.ToolRequestEvent, act), Configuration())
    assert own.types_on_use is None
    found = own.actions_for(EventType.ToolRequestEvent)
    assert [spec.name for spec in found] == ["act", "tool_call_action"]


_KILLED = """
import os, sys
from perdure import Agent, InputEvent, LocalEngine, OutputEvent

def said():
    assert sys.argv[2] == "killed"
    from perdure import ChatMessage, Document
    return [ChatMessage.user("hello"), Document("text")]

async def go(event, ctx):
    found = await ctx.durable_execute_async(said)
    await ctx.sleep(0)  # what was returned is durable
    if sys.argv[2] == "killed":
        os._exit(9)
    assert [type(each).__name__ for each in found] == ["ChatMessage", "Document"]
    ctx.send_event(OutputEvent(output=found[0].content))

agent = Agent().add_action("go", InputEvent, go)
assert "perdure.llm.message" not in sys.modules
outputs = LocalEngine(sys.argv[1]).run(agent, [1], key=str)
print(*(each.value for each in outputs))
"""


def test_a_process_that_has_loaded_nothing_of_models_reads_their_values_from_the_journal(
    tmp_path: Path,
) -> None:
    def run(how: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _KILLED, f"sqlite:///{tmp_path}/p.db", how],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert run("killed").returncode == 9
    resumed = run("resumed")
    assert resumed.stdout == "hello\n", resumed.stderr
