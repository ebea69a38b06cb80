"""Where two argument lists differ, when one of them is no longer there.

A digest says that a call was made with other arguments than now, not which. Where their short text
(`brief`) leaves out more than empty fields, or their types may get other names, a sketch of them
follows the digest in the journal: for each part a few bytes of a hash of its path and of its value.
Compared with the sketch of what the action asks for now it names the parts that differ. It decides
nothing: hashes this short may collide.

Fields that are empty are left out, as most of a message's are; a byte behind the parts says so.
Sketches of before have them all.
"""

from __future__ import annotations

import enum
import hashlib
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from perdure.codec.brief import BRIEF, brief
from perdure.codec.digests import DIGEST_SIZE, digest, digest_call, member_digest, newest
from perdure.codec.instances import take_apart, take_enum
from perdure.codec.lower import pack
from perdure.codec.names import OWN_PREFIX
from perdure.errors import EncodeError

__all__ = ["differences", "sign_call"]

_MAX_PARTS = 48
_MAX_CHILDREN = 32
_HASH_SIZE = 3
_LEAN = b"\x01"  # behind parts: there were empty fields, which are not among them
_PLAIN = frozenset((type(None), bool, int, float, str, bytes))
_SHOWN_WHOLE = frozenset((type(None), bool, int, str))  # as `brief` shows them, where short
_NOTHING: tuple[Any, ...] = (None, [], {})  # met in most fields of messages
_EMPTY = {type(each): digest(each)[:_HASH_SIZE] for each in _NOTHING}
_OF_TYPE, _OF_VALUE = ":True", ":False"  # behind a place: what of it a part is
_SHOWN = 3  # parts named in a message

# The hashes of path and value, and what to call it, as text.
_Part = tuple[bytes, bytes, "str | _TypeOf"]


def sign_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], parts: Mapping[str, Any] | None = None
) -> tuple[bytes, str]:
    """Return the digest of a call's arguments, with their sketch behind it, and their short text.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        parts: What a digest among the arguments was made of, by name; sketched in their stead.

    Returns:
        The digest alone where the text shows all of them, but for empty fields.

    Raises:
        EncodeError: An argument is no plain value.
    """
    if not kwargs and parts is None and _SHOWN_WHOLE.issuperset(map(type, args)):
        # As most calls: a few plain values, in fewer steps.
        try:
            data = pack((args, kwargs))
        except (OverflowError, UnicodeEncodeError):
            signed = digest_call(args, kwargs)  # it has a longer form
        else:
            signed = hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest()
            if len(data) <= BRIEF:
                text = ", ".join(map(repr, args))
                if len(text) <= BRIEF and "…" not in text:
                    return signed, text
    else:
        signed = digest_call(args, kwargs)
    text = brief(args, kwargs)
    told = _are_plain if "<" in text else _are_told  # `<Type>` is what is not shown
    if parts is not None or "…" in text or not (told(args) and told(kwargs.values())):
        found, empty = _sketch(args, kwargs, parts)
        signed += b"".join([path + value for path, value, _ in found])
        if empty:
            signed += _LEAN
    return signed, text


def _are_told(values: Collection[Any]) -> bool:
    """Say whether a short text with no mark in it tells values from those that are not equal."""
    return _are_plain(values) or all(map(_is_told, values))


def _is_told(value: Any) -> bool:
    cls = type(value)
    if cls in _PLAIN:
        return True
    if cls is list or cls is tuple:
        return _are_told(value)
    if cls is dict:
        return _are_plain(value) and _are_told(value.values())
    known = newest(cls)
    return known is not None and known[0].startswith(OWN_PREFIX)


def _are_plain(values: Collection[Any]) -> bool:
    return _PLAIN.issuperset(map(type, values))


def differences(
    recorded: bytes | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    parts: Mapping[str, Any] | None = None,
) -> str:
    """Return what differs between recorded arguments and these, such as "args[0].note".

    Args:
        recorded: What `sign_call` returned for the recorded ones.
        args: Positional arguments of now.
        kwargs: Keyword arguments of now.
        parts: What a digest among the arguments is made of, by name.

    Returns:
        The places that differ, for a message; "" where the journal does not tell.
    """
    known = (recorded or b"")[DIGEST_SIZE:]
    size = 2 * _HASH_SIZE
    is_lean = len(known) % size == len(_LEAN)
    before = {known[i : i + _HASH_SIZE]: known[i + _HASH_SIZE : i + size]
              for i in range(0, len(known) - is_lean, size)}  # fmt: skip
    if not before:
        return ""
    now, empty = _sketch(args, kwargs, parts, lean=is_lean)
    gone = set(before) - {path for path, _, _ in now}
    found = []
    for path, value, named in now:
        shown = str(named)
        if path not in before:
            was_empty = is_lean and not shown.endswith("]")
            found.append(shown if was_empty else f"{shown} (which was not there)")
        elif before[path] != value:
            found.append(shown)
    for place in empty:
        if (path := _path(place, _OF_VALUE)) in gone:
            gone.discard(path)
            found.append(place)
    if gone:
        found.append(
            f"{len(gone)} part{'s' if len(gone) > 1 else ''} that"
            f" {'are' if len(gone) > 1 else 'is'} gone"
        )
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join(found[:_SHOWN] + more)


