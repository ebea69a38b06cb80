"""Stores of Mem0."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure.flink_agents.api.vector_stores.vector_store import CollectionManageableVectorStore
from perdure.flink_agents.border.refused import Refused

__all__ = ["Mem0VectorStore"]


class Mem0VectorStore(Refused, CollectionManageableVectorStore):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.Mem0VectorStore"

    INSTEAD: ClassVar = "subclass BaseVectorStore over a store of your own"

    def create_collection_if_not_exists(self, name: str, **kwargs: Any) -> None:
        """Refuse to."""
        self.open()

    def delete_collection(self, name: str) -> None:
        """Refuse to."""
        self.open()

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to."""
        self.open()

    def delete(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to."""
        self.open()

    def _query_embedding(self, *args: Any, **kwargs: Any) -> Any:
        self.open()
