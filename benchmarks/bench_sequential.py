"""Calls one after another, and a run alone: the disk's rate of commits is the limit."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, folder, main, median, rounds

CALLS = 1_000
COLD_CALLS = 2_000
SHARE, COLD_SHARE = 0.75, 0.6
LONE, COMMITS = 500, 2.0  # runs; a run's time in its three commits'


def bench(options: argparse.Namespace) -> Iterator[Result]:
    yield _cold(options)
    yield _lone(options)
    with folder() as path:
        result = child(
            "sequential",
            store=str(path / "store.db"),
            calls=CALLS,
            rounds=2 if options.quick else 9,
            raw=str(path),
        )
    # Each run against the mean of the raw rates just before and just after it.
    pairs = zip(result["rates"], result["raws"], result["raws"][1:], strict=False)
    share = median(rate / ((before + after) / 2) for rate, before, after in pairs)
    yield Result(
        name=f"one run of {CALLS:,} sequential calls, warm",
        measured=median(result["rates"]),
        raw=median(result["raws"]),
        unit="calls/s",
        raw_name="raw one-row commits",
        ratio=share,
        target=f"at least {SHARE} x raw",
        ok=share >= SHARE,
        details=result,
    )


def _cold(options: argparse.Namespace) -> Result:
    found = []
    for _ in range(rounds(options, 3)):
        with folder() as path:
            found.append(child("cold", store=str(path / "a.db"), calls=COLD_CALLS, raw=str(path)))
    ratio = median(each["rate"] / each["raw"] for each in found)
    return Result(
        name=f"the first {COLD_CALLS:,} sequential calls of a store",
        measured=median(each["rate"] for each in found),
        raw=median(each["raw"] for each in found),
        unit="calls/s",
        raw_name="raw one-row commits",
        ratio=ratio,
        target=f"at least {COLD_SHARE} x raw",
        ok=ratio >= COLD_SHARE,
        details={"rounds": found},
    )


def _lone(options: argparse.Namespace) -> Result:
    count = LONE // 5 if options.quick else LONE
    with folder() as path:
        found = child("lone", store=str(path / "a.db"), count=count, raw=str(path))
    run, commits = median(found["runs"]), median(found["commits"])
    return Result(
        name="a run with nothing beside it, submit to output, p50",
        measured=1e3 * run,
        raw=1e3 * commits,
        unit="ms",
        raw_name="three commits that follow each other",
        ratio=run / commits,
        target=f"at most {COMMITS:g} x these",
        ok=run <= COMMITS * commits,
        details=found,
    )


if __name__ == "__main__":
    main(bench)
