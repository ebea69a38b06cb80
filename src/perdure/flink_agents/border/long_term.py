"""Long-term memory of the core under their names."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import PrivateAttr

from perdure.flink_agents.api.memory.long_term_memory import (
    BaseLongTermMemory,
    MemorySet,
    MemorySetItem,
)
from perdure.memory.long_term import LongTermMemory
from perdure.memory.long_term import MemorySetItem as CoreItem

__all__ = ["BorderLongTermMemory"]

_MOST = 1_000_000  # where theirs asks for all


class BorderLongTermMemory(BaseLongTermMemory):
    """The memory sets of the core: each operation is a durable call.

    A plain action gets the value; in an `async def` action there is a DurableCall to await.
    """

    __journal_name__ = "perdure:flink_agents.BorderLongTermMemory"

    _core: LongTermMemory = PrivateAttr()

    def __init__(self, core: LongTermMemory) -> None:
        super().__init__()
        self._core = core

    def get_memory_set(self, name: str) -> MemorySet:
        return MemorySet(name=name, ltm=self)

    def delete_memory_set(self, name: str) -> bool:
        _finished(self._core.delete_memory_set(name))
        return True

    def add(
        self,
        memory_set: MemorySet,
        memory_items: str | list[str],
        metadatas: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> list[str]:
        several = [memory_items] if isinstance(memory_items, str) else memory_items
        given = [metadatas] if isinstance(metadatas, dict) else metadatas
        found: list[str] = _finished(self._set(memory_set).add(several, given))
        return found

    def _set(self, memory_set: MemorySet) -> Any:
        return self._core.get_memory_set(memory_set.name)

    def get(
        self,
        memory_set: MemorySet,
        ids: str | list[str] | None = None,
        filters: dict[str, Any] | None = None,
        limit: int | None = 100,
    ) -> list[MemorySetItem]:
        found = _finished(
            self._set(memory_set).get(ids, filters=filters, limit=_MOST if limit is None else limit)
        )
        return _items(memory_set, found)

    def delete(self, memory_set: MemorySet, ids: str | list[str] | None = None) -> None:
        _finished(self._set(memory_set).delete(ids))

    def search(
        self,
        memory_set: MemorySet,
        query: str,
        limit: int,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[MemorySetItem]:
        found = _finished(self._set(memory_set).search(query, limit, filters=filters))
        return _items(memory_set, found)


def _items(memory_set: MemorySet, found: list[CoreItem]) -> list[MemorySetItem]:
    return [
        MemorySetItem(
            memory_set_name=memory_set.name,
            id=each.id,
            value=each.value,
            created_at=each.created_at,
            updated_at=each.updated_at,
            additional_metadata=dict(each.metadata) or None,
        )
        for each in found
    ]


def _finished(call: Any) -> Any:
    if asyncio.current_task() is None:
        return call.result()
    raise NotImplementedError(
        "long-term memory cannot be asked straight in an `async def` action: write the action as a"
        " plain `def`"
    )
