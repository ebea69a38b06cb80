"""`perdure run --flink-agents FILE:AGENT`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from perdure.cli.load import load_flink_agent
from perdure.cli.main import main
from perdure.config.configuration import AgentExecutionOptions
from perdure.engine.local import LocalEngine
from perdure.errors import AgentDefinitionError, ConfigurationError

AGENT = """
from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.runner_context import RunnerContext


class Configured(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def show(event: Event, ctx: RunnerContext) -> None:
        get = ctx.config.get_str
        names = ("any.key", "max-retries", "error-handling-strategy", "num-async-threads", "tier")
        ctx.send_event(OutputEvent(output=[get(name) for name in names]))


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
    loaded, _ = load_flink_agent(f"{file}:Doubling")
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


CONFIG = """
num-async-threads: 3
max-retries: 1
agent:
  tier: gold
  error-handling-strategy: retry
  max-runs-in-flight: 7
"""


def test_options_are_set_by_file_and_by_name(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    inputs = tmp_path / "in.jsonl"
    inputs.write_text('{"n": 1}\n')
    sets = ["any.key=x", "max-retries=5", "num-async-threads=4", "agent.tier=silver"]
    words = ["run", "--flink-agents", f"{file}:Configured", "--input", str(inputs), "--key", "n"]
    words += ["--store", "memory://", "--config", str(config), "--quiet"]

    code = main([*words, *(word for each in sets for word in ("--set", each))])

    assert code == 0
    assert capsys.readouterr().out == '["x", "5", "retry", "4", "silver"]\n'


def test_what_both_have_goes_over_to_the_core(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    _, found = load_flink_agent(f"{file}:Configured", config, ["max-retries=9"])
    assert found.get(AgentExecutionOptions.MAX_RUNS_IN_FLIGHT) == 7
    assert found.get(AgentExecutionOptions.NUM_ASYNC_THREADS) == 3
    assert found.get(AgentExecutionOptions.MAX_RETRIES) == 1  # of runs, as the file says
    assert found.agent["max-retries"] == 9
    with pytest.raises(ConfigurationError, match="write KEY=VALUE"):
        load_flink_agent(f"{file}:Configured", None, [""])


def test_a_file_that_needs_flink_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / f"{tmp_path.name}.py"
    file.write_text("from pyflink.datastream import KeySelector\n" + AGENT)
    monkeypatch.setitem(sys.modules, "pyflink", None)
    with pytest.raises(ConfigurationError, match=r"needs the extra `flink`.*perdure\[flink\]"):
        load_flink_agent(f"{file}:Doubling")
