"""G1, G4, G6, G10, G11: a job with every feature, through forty seeded signals to its processes."""

from __future__ import annotations

from pathlib import Path

from tests.crash.chaos import SIGNALS, Round


def test_g4_g6_forty_signals_lose_nothing_double_nothing_and_repeat_nothing(
    tmp_path: Path, seed: int
) -> None:
    figures = Round(tmp_path, seed).run()
    assert figures.signals.total() == SIGNALS
    assert {"SIGKILL", "SIGTERM", "SIGSTOP"} == figures.signals.keys()
    assert figures.again, "no process was ended in the middle of a call"
