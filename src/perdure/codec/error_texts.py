"""What is told of any exception, rebuildable or not; nothing that it is asked fails.

The objects that a callable raises are its own: whatever they raise when they are asked, a
BaseException included, says only that they cannot be asked.
"""

from __future__ import annotations

import contextlib
import traceback
from typing import Any

__all__ = [
    "MAX_TEXT",
    "TRACEBACK_ATTRIBUTE",
    "class_name",
    "members_of",
    "notes_of",
    "text_of",
    "traceback_of",
]

TRACEBACK_ATTRIBUTE = "__perdure_traceback__"
"""Where a decoded exception holds the text of its original traceback."""

MAX_TEXT = 8 * 1024

_MAX_FRAMES = 50
_MAX_NOTES = 20
_MAX_MEMBERS = 250  # of groups, all in all, that are shown in a traceback
_name_of = vars(type)["__name__"].__get__
_get_traceback = vars(BaseException)["__traceback__"].__get__
_get_cause = vars(BaseException)["__cause__"].__get__
_get_context = vars(BaseException)["__context__"].__get__
_get_members = vars(BaseExceptionGroup)["exceptions"].__get__


def class_name(cls: type) -> str:
    """Return the name of a class, whatever its metaclass does."""
    name: str = _name_of(cls)
    return name


def text_of(thing: object) -> str:
    """Return the text of an object; what stands for it where that cannot be made."""
    try:
        return "".join((str(thing),))  # a plain text, where it is of a class that extends it
    except BaseException:
        return f"<{class_name(type(thing))} whose text cannot be made>"


def notes_of(exc: BaseException) -> list[str]:
    """Return the first notes of an exception as text; none where they cannot be had."""
    try:
        notes = getattr(exc, "__notes__", None)
        if not isinstance(notes, list):
            return []
        return [text_of(note)[:MAX_TEXT] for note in notes[:_MAX_NOTES]]
    except BaseException:
        return []


def members_of(group: BaseExceptionGroup[Any]) -> tuple[BaseException, ...]:
    """Return what a group was made of, whatever its class says instead: itself again, say."""
    members: tuple[BaseException, ...] = _get_members(group)
    return members


def traceback_of(exc: BaseException) -> str:
    """Return the traceback of an exception as text, with the one that it came back with."""
    text = _formatted(exc)
    before = _earlier(exc)
    if before:
        text = f"{before}\nThe above was journaled and raised again here:\n\n{text}"
    # The innermost frames say most.
    return text if len(text) <= MAX_TEXT else "...\n" + text[4 - MAX_TEXT :]


def _formatted(exc: BaseException) -> str:
    trace = _get_traceback(exc)
    with contextlib.suppress(BaseException):
        if _is_bounded(exc):
            return "".join(
                traceback.format_exception(type(exc), exc, trace, limit=-_MAX_FRAMES, chain=False)
            )
    # Without its members and notes.
    last = f"{class_name(type(exc))}: {text_of(exc)}\n"
    try:
        frames = traceback.format_tb(trace, limit=-_MAX_FRAMES)
        return "".join(("Traceback (most recent call last):\n", *frames, last))
    except BaseException:
        return last


def _is_bounded(exc: BaseException) -> bool:
    """Say whether the groups that an exception is or came from have an end, and a near one.

    `traceback` goes through all of their members, as often as each is held, and asks the class
    for them.
    """
    left, seen, members = [exc], {id(exc)}, 0
    while left:
        each = left.pop()
        for origin in (_get_cause(each), _get_context(each)):
            if origin is not None and id(origin) not in seen:
                seen.add(id(origin))
                left.append(origin)
        kind = type(each)
        if issubclass(kind, BaseExceptionGroup):
            held = _get_members(each)
            members += len(held)
            if members > _MAX_MEMBERS or _has_its_own_members(kind):
                return False
            left.extend(held)
    return True


def _has_its_own_members(cls: type[BaseExceptionGroup[Any]]) -> bool:
    if cls is ExceptionGroup or cls is BaseExceptionGroup:
        return False
    owner = next(base for base in cls.__mro__ if "exceptions" in vars(base))
    return owner is not BaseExceptionGroup


def _earlier(exc: BaseException) -> str:
    try:
        kept: Any = getattr(exc, "__dict__", {}).get(TRACEBACK_ATTRIBUTE)
        return kept if isinstance(kept, str) else ""
    except BaseException:
        return ""
