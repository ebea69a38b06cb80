"""The thread pool: plain callables that sleep, and plain callables that hang (G10, G18)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, folder, main, median, rounds


def bench(options: argparse.Namespace) -> Iterator[Result]:
    results = []
    for _ in range(rounds(options, 3)):
        with folder() as path:
            results.append(child("threads", store=str(path / "store.db"), count=300, threads=20))
    wall = median(r["wall"] for r in results)
    bare = median(r["bare"] for r in results)
    yield Result(
        name="300 plain actions with time.sleep(0.2), 20 threads",
        measured=wall,
        raw=bare,
        unit="s",
        raw_name="concurrent.futures",
        ratio=median(r["wall"] / r["bare"] for r in results),
        target="at most 3.3 s",
        ok=wall <= 3.3,
        details={"rounds": results},
    )
    results = []
    for _ in range(rounds(options, 3)):
        with folder() as path:
            results.append(child("hanging", store=str(path / "store.db"), hung=50, threads=8))
    release = median(r["release"] for r in results)
    yield Result(
        name="a hung thread call with a timeout of 1 s releases its run after",
        measured=release,
        raw=1.0,
        unit="s",
        raw_name="the timeout",
        ratio=release,
        target="at most 1.1 s",
        ok=release <= 1.1,
        details={"rounds": results},
    )
    others = median(r["others"] for r in results)
    yield Result(
        name="50 of them on 8 threads, and 50 calls behind them of 0.01 s end after",
        measured=others,
        raw=0,
        unit="s",
        raw_name="",
        ratio=0,
        target="all of them done",
        ok=all(r["done"] == 50 for r in results),
        details={"rounds": results},
    )


if __name__ == "__main__":
    main(bench)
