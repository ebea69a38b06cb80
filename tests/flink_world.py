"""A scripted Flink: state, timers, bundles, checkpoints and crashes around the agent's operator.

It has Flink's rules, its bugs among them, and decides by a seed what happens next. An attempt of
the job begins with the state of some checkpoint, reads its partitions on from there, interleaved
otherwise than before, and ends in a crash at some callback; the last one comes to the end of its
input. What left after the checkpoint that an attempt begins with never was: so does a transactional
sink.

    python -m tests.flink_world --seeds 500
"""

from __future__ import annotations

import argparse
import collections
import copy
import logging
import random
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from perdure import Agent, InputEvent, OutputEvent
from perdure.codec.codec import Codec
from perdure.codec.digests import digest, shard_of
from perdure.engine.flink.failures import read_failure
from perdure.engine.flink.operator import END, AgentOperator, Failed
from perdure.engine.flink.rows import dump
from perdure.engine.flink.spec import FunctionSpec

SHARDS = 8
PARTITIONS = 3
AGENT = "tests.flink_world:Counts"


# The agent, and what it did to the outside


class Outside:
    """What calls have done, over all attempts of a job."""

    lock = threading.Lock()
    names: dict[str, set[str]] = {}  # by the id of an input: what its runs called themselves
    calls: collections.Counter[tuple[str, str]] = collections.Counter()

    @classmethod
    def clear(cls) -> None:
        cls.names, cls.calls = {}, collections.Counter()


def noted(id_: str, step: str, name: str) -> int:
    with Outside.lock:
        Outside.names.setdefault(id_, set()).add(name)
        Outside.calls[id_, step] += 1
    return len(id_)


async def noted_async(id_: str, step: str, name: str) -> int:
    return noted(id_, step, name)


class Counts(Agent):
    """Counts the inputs of a key; some fail, sleep, start another run, or are plain code."""

    def __init__(self) -> None:
        super().__init__()
        self.add_action("count", InputEvent, self.count)

    async def count(self, event: Any, ctx: Any) -> None:
        given = event.input
        id_, how = given["id"], given["how"]
        name = str(ctx.uuid4())
        if how == "child":
            ctx.send_event(OutputEvent(output={**given, "name": name}))
            return
        await ctx.durable_execute_async(noted_async, id_, "first", name)
        if how == "sleep":
            await ctx.sleep(0.002)
        if how == "plain":
            await ctx.durable_execute_async(noted, id_, "plain", name)
        if how == "fail":
            raise ValueError(f"{id_} is to fail")
        if how in ("start", "wait"):
            child = {"id": f"{id_}c", "how": "child", "key": given["other"]}
            started = await ctx.submit(child, key=given["other"])
            if how == "wait":
                (output,) = await started.outputs()
                assert output.value["id"] == f"{id_}c"
        if how == "early":
            ctx.send_event(OutputEvent(output={**given, "early": True}))
        await ctx.durable_execute_async(noted_async, id_, "second", name)
        count = (ctx.short_term_memory.get("count") or 0) + 1
        ctx.short_term_memory.set("count", count)
        ctx.send_event(OutputEvent(output={**given, "count": count, "name": name}))


HOWS = ["one"] * 6 + ["plain", "sleep", "fail", "start", "wait", "early"]


# Flink


class Crash(Exception):
    """The process ends here."""


class Checkpoint:
    """What a checkpoint has."""

    def __init__(self, job: FlinkWorld) -> None:
        self.state = copy.deepcopy(job.state)
        self.processing = copy.deepcopy(job.processing)
        self.event = copy.deepcopy(job.event)
        self.offsets = list(job.offsets)
        self.outputs = len(job.outputs)
        self.failed = len(job.failed)


