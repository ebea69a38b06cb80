"""Runs over HTTP: started once, waited for, looked at, acted on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.web.support import CALLS, GATES, SECRET, Scope, served, start, until, until_status

import perdure.web
from perdure.web.api import OPERATIONS


async def test_a_run_is_started_and_its_outputs_are_the_answer() -> None:
    async with served() as (client, _):
        made = await start(client, {"echo": {"a": [1, None, "ü"]}}, id="m-1", wait=True)
        assert (made.status_code, made.headers["location"]) == (201, "/runs/run:r1")
        assert made.json() == {
            "id": "r1", "status": "completed", "outputs": [{"a": [1, None, "ü"]}], "error": None,
        }  # fmt: skip
        again = await start(client, {"echo": {"a": [1, None, "ü"]}}, id="m-1", wait=5)
        assert (again.status_code, again.json()) == (200, made.json())
        assert len(CALLS) == 1


async def test_a_location_is_that_run_whatever_ids_inputs_are_given() -> None:
    async with served() as (client, _):
        for given in ("r2", "r1"):  # the second is the first one's own
            made = await start(client, {"echo": given}, id=given, wait=True)
            there = await client.get(made.headers["location"])
            assert there.json()["outputs"] == [given]


async def test_without_waiting_the_run_is_at_its_location() -> None:
    async with served() as (client, _):
        made = await start(client, {"echo": 7})
        assert (made.status_code, made.json()["outputs"]) == (202, [])
        found = await until_status(
            client, made.headers["location"].removeprefix("/runs/"), "completed"
        )
        assert found["outputs"] == [7]


async def test_a_run_that_takes_longer_is_answered_when_the_time_is_over() -> None:
    async with served() as (client, _):
        made = await start(client, {"gate": "g"}, wait=0.01)
        assert (made.status_code, made.headers["location"]) == (202, "/runs/run:r1")
        waiting = asyncio.ensure_future(client.get("/runs/r1?wait=60"))
        await asyncio.sleep(0)
        GATES["g"].set()
        assert (await waiting).json()["outputs"] == ["through g"]


async def test_a_failed_run_is_an_answer_with_its_error() -> None:
    async with served() as (client, _):
        failed = await start(client, {"echo": 1, "fail": "no such order"}, wait=True)
        assert (failed.status_code, failed.json()["status"]) == (201, "failed")
        error = failed.json()["error"]
        assert (error["type"], error["message"]) == ("ValueError", "no such order")
        assert "support.py:" in error["place"]


@pytest.mark.parametrize("other", [{"value": 2}, {"key": "other"}])
async def test_an_id_is_one_input_for_ever(other: dict[str, Any]) -> None:
    async with served() as (client, _):
        assert (await start(client, 1, id="m", wait=True)).status_code == 201
        refused = await client.post("/runs", json={"key": "k", "value": 1, "id": "m", **other})
        assert refused.status_code == 409
        assert refused.headers["content-type"] == "application/problem+json"
        assert "submitted before" in refused.json()["detail"]


async def test_the_idempotency_key_is_the_id() -> None:
    async with served() as (client, _):
        for named in ("m-1", '"m-1"'):
            made = await client.post(
                "/runs", json={"key": "k", "value": 1, "wait": True},
                headers={"Idempotency-Key": named},
            )  # fmt: skip
            assert made.json()["id"] == "r1"
        assert (await client.get("/runs/by-id", params={"id": "m-1"})).json()["id"] == "r1"
        two = await client.post(
            "/runs",
            json={"key": "k", "value": 1, "id": "other"},
            headers={"Idempotency-Key": "m-1"},
        )
        assert two.status_code == 400


async def test_an_idempotency_key_is_one_text_however_it_is_sent() -> None:
    async with served() as (client, _):
        ids = set()
        for header in ({"Idempotency-Key": "é".encode()}, {}):
            body = {"key": "k", "value": 1, "wait": True} | ({} if header else {"id": "é"})
            ids.add((await client.post("/runs", json=body, headers=header)).json()["id"])
        assert ids == {"r1"}
        body = {"key": "k", "value": 1}
        for id_, header in ((None, b"\xe9"), (7, b"7")):  # no UTF-8; a number is no text
            refused = await client.post(
                "/runs", json={**body, "id": id_}, headers={"Idempotency-Key": header}
            )
            assert refused.status_code == 400
        assert len((await client.get("/runs")).json()["runs"]) == 1


async def test_a_run_whose_id_is_another_input_s_too_is_named_and_acted_on() -> None:
    async with served() as (client, _):
        await start(client, "first", wait=True)
        await start(client, "second", id="r1", wait=True)
        assert (await client.get("/runs/r1")).status_code == 409
        for run in ("run:r1", "run%3Ar1"):
            assert (await client.get(f"/runs/{run}")).json()["id"] == "r1"
        for what, body in (("cancel", {}), ("retry", {}), ("signal", {"name": "go"})):
            answer = await client.post(f"/runs/run:r1/{what}", json=body)
            assert answer.status_code == 409
            assert answer.json()["detail"].startswith("run r1 is completed: ")


async def test_a_text_and_a_number_that_read_alike_name_two_runs() -> None:
    async with served() as (client, _):
        for id_ in (7, "7"):
            await start(client, 1, id=id_, wait=True)
        for path in ("/runs/7", "/runs/by-id?id=7"):
            found = await client.get(path)
            assert found.status_code == 409
            assert "names two runs: r1 and r2" in found.json()["detail"]


@pytest.mark.parametrize(
    "like", ["2", "02", "r02", "%20r2", "r2%0a", "r+2", "r0x2", "R2", "r%EF%BC%92"]
)
async def test_what_is_only_like_an_id_acts_on_no_run(like: str) -> None:
    async with served() as (client, _):
        for id_ in ("one", "two"):
            await start(client, {"gate": id_}, id=id_)
        await until(lambda: _gates("one"))
        for act in ("cancel", "retry"):
            assert (await client.post(f"/runs/{like}/{act}", json={})).status_code == 404
        assert (await client.get(f"/runs/{like}")).status_code == 404
        assert (await client.post("/runs/r2/cancel", json={})).status_code == 200
        GATES["one"].set()


async def _gates(name: str) -> bool:
    return name in GATES


async def test_a_client_that_leaves_cancels_nothing() -> None:
    async with served() as (client, job):
        app = perdure.web.app(job, tokens=[SECRET])
        headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}
        body = b'{"key": "k", "value": {"gate": "g"}, "id": "left", "wait": true}'
        async with Scope(app, "POST", "/runs", headers, body) as request:
            await until_status_of_id(client, "left")
            request.leave()
        GATES["g"].set()
        assert (await client.get("/runs/left?wait=60")).json()["outputs"] == ["through g"]


async def until_status_of_id(client: Any, id_: str) -> None:
    async def found() -> bool:
        return (await client.get(f"/runs/{id_}")).status_code == 200 and "g" in GATES

    await until(found)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"value": 1}, 422), ({"key": 1}, 422), ({"key": 1, "value": 1, "wiat": 1}, 422),
        ({"key": 1, "value": 1, "wait": 61}, 422), ({"key": 1, "value": 1, "wait": -1}, 422),
        ({"key": 1, "value": 1, "wait": "5"}, 422), ({"key": 1, "value": 1, "id": 1.5}, 422),
        ({"key": 1, "value": 1, "id": ""}, 422), ({"key": 1, "value": 1, "id": True}, 422),
        ([1], 422), ("text", 422),
        (b'{"key": 1, "value": 1e400}', 422), (b'{"key": 1, "value": [-1.5E+999]}', 422),
    ],
)  # fmt: skip
async def test_what_is_no_input_is_refused_before_it_runs(body: Any, status: int) -> None:
    async with served() as (client, _):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        refused = await client.post("/runs", content=data, headers=headers)
        assert (refused.status_code, refused.json()["status"]) == (status, status)
        assert (await client.get("/runs")).json()["runs"] == []


async def test_a_parameter_that_means_nothing_is_refused_everywhere() -> None:
    async with served() as (client, _):
        for operation in (each for each in OPERATIONS if each.role is not None):
            path = operation.path.replace("{run}", "r1")
            for query in ("wiat=5", "wiat"):
                refused = await client.request(operation.method, f"{path}?{query}", json={})
                assert (operation.name, refused.status_code) == (operation.name, 400)
                assert "'wiat'" in refused.json()["detail"]
        refused = await client.post("/runs?wait=5", json={"key": 1, "value": 1})
        said = "the query has 'wait': send it in the JSON of the body"
        assert (refused.status_code, refused.json()["detail"]) == (400, said)
        assert (await client.get("/runs?limit=5&limit=5")).status_code == 400
        assert (await client.get("/runs")).json()["runs"] == []
        assert (await client.get("/healthz?now=1")).status_code == 200


@pytest.mark.parametrize(
    "data",
    [b"{", b"\xff", b'{"key": NaN, "value": 1}', b"[" * 100_000, b'{"key":1,"value":1}x',
     b'{"key": 1, "value": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
async def test_broken_json_is_refused(data: bytes) -> None:
    async with served() as (client, _):
        headers = {"content-type": "application/json"}
        assert (await client.post("/runs", content=data, headers=headers)).status_code == 400


async def test_a_run_is_cancelled_and_retried() -> None:
    async with served() as (client, _):
        await start(client, {"gate": "g"}, id="c")
        await until_status(client, "c", "running")
        stopped = await client.post("/runs/c/cancel", json={})
        assert stopped.status_code == 200
        assert stopped.json() in [{"id": "r1", "status": each} for each in ("running", "cancelled")]
        await until_status(client, "c", "cancelled")  # that it is asked is durable, its end later
        assert (await client.post("/runs/c/cancel", json={})).status_code == 409
        assert (await client.post("/runs/c/retry", json={})).status_code == 200
        GATES["g"].set()
        assert (await client.get("/runs/c?wait=60")).json()["status"] == "completed"
        refused = await client.post("/runs/c/retry", json={})
        assert (refused.status_code, "completed" in refused.json()["detail"]) == (409, True)


async def test_a_run_gets_a_signal() -> None:
    async with served() as (client, _):
        await start(client, {"signal": "go"}, id="s")
        sent = await client.post("/runs/s/signal", json={"name": "go", "value": {"n": 1}})
        assert sent.status_code == 200
        assert (await client.get("/runs/s?wait=60")).json()["outputs"] == [{"n": 1}]
        late = await client.post("/runs/s/signal", json={"name": "go"})
        assert (late.status_code, (await client.post("/runs/s/signal", json={})).status_code) == (
            409,
            422,
        )


async def test_an_approval_is_by_the_name_of_the_token() -> None:
    async with served() as (client, _):
        await start(client, {"ask": "refund"}, id="a")
        await until_status(client, "a", "waiting")
        waits = (await client.get("/inbox")).json()
        assert (waits["count"], waits["waits"][0]["question"]) == (1, "May I refund?")
        forged = await client.post("/runs/a/approve", json={"approved": True, "by": "the boss"})
        assert forged.status_code == 422
        for said in ({}, {"comment": "fine"}, {"approved": None}, {"approved": 1}):
            refused = await client.post("/runs/a/approve", json=said)
            assert refused.status_code in (400, 422), said  # only a yes is one
            assert "approved" in refused.json()["detail"]
        answered = await client.post("/runs/a/approve", json={"approved": True, "comment": "fine"})
        assert (answered.json()["name"], answered.json()["by"]) == ("refund", "ann")
        assert (await client.get("/runs/a?wait=60")).json()["outputs"] == [[True, "ann", "fine"]]
        again = await client.post("/runs/a/approve", json={"approved": False})
        assert (
            again.status_code,
            "finished" in again.json()["detail"]
            or "answered" in again.json()["detail"]
            or "completed" in again.json()["detail"],
        ) == (409, True)


async def test_g27_of_several_who_answer_at_the_same_moment_one_is_taken() -> None:
    async with served() as (client, _):
        await start(client, {"ask": "refund"}, id="a")
        await until_status(client, "a", "waiting")
        answers = [
            client.post("/runs/a/approve", json={"approved": not n, "comment": f"{n}"})
            for n in range(4)
        ]
        answered = await asyncio.gather(*answers)
        assert sorted(each.status_code for each in answered) == [200, 409, 409, 409]
        taken = next(n for n, each in enumerate(answered) if each.status_code == 200)
        ended = await until_status(client, "a", "completed")
        assert ended["outputs"] == [[not taken, "ann", f"{taken}"]]


@pytest.mark.parametrize(
    "path",
    ["r99", "nobody", "by-id?id=r1", "r99/detail", "r99/stream", "r99/outputs", "r99/records",
     "r99/value?path=input"],
)  # fmt: skip
async def test_a_run_that_is_not_there_is_not_found(path: str) -> None:
    async with served() as (client, _):
        await start(client, 1, wait=True)
        assert (await client.get(f"/runs/{path}")).status_code == 404


async def test_an_id_may_be_what_another_run_is_called() -> None:
    async with served() as (client, _):
        await start(client, "first", wait=True)
        await start(client, "second", id="r1", wait=True)
        assert (await client.get("/runs/by-id?id=r1")).json()["outputs"] == ["second"]
        assert (await client.get("/runs/r1")).status_code == 409
        for odd in ("a/b", "../x", "ä ö", "%2e", "by-id"):
            made = await start(client, odd, id=odd, wait=True)
            found = await client.get("/runs/by-id", params={"id": odd})
            assert found.json()["id"] == made.json()["id"]
