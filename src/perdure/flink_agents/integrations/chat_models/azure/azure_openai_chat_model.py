"""Chat models of OpenAI on Azure."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from perdure.flink_agents.api.chat_models.chat_model import BaseChatModelSetup
from perdure.flink_agents.border.wired_chat import WiredConnection, settings_of
from perdure.integrations.llm import ChatConnection

__all__ = ["AzureOpenAIChatModelConnection", "AzureOpenAIChatModelSetup"]


class AzureOpenAIChatModelConnection(WiredConnection):
    """OpenAI on Azure.

    Attributes:
        api_key: The key; None: AZURE_OPENAI_API_KEY.
        api_version: The version of the API.
        azure_endpoint: Where it is.
        timeout: Seconds that a request may take.
        max_retries: Accepted; how often a chat is tried again, `max-retries` of the job says.
    """

    __journal_name__ = "perdure:flink_agents.AzureOpenAIChatModelConnection"

    api_key: str | None = Field(default=None, repr=False)
    api_version: str | None = None
    azure_endpoint: str | None = None
    timeout: float = 60.0
    max_retries: int = 3

    def __init__(
        self,
        *,
        api_key: str | None = None,
        api_version: str | None = None,
        azure_endpoint: str | None = None,
        timeout: float = 60.0,
        max_retries: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            api_key=api_key,
            api_version=api_version,
            azure_endpoint=azure_endpoint,
            timeout=timeout,
            max_retries=max_retries,
            **kwargs,
        )

    def made_connection(self) -> ChatConnection:
        more = settings_of({"api_version": self.api_version, "azure_endpoint": self.azure_endpoint})
        return ChatConnection(api_key=self.api_key, **more)

    def model_called(self, model: str) -> str:
        return f"azure:{model}"

    def chat(
        self, messages: Any, tools: Any = None, output_schema: Any = None, **kwargs: Any
    ) -> Any:
        kwargs.pop("model_of_azure_deployment", None)  # it says what is deployed, for counting
        return super().chat(messages, tools, output_schema, **{"timeout": self.timeout, **kwargs})


class AzureOpenAIChatModelSetup(BaseChatModelSetup):
    """How a chat model on Azure is used; `model` is the deployment.

    Attributes:
        model_of_azure_deployment: What is deployed.
        temperature: How freely it answers.
        max_tokens: Most tokens of the answer.
        logprobs: Whether probabilities of tokens are told.
        additional_kwargs: Further parameters of a request.
    """

    __journal_name__ = "perdure:flink_agents.AzureOpenAIChatModelSetup"

    model_of_azure_deployment: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    logprobs: bool | None = False
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)

    def __init__(
        self,
        *,
        model: str,
        model_of_azure_deployment: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        logprobs: bool | None = False,
        additional_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model=model,
            model_of_azure_deployment=model_of_azure_deployment,
            temperature=temperature,
            max_tokens=max_tokens,
            logprobs=logprobs,
            additional_kwargs=additional_kwargs or {},
            **kwargs,
        )

    @property
    def model_kwargs(self) -> dict[str, Any]:
        more = {**self.additional_kwargs, **({"logprobs": True} if self.logprobs else {})}
        return settings_of(
            {
                "model": self.model,
                "model_of_azure_deployment": self.model_of_azure_deployment,
                "temperature": self.temperature,
                "max_tokens": self.max_tokens,
                "extra_body": more or None,
            }
        )
