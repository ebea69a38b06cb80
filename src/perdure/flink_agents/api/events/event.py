"""Events: pydantic models with a type and attributes, which users subclass as such."""

from __future__ import annotations

import json
from abc import ABC
from typing import Any, ClassVar, Self
from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticSerializationError

from perdure.event import Event as CoreEvent
from perdure.flink_agents.api.events.event_type import EventType

__all__ = ["Event", "EventId", "InputEvent", "OutputEvent"]


class EventId(UUID):
    """The id of an event, and which action made it: that one sends it under this id.

    Everywhere else it is a plain UUID, also once it was copied or stored.
    """

    __slots__ = ("made_by",)

    made_by: object

    @classmethod
    def new(cls) -> EventId:
        """Return the id of an event that is being made: in an action the same on replay (G3)."""
        return cls.of(CoreEvent(type="_"))

    @classmethod
    def of(cls, event: CoreEvent) -> EventId:
        """Return the id of an event of the core."""
        try:
            made = cls(hex=event.id)
        except ValueError:  # a test gave it another one
            made = cls(int=uuid5(NAMESPACE_OID, event.id).int)
        object.__setattr__(made, "made_by", event._made_by)
        return made

    def __reduce__(self) -> Any:
        return UUID, (self.hex,)

    def __copy__(self) -> EventId:
        return self

    def __deepcopy__(self, memo: Any) -> EventId:
        return self


def _row(value: Any) -> Any:
    """Write a row of PyFlink, which need not be here."""
    if type(value).__name__ == "Row" and hasattr(value, "_values"):
        return {"type": "Row", "values": list(value._values)}
    raise PydanticSerializationError(f"Unable to serialize unknown type: {type(value)}")


class Event(BaseModel, ABC):
    """One event: a type, attributes, and whatever else it is given by name.

    Attributes:
        id: Its identity. Made in an action it is the same on replay.
        type: What actions are triggered by.
        attributes: Its data, which can be written as JSON.
        upstream_event_id: Id of the event whose action sent this one.
        upstream_action_name: The action that sent this one.
    """

    __journal_name__ = "perdure:flink_agents.Event"

    model_config = ConfigDict(extra="allow")

    id: UUID = Field(default_factory=EventId.new)
    type: str
    attributes: dict[str, Any] = Field(default_factory=dict)
    upstream_event_id: UUID | None = None
    upstream_action_name: str | None = None

    def model_dump_json(self, **kwargs: Any) -> str:
        """Return it as JSON; rows of PyFlink are written as their values."""
        return super().model_dump_json(**{"fallback": _row, **kwargs})

    @model_validator(mode="after")
    def validate_extra(self) -> Self:
        """Refuse what cannot be written as JSON."""
        self.model_dump_json()
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if not name.startswith("_"):
            self.model_dump_json()

    def reconstruct_from(self, source: Event) -> Self:
        """Take the identity and the origin of another event, for a `from_event`.

        Returns:
            This event.
        """
        fields = ("id", "upstream_event_id", "upstream_action_name")
        for field in fields:
            super().__setattr__(field, getattr(source, field))
        return self

    def get_type(self) -> str:
        """Return its type."""
        return self.type

    def get_attr(self, name: str) -> Any:
        """Return an attribute, None where there is none."""
        return self.attributes.get(name)

    def set_attr(self, name: str, value: Any) -> None:
        """Set an attribute."""
        self.attributes[name] = value

    @classmethod
    def from_event(cls, event: Event) -> Event:
        """Return an event seen as this class; subclasses say how."""
        return event

    @classmethod
    def from_json(cls, json_str: str) -> Event:
        """Return an event that was written as JSON.

        Raises:
            ValueError: It has no type.
        """
        data = json.loads(json_str)
        if not isinstance(data, dict) or not data.get("type"):
            raise ValueError("Event JSON must contain a 'type' field")
        return Event.model_validate(data)


class InputEvent(Event):
    """The event that begins a run."""

    __journal_name__ = "perdure:flink_agents.InputEvent"

    EVENT_TYPE: ClassVar[str] = EventType.InputEvent

    def __init__(self, input: Any = None, **rest: Any) -> None:
        super().__init__(**_fields(self.EVENT_TYPE, rest, input=input))

    @classmethod
    def from_event(cls, event: Event) -> InputEvent:
        """Return an event seen as this class."""
        assert "input" in event.attributes
        return cls(input=event.attributes["input"]).reconstruct_from(event)

    @property
    def input(self) -> Any:
        """The input."""
        return self.get_attr("input")


class OutputEvent(Event):
    """An output of the run."""

    __journal_name__ = "perdure:flink_agents.OutputEvent"

    EVENT_TYPE: ClassVar[str] = EventType.OutputEvent

    def __init__(self, output: Any = None, **rest: Any) -> None:
        super().__init__(**_fields(self.EVENT_TYPE, rest, output=output))

    @classmethod
    def from_event(cls, event: Event) -> OutputEvent:
        """Return an event seen as this class."""
        assert "output" in event.attributes
        return cls(output=event.attributes["output"]).reconstruct_from(event)

    @property
    def output(self) -> Any:
        """The output."""
        return self.get_attr("output")


def _fields(type: str, rest: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """Return the fields of a built-in event: written ones have attributes already."""
    return {"type": type, "attributes": attributes, **rest}
