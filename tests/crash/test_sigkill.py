"""G4, G5, G6: a job killed with SIGKILL again and again loses nothing and doubles nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE
from tests.zygote import Forked

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")
REVIEWS = ROOT.parent / "shared" / "data" / "product_reviews.jsonl"
SAMPLE = ROOT / "examples" / "product_reviews" / "sample_reviews.jsonl"
CALLS = ("score_sentiment", "describe_language", "look_up_product")
KILLS = 20
IN_FLIGHT = 60


def reviews(count: int | None) -> list[dict[str, Any]]:
    """Return reviews whose `ts` tells them apart, in the order of their file."""
    path = REVIEWS if REVIEWS.exists() else SAMPLE
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    wanted = len(lines) if count is None else count
    return [{**lines[n % len(lines)], "ts": n} for n in range(wanted)]


class Job:
    """A job over a file, run by one process after another."""

    def __init__(self, folder: Path, inputs: list[dict[str, Any]], in_flight: int) -> None:
        self.folder = folder
        self.inputs = inputs
        self.in_flight = in_flight
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in inputs)
        (folder / "inputs.jsonl").write_text(text, "utf-8")

    def start(self) -> Forked:
        return Forked(
            [
                sys.executable, str(DRIVER), str(self.folder / "inputs.jsonl"),
                str(self.folder / "outputs.jsonl"), f"sqlite:///{self.folder / 'store.db'}",
                str(self.in_flight),
            ],
            env={**os.environ, "PERDURE_EXAMPLE_CALL_LOG": str(self.folder / "calls.tsv")},
        )  # fmt: skip

    def outputs(self) -> list[dict[str, Any]]:
        """Return the complete lines; a killed process may leave part of one behind them."""
        path = self.folder / "outputs.jsonl"
        text = path.read_text("utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def size(self) -> int:
        path = self.folder / "calls.tsv"
        return path.stat().st_size if path.exists() else 0

    def calls(self) -> list[tuple[str, str, int]]:
        """Return (call, start or end, process id) in the order of the log."""
        lines = (self.folder / "calls.tsv").read_text("utf-8").splitlines()
        fields = (line.split("\t") for line in lines)
        return [(f"{name}/{review}", what, int(pid)) for name, review, what, pid in fields]

    def finish(self) -> None:
        process = self.start()
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors


def verify_outputs(job: Job) -> None:
    """Every input has one output, and those of a product came in its order with a right count."""
    outputs = job.outputs()
    assert Counter(line["ts"] for line in outputs) == Counter(line["ts"] for line in job.inputs)
    by_product: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in outputs:
        by_product[line["id"]].append(line)
    for lines in by_product.values():
        assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)
        assert [line["count"] for line in lines] == list(range(1, len(lines) + 1))


def verify_calls(job: Job, finished: dict[int, set[int]], pids: list[int]) -> int:
    """Check who called what; return how many calls were executed more than once.

    Args:
        finished: process id -> the inputs whose output stood in the file before it started.
        pids: the processes in their order.
    """
    legs = {pid: number for number, pid in enumerate(pids)}
    starts: dict[str, list[int]] = defaultdict(list)
    ends: Counter[str] = Counter()
    for call, what, pid in job.calls():
        if what == "start":
            starts[call].append(legs[pid])
        else:
            ends[call] += 1
    assert len(starts) == len(CALLS) * len(job.inputs)
    for call, where in starts.items():
        # Never twice in one process, and once more for each kill at most.
        assert len(set(where)) == len(where), f"{call} was executed twice in one process"
        assert ends[call] >= 1
    for pid, done in finished.items():
        for call, where in starts.items():
            if int(call.rsplit("/", 1)[1]) in done:
                assert legs[pid] not in where, f"{call} had an outcome and was executed again"
    again: Counter[int] = Counter()
    for where in starts.values():
        for leg in where[1:]:
            again[leg] += 1
    # What is executed again was in flight when a process was killed.
    assert max(again.values(), default=0) <= len(CALLS) * job.in_flight
    return sum(again.values())


def test_g4_g6_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    job = Job(tmp_path, reviews(1_200), IN_FLIGHT)
    finished: dict[int, set[int]] = {}
    pids: list[int] = []
    killed = 0
    for _ in range(KILLS):
        done = {line["ts"] for line in job.outputs()}
        before = job.size()
        process = job.start()
        pids.append(process.pid)
        finished[process.pid] = done
        deadline = time.monotonic() + PATIENCE
        # From the first call of this process on, at any moment: whatever its start-up takes.
        while job.size() == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.12))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode in (0, -signal.SIGKILL), errors
        killed += process.returncode == -signal.SIGKILL
    done = {line["ts"] for line in job.outputs()}
    process = job.start()
    pids.append(process.pid)
    finished[process.pid] = done
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert killed == KILLS, "the job is too short for its kills"
    verify_outputs(job)
    verify_calls(job, finished, pids)


def test_g4_g6_all_reviews_killed_half_way(tmp_path: Path) -> None:
    job = Job(tmp_path, reviews(None), 500)
    process = job.start()
    deadline = time.monotonic() + PATIENCE
    while len(job.outputs()) < len(job.inputs) // 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    done = {line["ts"] for line in job.outputs()}
    size = job.size()
    last = job.start()
    _, errors = last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, errors
    verify_outputs(job)
    verify_calls(job, {process.pid: set(), last.pid: done}, [process.pid, last.pid])
    assert job.size() > size
    # Once more: everything is recorded, so nothing is called and nothing is written.
    size, text = job.size(), (tmp_path / "outputs.jsonl").read_bytes()
    job.finish()
    assert (job.size(), (tmp_path / "outputs.jsonl").read_bytes()) == (size, text)
