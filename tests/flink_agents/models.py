"""Chat models that answer by rule, in the style of their users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.tools.tool import Tool

HERE = "tests.flink_agents.models"


class EchoConnection(BaseChatModelConnection):
    """Says what it was told; asks for the tools that it is told of as `call NAME JSON`."""

    prefix: str = "echo"
    tool: str = "add"

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        said = messages[-1].content
        if messages[-1].role == MessageRole.USER and tools and said.startswith("sum "):
            numbers = [int(each) for each in said.removeprefix("sum ").split()]
            calls = [
                {
                    "id": f"call-{n}",
                    "type": "function",
                    "function": {"name": self.tool, "arguments": {"a": a, "b": b}},
                    "original_id": f"theirs-{n}",
                }
                for n, (a, b) in enumerate(zip(numbers[::2], numbers[1::2], strict=True))
            ]
            return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=calls)
        answers = [each.content for each in messages if each.role == MessageRole.TOOL]
        content = " ".join(answers) or said
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"{self.prefix}: {content}")


class EchoSetup(BaseChatModelSetup):
    """A setup without options."""

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"model": self.model}
