"""What went wrong with an MCP server, in one line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from perdure.printable import printable

__all__ = ["broken_rule", "first", "lacking_folder", "late", "line", "said"]


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


def line(text: str) -> str:
    """Return what a server, its program or its client says in one line of which nothing acts."""
    return printable(" ".join(text.split()))


async def lacking_folder(error: BaseException | None, cwd: str | None) -> str | None:
    """Return the working folder if the lack of it is why a program could not be started.

    Python and event loops differ in which file they say is not there: the program or the folder.
    """
    if cwd is None or not isinstance(error, FileNotFoundError | NotADirectoryError):
        return None
    return None if await asyncio.to_thread(os.path.isdir, cwd) else cwd


def said(
    error: BaseException | None, command: Sequence[str] = (), lacking: str | None = None
) -> str:
    """Return what an error says, in one line.

    Args:
        error: The error.
        command: The program that was to be started, and its arguments.
        lacking: The working folder that it was to have, where there is no such folder.
    """
    rule = broken_rule(error)
    if rule is not None:
        return line(rule)
    text = line(str(error))
    if lacking is not None:
        return f"there is no folder {lacking!r} to start it in (cwd=)"
    if isinstance(error, FileNotFoundError):
        # Some event loops leave out which program it was that they could not start.
        return f"there is no {error.filename or ' '.join(command[:1])!r}"
    if isinstance(error, TimeoutError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def late(timeout: float) -> str:
    """Return what is said of a server that did not answer in time."""
    return f"it did not answer within {timeout} s"
