"""Prompt: a template of messages."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from perdure.llm.message import ChatMessage, MessageRole
from perdure.resource import Resource, ResourceType

__all__ = ["Prompt"]

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


class Prompt(Resource):
    """A template whose `{name}` are filled in.

    Braces that hold no known name stay as they are, so that JSON can stand in a prompt.

    Attributes:
        template: A text, or messages.
    """

    __journal_name__ = "perdure:Prompt"

    RESOURCE_TYPE: ClassVar = ResourceType.PROMPT

    def __init__(self, template: str | Sequence[ChatMessage]) -> None:
        self.template = template if isinstance(template, str) else tuple(template)

    @staticmethod
    def from_text(text: str) -> Prompt:
        """Return a prompt of one text."""
        return Prompt(text)

    @staticmethod
    def from_messages(messages: Sequence[ChatMessage]) -> Prompt:
        """Return a prompt of several messages."""
        return Prompt(messages)

    def format_string(self, /, **values: Any) -> str:
        """Return the template as one text with its places filled."""
        if isinstance(self.template, str):
            return filled(self.template, values)
        return "\n".join(f"{m.role.value}: {filled(m.content, values)}" for m in self.template)

    def format_messages(
        self, /, role: MessageRole = MessageRole.SYSTEM, **values: Any
    ) -> list[ChatMessage]:
        """Return the template as new messages with its places filled.

        Args:
            role: Who says it, where the template is one text.
            **values: What the places are filled with; anything is made a str.
        """
        return self.filled_messages(values, role)

    def filled_messages(
        self, values: Mapping[str, Any], role: MessageRole = MessageRole.SYSTEM
    ) -> list[ChatMessage]:
        """Do what `format_messages` does, with values of any name, `role` included."""
        if isinstance(self.template, str):
            return [ChatMessage(role=role, content=filled(self.template, values))]
        return [
            dataclasses.replace(each, content=filled(each.content, values))
            for each in self.template
        ]


def filled(template: str, values: Mapping[str, Any]) -> str:
    """Return a text with `{name}` replaced by `values[name]`; unknown names stay."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        return str(values[name]) if name in values else found.group(0)

    return _PLACEHOLDER.sub(value, template)
