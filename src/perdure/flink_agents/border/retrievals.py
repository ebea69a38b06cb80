"""Context retrieval as theirs is made: one durable call of the store's `query`."""

from __future__ import annotations

from perdure.actions.bounds import bounded
from perdure.config.configuration import AgentExecutionOptions as CoreOptions
from perdure.flink_agents.api.events.context_retrieval_event import (
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
)
from perdure.flink_agents.api.events.event import Event
from perdure.flink_agents.api.resource import ResourceType
from perdure.flink_agents.api.vector_stores.vector_store import BaseVectorStore, VectorStoreQuery
from perdure.flink_agents.border.context import BorderContext

__all__ = ["retrieve"]


async def retrieve(event: Event, ctx: BorderContext) -> None:
    """Ask the vector store that an event names, and answer the event."""
    assert isinstance(event, ContextRetrievalRequestEvent)
    store: BaseVectorStore = ctx.get_resource(event.vector_store, ResourceType.VECTOR_STORE)
    query = VectorStoreQuery(query_text=event.query, limit=event.max_results)
    calling = bounded(ctx.core, f"{event.vector_store}.query", CoreOptions.RAG_ASYNC)
    found = await calling.durable_execute_async(store.query, query)
    ctx.send_event(
        ContextRetrievalResponseEvent(
            request_id=event.id, query=event.query, documents=found.documents
        )
    )
