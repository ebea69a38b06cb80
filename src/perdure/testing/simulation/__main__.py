"""`python -m perdure.testing.simulation`: random agents, crashed after every commit."""

from __future__ import annotations

import argparse
import sys
import time

from perdure.testing.simulation.campaign import RUNS, run_seeds

SHARES = {
    "calls": 1,
    "chats": 4,
    "faults": 4,
    "rules": 4,
}  # of so many seeds, one is run: some are longer


def main() -> int:
    """Run the seeds that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m perdure.testing.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    parser.add_argument(
        "--only", choices=[*RUNS], help="all seeds of one kind (default: all seeds of calls, and"
        " the first quarter of the others)",
    )  # fmt: skip
    options = parser.parse_args()
    counts = {kind: -(-options.seeds // share) for kind, share in SHARES.items()}
    if options.only:
        counts = {options.only: options.seeds}
    failures = 0
    for kind, count in counts.items():
        failures += _run(kind, options.first, count, options.jobs, go_on=options.all)
    return 1 if failures else 0


def _run(kind: str, first: int, count: int, jobs: int, *, go_on: bool) -> int:
    """Run seeds of one kind and say what came of them; return how many failed."""
    began, done, crashes, failures = time.monotonic(), 0, 0, 0
    for result in run_seeds(first, count, jobs, kind):
        done += 1
        crashes += result.crashes
        if result.failure:
            failures += 1
            sys.stdout.write(f"{result.failure}\n\n")
            if not go_on:
                break
    seconds = time.monotonic() - began
    sys.stdout.write(
        f"{kind}: {done} seeds, {crashes} crashes, {failures} failed; {seconds:.1f} s,"
        f" {done / seconds:.0f} seeds a second\n"
    )
    return failures


if __name__ == "__main__":
    sys.exit(main())
