"""What costs what: CPU and bytes on disk of a run, and of each thing more that it does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from common import Result, child, cpu_of, folder, main, median, rounds

RUNS, TIMES = 1_000, 10
ONE_STEP_RUNS, ONE_STEP_BYTES = 4_000, 320
# What a run does ten times more, and how it is called.
COSTS = {
    "at_once": "a call, of ten at once",
    "in_turn": "a call, of ten in turn",
    "thread": "a call of a plain function on a thread, of ten at once",
    "event": "an event that triggers an action",
    "output": "an output",
    "memory": "a write to short-term memory",
    "text": "a kilobyte of text, as the result of a call",
    "timer": "ctx.sleep",
}


def bench(options: argparse.Namespace) -> Iterator[Result]:
    runs = RUNS // 5 if options.quick else RUNS
    times = rounds(options, 3)
    yield _one_step(ONE_STEP_RUNS // 5 if options.quick else ONE_STEP_RUNS)
    bare = [_round("nothing", runs, 0) for _ in range(times)]
    yield _result("a run of one action that does nothing", bare, runs, "run")
    for what, name in COSTS.items():
        before, more = [], []
        for _ in range(times):
            less = "at_once" if what == "text" else "nothing"
            before.append(_round(less, runs, 1 if what == "text" else 0))
            more.append(_round(what, runs, TIMES))
        added = [
            {**b, "cpu": b["cpu"] - a["cpu"], "bytes": b["bytes"] - a["bytes"]}
            for a, b in zip(before, more, strict=True)
        ]
        yield _result(name, added, runs * TIMES, what)


def _one_step(runs: int) -> Result:
    with folder() as path:
        found = child("one_step_bytes", store=str(path / "a.db"), runs=runs)
    size = found["bytes"] / found["runs"]
    return Result(
        name="a run with one call and one output: bytes on disk",
        measured=size,
        raw=0,
        unit="bytes",
        raw_name="",
        ratio=0,
        target=f"at most {ONE_STEP_BYTES}, of {ONE_STEP_RUNS:,} runs",
        ok=size <= ONE_STEP_BYTES,
        details=found,
    )


def _round(what: str, runs: int, times: int) -> dict[str, Any]:
    with folder() as path:
        return child("costs", store=str(path / "a.db"), what=what, runs=runs, times=times)


def _result(name: str, found: list[dict[str, Any]], count: int, per: str) -> Result:
    size = median(each["bytes"] / count for each in found)
    return Result(
        name=f"{name}: bytes on disk",
        measured=size,
        raw=0,
        unit="bytes",
        raw_name="",
        ratio=0,
        target="none",
        ok=True,
        **cpu_of(found, count, "time" if per != "run" else per),
        details={"rounds": found},
    )


if __name__ == "__main__":
    main(bench)
