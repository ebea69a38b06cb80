"""Texts as a request can hold them: no lone surrogates.

Python has them in texts that were read with `surrogateescape`, such as file names, and in what JSON
escapes; UTF-8 has no form for them. The journal keeps them, and the digest of a call is of the text
as it is: they are replaced where a request is made, one that is recorded and made again included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from perdure.llm.message import ChatMessage, ToolCall

__all__ = ["sendable", "sendable_messages"]

T = TypeVar("T")
_TEXTS: Final = ("content", "tool_call_id", "tool_name", "reasoning", "extra_args")


def sendable(value: T) -> T:
    """Return plain data with U+FFFD for each lone surrogate in it; itself where there is none.

    Args:
        value: A text, or lists, tuples and dicts of texts; anything else in it stays as it is.
    """
    found: Any = value
    if isinstance(found, str):
        if found.isascii() or _is_utf8(found):
            return value
        found = _replaced(found)
    elif isinstance(found, dict):
        made = {sendable(key): sendable(held) for key, held in found.items()}
        if not _are_same(found, made) or not _are_same(found.values(), made.values()):
            found = made
    elif type(found) in (list, tuple):
        members = [sendable(each) for each in found]
        if not _are_same(found, members):
            found = type(found)(members)
    return found  # type: ignore[no-any-return]


def _are_same(before: Iterable[Any], after: Iterable[Any]) -> bool:
    return all(a is b for a, b in zip(before, after, strict=False))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _replaced(text: str) -> str:
    # Two of them that make a pair are the character that they stand for.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def sendable_messages(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """Return a conversation whose texts a request can hold; itself where it is one."""
    made = [_message(each) for each in messages]
    return messages if _are_same(messages, made) else made


def _message(message: ChatMessage) -> ChatMessage:
    changes: dict[str, Any] = {}
    for name in _TEXTS:
        held = getattr(message, name)
        if held and (replaced := sendable(held)) is not held:
            changes[name] = replaced
    if message.tool_calls:
        calls = [_call(each) for each in message.tool_calls]
        if not _are_same(calls, message.tool_calls):
            changes["tool_calls"] = calls
    return dataclasses.replace(message, **changes) if changes else message


def _call(call: ToolCall) -> ToolCall:
    held = (call.id, call.name, call.arguments)
    made = sendable(held)
    return call if made is held else ToolCall(id=made[0], name=made[1], arguments=made[2])
