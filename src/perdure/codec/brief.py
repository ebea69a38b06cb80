"""Short texts of values for messages, at a cost that does not grow with the values."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

__all__ = ["BRIEF", "brief"]

BRIEF = 160  # characters of a call's arguments, as its record has them

_MAX_DEPTH = 4
_SMALL_REPRS = (bool, float, complex, type(None), date, time, timedelta, UUID)
_EMPTY = (str, list, dict, tuple)  # types whose empty values say nothing in a record
_BRACKETS: dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}


def brief(args: tuple[Any, ...], kwargs: dict[str, Any], limit: int = BRIEF) -> str:
    """Return the arguments of a call as short text, such as `'B01', 3, aspect='fit'`.

    Takes no more of a value than it shows, calls no `__repr__` of unknown classes, and never
    raises.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        limit: Most characters of the result; text that was cut ends in `…`.

    Returns:
        One line of text.
    """
    text = separator = ""
    try:
        # In two loops: every call passes here, mostly with a few plain arguments.
        for value in args:
            text = f"{text}{separator}{_value(value, limit, 0)}"
            separator = ", "
            if len(text) > limit:
                break
        for name, value in kwargs.items():
            if len(text) > limit:
                break
            text = f"{text}{separator}{name}={_value(value, limit, 0)}"
            separator = ", "
    except Exception:
        text += "?"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _value(value: Any, room: int, depth: int) -> str:
    cls = type(value)
    if cls is str or cls is bytes or cls is bytearray:
        shown: str = repr(value[: room + 1])
        return shown
    if cls is int:
        bits = value.bit_length()
        return repr(value) if bits <= 256 else f"<int of {bits} bits>"
    if cls in _SMALL_REPRS or (cls is Decimal and sys.getsizeof(value) < 300):
        return repr(value)
    if cls not in _BRACKETS:
        if isinstance(value, enum.Enum):
            name = value._name_
            return f"{cls.__name__}.{name}" if name else f"{cls.__name__}({value._value_!r:.60})"
        if isinstance(value, date | time | timedelta) and cls.__module__ == "datetime":
            return repr(value)
    if depth >= _MAX_DEPTH:
        return "…"
    if cls is dict:
        held = (
            f"{_value(key, room, depth + 1)}: {_value(item, room, depth + 1)}"
            for key, item in value.items()
        )
        return "{" + _joined(held, room) + "}"
    brackets = _BRACKETS.get(cls)
    if brackets is not None:
        held = (_value(item, room, depth + 1) for item in value)
        inner = _joined(held, room)
        if cls is tuple and len(value) == 1:
            inner += ","
        return brackets[0] + inner + brackets[1]
    fields = getattr(cls, "__dataclass_fields__", None)
    if fields is not None:
        return f"{cls.__qualname__}({_joined(_fields(value, fields, room, depth), room)})"
    return f"<{cls.__qualname__}>"


def _fields(value: Any, names: Iterable[str], room: int, depth: int) -> Iterator[str]:
    """Return the fields of a dataclass that say something."""
    for name in names:
        held = getattr(value, name, None)
        if held is not None and (type(held) not in _EMPTY or held):
            yield f"{name}={_value(held, room, depth + 1)}"


def _joined(parts: Iterable[str], room: int) -> str:
    text = ""
    for part in parts:
        text += (", " if text else "") + part
        if len(text) > room:
            return text[:room] + "…"
    return text
