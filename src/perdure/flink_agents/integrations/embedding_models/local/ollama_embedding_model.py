"""Embedding models of Ollama, by its OpenAI-compatible API."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from perdure.flink_agents.api.embedding_models.embedding_model import BaseEmbeddingModelSetup
from perdure.flink_agents.border.wired_embedding import WiredEmbedding
from perdure.integrations.embeddings import EmbeddingConnection

__all__ = ["OllamaEmbeddingModelConnection", "OllamaEmbeddingModelSetup"]

DEFAULT_REQUEST_TIMEOUT = 30.0


class OllamaEmbeddingModelConnection(WiredEmbedding):
    """An Ollama server.

    Attributes:
        base_url: Where it is.
        request_timeout: Accepted; the timeout of the job's calls counts.
    """

    __journal_name__ = "perdure:flink_agents.OllamaEmbeddingModelConnection"

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

    def made_connection(self) -> EmbeddingConnection:
        return EmbeddingConnection("ollama", base_url=f"{self.base_url.rstrip('/')}/v1")


class OllamaEmbeddingModelSetup(BaseEmbeddingModelSetup):
    """How an embedding model of Ollama is used.

    Attributes:
        truncate: Whether a text that is too long is cut; it always is.
        keep_alive: Accepted; the server decides how long the model stays loaded.
        additional_kwargs: Accepted options of the model.
    """

    __journal_name__ = "perdure:flink_agents.OllamaEmbeddingModelSetup"

    truncate: bool = True
    keep_alive: float | str | None = None
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)

    def __init__(
        self,
        *,
        connection: str,
        model: str,
        truncate: bool = True,
        additional_kwargs: dict[str, Any] | None = None,
        keep_alive: float | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            connection=connection,
            model=model,
            truncate=truncate,
            additional_kwargs=additional_kwargs or {},
            keep_alive=keep_alive,
            **kwargs,
        )

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"model": self.model}
