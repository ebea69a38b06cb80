"""Agents of Flink Agents on Flink, through their own execution environment."""

from __future__ import annotations

import functools
import json
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from flink_agents.api.agents.react_agent import ReActAgent
from flink_agents.api.agents.types import OutputSchema
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.prompts.prompt import Prompt
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from pydantic import BaseModel
from pyflink.common import Configuration, Types
from pyflink.common.typeinfo import ExternalTypeInfo
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import DataTypes, Schema, StreamTableEnvironment
from tests.flink.mini_cluster import Collected, fail_soon, stumbling, until, until_kept
from tests.flink.their_agents import (
    ByCustomer,
    Cashier,
    Columns,
    JsonConnection,
    Order,
    Shouting,
    Steps,
)
from tests.flink_agents.models import HERE, EchoConnection
from tests.patience import PATIENCE

from perdure.engine.flink.failures import read_failure
from perdure.engine.flink.java import use_java
from perdure.engine.flink.loopback import stops_of_servers
from perdure.engine.flink.settings import options_of
from perdure.errors import AgentDefinitionError, ConfigurationError, FlinkJobError
from perdure.testing.engine_agent import work

SOURCE = Path(__file__).parents[2] / "src"
ORDERS = [Order(customer=f"c{n % 3}", a=n, b=10 * n) for n in range(9)]
BAD = Order(customer="c9", a=-1, b=0)


def parity(order: Order) -> str:
    return "odd" if order.a % 2 else "even"


def flink(**options: str) -> StreamExecutionEnvironment:
    """An environment as users make it, before there is one of agents."""
    use_java()
    made = Configuration()
    made.set_string("python.logging.default.level", "WARN")
    for name, value in options.items():
        made.set_string(name.replace("_", "."), value)
    env = StreamExecutionEnvironment.get_execution_environment(made)
    env.set_parallelism(2)
    return env


def with_resources(env: AgentsExecutionEnvironment) -> AgentsExecutionEnvironment:
    echo = ResourceDescriptor(clazz=EchoConnection, prefix="sum")
    env.add_resource("echo", ResourceType.CHAT_MODEL_CONNECTION, echo)
    env.add_resource("loud", ResourceType.PROMPT, Prompt.from_text("{said}!"))
    env.get_config().set_str("tenant", "acme")
    return env


class Outcome(BaseModel):
    """What came of one job that has all sorts of streams in it."""

    receipts: list[Any]
    shouts: list[Any]
    keyed: list[Any]
    rows: list[Any]
    answers: list[Any]
    failed: list[Any]
    jobs: list[str]


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    receipts, shouts, keyed, rows, failed, answers = (Collected() for _ in range(6))
    env = flink()
    t_env = StreamTableEnvironment.create(env)
    agents = with_resources(AgentsExecutionEnvironment.get_execution_environment(env, t_env))

    orders = env.from_collection([*ORDERS, BAD])
    cashier = agents.from_datastream(orders, ByCustomer()).apply(Cashier())
    tag = cashier.failed
    first = cashier.to_datastream()
    assert cashier.to_datastream() is first
    receipts.take(first)
    failed.take(first.get_side_output(tag))
    second = agents.from_datastream(first, lambda receipt: receipt["customer"]).apply(Shouting())
    shouts.take(second.to_datastream())

    by_parity = env.from_collection(ORDERS).key_by(parity)
    keyed.take(agents.from_datastream(by_parity).apply(Cashier()).to_datastream())

    columns = [
        DataTypes.FIELD("id", DataTypes.BIGINT()),
        DataTypes.FIELD("text", DataTypes.STRING()),
    ]
    table = t_env.from_elements([(n, f"t{n}") for n in range(4)], DataTypes.ROW(columns))
    schema = Schema.new_builder().column("id", DataTypes.BIGINT())
    schema = schema.column("text", DataTypes.STRING()).build()
    row_type = ExternalTypeInfo(Types.ROW_NAMED(["id", "text"], [Types.LONG(), Types.STRING()]))
    out = (
        agents.from_table(input=table, key_selector=lambda row: f"{row['id']}/{row[0]}")
        .apply(Columns())
        .to_table(schema=schema, output_type=row_type)
    )
    rows.take(t_env.to_data_stream(out.select(out.text, out.id)))

    asked_type = Types.ROW_NAMED(["asked", "size"], [Types.STRING(), Types.INT()])
    asked_type.get_java_type_info()  # holds from now on what cannot be pickled
    asking = ReActAgent(
        chat_model=ResourceDescriptor(clazz=f"{HERE}.EchoSetup", connection="json", model="none"),
        prompt=Prompt.from_text("{id} is {text}"),
        output_schema=asked_type,
    )
    agents.add_resource(
        "json", ResourceType.CHAT_MODEL_CONNECTION, ResourceDescriptor(clazz=JsonConnection)
    )
    schema = Schema.new_builder().column("asked", DataTypes.STRING())
    out = (
        agents.from_table(table, lambda row: row.id)
        .apply(asking)
        .to_table(schema.column("size", DataTypes.INT()).build(), ExternalTypeInfo(asked_type))
    )
    answers.take(t_env.to_data_stream(out))

    jobs = [each.spec.job for each in agents._builders]
    ByCustomer.opened.clear()
    agents.execute("all of it")
    return Outcome(
        receipts=receipts.values, shouts=shouts.values, keyed=keyed.values, jobs=jobs,
        answers=[tuple(each) for each in answers.values],
        rows=[tuple(each) for each in rows.values], failed=[read_failure(f) for f in failed.values],
    )  # fmt: skip


