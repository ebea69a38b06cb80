"""What the benchmarks share: child processes, raw limits of the disk, one line of result each."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# On the disk of the project: the system's folder for temporary files may be memory.
WORK = HERE.parent / "build" / "bench"
CHILD_SECONDS = 300.0
EVENT_LOOP = "PERDURE_EVENT_LOOP"  # of perdure and of what it is compared with

median = statistics.median


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of a benchmark.

    Attributes:
        name: what was measured.
        measured: the figure.
        raw: the limit of this machine for the same work, measured in the same run; 0 for none.
        ratio: measured to raw, each round by itself, the median.
        unit: of both.
        raw_name: what the limit is.
        target: in words.
        ok: the target is met.
        cpu: CPU seconds of all threads for one `per`; 0 where it is not the point.
        calls: the same in empty Python calls (see `empty_call`).
        per: what that is the CPU of.
        details: further figures, for `--json`.
    """

    name: str
    measured: float
    raw: float
    unit: str
    raw_name: str
    ratio: float
    target: str
    ok: bool
    cpu: float = 0.0
    calls: float = 0.0
    per: str = ""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    def line(self) -> str:
        """Return the result as text."""
        parts = [f"{self.name}: {_number(self.measured)} {self.unit}"]
        if self.raw:
            parts.append(f"{self.raw_name} {_number(self.raw)} {self.unit}")
            parts.append(f"ratio {self.ratio:.2f}")
        if self.cpu:
            each = f"{1e6 * self.cpu:,.0f} µs" if self.cpu < 0.01 else f"{self.cpu:.3g} s"
            parts.append(f"CPU {each} or {self.calls:,.0f} empty calls a {self.per}")
        parts += [f"target {self.target}", "ok" if self.ok else "MISS"]
        return " | ".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main(bench: Callable[[argparse.Namespace], Iterator[Result]]) -> None:
    """Run one benchmark as a program: `bench` yields its results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="smaller and once: a smoke test")
    parser.add_argument("--uvloop", action="store_true", help="all event loops are uvloop's")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    os.environ[EVENT_LOOP] = "uvloop" if options.uvloop else "asyncio"
    WORK.mkdir(parents=True, exist_ok=True)
    for result in bench(options):
        line = json.dumps(dataclasses.asdict(result)) if options.json else result.line()
        print(line, flush=True)


def empty_call() -> float:
    """Return the CPU seconds of an empty Python call in this process.

    It is the unit of what figures of two machines, or of two days, have in common. The median,
    since what else runs on the machine slows down both.
    """

    def empty() -> None:
        pass

    def once(count: int = 50_000) -> float:
        began = time.process_time()
        for _ in range(count):
            empty()
        return (time.process_time() - began) / count

    return median(once() for _ in range(11))


def cpu_of(found: Sequence[dict[str, Any]], count: int, per: str) -> dict[str, Any]:
    """Return what a `Result` says of the CPU of `count` runs or calls, the median of the rounds.

    Args:
        found: of each round its `cpu` and its `empty_call`, as children give them.
        count: how many runs or calls that was.
        per: what each of them is.
    """
    return {
        "cpu": median(each["cpu"] / count for each in found),
        "calls": median(each["cpu"] / count / each["empty_call"] for each in found),
        "per": per,
    }


def rounds(options: argparse.Namespace, full: int = 5) -> int:
    """Return how often to measure; the median counts, since machines are shared."""
    return 1 if options.quick else full


@contextmanager
def folder() -> Iterator[Path]:
    """Give a new folder for stores on the project's disk; it goes when the block ends."""
    WORK.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=WORK))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


# Child processes: memory, CPU and a clean start are measured in a process of its own


def environment() -> dict[str, str]:
    """Return an environment in which modules are compiled once, as installed ones are."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    env[EVENT_LOOP] = os.environ.get(EVENT_LOOP, "asyncio")
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(WORK / "bytecode")
    return env


def start(work: str, **arguments: Any) -> subprocess.Popen[str]:
    """Start `workloads.py` with one piece of work."""
    command = [sys.executable, str(HERE / "workloads.py"), work, json.dumps(arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())


def child(work: str, **arguments: Any) -> dict[str, Any]:
    """Run one piece of work of `workloads.py` in a process; return what it measured."""
    process = start(work, **arguments)
    output, _ = process.communicate(timeout=CHILD_SECONDS)
    if process.returncode:
        raise RuntimeError(f"{work} ended with {process.returncode}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def restart(store: Path, *, count: int, tag: str = "x") -> float:
    """Kill a process in the middle of `count` runs and start another on the same store.

    Returns:
        Seconds from the start of the second process to its first call.
    """
    first = start("half", store=str(store), count=count, tag=tag)
    if _line(first) != "half":
        raise RuntimeError("the first process ended before it was killed")
    first.kill()
    first.communicate()
    began = time.perf_counter()
    second = start("resume", store=str(store), count=count, tag=tag)
    if _line(second) != "first call 5":  # each run has the outcomes of its calls 0 to 4
        raise RuntimeError("the second process did not go on where the first was killed")
    seconds = time.perf_counter() - began
    output, _ = second.communicate(timeout=CHILD_SECONDS)
    if second.returncode or json.loads(output.splitlines()[-1])["outputs"] != count:
        raise RuntimeError("the second process did not finish what the first had begun")
    return seconds


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def python_seconds(code: str) -> float:
    """Return the seconds of a process that runs `code`, from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
    return time.perf_counter() - began


# Raw limits


async def bare_sleeps(count: int, seconds: float) -> float:
    """Return the wall time, in seconds, of `count` overlapping sleeps in plain asyncio."""

    async def sleeper() -> float:
        await asyncio.sleep(seconds)
        return seconds

    began = time.perf_counter()
    await asyncio.gather(*(sleeper() for _ in range(count)))
    return time.perf_counter() - began


Batch = Sequence[tuple[str, Sequence[Sequence[Any]]]]  # (statement, rows) in writing order


def raw_commits(path: Path, batches: Sequence[Batch]) -> float:
    """Return the seconds that SQLite itself takes to write `batches`, a transaction each.

    The schema, the settings (WAL, synchronous FULL) and the statements are perdure's own; there is
    neither an event loop nor a thread.
    """
    connection = _connection(path)
    try:
        began = time.perf_counter()
        for batch in batches:
            connection.execute("BEGIN IMMEDIATE")
            for statement, rows in batch:
                connection.executemany(statement, rows)
            connection.execute("COMMIT")
        return time.perf_counter() - began
    finally:
        connection.close()


class RawCommits:
    """One-row transactions on a store of its own, which stays open.

    A new write-ahead log grows by each commit, which costs the disk twice what a used one does: so
    the raw store must be as used as the one that it is compared with.
    """

    def __init__(self, path: Path) -> None:
        self._connection = _connection(path)

    def rate(self, count: int) -> float:
        """Return commits a second over `count` commits of one journal record each."""
        from perdure.journal.record import Record
        from perdure.store.sqlite.write import WRITE

        insert = WRITE["Record"]
        at = time.time_ns()
        digest, payload = b"\x5a" * 16, b"\x01\x05"
        rows = [
            Record(1 << 40, 0, "go", n, 2, n, "workloads:trivial", digest, "1", payload, at, at)
            for n in range(count)
        ]
        execute = self._connection.execute
        began = time.perf_counter()
        for row in rows:
            execute("BEGIN IMMEDIATE")
            execute(insert, row)
            execute("COMMIT")
        return count / (time.perf_counter() - began)


def _connection(path: Path) -> sqlite3.Connection:
    from perdure.store.sqlite.file import connect

    return connect(path)
