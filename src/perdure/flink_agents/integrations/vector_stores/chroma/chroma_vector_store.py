"""Chroma."""

from __future__ import annotations

from perdure.flink_agents.api.vector_stores.vector_store import CollectionManageableVectorStore
from perdure.flink_agents.border.refused import RefusedStore

__all__ = ["ChromaVectorStore"]


class ChromaVectorStore(RefusedStore, CollectionManageableVectorStore):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.ChromaVectorStore"
