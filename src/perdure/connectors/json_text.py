"""Values as JSON text, for readers that know nothing of Python.

An output is committed before its sink sees it, so a value that JSON cannot hold must not stop
the job: whatever the journal takes has a JSON form.

| value | JSON |
|---|---|
| NaN, Infinity | null |
| tuple | array |
| set, frozenset | array, sorted by the text of its items |
| dataclass, msgspec Struct, pydantic model | object of its fields |
| Enum | its value |
| datetime, date, time | ISO 8601 string |
| timedelta | seconds |
| bytes | Base64 string |
| UUID, Decimal, path, complex | string |
| integer of over 4,000 digits | hexadecimal string |
| a key that is no string | the text of its JSON form |
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["json_value", "to_json"]

# Python refuses decimal text of more than 4,300 digits, by default.
_MOST_BITS = 13_000


def to_json(value: Any) -> bytes:
    """Encode a value as one line of UTF-8 JSON without the newline.

    Text stays readable, except that a value with lone surrogates, which UTF-8 cannot hold, is
    written with escapes.

    Raises:
        TypeError: A value inside has no JSON form; names its type.
        ValueError: The value is nested too deeply, or holds itself.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        try:
            value = _plain(value)
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except RecursionError:
            raise ValueError("the value is nested too deeply for JSON") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode()


def json_value(text: str | bytes) -> Any:
    """Return what JSON text from a person or a program says, and nothing that it does not.

    Unlike Python's own reader it takes no NaN, and makes no infinity of a number.

    Raises:
        ValueError: It is no JSON, or no UTF-8.
        OverflowError: It is, with a number that is larger than a float can be.
        RecursionError: It is nested too deeply.
    """
    too_large: list[str] = []

    def number(text: str) -> float:
        found = float(text)
        if math.isinf(found):
            too_large.append(text)
        return found

    value = json.loads(text, parse_float=number, parse_constant=_refuse)
    if too_large:
        raise OverflowError(f"{too_large[0][:40]} is larger than any number may be")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _plain(value: Any) -> Any:
    """Convert to what `json` takes, all the way down."""
    # Enums come first: one may be a str or an int as well.
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return hex(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=json.dumps)
    return _plain_leaf(value)


def _plain_leaf(value: Any) -> Any:
    """Convert what is neither a JSON type nor a collection."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, uuid.UUID | decimal.Decimal | pathlib.PurePath | complex):
        return str(value)
    # Known by its method, so that pydantic is never imported from here.
    dump = getattr(type(value), "model_dump", None)
    if callable(dump):
        return _plain(dump(value))
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no JSON form")


def _key(key: Any) -> str:
    plain = _plain(key)
    return plain if isinstance(plain, str) else json.dumps(plain)
