"""When a server says that it may be asked again (`Retry-After`)."""

from __future__ import annotations

from perdure.checks import LONGEST_SECONDS

__all__ = ["seconds_in", "seconds_of"]


def seconds_in(header: str | None) -> float | None:
    """Return what the header says where it is a number; a date is left to the policy."""
    return seconds_of(float(header)) if header is not None and header.isdecimal() else None


def seconds_of(asked: float | None) -> float | None:
    """Return the seconds that a server asks for; what nobody can wait for is left to the policy."""
    return asked if asked is not None and 0 <= asked <= LONGEST_SECONDS else None