def locally() -> list[dict[str, Any]]:
    env = with_resources(AgentsExecutionEnvironment.get_execution_environment())
    given = [{"key": each.customer, "value": each} for each in ORDERS]
    outputs = env.from_list(given).apply(Cashier()).to_list()
    env.execute()
    return [receipt.model_dump() for each in outputs for receipt in each.values()]


def by_customer(receipts: list[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for each in receipts:
        found.setdefault(each["customer"], []).append(each)
    return found


def test_g29_a_stream_gives_what_a_list_gives_locally_as_plain_data(outcome: Outcome) -> None:
    local = locally()
    assert len(local) == len(ORDERS)
    assert by_customer(outcome.receipts) == by_customer(local)


def test_a_key_selector_is_opened_where_it_selects(outcome: Outcome) -> None:
    assert ByCustomer.opened


def test_an_agent_over_the_outputs_of_another_works_in_the_same_job(outcome: Outcome) -> None:
    expected = [
        ["acme", each["customer"], f"{each['said'].upper()}!", each["count"]]
        for each in outcome.receipts
    ]
    assert sorted(outcome.shouts) == sorted(expected)
    assert ["acme", "c0", "SUM: 33!", 2] in expected


def test_a_keyed_stream_keeps_its_keys(outcome: Outcome) -> None:
    counts = [(each["customer"], each["count"]) for each in outcome.keyed]
    expected = [(of, n + 1) for of, times in (("even", 5), ("odd", 4)) for n in range(times)]
    assert sorted(counts) == sorted(expected)


def test_tables_come_in_and_go_out_by_their_schema(outcome: Outcome) -> None:
    assert sorted(outcome.rows) == [(f"t{n} of {n}/{n}", n) for n in range(4)]


def test_a_react_agent_answers_by_a_row_type(outcome: Outcome) -> None:
    assert sorted(outcome.answers) == [(f"{n} is t{n}", 2) for n in range(4)]


def test_a_row_type_is_written_and_pickled_by_its_names() -> None:
    row = Types.ROW_NAMED(["asked", "size"], [Types.STRING(), Types.INT()])
    schema = OutputSchema(output_schema=row)
    written = json.loads(schema.model_dump_json())
    assert written == {
        "output_schema": {"names": ["asked", "size"], "types": ["String", "Integer"]}
    }
    assert OutputSchema.model_validate(written).output_schema == row
    row.get_java_type_info()
    assert pickle.loads(pickle.dumps(schema)).output_schema.get_field_names() == ["asked", "size"]


def test_a_run_that_fails_leaves_by_the_side_output_where_it_is_asked_for(outcome: Outcome) -> None:
    (told,) = outcome.failed
    assert (told.key, told.value["a"], told.error_type) == ("c9", -1, "ValueError")


def test_a_run_that_fails_fails_its_job_with_its_own_error() -> None:
    env = flink()
    agents = with_resources(AgentsExecutionEnvironment.get_execution_environment(env))
    builder = agents.from_datastream(env.from_collection([BAD]), ByCustomer()).apply(Cashier())
    builder.to_datastream().print()
    with pytest.raises(RuntimeError, match="before to_datastream"):
        _ = builder.failed
    told = r"^the job failed: run \w+ of key 'c9' failed: ValueError: nothing costs less"
    with pytest.raises(FlinkJobError, match=told):
        agents.execute()


def test_each_agent_has_a_job_of_its_own(outcome: Outcome) -> None:
    assert outcome.jobs == ["Cashier", "Shouting", "Cashier-2", "Columns", "ReActAgent"]


def test_g5_a_job_that_fails_makes_no_call_again_that_a_checkpoint_has(tmp_path: Path) -> None:
    work.reset()
    inputs = [{"key": f"key {n % 2}", "n": n} for n in range(4)]
    begun = (0, 1)  # of each key the first: they wait at the gate
    outputs, ended = Collected(), []
    env = flink(
        execution_checkpointing_interval="500 ms",
        execution_checkpointing_dir=tmp_path.as_uri(),
    )
    agents = AgentsExecutionEnvironment.get_execution_environment(env)
    given = stumbling(env, inputs)
    outputs.take(agents.from_datastream(given, lambda v: v["key"]).apply(Steps).to_datastream())

    def execute() -> None:
        try:
            agents.execute("steps")
        except Exception as error:  # it is cancelled in the end
            ended.append(error)

    running = threading.Thread(target=execute, daemon=True)
    running.start()
    try:
        until(lambda: ended or all(("gate", n) in work.calls for n in begun))
        until(lambda: ended or agents._clients)
        (client,) = agents._clients
        until_kept(client)
        before = {n: work.count("gate", n) for n in begun}  # it may have been restarted already
        fail_soon()
        until(lambda: ended or all(work.count("gate", n) > before[n] for n in begun), work.calls)
        work.open_gate()
        until(lambda: ended or len(outputs.values) == len(inputs))
        assert ended == []
        client.cancel().result()
    finally:
        work.open_gate()
        running.join(PATIENCE)
    assert not running.is_alive()

    for n in range(len(inputs)):
        assert [work.count(name, n) for name in ("size", "plain_size")] == [1, 1]
    sizes = {each["n"]: (each["sizes"], each["passed"]) for each in outputs.values}
    assert sizes == {n: ([3, 6], n) for n in range(len(inputs))}
    assert len({each["id"] for each in outputs.values}) == len(inputs)


def environment() -> Any:
    return AgentsExecutionEnvironment.get_execution_environment(env=flink())


def test_what_is_not_said_is_refused_with_what_to_do() -> None:
    agents = environment()
    assert isinstance(agents, AgentsExecutionEnvironment)
    with pytest.raises(RuntimeError, match=r"from_datastream\(\.\.\.\)\.apply"):
        agents.execute()
    stream = agents._env.from_collection(ORDERS)
    with pytest.raises(RuntimeError, match="KeySelector must be provided"):
        agents.from_datastream(stream)
    with pytest.raises(RuntimeError, match="KeySelector must be provided"):
        agents.from_table(agents.t_env.from_elements([(1,)], ["id"]))
    with pytest.raises(TypeError, match="key_selector is a str"):
        agents.from_datastream(stream, "customer")
    builder = agents.from_datastream(stream, ByCustomer())
    with pytest.raises(RuntimeError, match="Must apply agent"):
        builder.to_datastream()
    with pytest.raises(ValueError, match="no agent 'ghost'"):
        builder.apply("ghost")
    with pytest.raises(AgentDefinitionError, match="no agent of Flink Agents"):
        builder.apply(object())
    builder.apply(Columns)
    with pytest.raises(RuntimeError, match="apply was called already"):
        builder.apply(Cashier())
    with pytest.raises(RuntimeError, match="nothing takes the outputs of Columns"):
        agents.execute()
    with pytest.raises(ValueError, match="to_table needs output_type="):
        builder.to_table(None)
    with pytest.raises(NotImplementedError, match="from_datastream"):
        agents.from_list([])
    with pytest.raises(NotImplementedError, match="to_datastream"):
        builder.to_list()


def test_an_environment_that_is_none_is_refused() -> None:
    make = AgentsExecutionEnvironment.get_execution_environment
    with pytest.raises(TypeError, match="env is a object"):
        make(env=object())
    with pytest.raises(ValueError, match="StreamExecutionEnvironment is required"):
        make(t_env=object())
    with pytest.raises(ConfigurationError, match="cannot be used on Flink"):
        make(env=flink(), store="sqlite:///x.db")


def test_what_cannot_be_sent_to_workers_is_named() -> None:
    agents = environment()
    held = Prompt.from_text("x")
    held.__dict__["lock"] = threading.Lock()
    agents.add_resource("held", ResourceType.PROMPT, held)
    builder = agents.from_datastream(agents._env.from_collection(ORDERS), ByCustomer())
    builder.apply(Columns())
    with pytest.raises(AgentDefinitionError, match=r"Columns cannot be sent .*ResourceDescriptors"):
        builder.to_datastream()


def test_the_configuration_is_read_from_flinks_folder_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("agent:\n  tenant: acme\n")
    (tmp_path / "more.yaml").write_text("agent:\n  region: north\n")
    env = flink()
    monkeypatch.setenv("FLINK_CONF_DIR", str(tmp_path))
    agents = AgentsExecutionEnvironment.get_execution_environment(env)
    config = agents.get_config(str(tmp_path / "more.yaml"))
    assert (config.get_str("tenant"), config.get_str("region")) == ("acme", "north")
    assert agents.get_config() is config


AGENT_YAML = """
agents:
  - name: columns
    actions:
      - name: rewrite
        function: tests.flink.their_agents:Columns.rewrite
        trigger_conditions: [input]
"""


def test_an_agent_of_a_yaml_file_is_applied_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENT_YAML)
    agents = environment()
    agents.load_yaml(tmp_path / "agents.yaml")
    stream = agents._env.from_collection([{"id": 1, "text": "a"}])
    builder = agents.from_datastream(stream, lambda row: row["id"]).apply("columns")
    builder.to_datastream()
    assert builder.spec.job == "columns"


SCRIPT = """
import json
import sys
from pathlib import Path

from pydantic import BaseModel
from pyflink.common import Types
from pyflink.common.typeinfo import BasicTypeInfo, ExternalTypeInfo, RowTypeInfo
from pyflink.datastream import KeySelector, RuntimeExecutionMode, StreamExecutionEnvironment
from pyflink.table import DataTypes, Schema, StreamTableEnvironment, TableDescriptor

from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext


class Word(BaseModel):
    id: int
    text: str


class Length(BaseModel):
    id: int
    length: int


class ById(KeySelector):
    def get_key(self, value: Word) -> int:
        return value.id


def measured(word: Word) -> Length:
    return Length(id=word.id, length=len(word.text))


class Measuring(Agent):
    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def measure(event: Event, ctx: RunnerContext) -> None:
        word = Word.model_validate(InputEvent.from_event(event).input)
        found = await ctx.durable_execute_async(measured, word)
        ctx.short_term_memory.set("last", found.model_dump())
        ctx.send_event(OutputEvent(output=found))


def main(folder: str) -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_runtime_mode(RuntimeExecutionMode.STREAMING)
    env.set_parallelism(1)
    t_env = StreamTableEnvironment.create(stream_execution_environment=env)
    agents_env = AgentsExecutionEnvironment.get_execution_environment(env=env, t_env=t_env)

    stream = env.from_collection(['{"id": 1, "text": "tea"}', '{"id": 2, "text": "coffee"}'])
    words = stream.map(lambda line: Word.model_validate_json(line))
    lengths = (
        agents_env.from_datastream(input=words, key_selector=ById())
        .apply(Measuring())
        .to_datastream()
    )
    lengths.map(lambda x: "printed " + json.dumps(x), Types.STRING()).print()
    agents_env.execute("words")

    fields = [DataTypes.FIELD("id", DataTypes.INT()), DataTypes.FIELD("text", DataTypes.STRING())]
    table = t_env.from_elements(elements=[(3, "water")], schema=DataTypes.ROW(fields))
    output_type = ExternalTypeInfo(
        RowTypeInfo([BasicTypeInfo.INT_TYPE_INFO()] * 2, ["id", "length"])
    )
    schema = (
        Schema.new_builder()
        .column("id", DataTypes.INT())
        .column("length", DataTypes.INT())
        .build()
    )
    output_table = (
        agents_env.from_table(input=table, key_selector=lambda row: row["id"])
        .apply(Measuring())
        .to_table(schema=schema, output_type=output_type)
    )
    sink = TableDescriptor.for_connector("filesystem").option("path", folder).format("json")
    t_env.create_temporary_table("sink", sink.schema(schema).build())
    output_table.execute_insert("sink").wait()
    for file in Path(folder).iterdir():
        for line in file.read_text().splitlines():
            print("written", line)


if __name__ == "__main__":
    main(sys.argv[1])
"""


def test_a_script_of_theirs_runs_unchanged_in_a_process_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    # Of this process's own there may be what PyFlink sets for workers.
    environ = {k: v for k, v in os.environ.items() if k in ("HOME", "PATH", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-m", "perdure.flink_agents", str(script), str(tmp_path / "written")],
        env={**environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    said = [each for each in done.stdout.splitlines() if each.startswith(("printed", "written"))]
    assert sorted(said) == [
        'printed {"id": 1, "length": 3}',
        'printed {"id": 2, "length": 6}',
        'written {"id":3,"length":5}',
    ], done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_what_pyflink_stops_when_the_process_ends_is_found() -> None:
    """From Python 3.12 on it has to be stopped before, also where the script made it first."""
    server = grpc.server(ThreadPoolExecutor(1))
    stop = functools.partial(server.stop, 1)
    others = functools.partial(len, "stop")
    found = stops_of_servers()
    assert any(each is stop for each in found)
    assert all(each is not others for each in found)


def test_settings_are_completed_without_restarts_where_nothing_is_kept() -> None:
    found = []
    for is_kept in (False, True):
        env = flink()
        if is_kept:
            env.enable_checkpointing(10_000)
        agents = AgentsExecutionEnvironment.get_execution_environment(env)
        stream = env.from_collection(ORDERS)
        agents.from_datastream(stream, ByCustomer()).apply(Columns()).to_datastream()
        options = options_of(env)
        assert options.get_string("python.executable", "") == sys.executable
        found.append(options.get_string("restart-strategy.type", "none of ours"))
    assert found == ["none of ours", "exponential-delay"]
