"""Vector stores, as resources: documents with their embeddings, kept and found again.

The methods that take time are coroutine functions: call them in durable calls.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, ClassVar, Final, cast

from perdure.documents.document import (
    Document,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
    document_id,
    metadata_text,
)
from perdure.documents.filters import MetadataFilter, parse_filters
from perdure.documents.index import DocumentIndex
from perdure.documents.ranking import FUSION_DEPTH, reciprocal_rank_fusion
from perdure.errors import ConfigurationError, TerminalError
from perdure.llm.embedding_model import BaseEmbeddingModelSetup, resolved_resource
from perdure.llm.sendable import sendable
from perdure.printable import unstorable
from perdure.resource import Resource, ResourceType

__all__ = ["BaseVectorStore", "VectorStore", "id_list", "read_filters"]

DEFAULT_COLLECTION: Final = "default"


class BaseVectorStore(Resource, abc.ABC):
    """Documents with their embeddings, in collections.

    What a filter is: `perdure.documents.filters.parse_filters`. Adding is writing by id, and the
    id of a document without one is made from its content and metadata, so a call that is repeated
    after a crash changes nothing. Half of a character (a lone surrogate) in a text, its metadata, a
    query or a filter is U+FFFD; an id or the name of a collection with one is refused.

    A subclass implements `get`, `delete`, `size`, `_add_embedding`, `_query_embedding`, and
    `_query_keyword` if it can.

    Attributes:
        embedding_model: Name of the embedding model, or the model; None: documents bring their
            embeddings, and are found by keywords alone.
        collection: The collection that is used where none is named.
        cheap_collections: Whether a collection costs no more than its documents, so that there may
            be one for each key.
    """

    __journal_name__ = "perdure:BaseVectorStore"

    RESOURCE_TYPE: ClassVar = ResourceType.VECTOR_STORE

    cheap_collections: ClassVar[bool] = False

    def __init__(
        self,
        *,
        embedding_model: str | BaseEmbeddingModelSetup | None = None,
        collection: str | None = None,
    ) -> None:
        self.embedding_model = embedding_model
        self.collection = collection
        self._embedding_model: BaseEmbeddingModelSetup | None = None

    @property
    def store_kwargs(self) -> dict[str, Any]:
        """Arguments that every operation is given; those of a call go before them."""
        return {}

    def parts(self) -> Iterable[Resource]:
        model = self.embedding_model
        return () if model is None or isinstance(model, str) else (model,)

    def open(self) -> Awaitable[None] | None:
        if self.embedding_model is not None:
            self._embedding_model = resolved_resource(
                self, self.embedding_model, BaseEmbeddingModelSetup, ResourceType.EMBEDDING_MODEL
            )
        return None

    def journaled_types(self) -> Iterable[Any]:
        return (Document, VectorStoreQuery, VectorStoreQueryResult)

    async def add(
        self,
        documents: Document | Sequence[Document],
        collection_name: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Write documents, each over the one of its id; durable when it returns.

        Args:
            documents: One, or several; they are not changed.
            collection_name: Where to; None: the store's collection.
            **kwargs: What only this sort of store knows.

        Returns:
            Their ids, in order.
        """
        given = _as_list(documents)
        if not given:
            return []
        for document in given:
            # What cannot be stored is refused before it costs.
            metadata_text(document.metadata)
            _check_name("document", document.id)
        ready = await self._embedded(given)
        more = {**self.store_kwargs, **kwargs}
        return await self._add_embedding(ready, self.collection_of(collection_name), **more)

    async def update(
        self,
        documents: Document | Sequence[Document],
        collection_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write documents that have ids; otherwise as `add`.

        Raises:
            ConfigurationError: One has no id, or there is none.
        """
        given = _as_list(documents)
        if not given or any(document.id is None for document in given):
            raise ConfigurationError(
                f"vector store {self.name!r}: update takes documents with ids; add makes ids"
            )
        await self.add(given, collection_name, **kwargs)

    async def query(self, query: VectorStoreQuery | str) -> VectorStoreQueryResult:
        """Return the documents that fit a query, the best first, without their embeddings.

        Args:
            query: What to look for; a text: semantically, with the defaults.

        Raises:
            ConfigurationError: The store cannot do it: it has no embedding model, or no keyword
                search.
        """
        asked = VectorStoreQuery(query) if isinstance(query, str) else query
        collection = self.collection_of(asked.collection_name)
        more = {**self.store_kwargs, **asked.extra_args}
        if asked.limit == 0:
            return VectorStoreQueryResult([])
        depth = asked.limit
        if asked.mode is VectorStoreQueryMode.HYBRID:
            depth = max(depth, FUSION_DEPTH)
        rankings: list[list[Document]] = []
        if asked.mode is not VectorStoreQueryMode.KEYWORD:
            embedding = await self._model().embed(asked.query_text, kind="query")
            rankings.append(
                await self._query_embedding(embedding, depth, collection, asked.filters, **more)
            )
        if asked.mode is not VectorStoreQueryMode.SEMANTIC:
            rankings.append(
                await self._query_keyword(
                    sendable(asked.query_text), depth, collection, asked.filters, **more
                )
            )
        if len(rankings) == 1:
            return VectorStoreQueryResult(rankings[0][: asked.limit])
        return VectorStoreQueryResult(reciprocal_rank_fusion(rankings, asked.limit))

    @abc.abstractmethod
    async def get(
        self,
        ids: str | Sequence[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        limit: int | None = 100,
        **kwargs: Any,
    ) -> list[Document]:
        """Return documents by their ids in that order, or all; those that pass the filter.

        Args:
            ids: One id, or several; None: all, the first `limit` of them.
            collection_name: Where they are; None: the store's collection.
            filters: What their metadata must be.
            limit: Most documents of the result, where no ids are given; None: no limit.
            **kwargs: `embeddings=True` for documents with their embeddings, and what only this
                sort of store knows.
        """

    @abc.abstractmethod
    async def delete(
        self,
        ids: str | Sequence[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Delete documents by their ids, or all; those that pass the filter.

        Args:
            ids: One id, or several; None: all of the collection.
            collection_name: Where they are; None: the store's collection.
            filters: What their metadata must be.
            **kwargs: What only this sort of store knows.
        """

    @abc.abstractmethod
    async def size(self, collection_name: str | None = None) -> int:
        """Return how many documents a collection has."""

    @abc.abstractmethod
    async def _add_embedding(
        self, documents: list[Document], collection_name: str, **kwargs: Any
    ) -> list[str]:
        """Write documents that have ids and, where there is a model, embeddings; return the ids."""

    @abc.abstractmethod
    async def _query_embedding(
        self,
        embedding: list[float],
        limit: int,
        collection_name: str,
        filters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return the documents whose embeddings are nearest by cosine, scored by it."""

    async def _query_keyword(
        self,
        text: str,
        limit: int,
        collection_name: str,
        filters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return the documents that have words of a text, scored by how much these say."""
        raise ConfigurationError(
            f"vector store {self.name!r}: {type(self).__name__} has no keyword search: ask with"
            " mode='semantic'"
        )

    def collection_of(self, name: str | None) -> str:
        """Return the collection that is meant.

        Raises:
            TerminalError: No store can keep its name.
        """
        meant = name or self.collection or DEFAULT_COLLECTION
        _check_name("collection", meant)
        return meant

    def _model(self) -> BaseEmbeddingModelSetup:
        if self._embedding_model is not None:
            return self._embedding_model
        if isinstance(self.embedding_model, BaseEmbeddingModelSetup):
            return self.embedding_model
        if self.embedding_model is not None:
            raise ConfigurationError(
                f"vector store {self.name!r} is not open: declare it on the agent or the engine"
            )
        raise ConfigurationError(
            f"vector store {self.name!r} has no embedding model: give it embedding_model=, or ask"
            " with mode='keyword'"
        )

    async def _embedded(self, documents: list[Document]) -> list[Document]:
        """Return copies as a store can hold them, with ids.

        Where there is an embedding model, they have embeddings.
        """
        bare = [document for document in documents if document.embedding is None]
        made: Iterable[list[float] | None] = [None] * len(bare)
        if bare and self.embedding_model is not None:
            texts = [document.content for document in bare]
            made = await self._model().embed(texts, kind="document")
        embeddings = iter(made)
        return [
            dataclasses.replace(
                each,
                content=sendable(each.content),
                metadata=sendable(each.metadata),
                id=document_id(each),
                embedding=next(embeddings) if each.embedding is None else each.embedding,
                score=None,
            )
            for each in documents
        ]


class VectorStore(BaseVectorStore):
    """The embedded vector store: documents on the job's own store, in the job's own collections.

    It needs no service. Search is exact; semantic search needs the extra `rag`.
    """

    __journal_name__ = "perdure:VectorStore"

    cheap_collections: ClassVar[bool] = True

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
        return await self._index.get(
            self.collection_of(collection_name),
            id_list(ids),
            filters=read_filters(filters),
            limit=limit if ids is None else None,
            embeddings=embeddings,
        )

    async def delete(
        self,
        ids: str | Sequence[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        await self._index.delete(
            self.collection_of(collection_name), id_list(ids), filters=read_filters(filters)
        )

    async def size(self, collection_name: str | None = None) -> int:
        return await self._index.size(self.collection_of(collection_name))

    @property
    def _index(self) -> DocumentIndex:
        return cast(DocumentIndex, self.context.document_index)

    async def _add_embedding(
        self, documents: list[Document], collection_name: str, **kwargs: Any
    ) -> list[str]:
        await self._index.put(collection_name, documents)
        return [document_id(document) for document in documents]

    async def _query_embedding(
        self,
        embedding: list[float],
        limit: int,
        collection_name: str,
        filters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> list[Document]:
        return await self._index.query(
            collection_name, embedding=embedding, limit=limit, filters=read_filters(filters)
        )

    async def _query_keyword(
        self,
        text: str,
        limit: int,
        collection_name: str,
        filters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> list[Document]:
        return await self._index.query(
            collection_name, text=text, limit=limit, filters=read_filters(filters)
        )


# For implementations


def id_list(ids: str | Sequence[str] | None) -> list[str] | None:
    """Return ids as a list without doubles, None for all.

    Raises:
        TerminalError: No store can have one of them.
    """
    if ids is None:
        return None
    found = [ids] if isinstance(ids, str) else list(dict.fromkeys(ids))
    for each in found:
        _check_name("document", each)
    return found


def read_filters(filters: dict[str, Any] | None) -> MetadataFilter | None:
    """Return filters as they are to be looked for: texts as `add` has written them.

    Raises:
        ConfigurationError: They are none.
    """
    return parse_filters(sendable(filters))


def _check_name(what: str, name: str | None) -> None:
    if isinstance(name, str) and (why := unstorable(name)):
        raise TerminalError(f"a {what} cannot be named {name!r}: {why}")


def _as_list(documents: Document | Sequence[Document]) -> list[Document]:
    given = [documents] if isinstance(documents, Document) else list(documents)
    for each in given:
        if not isinstance(each, Document):
            raise TypeError(f"a vector store takes Documents, not {each!r:.80}: Document(text)")
    return given
