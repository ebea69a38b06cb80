"""One run of sequential calls: the disk's rate of commits is the limit."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, folder, main, median

CALLS = 1_000
SHARE = 0.6


def bench(options: argparse.Namespace) -> Iterator[Result]:
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
        name=f"one run of {CALLS:,} sequential calls",
        measured=median(result["rates"]),
        raw=median(result["raws"]),
        unit="calls/s",
        raw_name="raw one-row commits",
        ratio=share,
        target=f"at least {SHARE} x raw",
        ok=share >= SHARE,
        details=result,
    )


if __name__ == "__main__":
    main(bench)
