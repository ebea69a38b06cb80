"""What a SIGKILL makes a user pay twice: calls that were executed and not recorded."""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from common import Result, folder, main, median, rounds, start

IN_FLIGHT = 500
SECONDS = (0.1, 0.0)  # what a call waits for before it counts as executed, on average
WARM_UP_CALLS = 4_000
SHARE = 0.15  # of what is in flight


def window(seconds: float) -> tuple[int, float]:
    """Kill a process with `IN_FLIGHT` calls in flight.

    Args:
        seconds: how long each of them takes, give or take a half.

    Returns:
        How many calls were executed and not recorded, and how many calls a second it made.
    """
    with folder() as path:
        store, log = path / "store.db", path / "executed"
        log.touch()
        process = start("window", store=str(store), log=str(log), count=IN_FLIGHT, seconds=seconds)
        try:
            while _lines(log) < WARM_UP_CALLS:
                if process.poll() is not None:
                    raise RuntimeError("the process ended before it was killed")
                time.sleep(0.02)
            before, began = _lines(log), time.perf_counter()
            time.sleep(random.uniform(1.0, 1.5))
            made, took = _lines(log) - before, time.perf_counter() - began
        finally:
            process.kill()
            process.communicate()
        return _lines(log) - _recorded(store), made / took


def _lines(log: Path) -> int:
    return log.stat().st_size // 2  # a letter and a line's end each


def _recorded(store: Path) -> int:
    connection = sqlite3.connect(store)
    try:
        count: int = connection.execute("SELECT count(*) FROM record WHERE kind = 2").fetchone()[0]
        return count
    finally:
        connection.close()


def bench(options: argparse.Namespace) -> Iterator[Result]:
    for seconds in SECONDS:
        found = [window(seconds) for _ in range(rounds(options))]
        lost = [lost for lost, _ in found]
        share = median(lost) / IN_FLIGHT
        yield Result(
            name=f"calls of {seconds:g} s executed and not recorded at a SIGKILL",
            measured=median(lost),
            raw=IN_FLIGHT,
            unit="calls",
            raw_name="in flight",
            ratio=share,
            target=f"at most {SHARE:g} of those in flight",
            ok=share <= SHARE,
            details={"lost": lost, "calls_per_second": [rate for _, rate in found]},
        )


if __name__ == "__main__":
    main(bench)
