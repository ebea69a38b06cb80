"""The events of what an action did to memory, made when it completes.

They are made of what its completion records and of what its replay reads and calls again, under
derived ids: after a crash they are the same (G3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from perdure.agent.memory_events import MEMORY_EVENTS
from perdure.errors import EncodeError
from perdure.event import EventType
from perdure.memory.cells import OBJECT
from perdure.printable import printable_logger
from perdure.runtime.action.context import ActionContext, Sent
from perdure.runtime.run.written import Written
from perdure.runtime.shared.services import JobServices

if TYPE_CHECKING:  # few jobs have such a memory
    from perdure.memory.long_term import LongTermOperation

__all__ = ["memory_events"]

logger = printable_logger("perdure")

Attributes = dict[str, Any]
Sets = dict[str, dict[str, Any]]  # by memory set and item, or query


def memory_events(
    services: JobServices,
    key: Any,
    context: ActionContext,
    did: Written,
    *,
    derive: Callable[[int], str],
) -> list[Sent]:
    """Return one event for each memory and kind of use of it, as far as actions are for them.

    Args:
        services: those of the job.
        key: the run's key.
        context: of the action.
        did: what it has written.
        derive: returns the ids of events that the action sends; its own sends count from 1 up.
    """
    made = dict(_attributes(services, context, did))
    found = []
    for number, event_type in enumerate(MEMORY_EVENTS, 1):
        if event_type in services.memory_events and event_type in made:
            data = _encoded(services, event_type, {"key": key, **made[event_type]})
            if data is not None:
                found.append(Sent(event_type, data, False, derive(-number)))
    return found


def _attributes(
    services: JobServices, context: ActionContext, did: Written
) -> Iterator[tuple[str, Attributes]]:
    decode = services.codec.decode
    for event_type, written in (
        (EventType.ShortTermWriteEvent, did.short_term),
        (EventType.SensoryWriteEvent, did.sensory),
    ):
        if written:
            values = {
                path: None if data is None or data == OBJECT else decode(data)
                for path, data in written
            }
            yield event_type, {"value": values}
    memories = context.memories
    for event_type, read in (
        (EventType.ShortTermReadEvent, memories.reads("short_term")),
        (EventType.SensoryReadEvent, memories.reads("sensory")),
    ):
        if read:
            yield event_type, {"value": {path: decode(data) for path, data in read.items()}}
    if context.long_term:
        yield from _of_long_term(context.long_term)


def _of_long_term(noted: Iterable[LongTermOperation]) -> Iterator[tuple[str, Attributes]]:
    """Fold operations on memory sets, in the order in which the action began them."""
    updates: Sets = {}
    cleared: dict[str, None] = {}
    got: Sets = {}
    searched: Sets = {}
    for each in noted:
        outcome = each.outcome
        if outcome is None or outcome.error is not None:
            continue
        result: Any = outcome.value
        name = each.memory_set
        match each.what:
            case "get":
                got.setdefault(name, {}).update({item.id: item.value for item in result})
            case "search":
                hits = [{"id": it.id, "value": it.value, "score": it.score} for it in result]
                searched.setdefault(name, {})[each.args[0]] = hits
            case "delete" if each.args == (None, None):
                updates.pop(name, None)
                cleared[name] = None
            case what:
                if changed := _changed(what, each.args, result):
                    updates.setdefault(name, {}).update(changed)
    if updates or cleared:
        yield (
            EventType.LongTermUpdateEvent,
            {"value": updates, "cleared_sets": list(cleared)},
        )
    if got:
        yield EventType.LongTermGetEvent, {"value": got}
    if searched:
        yield EventType.LongTermSearchEvent, {"value": searched}


def _changed(what: str, args: tuple[Any, ...], result: Any) -> Mapping[str, str | None]:
    """Return the texts that an operation has left, by item; None for what it has deleted."""
    match what, args:
        case "add", (items, *_):
            return {each["id"]: each["value"] for each in items}
        case "update", (id_, value, *_) if result and value is not None:
            return {id_: value}
        case "delete", (ids, None):
            return dict.fromkeys(ids)
        case "replace", (old, items, *_):
            return {**dict.fromkeys(old), **{each["id"]: each["value"] for each in items}}
    return {}


def _encoded(services: JobServices, event_type: str, attributes: Attributes) -> bytes | None:
    """Return the encoded attributes of an event; without what cannot be part of one.

    What can be stored by itself may be too large or too deep for an event: the action is not to
    fail because somebody is told of it.
    """
    encode = services.codec.encode
    try:
        return encode(attributes)
    except EncodeError:
        pass
    values: Attributes = {}
    for name, value in attributes["value"].items():
        try:
            encode({**attributes, "value": {**values, name: value}})
        except EncodeError as error:
            logger.warning("%s is made without %r: %s", event_type, name, error)
        else:
            values[name] = value
    return encode({**attributes, "value": values}) if values else None
