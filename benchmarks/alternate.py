"""CPU of this source against another checkout's, in small batches of two processes that stay.

    python benchmarks/alternate.py ../other/src [runs calls overlap plain threads sleeps memory]

`compare.py` runs a workload in a new process each time, so that a second in which others want the
machine counts for one source alone. Here a batch takes a tenth of that, and both sources' come one
right behind the other, in an order that is drawn: the interval is some hundredths wide, on a busy
machine too. What a process does once, such as imports and the first statements, is not in it.

Prints for each workload the median of the ratios new/old with its 95 % interval by bootstrap, and
the CPU of an input. CPU is user and system time of all threads.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import compare

from perdure import Agent, InputEvent

BATCHES = 100
INPUTS = {
    "runs": 500, "calls": 40, "overlap": 500, "plain": 40, "threads": 20, "sleeps": 150,
    "memory": 300,
}  # fmt: skip


async def batches(name: str, folder: str) -> None:
    """Run a batch for each line that is read, and print its CPU seconds."""
    agent = Agent().add_action("go", InputEvent, compare.ACTIONS[name][0])
    count, begun = INPUTS[name], 0
    async with compare.opened(folder).open(agent) as job:
        while sys.stdin.readline():
            print(await compare.cpu_of_inputs(job, range(begun, begun + count)), flush=True)
            begun += count


class Side:
    """A source, and the process that runs batches with it."""

    def __init__(self, source: Path, name: str) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--batches", name]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.took: list[float] = []

    def run(self) -> float:
        """Run a batch; return its CPU seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        """End the process in good order."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def alternate(old: Path, name: str) -> str:
    """Return one line about a workload."""
    sides = [Side(Path(__file__).resolve().parents[1] / "src", name), Side(old, name)]
    try:
        for side in sides * 2:
            side.run()  # what is done once
        for _ in range(BATCHES):
            for side in random.sample(sides, 2):
                side.took.append(side.run())
    finally:
        for side in sides:
            side.end()
    ratios = [new / before for new, before in zip(*(side.took for side in sides), strict=True)]
    new, before = (1e6 * statistics.median(side.took) / INPUTS[name] for side in sides)
    return f"{compare.told(name, ratios)}  an input takes {new:,.0f} µs, {before:,.0f} µs"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--batches"]:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(batches(sys.argv[2], folder))
    elif len(sys.argv) < 2:
        sys.exit(__doc__)
    else:
        for workload in sys.argv[2:] or INPUTS:
            print(alternate(Path(sys.argv[1]).resolve(), workload), flush=True)
