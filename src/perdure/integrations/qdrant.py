"""QdrantVectorStore: documents in Qdrant, on a server or in this process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from perdure.checks import checked_timeout
from perdure.documents.document import Document, document_id, metadata_text, words_of
from perdure.documents.filters import AllOf, AnyOf, Comparison, MetadataFilter, Not
from perdure.documents.ranking import keyword_scores
from perdure.errors import ConfigurationError, RetryableError, TerminalError, missing_extra
from perdure.integrations.retry_after import seconds_of
from perdure.llm.embedding_model import BaseEmbeddingModelSetup
from perdure.llm.vector_store import BaseVectorStore, id_list, read_filters

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient
    from qdrant_client.models import Filter

__all__ = ["QdrantVectorStore", "qdrant_filter"]

_NAMESPACE: Final = uuid.UUID("5f0c7a52-9d3e-4f0b-8a76-9d0f3e6b2c41")  # of the ids of points
_PAGE: Final = 256
_RANGES: Final = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_RETRYABLE_STATUSES: Final = frozenset((408, 425, 429))


class QdrantVectorStore(BaseVectorStore):
    """Documents in collections of Qdrant (extra `qdrant`).

    A collection is made when the first document is added, for embeddings of its length. All
    documents have embeddings. Scores are cosine similarity; Qdrant keeps embeddings at length 1.
    By keywords it finds the documents that have any of the words, and ranks the first
    `keyword_candidates` of them here, by BM25. In filters `$gt` and the like compare numbers only.

    Owns: the client, while open.

    Args:
        url: Of a server, such as `http://localhost:6333`; or ":memory:".
        path: A folder instead: Qdrant's local mode, for tests and small data; it blocks the loop.
        embedding_model: Name of the embedding model, or the model.
        collection: The collection that is used where none is named.
        api_key: The server's.
        timeout: Seconds of one request, at most.
        keyword_candidates: Documents that a keyword search ranks, at most.
    """

    __journal_name__ = "perdure:QdrantVectorStore"

    def __init__(
        self,
        url: str | None = None,
        *,
        path: str | None = None,
        embedding_model: str | BaseEmbeddingModelSetup | None = None,
        collection: str | None = None,
        api_key: str | None = None,
        timeout: int = 30,
        keyword_candidates: int = 1000,
    ) -> None:
        super().__init__(embedding_model=embedding_model, collection=collection)
        if (url is None) == (path is None):
            raise ConfigurationError("QdrantVectorStore has either url= or path=")
        self.is_local = path is not None or url == ":memory:"
        self.url = url
        self.path = path
        seconds = checked_timeout(timeout)
        self.timeout = None if seconds is None else math.ceil(seconds)  # it takes whole ones
        self.keyword_candidates = keyword_candidates
        self._api_key = api_key
        self._client: AsyncQdrantClient | None = None
        self._known: set[str] = set()  # collections that are there
        self._making: asyncio.Lock | None = None

    async def open(self) -> None:
        super().open()
        self._known.clear()
        self._making = asyncio.Lock()
        self._client = await asyncio.to_thread(self._make_client)

    def _make_client(self) -> AsyncQdrantClient:
        try:
            from qdrant_client import AsyncQdrantClient
        except ImportError as error:
            raise missing_extra("QdrantVectorStore", "qdrant", error) from error
        if self.path is not None:
            return AsyncQdrantClient(path=self.path)
        if self.is_local:
            return AsyncQdrantClient(location=self.url)
        return AsyncQdrantClient(
            url=self.url, api_key=self._api_key, timeout=self.timeout, check_compatibility=False
        )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

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
        collection = self.collection_of(collection_name)
        parsed = read_filters(filters)
        wanted = id_list(ids)
        async with self._asking() as client:
            if not await self._is_there(client, collection):
                return []
            if wanted is None:
                asked = None if parsed is None else qdrant_filter(parsed)
                return await self._scroll(client, collection, asked, limit, embeddings)
            points = await client.retrieve(
                collection, [_point_id(id_) for id_ in wanted], with_vectors=embeddings
            )
        by_id = {document.id: document for document in map(_document, points)}
        got = [by_id[id_] for id_ in wanted if id_ in by_id]
        return [each for each in got if parsed is None or parsed.matches(each.metadata)]

    async def _scroll(
        self,
        client: AsyncQdrantClient,
        collection: str,
        asked: Filter | None,
        limit: int | None,
        embeddings: bool = False,
    ) -> list[Document]:
        found: list[Document] = []
        offset: Any = None
        while limit is None or len(found) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            points, offset = await client.scroll(
                collection, asked, limit=size, offset=offset, with_vectors=embeddings
            )
            found += map(_document, points)
            if offset is None:
                break
        return found

    async def delete(
        self,
        ids: str | Sequence[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        collection = self.collection_of(collection_name)
        parsed = read_filters(filters)
        wanted = id_list(ids)
        async with self._asking() as client:
            if not await self._is_there(client, collection):
                return
            from qdrant_client.models import Filter, FilterSelector, HasIdCondition

            must: list[Any] = []
            if wanted is not None:
                must.append(HasIdCondition(has_id=[_point_id(id_) for id_ in wanted]))
            if parsed is not None:
                must.append(qdrant_filter(parsed))
            await client.delete(collection, FilterSelector(filter=Filter(must=must)), wait=True)

    async def size(self, collection_name: str | None = None) -> int:
        collection = self.collection_of(collection_name)
        async with self._asking() as client:
            if not await self._is_there(client, collection):
                return 0
            return (await client.count(collection, exact=True)).count

    async def _add_embedding(
        self, documents: list[Document], collection_name: str, **kwargs: Any
    ) -> list[str]:
        from qdrant_client.models import PointStruct

        points, length = [], 0
        for document in documents:
            if document.embedding is None:
                raise ConfigurationError(
                    f"vector store {self.name!r}: Qdrant keeps no document without embedding: give"
                    " the store embedding_model="
                )
            length = length or len(document.embedding)
            if len(document.embedding) != length:
                raise TerminalError(
                    f"vector store {self.name!r}: embeddings of {length} and of"
                    f" {len(document.embedding)} numbers in one collection"
                )
            metadata_text(document.metadata)
            id_ = document_id(document)
            payload = {
                "id": id_,
                "content": document.content,
                "metadata": document.metadata,
                "fields": list(document.metadata),  # Qdrant does not tell null and missing apart
            }
            points.append(
                PointStruct(id=_point_id(id_), vector=document.embedding, payload=payload)
            )
        async with self._asking() as client:
            await self._make_collection(client, collection_name, length)
            await client.upsert(collection_name, points, wait=True)
        return [point.payload["id"] for point in points if point.payload]

    async def _query_embedding(
        self,
        embedding: list[float],
        limit: int,
        collection_name: str,
        filters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> list[Document]:
        parsed = read_filters(filters)
        async with self._asking() as client:
            if not await self._is_there(client, collection_name):
                return []
            found = await client.query_points(
                collection_name,
                query=embedding,
                limit=limit,
                query_filter=None if parsed is None else qdrant_filter(parsed),
            )
        return [
            dataclasses.replace(_document(point), score=float(point.score))
            for point in found.points
        ]

    async def _query_keyword(
        self,
        text: str,
        limit: int,
        collection_name: str,
        filters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> list[Document]:
        words = list(dict.fromkeys(words_of(text)))
        parsed = read_filters(filters)
        async with self._asking() as client:
            if not words or not await self._is_there(client, collection_name):
                return []
            from qdrant_client.models import FieldCondition, Filter, MatchText

            having = [FieldCondition(key="content", match=MatchText(text=word)) for word in words]
            asked = Filter(
                should=list(having), must=None if parsed is None else [qdrant_filter(parsed)]
            )
            found = await self._scroll(client, collection_name, asked, self.keyword_candidates)
        scores = keyword_scores(text, [document.content for document in found])
        for document, score in zip(found, scores, strict=True):
            document.score = score
        fitting = [document for document in found if document.score]
        return sorted(fitting, key=lambda document: -(document.score or 0))[:limit]

    async def _is_there(self, client: AsyncQdrantClient, collection: str) -> bool:
        if collection not in self._known and await client.collection_exists(collection):
            self._known.add(collection)
        return collection in self._known

    async def _make_collection(
        self, client: AsyncQdrantClient, collection: str, length: int
    ) -> None:
        assert self._making is not None
        async with self._making:
            if await self._is_there(client, collection):
                return
            from qdrant_client.http.exceptions import UnexpectedResponse
            from qdrant_client.models import (
                Distance,
                TextIndexParams,
                TextIndexType,
                TokenizerType,
                VectorParams,
            )

            try:
                await client.create_collection(
                    collection, VectorParams(size=length, distance=Distance.COSINE)
                )
            except UnexpectedResponse as error:
                if error.status_code != 409:  # made by another process just now
                    raise
            if not self.is_local:
                words = TextIndexParams(
                    type=TextIndexType.TEXT, tokenizer=TokenizerType.WORD, lowercase=True
                )
                await client.create_payload_index(collection, "content", words)
            self._known.add(collection)

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[AsyncQdrantClient]:
        """Give the client; its errors say what they mean.

        Raises:
            RetryableError: The server cannot be reached, or is busy.
            TerminalError: It refuses what was asked.
        """
        if self._client is None:
            raise ConfigurationError(
                f"the vector store {self.name!r} is not open: declare it on the agent or the engine"
            )
        from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        where = f"vector store {self.name!r}"
        try:
            yield self._client
        except ResourceExhaustedResponse as error:
            after = seconds_of(error.retry_after_s)
            raise RetryableError(f"{where}: {error}", retry_after=after) from error
        except ResponseHandlingException as error:
            raise RetryableError(f"{where}: {error.source}") from error
        except UnexpectedResponse as error:
            said = f"{where}: HTTP {error.status_code} {error.content.decode(errors='replace')}"
            status = error.status_code or 500
            if status >= 500 or status in _RETRYABLE_STATUSES:
                raise RetryableError(said) from error
            raise TerminalError(said) from error
        except ConfigurationError:
            raise
        except ValueError as error:  # of the local mode
            raise TerminalError(f"{where}: {error}") from error


def qdrant_filter(filters: MetadataFilter) -> Filter:
    """Return a filter as Qdrant's, over the payloads that QdrantVectorStore writes.

    Raises:
        ConfigurationError: It orders texts, or a field has `"` in its name.
    """
    from qdrant_client.models import Filter

    if isinstance(filters, Not):
        return Filter(must_not=[qdrant_filter(filters.part)])
    if isinstance(filters, Comparison):
        if filters.operator == "$in":
            if not filters.value:
                return Filter(must_not=[Filter(must=[])])
            return Filter(should=[_is(filters.field, value) for value in filters.value])
        return Filter(must=[_condition(filters)])
    parts: list[Any] = [qdrant_filter(part) for part in filters.parts]
    if isinstance(filters, AllOf):
        return Filter(must=parts)
    assert isinstance(filters, AnyOf)
    return Filter(should=parts)


def _condition(asked: Comparison) -> Any:
    from qdrant_client.models import FieldCondition, Filter, MatchValue, Range

    if asked.operator == "$exists":
        has = FieldCondition(key="fields", match=MatchValue(value=asked.field))
        return has if asked.value else Filter(must_not=[has])
    if asked.operator == "$eq":
        return _is(asked.field, asked.value)
    if isinstance(asked.value, str):
        raise ConfigurationError(
            f"metadata filter on {asked.field!r}: in Qdrant {asked.operator} compares numbers only;"
            " keep a number beside the text"
        )
    bound = Range(**{_RANGES[asked.operator]: asked.value})
    return FieldCondition(key=_key(asked.field), range=bound)


def _is(field: str, value: Any) -> Any:
    from qdrant_client.models import (
        FieldCondition,
        IsNullCondition,
        MatchValue,
        PayloadField,
        Range,
    )

    key = _key(field)
    if value is None:
        return IsNullCondition(is_null=PayloadField(key=key))
    if isinstance(value, str | bool):
        return FieldCondition(key=key, match=MatchValue(value=value))
    return FieldCondition(key=key, range=Range(gte=value, lte=value))  # 1 and 1.0 alike


def _key(field: str) -> str:
    if '"' in field or "\\" in field:
        raise ConfigurationError(f"metadata filter: Qdrant takes no field of the name {field!r}")
    return f'metadata."{field}"'


def _point_id(id_: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, id_))


def _document(point: Any) -> Document:
    payload = point.payload or {}
    return Document(
        content=payload.get("content", ""),
        metadata=payload.get("metadata") or {},
        id=payload.get("id"),
        embedding=list(point.vector) if isinstance(point.vector, list) else None,
    )
