"""Embedding models: connections and setups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import Field

from perdure.flink_agents.api.resource import Resource, ResourceType
from perdure.flink_agents.border.straight_calls import StraightCalls

__all__ = [
    "BaseEmbeddingModelConnection",
    "BaseEmbeddingModelSetup",
    "EmbeddingResult",
    "EmbeddingTokenUsage",
    "EmbeddingValue",
]

EmbeddingValue = TypeVar("EmbeddingValue")


@dataclass(frozen=True)
class EmbeddingTokenUsage:
    """What embeddings took.

    Attributes:
        prompt_tokens: Tokens of the texts.
        total_tokens: All tokens.
    """

    __journal_name__ = "perdure:flink_agents.EmbeddingTokenUsage"

    prompt_tokens: int
    total_tokens: int


@dataclass(frozen=True)
class EmbeddingResult(Generic[EmbeddingValue]):
    """Embeddings, and what they took.

    Attributes:
        embeddings: One embedding, or a list of them.
        token_usage: None where the provider does not say.
    """

    __journal_name__ = "perdure:flink_agents.EmbeddingResult"

    embeddings: EmbeddingValue
    token_usage: EmbeddingTokenUsage | None = None


class BaseEmbeddingModelConnection(Resource, StraightCalls, ABC):
    """Talks to a provider of embedding models."""

    __journal_name__ = "perdure:flink_agents.BaseEmbeddingModelConnection"

    STRAIGHT: ClassVar = ("embed", "embed_with_usage")

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.EMBEDDING_MODEL_CONNECTION."""
        return ResourceType.EMBEDDING_MODEL_CONNECTION

    @abstractmethod
    def embed(self, text: str | Sequence[str], **kwargs: Any) -> Any:
        """Return the embedding of a text, or those of several."""

    def embed_with_usage(self, text: str | Sequence[str], **kwargs: Any) -> EmbeddingResult[Any]:
        """Return embeddings and what they took."""
        return EmbeddingResult(self.embed(text, **kwargs))


class BaseEmbeddingModelSetup(Resource, StraightCalls, ABC):
    """How an embedding model is used.

    Attributes:
        connection: Name of its connection; the connection itself once it is open.
        model: What the provider calls the model.
    """

    __journal_name__ = "perdure:flink_agents.BaseEmbeddingModelSetup"

    STRAIGHT: ClassVar = ("embed", "embed_with_usage")

    connection: str | BaseEmbeddingModelConnection = Field(
        description="Name of the referenced connection."
    )
    model: str = Field(default="", description="Name of the embedding model to use.")

    if TYPE_CHECKING:  # pydantic makes one; subclasses hand on what is theirs

        def __init__(self, **data: Any) -> None: ...

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.EMBEDDING_MODEL."""
        return ResourceType.EMBEDDING_MODEL

    @property
    @abstractmethod
    def model_kwargs(self) -> dict[str, Any]:
        """What the connection is told beside the text."""

    def open(self) -> None:
        """Find the connection."""
        if isinstance(self.connection, str):
            assert self.resource_context is not None
            self.connection = self.resource_context.get_resource(
                self.connection, ResourceType.EMBEDDING_MODEL_CONNECTION
            )

    def embed(self, text: str | Sequence[str], **kwargs: Any) -> Any:
        """Return the embedding of a text, or those of several."""
        return self._get_connection().embed(text, **{**self.model_kwargs, **kwargs})

    def embed_with_usage(self, text: str | Sequence[str], **kwargs: Any) -> EmbeddingResult[Any]:
        """Return embeddings and what they took."""
        options = {**self.model_kwargs, **kwargs}
        return self._get_connection().embed_with_usage(text, **options)

    def _get_connection(self) -> BaseEmbeddingModelConnection:
        if not isinstance(self.connection, BaseEmbeddingModelConnection):
            raise TypeError(
                f"Expected BaseEmbeddingModelConnection, got {type(self.connection).__name__}:"
                " ensure open() is called first"
            )
        return self.connection
