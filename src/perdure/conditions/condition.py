"""Conditions: what an action asks of an event besides its type, as an expression in CEL.

    @action("type == EventType.InputEvent && input.score > 80")

A condition reads the event alone: `type`, `id`, `attributes`, and each attribute under its own
name. In a condition that asks for `type == EventType.InputEvent` the fields of the input's value
count as attributes too, so that `attributes.score > 80` says the same. What it says of an event is
the same at any time and in any process, so that a run that resumes triggers the actions that it
triggered before.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import re
import sys
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from perdure.conditions.syntax import (
    EVENT_TYPES,
    FUNCTIONS,
    OURS,
    check,
    event_type_of,
    event_types,
    is_condition,
    keys,
    read,
)
from perdure.errors import AgentDefinitionError, ConditionError, missing_extra
from perdure.event import Event, EventType

__all__ = ["Condition", "ConditionIndex", "event_type_of", "is_condition"]

T = TypeVar("T")

_MAX_LENGTH: Final = 8192
_INPUTS: Final = frozenset({EventType.InputEvent})
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNDEFINED: Final = re.compile(r"Undefined variable or function: '(.*?)'")


class Condition:
    """One condition of one action, compiled; equal to another of the same text.

    Attributes:
        text: As it was written, without space around it.
        types: Event types that it can be true for; None: any.
    """

    __slots__ = ("_keys", "_program", "_uses", "_where", "text", "types")

    def __init__(self, text: str, where: str) -> None:
        """Compile a condition.

        Args:
            text: The expression.
            where: What it belongs to, for messages.

        Raises:
            AgentDefinitionError: It is no condition on an event.
            ConfigurationError: The extra `conditions` is not installed.
        """
        self.text = text.strip()
        self._where = where = f"{where}, condition {self.text!r}"
        if len(self.text) > _MAX_LENGTH:
            raise AgentDefinitionError(
                f"{where[:200]}...: it has {len(self.text)} characters: shorten it to {_MAX_LENGTH}"
            )
        cel = _cel(where)
        source = read(self.text, where)
        _compiled(cel, source.checked, where)  # says where an error is
        self._program = _compiled(cel, source.rewritten, where)
        variables = frozenset(self._program.variables())
        if dotted := next((each for each in sorted(variables) if each.startswith(".")), None):
            raise AgentDefinitionError(f"{where}: write {dotted[1:]} without the dot before it")
        check(source.tokens, where)
        self._uses = variables & OURS
        self._keys = frozenset(keys(source.tokens, cel.evaluate, where))
        types = event_types(source.tokens, cel.evaluate)
        if types == frozenset({EventType.OutputEvent}):
            raise AgentDefinitionError(
                f"{where}: outputs leave the run: send an event of your own instead"
            )
        self.types = None if types is None else types - {EventType.OutputEvent}
        if not variables:
            self._check_constant()

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return self.text == other.text if isinstance(other, Condition) else NotImplemented

    def __hash__(self) -> int:
        """Go by the text."""
        return hash(self.text)

    def __repr__(self) -> str:
        """Return the text."""
        return f"Condition({self.text!r})"

    def matches(self, event: Event) -> bool:
        """Say whether an event meets this condition; an output meets none.

        Raises:
            ConditionError: It cannot be told: an attribute is missing or has no form in CEL, the
                values do not go together, or the result is neither true nor false.
        """
        kind = event.type
        if kind == EventType.OutputEvent or (self.types is not None and kind not in self.types):
            return False
        attributes, present = self._attributes(event), {}
        for key in self._keys:
            if key in attributes:
                try:
                    present[key] = _value(attributes[key])
                except _NoFormError as error:
                    raise self._error(event, f"attribute {key!r} has {error}") from None
        variables: dict[str, Any] = dict(present)
        for name in self._uses:
            variables[name] = _OWN[name](event, present)
        try:
            met = self._program.execute(variables)
        except Exception as error:
            raise self._error(event, _reason(error)) from None
        if met is True or met is False:
            return bool(met)
        raise self._error(event, f"its result is of type {_name_of(met)}, neither true nor false")

    def _attributes(self, event: Event) -> Mapping[str, Any]:
        """Return an event's attributes; for a condition on inputs the fields of the value too."""
        if self.types != _INPUTS:
            return event.attributes
        value = event.attributes.get("input")
        fields = value if isinstance(value, Mapping) else _fields(value)
        return {**fields, **event.attributes} if fields else event.attributes

    def _error(self, event: Event, reason: str) -> ConditionError:
        which = f"event {event.id} of type {event.type}" if event.id else f"event {event.type}"
        return ConditionError(f"{self._where}, {which}: {reason}")

    def _check_constant(self) -> None:
        try:
            always = self._program.execute({})
        except Exception as error:
            raise AgentDefinitionError(
                f"{self._where} fails for every event: {_reason(error)}"
            ) from None
        if not isinstance(always, bool):
            raise AgentDefinitionError(
                f"{self._where} is never true or false: it is of type {_name_of(always)}"
            )


