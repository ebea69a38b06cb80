"""Events of context retrieval."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from perdure.flink_agents.api.events.chat_event import as_uuid
from perdure.flink_agents.api.events.event import Event, _fields
from perdure.flink_agents.api.events.event_type import EventType
from perdure.flink_agents.api.vector_stores.vector_store import Document

__all__ = ["ContextRetrievalRequestEvent", "ContextRetrievalResponseEvent"]


class ContextRetrievalRequestEvent(Event):
    """Asks a vector store for documents; a ContextRetrievalResponseEvent answers it."""

    __journal_name__ = "perdure:flink_agents.ContextRetrievalRequestEvent"

    EVENT_TYPE: ClassVar[str] = EventType.ContextRetrievalRequestEvent

    def __init__(
        self, query: str = "", vector_store: str = "", max_results: int = 3, **rest: Any
    ) -> None:
        super().__init__(
            **_fields(
                self.EVENT_TYPE,
                rest,
                query=query,
                vector_store=vector_store,
                max_results=max_results,
            )
        )

    @classmethod
    def from_event(cls, event: Event) -> ContextRetrievalRequestEvent:
        """Return an event seen as this class."""
        found = event.attributes
        assert "query" in found
        assert "vector_store" in found
        return cls(
            query=found["query"],
            vector_store=found["vector_store"],
            max_results=found.get("max_results", 3),
        ).reconstruct_from(event)

    @property
    def query(self) -> str:
        """The text that documents are wanted for."""
        return str(self.get_attr("query"))

    @property
    def vector_store(self) -> str:
        """Name of the vector store."""
        return str(self.get_attr("vector_store"))

    @property
    def max_results(self) -> int:
        """Most documents of the answer."""
        return int(self.get_attr("max_results"))


class ContextRetrievalResponseEvent(Event):
    """The documents that a vector store found."""

    __journal_name__ = "perdure:flink_agents.ContextRetrievalResponseEvent"

    EVENT_TYPE: ClassVar[str] = EventType.ContextRetrievalResponseEvent

    def __init__(
        self,
        request_id: UUID | None = None,
        query: str = "",
        documents: list[Document] | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(
            **_fields(
                self.EVENT_TYPE,
                rest,
                request_id=request_id,
                query=query,
                documents=list(documents or ()),
            )
        )

    @classmethod
    def from_event(cls, event: Event) -> ContextRetrievalResponseEvent:
        """Return an event seen as this class."""
        found = event.attributes
        assert "request_id" in found
        assert "query" in found
        assert "documents" in found
        return cls(
            request_id=as_uuid(found["request_id"]),
            query=found["query"],
            documents=_documents(found["documents"]),
        ).reconstruct_from(event)

    @property
    def request_id(self) -> UUID:
        """The id of the request."""
        return as_uuid(self.get_attr("request_id"))

    @property
    def query(self) -> str:
        """The text they were wanted for."""
        return str(self.get_attr("query"))

    @property
    def documents(self) -> list[Document]:
        """The documents, the best first."""
        return _documents(self.get_attr("documents"))


def _documents(given: list[Any]) -> list[Document]:
    return [Document.model_validate(each) if isinstance(each, dict) else each for each in given]
