"""Chat messages, as Flink Agents has them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field

__all__ = ["ChatMessage", "MessageRole", "find_first_system_message"]


class MessageRole(str, Enum):  # noqa: UP042  # theirs: its str() is "MessageRole.USER"
    """Who says a message."""

    __journal_name__ = "perdure:flink_agents.MessageRole"

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ChatMessage(BaseModel):
    """One message of a conversation.

    Attributes:
        role: Who says it.
        content: Its text.
        tool_calls: Of an ASSISTANT message: the calls that the model wants made, each a mapping
            with `id`, `type` and `function` (`name`, `arguments`), and perhaps `original_id`.
        extra_args: Whatever else.
    """

    __journal_name__ = "perdure:flink_agents.ChatMessage"

    role: MessageRole = MessageRole.USER
    content: str = ""
    tool_calls: list[dict[str, Any]] = Field(default_factory=list)
    extra_args: dict[str, Any] = Field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text."""
        return self.content

    def set_text(self, text: str) -> None:
        """Replace the text."""
        self.content = text

    @classmethod
    def of(cls, role: MessageRole, content: str, **kwargs: Any) -> ChatMessage:
        """Return a message of this role."""
        return cls(role=role, content=content, **kwargs)

    @classmethod
    def user(cls, content: str, **kwargs: Any) -> ChatMessage:
        """Return a USER message."""
        return cls.of(MessageRole.USER, content, **kwargs)

    @classmethod
    def system(cls, content: str, **kwargs: Any) -> ChatMessage:
        """Return a SYSTEM message."""
        return cls.of(MessageRole.SYSTEM, content, **kwargs)

    @classmethod
    def assistant(cls, content: str, **kwargs: Any) -> ChatMessage:
        """Return an ASSISTANT message."""
        return cls.of(MessageRole.ASSISTANT, content, **kwargs)

    @classmethod
    def tool(cls, content: str, **kwargs: Any) -> ChatMessage:
        """Return a TOOL message."""
        return cls.of(MessageRole.TOOL, content, **kwargs)

    def __str__(self) -> str:
        return f"{self.role.value}: {self.content}"


def find_first_system_message(messages: Sequence[ChatMessage]) -> int:
    """Return the index of the first SYSTEM message, -1 where there is none."""
    for index, message in enumerate(messages):
        if message.role == MessageRole.SYSTEM:
            return index
    return -1
