"""Inputs to admit: what is asked for, the order they keep, and their journal form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from perdure.codec.codec import Codec
from perdure.codec.digests import digest, digests, stored_ids
from perdure.codec.error_texts import class_name, text_of
from perdure.errors import EncodeError
from perdure.executor.shutdown import ends_process
from perdure.runtime.shared.series import Series


class NewInput(msgspec.Struct, frozen=True):
    """An input to admit.

    Attributes:
        value: the input.
        key: its key.
        id: its idempotency id, or None.
        source: name of its source, where it has a position instead of an id.
        position: its position there, from 0; -1 without.
        place: where it stands, for messages ("line 3 of reviews.jsonl").
        origin: whose ids `id` belongs to; "" for those of the user.
        due: when it may begin, ns since the epoch, to be admitted without room; 0 at once.
        goes_by_id: one that was admitted under its id with another key or value is this one too.
        is_child: a run in flight waits for its admission, so it does not wait for room.
        older_ids: ids under which the same input may have been admitted before.
        series: what it keeps its order in, if anything.
        place_in_series: from 1.
        encoded: value and key as the job's codec has written them, where somebody has them so.
    """

    value: Any
    key: Any
    id: Any = None
    source: str = ""
    position: int = -1
    place: str = ""
    origin: str = ""
    due: int = 0
    goes_by_id: bool = False
    is_child: bool = False
    older_ids: tuple[str, ...] = ()
    series: Series | None = None
    place_in_series: int = 0
    encoded: tuple[bytes, bytes] | None = None

    def refused_before(self) -> Exception | None:
        """Return why an input before it in its series was refused or lost, None if none was."""
        if self.series is None:
            return None
        return self.series.refused_before(self.place_in_series)


class PreparedInput(msgspec.Struct, frozen=True):
    """An input in journal form.

    A class in it may have had other names when it, or its key, was admitted before: `identities`
    and `key_digests` are those of each generation of names, the newest first. `digest` is that of
    key and value, by which an input is known again; empty where it has no identity.
    """

    source: str
    identities: tuple[str | int, ...]  # none: each time it is given it is another input
    digest: bytes
    value: bytes
    key_digests: tuple[bytes, ...]
    key_value: bytes
    item: NewInput

    @property
    def label(self) -> str:
        """The id or the position of an input, for people; "" without."""
        if not self.identities:
            return ""
        id_ = self.item.id if self.item.id is not None else max(self.item.position, 0)
        try:
            label = str(id_)
        except Exception:  # a number of thousands of digits; or a class of the user's does that
            label = f"<{type(id_).__name__}>"
        return label.encode("utf-8", "backslashreplace").decode()[:200]


def prepared(item: NewInput, codec: Codec) -> PreparedInput:
    """Return an input in journal form.

    Raises:
        EncodeError: it cannot be journaled.
    """
    try:
        value, key = item.encoded or (codec.encode(item.value), codec.encode(item.key))
        key_digests = tuple(digests(item.key))
        if item.id is None and not item.source:
            return PreparedInput("", (), b"", value, key_digests, key, item)
        both = _input_digest(key_digests[0], digest(item.value))
    except BaseException as raised:  # an attribute of a value, say, whatever its class is
        if ends_process(raised):
            raise
        if isinstance(raised, EncodeError):
            why = str(raised)
        else:
            why = f"it raises {class_name(type(raised))}: {text_of(raised)}"
        where = f" ({item.place})" if item.place else ""
        raise EncodeError(f"an input{where} cannot be journaled: {why}") from raised
    if item.id is not None:
        identities: tuple[str | int, ...] = (*stored_ids(item.id), *item.older_ids)
        return PreparedInput(item.origin, identities, both, value, key_digests, key, item)
    return PreparedInput(item.source, (item.position,), both, value, key_digests, key, item)


def _input_digest(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(key + value, digest_size=16).digest()


def input_digests(item: NewInput) -> Iterator[bytes]:
    """Return the digests of an input for each generation of names of its types."""
    keys, values = list(digests(item.key)), list(digests(item.value))
    for n in range(max(len(keys), len(values))):
        yield _input_digest(keys[min(n, len(keys) - 1)], values[min(n, len(values) - 1)])


def changed(item: PreparedInput) -> str:
    """Say that an input is another one than was admitted before, and what to do about it."""
    if item.item.id is None:
        place = item.item.place or f"input {item.item.position}"
        return (
            f"{place} is not what this job read there before (source {item.source!r}): restore it,"
            " give the new inputs another name (--source-name, name=) or job (--job, job=), or"
            " give inputs ids (--id, id=)"
        )
    return (
        f"id {item.item.id!r} was submitted before with another key or value: an id is one input"
        " for ever; give this one another id"
    )
