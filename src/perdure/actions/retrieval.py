"""Context retrieval: the built-in action, and a search inside an action of one's own."""

from __future__ import annotations

from typing import Any

from perdure.actions.bounds import bounded
from perdure.config.configuration import AgentExecutionOptions
from perdure.context import RunnerContext
from perdure.documents.document import Document, VectorStoreQuery, VectorStoreQueryMode
from perdure.llm.events import ContextRetrievalRequestEvent, ContextRetrievalResponseEvent
from perdure.llm.vector_store import BaseVectorStore
from perdure.resource import ResourceType

__all__ = ["context_retrieval_action", "retrieve"]


async def context_retrieval_action(event: ContextRetrievalRequestEvent, ctx: RunnerContext) -> None:
    """Ask the vector store that an event names, and answer the event."""
    documents = await retrieve(
        ctx,
        event.vector_store,
        event.query,
        limit=event.max_results,
        filters=event.filters,
        mode=event.mode,
        collection_name=event.collection_name,
    )
    ctx.send_event(
        ContextRetrievalResponseEvent(request_id=event.id, query=event.query, documents=documents)
    )


async def retrieve(
    ctx: RunnerContext,
    vector_store: str,
    query: str,
    *,
    limit: int = 3,
    filters: dict[str, Any] | None = None,
    mode: str = "semantic",
    collection_name: str | None = None,
) -> list[Document]:
    """Search a vector store in one durable call, and return what it found.

    The call is `retrieval:NAME` in the journal. With `rag.async` off such calls do not overlap.

    Args:
        ctx: The context of the action.
        vector_store: Name of the vector store resource.
        query: The text that documents are wanted for.
        limit: Most documents of the result.
        filters: What their metadata must be, see `perdure.documents.filters.parse_filters`.
        mode: "semantic", "keyword" or "hybrid".
        collection_name: Where to look; None: the vector store's own collection.

    Raises:
        ConfigurationError: There is no such vector store, or it cannot be asked so.
    """
    store: BaseVectorStore = ctx.get_resource(vector_store, ResourceType.VECTOR_STORE)
    asked = VectorStoreQuery(query, limit, VectorStoreQueryMode.of(mode), collection_name, filters)

    async def search(
        query: str,
        *,
        limit: int,
        filters: dict[str, Any] | None,
        mode: str,
        collection_name: str | None,
    ) -> list[Document]:
        return (await store.query(asked)).documents

    searching = bounded(ctx, f"retrieval:{vector_store}", AgentExecutionOptions.RAG_ASYNC)
    return await searching.durable_execute_async(
        search,
        query,
        limit=limit,
        filters=filters,
        mode=asked.mode.value,
        collection_name=collection_name,
    )
