"""EmbeddingConnection: providers' embedding models, asked over HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from tests.vector_stores import on_loop, opened

from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.integrations.embeddings import EmbeddingConnection
from perdure.llm.embedding_model import EmbeddingModel


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible service: the embedding of a text is its length.

    Attributes:
        asked: the requests' bodies, paths and keys.
        answers: status, headers and body of the next answers; those of a service that is well else.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Authorization"]
        self.server.asked.append({**body, "path": self.path, "key": key})
        if self.server.answers:
            status, headers, answer = self.server.answers.pop(0)
        else:
            data = [
                {"object": "embedding", "index": n, "embedding": [float(len(text)), 0.5]}
                for n, text in enumerate(body["input"])
            ]
            status, headers = 200, {}
            answer = {"object": "list", "data": data, "model": body["model"]}
        data_ = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data_)))
        self.end_headers()
        self.wfile.write(data_)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("provider", ["openai", "openai-compatible", "ollama"])
def test_texts_are_embedded(server: Server, provider: str) -> None:
    async def body() -> None:
        model = EmbeddingModel(
            f"{provider}:some-model", base_url=server.url, api_key="secret", dimensions=2,
            batch_size=2,
        )  # fmt: skip
        for _ in range(2):  # it may be opened again
            async with opened(model):
                assert await model.embed(["a", "bb", "ccc"]) == [[1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]
                assert await model.embed("four", kind="query") == [4.0, 0.5]

    asyncio.run(body())
    assert [asked["input"] for asked in server.asked[:3]] == [["a", "bb"], ["ccc"], ["four"]]
    for asked in server.asked:
        assert (asked["path"], asked["key"]) == ("/v1/embeddings", "Bearer secret")
        assert (asked["model"], asked["dimensions"]) == ("some-model", 2)


def test_a_setting_that_no_model_knows_is_named(server: Server) -> None:
    async def body() -> None:
        async with opened(EmbeddingModel("openai:m", base_url=server.url, dimension=3)) as model:
            with pytest.raises(ConfigurationError, match=r"dimension= is no .*mean dimensions"):
                await model.embed("x")

    asyncio.run(body())
    assert server.asked == []


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "code": None, **more}}


def test_failures_say_what_to_do(server: Server) -> None:
    server.answers = [
        (429, {"Retry-After": "11"}, error("slow down")),
        (503, {}, error("later")),
        (429, {}, error("pay first", code="insufficient_quota")),
        (401, {}, error("who are you?")),
        (400, {}, error("too long")),
    ]

    async def body() -> None:
        model = EmbeddingModel("openai:m", base_url=server.url, api_key="k")
        async with opened(model):
            with pytest.raises(RetryableError, match="openai:m: HTTP 429: slow down") as busy:
                await model.embed("x")
            assert busy.value.retry_after == 11
            with pytest.raises(RetryableError, match="later"):
                await model.embed("x")
            for why in ("pay first", r"who are you\?", "too long"):
                with pytest.raises(TerminalError, match=why):
                    await model.embed("x")
            assert len(server.asked) == 5, "retries are perdure's, not the SDK's"
            server.shutdown()
            server.server_close()
            with pytest.raises(RetryableError, match="openai:m"):
                await model.embed("x")

    asyncio.run(body())


@pytest.mark.parametrize(
    "answer",
    [None, "<html>", {}, {"data": []}, {"data": None}, {"data": [{"embedding": None}]},
     {"data": [{"embedding": [None, 0.5]}]}],
    ids=str,
)  # fmt: skip
@on_loop
async def test_an_answer_that_cannot_be_read_is_retryable(server: Server, answer: Any) -> None:
    kind = "text/html" if answer == "<html>" else "application/json"
    server.answers.append((200, {"Content-Type": kind}, answer))
    model = EmbeddingModel("openai-compatible:e", base_url=server.url, api_key="k")
    async with opened(model):
        with pytest.raises(RetryableError, match=r"^openai-compatible:e: the answer cannot be"):
            await model.embed("one")


@on_loop
async def test_a_connection_is_shared_by_setups_and_must_be_open() -> None:
    connection = EmbeddingConnection("openai", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ConfigurationError, match="embedding connection 'openai' is not open"):
        await connection.embed(["x"], model="m")


def refused(monkeypatch: pytest.MonkeyPatch, model: EmbeddingModel) -> str:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    async def body() -> None:
        async with opened(model):
            pass

    with pytest.raises(ConfigurationError) as refusal:
        asyncio.run(body())
    return str(refusal.value)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, EmbeddingModel("openai:text-embedding-3-small"))
    assert said == (
        "the embedding provider 'openai' has no API key: set OPENAI_API_KEY or pass api_key="
    )
    assert "no-such" in refused(monkeypatch, EmbeddingModel("no-such:model"))
    assert "'openai-compatible' cannot be used" in refused(
        monkeypatch, EmbeddingModel("openai-compatible:m")
    )
    odd = EmbeddingConnection("openai", api_key="k", colour="red")
    with pytest.raises(ConfigurationError, match="'openai' cannot be used: it takes no colour="):
        asyncio.run(odd.open())
    monkeypatch.setitem(sys.modules, "pydantic_ai.embeddings.openai", None)
    assert "pip install 'perdure[llm]'" in refused(monkeypatch, EmbeddingModel("openai:m"))


@pytest.mark.parametrize("provider", ["openai", "openai-compatible", "ollama"])
def test_a_base_url_that_is_no_address_is_refused_when_it_is_opened(provider: str) -> None:
    for wrong in ("localhost:8000/v1", "ftp://host", "http://", "http://[x"):
        connection = EmbeddingConnection(provider, base_url=wrong, api_key="k")
        with pytest.raises(ConfigurationError) as caught:
            asyncio.run(connection.open())
        said = f"the embedding provider {provider!r}: base_url={wrong!r} is no address of a server:"
        assert str(caught.value).startswith(said)
