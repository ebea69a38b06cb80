"""Hostile values, everywhere that a client can put them: they are data and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.web.support import SECRET, TOKENS, Desk, client_of, served, start, until_status

import perdure.web
from perdure import LocalEngine
from perdure.web.api import OPERATIONS
from perdure.web.openapi import document

HOSTILE = [
    "<script>alert(1)</script>", "\x1b]0;title\x07\x1b[2J", "\u202egnp.exe", "\x00", "💥" * 50,
    "a\r\nSet-Cookie: x=1", "'; DROP TABLE run; --", "../../etc/passwd", "%00%2e%2e", "{{7*7}}",
    "__proto__", "x" * 1000,
]  # fmt: skip
JSON = {"Content-Type": "application/json"}
VIEWS = ("/runs", "/inbox", "/failures", "/now", "/hour", "/job")
OF_RUN = ("", "/detail", "/records", "/outputs", "/value?path=input", "/value?path=key")


async def post(client: Any, path: str, body: Any) -> Any:
    """Send JSON with escapes, which may stand for halves of characters."""
    return await client.post(path, content=json.dumps(body), headers=JSON)


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_texts_come_back_as_they_were(text: str) -> None:
    async with served() as (client, _):
        given = {"echo": {text: [text]}, "ask": text}
        made = await post(client, "/runs", {"key": text, "value": given, "id": text})
        assert (made.status_code, made.headers["location"]) == (202, "/runs/run:r1")
        await until_status(client, "r1", "waiting")
        await post(client, "/runs", {"key": "f", "value": {"fail": text}, "wait": True})
        for path in (*VIEWS, *(f"/runs/{run}{each}" for each in OF_RUN for run in ("r1", "r2"))):
            seen = await client.get(path)
            assert (seen.status_code, seen.headers["content-type"]) == (200, "application/json")
            assert seen.headers["x-content-type-options"] == "nosniff"
            json.loads(seen.content)
        (wait,) = (await client.get("/inbox")).json()["waits"]
        assert (wait["key"], wait["name"]) == (text, text)
        answer = {"name": text, "approved": False, "comment": text}
        assert (await post(client, "/runs/r1/approve", answer)).status_code == 200
        found = await until_status(client, "r1", "completed")
        assert found["outputs"] == [{text: [text]}, [False, "ann", text]]


async def test_halves_of_characters_are_kept_and_shown_with_escapes() -> None:
    async with served() as (client, _):
        half = "\ud800"
        body = {"key": half, "value": {"echo": {half: half}}, "id": half, "wait": True}
        made = await post(client, "/runs", body)
        assert (made.status_code, made.json()["outputs"]) == (201, [{half: half}])
        assert (await post(client, "/runs", body)).status_code == 200
        await post(client, "/runs", {"key": 2, "value": {"ask": "x"}, "id": "asks"})
        await until_status(client, "asks", "waiting")
        refused = await post(client, "/runs/asks/approve", {"name": half, "approved": True})
        assert (refused.status_code, "names no signal" in refused.json()["detail"]) == (400, True)
        await post(client, "/runs", {"key": 1, "value": {"fail": half}, "wait": True})
        for path in (*VIEWS, *(f"/runs/{run}{each}" for each in OF_RUN for run in ("r1", "r2"))):
            seen = await client.get(path)
            assert seen.status_code == 200
            json.loads(seen.content)


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_names_are_refused_in_one_printable_line(text: str) -> None:
    async with served() as (client, _):
        for path, name in (
            ("/runs/by-id", "id"), ("/runs", "status"), ("/runs", "after"), ("/runs", text),
            ("/runs/r1/value", "path"),
        ):  # fmt: skip
            refused = await client.get(path, params={name: text})
            assert refused.status_code in (400, 404)
            assert refused.json()["detail"].isprintable()


async def test_ten_megabytes_are_kept_and_lists_stay_small() -> None:
    async with served() as (client, _):
        large = "ä" * 5_000_000
        made = await start(client, {"echo": large}, id="large", wait=True)
        assert made.json()["outputs"] == [large]
        for path in ("/runs", "/runs/large/detail"):
            assert len((await client.get(path)).content) < 50_000
        assert (await client.get("/runs/large/value?path=input")).json() == {"echo": large}


async def test_deep_values_are_refused_or_kept_but_break_nothing() -> None:
    async with served() as (client, _):
        for depth in (50, 500, 5000):
            body = b'{"key": 1, "wait": true, "value": ' + b"[" * depth + b"]" * depth + b"}"
            made = await client.post("/runs", content=body, headers=JSON)
            assert made.status_code in (201, 400, 422)
        assert (await client.get("/runs")).status_code == 200


# All that the document says, and much that it does not

_NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["r1", "r2", "a", "1", "0", "true", "5", "failed", "input", *HOSTILE]
)
_RUNS = ["r1", "r2", "r3", "a", "zz", "%2F", "r" + "9" * 30]


@st.composite
def _requests(draw: Any) -> tuple[Any, str, dict[str, str], dict[str, str], bytes | None]:
    """A request of some operation, with parameters and a body that often fit and often do not."""
    each = draw(st.sampled_from([each for each in OPERATIONS if not each.streams]))
    path = each.path.replace("{run}", draw(st.sampled_from(_RUNS)))
    query, headers = {}, {}
    for parameter in each.parameters:
        if draw(st.booleans()):
            value = draw(_TEXTS)
            if parameter.place == "query":
                query[parameter.name] = value.encode("utf-8", "replace").decode()
            elif value.isascii() and value.isprintable():
                headers[parameter.name] = value.strip()
    if draw(st.integers(0, 9)) == 0:
        query["oddity"] = "1"
    if each.body is None:
        return each, path, query, headers, None
    names = list(each.body["properties"])
    body: Any = {name: draw(_JSON) for name in names if draw(st.booleans())}
    if draw(st.booleans()) and "key" in names:
        body |= {"key": draw(st.text(max_size=3)), "value": draw(_JSON)}
        body["wait"] = draw(st.sampled_from([False, 0, 0.01, None, True]))
    if draw(st.integers(0, 9)) == 0:
        body = draw(_JSON)
    return each, path, query, headers, json.dumps(body).encode()


@pytest.fixture(scope="module")
def answers_fit() -> Any:
    described = json.loads(document(OPERATIONS, ""))
    jsonschema.validators.validator_for({})

    def check(operation: Any, status: int, content_type: str, content: bytes) -> None:
        responses = described["paths"][operation.path][operation.method.lower()]["responses"]
        assert str(status) in responses, f"{operation.name} answered {status}: {content[:300]!r}"
        kind = content_type.partition(";")[0]
        schema = responses[str(status)]["content"][kind]["schema"]
        whole = {"components": described["components"], **schema}
        answer = content.decode() if kind == "text/plain" else json.loads(content)
        jsonschema.Draft202012Validator(whole).validate(answer)

    return check


def test_every_answer_is_one_that_the_document_describes(answers_fit: Any) -> None:
    """No server error, no undescribed status, no answer of another form."""

    @settings(
        max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.lists(_requests(), min_size=1, max_size=12))
    def fuzz(requests: list[Any]) -> None:
        asyncio.run(_ask_all(requests, answers_fit))

    fuzz()


async def _ask_all(requests: list[Any], check: Any) -> None:
    job = await LocalEngine("memory://", job="desk").start(Desk())
    try:
        async with client_of(perdure.web.app(job, tokens=TOKENS), SECRET) as client:
            await start(client, {"echo": 1}, id="a", wait=True)
            await start(client, {"ask": "x"}, id="b")
            for operation, path, query, headers, body in requests:
                kind = {"Content-Type": "application/json"} if body is not None else {}
                said = await client.request(
                    operation.method, path, params=query, headers={**headers, **kind}, content=body
                )
                check(operation, said.status_code, said.headers["content-type"], said.content)
    finally:
        await job.close()


def test_the_document_is_sound() -> None:
    described = json.loads(document(OPERATIONS, "/below"))
    assert described["servers"] == [{"url": "/below"}]
    for schema in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = [each.name for each in OPERATIONS]
    assert len(names) == len(set(names))
    refs = {ref.split('"')[0] for ref in json.dumps(described).split("#/components/schemas/")[1:]}
    assert refs == set(described["components"]["schemas"])