_OWN: Final[Mapping[str, Callable[[Event, dict[str, Any]], Any]]] = {
    "type": lambda event, _: event.type,
    "id": lambda event, _: event.id,
    "attributes": lambda _, present: present,
    "EventType": lambda _, __: EVENT_TYPES,
}


class ConditionIndex(Generic[T]):
    """Whose conditions an event of a type may meet. Immutable.

    A condition that asks for a type is not among those of other types, and one whose owner the
    type alone triggers is not asked at all.
    """

    __slots__ = ("_by_type", "_others")

    def __init__(self, owners: Iterable[tuple[T, Collection[str], tuple[Condition, ...]]]) -> None:
        """Sort conditions by event type.

        Args:
            owners: Each with the event types that trigger it, and its conditions, in order.
        """
        entries = [entry for entry in owners if entry[2]]
        named = {kind for _, triggers, _ in entries for kind in triggers}
        named |= {kind for entry in entries for each in entry[2] for kind in each.types or ()}
        self._by_type = {kind: _asked(entries, kind) for kind in named}
        self._others = _asked(entries, None)

    def __bool__(self) -> bool:
        """Say whether there is any condition."""
        return bool(self._by_type or self._others)

    def for_type(self, event_type: str) -> tuple[tuple[T, tuple[Condition, ...]], ...]:
        """Return owners, in order, with those of their conditions that are to be asked."""
        return self._by_type.get(event_type, self._others)


def _asked(
    entries: Iterable[tuple[T, Collection[str], tuple[Condition, ...]]], kind: str | None
) -> tuple[tuple[T, tuple[Condition, ...]], ...]:
    found = []
    for owner, triggers, conditions in entries:
        asked = tuple(each for each in conditions if each.types is None or kind in each.types)
        if asked and kind not in triggers:
            found.append((owner, asked))
    return tuple(found)


# Compiling


def _cel(where: str) -> Any:
    try:
        import cel  # here, for an agent without conditions needs none
    except ImportError as error:
        raise missing_extra(where, "conditions", error) from error
    return cel


def _compiled(cel: Any, source: str, where: str) -> Any:
    try:
        return cel.compile(source)
    except Exception as error:
        place = _PLACE.search(str(error))
        if place is None:
            raise AgentDefinitionError(f"{where} is not CEL: {_reason(error)}") from None
        line = "" if place[1] == "1" else f"line {place[1]}, "
        raise AgentDefinitionError(
            f"{where} is not CEL: {line}column {place[2]}: {place[3]}"
        ) from None


# Evaluating


class _NoFormError(Exception):
    """A value that CEL does not take: `... has` and what it has."""


def _reason(error: Exception) -> str:
    text = str(error.args[0]) if error.args else str(error)
    if undefined := _UNDEFINED.search(text):
        if undefined[1] in FUNCTIONS:
            return f"{undefined[1]}(...) does not take what it was given"
        return f"there is no attribute {undefined[1]!r}: guard it with has({undefined[1]})"
    if isinstance(error, KeyError):
        return f"there is no {text!r}: guard it with has(...)"
    return text.partition("\n")[0].partition(". ")[0] or type(error).__name__


def _name_of(value: Any) -> str:
    names = {str: "string", float: "double", dict: "map", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _value(value: Any) -> Any:
    """Return a value as CEL takes it."""
    cls = type(value)
    if cls is str or cls is float or cls is bool or value is None:
        return value
    if isinstance(value, enum.Enum):
        return _value(value.value)
    if isinstance(value, int):
        return _number(value)
    if cls is dict or isinstance(value, Mapping):
        return {_key(key): _value(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(cls, "_fields"):
        return {name: _value(getattr(value, name)) for name in cls._fields}
    if isinstance(value, (list, tuple)):
        return [_value(item) for item in value]
    if isinstance(value, (set, frozenset)):
        # In an order that does not change from process to process.
        return sorted(map(_value, value), key=repr)
    return _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, (datetime.datetime, datetime.timedelta)):
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, float)):
        return float(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    fields = _fields(value)
    if fields is None:
        raise _NoFormError(
            f"a value of type {type(value).__name__} in it, which no condition takes"
        )
    return {name: _value(item) for name, item in fields.items()}


def _number(value: int) -> int | float:
    if -(2**63) <= value < 2**63:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        raise _NoFormError("a number in it that is too large for a condition") from None


def _key(key: Any) -> Any:
    key = key.value if isinstance(key, enum.Enum) else key
    if not isinstance(key, (str, int)):
        raise _NoFormError(f"a key of type {type(key).__name__} in it, which no condition takes")
    return key


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of a record, None for anything else."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, BaseException)):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    # Without pydantic loaded there are no models.
    base = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    return dict(value) if base is not None and isinstance(value, base) else None
