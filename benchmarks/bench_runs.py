"""One-step runs a second: one trivial call, one memory write, one output each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, cpu_of, folder, main, median, rounds

IN_FLIGHT = 5_000
SHARE = 0.33  # of the raw rate
CALLS = 5_250  # empty calls of CPU a run: half of what version 0.1.0 took


def bench(options: argparse.Namespace) -> Iterator[Result]:
    count = 5_000 if options.quick else 20_000
    timed, raw = [], []
    arguments = {"count": count, "in_flight": IN_FLIGHT}
    for _ in range(rounds(options)):
        with folder() as path:
            timed.append(child("one_step", store=str(path / "a.db"), **arguments))
            raw.append(
                child("one_step", store=str(path / "b.db"), raw=str(path / "raw.db"), **arguments)
            )
    rate = median(count / r["wall"] for r in timed)
    ratio = median(r["raw_wall"] / t["wall"] for t, r in zip(timed, raw, strict=True))
    cpu = cpu_of(timed, count, "run")
    yield Result(
        name=f"one-step runs, {IN_FLIGHT:,} concurrent",
        measured=rate,
        raw=median(count / r["raw_wall"] for r in raw),
        unit="runs/s",
        raw_name="raw SQLite, same rows and batches,",
        ratio=ratio,
        target=f"at least {SHARE} x raw, at most {CALLS:,} empty calls a run",
        ok=ratio >= SHARE and cpu["calls"] <= CALLS,
        **cpu,
        details={"timed": timed, "with_raw": raw},
    )
    if options.quick:
        return
    listed = []
    for _ in range(rounds(options, 3)):
        with folder() as path:
            listed.append(child("listed", store=str(path / "c.db"), **arguments))
    rate = median(count / r["wall"] for r in listed)
    yield Result(
        name="one-step runs of a list of inputs (chunks of 512)",
        measured=rate,
        raw=0,
        unit="runs/s",
        raw_name="",
        ratio=0,
        target="none",
        ok=True,
        **cpu_of(listed, count, "run"),
        details={"timed": listed},
    )


if __name__ == "__main__":
    main(bench)
