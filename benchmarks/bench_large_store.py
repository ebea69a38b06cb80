"""The other benchmarks again, in a store that holds a million finished runs of the same job."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import bench_restart
import bench_runs
from common import Result, child, folder, main, median, restart, rounds
from filled_store import copy, fill

JOB = "bench"
SLACK = 0.2


def one_step(store: Path, tag: str) -> float:
    arguments = {"count": 20_000, "in_flight": bench_runs.IN_FLIGHT, "tag": tag}
    return 20_000 / child("one_step", store=str(store), **arguments)["wall"]


def many_calls(store: Path, tag: str) -> float:
    return 20_000 / child("many_calls", store=str(store), count=1_000, calls=20, tag=tag)["wall"]


def sequential(store: Path, tag: str) -> float:
    with folder() as raw:
        result = child("sequential", store=str(store), calls=1_000, rounds=3, raw=str(raw), tag=tag)
    pairs = zip(result["rates"], result["raws"], result["raws"][1:], strict=False)
    return median(2 * rate / (before + after) for rate, before, after in pairs)


def overlap(store: Path, tag: str) -> float:
    return float(child("overlap", store=str(store), count=2_000, tag=tag)["wall"])


def restarted(store: Path, tag: str) -> float:
    return restart(store, count=bench_restart.RUNS, tag=tag)


# (what, how, unit, more is better)
CASES: tuple[tuple[str, Callable[[Path, str], float], str, bool], ...] = (
    ("2,000 runs with a call of 1.0 s each", overlap, "s", False),
    ("one-step runs", one_step, "runs/s", True),
    ("durable calls, 1,000 runs of 20", many_calls, "calls/s", True),
    ("sequential calls, as a share of raw commits", sequential, "x raw", True),
    ("restart with 500 runs half done", restarted, "s", False),
)


def bench(options: argparse.Namespace) -> Iterator[Result]:
    finished = 100_000 if options.quick else 1_000_000
    with folder() as path:
        filled = path / "filled.db"
        fill(filled, finished, JOB)
        for name, measure, unit, more_is_better in CASES:
            large = copy(filled, path / "large.db")
            new, full = [], []
            # By turns, so that the mood of the machine is the same for both.
            for n in range(rounds(options)):
                with folder() as empty:
                    new.append(measure(empty / "store.db", f"round{n}"))
                full.append(measure(large, f"round{n}"))
            for file in path.glob("large.db*"):
                file.unlink()
            ratio = median(f / n for f, n in zip(full, new, strict=True))
            yield Result(
                name=f"with {finished:,} finished runs: {name}",
                measured=median(full),
                raw=median(new),
                unit=unit,
                raw_name="new store",
                ratio=ratio,
                target=f"within {SLACK:.0%} of the new store",
                ok=ratio >= 1 - SLACK if more_is_better else ratio <= 1 + SLACK,
                details={"new": new, "full": full},
            )


if __name__ == "__main__":
    main(bench)
