"""A job of dependent calls on a cluster, one of whose TaskManagers is killed again and again.

The source gives so many records a checkpoint, so that the job lasts as long as there is something
to kill, however slow the machine is.

    python -m tests.flink.killed --records 1600 --checkpoints 2
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import math
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from pyflink.common import Types
from pyflink.common.serialization import Encoder
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, RollingPolicy
from pyflink.java_gateway import get_gateway
from tests.flink.agents import KEYS, Steps, key_of
from tests.flink.mini_cluster import until

from perdure import FlinkEngine
from perdure.testing import FlinkCluster

PROJECT = Path(__file__).parents[2]
PYTHON_PATH = [PROJECT, PROJECT / "src", PROJECT / "examples" / "product_reviews"]
# Completed checkpoints before a kill: the first may have begun before a call settled, and the
# second before the bundle that has it in the state.
CHECKPOINTS = 3
PAUSE = "500 ms"  # between checkpoints, at least: a bundle comes more often
IN_THE_MIDST = 10  # calls made since the last of them
ORPHAN_SECONDS = 1.0
LAG = 1.0  # s, at most: from the end of a call to the bundle that has it in the state


@dataclasses.dataclass(frozen=True)
class Call:
    """One making of a call: in which process, when it began and ended, seconds since the epoch."""

    name: str
    n: int
    process: int
    at: float
    ended: float


@dataclasses.dataclass
class Kill:
    """What was so when a TaskManager was killed.

    Attributes:
        at: when, seconds since the epoch.
        workers: its Python processes.
        kept: numbers of records whose first call had settled checkpoints before.
        checkpoint: when the newest complete checkpoint began, seconds since the epoch.
    """

    at: float
    workers: list[int]
    kept: set[int]
    checkpoint: float


def into_files(stream: DataStream, folder: Path) -> None:
    rolling = RollingPolicy.on_checkpoint_rolling_policy()
    encoder = Encoder.simple_string_encoder()
    sink = FileSink.for_row_format(str(folder), encoder).with_rolling_policy(rolling).build()
    stream.sink_to(sink)


def lines(folder: Path) -> Iterator[str]:
    """Yield what was committed; what one subtask wrote, in its order."""
    # A part that is not committed begins with a dot.
    files = [file for file in folder.glob("*/part-*") if not file.name.startswith(".")]
    for file in sorted(files, key=_place):
        yield from file.read_text("utf-8").splitlines()


def _place(part: Path) -> tuple[str, str, int]:
    """Return where a part belongs: each hour has a folder, whose parts have names of their own."""
    name, _, number = part.name.rpartition("-")
    return part.parent.name, name, int(number)


def calls_in(file: Path) -> list[Call]:
    if not file.exists():
        return []
    begun, ended = [], collections.defaultdict(list)
    for line in file.read_text("utf-8").splitlines():
        what, n, process, at = line.split("\t")
        name, _, done = what.partition(" ")
        call = (name, int(n), int(process))
        if done:
            ended[call].append(float(at))
        else:
            begun.append((call, float(at)))
    return [
        Call(*call, at, min((each for each in ended[call] if each >= at), default=math.inf))
        for call, at in begun
    ]


def workers_of(task_manager: int) -> list[psutil.Process]:
    """The Python processes that a TaskManager has started."""
    found = psutil.Process(task_manager).children(recursive=True)
    return [each for each in found if "beam_boot" in " ".join(each.cmdline())]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def numbers(
    env: StreamExecutionEnvironment, count: int, a_checkpoint: int | None = None
) -> DataStream:
    """A bounded stream of numbers; so many a complete checkpoint, or all at once."""
    jvm, int_type = get_gateway().jvm.org.apache.flink, Types.INT().get_java_type_info()
    datagen, strategy = (
        jvm.connector.datagen,
        jvm.api.connector.source.util.ratelimit.RateLimiterStrategy,
    )
    source = datagen.source.DataGeneratorSource(
        datagen.functions.IndexLookupGeneratorFunction(int_type, list(range(count))),
        count,
        strategy.noOp() if a_checkpoint is None else strategy.perCheckpoint(a_checkpoint),
        int_type,
    )
    watermarks = jvm.api.common.eventtime.WatermarkStrategy.noWatermarks()
    j_env = env._j_stream_execution_environment
    return DataStream(j_env.fromSource(source, watermarks, "numbers", int_type).setParallelism(1))


class Killing:
    """The job, and what was seen of it.

    Args:
        cluster: where it runs; its workers write calls to `calls`.
        folder: for its outputs.
        calls: see `agents.noted`.
    """

    def __init__(self, cluster: FlinkCluster, folder: Path, calls: Path) -> None:
        self._cluster = cluster
        self._out = folder / "out"
        self._calls = calls
        self._failed: list[BaseException] = []
        self._is_over = False
        self.unasked = 0  # restores but for those of kills
        self.kills: list[Kill] = []
        self.records = 0

    @property
    def calls(self) -> list[Call]:
        """All calls that have been made."""
        return calls_in(self._calls)

    def run(self, records: int, kills: int, seconds: int, a_checkpoint: int) -> None:
        """Run it to its end, with so many kills, and a checkpoint every `seconds`."""
        self.records = records
        with FlinkEngine(job="steps") as engine:
            checkpointing = {
                "execution.checkpointing.interval": f"{seconds} s",
                "execution.checkpointing.min-pause": PAUSE,
            }
            env = engine.environment({**self._cluster.options, **checkpointing})
            stream = numbers(env, records, a_checkpoint)
            outputs = engine.apply(Steps, stream, key=key_of, id=int, output_type=Types.STRING())
            into_files(outputs, self._out)
            running = threading.Thread(target=self._execute, args=(engine, env), daemon=True)
            running.start()
            for _ in range(kills):
                self._kill()
            running.join()
        self._check()
        # A TaskManager that is killed may take the other with it: the job is restored once more.
        self.unasked = self._cluster.restores() - kills

    def _execute(self, engine: FlinkEngine, env: StreamExecutionEnvironment) -> None:
        try:
            engine.execute(env)
        except BaseException as error:
            self._failed.append(error)
        finally:
            self._is_over = True

    def _kill(self) -> None:
        kept = self._kept()
        before = len(self.calls)
        self._until(lambda: len(self.calls) >= before + IN_THE_MIDST)
        self._until(self._victims)
        number, workers = self._victims()[0]
        began, restores = self._cluster.newest_checkpoint(), self._cluster.restores()
        self._cluster.kill_task_manager(number)
        at = time.time()
        self.kills.append(Kill(at, [each.pid for each in workers], kept, began))
        # It is dead, and its worker ends itself: the other TaskManager's goes on with its work.
        self._until(lambda: not alive(workers))
        self._until(lambda: self._cluster.restores() > restores)

    def _kept(self) -> set[int]:
        """Wait for checkpoints; return numbers whose first call the newest of them has."""
        while True:
            restores, kept = self._cluster.restores(), self._settled()
            if self._cluster.restores() == restores:  # else they may have been made again
                return kept

    def _settled(self) -> set[int]:
        # What settled before the job was restored may be still to be made again.
        since = time.time()
        self._until(lambda: len(self._second(since)) >= IN_THE_MIDST)
        settled, completed = self._second(since), self._cluster.completed_checkpoints()
        self._until(lambda: self._cluster.completed_checkpoints() >= completed + CHECKPOINTS)
        return settled

    def _victims(self) -> list[tuple[int, list[psutil.Process]]]:
        """The TaskManagers that have workers: one may have taken another with it."""
        found = []
        for number, process in enumerate(self._cluster.task_managers):
            with contextlib.suppress(psutil.Error):
                found.append((number, workers_of(process)))
        return [each for each in found if each[1]]

    def _second(self, since: float) -> set[int]:
        """The numbers whose second call was made since a time, so that the first had settled."""
        return {each.n for each in self.calls if each.name == "second" and each.at > since}

    def _until(self, condition: Any) -> None:
        until(lambda: condition() or self._is_over)
        self._check()
        assert not self._is_over, "the job ended before it could be killed: give it more records"

    def _check(self) -> None:
        if self._failed:
            raise self._failed[0]

    # What is right

    def wrong(self) -> Iterator[str]:
        """Say what is not as it is promised, but for times."""
        by_key = collections.defaultdict(list)
        for line in lines(self._out):
            key, n, count, name = json.loads(line)
            by_key[key].append((n, count, name))
        for key in range(KEYS):
            expected = [(key + KEYS * j, j + 1) for j in range(self.records // KEYS)]
            if (found := sorted((n, count) for n, count, _ in by_key[key])) != expected:
                yield f"key {key} has the outputs {found}"
        names = [name for outputs in by_key.values() for _, _, name in outputs]
        if len(set(names)) != self.records:
            yield f"{self.records} records made {len(set(names))} names"
        made = self.made
        if len(made) != 2 * self.records:
            yield f"{len(made)} calls of {2 * self.records}"
        for call, times in made.items():
            if times > 1 + len(self.kills) + max(0, self.unasked):
                yield f"{call} was made {times} times"
        for kill in self.kills:
            if not kill.kept:
                yield "nothing had settled before a kill"
            later = [each for each in self.calls if each.at > kill.at]
            for n in kill.kept & {each.n for each in later if each.name == "first"}:
                yield f"the first call of {n} was made again though a checkpoint had it"

    @property
    def made(self) -> collections.Counter[tuple[str, int]]:
        """How often each call was made."""
        return collections.Counter((each.name, each.n) for each in self.calls)

    @property
    def orphan_seconds(self) -> float:
        """How long after a kill a worker of the dead still made a call, at most; 0 for none."""
        late = [
            each.at - kill.at
            for kill in self.kills
            for each in self.calls
            if each.process in kill.workers
        ]
        return max([0.0, *late])

    def due_again(self, lag: float) -> int:
        """How many calls were under way at a kill, or had settled since the last checkpoint.

        Args:
            lag: how long after its end a call is in the state, at most.
        """
        return len(
            {
                (each.name, each.n)
                for kill in self.kills
                for each in self.calls
                if each.at <= kill.at and each.ended + lag > kill.checkpoint
            }
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1600)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--checkpoints", type=int, default=2, help="seconds between checkpoints")
    parser.add_argument("--a-checkpoint", type=int, default=160, help="records")
    parser.add_argument("--lag", type=float, default=LAG, help="more where the machine is busy")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        calls = folder / "calls"
        environ = {"PERDURE_TEST_CALLS": str(calls)}
        with FlinkCluster(folder / "flink", python_path=PYTHON_PATH, environ=environ) as cluster:
            began = time.monotonic()
            job = Killing(cluster, folder, calls)
            job.run(asked.records, asked.kills, asked.checkpoints, asked.a_checkpoint)
            seconds = time.monotonic() - began
        wrong, twice = list(job.wrong()), sum(times > 1 for times in job.made.values())
        due = job.due_again(asked.lag)
        if twice > due:
            wrong.append(f"{twice} calls were made twice, and {due} had to be")
        if job.orphan_seconds > ORPHAN_SECONDS:
            wrong.append(f"an orphan made a call {job.orphan_seconds:.2f} s after the kill")
        print(
            *wrong,
            f"{asked.records} records, {asked.kills} kills, {seconds:.0f} s:"
            f" {len(job.calls)} calls, {twice} twice, of {due} that were under"
            " way or had settled since the last"
            f" checkpoint; last call of an orphan {job.orphan_seconds:.2f} s after the kill;"
            f" restored {asked.kills + job.unasked} times; {len(wrong)} failures",
            sep="\n",
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
