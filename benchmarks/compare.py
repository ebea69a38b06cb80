"""CPU of this source against another checkout's, in alternating pairs.

    python benchmarks/compare.py ../other/src [runs calls plain threads chats ...]

Prints for each workload the median of the ratios new/old, and its 95 % interval by bootstrap. CPU
is user and system time of the process: other work on the machine disturbs it less than wall time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, PerdureError

PAIRS = 9
HERE = Path(__file__).resolve()


async def echo(n: int) -> int:
    return n


async def one_call(event: Any, ctx: Any) -> None:
    found = await ctx.durable_execute_async(echo, event.input["k"])
    ctx.send_event(OutputEvent(output=found))


async def twenty_calls(event: Any, ctx: Any) -> None:
    calls = [ctx.durable_execute_async(echo, n) for n in range(20)]
    ctx.send_event(OutputEvent(output=sum(await asyncio.gather(*calls))))


async def one_by_one(event: Any, ctx: Any) -> None:
    for n in range(1000):
        await ctx.durable_execute_async(echo, n)
    ctx.send_event(OutputEvent(output=1))


async def one_second(n: int) -> int:
    await asyncio.sleep(1.0)
    return n


async def slow_call(event: Any, ctx: Any) -> None:
    found = await ctx.durable_execute_async(one_second, event.input["k"])
    ctx.send_event(OutputEvent(output=found))


def plain_calls(event: Any, ctx: Any) -> None:
    for n in range(10):
        ctx.durable_execute_async(echo, n).result()
    ctx.send_event(OutputEvent(output=1))


async def threaded(event: Any, ctx: Any) -> None:
    calls = [ctx.durable_execute_async(abs, -n) for n in range(10)]
    ctx.send_event(OutputEvent(output=sum(await asyncio.gather(*calls))))


async def sleeping(event: Any, ctx: Any) -> None:
    for _ in range(5):
        await ctx.sleep(0.01)
    ctx.send_event(OutputEvent(output=1))


async def remembering(event: Any, ctx: Any) -> None:
    memory = ctx.short_term_memory
    for n in range(5):
        memory.set(f"place{n}", (memory.get(f"place{n}") or 0) + 1)
    ctx.send_event(OutputEvent(output=1))


# An action, and how many inputs it gets.
ACTIONS: dict[str, tuple[Any, int]] = {
    "runs": (one_call, 4000),
    "calls": (twenty_calls, 400),
    "sequential": (one_by_one, 3),
    "plain": (plain_calls, 400),
    "threads": (threaded, 400),
    "sleeps": (sleeping, 1500),
    "memory": (remembering, 3000),
    "overlap": (slow_call, 10_000),
}


def opened(folder: str) -> LocalEngine:
    return LocalEngine(f"sqlite:///{folder}/compare.db", job="compare")


async def cpu_of_inputs(job: Any, numbers: range) -> float:
    """Return the CPU seconds of inputs of as many keys, all at once, each from submit to result."""

    async def from_submit_to_result(n: int) -> list[Any]:
        run = await job.submit({"k": n}, key=n)
        return await run.outputs()

    before = cpu_seconds()
    found = await asyncio.gather(*(from_submit_to_result(n) for n in numbers))
    used = cpu_seconds() - before
    assert sum(map(len, found)) == len(numbers)
    return used


async def cpu_of_runs(engine: LocalEngine, agent: Agent, count: int) -> float:
    """Return the CPU seconds of as many inputs, behind some that do what is done once."""
    async with engine.open(agent) as job:
        await cpu_of_inputs(job, range(count // 100))
        return await cpu_of_inputs(job, range(count))


def cpu_of_action(name: str, folder: str) -> float:
    action, count = ACTIONS[name]
    agent = Agent().add_action("go", InputEvent, action)
    return asyncio.run(cpu_of_runs(opened(folder), agent, count))


def cpu_of_chats(inside: bool, folder: str) -> float:
    from agent_workloads import chat_cpu

    return float(chat_cpu(f"{folder}/compare.db", 500, inside)["cpu_ms"])


def cpu_of_replay(folder: str) -> float:
    """Return the CPU seconds of going on with 400 runs of 20 recorded calls each."""

    async def calls_then_stop(event: Any, ctx: Any) -> None:
        calls = [ctx.durable_execute_async(echo, n) for n in range(20)]
        total = sum(await asyncio.gather(*calls))
        if await ctx.durable_execute_async(echo, 1):
            await ctx.wait_for_signal("go")
        ctx.send_event(OutputEvent(output=total))

    agent = Agent().add_action("go", InputEvent, calls_then_stop)

    async def until(job: Any, waiting: int) -> None:
        while (await asyncio.sleep(0.02)) or job.progress.waiting < waiting:
            pass

    async def live() -> None:
        async with opened(folder).open(agent) as job:
            for n in range(400):
                await job.submit({"k": n}, key=n)
            await until(job, 400)
            job.stop_now()

    async def again() -> None:
        nonlocal used
        before = cpu_seconds()
        async with opened(folder).open(agent) as job:
            await until(job, 400)
            used = cpu_seconds() - before
            job.stop_now()

    used = 0.0
    for life in (live, again):
        with contextlib.suppress(PerdureError):  # it was stopped
            asyncio.run(life())
    return used


def cpu_of_signals(folder: str) -> float:
    """Return the CPU seconds of 400 signals to one run, one after another."""

    async def takes_all(event: Any, ctx: Any) -> None:
        for _ in range(400):
            await ctx.wait_for_signal("go")
        ctx.send_event(OutputEvent(output=1))

    async def send_all() -> float:
        agent = Agent().add_action("go", InputEvent, takes_all)
        async with opened(folder).open(agent) as job:
            run = await job.submit({}, key="a")
            before = cpu_seconds()
            for n in range(400):
                await run.signal("go", n)
            await run.outputs()
            return cpu_seconds() - before

    return asyncio.run(send_all())


def cpu_of_start(folder: str) -> float:
    """Return the CPU seconds of a process that imports perdure, opens a job and runs nothing."""
    script = (
        "from perdure import Agent, InputEvent, LocalEngine\n"
        "agent = Agent().add_action('go', InputEvent, lambda event, ctx: None)\n"
        f"LocalEngine('sqlite:///{folder}/s.db', job='s').run(agent, [], key=str)"
    )
    before = cpu_seconds(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        subprocess.run([sys.executable, "-c", script], check=True)
    return cpu_seconds(resource.RUSAGE_CHILDREN) - before


def cpu_seconds(whose: int = resource.RUSAGE_SELF) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


WORKLOADS: dict[str, Callable[[str], float]] = {
    **{name: partial(cpu_of_action, name) for name in ACTIONS},
    "chats": partial(cpu_of_chats, False),
    "inside": partial(cpu_of_chats, True),
    "replay": cpu_of_replay,
    "signals": cpu_of_signals,
    "start": cpu_of_start,
}


def measure(name: str) -> None:
    """Print the CPU seconds of one workload in this process."""
    with tempfile.TemporaryDirectory() as folder:
        print(WORKLOADS[name](folder))


def cpu_of(source: Path, name: str) -> float:
    """Return the CPU seconds of one workload with the package of a source folder."""
    command = [sys.executable, str(HERE), "--measure", name]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def compare(old: Path, name: str) -> str:
    """Return one line about a workload."""
    new, ratios = HERE.parents[1] / "src", []
    for turn in range(PAIRS):
        first, second = (old, new) if turn % 2 else (new, old)
        found = {first: cpu_of(first, name), second: cpu_of(second, name)}
        ratios.append(found[new] / found[old])
    return told(name, ratios)


def told(name: str, ratios: list[float]) -> str:
    """Return one line about the ratios of a workload: their median, and its interval."""
    medians = (statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(2000))
    drawn = sorted(medians)
    return (
        f"{name:<12} new/old {statistics.median(ratios):.3f}"
        f"  95 % from {drawn[50]:.3f} to {drawn[-51]:.3f}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
    elif len(sys.argv) < 2:
        sys.exit(__doc__)
    else:
        for workload in sys.argv[2:] or WORKLOADS:
            print(compare(Path(sys.argv[1]).resolve(), workload), flush=True)
