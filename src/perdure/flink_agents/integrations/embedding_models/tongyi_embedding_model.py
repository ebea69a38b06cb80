"""Embedding models of Tongyi."""

from __future__ import annotations

from typing import Any, ClassVar

from perdure.flink_agents.api.embedding_models.embedding_model import (
    BaseEmbeddingModelConnection,
    BaseEmbeddingModelSetup,
)
from perdure.flink_agents.border.refused import Refused

__all__ = ["TongyiEmbeddingModelConnection", "TongyiEmbeddingModelSetup"]


class TongyiEmbeddingModelConnection(Refused, BaseEmbeddingModelConnection):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.TongyiEmbeddingModelConnection"

    INSTEAD: ClassVar = "use OpenAIEmbeddingModelConnection with the base_url of DashScope"

    def embed(self, text: Any, **kwargs: Any) -> Any:
        """Refuse to."""
        self.open()


class TongyiEmbeddingModelSetup(Refused, BaseEmbeddingModelSetup):
    """Made, and refused when it is opened."""

    __journal_name__ = "perdure:flink_agents.TongyiEmbeddingModelSetup"

    INSTEAD: ClassVar = "use OpenAIEmbeddingModelSetup"

    connection: Any = ""
