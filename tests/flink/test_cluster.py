"""A cluster of processes: two TaskManagers, one of which is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyflink
import pytest
from tests.flink.killed import PROJECT, PYTHON_PATH, Killing, lines
from tests.flink.reviews import EXAMPLE, SAMPLE, by_key, given, on_cluster, on_sqlite
from tests.patience import PATIENCE

from perdure.engine.flink.java import find_java
from perdure.testing import FlinkCluster


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers say which calls they make."""
    return tmp_path_factory.mktemp("calls") / "calls"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, calls: Path) -> Iterator[FlinkCluster]:
    folder = tmp_path_factory.mktemp("cluster") / "flink"
    environ = {"PERDURE_TEST_CALLS": str(calls)}
    with FlinkCluster(folder, python_path=PYTHON_PATH, environ=environ) as cluster:
        yield cluster


def test_g29_a_cluster_gives_what_the_local_engine_gives_byte_for_byte(
    cluster: FlinkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    reviews = given(SAMPLE)
    assert by_key(on_cluster(cluster, reviews, tmp_path)) == by_key(on_sqlite(reviews, tmp_path))


def test_g29_killed_task_managers_cost_no_output_and_double_none(
    cluster: FlinkCluster, tmp_path: Path, calls: Path
) -> None:
    job = Killing(cluster, tmp_path, calls)
    job.run(records=1600, kills=2, seconds=1, a_checkpoint=100)
    assert list(job.wrong()) == []


WORDS = """
from flink_agents.api.agents.agent import Agent
from pydantic import BaseModel


class Word(BaseModel):
    id: int
    text: str
"""
JOB = """
import json
import sys

from pydantic import BaseModel
from pyflink.common import Types
from pyflink.common.serialization import Encoder
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink

from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext
from words import Word


class Length(BaseModel):
    id: int
    length: int


def measured(word: Word) -> Length:
    return Length(id=word.id, length=len(word.text))


class Measuring(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def measure(event: Event, ctx: RunnerContext) -> None:
        word = Word.model_validate(InputEvent.from_event(event).input)
        found = await ctx.durable_execute_async(measured, word)
        ctx.send_event(OutputEvent(output=found))


if __name__ == "__main__":
    env = StreamExecutionEnvironment.get_execution_environment()
    agents_env = AgentsExecutionEnvironment.get_execution_environment(env=env)
    stream = env.from_collection(['{"id": 1, "text": "tea"}', '{"id": 2, "text": "coffee"}'])
    words = stream.map(lambda line: Word.model_validate_json(line))
    lengths = agents_env.from_datastream(words, lambda w: w.id).apply(Measuring()).to_datastream()
    sink = FileSink.for_row_format(sys.argv[1], Encoder.simple_string_encoder()).build()
    lengths.map(lambda x: json.dumps(x), Types.STRING()).sink_to(sink)
    agents_env.execute("words")
"""


def test_a_script_of_flink_agents_is_submitted_with_an_agent_of_its_own(
    cluster: FlinkCluster, tmp_path: Path
) -> None:
    """Workers find `flink_agents`, also where a function of the script imports it."""
    (tmp_path / "words.py").write_text(WORDS)
    (tmp_path / "job.py").write_text(JOB)
    environ = {k: v for k, v in os.environ.items() if k in ("HOME", "PATH", "TMPDIR")}
    environ["JAVA_HOME"] = str(find_java().home)
    environ["FLINK_CONF_DIR"] = str(cluster.folder / "conf")
    environ["PYTHONPATH"] = str(PROJECT / "src")
    python = ["-pyclientexec", sys.executable, "-pyexec", sys.executable]
    done = subprocess.run(
        [
            Path(pyflink.__file__).parent / "bin" / "flink", "run", *python,
            "-pyfs", tmp_path / "words.py", "-pym", "perdure.flink_agents",
            tmp_path / "job.py", tmp_path / "out",
        ],
        env=environ, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = map(json.loads, lines(tmp_path / "out"))
    assert sorted(each["length"] for each in found) == [3, 6]
