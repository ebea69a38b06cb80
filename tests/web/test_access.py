"""Who may do what: tokens, roles, hosts, origins, rates."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.web.support import OPERATOR, READER, RUNNER, SECRET, client_of, served, start

import perdure.web
from perdure import ConfigurationError
from perdure.cli.main import main
from perdure.web import Limits, Role, Token
from perdure.web.access import Access, read_token_file


@pytest.mark.parametrize("path", ["/runs", "/now", "/job", "/stream", "/runs/r1", "/nowhere"])
async def test_nothing_is_told_without_a_good_token(path: str) -> None:
    async with served(token=None) as (client, _):
        refused = await client.get(path)
        assert (refused.status_code, "bearer" in refused.headers["www-authenticate"].lower()) == (
            401,
            True,
        )
        for wrong in (f"Bearer {SECRET}x", f"Basic {SECRET}", SECRET, "Bearer ", "Bearer ÿ"):
            given = {"Authorization": wrong.encode("latin-1")}
            refused = await client.get(path, headers=given)
            assert refused.status_code == 401
            assert SECRET not in refused.text
        assert (await client.post("/runs", json={"key": 1, "value": 1})).status_code == 401


async def test_probes_and_the_document_need_none() -> None:
    async with served(token=None, hosts=["desk.example"]) as (client, _):
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        host = {"Host": "desk.example"}
        assert (await client.get("/openapi.json", headers=host)).json()["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("token", "may"),
    [(READER, (200, 403, 403)), (RUNNER, (200, 201, 403)), (OPERATOR, (200, 201, 409))],
)
async def test_a_role_is_what_a_token_may(token: Token, may: tuple[int, ...]) -> None:
    async with served(token=token.secret) as (client, job):
        await job.submit("before", key="k", id="b")
        said = (
            await client.get("/runs/b?wait=60"),
            await start(client, 1, wait=True),
            await client.post("/runs/b/cancel", json={}),
        )
        assert tuple(each.status_code for each in said) == may
        told = (await client.get("/job")).json()["token"]
        assert told == {"name": token.name, "role": token.role.label}


async def test_without_tokens_nobody_is_asked_and_hosts_are_those_of_this_machine() -> None:
    async with served(token=None, tokens=()) as (client, _):
        for host, status in (
            ("localhost", 200), ("127.0.0.1:8765", 200), ("[::1]:80", 200), ("LOCALHOST.", 200),
            ("evil.example", 421), ("localhost.evil.example", 421), ("", 421),
            ("127.0.0.1@evil", 421), ("localhost:x", 421), ("127.0.0.1/x", 421),
        ):  # fmt: skip
            found = await client.get("/runs", headers={"Host": host})
            assert (host, found.status_code) == (host, status)
    given = ["desk.example:8765", "2001:db8::1", "[2001:db8::2]:80", "LOUD.example."]
    async with served(hosts=given) as (client, _):
        for host in ("desk.example", "[2001:db8::1]:1", "[2001:db8::2]", "loud.example:80"):
            assert (await client.get("/runs", headers={"Host": host})).status_code == 200
    async with served(token=None, tokens=()) as (client, _):
        await start_local(client)
        answered = await client.post(
            "/runs/a/approve", json={"by": "eve", "approved": True}, headers={"Host": "localhost"}
        )
        assert answered.json()["by"] == "eve"


async def start_local(client: object) -> None:
    from tests.web.support import until

    host = {"Host": "localhost"}
    body = {"key": "k", "value": {"ask": "x"}, "id": "a"}
    await client.post("/runs", json=body, headers=host)

    async def waits() -> bool:
        return (await client.get("/runs/a", headers=host)).json()["status"] == "waiting"

    await until(waits)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202), ({"Origin": "http://desk"}, 202), ({"Origin": "https://desk"}, 202),
        ({"Origin": "https://ours.example"}, 202), ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403), ({"Origin": "http://desk.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 202), ({"Content-Type": ""}, 415),
    ],
)  # fmt: skip
async def test_pages_of_other_sites_write_nothing(headers: dict[str, str], status: int) -> None:
    async with served(origins=["https://ours.example"]) as (client, _):
        made = await client.post("/runs", json={"key": 1, "value": 1}, headers=headers)
        assert made.status_code == status
        expected = 1 if status == 202 else 0
        assert len((await client.get("/runs")).json()["runs"]) == expected


OURS = "https://ours.example"


def asked(origin: str, method: str = "POST", headers: str = "") -> dict[str, str]:
    """What a browser asks with before it sends the request of a page of another site."""
    given = {"Origin": origin, "Access-Control-Request-Method": method}
    return {**given, "Access-Control-Request-Headers": headers} if headers else given


async def test_a_browser_is_told_that_pages_of_an_allowed_origin_may_use_it() -> None:
    async with served(token=None, origins=["https://Ours.example:443/"]) as (client, _):
        sent = "authorization,content-type,idempotency-key,last-event-id"
        for method in ("GET", "POST"):
            may = await client.options("/runs", headers=asked(OURS, method, sent))
            assert may.status_code == 200
            assert may.headers["access-control-allow-origin"] == OURS
            assert method in may.headers["access-control-allow-methods"].split(", ")
            allowed = may.headers["access-control-allow-headers"].lower().split(", ")
            assert set(sent.split(",")) <= set(allowed)
            assert "Origin" in may.headers["vary"]
            assert "access-control-allow-credentials" not in may.headers
        in_house = {**asked(OURS), "Access-Control-Request-Private-Network": "true"}
        assert (await client.options("/runs", headers=in_house)).status_code == 200
        page = {"Origin": OURS, "Sec-Fetch-Site": "cross-site"}
        bearer = {**page, "Authorization": f"Bearer {SECRET}"}
        made = await client.post("/runs", json={"key": 1, "value": 1}, headers=bearer)
        seen = await client.get("/runs", headers=bearer)
        refused = await client.get("/runs", headers=page)
        for said, status in ((made, 202), (seen, 200), (refused, 401)):
            assert (said.status_code, said.headers["access-control-allow-origin"]) == (status, OURS)
            assert "Origin" in said.headers["vary"]
        assert "Location" in made.headers["access-control-expose-headers"].split(", ")


@pytest.mark.parametrize("origins", [[], [OURS]])
@pytest.mark.parametrize("origin", ["https://evil.example", "http://ours.example", "null", "*"])
async def test_a_browser_is_told_nothing_for_other_pages(origins: list[str], origin: str) -> None:
    async with served(origins=origins) as (client, _):
        may = await client.options("/runs", headers=asked(origin))
        assert may.status_code == (403 if origins else 405)
        seen = await client.get("/runs", headers={"Origin": origin})
        for said in (may, seen):
            assert "access-control-allow-origin" not in said.headers


async def test_who_asks_too_often_is_told_when_to_ask_again() -> None:
    limits = Limits(rate=0.001, burst=3)
    async with served(limits=limits) as (client, _):
        statuses = [(await client.get("/job")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        late = await client.get("/job")
        assert int(late.headers["retry-after"]) > 1
        other = {"Authorization": f"Bearer {READER.secret}"}
        assert (await client.get("/job", headers=other)).status_code == 200


async def test_guessing_tokens_is_slowed_down_and_stops_nobody_else() -> None:
    async with served(limits=Limits(refused_rate=0.001)) as (client, _):
        guesses = [
            (await client.get("/job", headers={"Authorization": f"Bearer guess-{n}"})).status_code
            for n in range(3)
        ]
        assert guesses == [401, 429, 429]
        assert (await client.get("/job")).status_code == 200


async def test_a_token_is_made_and_logged_where_none_is_given(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING, "perdure"):
        async with served(token=None, tokens=None) as (client, _):
            assert (await client.get("/job")).status_code == 401
            made = caplog.messages[-1].split(" need the token ")[1].split()[0]
            given = {"Authorization": f"Bearer {made}"}
            assert (await client.get("/job", headers=given)).status_code == 200
    monkeypatch.setenv("PERDURE_TOKEN", "from-the-environment")
    async with served(token="from-the-environment", tokens=None) as (client, job):
        assert (await client.get("/job")).status_code == 200
        async with client_of(perdure.web.app(job, tokens=["plain-text"]), "plain-text") as other:
            assert (await other.get("/job")).json()["token"]["role"] == "operate"


async def test_a_prefix_may_be_cut_off_by_the_proxy_or_not() -> None:
    async with served(prefix="/perdure/") as (client, _):
        made = await client.post("/perdure/runs", json={"key": 1, "value": 1, "wait": True})
        assert (made.status_code, made.headers["location"]) == (201, "/perdure/runs/run:r1")
        for path in ("/perdure/runs/r1", "/runs/r1"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/perdure"}]
        assert (await client.get("/perdurex/runs")).status_code == 404


def test_a_token_file_has_a_line_for_each(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# who may\nann operate 12345678\n\nshop run abcdefgh\n", "utf-8")
    assert [(t.name, t.role) for t in read_token_file(str(path))] == [
        ("ann", Role.OPERATE), ("shop", Role.RUN),
    ]  # fmt: skip
    path.write_text("\ufeffann operate 12345678\r\n", "utf-8")  # as some editors write it
    assert [(t.name, t.secret) for t in read_token_file(str(path))] == [("ann", "12345678")]
    path.write_bytes("anne read 12345678\nrené read 87654321\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"tokens is not UTF-8 at byte 23: save it"):
        read_token_file(str(path))
    path.write_text("only-one-token\n", "utf-8")
    assert read_token_file(str(path))[0].role is Role.OPERATE
    for text, said in (
        ("", "has no token"), ("ann operate", "line 1: write NAME"),
        ("ann rules 12345678", "role 'rules'"),
        ("x\n", "8 or more"), ("ann read 12345678 more", "write NAME"),
    ):  # fmt: skip
        path.write_text(text, "utf-8")
        with pytest.raises(ConfigurationError, match=said):
            read_token_file(str(path))


def test_two_clients_do_not_share_a_token() -> None:
    with pytest.raises(ConfigurationError, match="'ann' and 'bob' have the same"):
        Access([Token("12345678", "ann"), Token("12345678", "bob")])


def test_a_secret_is_not_shown() -> None:
    assert SECRET not in repr(OPERATOR)


def test_without_the_extra_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(perdure.web, "application")
    monkeypatch.delitem(sys.modules, "perdure.web.application")
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(ConfigurationError, match=r"perdure\.web\.app needs the extra `web`"):
        perdure.web.app(None)  # type: ignore[arg-type]
    assert main(["serve", "agent.py:agent"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "perdure: perdure serve needs the extra `web`: pip install 'perdure[web]'"
    )
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--token", "short"], "8 or more"), (["--token", "with a space"], "without spaces"),
        (["--no-token", "--token", "long-enough"], "--no-token goes with neither"),
        (["--token-file", "nowhere"], "nowhere: No such file"),
    ],
)  # fmt: skip
def test_a_token_that_is_none_is_refused_before_anything_is_opened(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "agent.py:agent", *options]) in (1, 2)
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prefix": "no-slash"}, "prefix 'no-slash' is no path"),
        ({"prefix": "/a b"}, "is no path"),
        ({"hosts": ["https://desk.example"]}, "host 'https://desk.example' is no name"),
        ({"hosts": ["desk", ""]}, "host '' is no name"),
        ({"hosts": ["*.desk.example"]}, r"or \* for any"), ({"hosts": ["a b"]}, "is no name"),
        ({"hosts": ["bücher.example"]}, "is no name"), ({"hosts": ["desk:x"]}, "is no name"),
        ({"origins": ["example.org"]}, "https://example.org"), ({"origins": ["*"]}, "write it as"),
        ({"origins": ["https://a.example/page"]}, "write it as"),
        ({"origins": ["https://me@a.example"]}, "write it as"),
        ({"tokens": ["short"]}, "8 or more"),
    ],
)  # fmt: skip
async def test_what_means_nothing_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        async with served(**options):
            pass
    with pytest.raises(ConfigurationError, match="limit rate is 0"):
        Limits(rate=0)
    for odd in (1.5, float("inf")):
        with pytest.raises(ConfigurationError, match=f"limit body_bytes is {odd}: give a whole"):
            Limits(body_bytes=odd)  # type: ignore[arg-type]
    assert type(Limits(body_bytes=16e6).body_bytes) is int  # type: ignore[arg-type]
    assert Limits(drain_seconds=0.5).drain_seconds == 0.5
