"""Chat models of OpenAI, and of servers that are compatible, by Chat Completions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from perdure.flink_agents.api.chat_models.chat_model import BaseChatModelSetup
from perdure.flink_agents.border.wired_chat import WiredConnection, settings_of
from perdure.integrations.llm import ChatConnection

__all__ = ["OpenAIChatModelConnection", "OpenAIChatModelSetup"]

DEFAULT_OPENAI_MODEL = "gpt-3.5-turbo"
DEFAULT_TEMPERATURE = 0.1


class OpenAIChatModelConnection(WiredConnection):
    """OpenAI, or a server that is compatible.

    Attributes:
        api_key: The key; None: OPENAI_API_KEY.
        api_base_url: Where the server is; None: OpenAI.
        max_retries: Accepted; how often a chat is tried again, `max-retries` of the job says.
        timeout: Seconds that a request may take.
        default_headers: Headers of every request.
        reuse_client: Accepted; the client is reused.
    """

    __journal_name__ = "perdure:flink_agents.OpenAIChatModelConnection"

    api_key: str | None = Field(default=None, repr=False)
    api_base_url: str | None = None
    max_retries: int = 3
    timeout: float = 60.0
    default_headers: dict[str, str] | None = None
    reuse_client: bool = True

    def __init__(
        self,
        *,
        api_key: str | None = None,
        api_base_url: str | None = None,
        max_retries: int = 3,
        timeout: float = 60.0,
        reuse_client: bool = True,
        http_client: Any = None,
        async_http_client: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            api_key=api_key,
            api_base_url=api_base_url,
            max_retries=max_retries,
            timeout=timeout,
            reuse_client=reuse_client,
            **kwargs,
        )

    def made_connection(self) -> ChatConnection:
        return ChatConnection(base_url=self.api_base_url, api_key=self.api_key)

    def model_called(self, model: str) -> str:
        return model if self.api_base_url is not None else f"openai-chat:{model}"

    def chat(
        self, messages: Any, tools: Any = None, output_schema: Any = None, **kwargs: Any
    ) -> Any:
        options = settings_of({"timeout": self.timeout, "extra_headers": self.default_headers})
        return super().chat(messages, tools, output_schema, **{**options, **kwargs})


class OpenAIChatModelSetup(BaseChatModelSetup):
    """How a chat model of OpenAI is used.

    Attributes:
        temperature: How freely it answers.
        max_tokens: Most tokens of the answer.
        logprobs: Whether probabilities of tokens are told.
        top_logprobs: Of how many tokens.
        additional_kwargs: Further parameters of a request.
        strict: Whether tools' arguments must fit their schemas.
        reasoning_effort: How long it thinks.
    """

    __journal_name__ = "perdure:flink_agents.OpenAIChatModelSetup"

    model: str = DEFAULT_OPENAI_MODEL
    temperature: float = DEFAULT_TEMPERATURE
    max_tokens: int | None = None
    logprobs: bool | None = False
    top_logprobs: int = 0
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    strict: bool = False
    reasoning_effort: Literal["low", "medium", "high"] | None = None

    def __init__(
        self,
        *,
        model: str = DEFAULT_OPENAI_MODEL,
        temperature: float = DEFAULT_TEMPERATURE,
        max_tokens: int | None = None,
        additional_kwargs: dict[str, Any] | None = None,
        strict: bool = False,
        reasoning_effort: Literal["low", "medium", "high"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model=model,
            temperature=temperature,
            max_tokens=max_tokens,
            additional_kwargs=additional_kwargs or {},
            strict=strict,
            reasoning_effort=reasoning_effort,
            **kwargs,
        )

    @property
    def model_kwargs(self) -> dict[str, Any]:
        more = dict(self.additional_kwargs)
        if self.logprobs:
            more |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        return settings_of(
            {
                "model": self.model,
                "temperature": self.temperature,
                "max_tokens": self.max_tokens,
                "openai_reasoning_effort": self.reasoning_effort,
                "extra_body": more or None,
            }
        )
