"""What a call waited for before its outcome, in one number of at most eight bytes."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SHORTEST", "Waited", "pack_waited", "unpack_waited"]

SHORTEST = 1_000_000  # ns: what is shorter is not told apart from none
_WIDTH, _SHIFT = 21, 16  # bits of one time: 16 of them its digits, above them 5 of its exponent
_DIGITS, _TIME = (1 << _SHIFT) - 1, (1 << _WIDTH) - 1


class Waited(NamedTuple):
    """How long a call waited in this process, over all of its attempts; in ns.

    Attributes:
        thread: for a thread of the pool.
        limit: for its places under its limits.
        retries: from failed attempts until the next.
    """

    thread: int = 0
    limit: int = 0
    retries: int = 0


def pack_waited(thread: int, limit: int, retries: int) -> int | None:
    """Return the number that stands for what was waited; None for nothing.

    In microseconds with sixteen bits of each time, so to 0.002 % of it; up to four years each. A
    short wait for a thread alone is a number of two or three bytes, as stores keep numbers.
    """
    return _packed(thread) | _packed(limit) << _WIDTH | _packed(retries) << 2 * _WIDTH or None


def _packed(time: int) -> int:
    if time < SHORTEST:
        return 0
    digits = time // 1000
    exponent = max(digits.bit_length() - _SHIFT, 0)
    return _TIME if exponent > 31 else exponent << _SHIFT | digits >> exponent


def unpack_waited(packed: int | None) -> Waited:
    """Return what a number of `pack_waited` stands for."""
    number = packed or 0
    return Waited(*(_unpacked(number >> place * _WIDTH & _TIME) for place in range(3)))


def _unpacked(time: int) -> int:
    return ((time & _DIGITS) << (time >> _SHIFT)) * 1000
