"""`python -m perdure.testing.simulation`: random agents, crashed after every commit."""

from __future__ import annotations

import argparse
import sys
import time

from perdure.testing.simulation.campaign import run_seeds


def main() -> int:
    """Run the seeds that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m perdure.testing.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    options = parser.parse_args()
    began, done, crashes, failures = time.monotonic(), 0, 0, 0
    for result in run_seeds(options.first, options.seeds, options.jobs):
        done += 1
        crashes += result.crashes
        if result.failure:
            failures += 1
            sys.stdout.write(f"{result.failure}\n\n")
            if not options.all:
                break
    seconds = time.monotonic() - began
    sys.stdout.write(
        f"{done} seeds, {crashes} crashes, {failures} failed; {seconds:.1f} s,"
        f" {done / seconds:.0f} seeds a second\n"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
