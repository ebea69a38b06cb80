"""The product reviews example: its sample, its callables, and that its demo notices mistakes."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "product_reviews"


def load(name: str) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(f"product_reviews_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look their module up.
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def example() -> Iterator[ModuleType]:
    yield from load("agent")


@pytest.fixture
def demo() -> Iterator[ModuleType]:
    yield from load("demo")


@pytest.fixture
def sample() -> list[dict[str, Any]]:
    text = (FOLDER / "sample_reviews.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_sample_has_enough_products_for_runs_side_by_side(sample: list[dict[str, Any]]) -> None:
    products = Counter(review["id"] for review in sample)
    assert len(sample) == 60
    assert len(products) >= 40
    assert max(products.values()) > 1
    assert [r["ts"] for r in sample] == sorted({r["ts"] for r in sample})


def test_sample_has_friendly_and_unfriendly_reviews(
    example: ModuleType, sample: list[dict[str, Any]]
) -> None:
    scores = [example.score_sentiment(review) for review in sample]
    assert sum(score > 0.3 for score in scores) >= 15
    assert sum(score < -0.3 for score in scores) >= 10


def test_callables_log_their_start_and_end(
    example: ModuleType,
    sample: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = tmp_path / "calls.tsv"
    monkeypatch.setenv("PERDURE_EXAMPLE_CALL_LOG", str(log))
    statistics = example.describe_language(sample[0])
    product = asyncio.run(example.look_up_product(sample[0]))
    assert statistics["sentences"] == 2
    assert product == asyncio.run(example.look_up_product(sample[0]))
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    assert [(name, what) for name, _, what, _ in lines] == [
        ("describe_language", "start"),
        ("describe_language", "end"),
        *[("look_up_product", "start"), ("look_up_product", "end")] * 2,
    ]
    assert {review.partition("/")[2] for _, review, _, _ in lines} == {str(sample[0]["ts"])}


def outputs(*sentiments: float) -> list[dict[str, Any]]:
    return [
        {
            "id": "kettle",
            "ts": ts,
            "sentiment": sentiment,
            "mean": sum(sentiments[: ts + 1]) / (ts + 1),
            "count": ts + 1,
        }
        for ts, sentiment in enumerate(sentiments)
    ]


def test_demo_accepts_right_outputs_and_names_lost_doubled_and_wrong_ones(
    demo: ModuleType,
) -> None:
    inputs = [{"ts": 0}, {"ts": 1}, {"ts": 2}]
    right = outputs(0.5, -0.5, 0.1)
    assert demo.check_outputs(inputs, right) == []
    assert demo.check_outputs(inputs, right[:2]) == ["the output of review 2 is lost"]
    assert "the output of review 2 is there 2 times" in demo.check_outputs(
        inputs, [*right, right[2]]
    )
    assert demo.check_outputs(inputs[:2], right) == ["nobody asked for review 2"]
    off = [right[0], {**right[1], "count": 1}, right[2]]
    assert demo.check_outputs(inputs, off) == ["the running mean of kettle is off at review 1"]


def test_demo_notices_calls_that_are_missing_or_made_again_for_nothing(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "COUNT", 1)
    names = ("a", "b", "c")

    def problems(starts: dict[str, list[int]], finished: set[int]) -> list[str]:
        calls = {(name, "digest/7"): demo.Call(pids) for name, pids in starts.items()}
        return list(demo.check_calls(calls, finished, killed_pid=1))

    assert problems({name: [1, 2] for name in names}, finished=set()) == []
    assert "3" in problems({"a": [1]}, finished={7})[0]
    again = problems({"a": [1, 2], "b": [1], "c": [1]}, finished={7})
    assert again == ["a of review digest/7 was made again after its output was out"]
    twice = problems({"a": [2, 2], "b": [2], "c": [2]}, finished=set())
    assert twice == ["a of review digest/7 was made twice by one process"]
