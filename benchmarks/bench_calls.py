"""Durable calls a second: many runs that each make trivial calls one after another."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, cpu_of, folder, main, median, rounds

RUNS = 1_000
CALLS = 20
SHARE = 0.35  # of the raw rate
EMPTY_CALLS = 1_500  # of CPU a call: 0.65 of what version 0.1.0 took


def bench(options: argparse.Namespace) -> Iterator[Result]:
    timed, raw = [], []
    for _ in range(rounds(options)):
        arguments = {"count": RUNS, "calls": CALLS}
        with folder() as path:
            timed.append(child("many_calls", store=str(path / "a.db"), **arguments))
            raw.append(
                child("many_calls", store=str(path / "b.db"), raw=str(path / "raw.db"), **arguments)
            )
    rate = median(RUNS * CALLS / r["wall"] for r in timed)
    limit = median(RUNS * CALLS / r["raw_wall"] for r in raw)
    ratio = median(r["raw_wall"] / t["wall"] for t, r in zip(timed, raw, strict=True))
    cpu = cpu_of(timed, RUNS * CALLS, "call")
    yield Result(
        name=f"durable calls, {RUNS:,} runs of {CALLS}",
        measured=rate,
        raw=limit,
        unit="calls/s",
        raw_name="raw SQLite, same rows and batches,",
        ratio=ratio,
        target=f"at least {SHARE} x raw, at most {EMPTY_CALLS:,} empty calls a call",
        ok=ratio >= SHARE and cpu["calls"] <= EMPTY_CALLS,
        **cpu,
        details={"timed": timed, "with_raw": raw},
    )


if __name__ == "__main__":
    main(bench)
