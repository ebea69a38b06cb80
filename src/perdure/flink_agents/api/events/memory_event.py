"""Events of memory: their classes are here, and nothing makes them yet."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from perdure.flink_agents.api.events.event import Event, _fields
from perdure.flink_agents.api.events.event_type import EventType

__all__ = [
    "LongTermGetEvent",
    "LongTermSearchEvent",
    "LongTermUpdateEvent",
    "MemoryEvent",
    "SensoryReadEvent",
    "SensoryWriteEvent",
    "ShortTermReadEvent",
    "ShortTermWriteEvent",
]


class MemoryEvent(Event):
    """What an action did to a memory.

    Args:
        key: The key that the memory belongs to.
        value: The values by path.
    """

    __journal_name__ = "perdure:flink_agents.MemoryEvent"

    EVENT_TYPE: ClassVar[str | None] = None

    def __init__(self, *, key: Any = None, value: Any = None, **rest: Any) -> None:
        fields = _fields(self.EVENT_TYPE or "", rest, key=key, value=value)
        super().__init__(**fields)

    @classmethod
    def is_memory_type(cls, type: str) -> bool:
        """Say whether a type is one of these events."""
        return any(type == each.EVENT_TYPE for each in MemoryEvent.__subclasses__())

    @classmethod
    def from_event(cls, event: Event) -> Self:
        """Return an event seen as this class."""
        assert "value" in event.attributes
        return cls(type=event.type, attributes=dict(event.attributes)).reconstruct_from(event)

    @property
    def key(self) -> Any:
        """The key that the memory belongs to."""
        return self.get_attr("key")

    @property
    def value(self) -> Any:
        """The values by path."""
        return self.get_attr("value")


class ShortTermWriteEvent(MemoryEvent):
    """What was written to the memory of a key."""

    __journal_name__ = "perdure:flink_agents.ShortTermWriteEvent"

    EVENT_TYPE: ClassVar[str] = EventType.ShortTermWriteEvent


class ShortTermReadEvent(MemoryEvent):
    """What was read from the memory of a key."""

    __journal_name__ = "perdure:flink_agents.ShortTermReadEvent"

    EVENT_TYPE: ClassVar[str] = EventType.ShortTermReadEvent


class SensoryWriteEvent(MemoryEvent):
    """What was written to the memory of a run."""

    __journal_name__ = "perdure:flink_agents.SensoryWriteEvent"

    EVENT_TYPE: ClassVar[str] = EventType.SensoryWriteEvent


class SensoryReadEvent(MemoryEvent):
    """What was read from the memory of a run."""

    __journal_name__ = "perdure:flink_agents.SensoryReadEvent"

    EVENT_TYPE: ClassVar[str] = EventType.SensoryReadEvent


class LongTermUpdateEvent(MemoryEvent):
    """What was added to long-term memory or deleted from it."""

    __journal_name__ = "perdure:flink_agents.LongTermUpdateEvent"

    EVENT_TYPE: ClassVar[str] = EventType.LongTermUpdateEvent

    def __init__(
        self, *, key: Any = None, value: Any = None, cleared_sets: Any = None, **rest: Any
    ) -> None:
        super().__init__(key=key, value=value, **rest)
        if cleared_sets is not None:
            self.set_attr("cleared_sets", cleared_sets)

    @property
    def cleared_sets(self) -> list[str]:
        """The sets that were deleted as a whole."""
        return self.get_attr("cleared_sets") or []


class LongTermGetEvent(MemoryEvent):
    """What was got from long-term memory."""

    __journal_name__ = "perdure:flink_agents.LongTermGetEvent"

    EVENT_TYPE: ClassVar[str] = EventType.LongTermGetEvent


class LongTermSearchEvent(MemoryEvent):
    """What was found in long-term memory."""

    __journal_name__ = "perdure:flink_agents.LongTermSearchEvent"

    EVENT_TYPE: ClassVar[str] = EventType.LongTermSearchEvent

    @property
    def results(self) -> Any:
        """What was found."""
        return self.value
