"""What a source gives, as the inputs of a job: their keys, ids and places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perdure.connectors.base import SourceItem
from perdure.errors import ConfigurationError, InputError
from perdure.executor.shutdown import ends_process
from perdure.runtime.job_runtime import NewInput, Series

Field = str | Callable[[Any], Any]


def check_fields(key: Field, id_: Field | None) -> None:
    """Refuse, before anything is read, what says of no input which its key or id is.

    Raises:
        ConfigurationError: one is neither the name of a field nor a function.
    """
    for what, field in (("key", key), ("id", id_)):
        if not (isinstance(field, str) or callable(field) or (field is None and what == "id")):
            raise ConfigurationError(
                f"{what}={field!r:.60} is a {type(field).__name__}: give the name of a field, or a"
                f" function of an input's value, such as {what}=lambda value: value[0]"
            )


def new_input(
    item: SourceItem, source: str, key: Field, id_: Field | None, series: Series
) -> NewInput:
    """Return an item of a source as an input.

    Args:
        item: what the source gave.
        source: its name.
        key: the key: a field name or a function of the value. `a.b` is the field b of a.
        id_: the idempotency id, likewise, or None.
        series: what it keeps its order in; it takes the next place.

    Raises:
        InputError: it has no such field, the field is null, or the function failed.
    """
    place = place_of(item, source)
    found = _field(item, key, "key", place)
    identity = _field(item, id_, "id", place) if id_ is not None else None
    return NewInput(
        value=item.value,
        key=found,
        id=identity,
        source=source,
        position=item.position,
        place=place,
        series=series,
        place_in_series=series.next_place(),
    )


def place_of(item: SourceItem, source: str) -> str:
    """Return where an item stands, for messages: `line 3 of reviews.jsonl`."""
    line = item.line
    return f"line {line} of {source}" if line else f"input {item.position} of {source}"


def field_of(value: Any, field: Field, what: str, place: str) -> Any:
    """Return a field of an input's value, or what a function makes of it.

    Args:
        value: the value.
        field: a field name or a function; `a.b` is the field b of a.
        what: what it is for, "key" or "id".
        place: where the input stands; both for messages.

    Raises:
        InputError: it has no such field, or the function failed.
    """
    if not callable(field):
        return _named(value, field, field, what, place)
    try:
        return field(value)
    except BaseException as error:  # a CancelledError as well: nothing is cancelled by it
        if ends_process(error):
            raise
        raise InputError(
            f"{place}: the {what} function raised {type(error).__name__}: {error}"
        ) from error


def _field(item: SourceItem, field: Field, what: str, place: str) -> Any:
    """Return a field of what a source gave, or what a function makes of it."""
    found = field_of(item.value, field, what, place)
    if found is None and not callable(field) and (item.line or what == "id"):
        # In a file null says that nothing is known; in Python None is a key like any other. As an
        # id it is none, and the input would be known by its position.
        null = "null" if item.line else "None"
        raise InputError(
            f"{place}: the field {field!r} for the {what} is {null}: give it a value, or name"
            f" another field (--{what}, {what}=)"
        )
    return found


def _named(value: Any, field: str, whole: str, what: str, place: str) -> Any:
    """Return a field by its name, or what a path of names leads to."""
    if isinstance(value, Mapping):
        if field in value:  # it may have dots of its own
            return value[field]
        first, dot, rest = field.partition(".")
        if dot and first in value:
            return _named(value[first], rest, whole, what, place)
        has = ", ".join(map(repr, list(value)[:8])) or "nothing"
        inside = "" if field == whole else f" ({whole[: -len(field) - 1]!r} has {has})"
        raise InputError(
            f"{place} has no field {whole!r} for the {what}{inside or f'; it has {has}'}: name"
            f" another field (--{what}, {what}=; a.b is the field b of a)"
        )
    first, dot, rest = field.partition(".")
    try:
        found = getattr(value, first)
    except AttributeError:
        raise InputError(_no_fields(value, field, whole, what, place)) from None
    return _named(found, rest, whole, what, place) if dot else found


def _no_fields(value: Any, field: str, whole: str, what: str, place: str) -> str:
    """Say that an input is nothing that has fields, and what it may have been meant as."""
    is_inside = field != whole
    of = f"{place}: {whole[: -len(field) - 1]!r}" if is_inside else place
    if isinstance(value, list) and value and isinstance(value[0], Mapping) and not is_inside:
        return (
            f"{of} is an array of objects, without {field!r} for the {what}: make a line of each:"
            " jq -c '.[]' FILE"
        )
    name = type(value).__name__
    kind = "null" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return (
        f"{of} is {kind} without {field!r} for the {what}: name a field that"
        f" every input has (--{what}, {what}=); in Python {what}= may be a function too"
    )
