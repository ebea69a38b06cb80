"""Events of memory: what an action that has completed did to each memory, and that a run begins.

They are made where an action takes them, and by the runtime alone.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from perdure.event import Event, EventType

__all__ = [
    "BEGIN_ACTION",
    "MEMORY_EVENTS",
    "AgentRunBeginEvent",
    "LongTermGetEvent",
    "LongTermSearchEvent",
    "LongTermUpdateEvent",
    "MemoryEvent",
    "SensoryReadEvent",
    "SensoryWriteEvent",
    "ShortTermReadEvent",
    "ShortTermWriteEvent",
]

BEGIN_ACTION: Final = "agent_run_begin_action"  # what sends AgentRunBeginEvent


class MemoryEvent(Event):
    """What one action did to one memory, the last of it for each path; a base of such events.

    Attributes:
        key: The key of the run.
        value: Values by path, or by memory set.
    """

    EVENT_TYPE: ClassVar[str] = ""
    key: Any
    value: dict[str, Any]


class ShortTermWriteEvent(MemoryEvent):
    """What was written to short-term memory: None for what was deleted, and for an object."""

    EVENT_TYPE: ClassVar[str] = EventType.ShortTermWriteEvent


class ShortTermReadEvent(MemoryEvent):
    """The values that were read from short-term memory."""

    EVENT_TYPE: ClassVar[str] = EventType.ShortTermReadEvent


class SensoryWriteEvent(MemoryEvent):
    """What was written to sensory memory: None for what was deleted, and for an object."""

    EVENT_TYPE: ClassVar[str] = EventType.SensoryWriteEvent


class SensoryReadEvent(MemoryEvent):
    """The values that were read from sensory memory."""

    EVENT_TYPE: ClassVar[str] = EventType.SensoryReadEvent


class LongTermUpdateEvent(MemoryEvent):
    """What was written to memory sets: texts by set and item, None for an item that was deleted.

    What a filter deleted has no names here.

    Attributes:
        cleared_sets: Sets that were deleted as a whole, before what `value` has of them.
    """

    EVENT_TYPE: ClassVar[str] = EventType.LongTermUpdateEvent
    cleared_sets: list[str] = []  # noqa: RUF012  # each event gets a copy


class LongTermGetEvent(MemoryEvent):
    """What was got of memory sets: texts by set and item."""

    EVENT_TYPE: ClassVar[str] = EventType.LongTermGetEvent


class LongTermSearchEvent(MemoryEvent):
    """What was found in memory sets: by set and query the items, each with id, value and score."""

    EVENT_TYPE: ClassVar[str] = EventType.LongTermSearchEvent

    @property
    def results(self) -> dict[str, Any]:
        """What was found; the same as `value`."""
        return self.value


class AgentRunBeginEvent(Event):
    """A run begins; with the option `agent-run.begin-event`.

    Attributes:
        key: The key of the run.
        value: The values of its short-term memory by path.
    """

    EVENT_TYPE: ClassVar[str] = EventType.AgentRunBeginEvent
    key: Any
    value: dict[str, Any]


# By type. The order is that in which those of one action come; ids derive from it.
MEMORY_EVENTS: Final[dict[str, type[MemoryEvent]]] = {
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
