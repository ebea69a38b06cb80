"""Values to msgpack trees: what msgspec would silently change becomes a tagged value first.

Left alone, msgspec writes tuples and sets as lists, UUIDs and enums as text, dataclasses as maps.
So a walk over the exact types of a value comes first. It returns the very object it was given
where nothing needs a tag, which is nearly always; a tag is a msgpack extension holding the msgpack
bytes of its content.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import pathlib
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from perdure.codec.instances import is_made_again, take_apart, take_enum
from perdure.codec.names import type_name
from perdure.codec.types import TypeShape

__all__ = ["MAX_DEPTH", "Lowering", "Refusal", "Tag", "lowered_member", "pack"]

MAX_DEPTH = 100
"""Levels of containers in one value; reading one back takes a few stack frames for each."""

pack: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode

_SHOWN_STEPS = 8  # of the way to a refused value: the reason is to be seen behind it

_NAN = float("nan")
_BARE = (list, dict)  # empty ones, which most fields of messages are, stay as they are
_NATIVE_KEYS = frozenset((str, int))


class Tag:
    """Codes of the msgpack extensions. They are stored: never reuse or renumber one.

    Plain integers: msgspec takes no enum here.
    """

    TUPLE = 1
    SET = 2
    FROZENSET = 3
    BIG_INT = 4
    SURROGATES = 5
    BYTEARRAY = 6
    PAIRS = 7
    ORDERED_DICT = 8
    DATETIME = 9
    DATE = 10
    TIME = 11
    TIMEDELTA = 12
    DECIMAL = 13
    UUID = 14
    PATH = 15
    COMPLEX = 16
    ENUM = 17
    RECORD = 18


class Refusal(Exception):
    """A value that has no journal form, and where in the whole it was found."""

    def __init__(self, reason: str) -> None:
        """Start at the place itself; the walk adds the steps that lead there."""
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []

    def inside(self, step: str) -> Refusal:
        """Add one step of the path, from the inside out."""
        self.steps.append(step)
        return self

    def path(self, root: str) -> str:
        """Return the path of the refused value, such as `value["a"][3]`, cut where it is long."""
        steps = "".join(reversed(self.steps[-_SHOWN_STEPS:]))
        return f"{root}{steps}{'…' if self._is_deep else ''}"

    @property
    def _is_deep(self) -> bool:
        return len(self.steps) > _SHOWN_STEPS

    def said(self, root: str) -> str:
        """Return what is refused and why; the reason first where the path says little."""
        path = self.path(root)
        return f"{self.reason} (at {path})" if self._is_deep else f"{path}: {self.reason}"


class Lowering:
    """One way of lowering values; stateless between calls and safe on any thread.

    Owns a table of handlers by exact type. `exact` lowers text and integers that msgpack has no
    form for as well, which costs a look at each of them; without it msgspec raises
    `UnicodeEncodeError` or `OverflowError` for them. `canonical` makes equal values equal bytes.
    """

    def __init__(
        self,
        find: Callable[[type], tuple[str, TypeShape] | None],
        *,
        unknown: Callable[[type], str],
        exact: bool = False,
        canonical: bool = False,
    ) -> None:
        """Make the table.

        Args:
            find: Returns name and shape of a class that may be taken apart, else None.
            unknown: Returns why a value of some other class is refused, and what to do.
            exact: Lower big integers and lone surrogates too.
            canonical: One form for equal values: for digests, never read back.
        """
        self._find = find
        self._unknown = unknown
        self._canonical = canonical
        plain: set[type] = {type(None), bool, bytes, float, int, str}
        handlers: dict[type, Callable[[Any, int], Any]] = {
            dict: self._dict,
            list: self._list,
            tuple: self._tuple,
            set: self._set,
            frozenset: self._frozenset,
            OrderedDict: self._ordered_dict,
        }
        handlers.update(_SCALARS)
        if exact:
            plain -= {int, str}
            handlers.update({int: _int, str: _str})
        if canonical:
            plain.discard(float)
            handlers[float] = _canonical_float
        self.plain = frozenset(plain)
        self._handlers = handlers

    def lower(self, value: Any, depth: int = 0) -> Any:
        """Return the msgpack tree of a value: itself where nothing in it needs a tag.

        Args:
            value: Any value.
            depth: How many containers it is in.

        Raises:
            Refusal: It has no journal form.
        """
        cls = type(value)
        if cls in self.plain:
            return value
        if depth > MAX_DEPTH:
            raise Refusal(
                f"nested more than {MAX_DEPTH} levels deep, or it contains itself: flatten it, or "
                "store it as bytes"
            )
        handler = self._handlers.get(cls)
        if handler is not None:
            return handler(value, depth + 1)
        return self._registered(value, cls, depth + 1)

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        plain = self.plain
        keys = _NATIVE_KEYS if str in plain else None
        if keys is None or not keys.issuperset(map(type, value)):
            keys = None
            if not all(_is_native_key(key) for key in value):
                return self._tagged_pairs(Tag.PAIRS, value, depth)
        if keys is not None and plain.issuperset(map(type, value.values())):
            return value
        lower = self.lower
        changed: dict[Any, Any] | None = None
        key: Any = None
        try:
            for key, held in value.items():
                if type(held) not in plain:
                    lowered = lower(held, depth)
                    if lowered is not held:
                        if changed is None:
                            changed = value.copy()
                        changed[key] = lowered
        except Refusal as refusal:
            raise refusal.inside(_key_step(key)) from None
        return value if changed is None else changed

    def _list(self, value: Any, depth: int) -> Any:
        # Also takes tuples: msgspec writes both as arrays.
        plain = self.plain
        if plain.issuperset(map(type, value)):
            return value
        lower = self.lower
        changed: list[Any] | None = None
        index = 0
        try:
            for index, held in enumerate(value):
                if type(held) not in plain:
                    lowered = lower(held, depth)
                    if lowered is not held:
                        if changed is None:
                            changed = list(value)
                        changed[index] = lowered
        except Refusal as refusal:
            raise refusal.inside(f"[{index}]") from None
        return value if changed is None else changed

    def _tuple(self, value: tuple[Any, ...], depth: int) -> Any:
        return _tagged(Tag.TUPLE, self._list(value, depth))

    def _set(self, value: set[Any], depth: int) -> Any:
        return _tagged(Tag.SET, self._sorted(value, depth))

    def _frozenset(self, value: frozenset[Any], depth: int) -> Any:
        return _tagged(Tag.FROZENSET, self._sorted(value, depth))

    def _sorted(self, members: Iterable[Any], depth: int) -> list[msgspec.Raw]:
        # The order of a set of text differs from process to process; the order of bytes does not.
        encoded = []
        for held in members:
            try:
                encoded.append(pack(self.lower(held, depth)))
            except Refusal as refusal:
                raise refusal.inside(f"{{{_short(held)}}}") from None
        return [msgspec.Raw(data) for data in sorted(encoded)]

    def _ordered_dict(self, value: OrderedDict[Any, Any], depth: int) -> Any:
        return self._tagged_pairs(Tag.ORDERED_DICT, value, depth)

    def _tagged_pairs(self, tag: int, value: dict[Any, Any], depth: int) -> Any:
        flat: list[Any] = []
        for key, held in value.items():
            try:
                flat.append(self.lower(key, depth))
            except Refusal as refusal:
                raise refusal.inside(f".key({_short(key)})") from None
            try:
                flat.append(self.lower(held, depth))
            except Refusal as refusal:
                raise refusal.inside(_key_step(key)) from None
        return _tagged(tag, flat)

    def _registered(self, value: Any, cls: type, depth: int) -> Any:
        found = self._find(cls)
        if found is None:
            raise Refusal(self._unknown(cls))
        name, shape = found
        if shape.kind == "enum":
            member = take_enum(value)
            if type(member) is str:
                return lowered_member(name, member)
            return self._undeclared(name, member, value, depth)
        try:
            return _tagged(Tag.RECORD, [name, *self._record(shape, value, depth)])
        except Refusal:
            if shape.kind != "pydantic":
                raise
            # Fields such as URLs and secrets have no journal form, but their models do.
            dumped = self._dumped(shape, value)
            if dumped is None:
                raise
            return _tagged(Tag.RECORD, [name, {}, {"json": self.lower(dumped, depth)}])

    def _undeclared(self, name: str, member: Any, value: Any, depth: int) -> Any:
        """Lower a member that its class does not declare: a combined flag, or a made-up one."""
        is_flag = isinstance(value, enum.Flag)
        if not (is_flag or self._canonical or is_made_again(value)):
            raise Refusal(
                f"{name} does not give this member for its value again, as reading it would ask: "
                "let its _missing_ do so, or declare the member"
            )
        if member is not None:
            return lowered_member(name, member)
        return _tagged(Tag.ENUM, [name, [self.lower(value._value_, depth)]])

    def _record(self, shape: TypeShape, value: Any, depth: int) -> list[Any]:
        fields, rest = take_apart(shape, value)
        if self._canonical and len(shape.compared) != len(shape.fields):
            fields = {name: fields[name] for name in shape.compared if name in fields}
        plain = self.plain
        for name, held in fields.items():
            cls = type(held)
            if cls not in plain and (cls not in _BARE or held):
                try:
                    fields[name] = self.lower(held, depth)  # no new name: they may be gone through
                except Refusal as refusal:
                    raise refusal.inside(f".{name}") from None
        if self._canonical:
            rest = {"extra": rest["extra"]} if "extra" in rest else {}
        return [fields, self.lower(rest, depth)] if rest else [fields]

    def _dumped(self, shape: TypeShape, value: Any) -> Any:
        try:
            dumped = value.model_dump(mode="json", warnings=False)
            if not self._canonical and shape.cls.model_validate(dumped) != value:  # type: ignore[attr-defined]
                return None
        except Exception:
            return None
        return dumped


@functools.lru_cache(1024)  # the same few members are met all the time
def lowered_member(name: str, member: str | int) -> Any:
    """Return the tree of a member of an enum, which is what `take_enum` gave."""
    return _tagged(Tag.ENUM, [name, member])


def _tagged(tag: int, tree: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(tag, pack(tree))


def _is_native_key(key: Any) -> bool:
    cls = type(key)
    if cls is str:
        return key.isascii() or _is_utf8(key)
    return cls is int and -(2**63) <= key < 2**64


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _int(value: int, _: int) -> Any:
    if -(2**63) <= value < 2**64:
        return value
    size = value.bit_length() // 8 + 1
    return msgspec.msgpack.Ext(Tag.BIG_INT, value.to_bytes(size, "big", signed=True))


def _str(value: str, _: int) -> Any:
    if value.isascii() or _is_utf8(value):
        return value
    return msgspec.msgpack.Ext(Tag.SURROGATES, value.encode("utf-8", "surrogatepass"))


def _canonical_float(value: float, _: int) -> float:
    return value if value == value else _NAN


def _bytearray(value: bytearray, _: int) -> Any:
    return msgspec.msgpack.Ext(Tag.BYTEARRAY, bytes(value))


def _zone(value: datetime.datetime | datetime.time) -> Any:
    """None when naive, [microseconds, name?] for a fixed offset, the key of a named zone."""
    zone = value.tzinfo
    if zone is None:
        return None
    key = getattr(zone, "key", None)
    if isinstance(key, str):
        return key
    offset = value.utcoffset()
    if offset is None:
        raise Refusal(
            f"its time zone {type_name(type(zone))} has neither a key nor a fixed offset: use "
            "zoneinfo.ZoneInfo or datetime.timezone"
        )
    micros = offset // datetime.timedelta(microseconds=1)
    # The arguments a timezone was made with: a name of its own is the second one.
    named = zone.__getinitargs__()[1:] if type(zone) is datetime.timezone else ()  # type: ignore[attr-defined]
    return [micros, *named]


def _datetime(value: datetime.datetime, _: int) -> Any:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return _tagged(Tag.DATETIME, [value.year, value.month, value.day, *clock, _zone(value)])


def _date(value: datetime.date, _: int) -> Any:
    return _tagged(Tag.DATE, [value.year, value.month, value.day])


def _time(value: datetime.time, _: int) -> Any:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return _tagged(Tag.TIME, [*clock, _zone(value)])


def _timedelta(value: datetime.timedelta, _: int) -> Any:
    return _tagged(Tag.TIMEDELTA, [value.days, value.seconds, value.microseconds])


def _decimal(value: decimal.Decimal, _: int) -> Any:
    return _tagged(Tag.DECIMAL, str(value))


def _uuid(value: uuid.UUID, _: int) -> Any:
    return msgspec.msgpack.Ext(Tag.UUID, value.bytes)


def _path(value: pathlib.PurePath, _: int) -> Any:
    flavour = "path" if isinstance(value, pathlib.Path) else "posix"
    if isinstance(value, pathlib.PureWindowsPath) and flavour != "path":
        flavour = "windows"
    return _tagged(Tag.PATH, [flavour, _str(str(value), 0)])


def _complex(value: complex, _: int) -> Any:
    return _tagged(Tag.COMPLEX, [value.real, value.imag])


_SCALARS: dict[type, Callable[[Any, int], Any]] = {
    bytearray: _bytearray,
    datetime.datetime: _datetime,
    datetime.date: _date,
    datetime.time: _time,
    datetime.timedelta: _timedelta,
    decimal.Decimal: _decimal,
    uuid.UUID: _uuid,
    complex: _complex,
    pathlib.PurePosixPath: _path,
    pathlib.PureWindowsPath: _path,
    # What Path() makes here: a PosixPath or a WindowsPath.
    type(pathlib.Path()): _path,
}


def _short(value: Any) -> str:
    if type(value) in (str, bytes):
        return repr(value[:40])
    if type(value) in (int, float, bool, type(None)):
        text = repr(value) if type(value) is not int or value.bit_length() < 128 else "int"
        return text
    return type(value).__name__


def _key_step(key: Any) -> str:
    return f"[{_short(key)}]"
