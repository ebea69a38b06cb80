"""Chat models of Anthropic."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from perdure.flink_agents.api.chat_models.chat_model import BaseChatModelSetup
from perdure.flink_agents.border.wired_chat import WiredConnection
from perdure.integrations.llm import ChatConnection

__all__ = ["AnthropicChatModelConnection", "AnthropicChatModelSetup"]

DEFAULT_ANTHROPIC_MODEL = "claude-sonnet-4-20250514"
DEFAULT_MAX_TOKENS = 1024
DEFAULT_TEMPERATURE = 0.1
DEFAULT_JSON_PREFILL = True


class AnthropicChatModelConnection(WiredConnection):
    """Anthropic.

    Attributes:
        api_key: The key; None: ANTHROPIC_API_KEY.
        max_retries: Accepted; how often a chat is tried again, `max-retries` of the job says.
        timeout: Seconds that a request may take.
    """

    __journal_name__ = "perdure:flink_agents.AnthropicChatModelConnection"

    api_key: str | None = Field(default=None, repr=False)
    max_retries: int = 3
    timeout: float = 60.0

    def __init__(
        self,
        api_key: str | None = None,
        max_retries: int = 3,
        timeout: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(api_key=api_key, max_retries=max_retries, timeout=timeout, **kwargs)

    def made_connection(self) -> ChatConnection:
        return ChatConnection(api_key=self.api_key)

    def model_called(self, model: str) -> str:
        return f"anthropic:{model}"

    def chat(
        self, messages: Any, tools: Any = None, output_schema: Any = None, **kwargs: Any
    ) -> Any:
        return super().chat(messages, tools, output_schema, **{"timeout": self.timeout, **kwargs})


class AnthropicChatModelSetup(BaseChatModelSetup):
    """How a chat model of Anthropic is used.

    Attributes:
        max_tokens: Most tokens of the answer.
        temperature: How freely it answers.
        json_prefill: Accepted; the answer is not begun for the model.
    """

    __journal_name__ = "perdure:flink_agents.AnthropicChatModelSetup"

    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float = DEFAULT_TEMPERATURE
    json_prefill: bool = DEFAULT_JSON_PREFILL

    def __init__(
        self,
        connection: str,
        model: str = DEFAULT_ANTHROPIC_MODEL,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        temperature: float = DEFAULT_TEMPERATURE,
        *,
        json_prefill: bool = DEFAULT_JSON_PREFILL,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            connection=connection,
            model=model,
            max_tokens=max_tokens,
            temperature=temperature,
            json_prefill=json_prefill,
            **kwargs,
        )

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }
