"""plan_of: what every engine makes of an agent before it runs it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from perdure import Agent, ConfigurationError, InputEvent, Prompt, ResourceType
from perdure.agent.resources import added_resource
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
