"""PgVectorStore: documents in PostgreSQL, with the extension pgvector."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, Literal

from perdure.checks import checked_timeout
from perdure.documents.document import Document, document_id, metadata_text, words_of
from perdure.documents.filters import AllOf, AnyOf, Comparison, MetadataFilter, Not
from perdure.errors import ConfigurationError, RetryableError, TerminalError, missing_extra
from perdure.llm.embedding_model import BaseEmbeddingModelSetup
from perdure.llm.vector_store import BaseVectorStore, id_list, read_filters

__all__ = ["PgVectorStore", "sql_of"]

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_LOCK: Final = 0x70657264  # of the advisory lock that makes tables one process at a time
_WIDE: Final = 40  # hnsw.ef_search of pgvector itself
# Connection, rollback (deadlock, serialization), resources, operator's intervention, I/O.
_PASSING_CLASSES: Final = ("08", "40", "53", "55", "57", "58")
_OPERATORS: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class PgVectorStore(BaseVectorStore):
    """Documents in one table of a PostgreSQL database (extra `pgvector`).

    The table is made on first use where it is not there, and with it the extension `vector`. Scores
    are cosine similarity, or the rank of PostgreSQL's text search. Search is exact unless there is
    an index.

    Owns: a pool of connections, while open.

    Args:
        dsn: Such as `postgresql://user@host/database`; None: the `PG*` environment variables.
        embedding_model: Name of the embedding model, or the model.
        collection: The collection that is used where none is named.
        table: Name of the table: lower case letters, digits and `_`.
        dimensions: Length of the embeddings; the table takes no others. Needed for an index.
        index: "hnsw" for an approximate index, which large collections need; None: exact search.
        text_search: PostgreSQL's text search configuration: "simple" finds the words as they are,
            "english" their stems too.
        max_connections: Connections of the pool, at most.
        command_timeout: Seconds that the server may take for one statement.
    """

    __journal_name__ = "perdure:PgVectorStore"

    def __init__(
        self,
        dsn: str | None = None,
        *,
        embedding_model: str | BaseEmbeddingModelSetup | None = None,
        collection: str | None = None,
        table: str = "perdure_documents",
        dimensions: int | None = None,
        index: Literal["hnsw"] | None = None,
        text_search: str = "simple",
        max_connections: int = 8,
        command_timeout: float = 30.0,
    ) -> None:
        super().__init__(embedding_model=embedding_model, collection=collection)
        for what, name in (("table", table), ("text_search", text_search)):
            if not _NAME.fullmatch(name):
                raise ConfigurationError(f"PgVectorStore: {what}={name!r} is no plain name")
        if index is not None and (index != "hnsw" or dimensions is None):
            raise ConfigurationError("PgVectorStore: index is 'hnsw', and needs dimensions=")
        self.dsn = dsn
        self.table = table
        self.dimensions = dimensions
        self.index = index
        self.text_search = text_search
        self.max_connections = max_connections
        self.command_timeout = checked_timeout(command_timeout, "command_timeout=")
        self._pool: Any = None
        self._made: asyncio.Lock | None = None
        self._is_made = False

    async def open(self) -> None:
        super().open()
        pg = await asyncio.to_thread(_load)
        # No connection yet: a database that is down is for the retries of the calls.
        self._pool = await pg.create_pool(
            self.dsn,
            min_size=0,
            max_size=self.max_connections,
            command_timeout=self.command_timeout,
            server_settings={"application_name": "perdure"},
        )
        self._made, self._is_made = asyncio.Lock(), False

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def get(
        self,
        ids: str | Sequence[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        limit: int | None = 100,
        *,
        embeddings: bool = False,
        **kwargs: Any,
    ) -> list[Document]:
        where = _Where(self.collection_of(collection_name), filters, id_list(ids))
        what = "embedding::text" if embeddings else "NULL"
        order = "number"
        if ids is not None:
            order, limit = f"array_position({where.ids}, id)", None
        sql = self._sql(
            "SELECT id, content, metadata::text, {what}, NULL FROM {table}"
            " WHERE {where} ORDER BY {order} LIMIT {limit}::bigint",
            what=what,
            where=where,
            order=order,
            limit=where.value(limit),
        )
        return await self._select(sql, where.values)

    async def delete(
        self,
        ids: str | Sequence[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        where = _Where(self.collection_of(collection_name), filters, id_list(ids))
        async with self._connection() as connection:
            await connection.execute(
                self._sql("DELETE FROM {table} WHERE {where}", where=where), *where.values
            )

    async def size(self, collection_name: str | None = None) -> int:
        where = _Where(self.collection_of(collection_name))
        async with self._connection() as connection:
            found = await connection.fetchval(
                self._sql("SELECT count(*) FROM {table} WHERE {where}", where=where),
                *where.values,
            )
        return int(found)

    async def _add_embedding(
        self, documents: list[Document], collection_name: str, **kwargs: Any
    ) -> list[str]:
        rows = [
            (
                collection_name,
                document_id(document),
                document.content,
                metadata_text(document.metadata),
                None if document.embedding is None else _vector(document.embedding),
            )
            for document in documents
        ]
        sql = self._sql(
            "INSERT INTO {table} (collection, id, content, metadata, embedding)"
            " VALUES ($1, $2, $3, $4::text::jsonb, $5::text::vector)"
            " ON CONFLICT (collection, id) DO UPDATE SET content = excluded.content,"
            " metadata = excluded.metadata, embedding = excluded.embedding"
        )
        async with self._connection() as connection, connection.transaction():
            await connection.executemany(sql, rows)
        return [row[1] for row in rows]

    async def _query_embedding(
        self,
        embedding: list[float],
        limit: int,
        collection_name: str,
        filters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> list[Document]:
        where = _Where(collection_name, filters)
        distance = f"embedding <=> {where.value(_vector(embedding))}::text::vector"
        sql = self._sql(
            "SELECT id, content, metadata::text, NULL, 1 - ({distance}) FROM {table}"
            " WHERE {where} AND embedding IS NOT NULL ORDER BY {distance} LIMIT {limit}::bigint",
            distance=distance,
            where=where,
            limit=where.value(limit),
        )
        return await self._select(sql, where.values, wide=limit)

    async def _query_keyword(
        self,
        text: str,
        limit: int,
        collection_name: str,
        filters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> list[Document]:
        # Words hold no quotes, so none of them is an operator.
        asked = " | ".join(f"'{word}'" for word in dict.fromkeys(words_of(text)))
        if not asked:
            return []
        where = _Where(collection_name, filters)
        query = f"to_tsquery('{self.text_search}', {where.value(asked)}::text)"
        sql = self._sql(
            "SELECT id, content, metadata::text, NULL, ts_rank(words, {query}, 1) AS score"
            " FROM {table} WHERE {where} AND words @@ {query}"
            " ORDER BY score DESC, number LIMIT {limit}::bigint",
            query=query,
            where=where,
            limit=where.value(limit),
        )
        return await self._select(sql, where.values)

    def _sql(self, template: str, **parts: Any) -> str:
        """Return a statement; its parts are names that were checked and places of values."""
        return template.format(table=self.table, **parts)

    async def _select(self, sql: str, values: Sequence[Any], *, wide: int = 0) -> list[Document]:
        async with self._connection() as connection:
            if not (self.index and wide):
                rows = await connection.fetch(sql, *values)
            else:
                async with connection.transaction(readonly=True):
                    # Else the index gives up after the nearest 40, before filters have seen more.
                    await connection.execute(
                        f"SET LOCAL hnsw.ef_search = {min(1000, max(_WIDE, wide))};"
                        " SET LOCAL hnsw.iterative_scan = strict_order"
                    )
                    rows = await connection.fetch(sql, *values)
        return [_document(*row) for row in rows]

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """Give a connection to a database that has the table; its errors say what they mean.

        Raises:
            RetryableError: It cannot be reached, or is busy.
            TerminalError: It refuses what was asked.
            ConfigurationError: The dsn is none.
        """
        pool = self._pool
        if pool is None:
            raise ConfigurationError(
                f"the vector store {self.name!r} is not open: declare it on the agent or the engine"
            )
        pg = _load()
        try:
            async with pool.acquire() as connection:
                await self._make_table(connection)
                yield connection
        except pg.PostgresError as error:
            said = f"vector store {self.name!r}: {type(error).__name__}: {error}"
            if (error.sqlstate or "")[:2] in _PASSING_CLASSES:
                raise RetryableError(said) from error
            raise TerminalError(said) from error
        except pg.exceptions.ClientConfigurationError as error:
            raise ConfigurationError(
                f"vector store {self.name!r}: the dsn cannot be used: {error}"
            ) from error
        except (pg.InterfaceError, pg.InternalClientError, OSError) as error:
            # TimeoutError is an OSError. A connection that is cut at the wrong moment can confuse
            # the client's state; none that is open now is used again.
            if isinstance(error, pg.InternalClientError):
                await pool.expire_connections()
            raise RetryableError(
                f"vector store {self.name!r}: {type(error).__name__}: {error}"
            ) from error

    async def _make_table(self, connection: Any) -> None:
        if self._is_made or self._made is None:
            return
        length = "" if self.dimensions is None else f"({self.dimensions:d})"
        async with self._made, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self.table} ("
                " number bigint GENERATED ALWAYS AS IDENTITY, collection text NOT NULL,"
                " id text NOT NULL, content text NOT NULL, metadata jsonb NOT NULL,"
                f" embedding vector{length}, words tsvector GENERATED ALWAYS AS"
                f" (to_tsvector('{self.text_search}', content)) STORED,"
                " PRIMARY KEY (collection, id))"
            )
            await connection.execute(
                f"CREATE INDEX IF NOT EXISTS {self.table}_words ON {self.table} USING gin (words)"
            )
            if self.index:
                await connection.execute(
                    f"CREATE INDEX IF NOT EXISTS {self.table}_nearest ON {self.table}"
                    " USING hnsw (embedding vector_cosine_ops)"
                )
        self._is_made = True


class _Where:
    """A WHERE clause and the values it is bound to."""

    def __init__(
        self,
        collection: str,
        filters: dict[str, Any] | None = None,
        ids: list[str] | None = None,
    ) -> None:
        self.values: list[Any] = []
        parts = [f"collection = {self.value(collection)}"]
        self.ids = ""
        if ids is not None:
            self.ids = f"{self.value(ids)}::text[]"
            parts.append(f"id = ANY({self.ids})")
        parsed = read_filters(filters)
        if parsed is not None:
            parts.append(sql_of(parsed, self.values))
        self._text = " AND ".join(parts)

    def value(self, value: Any) -> str:
        """Bind a value; return its place."""
        self.values.append(value)
        return f"${len(self.values)}"

    def __str__(self) -> str:
        return self._text


def sql_of(filters: MetadataFilter, values: list[Any], column: str = "metadata") -> str:
    """Return a filter as an SQL condition over a jsonb column; it is never NULL.

    Args:
        filters: The filter.
        values: What is bound to `$1` and so on; what the condition needs is appended.
        column: The column.
    """
    if isinstance(filters, Not):
        return f"NOT {sql_of(filters.part, values, column)}"
    if isinstance(filters, Comparison):
        return _comparison(filters, values, column)
    parts = [sql_of(part, values, column) for part in filters.parts]
    if isinstance(filters, AllOf):
        return f"({' AND '.join(parts)})" if parts else "true"
    assert isinstance(filters, AnyOf)
    return f"({' OR '.join(parts)})"


def _comparison(asked: Comparison, values: list[Any], column: str) -> str:
    values.append(asked.field)
    field = f"${len(values)}::text"
    if asked.operator == "$exists":
        return f"({column} ? {field})" if asked.value else f"(NOT {column} ? {field})"
    found = f"{column} -> {field}"
    if asked.operator == "$in":
        values.append([json.dumps(value) for value in asked.value])
        # `@>` is equality, and being an element where the left is a list.
        return f"coalesce(({found}) @> ANY(${len(values)}::text[]::jsonb[]), false)"
    values.append(json.dumps(asked.value))
    wanted = f"${len(values)}::text::jsonb"
    if asked.operator == "$eq":
        return f"coalesce(({found}) @> {wanted}, false)"
    path = f"'$[*] ? (@ {_OPERATORS[asked.operator]} $v)'"
    return f"coalesce(jsonb_path_exists({found}, {path}, jsonb_build_object('v', {wanted})), false)"


def _document(
    id_: str, content: str, metadata: str, embedding: str | None, score: float | None
) -> Document:
    if score is not None and math.isnan(score):
        score = 0.0  # of an embedding that is all zeros
    return Document(
        content=content,
        metadata=json.loads(metadata),
        id=id_,
        embedding=None if embedding is None else json.loads(embedding),
        score=score,
    )


def _vector(embedding: Iterable[float]) -> str:
    return json.dumps([float(number) for number in embedding])


def _load() -> Any:
    try:
        import asyncpg  # type: ignore[import-untyped]
    except ImportError as error:
        raise missing_extra("PgVectorStore", "pgvector", error) from error
    return asyncpg
