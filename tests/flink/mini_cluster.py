"""What the tests of the mini cluster have in common: it runs in their own process."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from pyflink.common import Types
from pyflink.datastream import DataStream, MapFunction, StreamExecutionEnvironment
from tests.patience import PATIENCE

from perdure import FlinkEngine

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


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def environment(engine: FlinkEngine, **options: str) -> StreamExecutionEnvironment:
    named = {name.replace("_", "-"): value for name, value in options.items()}
    env = engine.environment({"execution.checkpointing.interval": "500 ms", **PATH, **named})
    env.set_parallelism(2)
    return env
