"""What a chat model connection returned, checked where it comes back."""

from __future__ import annotations

from typing import Any, Final

from perdure.errors import TerminalError
from perdure.llm.message import ChatMessage, ToolCall, Usage

__all__ = ["checked_response"]

_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "requests",
)


def checked_response(found: Any, by: Any) -> ChatMessage:
    """Return what a connection returned, if it is a message that a chat can count and answer.

    Args:
        found: What it returned.
        by: The connection, or the chat model whose own `chat` it was.

    Raises:
        TypeError: It is no message.
        TerminalError: Its usage or its tool calls are none.
    """
    if not isinstance(found, ChatMessage):
        raise TypeError(f"a chat model connection returned {type(found).__name__}, no ChatMessage")
    wrong = None
    if found.usage is not None:
        wrong = _wrong_usage(found.usage)
    if found.tool_calls != []:
        wrong = wrong or _wrong_calls(found.tool_calls)
    if wrong is not None:
        name = getattr(by, "name", "")
        who = f"{type(by).__name__} {name!r}" if name else type(by).__name__
        raise TerminalError(f"the chat model connection {who} returned a ChatMessage with {wrong}")
    return found


def _wrong_usage(usage: Any) -> str | None:
    if not isinstance(usage, Usage):
        return f"usage={usage!r:.100}: give a Usage(input_tokens=, output_tokens=), or None"
    for name in _COUNTS:
        count = getattr(usage, name)
        if not isinstance(count, int) or count < 0:
            return f"usage.{name}={count!r:.100}: give a whole number from 0 on"
    cost = usage.cost
    if cost is not None and not (isinstance(cost, int | float) and cost >= 0):
        return f"usage.cost={cost!r:.100}: give a number from 0 on, or None"
    return None


def _wrong_calls(calls: Any) -> str | None:
    if not isinstance(calls, list | tuple):
        return f"tool_calls={calls!r:.100}: give a list of ToolCall(id=, name=, arguments=)"
    for n, each in enumerate(calls):
        if not (isinstance(each, ToolCall) and isinstance(each.name, str)):
            return f"tool_calls[{n}]={each!r:.100}: give a ToolCall(id=, name=, arguments=)"
    return None
