"""Long-term memory: sets of texts that are searched by meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from perdure.flink_agents.api.configuration import ConfigOption

__all__ = ["BaseLongTermMemory", "LongTermMemoryOptions", "MemorySet", "MemorySetItem"]


class LongTermMemoryOptions:
    """Options of long-term memory."""

    class Mem0:
        """Resources that Mem0 uses; here they are what perdure's own memory uses."""

        CHAT_MODEL_SETUP = ConfigOption("long-term-memory.mem0.chat-model-setup", str)
        EMBEDDING_MODEL_SETUP = ConfigOption("long-term-memory.mem0.embedding-model-setup", str)
        VECTOR_STORE = ConfigOption("long-term-memory.mem0.vector-store", str)


class MemorySetItem(BaseModel):
    """One text of a set.

    Attributes:
        memory_set_name: The set.
        id: Its id in the set.
        value: The text.
        created_at: When it was added.
        updated_at: When it was changed last.
        additional_metadata: What was given with it.
    """

    __journal_name__ = "perdure:flink_agents.MemorySetItem"

    memory_set_name: str
    id: str
    value: str
    created_at: datetime | None = None
    updated_at: datetime | None = None
    additional_metadata: dict[str, Any] | None = None


class MemorySet(BaseModel):
    """A set of texts of one key.

    Attributes:
        name: Its name.
        ltm: The memory that it is in.
    """

    __journal_name__ = "perdure:flink_agents.MemorySet"

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    ltm: BaseLongTermMemory | None = Field(default=None, exclude=True)

    def _memory(self) -> BaseLongTermMemory:
        if self.ltm is None:
            raise RuntimeError("this memory set is of no memory: get it from ctx.long_term_memory")
        return self.ltm

    def add(
        self,
        items: str | list[str],
        metadatas: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> list[str]:
        """Add texts and return their ids."""
        return self._memory().add(self, items, metadatas)

    def get(
        self,
        ids: str | list[str] | None = None,
        filters: dict[str, Any] | None = None,
        limit: int | None = 100,
    ) -> list[MemorySetItem]:
        """Return items by their ids, or those whose metadata fits."""
        return self._memory().get(self, ids, filters, limit)

    def search(
        self, query: str, limit: int, filters: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[MemorySetItem]:
        """Return the items that fit a text best."""
        return self._memory().search(self, query, limit, filters, **kwargs)

    def delete(self, ids: str | list[str] | None = None) -> None:
        """Delete items by their ids; all without."""
        # Something to await, where an action asks for it by durable_execute_async.
        return self._memory().delete(self, ids)


class BaseLongTermMemory(BaseModel, ABC):
    """The memory sets of one key."""

    __journal_name__ = "perdure:flink_agents.BaseLongTermMemory"

    @abstractmethod
    def get_memory_set(self, name: str) -> MemorySet:
        """Return a set; it need not exist yet."""

    @abstractmethod
    def delete_memory_set(self, name: str) -> bool:
        """Delete a set with all its items."""

    @abstractmethod
    def add(
        self,
        memory_set: MemorySet,
        memory_items: str | list[str],
        metadatas: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> list[str]:
        """Add texts to a set."""

    @abstractmethod
    def get(
        self,
        memory_set: MemorySet,
        ids: str | list[str] | None = None,
        filters: dict[str, Any] | None = None,
        limit: int | None = 100,
    ) -> list[MemorySetItem]:
        """Return items of a set."""

    @abstractmethod
    def delete(self, memory_set: MemorySet, ids: str | list[str] | None = None) -> None:
        """Delete items of a set."""

    @abstractmethod
    def search(
        self,
        memory_set: MemorySet,
        query: str,
        limit: int,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[MemorySetItem]:
        """Return the items of a set that fit a text best."""

    def close(self) -> None:
        """Let go of what it holds."""


MemorySet.model_rebuild()
