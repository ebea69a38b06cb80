"""The agents that are measured, and the processes that measure them.

`python workloads.py WORK ARGUMENTS_AS_JSON` does one piece of work and prints what it measured as
one line of JSON.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import json
import os
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import agent_workloads
import border_workloads
import common

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, RunnerContext, action
from perdure.connectors.iterable import IterableSource
from perdure.store.base import ROW_ORDER
from perdure.store.sqlite.store import SqliteStore
from perdure.store.sqlite.write import WRITE

JOB = "bench"
WORDS = (
    "the kettle boils two cups before I have found tea bags and its lid feels a little loose but we"
    " love it anyway delivery was quick colour as in picture battery lasts three days"
).split()
WARM_UP = 4  # runs of 1,000 calls until a write-ahead log has wrapped around


# Durable functions


async def trivial(value: int) -> int:
    return value


async def one_second(value: int) -> int:
    await asyncio.sleep(1.0)
    return value


async def for_ever(value: int) -> int:
    await asyncio.Event().wait()
    return value


async def logged(seconds: float, n: int) -> int:
    """Do the outside work of a call: it is done when its line is written."""
    if seconds:
        await asyncio.sleep(seconds)
    os.write(Logged.file, b"x\n")
    return n


async def half_done(call: int) -> int:
    """Return at once; in the process that is to be killed, only for the first half of the calls."""
    if call >= 5 and Restart.hang:
        await asyncio.Event().wait()
    if not Restart.resumed:
        Restart.resumed = True
        print(f"first call {call}", flush=True)
    return call


def blocks(seconds: float) -> float:
    if seconds:
        time.sleep(seconds)
    return seconds


async def waits(seconds: float) -> float:
    if seconds:
        await asyncio.sleep(seconds)
    return seconds


async def kilobytes(count: int, first: int) -> str:
    return _text()[97 * first % 10_000 :][: 1000 * count]


@functools.cache
def _text() -> str:
    return " ".join(f"{WORDS[(7 * n + n * n) % len(WORDS)]} {n}" for n in range(4_000))


# Agents


class OneStep(Agent):
    """One call, one memory write, one output."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        result = await ctx.durable_execute_async(trivial, event.input["n"])
        ctx.short_term_memory.set("last", result)
        ctx.send_event(OutputEvent(output=result))


class OneSecond(Agent):
    """One call that waits a second."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        await ctx.durable_execute_async(one_second, event.input["n"])


class ManyCalls(Agent):
    """Calls one after another, as many as the input says."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        for n in range(event.input["calls"]):
            await ctx.durable_execute_async(trivial, n)


class Logged(Agent):
    """Calls one after another without end, each of which leaves a line in a file."""

    file = -1

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        rng, n = ctx.random, 0
        while True:
            n += 1
            await ctx.durable_execute_async(
                logged, event.input["seconds"] * rng.uniform(0.5, 1.5), n
            )


class Waiting(Agent):
    """One call that never ends."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        await ctx.durable_execute_async(for_ever, event.input["n"])


class Sleeps(Agent):
    """Sleeps as long as the input says."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        await ctx.sleep(event.input["seconds"])


class PlainSleeps(Agent):
    """A plain action with a call that blocks a thread for as long as the input says."""

    @action(InputEvent)
    def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        seconds = event.input["seconds"]
        bounded = ctx.with_options(timeout=1.0)
        try:
            bounded.durable_execute_async(time.sleep, seconds).result()
            ctx.send_event(OutputEvent(output="done"))
        except TimeoutError:
            ctx.send_event(OutputEvent(output="timed out"))


