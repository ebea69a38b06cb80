"""An idle process: ten thousand calls in flight and nothing else to do (G17)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, folder, main

CALLS = 10_000
LIMIT_PERCENT = 2.0


def bench(options: argparse.Namespace) -> Iterator[Result]:
    seconds = 2 if options.quick else 10
    with folder() as path:
        result = child("idle", store=str(path / "store.db"), count=CALLS, seconds=seconds)
    bare = child("bare_idle", count=CALLS, seconds=seconds)
    percent = 100 * result["share"]
    yield Result(
        name=f"CPU with {CALLS:,} calls in flight, over {seconds} s",
        measured=percent,
        raw=100 * bare["share"],
        unit="% of a core",
        raw_name="as many waiting asyncio tasks",
        ratio=result["cpu"] / bare["cpu"],
        target=f"under {LIMIT_PERCENT:g} %",
        ok=percent < LIMIT_PERCENT,
        details={"perdure": result, "bare": bare},
    )


if __name__ == "__main__":
    main(bench)
