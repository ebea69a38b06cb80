"""Runs the review agent over 3,000 inputs, kills it half way, runs it again and counts.

Exits with 1 if an output is lost, doubled or wrong, or if finished work was done again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
WORK = PROJECT / "build" / "demo-reviews"
INPUTS = WORK / "reviews.jsonl"
OUTPUTS = WORK / "scores.jsonl"
CALLS = WORK / "calls.tsv"
SUMMARY = WORK / "summary.json"

COUNT = 3000
CALLS_PER_REVIEW = 3
RUNS_IN_FLIGHT = 500
LEG_LIMIT_SECONDS = 300.0

console = Console(highlight=False)


@dataclass
class Call:
    """One durable call as the log of the callables tells it."""

    starts: list[int] = field(default_factory=list)  # process ids

    @property
    def again(self) -> bool:
        return len(self.starts) > 1


def main() -> int:
    """Run both legs, verify, print.

    Returns:
        The exit code: 0 if nothing was lost, doubled or wrong.
    """
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    inputs = make_inputs()
    began = time.monotonic()
    console.print(f"{COUNT:,} reviews of {len({r['id'] for r in inputs}):,} products", end=": ")
    console.print("first leg, to be killed half way")
    killed_pid = run_and_kill(COUNT // 2)
    finished = {line["ts"] for line in complete_lines()}
    console.print(f"SIGKILL to process {killed_pid} after {len(finished):,} outputs; once more")
    run_to_end()
    outputs = complete_lines()
    calls = read_calls()
    summary = json.loads(SUMMARY.read_text("utf-8"))
    print_products(outputs)
    print_counts(outputs, calls, summary, time.monotonic() - began)
    problems = [
        *check_outputs(inputs, outputs),
        *check_calls(calls, finished, killed_pid),
    ]
    for problem in problems:
        console.print(f"[red]{problem}")
    console.print("[red]the demo failed" if problems else "[green]nothing lost, nothing doubled")
    return 1 if problems else 0


def make_inputs() -> list[dict[str, Any]]:
    """Write the sample over and over: each round is about new products, a minute later each."""
    sample = [json.loads(line) for line in (HERE / "sample_reviews.jsonl").open(encoding="utf-8")]
    inputs = []
    for number in range(COUNT):
        cycle, index = divmod(number, len(sample))
        review = sample[index]
        ts = sample[0]["ts"] + number * 60_000
        inputs.append({**review, "id": f"{review['id']}/{cycle:02}", "ts": ts})
    with INPUTS.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(review, ensure_ascii=False) + "\n" for review in inputs)
    return inputs


def start() -> subprocess.Popen[bytes]:
    """Start `perdure run` as a user would: both legs are the same command."""
    command = [
        str(Path(sys.executable).with_name("perdure")),
        *("run", "examples/product_reviews/agent.py:agent"),
        *("--input", str(INPUTS), "--key", "id", "--output", str(OUTPUTS)),
        *("--store", f"sqlite:///{WORK / 'reviews.db'}", "--job", "reviews"),
        *("--set", f"max-runs-in-flight={RUNS_IN_FLIGHT}"),
        *("--summary-json", str(SUMMARY)),
    ]
    environment = {**os.environ, "PERDURE_EXAMPLE_CALL_LOG": str(CALLS)}
    return subprocess.Popen(command, cwd=PROJECT, env=environment)


def run_and_kill(at: int) -> int:
    """Run until the output file has `at` lines, then kill the process.

    Returns:
        The process id of the killed leg.
    """
    process = start()
    deadline = time.monotonic() + LEG_LIMIT_SECONDS
    try:
        while line_count(OUTPUTS) < at:
            if process.poll() is not None:
                raise SystemExit(f"the first leg ended by itself with code {process.returncode}")
            if time.monotonic() > deadline:
                raise SystemExit(f"the first leg had no {at} outputs in {LEG_LIMIT_SECONDS:.0f} s")
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    return process.pid


def run_to_end() -> None:
    """Run the same command again, to its end."""
    process = start()
    try:
        code = process.wait(LEG_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"the second leg did not end in {LEG_LIMIT_SECONDS:.0f} s") from None
    finally:
        process.kill()
        process.wait()
    if code != 0:
        raise SystemExit(f"the second leg ended with code {code}")


def line_count(path: Path) -> int:
    """Return the number of line ends in a file that may not exist yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def complete_lines() -> list[dict[str, Any]]:
    """Return the outputs; a last line that the killed process did not end is left out."""
    return [json.loads(line) for line in OUTPUTS.read_bytes().split(b"\n")[:-1]]


