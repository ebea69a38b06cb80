"""What the journal keeps of a tool's result, where it is too large or has no form there."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

from perdure.config.configuration import AgentExecutionOptions
from perdure.context import RunnerContext
from perdure.errors import EncodeError
from perdure.llm.message import Attachment
from perdure.llm.sendable import sendable
from perdure.llm.tool import tool_result_attachments, tool_result_text

__all__ = ["ToolResultForm"]

_NOTES = 256  # bytes for what is said about the rest


class ToolResultForm:
    """The journal form of one tool's result: itself, or a text of it that the model can use.

    It is decided when the call is over and journaled, so a replay sees the same whatever the
    configuration says then.
    """

    def __init__(self, ctx: RunnerContext, calls: int) -> None:
        """Find out how large a result may be.

        Args:
            ctx: The context of the action.
            calls: Tools that are called side by side: one event takes the results of all of them.
        """
        most = ctx.config.get(AgentExecutionOptions.MAX_PAYLOAD_BYTES)
        self._most = most * 3 // 4 // max(1, calls)

    def encoded(self, result: Any, encode: Callable[[Any], bytes]) -> bytes:
        """Return the journal bytes of a result, or of what stands for it."""
        try:
            data = encode(result)
        except EncodeError:
            return encode(self._instead(result))
        return data if len(data) <= self._most else encode(self._instead(result))

    def _instead(self, result: Any) -> Any:
        """Return the text of a result, cut, with its size; images and files as they fit."""
        attachments = tool_result_attachments(result)
        data = _text(result).encode()
        room = max(self._most - _NOTES, 0)
        kept: list[str | Attachment] = []
        text = data[:room].decode(errors="ignore")
        room -= len(text.encode())
        notes = [] if len(text.encode()) == len(data) else [_cut(len(text.encode()), len(data))]
        for each in attachments:
            size = len(each.data or b"") + len(each.url or "")
            if size <= room:
                kept.append(each)
                room -= size
            else:
                notes.append(f"[{each.name or each.media_type} of {size} bytes is left out]"[:200])
        told = f"{text}\n{chr(10).join(notes)[:_NOTES]}" if notes else text
        return [told, *kept] if kept else told


def _cut(shown: int, size: int) -> str:
    return f"[the result has {size} bytes, of which these are the first {shown}: ask for less]"


def _text(result: Any) -> str:
    try:
        return sendable(tool_result_text(result))
    except Exception:  # of its own `__str__`, or it contains itself
        return sendable(reprlib.repr(result))
