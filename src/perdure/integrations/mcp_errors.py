"""What went wrong with an MCP server, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["broken_rule", "first", "late", "said"]


def broken_rule(error: Any) -> str | None:
    """Return in one line what in an answer breaks the protocol; None for other errors."""
    if not hasattr(error, "errors") or type(error).__name__ != "ValidationError":
        return None
    first, count = error.errors()[0], error.error_count()
    place = ".".join(str(each) for each in first["loc"])
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"it breaks the protocol: {place}: {first['msg']}{more}"


def first(error: BaseException) -> BaseException:
    """Return the first error of groups, however deep."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def said(error: BaseException | None, command: Sequence[str] = ()) -> str:
    """Return what an error says.

    Args:
        error: The error.
        command: The program that was to be started, and its arguments.
    """
    rule = broken_rule(error)
    if rule is not None:
        return rule
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        # Some event loops leave out which program it was that they could not start.
        return f"there is no {error.filename or ' '.join(command[:1])!r}"
    if isinstance(error, TimeoutError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def late(timeout: float) -> str:
    """Return what is said of a server that did not answer in time."""
    return f"it did not answer within {timeout} s"
