"""Stores of Mem0."""

from __future__ import annotations

from perdure.flink_agents.api.vector_stores.vector_store import CollectionManageableVectorStore
from perdure.flink_agents.border.refused import RefusedStore

__all__ = ["Mem0VectorStore"]


class Mem0VectorStore(RefusedStore, CollectionManageableVectorStore):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.Mem0VectorStore"
