"""The documents of a job on its store: their rows, and how they are read."""

from __future__ import annotations

import abc
import array
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # few jobs have documents
    from perdure.documents.filters import MetadataFilter


class DocumentRow(NamedTuple):
    """A document of a collection. Written over the one of its id; without content: deleted.

    One kind of row for both, so that a batch keeps their order.

    Attributes:
        job: the job's number.
        collection: name of its collection.
        id: its id in it.
        content: its text; None deletes it.
        metadata: JSON.
        embedding: float32, little-endian; None where it has none.
    """

    job: int
    collection: str
    id: str
    content: str | None
    metadata: str
    embedding: bytes | None


class Found(NamedTuple):
    """A document that a search found; its row is without the embedding."""

    row: DocumentRow
    score: float


class DocumentReader(abc.ABC):
    """Reads the documents of the job that has the store open.

    Called like the store's other reads: on its event loop, which they do not block; what was
    committed before is seen.
    """

    @property
    @abc.abstractmethod
    def job(self) -> int:
        """The number of that job."""

    @abc.abstractmethod
    async def get(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
        limit: int | None = None,
        embeddings: bool = False,
    ) -> list[DocumentRow]:
        """Return documents by their ids, in that order, or all, in the order of being new.

        Args:
            collection: where they are.
            ids: unknown ones are passed over; None for all.
            filters: what their metadata must be.
            limit: most rows of the result.
            embeddings: whether the rows have them.
        """

    @abc.abstractmethod
    async def nearest(
        self,
        collection: str,
        embedding: bytes,
        limit: int,
        *,
        filters: MetadataFilter | None = None,
    ) -> list[Found]:
        """Return the documents nearest by cosine, which is their score; equal ones by age.

        Raises:
            TerminalError: the collection's embeddings have another length.
        """

    @abc.abstractmethod
    async def matching(
        self,
        collection: str,
        words: Sequence[str],
        limit: int,
        *,
        filters: MetadataFilter | None = None,
    ) -> list[Found]:
        """Return the documents that have any of the words, by BM25."""

    @abc.abstractmethod
    async def size(self, collection: str) -> int:
        """Return how many documents the collection has."""

    @abc.abstractmethod
    async def embedding_bytes(self, collection: str) -> int:
        """Return the length in bytes of the collection's embeddings, 0 where it has none."""


def pack_embedding(embedding: Sequence[float]) -> bytes:
    """Return an embedding as float32, little-endian.

    Raises:
        OverflowError: a number is too large.
        TypeError: it holds something else than numbers.
    """
    packed = array.array("f", embedding)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_embedding(data: bytes) -> list[float]:
    """Return what `pack_embedding` packed."""
    packed = array.array("f")
    packed.frombytes(data)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tolist()


def other_length(collection: str, has: int, given: int) -> str:
    """Say that embeddings do not fit a collection; lengths in bytes."""
    return (
        f"collection {collection!r} has embeddings of {has // 4} numbers, and one of {given // 4}"
        " was given: use the embedding model that it was made with, or another collection"
    )
