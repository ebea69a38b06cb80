"""AgentRunBeginEvent: its class is here, and nothing makes it yet."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure.flink_agents.api.events.event import Event, _fields
from perdure.flink_agents.api.events.event_type import EventType

__all__ = ["AgentRunBeginEvent"]


class AgentRunBeginEvent(Event):
    """A run begins.

    Args:
        key: Its key.
        value: Its input.
    """

    __journal_name__ = "perdure:flink_agents.AgentRunBeginEvent"

    EVENT_TYPE: ClassVar[str] = EventType.AgentRunBeginEvent

    def __init__(self, *, key: Any = None, value: Any = None, **rest: Any) -> None:
        super().__init__(**_fields(self.EVENT_TYPE, rest, key=key, value=value))

    @classmethod
    def from_event(cls, event: Event) -> AgentRunBeginEvent:
        """Return an event seen as this class."""
        found = event.attributes
        return cls(key=found.get("key"), value=found.get("value")).reconstruct_from(event)

    @property
    def key(self) -> Any:
        """The key of the run."""
        return self.get_attr("key")

    @property
    def value(self) -> Any:
        """The input of the run."""
        return self.get_attr("value")