class FlinkWorld:
    """A job, over all its attempts.

    Args:
        seed: decides everything but how threads take turns.
        store: the store's URL.
    """

    def __init__(self, seed: int, store: str = "flink://", **options: Any) -> None:
        self.random = random.Random(seed)
        limit = self.random.choice([2, 5, 4096])
        self.spec = FunctionSpec(
            AGENT, f"scripted-{seed}", store=store, shards=SHARDS, failed_tag="failed",
            config={"max-runs-in-flight": limit, "num-async-threads": 2}, **options,
        )  # fmt: skip
        self.partitions = self._inputs()
        self.offsets = [0] * PARTITIONS
        self.state: dict[int, dict[str, bytes]] = collections.defaultdict(dict)
        self.processing: dict[int, set[int]] = collections.defaultdict(set)
        self.event: dict[int, set[int]] = collections.defaultdict(set)
        self.outputs: list[Any] = []
        self.failed: list[Any] = []
        self.checkpoints = [Checkpoint(self)]
        self.now = 1_000
        self.crashes = 0

    def _inputs(self) -> list[list[Any]]:
        rng, codec = self.random, Codec()
        keys = [f"k{n}" for n in range(rng.randint(2, 8))]
        by_shard = collections.defaultdict(list)
        for other in range(200):
            by_shard[shard_of(digest(f"o{other}"), SHARDS)].append(f"o{other}")
        partitions: list[list[Any]] = [[] for _ in range(PARTITIONS)]
        self.given = []
        is_spread = rng.random() < 0.5  # the inputs of a key, over the partitions
        for n in range(rng.randint(10, 30)):
            key = rng.choice(keys)
            shard = shard_of(digest(key), SHARDS)
            partition = rng.randrange(PARTITIONS) if is_spread else keys.index(key) % PARTITIONS
            value = {
                "id": f"i{n}", "key": key, "how": rng.choice(HOWS), "other": by_shard[shard][0],
                "partition": partition,
            }  # fmt: skip
            partitions[partition].append(
                (shard, dump((value["id"], codec.encode(key), codec.encode(value))))
            )
            self.given.append(value)
        return partitions

    # An attempt

    def run(self) -> FlinkWorld:
        """Run the job to its end; return itself."""
        crashes = self.random.randint(1, 3)
        for attempt in range(crashes + 1):
            crash_in = self.random.randint(1, 120) if attempt < crashes else None
            if Attempt(self, crash_in).run():
                break
            self.crashes += 1
            self._restore(self.random.choice(self.checkpoints[-3:]))
        return self

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.state = copy.deepcopy(checkpoint.state)
        self.processing = copy.deepcopy(checkpoint.processing)
        self.event = copy.deepcopy(checkpoint.event)
        self.offsets = list(checkpoint.offsets)
        del self.outputs[checkpoint.outputs :]  # they never were
        del self.failed[checkpoint.failed :]
        del self.checkpoints[self.checkpoints.index(checkpoint) + 1 :]


class Attempt:
    """The job from one start to its next crash, or to its end.

    Args:
        job: the job.
        crash_in: after how many callbacks it crashes; None for never.
    """

    def __init__(self, job: FlinkWorld, crash_in: int | None) -> None:
        self.job = job
        self.random = job.random
        self._left = crash_in
        self._cut = self.random.random()  # where in the last callback
        self._shard = 0
        self._unregistered: list[tuple[dict[int, set[int]], int, int]] = []  # timers of this bundle
        # Two subtasks in one process, as in the mini cluster.
        self._operators = [AgentOperator(job.spec, self, time.time_ns) for _ in range(2)]
        self._at = {shard: self.random.randrange(2) for shard in range(SHARDS)}
        self._ticks = self.random.sample(range(SHARDS), SHARDS)

    def run(self) -> bool:
        """Return whether it came to the end of its input."""
        try:
            for operator in self._operators:
                operator.open()
            self._go_on()
        except Crash:
            return False
        finally:
            for operator in self._operators:
                operator.close()
        return True

    def _go_on(self) -> None:
        job, rng = self.job, self.random
        while True:
            reading = [n for n in range(PARTITIONS) if job.offsets[n] < len(job.partitions[n])]
            timers = [(t, s) for s, times in job.processing.items() for t in times]
            if not (reading or self._ticks):
                break
            choice = rng.random()
            if choice < 0.1:
                self._checkpoint()
            elif choice < 0.2:
                self._end_bundle()
            elif timers and choice < 0.6:
                self._fire(*min(timers))
            elif self._ticks and (choice < 0.8 or not reading):
                self._callback(self._ticks[-1], (self._ticks.pop(), b""))
            elif reading:
                partition = rng.choice(reading)
                element = job.partitions[partition][job.offsets[partition]]
                job.offsets[partition] += 1
                self._callback(element[0], element)
            if rng.random() < 0.1:
                time.sleep(0.001)  # let runs go on
        self._end_bundle()
        for shard, times in list(job.event.items()):
            if END in times:
                self._callback(shard, END)
        self._checkpoint()

    def _fire(self, timestamp: int, shard: int) -> None:
        self.job.now = max(self.job.now, timestamp)
        self.job.processing[shard].discard(timestamp)
        self._callback(shard, timestamp)

    def _callback(self, shard: int, what: Any) -> None:
        is_last = False
        if self._left is not None:
            self._left -= 1
            is_last = self._left <= 0
        if is_last and self._cut < 0.3:
            raise Crash
        self._shard = shard
        operator = self._operators[self._at[shard]]
        told = (
            operator.timer(what, shard, self)
            if isinstance(what, int)
            else operator.element(*what, self)
        )
        for each in told:
            if isinstance(each, Failed):
                self.job.failed.append(read_failure(each.data))
            else:
                self.job.outputs.append(each)
            if is_last and self._cut < 0.6:
                raise Crash
        if is_last:
            raise Crash

    # Bundles and checkpoints

    def _end_bundle(self) -> None:
        for timers, shard, timestamp in self._unregistered:
            timers[shard].add(timestamp)
        self._unregistered.clear()

    def _checkpoint(self) -> None:
        # PyFlink 2.3: timers of the bundle that a checkpoint closes are not in it.
        self.job.checkpoints.append(Checkpoint(self.job))
        self._end_bundle()

    # State and timers of the current shard

    def select(self, shard: int) -> None:
        assert self._operators[self._at[shard]] is self._operators[self._at[self._shard]]
        self._shard = shard

    def items(self) -> Iterable[tuple[str, bytes]]:
        return list(self.job.state[self._shard].items())

    def get(self, name: str) -> bytes | None:
        return self.job.state[self._shard].get(name)

    def put(self, name: str, data: bytes) -> None:
        assert type(name) is str
        assert type(data) is bytes
        self.job.state[self._shard][name] = data

    def remove(self, name: str) -> None:
        self.job.state[self._shard].pop(name, None)

    def current_processing_time(self) -> int:
        return self.job.now

    def register_processing_time_timer(self, timestamp: int) -> None:
        self._unregistered.append((self.job.processing, self._shard, timestamp))

    def register_event_time_timer(self, timestamp: int) -> None:
        self._unregistered.append((self.job.event, self._shard, timestamp))


