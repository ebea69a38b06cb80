"""Msgpack extensions back to the values they stand for, or to a readable view of them."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import pathlib
import uuid
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from perdure.codec.instances import build_enum, build_instance
from perdure.codec.lower import Tag
from perdure.codec.types import TypeShape
from perdure.errors import DecodeError

__all__ = ["reader", "restorer", "viewer"]

Unpack = Callable[[Any], Any]

_WRITTEN_BITS = 2048  # Python writes numbers of so many as text, whatever bound is set for it


def restorer(shape_of: Callable[[str], TypeShape]) -> Unpack:
    """Return a function that reads msgpack bytes back as the value that was lowered.

    Args:
        shape_of: Returns the shape of the class registered under a name, or raises DecodeError.
    """

    def restore(tag: int, data: memoryview) -> Any:
        build = _SCALARS.get(tag)
        if build is not None:
            return build(data)
        tree = unpack(data)
        build = _CONTAINERS.get(tag)
        if build is not None:
            return build(tree)
        if tag == Tag.ENUM:
            name, member = tree
            return build_enum(shape_of(name), name, member)
        if tag == Tag.RECORD:
            return _record(shape_of, *tree)
        raise DecodeError(f"extension {tag} is unknown here: read it with a newer perdure")

    unpack = msgspec.msgpack.Decoder(ext_hook=restore).decode
    return unpack


def _record(shape_of: Callable[[str], TypeShape], name: str, fields: Any, rest: Any = None) -> Any:
    shape = shape_of(name)
    return build_instance(shape, name, fields, rest or {})


def _path(tree: Any) -> pathlib.PurePath:
    flavour, text = tree
    path: pathlib.PurePath = _PATHS[flavour](text)
    return path


_PATHS = {
    "path": pathlib.Path,
    "posix": pathlib.PurePosixPath,
    "windows": pathlib.PureWindowsPath,
}


def _zone(tree: Any) -> datetime.tzinfo | None:
    if tree is None:
        return None
    if isinstance(tree, str):
        return zoneinfo.ZoneInfo(tree)
    micros, *named = tree
    return datetime.timezone(datetime.timedelta(microseconds=micros), *named)


def _datetime(tree: Any) -> datetime.datetime:
    year, month, day, *clock = tree
    date = datetime.date(year, month, day)
    return datetime.datetime.combine(date, _time(clock))


def _time(tree: Any) -> datetime.time:
    hour, minute, second, micros, fold, zone = tree
    return datetime.time(hour, minute, second, micros, _zone(zone), fold=fold)


def _pairs(tree: Any) -> list[tuple[Any, Any]]:
    return list(zip(tree[::2], tree[1::2], strict=True))


_SCALARS: dict[int, Callable[[memoryview], Any]] = {
    Tag.BIG_INT: lambda data: int.from_bytes(data, "big", signed=True),
    Tag.SURROGATES: lambda data: str(data, "utf-8", "surrogatepass"),
    Tag.BYTEARRAY: bytearray,
    Tag.UUID: lambda data: uuid.UUID(bytes=bytes(data)),
}

_CONTAINERS: dict[int, Callable[[Any], Any]] = {
    Tag.TUPLE: tuple,
    Tag.SET: set,
    Tag.FROZENSET: frozenset,
    Tag.PAIRS: lambda tree: dict(_pairs(tree)),
    Tag.ORDERED_DICT: lambda tree: OrderedDict(_pairs(tree)),
    Tag.DATETIME: _datetime,
    Tag.DATE: lambda tree: datetime.date(*tree),
    Tag.TIME: _time,
    Tag.TIMEDELTA: lambda tree: datetime.timedelta(*tree),
    Tag.DECIMAL: decimal.Decimal,
    Tag.PATH: _path,
    Tag.COMPLEX: lambda tree: complex(*tree),
}


class _Fields(dict[str, Any]):
    """The fields of an object whose class is not here; may be in a set, as the object was."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def reader() -> Unpack:
    """Return a function that reads msgpack bytes as the value, as far as that needs no class.

    An object is a dict of its fields and an enum the name of its member. Nothing is imported.
    """

    def read(tag: int, data: memoryview) -> Any:
        build = _SCALARS.get(tag)
        if build is not None:
            return build(data)
        tree = unpack(data)
        if tag == Tag.ENUM:
            return tree[1][0] if isinstance(tree[1], list) else tree[1]
        if tag == Tag.RECORD:
            _name, fields, *more = tree
            rest = more[0] if more else {}
            return rest["json"] if "json" in rest else _Fields(fields | rest.get("extra", {}))
        build = _CONTAINERS.get(tag)
        if build is not None:
            return build(tree)
        raise DecodeError(f"extension {tag} is unknown here: read it with a newer perdure")

    unpack = msgspec.msgpack.Decoder(ext_hook=read).decode
    return unpack


def viewer() -> Unpack:
    """Return a function that reads msgpack bytes as plain JSON data for people to look at.

    Registered types appear as `{"$type": name, ...fields}`. Nothing is rebuilt or imported.
    """

    def view(tag: int, data: memoryview) -> Any:
        build = _SCALARS.get(tag)
        if build is not None:
            return build(data)
        tree = unpack(data)
        if tag in (Tag.TUPLE, Tag.SET, Tag.FROZENSET):
            return list(tree)
        if tag == Tag.ENUM:
            name, member = tree
            return f"{name}({member[0]!r})" if isinstance(member, list) else f"{name}.{member}"
        if tag == Tag.RECORD:
            name, fields, *rest = tree
            return {"$type": name, **fields, **({"$more": rest[0]} if rest else {})}
        if tag in (Tag.PAIRS, Tag.ORDERED_DICT):
            # Keys may be lists here, so they become text first.
            return {_key(_plain(key)): held for key, held in _pairs(tree)}
        build = _CONTAINERS.get(tag)
        if build is not None:
            return _text(build(tree))
        return {"$extension": tag}

    unpack = msgspec.msgpack.Decoder(ext_hook=view).decode
    return lambda data: _plain(unpack(data))


def _text(value: Any) -> str:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return str(key)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(_plain(key)): _plain(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_plain(held) for held in value]
    if isinstance(value, bytes | bytearray):
        return {"$base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and value.bit_length() > _WRITTEN_BITS:
        return _long_number(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return _text(value)


def _long_number(value: int) -> int | str:
    try:
        str(value)
    except ValueError:  # Python writes no number of so many digits, JSON of one neither
        return f"<int of {value.bit_length()} bits>"
    return value
