"""Prompts: a text, or messages, with places for values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from perdure.flink_agents.api.chat_message import ChatMessage, MessageRole
from perdure.flink_agents.api.prompts.utils import format_string
from perdure.flink_agents.api.resource import ResourceType, SerializableResource

__all__ = ["LocalPrompt", "Prompt"]


class Prompt(SerializableResource, ABC):
    """A text, or messages, with places for values such as `{input}`."""

    __journal_name__ = "perdure:flink_agents.Prompt"

    @staticmethod
    def from_messages(messages: Sequence[ChatMessage]) -> Prompt:
        """Return a prompt of messages."""
        return LocalPrompt(template=list(messages))

    @staticmethod
    def from_text(text: str) -> Prompt:
        """Return a prompt of a text."""
        return LocalPrompt(template=text)

    @abstractmethod
    def format_string(self, **kwargs: str) -> str:
        """Return it as one text, filled."""

    @abstractmethod
    def format_messages(
        self, role: MessageRole = MessageRole.SYSTEM, **kwargs: str
    ) -> list[ChatMessage]:
        """Return it as messages, filled; a text becomes one of this role."""

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.PROMPT."""
        return ResourceType.PROMPT


class LocalPrompt(Prompt):
    """A prompt that is written where the agent is.

    Attributes:
        template: A text or messages.
    """

    __journal_name__ = "perdure:flink_agents.LocalPrompt"

    template: Sequence[ChatMessage] | str

    def format_string(self, **kwargs: Any) -> str:
        if isinstance(self.template, str):
            return format_string(self.template, **kwargs)
        return "\n".join(
            f"{each.role.value}: {format_string(each.content, **kwargs)}"
            + (f"\n{each.extra_args}" if each.extra_args else "")
            for each in self.template
        )

    def format_messages(
        self, role: MessageRole = MessageRole.SYSTEM, **kwargs: Any
    ) -> list[ChatMessage]:
        if isinstance(self.template, str):
            return [ChatMessage(role=role, content=format_string(self.template, **kwargs))]
        return [
            ChatMessage(
                role=each.role,
                content=format_string(each.content, **kwargs),
                extra_args=dict(each.extra_args),
            )
            for each in self.template
        ]
