"""`perdure stats`: calls by function, tokens and cost by model, failures by kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.golden.data import BEGAN, CALLS, DETAILS, MS, call, detail, run
from tests.golden.screens import Pipe

from perdure import Agent, ChatMessage, InputEvent, LocalEngine, RetryPolicy, RunsFailedError, Usage
from perdure.cli.main import main
from perdure.operate.stats import BUCKETS, FunctionStats, summed_up
from perdure.run import RunStatus

TRIED: list[int] = []


async def look_up(n: int) -> int:
    return n


async def ask(n: int) -> ChatMessage:
    usage = Usage(input_tokens=100, output_tokens=10 + n, cost=0.25)
    return ChatMessage(role="assistant", content="yes", usage=usage, model="small-1")


async def flaky(n: int) -> int:
    TRIED.append(n)
    if len(TRIED) < 3:
        raise OSError("again")
    return n


async def refund(n: int) -> None:
    raise ValueError(f"no refund of {n}")


async def go(event: Any, ctx: Any) -> None:
    n = event.input
    for _ in range(2):
        await ctx.durable_execute_async(look_up, n)
    await ctx.durable_execute_async(ask, n)
    if n == 1:
        retried = ctx.with_options(retry=RetryPolicy(max_attempts=3, initial_interval=0.0))
        await retried.durable_execute_async(flaky, n)
    if n > 1:
        await ctx.durable_execute_async(refund, n)


@pytest.fixture
def store(tmp_path: Path) -> str:
    TRIED.clear()
    url = f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(RunsFailedError):
        LocalEngine(url, job="shop").run(
            Agent().add_action("go", [InputEvent], go), range(4), key=str
        )
    return url


def test_stats_sum_up_calls_tokens_and_failures(store: str, monkeypatch: Any) -> None:
    out = Pipe()
    monkeypatch.setattr("sys.stdout", out)
    assert main(["stats", "--store", store]) == 0
    lines = out.getvalue().splitlines()
    rows = {line.split()[0].rpartition(":")[2]: line.split() for line in lines if line}
    assert rows["look_up"][1:4] == ["8", "0", "0"]
    assert rows["ask"][1:4] == ["4", "0", "0"]
    assert rows["refund"][1:4] == ["2", "2", "0"]
    assert rows["flaky"][1:4] == ["1", "0", "2"]
    assert rows["small-1"][1:] == ["4", "400", "46", "$1.0000"]
    (failed,) = [line for line in lines if "ValueError" in line]
    assert failed.split()[0] == "2"
    assert "tests/unit/test_cli_stats.py:" in failed
    assert lines[-1] == "job shop: 4 runs"


def test_stats_as_json_and_of_the_newest_alone(store: str, capsys: Any) -> None:
    assert main(["stats", "--store", store, "--json", "--limit", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    calls = {each["function"].rpartition(":")[2]: each["calls"] for each in found["functions"]}
    assert calls == {"look_up": 2, "ask": 1, "refund": 1}
    assert found["runs"] == 1
    assert found["models"][0]["output_tokens"] == 13
    assert [each["runs"] for each in found["failures"]] == [1]


def test_a_job_without_calls_has_stats(tmp_path: Path, capsys: Any) -> None:
    async def nothing(event: Any, ctx: Any) -> None: ...

    url = f"sqlite:///{tmp_path}/a.db"
    LocalEngine(url).run(Agent().add_action("go", [InputEvent], nothing), [1], key=str)
    assert main(["stats", "--store", url]) == 0
    assert capsys.readouterr().out == "job default: 1 run\n"


def test_percentiles_and_histograms() -> None:
    found = FunctionStats(function="f", durations=[n * MS for n in range(1, 101)])
    assert (found.percentile(0.5), found.percentile(0.95)) == (50 * MS, 95 * MS)
    assert FunctionStats(function="f").percentile(0.5) == 0
    drawn = found.histogram(MS, 100 * MS)
    assert len(drawn) == BUCKETS
    assert sum(drawn) == 100
    assert drawn[0] >= 1
    assert drawn[-1] == max(drawn)  # places are longer and longer
    assert sum(FunctionStats(function="f", durations=[7, 7]).histogram(7, 7)) == 2


def test_what_is_open_is_counted_and_has_no_duration() -> None:
    head = run(7, "k", RunStatus.RUNNING)
    stats = summed_up(
        [detail(head, (call(1, "f", "begun"), call(2, "f", "returned")), "unfinished")]
    )
    (found,) = stats.functions
    assert (found.calls, found.open, found.returned) == (2, 1, 1)
    assert found.durations == [BEGAN + 800 * MS - BEGAN - 200 * MS]
    assert stats.failures == []


def test_failures_are_by_kind() -> None:
    stats = summed_up([DETAILS["r3e9"]] * 3)
    assert stats.failures == [("RefundRefused", "/srv/shop/refunds.py:88", 3)]
    assert sum(each.calls for each in stats.functions) == 3 * len(CALLS)
