"""A restart after a SIGKILL: from the start of the process to the first call that goes on."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, folder, main, median, python_seconds, restart, rounds

RUNS = 500
LIMIT_SECONDS = 1.0


def bench(options: argparse.Namespace) -> Iterator[Result]:
    seconds, bare = [], []
    python_seconds("import asyncio, sqlite3")  # compiles what the next ones load
    for _ in range(rounds(options)):
        with folder() as path:
            bare.append(python_seconds("import asyncio, sqlite3"))
            seconds.append(restart(path / "store.db", count=RUNS))
    yield Result(
        name=f"restart with {RUNS} runs of 10 calls half done",
        measured=median(seconds),
        raw=median(bare),
        unit="s",
        raw_name="bare Python process",
        ratio=median(s / b for s, b in zip(seconds, bare, strict=True)),
        target=f"under {LIMIT_SECONDS:g} s",
        ok=median(seconds) < LIMIT_SECONDS,
        details={"seconds": seconds, "bare": bare},
    )


if __name__ == "__main__":
    main(bench)
