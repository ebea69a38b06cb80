"""References to values in memory, which events may carry instead of the values."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import BaseModel, field_validator

from perdure.flink_agents.api.memory_type import MemoryType

__all__ = ["MemoryRef", "MemoryType"]


class _HasMemories(Protocol):
    @property
    def sensory_memory(self) -> Any: ...

    @property
    def short_term_memory(self) -> Any: ...


class MemoryRef(BaseModel):
    """Where a value is in memory.

    Attributes:
        memory_type: Which memory.
        path: The path in it.
    """

    __journal_name__ = "perdure:flink_agents.MemoryRef"

    memory_type: MemoryType
    path: str

    @field_validator("memory_type", mode="before")
    @classmethod
    def _from_json(cls, given: Any) -> Any:
        # The value that is a tuple comes out of JSON as a list.
        return tuple(given) if isinstance(given, list) else given

    @staticmethod
    def create(memory_type: MemoryType, path: str) -> MemoryRef:
        """Return a reference."""
        return MemoryRef(memory_type=memory_type, path=path)

    def resolve(self, ctx: _HasMemories) -> Any:
        """Return the value."""
        is_sensory = self.memory_type == MemoryType.SENSORY
        return (ctx.sensory_memory if is_sensory else ctx.short_term_memory).get(self)

    def __hash__(self) -> int:
        return hash((self.memory_type, self.path))