class InTurnOrAtOnce(Agent):
    """Calls as the input says: in turn on the event loop, at once on threads or as coroutines."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        way, seconds = event.input["way"], event.input["seconds"]
        if way == "in_turn":
            for _ in range(event.input["calls"]):
                ctx.durable_execute(blocks, seconds)
            return
        func = blocks if way == "threads" else waits
        calls = (ctx.durable_execute_async(func, seconds) for _ in range(event.input["calls"]))
        await asyncio.gather(*calls)


class More(Event):
    """One more, for an action of its own."""

    n: int


class Costs(Agent):
    """Does one thing as many times as the input says."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        what, times = event.input["what"], event.input["times"]
        call = ctx.durable_execute_async
        if what in ("at_once", "thread"):
            func = trivial if what == "at_once" else blocks
            await asyncio.gather(*(call(func, 0) for _ in range(times)))
        for n in range(times if what not in ("at_once", "thread", "text") else 0):
            if what == "in_turn":
                await call(trivial, n)
            elif what == "event":
                ctx.send_event(More(n=n))
            elif what == "output":
                ctx.send_event(OutputEvent(output=n))
            elif what == "memory":
                ctx.short_term_memory.set(f"path{n}", n)
            else:
                await ctx.sleep(0.001)
        if what == "text":
            await call(kilobytes, times, event.input["n"])

    @action(More)
    async def more(self, event: More, ctx: RunnerContext) -> None:
        """Do nothing."""


class Restart(Agent):
    """Ten calls one after another."""

    hang = False  # what the process to be killed sets
    resumed = True

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        for n in range(10):
            await ctx.durable_execute_async(half_done, n)
        ctx.send_event(OutputEvent(output=event.input["n"]))


class Asks(Agent):
    """Waits for a person where the input says so."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        if event.input["wait"]:
            await ctx.wait_for_signal("go")
        ctx.send_event(OutputEvent(output=event.input["n"]))


# Measuring


class Commits:
    """Counts the rows of every commit of this process; keeps the rows themselves if asked to."""

    def __init__(self, *, keep: bool) -> None:
        self.sizes: list[int] = []
        self.batches: list[common.Batch] = []
        original = SqliteStore._write

        def write(store: SqliteStore, rows: Sequence[Any], patient: bool) -> None:
            self.sizes.append(len(rows))
            if keep:
                self.batches.append(_grouped(rows))
            original(store, rows, patient)

        SqliteStore._write = write  # type: ignore[method-assign]


def _grouped(rows: Sequence[Any]) -> common.Batch:
    groups: dict[type, list[Any]] = {kind: [] for kind in ROW_ORDER}
    for row in rows:
        groups[type(row)].append(row)
    return [(WRITE[kind.__name__], group) for kind, group in groups.items() if group]


def engine(store: str, in_flight: int = 10_000) -> LocalEngine:
    config = {"max-runs-in-flight": in_flight, "durability": "strict"}
    return LocalEngine(store=f"sqlite:///{store}", job=JOB, config=config)


def source(count: int, tag: str, **fields: Any) -> IterableSource:
    """Return `count` inputs with keys of their own; another `tag`, other inputs and keys."""
    values = [{"id": f"{tag}-{n}", "n": n, **fields} for n in range(count)]
    return IterableSource(values, name=tag)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Pieces of work


def overlap(store: str, count: int, tag: str = "x") -> dict[str, Any]:
    """Wall time of `count` runs that each wait a second, and of the same waits in plain asyncio."""
    bare = asyncio.run(common.bare_sleeps(count, 1.0))
    gc.collect()
    inputs = source(count, tag)
    began, cpu = time.perf_counter(), time.process_time()
    engine(store, count).run(OneSecond, inputs, key="id")
    wall = time.perf_counter() - began
    return {
        "wall": wall,
        "bare": bare,
        "cpu": time.process_time() - cpu,
        "peak_mib": peak_mib(),
    }


def one_step(
    store: str, count: int, in_flight: int, raw: str = "", tag: str = "x"
) -> dict[str, Any]:
    """Wall time of `count` one-step runs; with `raw`, a path, SQLite's own for the same rows.

    As many submitters as runs are to be in flight, each of which waits for its run before it
    submits the next. (A list of inputs is admitted in chunks: trivial runs end before the next.)
    """
    commits = Commits(keep=bool(raw))
    peak = 0

    async def measure() -> None:
        nonlocal peak
        async with engine(store, in_flight).open(OneStep) as job:

            async def submitter(first: int) -> None:
                nonlocal peak
                for n in range(first, count, in_flight):
                    run = await job.submit({"id": n, "n": n}, key=f"{tag}-{n}", id=f"{tag}-{n}")
                    peak = max(peak, job.progress.in_flight)
                    await run.wait()

            await asyncio.gather(*(submitter(first) for first in range(in_flight)))

    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(measure())
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "in_flight": peak, **_rows(commits, raw)}


def listed(store: str, count: int, in_flight: int, tag: str = "x") -> dict[str, Any]:
    """The same for a list of inputs given to `engine.run`."""
    return _timed(store, OneStep, source(count, tag), in_flight, "")


def many_calls(store: str, count: int, calls: int, raw: str = "", tag: str = "x") -> dict[str, Any]:
    """Wall time of `count` runs of `calls` calls each; with `raw`, SQLite's own likewise."""
    return _timed(store, ManyCalls, source(count, tag, calls=calls), count, raw)


