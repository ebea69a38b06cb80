"""AgentRunBeginEvent: a run begins, where `agent-run.begin-event` is set."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure.flink_agents.api.events.event import Event
from perdure.flink_agents.api.events.event_type import EventType
from perdure.flink_agents.api.events.memory_event import observed

__all__ = ["AgentRunBeginEvent"]


class AgentRunBeginEvent(Event):
    """A run begins.

    Args:
        key: Its key.
        value: The values of its short-term memory by path.
    """

    __journal_name__ = "perdure:flink_agents.AgentRunBeginEvent"

    EVENT_TYPE: ClassVar[str] = EventType.AgentRunBeginEvent

    def __init__(self, *, key: Any = None, value: Any = None, **rest: Any) -> None:
        written = {} if "attributes" in rest else {"attributes": observed(key, value)}
        super().__init__(**{"type": self.EVENT_TYPE, **rest, **written})

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
        """The values of its short-term memory by path."""
        return self.get_attr("value")