# What is right


def wrong(job: FlinkWorld) -> Iterator[str]:
    """Say what a job that came to its end has done wrong."""
    made = [each for each in job.outputs if each["how"] != "child" and "early" not in each]
    is_kept = job.spec.store == "flink://"
    for key in {each["key"] for each in job.given}:
        for partition in range(PARTITIONS):  # in their order; those of others may be between them
            of = [v for v in job.given if (v["key"], v["partition"]) == (key, partition)]
            wanted = [v["id"] for v in of if v["how"] != "fail"]
            told = [e for e in made if (e["key"], e["partition"]) == (key, partition)]
            if (found := [each["id"] for each in told]) != wanted:
                yield f"key {key}: {found} instead of {wanted}"
        counts = [each["count"] for each in made if each["key"] == key]
        if is_kept and counts != list(range(1, len(counts) + 1)):
            yield f"key {key} counted {counts}"
    for how, kind in (("early", "early"), ("start", "child"), ("wait", "child")):
        extra = "c" if kind == "child" else ""
        wanted_ids = sorted(f"{v['id']}{extra}" for v in job.given if v["how"] == how)
        ids = {f"{v['id']}{extra}" for v in job.given if v["how"] == how}
        told = [e for e in job.outputs if e["how"] == kind and (kind == "child" or "early" in e)]
        found_ids = sorted(each["id"] for each in told if each["id"] in ids)
        if found_ids != wanted_ids:
            yield f"{how}: {found_ids} instead of {wanted_ids}"
    failing = sorted(v["id"] for v in job.given if v["how"] == "fail")
    if (failed := sorted(each.id for each in job.failed)) != failing:
        yield f"failed: {failed} instead of {failing}: {job.failed}"
    for id_, names in Outside.names.items():
        if is_kept and len(names) > 1:
            yield f"input {id_} was called {sorted(names)}"
    yield from left_over(job)


def left_over(job: FlinkWorld) -> Iterator[str]:
    """Say what is in the state of a job that has nothing left to do."""
    for shard, entries in job.state.items():
        kinds = sorted(name for name in entries if name[0] not in "vnkmd")
        if kinds:
            yield f"shard {shard} still has {kinds}"


def run_seed(seed: int, store: str = "flink://", **options: Any) -> list[str]:
    """Run the job of a seed; return what it has done wrong."""
    Outside.clear()
    job = FlinkWorld(seed, store, **options).run()
    return [f"seed {seed} ({job.crashes} crashes): {each}" for each in wrong(job)]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    failures = 0
    for seed in range(asked.first, asked.first + asked.seeds):
        for each in run_seed(seed):
            failures += 1
            print(each, flush=True)
    print(f"scripted Flink: {asked.seeds} seeds, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