def _timed(
    store: str, agent: type[Agent], inputs: IterableSource, in_flight: int, raw: str
) -> dict[str, Any]:
    commits = Commits(keep=bool(raw))
    began, cpu = time.perf_counter(), time.process_time()
    engine(store, in_flight).run(agent, inputs, key="id")
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, **_rows(commits, raw)}


def _rows(commits: Commits, raw: str) -> dict[str, Any]:
    rows = sum(commits.sizes)
    result = {"rows": rows, "commits": len(commits.sizes), "per_commit": rows / len(commits.sizes)}
    if raw:
        result["raw_wall"] = common.raw_commits(Path(raw), commits.batches)
    return result


def sequential(store: str, calls: int, rounds: int, raw: str, tag: str = "x") -> dict[str, Any]:
    """Rates of one run's calls, each between two measurements of the raw rate of commits."""

    async def measure() -> dict[str, Any]:
        limit = common.RawCommits(Path(raw) / "raw.db")
        rates, raws = [], []
        async with engine(store).open(ManyCalls) as job:
            # Until both write-ahead logs have wrapped around, each grows at its own pace.
            for n in range(WARM_UP + rounds):
                raws.append(limit.rate(calls))
                began = time.perf_counter()
                run = await job.submit({"calls": calls}, key=f"{tag}-{n}")
                await run.wait()
                rates.append(calls / (time.perf_counter() - began))
            raws.append(limit.rate(calls))
        return {"rates": rates[WARM_UP:], "raws": raws[WARM_UP:]}

    return asyncio.run(measure())


def cold(store: str, calls: int, raw: str) -> dict[str, Any]:
    """Rate of one run's first calls in a new store, and of as many commits in another."""

    async def measure() -> dict[str, Any]:
        async with engine(store).open(ManyCalls) as job:
            began = time.perf_counter()
            run = await job.submit({"calls": calls}, key="cold")
            await run.wait()
            return {"rate": calls / (time.perf_counter() - began)}

    limit = common.RawCommits(Path(raw) / "raw.db").rate(calls)
    return {**asyncio.run(measure()), "raw": limit}


def lone(store: str, count: int, raw: str) -> dict[str, Any]:
    """Seconds of runs with nothing beside them, and of three commits each between them."""

    async def measure() -> dict[str, Any]:
        limit = common.RawCommits(Path(raw) / "raw.db")
        runs, commits = [], []
        async with engine(store).open(OneStep) as job:
            for n in range(count):
                commits.append(3 / limit.rate(3))
                began = time.perf_counter()
                run = await job.submit({"n": n}, key=n, id=f"lone-{n}")
                [output] = await run.outputs()
                runs.append(time.perf_counter() - began)
                assert output.value == n
        warm = count // 5
        return {"runs": runs[warm:], "commits": commits[warm:]}

    return asyncio.run(measure())


def idle(store: str, count: int, seconds: float) -> dict[str, Any]:
    """CPU time of a process with `count` calls in flight and nothing else to do."""

    async def measure() -> dict[str, Any]:
        async with engine(store, count).open(Waiting) as job:
            driving = asyncio.create_task(job.drive(source(count, "x"), key="id"))
            while job.progress.calls_made < count:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.0)
            cpu = time.process_time()
            await asyncio.sleep(seconds)
            used = time.process_time() - cpu
            result = {"cpu": used, "share": used / seconds, "peak_mib": peak_mib()}
            print(json.dumps(result), flush=True)
            os._exit(0 if not driving.done() else 1)  # ten thousand calls never end by themselves

    return asyncio.run(measure())


