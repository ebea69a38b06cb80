"""Agents in Flink's mini cluster, in this process: at most six jobs, for each takes seconds."""

from __future__ import annotations

import collections
import datetime
import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pyflink.common import Types
from pyflink.table import DataTypes, StreamTableEnvironment
from tests.flink.agents import Broken, Doubled, Rated, Shop
from tests.flink.mini_cluster import (
    Collected,
    environment,
    fail_soon,
    stumbling,
    until,
    until_kept,
)

from perdure import FlinkEngine, FlinkJobError, LocalEngine
from perdure.engine.flink.failures import read_failure
from perdure.engine.flink.start import check_start
from perdure.testing.engine_agent import ContractAgent, work
from perdure.testing.engine_contract import EngineContract, FailedWith, Ran

EXAMPLES = Path(__file__).parents[2] / "examples"
CLOSE_SECONDS = 120.0


def job_name() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


class TestMiniCluster(EngineContract):
    def run(
        self, agent: type[ContractAgent], inputs: list[dict[str, Any]], config: dict[str, Any]
    ) -> Ran:
        outputs, failed = Collected(), Collected()
        with FlinkEngine(job=job_name(), config=config) as engine:
            env = environment(engine)
            stream = engine.apply(agent, env.from_collection(inputs), key="key", id="n")
            outputs.take(stream)
            failed.take(stream.get_side_output(engine.failed))
            engine.execute(env)
        told = map(read_failure, failed.values)
        return Ran(outputs.values, [FailedWith(each.error_type, each.error) for each in told])

    def run_interrupted(
        self, agent: type[ContractAgent], inputs: list[dict[str, Any]], at: Callable[[], bool]
    ) -> Ran:
        outputs = Collected()
        engine = FlinkEngine(job=job_name())
        env = environment(engine)
        given = stumbling(env, inputs)
        outputs.take(engine.apply(agent, given, key="key", id="n"))

        ended: list[Exception] = []
        has_started = threading.Event()  # for `execute`: what fails before ends it

        def checked(*asked: Any) -> None:
            check_start(*asked)
            has_started.set()

        def execute() -> None:
            try:
                with mock.patch("perdure.engine.flink.engine.check_start", checked):
                    engine.execute(env)
            except Exception as error:  # it is cancelled in the end
                ended.append(error)

        running = threading.Thread(target=execute, daemon=True)
        running.start()
        try:
            assert at(), ended
            until(lambda: ended or has_started.is_set())
            until_kept(engine._clients[0])
            waiting = collections.Counter(work.calls)
            at_gate = [each for each in waiting if each[0] == "gate"]
            fail_soon()
            until(
                lambda: ended or all(work.count(*each) > waiting[each] for each in at_gate),
                work.calls,
            )
            work.open_gate()
            until(lambda: ended or len(outputs.values) >= len(inputs))
            assert ended == []
        finally:
            work.open_gate()
            engine.close()
            running.join(CLOSE_SECONDS)
        assert not running.is_alive()
        return Ran(outputs.values, [])


def test_g29_the_example_gives_what_it_gives_on_the_local_engine_byte_for_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second agent is behind it in the same job, in the same process."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "product_reviews"))
    from agent import ReviewAgent  # type: ignore[import-not-found]

    lines = (EXAMPLES / "product_reviews" / "sample_reviews.jsonl").read_text("utf-8").splitlines()
    reviews = [json.loads(line) for line in lines]
    outputs, doubled = Collected(), Collected()
    first, second = FlinkEngine(job=job_name()), FlinkEngine("memory://", job=job_name())
    with first, second:
        env = environment(first)
        scored = first.apply(ReviewAgent, env.from_collection(reviews), key="id", id=review_id)
        outputs.take(scored)
        doubled.take(second.apply(Doubled, scored, key="id", output_type=Types.STRING()))
        first.execute(env)
    local = LocalEngine("memory://").run(ReviewAgent, reviews, key="id")
    assert by_key(outputs.values) == by_key([output.value for output in local])
    assert sorted(doubled.values) == sorted(
        f"{o.value['id']} {2 * o.value['count']}" for o in local
    )


