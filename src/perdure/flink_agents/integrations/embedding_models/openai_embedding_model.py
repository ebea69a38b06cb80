"""Embedding models of OpenAI."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from perdure.flink_agents.api.embedding_models.embedding_model import BaseEmbeddingModelSetup
from perdure.flink_agents.border.wired_embedding import WiredEmbedding
from perdure.integrations.embeddings import EmbeddingConnection

__all__ = ["OpenAIEmbeddingModelConnection", "OpenAIEmbeddingModelSetup"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
DEFAULT_REQUEST_TIMEOUT = 30.0
DEFAULT_MAX_RETRIES = 3


class OpenAIEmbeddingModelConnection(WiredEmbedding):
    """OpenAI, or a server that is compatible.

    Attributes:
        api_key: The key.
        base_url: Where it is.
        request_timeout: Accepted; the timeout of the job's calls counts.
        max_retries: Accepted; the retries of the job's calls count.
        organization: Accepted.
        project: Accepted.
    """

    __journal_name__ = "perdure:flink_agents.OpenAIEmbeddingModelConnection"

    api_key: str = Field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT
    max_retries: int = DEFAULT_MAX_RETRIES
    organization: str | None = None
    project: str | None = None

    def __init__(
        self,
        api_key: str,
        base_url: str = DEFAULT_BASE_URL,
        request_timeout: float = DEFAULT_REQUEST_TIMEOUT,
        max_retries: int = DEFAULT_MAX_RETRIES,
        organization: str | None = None,
        project: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            api_key=api_key,
            base_url=base_url,
            request_timeout=request_timeout,
            max_retries=max_retries,
            organization=organization,
            project=project,
            **kwargs,
        )

    def made_connection(self) -> EmbeddingConnection:
        return EmbeddingConnection("openai", base_url=self.base_url, api_key=self.api_key)


class OpenAIEmbeddingModelSetup(BaseEmbeddingModelSetup):
    """How an embedding model of OpenAI is used.

    Attributes:
        encoding_format: Accepted; embeddings are lists of numbers.
        dimensions: How long they are.
        user: Accepted.
        additional_kwargs: Further settings.
    """

    __journal_name__ = "perdure:flink_agents.OpenAIEmbeddingModelSetup"

    encoding_format: str = "float"
    dimensions: int | None = None
    user: str | None = None
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)

    def __init__(
        self,
        *,
        connection: str,
        model: str,
        encoding_format: str = "float",
        dimensions: int | None = None,
        user: str | None = None,
        additional_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            connection=connection,
            model=model,
            encoding_format=encoding_format,
            dimensions=dimensions,
            user=user,
            additional_kwargs=additional_kwargs or {},
            **kwargs,
        )

    @property
    def model_kwargs(self) -> dict[str, Any]:
        sized = {} if self.dimensions is None else {"dimensions": self.dimensions}
        return {"model": self.model, **sized, **self.additional_kwargs}
