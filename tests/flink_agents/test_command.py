"""`perdure run --flink-agents FILE:AGENT`."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.cli.load import load_flink_agent
from perdure.engine.local import LocalEngine
from perdure.errors import AgentDefinitionError, ConfigurationError

AGENT = """
from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.runner_context import RunnerContext


class Doubling(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def double(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=2 * InputEvent.from_event(event).input["n"]))


number = 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / f"{tmp_path.name}.py"  # a module of its own for each test
    path.write_text(AGENT)
    return path


def test_an_agent_of_theirs_is_loaded_and_runs(file: Path) -> None:
    loaded = load_flink_agent(f"{file}:Doubling")
    found = LocalEngine("memory://").run(loaded.agent, [{"n": 4}], key="n")

    assert loaded.name == f"{file.stem}.Doubling"
    assert [each.value for each in found] == [8]


def test_what_is_none_is_refused(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no 'Absent'"):
        load_flink_agent(f"{file}:Absent")
    with pytest.raises(ConfigurationError, match="FILE:AGENT"):
        load_flink_agent(str(file))
    with pytest.raises(AgentDefinitionError, match="no agent of Flink Agents"):
        load_flink_agent(f"{file}:number")