def review_id(review: dict[str, Any]) -> str:
    return f"{review['id']}-{review['ts']}-{len(review['review'])}"


def by_key(outputs: list[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for output in outputs:
        found.setdefault(output["id"], []).append(json.dumps(output))
    return found


def test_a_job_whose_workers_cannot_start_is_an_error_with_the_cause() -> None:
    with FlinkEngine(job=job_name()) as engine:
        env = environment(engine)
        engine.apply(Broken, env.from_collection([{"key": 1, "n": 1}]), key="key", id="n").print()
        with pytest.raises(FlinkJobError, match=r"does not start: .*not on a worker") as refusal:
            engine.execute(env)
        assert "\n" not in str(refusal.value)


def test_inputs_that_are_none_leave_by_the_side_output() -> None:
    inputs: list[Any] = [
        {"key": "a", "n": 1, "item": "tea"},
        {"n": 2},
        {"key": "a", "n": None, "item": "tea"},
        {"key": object, "n": 3},
        {"key": "a", "n": 4, "item": "coffee"},
    ]
    outputs, failed = Collected(), Collected()
    with FlinkEngine("memory://", job=job_name()) as engine:
        env = environment(engine)
        stream = engine.apply(Shop, env.from_collection(inputs), key="key", id="n")
        outputs.take(stream)
        failed.take(stream.get_side_output(engine.failed))
        engine.execute(env)
    assert outputs.values == [["a", 1, 1, 3], ["a", 4, 2, 9]]
    told = [read_failure(each) for each in failed.values]
    assert [(each.id, each.run) for each in told] == [("2", None), (None, None), ("3", None)]
    assert "has no field 'key' for the key" in told[0].error
    assert "has the id None" in told[1].error
    assert told[2].error_type == "perdure.errors.EncodeError"


def test_a_table_comes_in_and_goes_out_and_what_does_not_fit_its_row_fails_alone() -> None:
    rows = [(f"p{n % 2}", n, "x" * n, noon(n), ["a", None]) for n in range(1, 6)]
    field, made, failed = DataTypes.FIELD, Collected(), Collected()
    columns = [
        field("product", DataTypes.STRING()),
        field("n", DataTypes.BIGINT()),
        field("text", DataTypes.STRING()),
        field("at", DataTypes.TIMESTAMP(3)),
        field("tags", DataTypes.ARRAY(DataTypes.STRING())),
    ]
    row_type = Types.ROW_NAMED(
        ["n", "length", "at", "tags"],
        [Types.LONG(), Types.INT(), Types.SQL_TIMESTAMP(), Types.BASIC_ARRAY(Types.STRING())],
    )
    with FlinkEngine(job=job_name()) as engine:
        env = environment(engine)
        tables = StreamTableEnvironment.create(env)
        given = tables.from_elements(rows, DataTypes.ROW(columns))
        outputs = engine.apply(Rated, given, key="product", id="n", output_type=row_type)
        failed.take(outputs.get_side_output(engine.failed))
        table = tables.from_data_stream(outputs)
        made.take(tables.to_data_stream(table.select(table.n, table.length, table.at)))
        engine.execute(env)
    assert sorted(tuple(each) for each in made.values) == [(n, n, noon(n)) for n in (1, 2, 4, 5)]
    (told,) = map(read_failure, failed.values)
    assert (told.id, told.key, told.value["more"]) == ("3", "p1", 1)
    assert told.error.startswith("output is {'n': 3, ")
    assert "also has more" in told.error


def noon(day: int) -> datetime.datetime:
    """As SQL has it, of no time zone."""
    return datetime.datetime(2026, 11, day, 12, 0)  # noqa: DTZ001