def queue_up(store: str, count: int) -> dict[str, Any]:
    """Peak memory with `count` runs behind one of their key that waits, and then one of another."""
    inputs = [{"key": "hot", "n": n, "wait": n == 0, "text": "x" * 200} for n in range(count)]

    async def measure() -> dict[str, Any]:
        async with engine(f"{store}-empty", 4096).open(Asks):
            empty = peak_mib()
        began = time.perf_counter()
        async with engine(store, 4096).open(Asks) as job:
            for first in range(0, count, 1000):
                await asyncio.gather(
                    *(job.submit(each, key="hot") for each in inputs[first : first + 1000])
                )
            other = await job.submit({"n": -1, "wait": False}, key=f"other{count}")
            await other.wait()
            wall = time.perf_counter() - began
            result = {
                "empty_mib": empty,
                "peak_mib": peak_mib(),
                "wall": wall,
                "queued": job.progress.queued,
            }
            job.drain_soon()
        return result

    return asyncio.run(measure())


def bare_idle(count: int, seconds: float) -> dict[str, Any]:
    """The same of plain asyncio with as many tasks that wait."""

    async def measure() -> dict[str, Any]:
        tasks = [asyncio.create_task(for_ever(n)) for n in range(count)]
        await asyncio.sleep(1.0)
        cpu = time.process_time()
        await asyncio.sleep(seconds)
        used = time.process_time() - cpu
        for task in tasks:
            task.cancel()
        return {"cpu": used, "share": used / seconds}

    return asyncio.run(measure())


def sleeping(store: str, count: int) -> dict[str, Any]:
    """Wall time and memory of `count` runs that sleep a second."""
    inputs = source(count, "x", seconds=1.0)
    began, cpu = time.perf_counter(), time.process_time()
    engine(store, 4096).run(Sleeps, inputs, key="id")
    wall, used, peak = time.perf_counter() - began, time.process_time() - cpu, peak_mib()
    bare = asyncio.run(common.bare_sleeps(count, 1.0))
    return {"wall": wall, "cpu": used, "peak_mib": peak, "bare": bare}


def asleep(store: str, count: int, seconds: float) -> dict[str, Any]:
    """CPU time of a process with `count` runs asleep and nothing else to do."""

    async def measure() -> dict[str, Any]:
        async with engine(store, 4096).open(Sleeps) as job:
            driving = asyncio.create_task(job.drive(source(count, "x", seconds=3600.0), key="id"))
            while job.progress.waiting < count:
                await asyncio.sleep(0.1)
            await asyncio.sleep(1.0)
            cpu = time.process_time()
            await asyncio.sleep(seconds)
            used = time.process_time() - cpu
            result = {"cpu": used, "share": used / seconds, "peak_mib": peak_mib()}
            job.drain_soon()  # they sleep on in the store
            await driving
        return result

    return asyncio.run(measure())


