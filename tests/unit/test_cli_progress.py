"""What is shown while a job runs: counts, rates, warnings without a flood."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from perdure.cli import progress_view, render
from perdure.engine.progress import Progress


def test_the_total_leaves_blank_lines_out(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"1\n\n2\r\n  \n3")
    total = progress_view.Total([str(file)])
    deadline = time.monotonic() + PATIENCE
    while total.value is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert total.value == 3


def test_the_total_of_standard_input_is_not_known() -> None:
    assert progress_view.Total([]).value is None


def test_done_never_exceeds_what_was_read() -> None:
    # Runs left over from before end before their inputs are read again.
    counts = Progress(inputs=2, completed=5, already_done=1)
    assert progress_view.Meter().done(counts) == 2
    assert (
        progress_view.Meter().done(Progress(inputs=9, completed=3, failed=2, already_done=1)) == 6
    )


def test_the_rate_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress_view.time, "monotonic", lambda: now)
    meter = progress_view.Meter()
    assert meter.rate(Progress()) == 0
    now = 10.0
    assert meter.rate(Progress(completed=1000)) == 100
    now = 20.0
    assert meter.rate(Progress(completed=1010, failed=10)) == 2


def test_lines_show_the_average_since_the_first_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress_view.time, "monotonic", lambda: now)
    lines = progress_view.Lines("job", progress_view.Total([]))
    now = 5.0
    lines.show(Progress(inputs=9, already_done=9))  # only what an earlier process did
    now = 6.0
    lines.show(Progress(inputs=90, already_done=9, in_flight=81))
    now = 10.0
    lines.show(Progress(inputs=90, already_done=9, completed=40, in_flight=41))
    now = 25.0
    lines.show(Progress(inputs=90, already_done=9, completed=40, in_flight=41))  # none since
    shown = [line.split(" · ")[:2] for line in capsys.readouterr().err.splitlines()]
    assert shown == [
        ["job: 9 done", "0 in flight"],
        ["job: 9 done", "81 in flight"],
        ["job: 49 done", "8/s"],
        ["job: 49 done", "2/s"],
    ]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(12.4, "12/s"), (1234.5, "1,234/s"), (0.3, "18/min"), (0.001, "3.6/h"), (0.0001, "0.36/h")],
)
def test_a_slow_rate_is_never_shown_as_none(rate: float, expected: str) -> None:
    assert progress_view.shown_rate(rate) == expected


def test_only_what_happened_is_told() -> None:
    quiet = progress_view.details(Progress(in_flight=3, calls_made=1200), "12/s")
    assert quiet == "12/s · 3 in flight · calls 1,200 made, 0 replayed"
    busy = progress_view.details(Progress(failed=1, cancelled=2, retries=3), None)
    assert busy.startswith("0 in flight")
    assert "1 failed · 2 cancelled · 3 retried" in busy
    assert progress_view.details(Progress(waiting=3), None).startswith("0 in flight · 3 waiting · ")


def test_lines_of_a_job_that_only_waits_are_few(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress_view.time, "monotonic", lambda: now)
    lines = progress_view.Lines("job", progress_view.Total([]))
    counts = Progress(inputs=2, waiting=2)  # the job has one such object, and changes it
    for _ in range(30):
        lines.show(counts)
        now += 3.0
    assert len(capsys.readouterr().err.splitlines()) == 2
    counts.waiting, counts.in_flight = 1, 1
    lines.show(counts)
    lines.show(counts)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_flood_of_like_warnings_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    handler = progress_view.LogHandler()
    for number in range(100):
        record = logging.LogRecord("perdure", logging.ERROR, "", 0, "run %s", (number,), None)
        handler.handle(record)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: run 0"
    assert len(lines) == progress_view.SAME_MESSAGES
    assert lines[-1].endswith("(more of this kind are not shown)")


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0 µs"),
        (950_000, "950 µs"),
        (12_000_000, "12 ms"),
        (1_250_000_000, "1.2 s"),
        (61_000_000_000, "1 m 01 s"),
        (3_720_000_000_000, "1 h 02 m"),
    ],
)
def test_durations(ns: int, expected: str) -> None:
    assert render.duration(ns) == expected
