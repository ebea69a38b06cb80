"""Runs the review analysis with a real model, kills it half way, runs it again and counts.

Exits with 1 if an output is lost, doubled or wrong, or if an answer that was in the journal was
asked for again. What was asked is counted at the model's server, not by the agent.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from perdure.operate.history import ALL, History
from perdure.testing.local_model_server import local_model, local_model_path
from perdure.testing.request_log import RequestLog

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
SAMPLE = HERE.parent / "product_reviews" / "sample_reviews.jsonl"
WORK = PROJECT / "build" / "demo"

REQUESTS_AT_ONCE = 4
LEG_LIMIT_SECONDS = 600.0  # on a machine with much else to do

console = Console(highlight=False, soft_wrap=True)


class Answer(NamedTuple):
    """A model's answer that the journal has."""

    review: str
    started_at: int  # ns since the epoch
    settled_at: int
    tokens: int


def main(arguments: list[str] | None = None) -> int:
    """Run both legs, verify, print.

    Returns:
        The exit code: 0 if nothing was lost, doubled, wrong or paid for twice.
    """
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--count", type=int, default=30, help="reviews of the sample")
    parser.add_argument("--folder", type=Path, default=WORK, help="where its files are put")
    given = parser.parse_args(arguments)
    folder: Path = given.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    reviews = make_inputs(folder, given.count)
    size = local_model_path().stat().st_size / 1e6
    began = time.monotonic()
    with local_model(slots=REQUESTS_AT_ONCE, log=folder / "requests.jsonl") as url:
        console.print(
            f"SmolLM2-135M-Instruct ({size:.0f} MB) is up after {time.monotonic() - began:.1f} s;"
            f" {len(reviews)} reviews, first leg, to be killed half way"
        )
        began = time.monotonic()
        killed = run_and_kill(folder, url, len(reviews) // 2)
        recorded = read_answers(folder)
        console.print(f"SIGKILL to process {killed} with {len(recorded)} answers recorded; again")
        run_to_end(folder, url)
        seconds = time.monotonic() - began
    answers = read_answers(folder)
    outputs = read_outputs(folder)
    requests = RequestLog(folder / "requests.jsonl")
    print_products(outputs)
    print_counts(outputs, recorded, answers, requests.requests(), seconds)
    problems = [
        *check_outputs(reviews, outputs),
        *check_requests(recorded, answers, requests.requests()),
    ]
    for problem in problems:
        console.print(f"[red]{problem}")
    console.print("[red]the demo failed" if problems else "[green]nothing lost, nothing paid twice")
    return 1 if problems else 0


def make_inputs(folder: Path, count: int) -> list[dict[str, Any]]:
    """Write the first reviews of the sample."""
    lines = SAMPLE.read_text("utf-8").splitlines(keepends=True)[:count]
    (folder / "reviews.jsonl").write_text("".join(lines), "utf-8")
    return [json.loads(line) for line in lines]


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    """Start `perdure run` as a user would: both legs are the same command."""
    command = [
        *(sys.executable, "-m", "perdure.cli.main", "run"),
        "examples/review_analysis/agent.py:agent",
        *("--input", str(folder / "reviews.jsonl"), "--key", "id"),
        *("--output", str(folder / "verdicts.jsonl")),
        *("--store", f"sqlite:///{folder / 'reviews.db'}", "--job", "reviews"),
        *("--set", f"limits.model.concurrency={REQUESTS_AT_ONCE}"),
    ]
    environment = {**os.environ, "PERDURE_EXAMPLE_MODEL_URL": url}
    return subprocess.Popen(command, cwd=PROJECT, env=environment)


def run_and_kill(folder: Path, url: str, at: int) -> int:
    """Run until there are `at` outputs, then kill the process.

    Returns:
        The process id of the killed leg.
    """
    process = start(folder, url)
    deadline = time.monotonic() + LEG_LIMIT_SECONDS
    try:
        while len(read_outputs(folder)) < at:
            if process.poll() is not None:
                raise SystemExit(f"the first leg ended by itself with code {process.returncode}")
            if time.monotonic() > deadline:
                raise SystemExit(f"the first leg had no {at} outputs in {LEG_LIMIT_SECONDS:.0f} s")
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    return process.pid


def run_to_end(folder: Path, url: str) -> None:
    """Run the same command again, to its end."""
    process = start(folder, url)
    try:
        code = process.wait(LEG_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"the second leg did not end in {LEG_LIMIT_SECONDS:.0f} s") from None
    finally:
        process.kill()
        process.wait()
    if code != 0:
        raise SystemExit(f"the second leg ended with code {code}")


def read_outputs(folder: Path) -> list[dict[str, Any]]:
    """Return the outputs; a last line that the killed process did not end is left out."""
    file = folder / "verdicts.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in lines]


def read_answers(folder: Path) -> list[Answer]:
    """Return the answers of the model that the journal has now."""
    answers = []
    with History.open(f"sqlite:///{folder / 'reviews.db'}") as history:
        job = history.job("reviews")
        for run in history.runs(job, limit=ALL):
            detail = history.detail(job, run.id)
            calls = [call for action in detail.actions for call in action.calls]
            for call in calls:
                if call.status == "returned":
                    usage = call.outcome["usage"]
                    tokens = usage["input_tokens"] + usage["output_tokens"]
                    review = run.input["review"]
                    answers.append(Answer(review, call.started_at, call.settled_at, tokens))
    return answers


def busy_seconds(answers: Iterable[Answer]) -> float:
    """Return how long at least one of these answers was being waited for."""
    busy = end = 0
    for answer in sorted(answers, key=lambda answer: answer.started_at):
        busy += max(answer.settled_at - max(answer.started_at, end), 0)
        end = max(end, answer.settled_at)
    return busy / 1e9


def check_outputs(reviews: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the outputs: lost, doubled, or a mean that is off."""
    seen = Counter(output["ts"] for output in outputs)
    wanted = {review["ts"] for review in reviews}
    problems = [f"the output of review {ts} is lost" for ts in sorted(wanted - set(seen))]
    problems += [f"the output of review {ts} is there {n} times" for ts, n in seen.items() if n > 1]
    problems += [f"nobody asked for review {ts}" for ts in sorted(set(seen) - wanted)]
    scores: dict[str, list[int]] = defaultdict(list)
    for output in outputs:
        score = scores[output["id"]]
        score.append(output["score"])
        if output["count"] != len(score) or abs(output["mean"] - sum(score) / len(score)) > 0.01:
            problems.append(f"the mean of {output['id']} is off at review {output['ts']}")
    return problems


def check_requests(
    recorded: list[Answer], answers: list[Answer], requests: list[dict[str, Any]]
) -> list[str]:
    """Return what is wrong with the requests: answers out of nowhere, or asked for again.

    Args:
        recorded: The answers that the journal had at the kill.
        answers: Those that it had at the end.
        requests: What the server was asked, by its own log.
    """
    asked = Counter(request["message"] for request in requests)
    problems = [
        f"asked {asked[answer.review]} times though the answer was recorded: {answer.review!r}"
        for answer in recorded
        if asked[answer.review] > 1
    ]
    well = {request["message"] for request in requests if request["status"] == 200}
    problems += [f"not of the model: {a.review!r}" for a in answers if a.review not in well]
    return problems


def print_products(outputs: list[dict[str, Any]]) -> None:
    """Print what the model thinks of the first products."""
    latest = {output["id"]: output for output in outputs}
    table = Table(title="what a very small model thinks of the first products")
    for name in ("product", "reviews", "mean of 1 to 5", "its reasons, most recent review"):
        table.add_column(name, no_wrap=name == "product", overflow="ellipsis")
    for product, output in sorted(latest.items(), key=lambda item: -item[1]["count"])[:8]:
        reasons = ", ".join(output["reasons"])
        table.add_row(product, f"{output['count']}", f"{output['mean']:.1f}", reasons)
    console.print(table)


def print_counts(
    outputs: list[dict[str, Any]],
    recorded: list[Answer],
    answers: list[Answer],
    requests: list[dict[str, Any]],
    seconds: float,
) -> None:
    """Print what was asked, how much of it at the same time, and what it took."""
    asked = Counter(request["message"] for request in requests)
    waited = sum(answer.settled_at - answer.started_at for answer in answers) / 1e9
    busy = busy_seconds(answers)
    table = Table(title="both legs together", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = (
        ("outputs", f"{len(outputs)}"),
        ("chat calls in the journal", f"{len(answers)}"),
        ("requests at the model's server", f"{len(requests)}"),
        ("  made again: under way at the kill", f"{sum(n - 1 for n in asked.values())}"),
        ("seconds, both starts included", f"{seconds:.1f}"),
        ("sum of the calls' durations, seconds", f"{waited:.1f}"),
        ("time in which calls were under way, seconds", f"{busy:.1f}"),
        ("overlap factor", f"{waited / max(busy, 1e-9):.1f}"),
        ("tokens in the journal", f"{sum(answer.tokens for answer in answers):,}"),
        (
            f"  not paid again by the resume ({len(recorded)} calls)",
            f"{sum(answer.tokens for answer in recorded):,}",
        ),
    )
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
