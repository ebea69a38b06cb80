"""Agents in YAML files, in the words of 0.3 and of 0.4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.yaml.loader import build_agents, resolve_function
from pydantic import ValidationError

ME = "tests.flink_agents.test_yaml"


def ask(event: Event, ctx: RunnerContext) -> None:
    message = ChatMessage(role=MessageRole.USER, content=InputEvent.from_event(event).input)
    ctx.send_event(ChatRequestEvent("model", [message]))


def answer(event: Event, ctx: RunnerContext) -> None:
    said = ChatResponseEvent.from_event(event).response.content
    ctx.send_event(OutputEvent(output=[ctx.get_action_config_value("mark"), said]))


def add(a: int, b: int, tenant: str) -> str:
    """Add two numbers."""
    return f"{tenant}:{a + b}"


YAML = """
agents:
  - name: asking
    actions:
      - name: ask
        function: {me}:ask
        {triggers}: [input]
      - answer
    chat_model_setups:
      - name: model
        clazz: tests.flink_agents.models.EchoSetup
        connection: connection
        model: any
        tools: [add]
actions:
  - name: answer
    function: {me}:answer
    {triggers}: [chat_response]
    config: {{mark: 7}}
tools:
  - name: add
    function: {me}:add
    injected_args:
      tenant: {{source: config}}
chat_model_connections:
  - name: connection
    clazz: tests.flink_agents.models.EchoConnection
    prefix: yaml
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "agents.yaml"
    path.write_text(text)
    return path


def run(path: Any, value: str, store: str) -> list[Any]:
    env = AgentsExecutionEnvironment.get_execution_environment(store=store, job="yaml")
    env.get_config().set_str("tenant", "acme")
    outputs = env.load_yaml(path).from_list([{"key": 0, "value": value}]).apply("asking").to_list()
    env.execute()
    return [each[0] for each in outputs]


@pytest.mark.parametrize("triggers", ["trigger_conditions", "listen_to"])
def test_an_agent_in_a_file_runs(tmp_path, store: str, triggers: str) -> None:
    path = written(tmp_path, YAML.format(me=ME, triggers=triggers))

    assert run(path, "sum 2 3", store) == [[7, "yaml: acme:5"]]


def test_names_are_unique_and_known(tmp_path) -> None:
    path = written(tmp_path, YAML.format(me=ME, triggers="listen_to"))
    env = AgentsExecutionEnvironment.get_execution_environment().load_yaml([path])
    with pytest.raises(ValueError, match="asking"):
        env.load_yaml(path)
    with pytest.raises(ValueError, match="nobody"):
        env.from_list([]).apply("nobody")
    agents, shared, actions = build_agents(path)
    assert (list(agents), list(actions)) == (["asking"], ["answer"])
    assert sum(map(len, shared.values())) == 2


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", ValueError, "is empty"),
        ("agents: [{name: a}, {name: a}]", ValueError, "Duplicate agent name"),
        ("agents: [{name: a, actions: [b]}]", ValueError, "shared action 'b'"),
        ("agents: [{name: a, unknown: 1}]", ValidationError, "unknown"),
        ("prompts: [{name: a}]", ValidationError, "exactly one of"),
        ("actions: [{name: a, function: 'm:f'}]", ValidationError, "trigger_conditions"),
        ("agents: [{name: a, actions: [{name: b, trigger_conditions: [input]}]}]", ValueError, "b"),
        ("tools: [{name: t, type: java, function: 'a.B:c'}]", ValueError, "parameter_types"),
    ],
)
def test_what_a_file_must_not_say(tmp_path, text: str, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        build_agents(written(tmp_path, text))


@pytest.mark.parametrize("function", [None, "nothing", "a:b:c", ":b", "a:"])
def test_a_function_is_module_and_name(function: str | None) -> None:
    with pytest.raises(ValueError, match="<module-or-class>:<qualname>"):
        resolve_function(name="x", function=function)
