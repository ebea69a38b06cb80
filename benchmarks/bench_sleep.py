"""Durable time: a hundred thousand runs that sleep, and what they cost while they do (G12, G20)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, folder, main

RUNS = 100_000
SECONDS, MIB, IDLE_PERCENT = 20.0, 1024, 2.0


def bench(options: argparse.Namespace) -> Iterator[Result]:
    runs = RUNS // 10 if options.quick else RUNS
    with folder() as path:
        result = child("sleeping", store=str(path / "store.db"), count=runs)
    limit = 1.0 + (SECONDS - 1.0) * runs / RUNS
    yield Result(
        name=f"{runs:,} runs in ctx.sleep(1.0)",
        measured=result["wall"],
        raw=result["bare"],
        unit="s",
        raw_name="as many asyncio.sleep(1.0)",
        ratio=result["wall"] / result["bare"],
        target=f"at most {limit:g} s",
        ok=result["wall"] <= limit,
        details=result,
    )
    yield Result(
        name=f"peak memory of these {runs:,} runs",
        measured=result["peak_mib"],
        raw=0,
        unit="MiB",
        raw_name="",
        ratio=0,
        target=f"at most {MIB} MiB",
        ok=result["peak_mib"] <= MIB,
    )
    yield from _idle(runs, 2 if options.quick else 10)


def _idle(runs: int, seconds: int) -> Iterator[Result]:
    with folder() as path:
        result = child("asleep", store=str(path / "store.db"), count=runs, seconds=seconds)
    percent = 100 * result["share"]
    yield Result(
        name=f"CPU with {runs:,} runs asleep for an hour, over {seconds} s",
        measured=percent,
        raw=0,
        unit="% of a core",
        raw_name="",
        ratio=0,
        target=f"under {IDLE_PERCENT:g} %",
        ok=percent < IDLE_PERCENT,
        details=result,
    )
    yield Result(
        name="peak memory of these, of which 4,096 stay in memory",
        measured=result["peak_mib"],
        raw=0,
        unit="MiB",
        raw_name="",
        ratio=0,
        target=f"at most {MIB} MiB",
        ok=result["peak_mib"] <= MIB,
    )


if __name__ == "__main__":
    main(bench)
