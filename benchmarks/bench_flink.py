"""The engine on Flink beside Flink itself and the local engine: one process, one warm JVM.

An identity process function costs what Beam takes to bring records to Python and back: the CPU of
the host is that of the process less the identity's, all of this process without the JVM.

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
from flink_agents import OneCall, Timed, Waits, settled

from perdure import LocalEngine

KEYS = 500
OF_MEMORY = 0.85  # of the rate of memory://
OF_CPU = 1.25  # of that of the local engine
OF_WAITING = 2.0  # of the local engine's time
OF_CHECKPOINTS = 1.5  # of their time without a long call
LATENCY_MS = 10 + 20 + 20.0  # the pump, the bundle, and what the machine takes
RATE, CALL_SECONDS = 50, 0.05  # records a second, and their calls
OPTIONS = {"python.logging.default.level": "WARN", "execution.checkpointing.interval": "10 s"}


@dataclasses.dataclass
class Seen:
    """What went into a job and came out: when the first, when the last, how many."""

    began: float = 0.0
    ended: float = 0.0
    cpu: float = 0.0
    count: int = 0
    expected: int = 0

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
    if seen.count == seen.expected:
        seen.cpu = time.process_time() - seen.cpu
    return True


def nothing(value: Any) -> bool:
    return False


def on_flink(kind: str, agent: type, inputs: list[dict[str, Any]], parallelism: int = 1) -> Seen:
    """Run a job; `kind` is a store's URL, or "identity" for a function that does nothing."""
    import bench_flink  # as functions find it, which are pickled by the name of their module
    from pyflink.common import Types

    from perdure import FlinkEngine

    bench_flink.seen = Seen(expected=len(inputs))
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
    yield from steady(5 if options.quick else 30)


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
    both = list(zip(found["memory://"], found["local"], found["identity"], strict=True))
    of_process = median(memory.cpu / local.cpu for memory, local, _ in both)
    of_host = median((memory.cpu - beam.cpu) / local.cpu for memory, local, beam in both)
    call = empty_call()
    shown = {"rate": rate, "cpu": cpu, "cpu of the process / local engine": of_process}
    for name, kind, raw, ratio, target, ok in (
        ("identity process function, for comparison", "identity", "local", 0.0, "none", True),
        ("local engine, memory://, for comparison", "local", "identity", 0.0, "none", True),
        ("Flink, memory://: CPU of the host", "memory://", "identity", of_host,
         f"at most {OF_CPU} x the local engine's CPU; of the whole process it is {of_process:.2f}",
         of_host <= OF_CPU),
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


@dataclasses.dataclass
class Steady:
    """What a job at a steady rate has shown; seconds.

    Attributes:
        latencies: of each record but the long one, from the end of its call to its output.
        waits: of each of these, from its arrival to its output.
        checkpoints: how long each took.
    """

    latencies: list[float]
    waits: list[float]
    checkpoints: list[float]


came: dict[int, float] = {}
left: dict[int, float] = {}


def comes(n: int) -> dict[str, Any]:
    came[n] = time.perf_counter()
    return {"key": n, "n": n, "seconds": long_call.get(n, CALL_SECONDS)}


def leaves(n: int) -> bool:
    left[n] = time.perf_counter()
    return True


long_call: dict[int, float] = {}  # seconds, by the number of the record


def at_a_rate(count: int, long: dict[int, float]) -> Steady:
    """Run records of a short call, so many a second, and perhaps one of a long call."""
    import bench_flink
    from pyflink.common import Types
    from pyflink.datastream import DataStream
    from pyflink.java_gateway import get_gateway

    from perdure import FlinkEngine
    from perdure.engine.flink.start import rest_api

    for each in (bench_flink.came, bench_flink.left, bench_flink.long_call, settled):
        each.clear()
    bench_flink.long_call.update(long)
    with FlinkEngine(job=f"bench-{uuid.uuid4().hex[:8]}") as engine:
        env = engine.environment({**OPTIONS, "execution.checkpointing.interval": "1 s"})
        env.set_parallelism(1)
        jvm, int_type = get_gateway().jvm.org.apache.flink, Types.INT().get_java_type_info()
        datagen = jvm.connector.datagen
        source = datagen.source.DataGeneratorSource(
            datagen.functions.IndexLookupGeneratorFunction(int_type, list(range(count))),
            count,
            jvm.api.connector.source.util.ratelimit.RateLimiterStrategy.perSecond(float(RATE)),
            int_type,
        )
        watermarks = jvm.api.common.eventtime.WatermarkStrategy.noWatermarks()
        j_env = env._j_stream_execution_environment
        stream = DataStream(j_env.fromSource(source, watermarks, "numbers", int_type))
        given = stream.map(bench_flink.comes)
        outputs = engine.apply(Timed, given, key="key", id="n")
        outputs.map(bench_flink.leaves, Types.BOOLEAN()).filter(bench_flink.nothing).print()
        client = env.execute_async("steady")
        ask, path = rest_api(client._j_job_client), f"/jobs/{client.get_job_id()}/checkpoints"
        told: dict[int, float] = {}
        ending = client.get_job_execution_result()
        while not ending.done():
            for each in (ask(path) or {}).get("history", []):
                if each["status"] == "COMPLETED":
                    told[each["id"]] = each["end_to_end_duration"] / 1000
            time.sleep(0.5)
        ending.result()
    others = [n for n in range(count) if n not in long]
    if not all(n in bench_flink.left for n in others):
        raise RuntimeError(f"{len(bench_flink.left)} outputs of {count} inputs")
    return Steady(
        [bench_flink.left[n] - settled[n] for n in others],
        [bench_flink.left[n] - bench_flink.came[n] for n in others],
        list(told.values()),
    )


def steady(seconds: int) -> Iterator[Result]:
    """Records at a steady rate, without and with one whose call is long."""
    count = RATE * (seconds + 5)
    without = at_a_rate(count, {})
    with_one = at_a_rate(count, {RATE: float(seconds)})
    p50 = 1000 * median(without.latencies)
    yield Result(
        name=f"{RATE} records/s of {1000 * CALL_SECONDS:.0f} ms: output after the end of its call,"
        " p50", measured=p50, raw=0, unit="ms", raw_name="", ratio=0,
        target=f"at most {LATENCY_MS:.0f} ms: pump, bundle and 20 ms", ok=p50 <= LATENCY_MS,
    )  # fmt: skip
    longest, usual = max(with_one.waits), max(without.waits)
    yield Result(
        name=f"beside one of {seconds} s: the longest that another record took",
        measured=longest, raw=usual, unit="s", raw_name="without it", ratio=longest / usual,
        target=f"no other record waits for it: under {seconds / 2:g} s",
        ok=longest < seconds / 2,
        details={"p50": median(with_one.waits), "p50 without": median(without.waits)},
    )  # fmt: skip
    took, usually = median(with_one.checkpoints), median(without.checkpoints)
    yield Result(
        name="a checkpoint meanwhile, median",
        measured=1000 * took, raw=1000 * usually, unit="ms", raw_name="without it",
        ratio=took / usually, target=f"at most {OF_CHECKPOINTS} x",
        ok=took <= OF_CHECKPOINTS * usually,
    )  # fmt: skip


if __name__ == "__main__":
    main(bench)
