"""What the state of a shard is made of: entries of text and bytes, and their format.

    v               version of the format
    n               newest numbers of runs, keys and inputs
    k:DIGEST        a key and the sequence of its newest run
    m:DIGEST:PATH   a path of the short-term memory of a key
    r:RUN           a run that goes on, and what its input was given with
    j:RUN:N         the nth record of its journal
    o:RUN:N         its nth output; the value only where another run may ask for it
    i:N             an input that is not a run yet
    d:ID            the id of an input whose run has ended, kept for a time

Numbers are in hexadecimal. Entries that begin alike sort by their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from perdure.errors import StoreFormatError

__all__ = ["VERSION", "WaitingInput", "check_version", "dump", "load", "newest_of"]

VERSION: Final = 1

dump: Final = msgspec.msgpack.Encoder().encode
load: Final = msgspec.msgpack.Decoder().decode


class WaitingInput(NamedTuple):
    """An input that is not a run yet, as an element brought it; see `Element`."""

    id: str | None
    key: bytes | None
    value: bytes


class Newest(NamedTuple):
    """The newest numbers of a shard."""

    run: int = 0
    key: int = 0
    input: int = 0


def newest_of(data: bytes | None) -> Newest:
    """Return the newest numbers that an entry says, none without."""
    return Newest() if data is None else Newest(*load(data))


def check_version(data: bytes | None, entries: Iterable[Any]) -> None:
    """Refuse state of another format.

    Raises:
        StoreFormatError: it is newer than this perdure, or nothing that perdure has written.
    """
    if data is None:
        if any(True for _ in entries):
            raise StoreFormatError(
                "flink:// has state here that perdure has not written: give the operator a uid of"
                " its own"
            )
        return
    try:
        version = load(data)
    except msgspec.DecodeError as error:
        raise StoreFormatError(f"flink:// is damaged: entry 'v' cannot be read: {error}") from error
    if version != VERSION:
        raise StoreFormatError(
            f"flink:// has state of format {version}, and this perdure reads {VERSION}: restore the"
            " savepoint with the perdure that wrote it, or a newer one"
        )


def hex_of(number: int) -> str:
    """Return a number as the names of entries have it: longer ones do not come before."""
    return f"{number:016x}"
