"""WiredEmbedding: an embedding model connection of theirs over the core's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from perdure.flink_agents.api.embedding_models.embedding_model import BaseEmbeddingModelConnection
from perdure.flink_agents.border.own_loop import OwnLoop
from perdure.integrations.embeddings import EmbeddingConnection

__all__ = ["WiredEmbedding"]


class WiredEmbedding(BaseEmbeddingModelConnection):
    """Asks a provider through the core's connection.

    Owns: the core's connection and the loop that it works on, from `open` to `close`.
    """

    __journal_name__ = "perdure:flink_agents.WiredEmbedding"

    _core: EmbeddingConnection | None = PrivateAttr(default=None)
    _loop: OwnLoop = PrivateAttr(default_factory=OwnLoop)

    if TYPE_CHECKING:  # pydantic makes one; subclasses hand on what is theirs

        def __init__(self, **data: Any) -> None: ...

    def made_connection(self) -> EmbeddingConnection:
        """Return the core's connection, not yet open."""
        raise NotImplementedError

    def open(self) -> None:
        """Open the core's connection."""
        self._core = self.made_connection()
        self._loop.run(self._core.open())

    def close(self) -> None:
        """Close it."""
        core, self._core = self._core, None
        if core is not None:
            self._loop.run(core.close())
        self._loop.close()

    def embed(self, text: str | Sequence[str], **kwargs: Any) -> Any:
        assert self._core is not None, "the connection is not open"
        texts = [text] if isinstance(text, str) else list(text)
        found = self._loop.run(self._core.embed(texts, **kwargs))
        return found[0] if isinstance(text, str) else found
