"""What an MCP server answers with, as texts and attachments."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from perdure.errors import TerminalError
from perdure.llm.message import Attachment, ChatMessage, MessageRole

__all__ = ["messages_of", "part_of", "text_of"]


def messages_of(prompt: Any, what: str) -> list[ChatMessage]:
    """Return the messages of a prompt, attachments in the message that they belong to.

    Args:
        prompt: The server's answer.
        what: What it answers, for errors.

    Raises:
        TerminalError: It breaks the protocol.
    """
    found = []
    for each in prompt.messages:
        part = part_of(each.content, what)
        if isinstance(part, Attachment):
            found.append(ChatMessage(role=MessageRole(each.role), attachments=[part]))
        else:
            found.append(ChatMessage(role=MessageRole(each.role), content=part))
    return found


def part_of(content: Any, what: str) -> str | Attachment:
    """Return a block of content as text, or as what a model may look at; see `messages_of`."""
    if content.type == "text":
        return str(content.text)
    if content.type in ("image", "audio"):
        data = _bytes_of(content.data, content.type, what)
        return Attachment(media_type=content.mime_type, data=data)
    if content.type == "resource":
        resource = content.resource
        if hasattr(resource, "text"):
            return str(resource.text)
        kind = resource.mime_type or "application/octet-stream"
        data = _bytes_of(resource.blob, content.type, what)
        return Attachment(media_type=kind, data=data, name=str(resource.uri))
    return f"{content.name}: {content.uri}"


def text_of(parts: Iterable[str | Attachment]) -> str:
    """Return the texts among parts of an answer, a line each at least."""
    return "\n".join(each for each in parts if isinstance(each, str))


def _bytes_of(text: str, kind: str, what: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise TerminalError(f"{what}: it breaks the protocol: its {kind} is no base64") from None
