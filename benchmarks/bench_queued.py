"""A key that waits, and 100,000 runs queued behind it (G20): memory, taking in, and a restart."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, folder, main

RUNS = 100_000
LIMIT_MIB = 150.0
LIMIT_RESTART_SECONDS = 20.0


def bench(options: argparse.Namespace) -> Iterator[Result]:
    count = RUNS // 20 if options.quick else RUNS
    with folder() as path:
        store = str(path / "store.db")
        filled = child("queue_up", store=store, count=count)
        again = child("queue_up", store=store, count=0)
    for name, result in (("taken in", filled), ("after a restart", again)):
        more = result["peak_mib"] - result["empty_mib"]
        yield Result(
            name=f"memory above empty of {count:,} runs behind one that waits, {name}",
            measured=more,
            raw=result["empty_mib"],
            unit="MiB",
            raw_name="an open job without runs",
            ratio=result["peak_mib"] / result["empty_mib"],
            target=f"under {LIMIT_MIB:g} MiB",
            ok=more < LIMIT_MIB,
            details=result,
        )
    yield Result(
        name=f"until a run of another key is done, restarted with {count:,} queued",
        measured=again["wall"],
        raw=0.0,
        unit="s",
        raw_name="",
        ratio=0.0,
        target=f"under {LIMIT_RESTART_SECONDS:g} s",
        ok=again["wall"] < LIMIT_RESTART_SECONDS,
        details=again,
    )


if __name__ == "__main__":
    main(bench)