def _sketch(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    parts: Mapping[str, Any] | None,
    *,
    lean: bool = True,
) -> tuple[list[_Part], list[str]]:
    """Return the parts of arguments, and the places of the fields that `lean` leaves out."""
    pending: deque[tuple[str, Any]] = deque()
    if parts is not None:
        pending.extend(parts.items())
    else:
        pending.extend((f"args[{index}]", value) for index, value in enumerate(args))
        pending.extend(sorted(kwargs.items()))
    found: list[_Part] = []
    empty: list[str] = []
    while pending:
        place, value = pending.popleft()
        cls = type(value)
        if cls in _PLAIN:  # as most are
            if len(found) < 2 * _MAX_PARTS:
                found.append((_path(place, _OF_VALUE), _value_hash(cls, value), place))
            continue
        inside, bare = _inside(place, cls, value, lean)
        if inside and len(found) + len(pending) + len(inside) <= _MAX_PARTS:
            pending.extend(inside)
            empty.extend(bare)
        elif len(found) < 2 * _MAX_PARTS:
            if cls is _TypeOf:
                found.append((_path(place, _OF_TYPE), _path(value.name), value))
            else:
                found.append((_path(place, _OF_VALUE), _value_hash(cls, value), place))
    return found, empty


class _TypeOf:
    """That the value of a place is of a type, as a part of its own."""

    __slots__ = ("name", "place")

    def __init__(self, place: str, name: str) -> None:
        self.place = place
        self.name = name

    def __str__(self) -> str:
        return f"the type of {self.place} (now {self.name})"


def _inside(
    place: str, cls: type, value: Any, lean: bool
) -> tuple[Sequence[tuple[str, Any]], Sequence[str]]:
    """Return the parts of a value, and the places of its fields that `lean` leaves out."""
    if cls is _TypeOf or isinstance(value, enum.Enum):
        return (), ()
    bare: list[str] = []
    if cls is dict:
        inside = [(f"{place}[{_key(key)}]", held) for key, held in value.items()]
    elif cls is list or cls is tuple:
        inside = [(f"{place}[{index}]", held) for index, held in enumerate(value)]
    else:
        inside = _fields(place, cls, value, bare if lean else None)
    return (inside, bare) if len(inside) <= _MAX_CHILDREN else ((), ())


def _fields(place: str, cls: type, value: Any, bare: list[str] | None) -> list[tuple[str, Any]]:
    known = newest(cls)
    if known is None:
        return []
    name, shape = known
    fields, _ = take_apart(shape, value)
    inside: list[tuple[str, Any]] = [(place, _TypeOf(place, name))]
    for field, at in _places(place, shape.compared):
        if field not in fields:
            continue
        held = fields[field]
        if bare is not None and type(held) in _EMPTY and not held:
            bare.append(at)
        else:
            inside.append((at, held))
    return inside


@lru_cache(1024)
def _places(place: str, fields: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((field, f"{place}.{field}") for field in fields)


def _key(key: Any) -> str:
    # Python refuses to write a number of thousands of digits.
    is_short = type(key) is str or (type(key) is int and key.bit_length() < 256)
    return repr(key) if is_short and len(repr(key)) < 60 else type(key).__name__


def _value_hash(cls: type, value: Any) -> bytes:
    if cls in _EMPTY and not value:
        return _EMPTY[cls]
    try:
        if isinstance(value, enum.Enum) and (known := newest(cls)) is not None:
            member = take_enum(value)
            if member is not None:
                return member_digest(known[0], member)[:_HASH_SIZE]
        return digest(value)[:_HASH_SIZE]
    except EncodeError:
        return bytes(_HASH_SIZE)


@lru_cache(4096)  # the same few places and names are met at each call
def _path(text: str, of: str = "") -> bytes:
    data = (text + of).encode("utf-8", "replace")
    return hashlib.blake2b(data, digest_size=_HASH_SIZE).digest()