def threads(store: str, count: int, threads: int) -> dict[str, Any]:
    """Wall time of `count` plain actions that each block a thread for 0.2 s."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(time.sleep, [0.2] * count))
        bare = time.perf_counter() - began
    began = time.perf_counter()
    config = {"num-async-threads": threads}
    pooled = LocalEngine(store=f"sqlite:///{store}", job=JOB, config=config)
    pooled.run(PlainSleeps, source(count, "x", seconds=0.2), key="id")
    return {"wall": time.perf_counter() - began, "bare": bare}


def hanging(store: str, hung: int, threads: int) -> dict[str, Any]:
    """When a run with a hung call of its own goes on, and when those behind 50 such calls do."""

    async def measure() -> dict[str, Any]:
        config = {"num-async-threads": threads, "max-abandoned-threads": hung}
        pooled = LocalEngine(store=f"sqlite:///{store}", job=JOB, config=config)
        async with pooled.open(PlainSleeps) as job:
            began = time.perf_counter()
            alone = await job.submit({"seconds": 60.0}, key="alone")
            await alone.wait()
            release = time.perf_counter() - began
            began = time.perf_counter()
            for n in range(hung):
                await job.submit({"seconds": 60.0}, key=f"hung-{n}")
            behind = [await job.submit({"seconds": 0.01}, key=n) for n in range(hung)]
            done = [(await run.outputs())[0].value for run in behind]
            others = time.perf_counter() - began
        return {"release": release, "others": others, "done": done.count("done")}

    return asyncio.run(measure())


def costs(store: str, what: str, runs: int, times: int) -> dict[str, Any]:
    """CPU and bytes of runs that do something a number of times."""

    async def measure() -> float:
        async with engine(store).open(Costs) as job:
            cpu = time.process_time()

            async def one(n: int) -> None:
                run = await job.submit({"what": what, "times": times, "n": n}, key=n)
                await run.wait()

            await asyncio.gather(*(one(n) for n in range(runs)))
            return time.process_time() - cpu

    cpu = asyncio.run(measure())
    return {"cpu": cpu, "bytes": os.stat(store).st_size}


def one_step_bytes(store: str, runs: int) -> dict[str, Any]:
    """Bytes of a store of runs with a call and an output each, when it is closed."""
    from compare import cpu_of_runs, one_call

    agent = Agent().add_action("go", InputEvent, one_call)
    asyncio.run(cpu_of_runs(engine(store), agent, runs))
    with sqlite3.connect(store) as db:
        (count,) = db.execute("SELECT count(*) FROM run").fetchone()
    return {"bytes": os.stat(store).st_size, "runs": count}


def async_or_not(store: str, runs: int, calls: int, seconds: float) -> dict[str, Any]:
    """Seconds of runs of calls in turn, at once on threads and at once as coroutines."""

    async def measure() -> dict[str, Any]:
        found = {}
        config = {"num-async-threads": 16}
        pooled = LocalEngine(store=f"sqlite:///{store}", job=JOB, config=config)
        async with pooled.open(InTurnOrAtOnce) as job:
            for way in ("coroutines", "in_turn", "threads", "coroutines"):  # the first warms up
                began = time.perf_counter()
                value = {"way": way, "seconds": seconds, "calls": calls}
                started = [await job.submit(value, key=n) for n in range(runs)]
                for run in started:
                    await run.wait()
                found[way] = time.perf_counter() - began
        return found

    return asyncio.run(measure())


def half(store: str, count: int, tag: str = "x") -> dict[str, Any]:
    """Do half of the calls of `count` runs, say so, and wait to be killed."""
    Restart.hang = True

    async def measure() -> dict[str, Any]:
        async with engine(store, count).open(Restart) as job:
            driving = asyncio.create_task(job.drive(source(count, tag), key="id"))
            # The sixth call of a run starts when its fifth outcome is durable.
            while job.progress.calls_made < 6 * count:
                if driving.done():
                    return {"error": repr(driving.exception())}
                await asyncio.sleep(0.01)
            print("half", flush=True)
            await driving
        return {}

    return asyncio.run(measure())


def window(store: str, log: str, count: int, seconds: float) -> dict[str, Any]:
    """Make calls, `count` of them in flight, until the process is killed."""
    Logged.file = os.open(log, os.O_WRONLY | os.O_APPEND)
    return _timed(store, Logged, source(count, "x", seconds=seconds), count, "")


def resume(store: str, count: int, tag: str = "x") -> dict[str, Any]:
    """Go on with these runs; the first call that executes says so on standard output."""
    Restart.resumed = False
    began = time.perf_counter()
    outputs = engine(store, count).run(Restart, source(count, tag), key="id")
    return {"wall": time.perf_counter() - began, "outputs": len(outputs), "peak_mib": peak_mib()}


WORK: dict[str, Callable[..., dict[str, Any]]] = {
    work.__name__: work
    for work in (
        overlap, one_step, listed, many_calls, sequential, cold, lone, idle, bare_idle, sleeping,
        asleep, async_or_not, costs, one_step_bytes, threads, hanging, half, window, resume,
        queue_up,
        agent_workloads.chat_cpu, agent_workloads.two_chats_and_a_tool, agent_workloads.five_tools,
        agent_workloads.beside_a_retry, border_workloads.border,
    )
}  # fmt: skip

if __name__ == "__main__":
    if os.environ.get(common.EVENT_LOOP) == "uvloop":
        import uvloop

        asyncio.new_event_loop = asyncio.events.new_event_loop = uvloop.new_event_loop
    before = common.empty_call()
    found = WORK[sys.argv[1]](**json.loads(sys.argv[2]))
    found["empty_call"] = (before + common.empty_call()) / 2
    print(json.dumps(found), flush=True)
