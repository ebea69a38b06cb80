"""Memory, as Flink Agents has it: objects with fields, reached by dotted paths."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from pydantic import BaseModel

from perdure.flink_agents.api.memory_reference import MemoryRef
from perdure.flink_agents.api.memory_type import MemoryType

__all__ = ["MemoryObject", "MemoryType", "validate_memory_value"]

_PLAIN = (str, int, float, bool, bytes, type(None), MemoryRef)


def validate_memory_value(path: str, value: Any) -> None:
    """Make sure that memory can hold a value: plain data, lists and mappings of it, references.

    Raises:
        TypeError: It is none of these; the message says where in the value.
    """
    if isinstance(value, _PLAIN):
        return
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, (str, int, float, bool)):
                raise TypeError(f"Memory value at {path!r} has a key {key!r}: use a str")
            validate_memory_value(f"{path}.{key}", each)
        return
    if isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            validate_memory_value(f"{path}[{index}]", each)
        return
    raise TypeError(
        f"Memory value at {path!r} is a {type(value).__name__}: convert it to str, int, float,"
        " bool, bytes, None, list or dict, for example with model_dump()"
    )


class MemoryObject(BaseModel, ABC):
    """An object in memory: fields that are values or objects."""

    __journal_name__ = "perdure:flink_agents.MemoryObject"

    @abstractmethod
    def get(self, path_or_ref: str | MemoryRef) -> Any:
        """Return a value, an object, or None where there is nothing."""

    @abstractmethod
    def set(self, path: str, value: Any) -> MemoryRef:
        """Set a value and return a reference to it; objects on the way are made."""

    @abstractmethod
    def new_object(self, path: str, *, overwrite: bool = False) -> MemoryObject:
        """Make an object and return it."""

    @abstractmethod
    def is_exist(self, path: str) -> bool:
        """Say whether there is anything."""

    @abstractmethod
    def get_field_names(self) -> list[str]:
        """Return the names of the fields."""

    @abstractmethod
    def get_fields(self) -> dict[str, Any]:
        """Return the fields: values, and "NestedObject" for objects."""
