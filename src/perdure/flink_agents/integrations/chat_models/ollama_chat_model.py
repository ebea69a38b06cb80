"""Chat models of Ollama, by its OpenAI-compatible API."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from perdure.flink_agents.api.chat_models.chat_model import BaseChatModelSetup
from perdure.flink_agents.border.wired_chat import WiredConnection, settings_of
from perdure.integrations.llm import ChatConnection

__all__ = ["OllamaChatModelConnection", "OllamaChatModelSetup"]

DEFAULT_CONTEXT_WINDOW = 2048
DEFAULT_REQUEST_TIMEOUT = 30.0


class OllamaChatModelConnection(WiredConnection):
    """An Ollama server.

    Attributes:
        base_url: Where it is.
        request_timeout: Seconds that a request may take.
    """

    __journal_name__ = "perdure:flink_agents.OllamaChatModelConnection"

    base_url: str = "http://localhost:11434"
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT

    def __init__(
        self,
        base_url: str = "http://localhost:11434",
        request_timeout: float | None = DEFAULT_REQUEST_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            base_url=base_url, request_timeout=request_timeout or DEFAULT_REQUEST_TIMEOUT, **kwargs
        )

    def made_connection(self) -> ChatConnection:
        return ChatConnection(base_url=f"{self.base_url.rstrip('/')}/v1")

    def chat(
        self, messages: Any, tools: Any = None, output_schema: Any = None, **kwargs: Any
    ) -> Any:
        return super().chat(
            messages, tools, output_schema, **{"timeout": self.request_timeout, **kwargs}
        )


class OllamaChatModelSetup(BaseChatModelSetup):
    """How a chat model of Ollama is used.

    Attributes:
        temperature: How freely it answers.
        num_ctx: Tokens of its context.
        additional_kwargs: Further options of the model.
        keep_alive: How long it stays loaded.
        extract_reasoning: Whether what it thought is taken out of the text.
        think: Whether it thinks first.
    """

    __journal_name__ = "perdure:flink_agents.OllamaChatModelSetup"

    temperature: float = 0.75
    num_ctx: int = DEFAULT_CONTEXT_WINDOW
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    keep_alive: float | str | None = None
    extract_reasoning: bool = True
    think: bool | Literal["low", "medium", "high"] = True

    def __init__(
        self,
        connection: str,
        model: str,
        temperature: float = 0.75,
        num_ctx: int = DEFAULT_CONTEXT_WINDOW,
        request_timeout: float | None = DEFAULT_REQUEST_TIMEOUT,
        additional_kwargs: dict[str, Any] | None = None,
        keep_alive: float | str | None = None,
        think: bool | Literal["low", "medium", "high"] = True,
        extract_reasoning: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            connection=connection,
            model=model,
            temperature=temperature,
            num_ctx=num_ctx,
            additional_kwargs=additional_kwargs or {},
            keep_alive=keep_alive,
            think=think,
            extract_reasoning=extract_reasoning,
            **kwargs,
        )

    @property
    def model_kwargs(self) -> dict[str, Any]:
        more = settings_of(
            {
                "keep_alive": self.keep_alive,
                "think": self.think,
                "options": {"num_ctx": self.num_ctx, **self.additional_kwargs},
            }
        )
        return {
            "model": self.model,
            "temperature": self.temperature,
            "extract_reasoning": self.extract_reasoning,
            "extra_body": more,
        }
