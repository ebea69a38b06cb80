"""The examples: each runs as its README says, with the local model where it needs one.

What a model says is not looked at, only its shape and what perdure made of it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure.operate.history import ALL, History
from perdure.operate.run_detail import CallInfo, RunDetail
from perdure.testing.request_log import RequestLog

PROJECT = Path(__file__).parents[1]
EXAMPLES = PROJECT / "examples"
LIMIT_SECONDS = 4 * PATIENCE  # for two legs with a model


def run(*arguments: str, folder: Path = PROJECT) -> str:
    """Run a Python program as a user would, warnings being errors, and return what it prints."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PERDURE_")}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8",
        timeout=LIMIT_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def example(name: str, *arguments: str) -> str:
    return run(str(EXAMPLES / name), *arguments)


def perdure(folder: Path, *arguments: str) -> str:
    return run("-m", "perdure.cli.main", *arguments, folder=folder)


def details(store: str, job: str) -> list[RunDetail]:
    with History.open(store) as history:
        row = history.job(job)
        return [history.detail(row, each.id) for each in history.runs(row, limit=ALL)]


def chats(detail: RunDetail) -> list[CallInfo]:
    calls = [call for action in detail.actions for call in action.calls]
    return [call for call in calls if call.function.startswith("chat:")]


def at_once(calls: list[CallInfo]) -> int:
    """Return how many calls were under way at the same time, at most."""
    return max(
        sum(other.started_at <= call.started_at < other.settled_at for other in calls)
        for call in calls
    )


def json_lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


@pytest.fixture
def demo() -> Iterator[ModuleType]:
    file = EXAMPLES / "review_analysis" / "demo.py"
    spec = importlib.util.spec_from_file_location("review_analysis_demo", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_review_analysis_judges_reviews() -> None:
    lines = example("review_analysis/agent.py", "2").splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"[a-z]+-\d\d +\*{1,5} +\S.*", line) for line in lines), lines


