"""What a source gives, as the inputs of a job: their keys, ids and places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perdure.connectors.base import SourceRecord
from perdure.errors import InputError
from perdure.runtime.admission import NewInput

Field = str | Callable[[Any], Any]


def new_input(record: SourceRecord, source: str, key: Field, id_: Field | None) -> NewInput:
    """Return a record of a source as an input.

    Args:
        record: what the source gave.
        source: its name.
        key: the key: a field name or a function of the value.
        id_: the idempotency id, likewise, or None.

    Raises:
        InputError: it has no such field, or the function failed.
    """
    line = record.line
    place = f"line {line} of {source}" if line else f"input {record.position} of {source}"
    return NewInput(
        value=record.value,
        key=_field(record.value, key, "key", place),
        id=_field(record.value, id_, "id", place) if id_ is not None else None,
        source=source,
        position=record.position,
        place=place,
    )


def _field(value: Any, field: Field, what: str, place: str) -> Any:
    """Return a field of an input, or what a function makes of it."""
    if callable(field):
        try:
            return field(value)
        except Exception as error:
            raise InputError(
                f"{place}: the {what} function raised {type(error).__name__}: {error}"
            ) from error
    if isinstance(value, Mapping):
        if field in value:
            return value[field]
        has = ", ".join(map(repr, list(value)[:8])) or "nothing"
        raise InputError(f"{place} has no field {field!r} for the {what}; it has {has}")
    try:
        return getattr(value, field)
    except AttributeError:
        raise InputError(
            f"{place} is a {type(value).__name__} without {field!r}: give {what}= a function"
        ) from None
