"""CPU of this source against another checkout's, in alternating pairs.

    python benchmarks/compare.py ../other/src [runs calls sequential overlap]

Prints for each workload the median of the ratios new/old, and its 95 % interval by bootstrap. CPU
is user and system time of the process: other work on the machine disturbs it less than wall time.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from perdure import Agent, InputEvent, LocalEngine, OutputEvent

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


WORKLOADS = {
    "runs": (one_call, 4000),
    "calls": (twenty_calls, 400),
    "sequential": (one_by_one, 3),
    "overlap": (slow_call, 10_000),
}


async def cpu_of_runs(engine: LocalEngine, agent: Agent, count: int) -> float:
    """Return the CPU seconds of inputs of as many keys, all at once, each from submit to result."""

    async def from_submit_to_result(n: int) -> list[Any]:
        run = await job.submit({"k": n}, key=n)
        return await run.outputs()

    async def submit_all(count: int) -> list[list[Any]]:
        return await asyncio.gather(*(from_submit_to_result(n) for n in range(count)))

    async with engine.open(agent) as job:
        await submit_all(count // 100)  # what is done once, such as imports
        before = resource.getrusage(resource.RUSAGE_SELF)
        found = await submit_all(count)
        after = resource.getrusage(resource.RUSAGE_SELF)
    assert sum(map(len, found)) == count
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(name: str) -> None:
    """Print the CPU seconds of one workload in this process."""
    action, count = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder:
        engine = LocalEngine(f"sqlite:///{folder}/compare.db", job="compare")
        agent = Agent().add_action("go", InputEvent, action)
        print(asyncio.run(cpu_of_runs(engine, agent, count)))


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
    medians = (statistics.median(random.choices(ratios, k=PAIRS)) for _ in range(2000))
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
