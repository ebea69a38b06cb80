"""What a user waits for before anything runs: the import, and the command line's help."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

from common import Result, environment, main, median, python_seconds, rounds

TIMED_IMPORT = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
HELP = "import sys; sys.argv = ['perdure', '--help']; from perdure.cli.main import main; main()"
CASES = (
    ("import perdure", "import perdure", 150, False),
    ("import of what an agent needs", "from perdure import Agent, LocalEngine, action", 0, False),
    ("perdure --help, whole process", HELP, 400, True),
)


def bench(options: argparse.Namespace) -> Iterator[Result]:
    for name, code, limit, is_process in CASES:
        measure = _process if is_process else _import
        measure(code)  # compiles
        python_seconds("pass")
        times, bare = [], []
        for _ in range(rounds(options, 9)):
            bare.append(1000 * python_seconds("pass"))
            times.append(1000 * measure(code))
        time = median(times)
        yield Result(
            name=name,
            measured=time,
            raw=median(bare),
            unit="ms",
            raw_name="bare Python process",
            ratio=median(t / b for t, b in zip(times, bare, strict=True)),
            target=f"at most {limit} ms" if limit else "none",
            ok=not limit or time <= limit,
            details={"times": times, "bare": bare},
        )


def _import(code: str) -> float:
    command = [sys.executable, "-c", TIMED_IMPORT.format(code)]
    return float(subprocess.run(command, check=True, capture_output=True, env=environment()).stdout)


def _process(code: str) -> float:
    # The child's output is of no interest, its time is.
    return python_seconds(f"import os; os.dup2(os.open(os.devnull, os.O_WRONLY), 1); {code}")


if __name__ == "__main__":
    main(bench)
