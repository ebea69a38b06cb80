"""Events of memory: what an action that has completed did to each memory."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from pydantic_core import to_jsonable_python

from perdure.flink_agents.api.events.event import Event, _row
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


def observed(key: Any, value: Any) -> dict[str, Any]:
    """Return the attributes of what was observed: the values as plain data of their own.

    Raises:
        TypeError: There is no key, or no mapping of values.
        ValueError: They cannot be written as JSON.
    """
    if key is None:
        raise TypeError("an event of memory needs a key")
    if not isinstance(value, dict):
        raise TypeError(f"the value of an event of memory is a dict, not a {type(value).__name__}")
    return {"key": key, "value": as_json(value)}


def as_json(value: Any) -> Any:
    """Return a value as JSON has it.

    Raises:
        ValueError: It has no such form.
    """
    try:
        found = to_jsonable_python(value, bytes_mode="base64", fallback=_row)
        json.dumps(found, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"the value is not JSON serializable: {error}") from error
    return found


class MemoryEvent(Event):
    """What one action did to one memory; the base of such events.

    Args:
        key: The key that the memory belongs to, as text.
        value: The values by path.
    """

    __journal_name__ = "perdure:flink_agents.MemoryEvent"

    EVENT_TYPE: ClassVar[str | None] = None

    def __init__(self, *, key: Any = None, value: Any = None, **rest: Any) -> None:
        if self.EVENT_TYPE is None:
            raise TypeError("MemoryEvent is abstract: make one of its subclasses")
        written = {} if "attributes" in rest else {"attributes": observed(key, value)}
        super().__init__(**{"type": self.EVENT_TYPE, **rest, **written})

    @classmethod
    def is_memory_type(cls, type: str | None) -> bool:
        """Say whether a type is one of these events."""
        return type in MEMORY_EVENTS

    @classmethod
    def from_event(cls, event: Event) -> MemoryEvent:
        """Return an event as the class of its type.

        Raises:
            ValueError: It is no event of memory.
            TypeError: It lacks its key or its values.
        """
        found = MEMORY_EVENTS.get(event.type)
        if found is None:
            raise ValueError(f"Not a memory event type: {event.type}")
        return found(**event.attributes).reconstruct_from(event)

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
        if "attributes" not in rest:
            self.set_attr("cleared_sets", _names(cleared_sets))

    @property
    def cleared_sets(self) -> list[str]:
        """The sets that were deleted as a whole, before what `value` has of them."""
        return self.get_attr("cleared_sets") or []


def _names(given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise TypeError(f"cleared_sets must be a list, not a {type(given).__name__}")
    if not all(isinstance(each, str) for each in given):
        raise TypeError("cleared_sets must contain only strings")
    return list(given)


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


MEMORY_EVENTS: dict[str | None, type[MemoryEvent]] = {
    each.EVENT_TYPE: each
    for each in (
        ShortTermWriteEvent,
        ShortTermReadEvent,
        SensoryWriteEvent,
        SensoryReadEvent,
        LongTermUpdateEvent,
        LongTermGetEvent,
        LongTermSearchEvent,
    )
}
