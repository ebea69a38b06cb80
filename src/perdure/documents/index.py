"""DocumentIndex: the documents that a job's store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from perdure.documents.document import Document
from perdure.documents.filters import MetadataFilter

__all__ = ["DocumentIndex"]


class DocumentIndex(Protocol):
    """Documents on the job's own store, in named collections of the job.

    Its methods may be awaited on any event loop. What writes is durable when it returns.
    """

    async def put(self, collection: str, documents: Sequence[Document]) -> None:
        """Write documents, each over the one of its id; all of them or none.

        Raises:
            TerminalError: One has no id, bad metadata, or an embedding of another length than the
                collection's.
            StoreError: The store did not take them.
        """

    async def get(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
        limit: int | None = None,
        embeddings: bool = False,
    ) -> list[Document]:
        """Return the documents with these ids, or all; those that pass the filter, oldest first.

        Args:
            collection: Where they are.
            ids: The order of the result; unknown ones are passed over.
            filters: What their metadata must be.
            limit: Most documents of the result.
            embeddings: Whether the result has them.
        """

    async def delete(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
    ) -> int:
        """Delete what `get` with these arguments would return; return how many that was."""

    async def query(
        self,
        collection: str,
        *,
        embedding: Sequence[float] | None = None,
        text: str | None = None,
        limit: int = 10,
        filters: MetadataFilter | None = None,
    ) -> list[Document]:
        """Return documents near an embedding, or with words of a text; both: the ranks fused."""

    async def size(self, collection: str) -> int:
        """Return how many documents a collection has."""
