"""What a service shows: lists, details, values, streams; of a job that is open, and of a store."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.support import GATES, SECRET, client_of, served, start, until, until_status, watching

import perdure.web
from perdure.operate.history import History
from perdure.web import Limits, Token
from perdure.web.application import guarded, service_of_store
from perdure.web.list_routes import LATEST


async def many(client: Any, count: int) -> None:
    for n in range(count):
        await start(client, {"echo": f"text {n}"}, key=f"k{n % 3}", id=f"m-{n}", wait=True)


async def ids(client: Any, query: str) -> list[str]:
    found = await client.get(f"/runs?{query}")
    assert found.status_code == 200, found.text
    return [run["input_id"] for run in found.json()["runs"]]


async def test_runs_are_listed_newest_first_in_parts() -> None:
    async with served() as (client, _):
        await many(client, 5)
        seen, after = [], ""
        while True:
            part = (await client.get("/runs", params={"limit": 2, "after": after})).json()
            seen += [run["input_id"] for run in part["runs"]]
            after = part["after"]
            if after is None:
                break
        assert seen == ["m-4", "m-3", "m-2", "m-1", "m-0"]


async def test_runs_are_found_by_status_key_text_and_time() -> None:
    async with served() as (client, _):
        await many(client, 4)
        await start(client, {"fail": "out of Stock"}, key=7, id="f", wait=True)
        assert await ids(client, "status=failed") == ["f"]
        assert await ids(client, "key=7") == ["f"]
        assert await ids(client, "key=k0") == ["m-3", "m-0"]
        assert await ids(client, "key=nobody") == []
        assert await ids(client, "text=STOCK") == ["f"]
        assert await ids(client, "text=text%202") == ["m-2"]
        runs = (await client.get("/runs")).json()["runs"]
        at = int(runs[2]["admitted_at"])  # another may be of the same millisecond
        newer = [run["input_id"] for run in runs if run["admitted_at"] >= at]
        assert await ids(client, f"since={at}") == newer
        older = [run["input_id"] for run in runs if run["admitted_at"] <= at + 1]
        assert await ids(client, f"until={at + 1}") == older
        assert 2 <= len(newer) <= 5
        assert 2 <= len(older) <= 5


async def test_a_search_says_how_far_it_looked() -> None:
    async with served(limits=Limits(searched_runs=4)) as (client, _):
        await many(client, 10)
        found = (await client.get("/runs?text=text 0&limit=4")).json()
        assert (found["runs"], found["looked"]["runs"], found["looked"]["all"]) == ([], 4, False)
        looked, parts = 4, 1
        while found["after"]:
            found = (
                await client.get(
                    "/runs", params={"text": "text 0", "limit": 4, "after": found["after"]}
                )
            ).json()
            looked, parts = looked + found["looked"]["runs"], parts + 1
        assert ([run["input_id"] for run in found["runs"]], looked, parts) == (["m-0"], 10, 3)


@pytest.mark.parametrize(
    "query",
    ["status=odd", "limit=0", "limit=201", "limit=x", "after=nothing", "since=-1", "oddity=1",
     "status=failed&status=failed", "limit=1.5", "after=" + "9" * 5000],
)  # fmt: skip
async def test_a_query_that_means_nothing_is_refused(query: str) -> None:
    async with served() as (client, _):
        assert (await client.get(f"/runs?{query}")).status_code == 400


async def test_large_values_are_cut_and_have_a_place_where_they_are_whole() -> None:
    large = {"text": "ü" * 10_000}
    async with served() as (client, _):
        await start(client, {"echo": large}, id="l", key="k" * 9000, wait=True)
        (run,) = (await client.get("/runs")).json()["runs"]
        assert 4000 < len(run["input"]["cut"].encode()) <= 4096
        whole = await client.get("/runs/l/value", params={"path": run["input"]["path"]})
        assert (whole.json(), run["input"]["bytes"]) == ({"echo": large}, len(whole.content))
        detail = (await client.get("/runs/l/detail?cut=100")).json()
        call = detail["actions"][0]["calls"][0]
        paths = [call["outcome"]["path"], detail["outputs"][0]["output"]["path"]]
        for path in paths:
            assert (await client.get("/runs/l/value", params={"path": path})).json() == large
        assert (await client.get("/runs/l/value?path=key")).json() == "k" * 9000
        for wrong in (
            "",
            "x",
            "outputs/9",
            "calls/0/work/-1",
            "calls/0/work/x",
            "events",
            "memory/0",
        ):
            assert (await client.get("/runs/l/value", params={"path": wrong})).status_code == 404


async def test_failures_are_grouped_by_kind_and_place() -> None:
    async with served() as (client, _):
        for n in range(3):
            await start(client, {"fail": f"no {n}"}, wait=True)
        await start(client, {"odd": 1, "sleep": "no number"}, wait=True)
        groups = (await client.get("/failures")).json()["groups"]
        assert [(group["type"], group["count"]) for group in groups] == [
            ("ValueError", 3),
            (groups[1]["type"], 1),
        ]
        assert groups[0]["runs"] == ["r3", "r2", "r1"]
        assert groups[0]["first"] <= groups[0]["last"]


async def test_the_last_hour_has_calls_by_minute_processes_and_failures() -> None:
    before = time.time() // 60 * 60_000
    async with served() as (client, _):
        await many(client, 3)
        await start(client, {"fail": "no"}, key="f", wait=True)
        await start(client, {"sleep": "no number"}, key="f", wait=True)
        await start(client, {"fail": "no more"}, key="f", wait=True)
        for path in ("/hour?since=", "/runs?since=", "/runs?until="):
            latest, beyond = (
                await client.get(f"{path}{LATEST}"),
                await client.get(f"{path}{10**13}"),
            )
            assert (latest.status_code, beyond.status_code) == (200, 400), path
        hour = (await client.get("/hour")).json()
        assert before <= hour["minutes"][0]["at"] <= hour["at"]
        assert sum(minute["returned"] for minute in hour["minutes"]) == 3
        assert hour["known_since"] == (hour["at"] // 60_000 - 59) * 60_000
        assert hour["failed"] == {"runs": 3, "all": True}
        (newest, _) = hour["failures"]
        assert (newest["type"], newest["count"], newest["example"]) == ("ValueError", 2, "r6")
        assert [each["status"] for each in hour["processes"]] == ["running"]
        later = (await client.get("/hour", params={"since": int(hour["at"]) + 3_600_000})).json()
        assert later["failed"] == {"runs": 0, "all": True}
        assert later["minutes"] == hour["minutes"]
        assert (await client.get("/hour?since=x")).status_code == 400


async def test_now_counts_runs_and_what_is_at_work() -> None:
    async with served() as (client, _):
        await start(client, 1, wait=True)
        await start(client, {"ask": "x"}, key="q", id="q")
        await until_status(client, "q", "waiting")
        now = (await client.get("/now")).json()
        assert (now["runs"]["completed"], now["runs"]["waiting"]) == (1, 1)
        assert (now["waiting_for_people"], now["is_running"], now["writes"]) == (1, True, True)
        assert now["process"]["calls_made"] == 1


async def test_what_is_under_way_is_seen_where_the_job_is_run() -> None:
    async with served() as (client, _):
        await start(client, {"gate": "g"}, id="s")
        await until_status(client, "s", "running")

        async def seen() -> bool:
            return bool((await client.get("/live")).json()["calls"])

        await until(seen)
        (call,) = (await client.get("/live?run=r1")).json()["calls"]
        assert (call["run"], call["action"], call["state"]) == ("r1", "work", "running")
        assert (await client.get("/live?run=r2")).json()["calls"] == []
        GATES["g"].set()
        detail = (await client.get("/runs/s?wait=60")) and (
            await client.get("/runs/s/detail")
        ).json()
        assert detail["actions"][0]["calls"][0]["waited"] == {"thread": 0, "limit": 0, "retries": 0}
        (process,) = detail["processes"]
        assert (process["pid"], process["status"]) == (os.getpid(), "running")
        assert (await client.get("/processes")).json() == {"count": 1, "processes": [process]}


async def test_the_stream_of_a_run_counts_its_records() -> None:
    async with served() as (client, job):
        app = perdure.web.app(job, tokens=[SECRET])
        await start(client, {"echo": 1, "gate": "g"}, id="s")
        await until_status(client, "s", "running")
        kinds: list[str] = []
        async with watching(app, "/runs/s/stream") as stream:
            name, data, position = await stream.event()
            assert (name, position) == ("records", str(len(data["records"])))
            kinds += [record["kind"] for record in data["records"]]
            GATES["g"].set()
            while (event := await stream.event())[0] != "end":
                kinds += [record["kind"] for record in event[1]["records"]]
                position = event[2]
            assert event[1] == {"status": "completed", "error": None}
            assert await stream.event() is None
        journal = (await client.get("/runs/s/records")).json()["records"]
        assert kinds == [record["kind"] for record in journal]
        assert int(position) == len(journal)
        async with watching(app, "/runs/s/stream", **{"last-event-id": "2"}) as stream:
            _, data, _ = await stream.event()
            assert [record["number"] for record in data["records"]] == list(
                range(3, len(journal) + 1)
            )
        async with watching(app, "/runs/s/stream?after=1000") as stream:
            assert (await stream.event())[0] == "reset"
            assert len((await stream.event())[1]["records"]) == len(journal)


async def test_outputs_are_streamed_once_each() -> None:
    async with served() as (client, job):
        app = perdure.web.app(job, tokens=[SECRET])
        await start(client, {"several": 3, "gate": "g"}, id="s")
        await until_status(client, "s", "running")
        accept = {"accept": "text/event-stream"}
        async with watching(app, "/runs/s/outputs", **accept) as stream:
            GATES["g"].set()
            events = [await stream.event() for _ in range(5)]
            assert [event[1].get("value") for event in events[:4]] == [0, 1, 2, "through g"]
            assert (events[4][0], await stream.event()) == ("end", None)
        async with watching(app, "/runs/s/outputs", **accept, **{"last-event-id": "3"}) as stream:
            assert (await stream.event())[1]["number"] == 4
        rest = (await client.get("/runs/s/outputs?after=2")).json()["outputs"]
        assert [output["number"] for output in rest] == [3, 4]


async def test_the_stream_of_a_job_goes_on_from_a_position() -> None:
    async with served() as (client, job):
        app = perdure.web.app(job, tokens=[SECRET])
        async with watching(app, "/stream") as stream:
            name, _, position = await stream.event()
            assert name == "position"
            await start(client, 1, wait=True)
            name, data, _ = await stream.event()
            assert (name, data["runs"]) == ("change", ["r1"])
        await start(client, 2, wait=True)
        async with watching(app, "/stream", **{"last-event-id": position}) as stream:
            name, data, _ = await stream.event()
            assert (name, data["runs"]) == ("change", ["r1", "r2"])
        async with watching(app, "/stream?since=gone") as stream:
            name, _, position = await stream.event()
            assert name == "reset"
            await start(client, 3, wait=True)
            assert (await stream.event())[1]["runs"] == ["r3"]


async def test_streams_end_with_the_job_and_are_bounded() -> None:
    async with served(limits=Limits(streams=1)) as (client, job):
        app = perdure.web.app(job, tokens=[SECRET], limits=Limits(streams=1))
        async with watching(app, "/stream") as stream:
            await stream.event()
            async with watching(app, "/stream") as refused:
                with contextlib.suppress(Exception):
                    await refused.event()
                assert refused.status == 503
            await job.close()
            assert await stream.event() is None
        assert (await client.get("/runs")).status_code == 503
        assert (await start(client, 1)).status_code == 503


async def test_what_is_no_cursor_of_the_runs_is_refused() -> None:
    async with served() as (client, _):
        await start(client, 1, wait=True)
        for after in ("9" * 23, "9999999999", "-1", "x"):
            answer = await client.get(f"/runs?after={after}")
            assert answer.status_code == 400
            assert "is no cursor of this list" in answer.json()["detail"]


async def test_streams_that_come_together_are_bounded_too() -> None:
    async with served() as (_, job), contextlib.AsyncExitStack() as stack:
        app = perdure.web.app(job, tokens=[SECRET], limits=Limits(streams=2))
        came = [await stack.enter_async_context(watching(app, "/stream")) for _ in range(5)]
        for stream in came:
            with contextlib.suppress(Exception):
                await stream.event()
        assert sorted(stream.status for stream in came) == [200, 200, 503, 503, 503]


@contextlib.asynccontextmanager
async def shown(store: str, job: str | None = None) -> AsyncIterator[Any]:
    service = service_of_store(lambda: History.open(store), job, Limits())
    app = guarded(service, [Token(SECRET)], hosts=["*"], origins=[], prefix="")
    try:
        async with client_of(app) as client:
            client.app = app
            yield client
    finally:
        await service.close()


async def test_a_store_is_shown_without_its_job(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    async with served(url) as (client, _):
        await start(client, {"echo": [1], "several": 2}, id="a", wait=True)
        mine = (await client.get("/runs/a")).json()
        detail = (await client.get("/runs/a/detail")).json()
        async with shown(url) as beside:
            assert (await beside.get("/runs/a")).json() == mine
            assert (await beside.get("/now")).json()["is_running"]
    async with shown(url) as alone:
        assert (await alone.get("/runs/a")).json() == mine
        ended = (await alone.get("/runs/a/detail")).json()
        (process,) = ended.pop("processes")
        assert process["status"] == "ended"
        assert ended == {name: value for name, value in detail.items() if name != "processes"}
        assert (await alone.get("/job")).json()["is_served"] is False
        assert (await alone.get("/now")).json()["is_running"] is False
        assert (await alone.get("/live")).json() == {"is_visible": False}
        async with watching(alone.app, "/runs/a/stream") as stream:
            assert (await stream.event())[0] == "records"
        for path, body in (("/runs", {"key": 1, "value": 1}), ("/runs/a/cancel", {})):
            refused = await alone.post(path, json=body)
            assert (refused.status_code, "perdure serve" in refused.json()["detail"]) == (403, True)


async def test_a_store_that_comes_later_is_found_then(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'later.db'}"
    async with shown(url) as client:
        assert (await client.get("/runs")).status_code == 503
        async with served(url) as (mine, _):
            await start(mine, 1, wait=True)
        assert len((await client.get("/runs")).json()["runs"]) == 1
