"""What the tests of the mini cluster have in common: it runs in their own process."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from pyflink.common import JobClient, Types
from pyflink.datastream import DataStream, MapFunction, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from tests.patience import PATIENCE

from perdure import FlinkEngine
from perdure.engine.flink.start import rest_api

PATH = {"python.logging.default.level": "WARN"}


class Collected:
    """What came out of a job, in order; kept by name, since functions are pickled."""

    _all: dict[str, list[Any]] = {}

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.values = self._all[self.name] = []

    def take(self, stream: DataStream) -> None:
        """Have the values of a stream collected."""
        stream.map(_Take(self.name), Types.BOOLEAN()).filter(_nothing).print()


def _nothing(value: Any) -> bool:
    return False


class _Take(MapFunction):
    def __init__(self, name: str) -> None:
        self.name = name

    def map(self, value: Any) -> bool:
        Collected._all[self.name].append(value)
        return True


class _Trouble:
    """Fails the job once, when it is told to."""

    waiting = threading.Event()

    @classmethod
    def strike(cls) -> None:
        if cls.waiting.is_set():
            cls.waiting.clear()
            raise RuntimeError("trouble, as the test asked for it")


class Stumbles(MapFunction):
    """Hands on what it gets, and fails when there is to be trouble."""

    def map(self, value: Any) -> Any:
        _Trouble.strike()
        return value


def fail_soon() -> None:
    """Fail the job at the next value that comes to `Stumbles`."""
    _Trouble.waiting.set()


def until(condition: Callable[[], Any], seen: object = "") -> None:
    """Wait for something; `seen` is shown when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to that: {seen}"
        time.sleep(0.05)


def clock(env: StreamExecutionEnvironment) -> DataStream:
    """A stream that never ends: ten numbers a second."""
    legacy = get_gateway().jvm.org.apache.flink.streaming.api.functions.source.datagen
    source = legacy.DataGeneratorSource(legacy.RandomGenerator.longGenerator(0, 1), 10, None)
    j_stream = env._j_stream_execution_environment.addSource(
        source, "clock", Types.LONG().get_java_type_info()
    )
    return DataStream(j_stream.setParallelism(1))


def stumbling(env: StreamExecutionEnvironment, inputs: list[Any]) -> DataStream:
    """Inputs, in a job that does not end and fails at `fail_soon`."""
    clocked = clock(env).map(Stumbles()).filter(_nothing).map(str, Types.PICKLED_BYTE_ARRAY())
    return env.from_collection(inputs).union(clocked.set_parallelism(1))


def until_kept(client: JobClient) -> None:
    """Wait for a checkpoint that began after this was called."""
    ask, path = rest_api(client._j_job_client), f"/jobs/{client.get_job_id()}/checkpoints"

    def completed() -> int:
        return int((ask(path) or {}).get("counts", {}).get("completed", 0))

    before = completed()
    until(lambda: completed() >= before + 2)


def environment(engine: FlinkEngine, **options: str) -> StreamExecutionEnvironment:
    named = {name.replace("_", "-"): value for name, value in options.items()}
    env = engine.environment({"execution.checkpointing.interval": "500 ms", **PATH, **named})
    env.set_parallelism(2)
    return env
