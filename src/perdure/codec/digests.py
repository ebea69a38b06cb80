"""Digests of arguments, inputs and keys: the same for equal values in every process.

Sets count by their members, dicts with the order of their keys, dataclasses by the fields that
they compare. Types need not be registered, but count by their names (`names.NAMES`). Where a digest
was made under older names, `digests` and `call_digests` give it once for each generation of them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from perdure.codec.codec import next_step, packed
from perdure.codec.lower import Lowering, lowered_member, pack
from perdure.codec.names import MAX_NAMES, NAMES, type_name
from perdure.codec.types import TypeShape, describe
from perdure.errors import EncodeError

__all__ = [
    "DIGEST_SIZE", "call_digests", "digest", "digest_call", "digests", "member_digest", "newest",
    "stored_ids", "stored_ids_of_text",
]  # fmt: skip

DIGEST_SIZE = 16
LONGEST_NUMBER = 40  # digits of an id that a person types
_Pack = Callable[[Lowering, Lowering], bytes]


def _undigested(cls: type) -> str:
    return (
        f"an object of type {type_name(cls)} has no digest: arguments of a durable call must be "
        f"plain values (numbers, text, bytes, dates, lists, dicts, sets, dataclasses, models); "
        f"{next_step(cls)}"
    )


class _Naming:
    """Names of one generation, and how many generations there are among the classes it met."""

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self.generations = 1

    def find(self, cls: type) -> tuple[str, TypeShape] | None:
        shape = describe(cls)
        if shape is None:
            return None
        names = NAMES.of(cls)
        self.generations = max(self.generations, len(names))
        return names[min(self._generation, len(names) - 1)], shape


class _Newest:
    """The newest names of classes, remembered until another name is given."""

    def __init__(self) -> None:
        self._version = NAMES.version
        self._known: dict[type, tuple[str, TypeShape]] = {}

    def find(self, cls: type) -> tuple[str, TypeShape] | None:
        """Return name and shape of a class; None where it has none."""
        if self._version != NAMES.version:
            self._version, self._known = NAMES.version, {}
        found = self._known.get(cls)
        if found is None and (shape := describe(cls)) is not None:
            found = self._known[cls] = (NAMES.of(cls)[0], shape)
        return found


newest = _Newest().find
_CANONICAL = Lowering(newest, unknown=_undigested, canonical=True)
_CANONICAL_EXACT = Lowering(newest, unknown=_undigested, canonical=True, exact=True)


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest()


def digest(value: Any) -> bytes:
    """Return the 16 bytes of a value, under the newest names of its types.

    Args:
        value: A plain value.

    Raises:
        EncodeError: Something in it is no plain value.
    """
    if type(value) in _CANONICAL.plain:
        try:
            return _hash(pack(value))
        except (OverflowError, UnicodeEncodeError):
            pass  # it has a longer form
    return _hash(packed(value, _CANONICAL, _CANONICAL_EXACT, "value"))


@functools.lru_cache(1024)  # the same few members are met at each call
def member_digest(name: str, member: str | int) -> bytes:
    """Return what `digest` does for a member of an enum.

    Args:
        name: The newest name of its class.
        member: What `take_enum` gave.
    """
    return _hash(pack(lowered_member(name, member)))


def shard_of(key_digest: bytes, shards: int) -> int:
    """Return which of `shards` the key with this digest belongs to, the same on every machine."""
    return int.from_bytes(key_digest[:4], "big") % shards


def digests(value: Any) -> Iterator[bytes]:
    """Return the digests of a value under the names of each generation, the newest first.

    Args:
        value: A plain value.

    Raises:
        EncodeError: Something in it is no plain value.
    """
    yield digest(value)
    if type(value) not in _CANONICAL.plain:
        yield from _older(lambda lowering, exact: packed(value, lowering, exact, "value"))


def digest_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Return the digest of a call's arguments, whatever the order of its keywords.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.

    Raises:
        EncodeError: An argument is no plain value.
    """
    if len(kwargs) > 1:
        kwargs = dict(sorted(kwargs.items()))
    plain = _CANONICAL.plain.issuperset
    if plain(map(type, args)) and (not kwargs or plain(map(type, kwargs.values()))):
        try:
            data = pack((args, kwargs))
        except (OverflowError, UnicodeEncodeError):
            data = _packed_call(args, kwargs, _CANONICAL, _CANONICAL_EXACT)
    else:
        data = _packed_call(args, kwargs, _CANONICAL, _CANONICAL_EXACT)
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest()


def call_digests(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[bytes]:
    """Return the digests of a call's arguments for each generation of names, the newest first.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.

    Raises:
        EncodeError: An argument is no plain value.
    """
    yield digest_call(args, kwargs)
    kwargs = dict(sorted(kwargs.items()))
    plain = _CANONICAL.plain
    if not (plain.issuperset(map(type, args)) and plain.issuperset(map(type, kwargs.values()))):
        yield from _older(lambda lowering, exact: _packed_call(args, kwargs, lowering, exact))


def _older(pack_by: _Pack) -> Iterator[bytes]:
    for generation in range(1, MAX_NAMES):
        naming = _Naming(generation)
        data = pack_by(
            Lowering(naming.find, unknown=_undigested, canonical=True),
            Lowering(naming.find, unknown=_undigested, canonical=True, exact=True),
        )
        if generation >= naming.generations:
            return
        yield _hash(data)


def _packed_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], lowering: Lowering, exact: Lowering
) -> bytes:
    # Lists, because a tuple would be tagged and the fast path above tags nothing.
    try:
        return packed([list(args), kwargs], lowering, exact, "")
    except EncodeError as error:
        text = str(error)
        for index, name in enumerate(("args", "kwargs")):
            if text.startswith(f"[{index}]"):
                text = name + text[3:]
                break
        raise EncodeError(text) from None


def stored_ids(id_: Any) -> tuple[str, ...]:
    """Return an input's id as text that every store takes; else its digest stands for it.

    The newest form first; what comes after it was made under older names of its types.

    Raises:
        EncodeError: it has no journal form.
    """
    if type(id_) is str and id_.isprintable() and not id_.startswith("~") and len(id_) <= 500:
        return (id_,)
    return tuple(f"~{each.hex()}" for each in digests(id_))


def stored_ids_of_text(text: str) -> tuple[str, ...]:
    """Return what an id that a person types may be stored as: it is text, or a number."""
    is_number = text.isdecimal() and len(text) < LONGEST_NUMBER and text == str(int(text))
    return (*stored_ids(text), *(stored_ids(int(text)) if is_number else ()))
