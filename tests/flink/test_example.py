"""The example runs as its README says, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE

PROJECT = Path(__file__).parents[2]
JOB = PROJECT / "examples" / "flink_reviews" / "job.py"
README = JOB.with_name("README.md")


def test_the_example_gives_the_same_outputs_on_flink_as_on_the_local_engine() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PERDURE_", "FLINK_"))}
    done = subprocess.run(
        [sys.executable, str(JOB)],
        cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if "reviews:" in line or "byte" in line]
    assert "\n".join(said) in README.read_text("utf-8")
    assert len(said) == 2
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in done.stderr
