"""Kills the example half way with SIGKILL, runs it again, and counts what was computed twice.

Exits with 1 if the restart is refused, a count is wrong, or more was computed again than had no
recorded outcome when the process died.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from agent import PART, RANGES, WORKERS

RIGHT = ["high: 25,997 primes", "low: 17,984 primes"]
LIMIT_SECONDS = 240.0


def main() -> int:
    """Run it twice; return the exit code."""
    parts = sum(len(range(0, each["end"], PART)) for each in RANGES)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "parts.log"
        log.touch()
        environment = {**os.environ, "PRIMES_LOG": str(log)}
        agent = str(Path(__file__).with_name("agent.py"))
        command = [sys.executable, agent, f"sqlite:///{folder}/primes.db"]

        first = subprocess.Popen(command, env=environment)
        until = time.monotonic() + LIMIT_SECONDS
        while len(log.read_text().split()) < parts // 2:
            if first.poll() is not None or time.monotonic() > until:
                print("it was not half way when it ended")
                return 1
            time.sleep(0.01)
        first.kill()
        first.wait()
        print(f"killed after {len(log.read_text().split())} of {parts} parts had begun")

        # At once, while workers of the first process may still be there.
        second = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
        found = sorted(second.stdout.splitlines())
        print(second.stdout, end="")
        made = Counter(log.read_text().split())
        again = sum(made.values()) - parts
        print(f"{again} parts were computed again, which were under way at the kill")
    is_right = second.returncode == 0 and found == RIGHT
    # Of each worker one part under way, and one whose outcome was about to be written.
    return 0 if is_right and 0 <= again <= 2 * WORKERS else 1


if __name__ == "__main__":
    sys.exit(main())