def test_review_analysis_survives_a_kill_and_asks_for_no_recorded_answer_again(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "demo"
    printed = example("review_analysis/demo.py", "--count", "6", "--folder", str(folder))
    assert "nothing lost, nothing paid twice" in printed
    outputs = json_lines(folder / "verdicts.jsonl")
    assert len(outputs) == 6
    for output in outputs:
        assert 1 <= output["score"] <= 5
        assert 1 <= len(output["reasons"]) <= 2
        assert all(len(reason) <= 40 for reason in output["reasons"])
    calls = [c for d in details(f"sqlite:///{folder / 'reviews.db'}", "reviews") for c in chats(d)]
    assert len(calls) == 6
    # Four at first; which of them were recorded at the kill is up to the machine.
    assert 2 <= at_once(calls) <= 4
    requests = RequestLog(folder / "requests.jsonl").requests()
    whole = [request for request in requests if request["message"] is not None]
    assert len({request["message"] for request in whole}) == 6
    # Those under way at the kill came again; some may have been sent in part only.
    assert len(requests) <= 6 + 4


def test_review_analysis_demo_notices_what_is_asked_for_again(demo: ModuleType) -> None:
    answers = [
        demo.Answer("a", 0, 2_000_000_000, 7),
        demo.Answer("b", 1_000_000_000, 3_000_000_000, 7),
    ]
    asked = [{"message": message, "status": 200} for message in "ab"]
    assert demo.check_requests(answers[:1], answers, asked) == []
    assert demo.check_requests(answers[:1], answers, [*asked, asked[1]]) == []
    (again,) = demo.check_requests(answers[:1], answers, [*asked, asked[0]])
    assert again == "asked 2 times though the answer was recorded: 'a'"
    (invented,) = demo.check_requests([], answers, [asked[0], {**asked[1], "status": 0}])
    assert invented == "not of the model: 'b'"
    assert demo.busy_seconds(answers) == 3.0


def test_review_analysis_demo_notices_lost_doubled_and_wrong_outputs(demo: ModuleType) -> None:
    reviews = [{"ts": 0}, {"ts": 1}]
    right = [
        {"id": "mug", "ts": 0, "score": 2, "mean": 2.0, "count": 1},
        {"id": "mug", "ts": 1, "score": 5, "mean": 3.5, "count": 2},
    ]
    assert demo.check_outputs(reviews, right) == []
    assert demo.check_outputs(reviews, right[:1]) == ["the output of review 1 is lost"]
    assert "the output of review 1 is there 2 times" in demo.check_outputs(
        reviews, [*right, right[1]]
    )
    assert demo.check_outputs(reviews, [right[0], {**right[1], "mean": 5.0}]) == [
        "the mean of mug is off at review 1"
    ]


def test_parallel_chat_has_the_chats_of_a_run_under_way_at_once(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'chats.db'}"
    lines = example("parallel_chat/agent.py", store).splitlines()
    assert len(lines) == 2 * 2 * 3
    for job in ("FanOut", "Gathered"):
        aspects = [line.split(", ")[1].partition(":")[0] for line in lines if line.startswith(job)]
        assert aspects == ["history", "use", "price"] * 2
        for detail in details(store, job):
            assert len(detail.outputs) == 1
            assert at_once(chats(detail)) == 3


def test_react_tools_calls_functions_and_an_mcp_server() -> None:
    lines = example("react_tools/agent.py").splitlines()
    assert sorted(lines) == [
        "kettle-07: 6 in stock, 20.52 USD each.",
        "lamp-21: 3 in stock, 15.98 CHF each.",
        "tent-03: 6 in stock, 17.0 EUR each.",
    ]


def test_docs_rag_answers_with_sections_of_the_documentation(tmp_path: Path) -> None:
    # Of two short pages, beside a copy of it: a small model reads them all in half a minute.
    copied = ["docs/concepts.md", "docs/long-term-memory.md", "examples/docs_rag/agent.py"]
    for name in copied:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    question = "What is a durable call?"
    first, empty, asked, answer, *sources = run(str(tmp_path / copied[-1]), question).splitlines()
    sections = re.fullmatch(r"(\d+) sections of 2 pages", first)
    assert sections is not None
    assert int(sections[1]) > 2
    assert (empty, asked) == ("", question)
    assert answer.strip()
    assert len(sources) == 2
    for source in sources:
        page, title = source.removeprefix("  from ").split(", ", 1)
        text = (PROJECT / "docs" / page).read_text("utf-8")
        assert re.search(rf"^#+ +{re.escape(title)}$", text, re.MULTILINE)


def test_memory_chat_remembers_each_guest_and_goes_on_where_it_was(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'guests.db'}"
    printed = example("memory_chat/agent.py", store)
    guest, remembered = "", set()
    for line in printed.splitlines():
        if not line.startswith(" "):
            guest = line.partition(":")[0]
        elif line.startswith("  (remembers: "):
            remembered.add((guest, line))
    said = json_lines(EXAMPLES / "memory_chat" / "conversation.jsonl")
    theirs = {(each["guest"], f"  (remembers: {each['says']})") for each in said}
    assert ("ann", "  (remembers: I am allergic to nuts.)") in remembered
    assert remembered <= theirs
    assert example("memory_chat/agent.py", store) == printed


def test_approval_waits_for_a_person_and_goes_on() -> None:
    printed = example("approval/agent.py")
    assert re.search(
        r"^r1  key A-1007  waits .* for approval approve-[0-9a-f]{8}", printed, re.MULTILINE
    )
    assert "  refund(order='A-1007', euros=40)\n  perdure approve r1 approve-" in printed
    assert "$ perdure approve r1\nrun r1 (key 'A-1007'): approve-" in printed
    assert printed.endswith('"What I did: 40 euros paid back for A-1007."\n')


def test_process_pool_computes_no_recorded_part_again_after_a_kill() -> None:
    printed = example("process_pool/demo.py")
    assert "killed after" in printed
    assert "low: 17,984 primes\n" in printed
    assert "high: 25,997 primes\n" in printed


def test_product_reviews_runs_from_the_command_line(tmp_path: Path) -> None:
    folder = EXAMPLES / "product_reviews"
    arguments = (
        *("run", f"{folder / 'agent.py'}:agent"),
        *("--input", str(folder / "sample_reviews.jsonl"), "--key", "id"),
        *("--output", "scores.jsonl", "--store", "sqlite:///reviews.db", "--job", "reviews"),
    )
    perdure(tmp_path, *arguments)
    outputs = json_lines(tmp_path / "scores.jsonl")
    assert len(outputs) == 60
    perdure(tmp_path, *arguments)
    assert json_lines(tmp_path / "scores.jsonl") == outputs


def test_every_example_is_described_and_tested() -> None:
    names = sorted(file.parent.name for file in EXAMPLES.glob("*/agent.py"))
    index = (EXAMPLES / "README.md").read_text("utf-8")
    missing = [name for name in names if f"({name}/README.md)" not in index]
    assert not missing
    tested = Path(__file__).read_text("utf-8")
    assert not [name for name in names if f"def test_{name}_" not in tested]
