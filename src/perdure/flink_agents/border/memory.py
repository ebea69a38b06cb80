"""Memory of the core under their names."""

from __future__ import annotations

from typing import Any

from pydantic import PrivateAttr

from perdure.flink_agents.api.memory_object import MemoryObject, validate_memory_value
from perdure.flink_agents.api.memory_reference import MemoryRef
from perdure.flink_agents.api.memory_type import MemoryType
from perdure.memory.memory import MemoryObject as CoreObject

__all__ = ["BorderMemory"]


class BorderMemory(MemoryObject):
    """An object of the core's memory."""

    __journal_name__ = "perdure:flink_agents.BorderMemory"

    _core: CoreObject = PrivateAttr()
    _type: MemoryType = PrivateAttr()
    _path: str = PrivateAttr(default="")

    def __init__(self, core: CoreObject, type: MemoryType, path: str = "") -> None:
        super().__init__()
        self._core = core
        self._type = type
        self._path = path

    def get(self, path_or_ref: str | MemoryRef | dict[str, Any]) -> Any:
        if isinstance(path_or_ref, dict):  # a reference that came in an attribute of an event
            path_or_ref = MemoryRef.model_validate(path_or_ref)
        if isinstance(path_or_ref, MemoryRef):
            path = path_or_ref.path
            core = self._root()
            full = path
        else:
            path, core = path_or_ref, self._core
            full = self._full(path)
        found = core.get(path)
        return BorderMemory(found, self._type, full) if isinstance(found, CoreObject) else found

    def _root(self) -> CoreObject:
        return CoreObject(self._core._memory, "")

    def _full(self, path: str) -> str:
        return f"{self._path}.{path}" if self._path else path

    def set(self, path: str, value: Any) -> MemoryRef:
        validate_memory_value(path, value)
        self._core.set(path, value)
        return MemoryRef.create(self._type, self._full(path))

    def new_object(self, path: str, *, overwrite: bool = False) -> MemoryObject:
        made = self._core.new_object(path, overwrite=overwrite)
        return BorderMemory(made, self._type, self._full(path))

    def is_exist(self, path: str) -> bool:
        return self._core.is_exist(path)

    def get_field_names(self) -> list[str]:
        return self._core.get_field_names()

    def get_fields(self) -> dict[str, Any]:
        fields = self._core.get_fields()
        return {
            name: "NestedObject" if isinstance(each, CoreObject) else each
            for name, each in fields.items()
        }
