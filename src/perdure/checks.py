"""Names and durations that programs give, refused where they are given.

A wrong one would fail only later: at a commit, or in the middle of a call.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, cast

from perdure.errors import ConfigurationError
from perdure.printable import why_no_name

__all__ = [
    "LONGEST_SECONDS",
    "as_number",
    "checked_aliases",
    "checked_bound",
    "checked_choice",
    "checked_durable_id",
    "checked_limit",
    "checked_name",
    "checked_patience",
    "checked_seconds",
    "checked_time",
    "checked_timeout",
    "fitting",
    "nanoseconds",
    "shown",
]

T = TypeVar("T")

# Of all durations: with a time of today they fit 63 bits of ns, which the journal keeps of times.
LONGEST_SECONDS: Final = 200 * 365 * 86_400


def as_number(value: Any) -> float:
    """Return a number as the arithmetic of times takes it: an int or a float, of a float's range.

    These stay as they are, members of an `Enum` included, since a duration is part of what a call
    is known by in the journal. Another number, such as a `Decimal`, a `Fraction` or one of numpy,
    becomes the float that it stands for: the journal has no form of it.

    Raises:
        TypeError: it is no number.
        ValueError: it has no value, or is too large.
    """
    cls = type(value)
    if cls is float or (isinstance(value, float) and isinstance(value, enum.Enum)):
        return cast(float, value)
    if not (hasattr(cls, "__float__") or hasattr(cls, "__index__")):  # a text, which float() reads
        raise TypeError(f"{cls.__name__} is no number")
    try:
        number = float(value)
    except ArithmeticError as error:
        raise ValueError("too large") from error
    return value if isinstance(value, int) else number


def fitting(fits: Callable[[Any], bool], value: Any) -> float | None:
    """Return `as_number(value)` if it is as `fits` wants it; None where not, or it is no number."""
    try:
        number = as_number(value)
        return number if fits(number) else None
    except (TypeError, ValueError):
        return None


def checked_durable_id(name: str | None) -> str | None:
    """Return `name` if it is None or can be the name of a call in the journal.

    Raises:
        ConfigurationError: it can not.
    """
    if name is not None and (why := why_no_name(name)):
        raise ConfigurationError(f"{name!r} is no name of a durable call: {why}")
    return name


def checked_aliases(aliases: Iterable[str]) -> tuple[str, ...]:
    """Return names that a callable had in the journal before.

    Raises:
        ConfigurationError: one of them is no text.
    """
    is_several = isinstance(aliases, Iterable) and not isinstance(aliases, str)
    found: tuple[Any, ...] = tuple(aliases) if is_several else (aliases,)
    wrong = [alias for alias in found if not isinstance(alias, str) or not alias]
    if wrong:
        raise ConfigurationError(f"{wrong[0]!r} is no name of a durable call: give a text")
    return found


def checked_limit(limit: str | Iterable[str]) -> str | tuple[str, ...]:
    """Return `limit` if it is the name of a limit; of several names a tuple.

    Raises:
        ConfigurationError: one of them is no text.
    """
    if isinstance(limit, str):
        return limit
    names = tuple(limit) if isinstance(limit, Iterable) else (limit,)
    if not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"limit={limit!r:.60} is no name of a limit: give a text")
    return names


def checked_bound(name: str, bound: float) -> float:
    """Return `bound` if it can be the most of something: a number that is not negative.

    Args:
        name: what it was given as.
        bound: the number.

    Raises:
        ConfigurationError: it is none.
    """
    number = fitting(lambda number: number >= 0, bound)
    if number is None:
        raise ConfigurationError(f"{name}={shown(bound)} is no number from 0 on: give one")
    return number


def checked_choice(name: str, given: T, choices: tuple[str, ...]) -> T:
    """Return `given` if it is one of a few texts.

    Args:
        name: what it was given as.
        given: what was given.
        choices: the texts.

    Raises:
        ConfigurationError: it is none of them.
    """
    if not isinstance(given, str) or given not in choices:
        raise ConfigurationError(f"{name}={given!r:.60} is none of {', '.join(choices)}: give one")
    return given


def checked_timeout(timeout: float | None, what: str = "timeout=") -> float | None:
    """Return `timeout` if it is None or a positive number of seconds, of `LONGEST_SECONDS` at most.

    Raises:
        ConfigurationError: it is neither; `what` is said before it.
    """
    return None if timeout is None else checked_time(timeout, what)


def checked_patience(timeout: float | None) -> float | None:
    """Return `timeout` if it can be how long to wait for what goes on after it, as with asyncio.

    None and an infinite one are for ever, 0 and a negative one are not at all.

    Raises:
        ConfigurationError: it is no number.
    """
    if timeout is None:
        return None
    number = fitting(lambda number: not math.isnan(number), timeout)
    if number is None:
        raise ConfigurationError(
            f"timeout={shown(timeout)} is no number of seconds: give one, or None for no limit"
        )
    return number


def checked_time(seconds: float, what: str) -> float:
    """Return `seconds` if it is a positive number, of `LONGEST_SECONDS` at most.

    Raises:
        ConfigurationError: it is not.
    """
    number = checked_seconds(seconds, what)
    if number <= 0:
        raise ConfigurationError(f"{what}{shown(seconds)} is no positive number of seconds")
    return number


def checked_seconds(seconds: float, what: str = "") -> float:
    """Return `seconds` if it is a finite number, of `LONGEST_SECONDS` at most; see `as_number`.

    Args:
        seconds: a duration.
        what: is said before it where it is refused, such as "delay=".

    Raises:
        ConfigurationError: it is not.
    """
    if type(seconds) is float and 0.0 <= seconds <= LONGEST_SECONDS:
        return seconds  # as most are, with each input among them
    number = fitting(lambda number: -math.inf < number < math.inf, seconds)
    if number is not None and number <= LONGEST_SECONDS:
        return number
    if number is not None or (isinstance(seconds, int) and seconds > 0):
        raise ConfigurationError(
            f"{what}{shown(seconds)} is more than {LONGEST_SECONDS} seconds, two hundred years:"
            " give less"
        )
    raise ConfigurationError(f"{what}{shown(seconds)} is no finite number of seconds")


def shown(value: Any) -> str:
    """Return what was given for a number, for the message that refuses it."""
    try:
        return f"{value!r:.60}"
    except ValueError:  # a whole number of more digits than Python writes
        return f"a number of type {type(value).__name__}"


def nanoseconds(seconds: float) -> int:
    """Return a duration that was checked in ns; added to a time of today it fits the journal."""
    return int(seconds * 1e9)


def checked_name(name: str, what: str = "signal") -> str:
    """Return `name` if it is a text that names a signal, or `what` else.

    Raises:
        ConfigurationError: it is none.
    """
    if why := why_no_name(name or None):
        raise ConfigurationError(f"{name!r:.60} names no {what}: {why}")
    return name
