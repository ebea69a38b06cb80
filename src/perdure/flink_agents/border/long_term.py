"""Long-term memory of the core under their names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

from pydantic import PrivateAttr

from perdure.context import RunnerContext as CoreContext
from perdure.flink_agents.api.memory.long_term_memory import (
    BaseLongTermMemory,
    MemorySet,
    MemorySetItem,
)
from perdure.flink_agents.border.straight_calls import warn_of
from perdure.memory.long_term import LongTermMemory
from perdure.memory.long_term import MemorySetItem as CoreItem

__all__ = ["BorderLongTermMemory", "in_action", "later"]

Maker = Callable[[CoreContext, str, Any], LongTermMemory]

_MOST = 1_000_000  # where theirs asks for all


class BorderLongTermMemory(BaseLongTermMemory):
    """The memory sets of the core: each operation is a durable call.

    Each gives the value: a plain action is parked meanwhile, in an `async def` it runs inline.
    """

    __journal_name__ = "perdure:flink_agents.BorderLongTermMemory"

    _core: LongTermMemory = PrivateAttr()

    def __init__(self, core: LongTermMemory) -> None:
        super().__init__()
        self._core = core

    def get_memory_set(self, name: str) -> MemorySet:
        return MemorySet(name=name, ltm=self)

    def delete_memory_set(self, name: str) -> bool:
        return cast(bool, _given(self._core.delete_memory_set(name), lambda found: True))

    def add(
        self,
        memory_set: MemorySet,
        memory_items: str | list[str],
        metadatas: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> list[str]:
        several = [memory_items] if isinstance(memory_items, str) else memory_items
        given = [metadatas] if isinstance(metadatas, dict) else metadatas
        return cast(list[str], _given(self._set(memory_set).add(several, given)))

    def _set(self, memory_set: MemorySet) -> Any:
        return self._core.get_memory_set(memory_set.name)

    def get(
        self,
        memory_set: MemorySet,
        ids: str | list[str] | None = None,
        filters: dict[str, Any] | None = None,
        limit: int | None = 100,
    ) -> list[MemorySetItem]:
        most = _MOST if limit is None else limit
        call = self._set(memory_set).get(ids, filters=filters, limit=most)
        return cast(list[MemorySetItem], _given(call, partial(_items, memory_set)))

    def delete(self, memory_set: MemorySet, ids: str | list[str] | None = None) -> None:
        return cast(None, _given(self._set(memory_set).delete(ids)))

    def search(
        self,
        memory_set: MemorySet,
        query: str,
        limit: int,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[MemorySetItem]:
        call = self._set(memory_set).search(query, limit, filters=filters)
        return cast(list[MemorySetItem], _given(call, partial(_items, memory_set)))


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


_LATER: ContextVar[bool] = ContextVar("later", default=False)


def _given(call: Any, read: Callable[[Any], Any] = lambda found: found) -> Any:
    """Return what a call gives; within `later` a coroutine that does."""
    if not _LATER.get():
        return read(call.result())

    async def given() -> Any:
        return read(await call)

    return given()


def later(operation: Callable[[], Any]) -> asyncio.Future[Any]:
    """Begin an operation on a memory set, and return what is awaited for what it gives.

    A plain action waits for it here, parked.
    """
    loop = asyncio.get_running_loop()
    if asyncio.current_task() is None:
        done: asyncio.Future[Any] = loop.create_future()
        done.set_result(operation())
        return done
    token = _LATER.set(True)
    try:
        return loop.create_task(operation())
    finally:
        _LATER.reset(token)


def in_action(usual: Maker) -> Maker:
    """Return what makes an action's long-term memory: in an `async def` its calls run inline.

    Args:
        usual: What makes that of the core, whose calls are awaited.
    """

    def made(ctx: CoreContext, scope: str, notes: Any) -> LongTermMemory:
        # It asks for as much of a context as this one has.
        return usual(cast(CoreContext, _Inline(ctx)), scope, notes)

    return made


class _Inline:
    """A context whose calls, in an `async def` action, are over when they have been made."""

    def __init__(self, core: CoreContext) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def with_options(self, **options: Any) -> _Inline:
        return _Inline(self._core.with_options(**options))

    def durable_execute_async(self, func: Any, *args: Any) -> Any:
        # A plain action is parked by .result().
        if asyncio.current_task() is None or _LATER.get():
            return self._core.durable_execute_async(func, *args)
        warn_of(f"long_term_memory.{func.__name__}")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(self._core.durable_execute(func, *args))
        return done
