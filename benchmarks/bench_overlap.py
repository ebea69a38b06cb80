"""Overlap: thousands of runs, one call of 1.0 s each, against the same waits in plain asyncio."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, cpu_of, folder, main, median, rounds

CALLS = 3_650  # of time over bare, a run: 0.45 of what version 0.1.0 took


def bench(options: argparse.Namespace) -> Iterator[Result]:
    for count, limit, mib in ((2_000, 1.4, 0), (10_000, 2.2, 250)):
        results = []
        for _ in range(rounds(options, 3)):
            with folder() as path:
                results.append(child("overlap", store=str(path / "store.db"), count=count))
        wall, bare = median(r["wall"] for r in results), median(r["bare"] for r in results)
        ratio = median(r["wall"] / r["bare"] for r in results)
        peak = median(r["peak_mib"] for r in results)
        yield Result(
            name=f"{count:,} runs with a call of 1.0 s each",
            measured=wall,
            raw=bare,
            unit="s",
            raw_name="bare asyncio.gather",
            ratio=ratio,
            target=f"at most {limit} x bare",
            ok=ratio <= limit,
            **cpu_of(results, count, "run"),
            details={"rounds": results},
        )
        over = median(r["wall"] - r["bare"] for r in results)
        in_calls = median((r["wall"] - r["bare"]) / count / r["empty_call"] for r in results)
        if mib:
            yield Result(
                name=f"what {count:,} take over bare asyncio.gather, a run in empty calls",
                measured=in_calls,
                raw=0,
                unit="empty calls",
                raw_name="",
                ratio=0,
                target=f"at most {CALLS:,}",
                ok=in_calls <= CALLS,
                details={"seconds": over},
            )
        if mib:
            yield Result(
                name=f"peak memory of these {count:,} runs",
                measured=peak,
                raw=0,
                unit="MiB",
                raw_name="",
                ratio=0,
                target=f"at most {mib} MiB",
                ok=peak <= mib,
            )


if __name__ == "__main__":
    main(bench)
