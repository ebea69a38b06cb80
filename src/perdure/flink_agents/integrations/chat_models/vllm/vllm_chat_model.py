"""Chat models of vLLM, by its OpenAI-compatible API."""

from __future__ import annotations

from typing import Any

from perdure.flink_agents.integrations.chat_models.openai.openai_chat_model import (
    OpenAIChatModelConnection,
    OpenAIChatModelSetup,
)

__all__ = ["VLLMChatModelConnection", "VLLMChatModelSetup"]


class VLLMChatModelConnection(OpenAIChatModelConnection):
    """A vLLM server."""

    __journal_name__ = "perdure:flink_agents.VLLMChatModelConnection"

    def __init__(
        self, *, api_key: str | None = None, api_base_url: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(
            api_key=api_key or "EMPTY",
            api_base_url=api_base_url or "http://localhost:8000/v1",
            **kwargs,
        )


class VLLMChatModelSetup(OpenAIChatModelSetup):
    """How a chat model of vLLM is used."""

    __journal_name__ = "perdure:flink_agents.VLLMChatModelSetup"

    def __init__(self, *, model: str | None = None, **kwargs: Any) -> None:
        if not model:
            raise ValueError("a chat model of vLLM needs model=: what the server serves it as")
        super().__init__(model=model, **kwargs)
