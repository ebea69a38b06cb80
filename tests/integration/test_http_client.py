"""HttpClient: one client for all runs of a job; what was answered is not asked again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from perdure import (
    Agent,
    ConfigurationError,
    HttpClient,
    HttpResponse,
    InputEvent,
    LocalEngine,
    OutputEvent,
    ResourceType,
    RetryableError,
    RetryPolicy,
    RunnerContext,
    RunsFailedError,
    TerminalError,
    action,
    http_client,
)
from perdure.integrations.retry_after import seconds_in


class Shop(BaseHTTPRequestHandler):
    """Answers with what it was asked; `/busy` is busy once."""

    protocol_version = "HTTP/1.1"
    asked: list[str]
    ports: set[int]

    def do_GET(self) -> None:
        first = self.path not in self.asked
        self.asked.append(self.path)
        self.ports.add(self.client_address[1])
        if self.path == "/busy" and first:
            self.answer(429, {"error": "busy"}, {"Retry-After": "0"})
        elif self.path.startswith("/missing"):
            self.answer(404, {"error": "there is no such order"})
        elif self.path == "/moved":
            self.answer(302, {}, {"Location": "/orders"})
        else:
            self.answer(200, {"path": self.path, "key": self.headers["X-Key"]})

    def do_POST(self) -> None:
        self.asked.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, {"got": json.loads(body)})

    def answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[tuple[str, type[Shop]]]:
    handler = type("AShop", (Shop,), {"asked": [], "ports": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    thread.join()
    server.server_close()


class Asks(Agent):
    """Asks for each input what it names, with the client called `shop`."""

    def __init__(self, url: str) -> None:
        self.url = url
        client = HttpClient(url, headers={"X-Key": "secret"}, trust_env=False)
        self.add_resource("shop", ResourceType.HTTP_CLIENT, client)

    @action(InputEvent)
    async def ask(self, event: InputEvent, ctx: RunnerContext) -> None:
        client = ctx.get_resource("shop", ResourceType.HTTP_CLIENT)
        calls = ctx.with_options(retry=RetryPolicy(max_attempts=2, initial_interval=0.001))
        answer = await calls.durable_execute_async(client.get, event.input)
        ctx.send_event(OutputEvent(output=(answer.status, answer.json())))


def outputs(agent: Agent, inputs: list[Any], store: str = "memory://") -> list[Any]:
    made = LocalEngine(store).run(agent, inputs, key=str)
    return sorted((output.value for output in made), key=str)


def test_g5_what_was_answered_is_not_asked_again(shop: Any, tmp_path: Any) -> None:
    url, handler = shop
    store = f"sqlite:///{tmp_path}/shop.db"
    answer = (200, {"path": "/orders", "key": "secret"})
    assert outputs(Asks(url), ["/orders"], store) == [answer]
    assert outputs(Asks(url), ["/orders"], store) == [answer]
    assert handler.asked == ["/orders"]
    assert b"X-Key" not in (tmp_path / "shop.db").read_bytes()


def test_what_is_busy_is_asked_again_and_a_redirect_followed(shop: Any) -> None:
    url, handler = shop
    assert outputs(Asks(url), ["/busy", "/moved"]) == [
        (200, {"path": "/busy", "key": "secret"}),
        (200, {"path": "/orders", "key": "secret"}),
    ]
    assert handler.asked.count("/busy") == 2


def test_what_is_refused_is_not_asked_again(shop: Any) -> None:
    url, handler = shop
    with pytest.raises(RunsFailedError, match=r"HTTP 404: .*there is no such order"):
        outputs(Asks(url), ["/missing"])
    assert handler.asked == ["/missing"]


def test_a_connection_that_fails_may_be_made_again() -> None:
    with pytest.raises(RunsFailedError, match=r"RetryableError.*ConnectError"):
        outputs(Asks("http://127.0.0.1:1"), ["/orders"])


def test_all_runs_share_connections(shop: Any) -> None:
    class InTurn(Asks):
        @action(InputEvent)
        async def ask(self, event: InputEvent, ctx: RunnerContext) -> None:
            client = ctx.get_resource("shop", ResourceType.HTTP_CLIENT)
            await ctx.durable_execute_async(client.get, "/orders", {"page": event.input["page"]})

    url, handler = shop
    pages = [{"key": "all", "page": page} for page in range(5)]
    LocalEngine("memory://").run(InTurn(url), pages, key="key")
    assert handler.asked == [f"/orders?page={page}" for page in range(5)]
    assert len(handler.ports) == 1


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[HttpClient]:
    found: list[HttpClient] = []

    class Shop(Agent):
        @http_client
        @staticmethod
        def shop() -> HttpClient:
            return HttpClient(url, trust_env=False, **options)

        @action(InputEvent)
        async def take(self, event: InputEvent, ctx: RunnerContext) -> None:
            found.append(ctx.get_resource("shop", ResourceType.HTTP_CLIENT))

    async with LocalEngine("memory://").open(Shop()) as job:
        await (await job.submit("a", key="a")).outputs()
        yield found[0]


def test_it_posts_json_and_takes_statuses_that_are_answers(shop: Any) -> None:
    async def main() -> None:
        async with opened(shop[0]) as client:
            posted = await client.post("/orders", {"article": "tent"})
            assert (posted.status, posted.json()) == (201, {"got": {"article": "tent"}})
            missing = await client.get("/missing", accept=[404])
            assert missing.status == 404
            with pytest.raises(TerminalError):
                await client.request("GET", "ftp://example")

    asyncio.run(main())


def test_an_answer_that_is_no_json_is_named(shop: Any) -> None:
    with pytest.raises(TerminalError, match=r"HTTP 200: no JSON .*'<html>'"):
        HttpResponse(200, {}, "<html>").json()


def test_a_client_that_no_job_has_opened_says_so() -> None:
    with pytest.raises(ConfigurationError, match="is not open"):
        asyncio.run(HttpClient("http://127.0.0.1:1").get("/"))


def test_retry_after_is_told(shop: Any) -> None:
    async def main() -> None:
        async with opened(shop[0]) as client:
            with pytest.raises(RetryableError) as raised:
                await client.get("/busy")
            assert raised.value.retry_after == 0.0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("1" + "0" * 12, None),
        ("9" * 400, None),
        ("Fri, 31 Dec 1999", None),
        (None, None),
    ],
)
def test_what_nobody_can_wait_for_is_left_to_the_policy(
    said: str | None, seconds: float | None
) -> None:
    assert seconds_in(said) == seconds
