"""The cases that every peer is measured by, with the same checks of results.

A peer's script gives `main` something that starts runs and waits for their results; a process does
one case and prints what it measured as one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import psutil

TEXT_BYTES = 20_000
CALLS_WHEN_KILLED = 10  # of each run in the case `killed`


class Peer(Protocol):
    """A system that is measured, while it is open."""

    async def run(self, kind: str, ids: Sequence[str], values: Sequence[Any]) -> list[Any]:
        """Start a run for each value, all at once; return what they come to, in their order.

        Args:
            kind: "step": one call, `echo(value)`. "second": one call of a second. "calls": as many
                calls one after another as the value says, their sum. "text": one call that returns
                `text(value)`, its length. "logged": calls of `logged(value, n)`, their number.
            ids: of the runs. Those that were started before go on, and are waited for.
            values: the inputs.
        """

    def disk(self) -> int:
        """Return the bytes that all that was recorded takes on disk."""


# What is called, the same everywhere


async def echo(value: Any) -> Any:
    return value


async def second(value: Any) -> Any:
    await asyncio.sleep(1.0)
    return value


def text(number: int) -> str:
    """Return 20 kB of English, another one for each number."""
    words = WORDS.split()
    state, found, size = number + 1, [], 0
    while size <= TEXT_BYTES:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        found.append(words[(state >> 33) % len(words)])
        size += len(found[-1]) + 1
    return " ".join(found)[:TEXT_BYTES]


async def written(number: int) -> str:
    return text(number)


async def logged(run: str, n: int) -> int:
    """Say in a file, after 10 to 100 ms, that this call was executed."""
    await asyncio.sleep(random.uniform(0.01, 0.1))
    os.write(_log(), f"{run} {n}\n".encode())
    return n


def _log() -> int:
    if not hasattr(_log, "file"):
        _log.file = os.open(os.environ["PEER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)  # type: ignore[attr-defined]
    return int(_log.file)  # type: ignore[attr-defined]


WORDS = """
the kettle boils two cups before I have found the tea bags and its lid feels a little loose but I
love it anyway we bought this lamp for reading in bed arm droops after week light flickers very
disappointing price delivery was quick packaging careful colour matches picture exactly would buy
again my sister has one as well battery lasts three days with normal use charger gets warm
instructions are short hard to follow customer service answered within hour sent new part without
question fabric washed fine at forty degrees seams held size runs small order one larger than
usual comfortable on feet all day at work not for hiking though
"""

# The cases


async def one_step(peer: Peer, count: int) -> dict[str, Any]:
    """Runs of one call, all at once, from the first submit to the last result."""
    return await _timed(peer, "step", list(range(count)), list(range(count)))


async def one_second(peer: Peer, count: int) -> dict[str, Any]:
    """Runs of one call that takes a second, all at once."""
    return await _timed(peer, "second", list(range(count)), list(range(count)))


async def many_calls(peer: Peer, runs: int, calls: int) -> dict[str, Any]:
    """Runs of calls one after another, all at once."""
    return await _timed(peer, "calls", [calls] * runs, [sum(range(calls))] * runs)


async def sequential(peer: Peer, calls: int, rounds: int) -> dict[str, Any]:
    """One run of calls one after another; the first in a new store, the others warm."""
    rates = []
    for n in range(rounds):
        began = time.perf_counter()
        found = await peer.run("calls", [f"sequential-{n}"], [calls])
        rates.append(calls / (time.perf_counter() - began))
        _check(found, [sum(range(calls))])
    return {"cold": rates[0], "warm": statistics.median(rates[1:])}


async def lone(peer: Peer, count: int) -> dict[str, Any]:
    """Runs of one call, one by one."""
    took = []
    for n in range(count):
        began = time.perf_counter()
        found = await peer.run("step", [f"lone-{n}"], [n])
        took.append(time.perf_counter() - began)
        _check(found, [n])
    return {"p50": statistics.median(took[count // 5 :])}


async def disk(peer: Peer, count: int) -> dict[str, Any]:
    """Bytes of a run whose call returns 20 kB of text, above those of one that returns a number."""
    marks = []
    for phase, kind in enumerate(("step", "step", "text")):  # first what a store begins with
        ids = [f"disk-{phase}-{n}" for n in range(count)]
        found = await peer.run(kind, ids, list(range(count)))
        _check(found, [n if kind == "step" else TEXT_BYTES for n in range(count)])
        await asyncio.sleep(1.0)
        marks.append(peer.disk())
    small, large = marks[1] - marks[0], marks[2] - marks[1]
    return {"bytes": (large - small) / count, "small": small / count}


async def killed(peer: Peer, runs: int) -> dict[str, Any]:
    """Runs of logged calls; the process is killed meanwhile, and started again."""
    ids = [f"killed-{n}" for n in range(runs)]
    found = await peer.run("logged", ids, ids)
    _check(found, [CALLS_WHEN_KILLED] * runs)
    return {}


async def _timed(peer: Peer, kind: str, values: list[Any], expected: list[Any]) -> dict[str, Any]:
    ids = [f"{kind}-{n}" for n in range(len(values))]
    await peer.run("step", ["warm-up"], [0])
    before, began = cpu(), time.perf_counter()
    found = await peer.run(kind, ids, values)
    wall = time.perf_counter() - began
    used = cpu() - before
    _check(found, expected)
    return {"wall": wall, "cpu": used}


def _check(found: list[Any], expected: list[Any]) -> None:
    if found != expected:
        wrong = next(pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1])
        raise SystemExit(f"a result is wrong: {str(wrong[0])[:60]!r} instead of {wrong[1]!r}")


CASES: dict[str, Callable[..., Any]] = {
    case.__name__: case
    for case in (one_step, one_second, many_calls, sequential, lone, disk, killed)
}

# Measuring


def cpu() -> float:
    """Return the CPU seconds so far of this process, its children and the servers beside it."""
    roots = [os.getpid(), *map(int, os.environ.get("PEER_SERVERS", "").split())]
    total = 0.0
    for pid in roots:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def size_of(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(opened: Callable[[Path], AbstractAsyncContextManager[Peer]]) -> None:
    """Do the case that the arguments name, in a folder that they name too."""
    case, arguments, folder = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])

    async def measure() -> dict[str, Any]:
        async with opened(folder) as peer:
            found: dict[str, Any] = await CASES[case](peer, **arguments)
            print(json.dumps(found), flush=True)
        return found

    asyncio.run(measure())
