"""A cluster of processes, and one of them killed."""

from __future__ import annotations

import collections
import json
import threading
from pathlib import Path
from typing import Any

import psutil
from pyflink.common import Types, WatermarkStrategy
from pyflink.common.serialization import Encoder
from pyflink.datastream import DataStream
from pyflink.datastream.connectors.file_system import FileSink, RollingPolicy
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from tests.flink.agents import KEYS, Steps, key_of
from tests.flink.mini_cluster import until

from perdure import FlinkEngine
from perdure.testing import FlinkCluster

PROJECT = Path(__file__).parents[2]
RECORDS = 800
KILL_AT = 200  # first calls


def into_files(stream: DataStream, folder: Path) -> None:
    rolling = RollingPolicy.on_checkpoint_rolling_policy()
    encoder = Encoder.simple_string_encoder()
    sink = FileSink.for_row_format(str(folder), encoder).with_rolling_policy(rolling).build()
    stream.sink_to(sink)


def lines(folder: Path) -> list[Any]:
    # A part that is not committed begins with a dot.
    files = [file for file in folder.glob("*/part-*") if not file.name.startswith(".")]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def calls_in(file: Path) -> list[tuple[str, int, int, float]]:
    if not file.exists():
        return []
    split = [line.split("\t") for line in file.read_text().splitlines()]
    return [(name, int(n), int(pid), float(at)) for name, n, pid, at in split]


def seconds_in(file: Path) -> set[int]:
    """The numbers whose first call had settled, since the second was made."""
    return {n for name, n, _, _ in calls_in(file) if name == "second"}


def workers_of(task_manager: int) -> list[psutil.Process]:
    """The Python processes that a TaskManager has started."""
    found = psutil.Process(task_manager).children(recursive=True)
    return [each for each in found if "beam_boot" in " ".join(each.cmdline())]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_g29_a_killed_task_manager_costs_no_output_and_doubles_none(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    cluster = FlinkCluster(
        tmp_path / "cluster",
        python_path=[PROJECT, PROJECT / "src"],
        environ={"PERDURE_TEST_CALLS": str(calls)},
    )
    failed: list[BaseException] = []
    with cluster, FlinkEngine(job="steps") as engine:
        env = engine.environment({**cluster.options, "execution.checkpointing.interval": "1 s"})
        source = NumberSequenceSource(0, RECORDS - 1)
        numbers = env.from_source(
            source, WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()
        )
        numbers.set_parallelism(1)
        outputs = engine.apply(Steps, numbers, key=key_of, id=int, output_type=Types.STRING())
        into_files(outputs, tmp_path / "out")

        def execute() -> None:
            try:
                engine.execute(env)
            except BaseException as error:
                failed.append(error)

        running = threading.Thread(target=execute)
        running.start()
        until(lambda: failed or len(calls_in(calls)) >= KILL_AT)
        workers = workers_of(cluster.task_managers[0])
        assert workers
        before, settled = cluster.completed_checkpoints(), seconds_in(calls)
        # The second of them began after the first was complete, and has all that had settled.
        until(lambda: failed or cluster.completed_checkpoints() >= before + 2)
        cluster.kill_task_manager(0)
        # It is dead, and its worker ends itself: the other TaskManager's goes on with its work.
        until(lambda: not alive(workers))
        running.join()
    assert failed == []
    by_key = collections.defaultdict(list)
    for key, n, count, name in lines(tmp_path / "out"):
        by_key[key].append((n, count, name))
    expected = [(j * KEYS, j + 1) for j in range(RECORDS // KEYS)]
    for key in range(KEYS):
        assert sorted((n - key, count) for n, count, _ in by_key[key]) == expected
    names = [name for outputs in by_key.values() for _, _, name in outputs]
    assert len(set(names)) == RECORDS
    made = collections.Counter((name, n) for name, n, _, _ in calls_in(calls))
    assert len(made) == 2 * RECORDS
    assert max(made.values()) <= 2
    assert settled
    assert {made["first", n] for n in settled} == {1}  # a checkpoint has them
