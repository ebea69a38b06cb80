"""Vector stores: documents that are found by meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from perdure.flink_agents.api.embedding_models.embedding_model import BaseEmbeddingModelSetup
from perdure.flink_agents.api.resource import Resource, ResourceType
from perdure.flink_agents.border.straight_calls import StraightCalls

__all__ = [
    "BaseVectorStore",
    "CollectionManageableVectorStore",
    "Document",
    "VectorStoreQuery",
    "VectorStoreQueryMode",
    "VectorStoreQueryResult",
]


class VectorStoreQueryMode(str, Enum):  # noqa: UP042  # theirs
    """How documents are found."""

    __journal_name__ = "perdure:flink_agents.VectorStoreQueryMode"

    SEMANTIC = "semantic"


class VectorStoreQuery(BaseModel):
    """What is looked for.

    Attributes:
        mode: How.
        query_text: The text.
        limit: Most documents of the result.
        collection_name: Where; None: the store's own collection.
        filters: Metadata that the documents must have.
        extra_args: What the store is told beside.
    """

    __journal_name__ = "perdure:flink_agents.VectorStoreQuery"

    mode: VectorStoreQueryMode = VectorStoreQueryMode.SEMANTIC
    query_text: str
    limit: int = Field(default=10, ge=0)
    collection_name: str | None = None
    filters: dict[str, Any] | None = None
    extra_args: dict[str, Any] = Field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.mode.value} query: '{self.query_text}' (limit={self.limit})"


class Document(BaseModel):
    """A document.

    Attributes:
        content: Its text.
        metadata: What is known of it.
        id: Its id in the store.
        embedding: The embedding of the text.
        score: How well it fits a query.
    """

    __journal_name__ = "perdure:flink_agents.Document"

    content: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    id: str | None = None
    embedding: list[float] | None = None
    score: float | None = None

    def __str__(self) -> str:
        shown = self.content if len(self.content) <= 50 else f"{self.content[:50]}..."
        return f"Document: {shown}"


class VectorStoreQueryResult(BaseModel):
    """What was found.

    Attributes:
        documents: The documents, the best first.
    """

    __journal_name__ = "perdure:flink_agents.VectorStoreQueryResult"

    documents: list[Document]

    def __str__(self) -> str:
        return f"QueryResult: {len(self.documents)} documents"


class BaseVectorStore(Resource, StraightCalls, ABC):
    """A store of documents, which embeds texts by itself.

    Attributes:
        embedding_model: Name of its embedding model; the model itself once it is open.
        collection: Its collection where none is named.
    """

    __journal_name__ = "perdure:flink_agents.BaseVectorStore"

    STRAIGHT: ClassVar = ("add", "query", "update", "get", "delete")

    embedding_model: str | BaseEmbeddingModelSetup | None = None
    collection: str | None = None

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.VECTOR_STORE."""
        return ResourceType.VECTOR_STORE

    @property
    @abstractmethod
    def store_kwargs(self) -> dict[str, Any]:
        """What the store is told beside."""

    def open(self) -> None:
        """Find the embedding model."""
        if isinstance(self.embedding_model, str):
            assert self.resource_context is not None
            self.embedding_model = self.resource_context.get_resource(
                self.embedding_model, ResourceType.EMBEDDING_MODEL
            )

    def _get_embedding_model(self) -> BaseEmbeddingModelSetup:
        if not isinstance(self.embedding_model, BaseEmbeddingModelSetup):
            raise TypeError(
                "No embedding model configured on this vector store: pass embedding_model=, or"
                " give embeddings with the documents"
                if self.embedding_model is None
                else f"Expected BaseEmbeddingModelSetup, got {type(self.embedding_model).__name__}."
            )
        return self.embedding_model

    def _ensure_embeddings(self, documents: list[Document]) -> None:
        for each in documents:
            if each.embedding is None:
                each.embedding = self._get_embedding_model().embed(each.content)

    def add(
        self,
        documents: Document | list[Document],
        collection_name: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add documents and return their ids."""
        several = _listed(documents)
        self._ensure_embeddings(several)
        options = {**self.store_kwargs, **kwargs}
        return self._add_embedding(documents=several, collection_name=collection_name, **options)

    def query(self, query: VectorStoreQuery) -> VectorStoreQueryResult:
        """Return the documents that fit a query best."""
        embedding = self._get_embedding_model().embed(query.query_text)
        options = {**self.store_kwargs, **query.extra_args}
        found = self._query_embedding(
            embedding=embedding,
            limit=query.limit,
            collection_name=query.collection_name,
            filters=query.filters,
            **options,
        )
        return VectorStoreQueryResult(documents=found)

    def update(
        self,
        documents: Document | list[Document],
        collection_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Replace documents by their ids.

        Raises:
            ValueError: There are none, or one has no id.
        """
        several = _listed(documents)
        if not several:
            raise ValueError("`documents` must be non-empty.")
        if any(each.id is None for each in several):
            raise ValueError("Every document passed to `update` must have `id` set.")
        self._ensure_embeddings(several)
        options = {**self.store_kwargs, **kwargs}
        self._update_embedding(documents=several, collection_name=collection_name, **options)

    @abstractmethod
    def get(
        self,
        ids: str | list[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        limit: int | None = 100,
        **kwargs: Any,
    ) -> list[Document]:
        """Return documents by their ids, or those whose metadata fits."""

    @abstractmethod
    def delete(
        self,
        ids: str | list[str] | None = None,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Delete documents."""

    @abstractmethod
    def _query_embedding(
        self,
        embedding: list[float],
        limit: int = 10,
        collection_name: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return the documents whose embeddings are nearest."""

    def _add_embedding(
        self, *, documents: list[Document], collection_name: str | None = None, **kwargs: Any
    ) -> list[str]:
        """Add documents that have embeddings."""
        raise NotImplementedError(f"{type(self).__name__} does not add documents")

    def _update_embedding(
        self, *, documents: list[Document], collection_name: str | None = None, **kwargs: Any
    ) -> None:
        """Replace documents that have embeddings."""
        raise NotImplementedError(f"{type(self).__name__} does not update documents")


class CollectionManageableVectorStore(BaseVectorStore, ABC):
    """A store whose collections can be made and deleted."""

    __journal_name__ = "perdure:flink_agents.CollectionManageableVectorStore"

    @abstractmethod
    def create_collection_if_not_exists(self, name: str, **kwargs: Any) -> None:
        """Make a collection."""

    @abstractmethod
    def delete_collection(self, name: str) -> None:
        """Delete a collection with its documents."""


def _listed(documents: Document | list[Document]) -> list[Document]:
    return documents if isinstance(documents, list) else [documents]