def read_calls() -> dict[tuple[str, str], Call]:
    """Return the calls by name and review, as the callables logged them."""
    calls: dict[tuple[str, str], Call] = defaultdict(Call)
    for line in CALLS.read_text("utf-8").splitlines():
        name, review, what, pid = line.split("\t")
        if what == "start":
            calls[name, review].starts.append(int(pid))
    return calls


def check_outputs(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the outputs: lost, doubled, or a mean that is off."""
    seen = Counter(output["ts"] for output in outputs)
    wanted = {review["ts"] for review in inputs}
    problems = [f"the output of review {ts} is lost" for ts in sorted(wanted - set(seen))]
    problems += [f"the output of review {ts} is there {n} times" for ts, n in seen.items() if n > 1]
    problems += [f"nobody asked for review {ts}" for ts in sorted(set(seen) - wanted)]
    # A lost, doubled or misplaced update of the memory shows in the running mean and count.
    scores: dict[str, list[float]] = defaultdict(list)
    for output in outputs:
        score = scores[output["id"]]
        score.append(output["sentiment"])
        mean = sum(score) / len(score)
        if output["count"] != len(score) or abs(output["mean"] - mean) > 0.0001:
            problems.append(f"the running mean of {output['id']} is off at review {output['ts']}")
    return problems[:20]


def check_calls(
    calls: dict[tuple[str, str], Call], finished: set[int], killed_pid: int
) -> list[str]:
    """Return what is wrong with the calls: missing, or made again after their run had ended."""
    problems = []
    if len(calls) != COUNT * CALLS_PER_REVIEW:
        problems.append(
            f"{len(calls):,} different calls were made, not {COUNT * CALLS_PER_REVIEW:,}"
        )
    for (name, review), call in calls.items():
        done = int(review.partition("/")[2]) in finished
        if done and any(pid != killed_pid for pid in call.starts):
            problems.append(f"{name} of review {review} was made again after its output was out")
        if len(call.starts) != len(set(call.starts)):
            problems.append(f"{name} of review {review} was made twice by one process")
    return problems[:20]


def print_products(outputs: list[dict[str, Any]]) -> None:
    """Print the products with the most reviews, all rounds of the sample taken together."""
    products: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for output in outputs:
        products[output["product"]["title"]].append(output)
    table = Table(title="the most reviewed products")
    table.add_column("product", no_wrap=True)
    for name in ("reviews", "mean", "best", "worst", "words"):
        table.add_column(name, justify="right", min_width=5)
    table.add_column("often said", no_wrap=True)
    ranked = sorted(products.items(), key=lambda item: (-len(item[1]), item[0]))
    for title, reviews in ranked[:12]:
        scores = [review["sentiment"] for review in reviews]
        words = [review["statistics"]["words"] for review in reviews]
        said = Counter(w for review in reviews for w in review["statistics"]["top_words"])
        table.add_row(
            title,
            f"{len(reviews):,}",
            *(f"{score:+.2f}" for score in (sum(scores) / len(scores), max(scores), min(scores))),
            f"{sum(words) / len(words):.1f}",
            ", ".join(word for word, _ in said.most_common(2)),
        )
    console.print(table)


def print_counts(
    outputs: list[dict[str, Any]],
    calls: dict[tuple[str, str], Call],
    summary: dict[str, Any],
    seconds: float,
) -> None:
    """Print what was done, and how often."""
    made = sum(len(call.starts) for call in calls.values())
    table = Table(title="the two legs together", show_header=False)
    table.add_column("what")
    table.add_column("count", justify="right")
    table.add_column("meaning")
    for what, count, meaning in (
        ("inputs", COUNT, ""),
        ("outputs", len(outputs), "exactly one for each input"),
        ("calls made", made, f"of {COUNT * CALLS_PER_REVIEW:,} different ones"),
        ("calls replayed", summary["calls_replayed"], "outcomes read back, not made again"),
        (
            "calls made twice",
            sum(call.again for call in calls.values()),
            "under way, or not yet recorded, when the process was killed",
        ),
    ):
        table.add_row(what, f"{count:,}", meaning)
    console.print(table)
    console.print(f"{seconds:.1f} s in all")


if __name__ == "__main__":
    sys.exit(main())
