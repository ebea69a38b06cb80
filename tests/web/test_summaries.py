"""What a list shows of runs besides their heads: calls, tokens, cost, a small map."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.support import served, start, until_status

from perdure.operate.run_detail import ActionTimeline, CallInfo, RunDetail
from perdure.run import RunInfo, RunStatus
from perdure.web.summaries import LANES, STEPS, work_form

RUN = RunInfo(
    id="r1", number=1, key="k", sequence=1, label="r1", status=RunStatus.COMPLETED, attempts=0,
    error=None, input=None, admitted_at=10**9, finished_at=2 * 10**9,
)  # fmt: skip


def call(begun: int, settled: int, status: str = "returned", outcome: Any = None) -> CallInfo:
    return CallInfo(
        number=1, function="f", arguments="", status=status, attempts=1, outcome=outcome,
        error=None, started_at=begun, settled_at=settled, due_at=0, superseded=False,
    )  # fmt: skip


def form_of(*calls: CallInfo, run: RunInfo = RUN, now: int = 3 * 10**9) -> dict[str, Any]:
    action = ActionTimeline(
        name="a", event=1, event_type="e", status="done", started_at=1, finished_at=2,
        cancelled_at=0, timers=(), calls=list(calls),
    )  # fmt: skip
    fields = {field.name for field in dataclasses.fields(RunDetail)}
    given = {"run": run, "actions": [action]}
    empty = {name: () for name in fields if name not in given}
    return work_form(RunDetail(**given, **empty), now)


async def test_summaries_count_calls_tokens_and_cost() -> None:
    message = {"model": "m", "usage": {"input_tokens": 7, "output_tokens": 2, "cost": 0.5}}
    async with served() as (client, _):
        await start(client, {"echo": message}, wait=True)
        await start(client, {"fail": "no"}, wait=True, id="second")
        await start(client, {"ask": "go on"})
        await until_status(client, "r3", "waiting")
        found = (await client.get("/summaries?runs=r1,r2,r3,r99")).json()
        assert found["left"] == []
        one, two, three = found["runs"]
        assert one["work"] == {
            "calls": 1, "failed_calls": 0, "input_tokens": 7, "output_tokens": 2, "cost": 0.5,
            "map": one["work"]["map"],
        }  # fmt: skip
        assert [bar[3] for bar in one["work"]["map"]] == ["done"]
        assert (two["title"], two["status"], two["work"]["calls"]) == ("second", "failed", 0)
        assert [wait["name"] for wait in three["waits"]] == ["go on"]
        assert (await client.get("/summaries?runs=r1,r2,r3,r99")).json() == found


async def test_a_summary_is_made_anew_where_the_run_goes_on() -> None:
    async with served() as (client, _):
        await start(client, {"ask": "go on", "echo": 1})
        await until_status(client, "r1", "waiting")
        assert (await client.get("/summaries?runs=r1")).json()["runs"][0]["work"]["calls"] == 0
        await client.post("/runs/r1/approve", json={"approved": True})
        await until_status(client, "r1", "completed")
        assert (await client.get("/summaries?runs=r1")).json()["runs"][0]["work"]["calls"] == 1


@pytest.mark.parametrize(
    "runs", ["", "r1,", "x", "r1 ", "r" + "1" * 13, ",".join(["r1"] * 101), "é", "r1;r2"]
)
async def test_summaries_of_what_is_no_run_are_refused(runs: str) -> None:
    async with served() as (client, _):
        assert (await client.get("/summaries", params={"runs": runs})).status_code == 400


@pytest.mark.parametrize(
    "usage",
    [{"input_tokens": "7"}, {"input_tokens": 7, "output_tokens": "<b>", "cost": "free"}, "x", None],
)
def test_what_only_looks_like_usage_is_none(usage: Any) -> None:
    found = form_of(call(10**9, 2 * 10**9, outcome={"usage": usage, "model": ["m"]}))
    assert (found["output_tokens"], found["cost"]) == (0, None)


def test_calls_that_overlap_stand_in_lanes_of_their_own() -> None:
    found = form_of(
        call(10**9, 15 * 10**8),
        call(12 * 10**8, 18 * 10**8, "raised"),
        call(16 * 10**8, 0, "begun"),
    )
    assert sorted(found["map"]) == [
        [0, 0, 100, "done"], [0, 120, 200, "open"], [1, 40, 160, "failed"],
    ]  # fmt: skip
    assert found["failed_calls"] == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * 10**9), st.integers(0, 3 * 10**9),
            st.sampled_from(["returned", "raised", "begun", "in doubt"]),
        ),
        max_size=200,
    )
)  # fmt: skip
def test_a_map_is_small_whatever_the_calls_were(calls: list[tuple[int, int, str]]) -> None:
    found = form_of(*(call(*each) for each in calls))["map"]
    for lane in range(LANES):
        end = 0
        for _, begin, until, _ in sorted(bar for bar in found if bar[0] == lane):
            assert end <= begin <= until <= STEPS
            end = until
    assert all(bar[0] < LANES for bar in found)


def test_a_map_of_very_many_calls_is_no_larger() -> None:
    calls = [call(10**9 + i * 10**5, 10**9 + i * 10**5 + 1, "raised" if i % 2 else "returned")
             for i in range(9_000)]  # fmt: skip
    found = form_of(*calls)["map"]
    assert len(found) <= LANES * STEPS * 2
    assert {bar[3] for bar in found} == {"done", "failed"}


def test_a_short_failure_within_a_long_time_is_seen() -> None:
    found = form_of(call(10**9, 2 * 10**9 - 1), call(2 * 10**9 - 1, 2 * 10**9, "raised"))
    assert found["map"] == [[0, 0, 199, "done"], [0, 199, 200, "failed"]]
