"""Events where they cross: theirs become events of the core when sent, and theirs again."""

from __future__ import annotations

import contextlib
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_jsonable_python

from perdure.event import Event as CoreEvent
from perdure.event import EventType
from perdure.flink_agents.api.events.event import Event, EventId, _row
from perdure.flink_agents.api.events.memory_event import MemoryEvent, as_json
from perdure.flink_agents.border.known_events import BUILT_IN_EVENTS

__all__ = ["mark_sent", "plain", "to_core", "to_theirs"]

_EXTRAS: Final = "_extras"  # among the attributes of ours: what theirs have beside theirs
_VALUES: Final = {EventType.InputEvent: "input", EventType.OutputEvent: "output"}


def plain(value: Any) -> Any:
    """Return a value as JSON has it; a row of PyFlink as its fields, or its values without names.

    Raises:
        PydanticSerializationError: JSON cannot hold it.
    """
    return to_jsonable_python(value, fallback=_plain_row)


def _plain_row(value: Any) -> Any:
    _row(value)  # refuses what is none
    return value.as_dict() if hasattr(value, "_fields") else list(value)


def to_core(event: Event, *, plain_outputs: bool = False) -> CoreEvent:
    """Return an event as the core sends it, under the id that it has.

    Inputs and outputs stay objects; what else an event holds becomes plain data.

    Args:
        event: The event.
        plain_outputs: Outputs become plain data as well.
    """
    value = _VALUES.get(event.type)
    if value is not None and value in event.attributes:
        attributes = plain(event.attributes) if plain_outputs else dict(event.attributes)
    else:
        attributes = to_jsonable_python(event.attributes, fallback=_row)
    extras = _extras(event)
    if extras:
        attributes[_EXTRAS] = extras
    core = CoreEvent.rebuilt(event.type, attributes, event.id.hex)
    core._made_by = getattr(event.id, "made_by", None)
    return core


def mark_sent(event: Event, core: CoreEvent) -> None:
    """Give an event the id that it was sent under: sent again, it has another."""
    if event.id.hex != core.id:
        event.__dict__["id"] = EventId.of(core)


def _extras(event: Event) -> dict[str, Any]:
    if not event.model_extra and type(event).model_fields.keys() == Event.model_fields.keys():
        return {}
    dumped = event.model_dump(mode="json", fallback=_row)
    return {name: value for name, value in dumped.items() if name not in Event.model_fields}


def to_theirs(core: CoreEvent) -> Event:
    """Return an event as an action gets it: a built-in one as its class, others as `Event`."""
    attributes = dict(core.attributes)
    extras = attributes.pop(_EXTRAS, {})
    if MemoryEvent.is_memory_type(core.type) or core.type == EventType.AgentRunBeginEvent:
        attributes = _observed(attributes)
    upstream = core.upstream_event_id
    known = BUILT_IN_EVENTS.get(core.type)
    as_it_is = known if core.type in _VALUES else None
    # It was checked when it was made.
    event = (as_it_is or Event).model_construct(
        id=EventId.of(core),
        type=core.type,
        attributes=attributes,
        upstream_event_id=None if upstream is None else _uuid(upstream),
        upstream_action_name=core.upstream_action_name,
        **extras,
    )
    return event if known is None or as_it_is is not None else known.from_event(event)


def _observed(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what was observed as theirs has it: plain data; what has no such form is left out."""
    given, value = attributes.get("value"), {}
    if not isinstance(given, dict):
        return attributes  # an action sent it: its class says what is wrong with it
    for name, each in given.items():
        with contextlib.suppress(ValueError):
            value[name] = as_json(each)
    return {**attributes, "key": str(attributes.get("key")), "value": value}


def _uuid(id: str) -> UUID:
    return UUID(EventId.of(CoreEvent.rebuilt("_", {}, id)).hex)
