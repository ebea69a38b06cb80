"""QdrantVectorStore in Qdrant's local mode, and what it says when a server is away."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.unit.test_document import FILTERS, METADATA
from tests.vector_stores import on_loop, opened

from perdure.documents.document import Document, VectorStoreQuery
from perdure.documents.filters import parse_filters
from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.integrations.qdrant import QdrantVectorStore, qdrant_filter
from perdure.llm.embedding_model import BaseEmbeddingModelSetup
from perdure.llm.vector_store import BaseVectorStore
from perdure.testing.vector_store_contract import FRUIT, VectorStoreContract, WordEmbeddings


class TestQdrantVectorStore(VectorStoreContract):
    without_embeddings = False

    @asynccontextmanager
    async def opened(
        self, embedding_model: BaseEmbeddingModelSetup | None
    ) -> AsyncIterator[BaseVectorStore]:
        async with opened(QdrantVectorStore(":memory:", embedding_model=embedding_model)) as store:
            yield store


def words() -> BaseEmbeddingModelSetup:
    return BaseEmbeddingModelSetup(WordEmbeddings(), "words")


# The client leaves a connection of its own to the collector, which Python 3.13 warns of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@on_loop
async def test_a_folder_keeps_documents(tmp_path: Path) -> None:
    for _ in range(2):
        store = QdrantVectorStore(path=str(tmp_path / "q"), embedding_model=words())
        async with opened(store):
            await store.add(list(FRUIT.values()))
            assert await store.size() == 5
            assert (await store.query("banana")).documents[0].id == "b"
    gc.collect()  # here, and not in another test


@on_loop
async def test_many_documents_are_got_page_by_page() -> None:
    async with opened(QdrantVectorStore(":memory:")) as store:
        many = [Document(f"text {n}", {"n": n}, str(n), embedding=[1.0, n]) for n in range(600)]
        await store.add(many)
        assert len(await store.get(limit=None)) == 600
        assert len(await store.get(limit=300)) == 300
        assert len(await store.get(filters={"n": {"$gte": 10}}, limit=None)) == 590


@on_loop
async def test_what_qdrant_cannot_do_is_said() -> None:
    async with opened(QdrantVectorStore(":memory:", embedding_model=words())) as store:
        await store.add(FRUIT["a"])
        with pytest.raises(ConfigurationError, match=r"on 'kind': in Qdrant \$gt compares numbers"):
            await store.get(filters={"kind": {"$gt": "p"}})
        with pytest.raises(ConfigurationError, match="takes no field of the name"):
            await store.query(VectorStoreQuery("apple", filters={'a"b': 1}))
        mixed = [Document("a", {}, "1", [1.0]), Document("b", {}, "2", [1.0, 2.0])]
        with pytest.raises(TerminalError, match="embeddings of 1 and of 2 numbers"):
            await store.add(mixed)
    with pytest.raises(ConfigurationError, match="is not open"):
        await store.size()
    for both in ({}, {"url": "http://x", "path": "y"}):
        with pytest.raises(ConfigurationError, match="either url= or path="):
            QdrantVectorStore(**both)


class _Server(BaseHTTPRequestHandler):
    answers: list[tuple[int, dict[str, str]]]

    def do_GET(self) -> None:
        status, headers = self.answers.pop(0)
        body = json.dumps({"status": {"error": "so it is"}, "time": 0}).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def test_failures_of_a_server_say_what_to_do() -> None:
    _Server.answers = [(429, {"Retry-After": "7"}), (503, {}), (403, {})]
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"

        async def body() -> None:
            async with opened(QdrantVectorStore(url)) as store:
                with pytest.raises(RetryableError) as busy:
                    await store.size()
                assert busy.value.retry_after == 7
                with pytest.raises(RetryableError, match="HTTP 503"):
                    await store.size()
                with pytest.raises(TerminalError, match=r"HTTP 403.*so it is"):
                    await store.size()
                server.shutdown()
                server.server_close()
                with pytest.raises(RetryableError, match="vector store ''"):
                    await store.size()

        asyncio.run(body())


def test_filters_mean_in_qdrant_what_they_match() -> None:
    """For any filter that Qdrant takes, and any metadata."""
    from qdrant_client.local.payload_filters import check_filter

    @settings(max_examples=500, suppress_health_check=list(HealthCheck), deadline=None)
    @given(FILTERS, METADATA)
    def agree(filters: dict[str, Any], metadata: dict[str, Any]) -> None:
        parsed = parse_filters(filters)
        if parsed is None:
            return
        payload = {"metadata": metadata, "fields": list(metadata)}
        try:
            asked = qdrant_filter(parsed)
        except ConfigurationError as error:
            assert "compares numbers only" in str(error)  # noqa: PT017  # one of two ways
            return
        assert check_filter(asked, payload, 1, {}) is parsed.matches(metadata)

    agree()
