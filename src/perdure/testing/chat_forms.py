"""Messages and requests as plain data, for logs and cassettes, and what they are recognized by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from perdure.llm.message import ChatMessage
from perdure.llm.output_schema import OutputSchema
from perdure.llm.tool import Tool

__all__ = ["digest_of", "message_from", "plain_message", "plain_request"]


def plain_message(message: ChatMessage) -> dict[str, Any]:
    """Return a message as plain JSON data, without what is empty."""
    found = msgspec.to_builtins(message)
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def message_from(data: Mapping[str, Any]) -> ChatMessage:
    """Return the message that `plain_message` made plain data of."""
    return msgspec.convert(data, ChatMessage)


def plain_request(
    messages: Sequence[ChatMessage], tools: Sequence[Tool] | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a request as plain data; the bytes of attachments by their digest.

    Values of `extra_headers` are left out: they may be secrets.
    """
    plain: dict[str, Any] = {"messages": [_asked(message) for message in messages]}
    if tools:
        plain["tools"] = [
            {"name": t.name, "description": t.description, "parameters": t.parameters}
            for t in tools
        ]
    for name, value in sorted(settings.items()):
        if isinstance(value, OutputSchema):
            value = value.json_schema
        elif name == "extra_headers":
            value = sorted(value)
        plain.setdefault("settings", {})[name] = value
    return plain


def _asked(message: ChatMessage) -> dict[str, Any]:
    plain = plain_message(message)
    for attachment, data in zip(message.attachments, plain.get("attachments", ()), strict=False):
        if attachment.data is not None:
            data["data"] = f"sha256:{hashlib.sha256(attachment.data).hexdigest()}"
    return plain


def digest_of(request: Mapping[str, Any]) -> str:
    """Return what a plain request is recognized by."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
