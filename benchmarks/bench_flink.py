"""The engine on Flink beside Flink itself and the local engine: one process, one warm JVM.

Needs the extra `flink`: `.venv-flink/bin/python benchmarks/bench_flink.py` after `make test-flink`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from common import Result, empty_call, main, median
from flink_agents import OneCall, Waits

from perdure import LocalEngine

KEYS = 500
OF_MEMORY = 0.85  # of the rate of memory://
OF_CPU = 1.25  # of that of the local engine
OF_WAITING = 2.0  # of the local engine's time
OPTIONS = {"python.logging.default.level": "WARN", "execution.checkpointing.interval": "10 s"}


@dataclasses.dataclass
class Seen:
    """What went into a job and came out: when the first, when the last, how many."""

    began: float = 0.0
    ended: float = 0.0
    cpu: float = 0.0
    count: int = 0

    @property
    def seconds(self) -> float:
        """From the first input to the last output."""
        return self.ended - self.began


seen = Seen()  # of the job that runs: functions are in this process


def begin(value: Any) -> Any:
    if not seen.began:
        seen.began, seen.cpu = time.perf_counter(), time.process_time()
    return value


def end(value: Any) -> bool:
    seen.count += 1
    seen.ended = time.perf_counter()
    return True


def nothing(value: Any) -> bool:
    return False


def on_flink(kind: str, agent: type, inputs: list[dict[str, Any]], parallelism: int = 1) -> Seen:
    """Run a job; `kind` is a store's URL, or "identity" for a function that does nothing."""
    import bench_flink  # as functions find it, which are pickled by the name of their module
    from pyflink.common import Types

    from perdure import FlinkEngine

    bench_flink.seen = Seen()
    store = "memory://" if kind == "identity" else kind
    with FlinkEngine(store, job=f"bench-{uuid.uuid4().hex[:8]}") as engine:
        env = engine.environment(OPTIONS)
        env.set_parallelism(parallelism)
        stream = env.from_collection(inputs).map(bench_flink.begin)
        if kind == "identity":
            outputs = stream.key_by(lambda value: value["key"], Types.INT()).process(identity())
        else:
            outputs = engine.apply(agent, stream, key="key", id="n")
        outputs.map(bench_flink.end, Types.BOOLEAN()).filter(bench_flink.nothing).print()
        engine.execute(env)
    found = bench_flink.seen
    found.cpu = time.process_time() - found.cpu
    if found.count != len(inputs):
        raise RuntimeError(f"{kind}: {found.count} outputs of {len(inputs)} inputs")
    return found


def identity() -> Any:
    from pyflink.datastream import KeyedProcessFunction

    class Identity(KeyedProcessFunction):
        def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
            yield value

    return Identity()


def locally(agent: type, inputs: list[dict[str, Any]]) -> Seen:
    """Run the same on the local engine."""
    found = Seen(time.perf_counter(), cpu=time.process_time())
    outputs = LocalEngine("memory://").run(agent, inputs, key="key", id="n")
    found.ended, found.cpu = time.perf_counter(), time.process_time() - found.cpu
    found.count = len(outputs)
    return found


def numbered(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"key": n % KEYS, "n": n, **more} for n in range(count)]


def bench(options: argparse.Namespace) -> Iterator[Result]:
    if find_spec("pyflink") is None:
        print("bench_flink: Flink is not installed here: not measured", file=sys.stderr)
        return
    on_flink("memory://", OneCall, numbered(200))  # warms up the JVM
    yield from throughput(2_000 if options.quick else 20_000, 1 if options.quick else 3)
    yield waiting(1_000 if options.quick else 10_000)


def throughput(count: int, rounds: int) -> Iterator[Result]:
    inputs = numbered(count)
    kinds = ("identity", "memory://", "flink://")
    found: dict[str, list[Seen]] = {kind: [] for kind in (*kinds, "local")}
    for _ in range(rounds):
        for kind in kinds:
            found[kind].append(on_flink(kind, OneCall, inputs))
        found["local"].append(locally(OneCall, inputs))
    rate = {kind: median(count / each.seconds for each in found[kind]) for kind in found}
    cpu = {kind: median(each.cpu / count for each in found[kind]) for kind in found}
    pairs = list(zip(found["flink://"], found["memory://"], strict=True))
    of_memory = median(memory.seconds / flink.seconds for flink, memory in pairs)
    of_local = median(
        memory.cpu / local.cpu
        for memory, local in zip(found["memory://"], found["local"], strict=True)
    )
    call = empty_call()
    shown = {"rate": rate, "cpu": cpu}
    for name, kind, raw, ratio, target, ok in (
        ("local engine, memory://, for comparison", "local", "identity", 0.0, "none", True),
        ("Flink, memory://: CPU of the process", "memory://", "identity", of_local,
         f"at most {OF_CPU} x the local engine's CPU", of_local <= OF_CPU),
        ("Flink, flink://", "flink://", "memory://", of_memory,
         f"at least {OF_MEMORY} x memory://", of_memory >= OF_MEMORY),
    ):  # fmt: skip
        yield Result(
            name=name, measured=rate[kind], raw=rate[raw], unit="records/s", raw_name=raw,
            ratio=ratio or rate[kind] / rate[raw], target=target, ok=ok,
            cpu=cpu[kind], calls=cpu[kind] / call, per="record", details=shown,
        )  # fmt: skip


def waiting(count: int) -> Result:
    inputs = [{"key": n, "n": n, "seconds": 1.0} for n in range(count)]
    local = locally(Waits, inputs)
    flink = on_flink("flink://", Waits, inputs, parallelism=2)
    ratio = flink.seconds / local.seconds
    return Result(
        name=f"{count:,} records with a call of 1.0 s, parallelism 2",
        measured=flink.seconds,
        raw=local.seconds,
        unit="s",
        raw_name="local engine",
        ratio=ratio,
        target=f"at most {OF_WAITING} x",
        ok=ratio <= OF_WAITING,
    )


if __name__ == "__main__":
    main(bench)
