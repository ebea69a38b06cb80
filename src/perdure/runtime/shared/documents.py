"""JobDocuments: the document index on a job's own store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from perdure.codec.codec import Codec
from perdure.documents.document import Document, document_id, metadata_text, words_of
from perdure.documents.filters import MetadataFilter
from perdure.documents.ranking import FUSION_DEPTH, reciprocal_rank_fusion
from perdure.errors import ActionLoopError, TerminalError
from perdure.executor.loop import ActionLoop
from perdure.store.base import ActionStateStore
from perdure.store.documents import (
    DocumentReader,
    DocumentRow,
    Found,
    other_length,
    pack_embedding,
    unpack_embedding,
)
from perdure.store.group_commit import GroupCommit

T = TypeVar("T")


class JobDocuments:
    """The documents of the open job, in named collections (see `documents.index.DocumentIndex`).

    Owns nothing: documents are rows of the store, written through the job's group commit. Its
    methods may be awaited on any event loop.

    Args:
        store: the job's store, open.
        commits: what writes to it.
        codec: the job's; a document takes no more bytes than one of its values.
    """

    def __init__(
        self,
        store: ActionStateStore,
        commits: GroupCommit,
        codec: Codec,
    ) -> None:
        self._store = store
        self._commits = commits
        self._max_bytes = codec.max_bytes

    async def put(self, collection: str, documents: Sequence[Document]) -> None:
        """Write documents, each over the one of its id; durable when it returns.

        Raises:
            TerminalError: One has no id, bad metadata or an embedding that does not fit.
            StoreError: The store did not take them.
        """
        rows = [self._row(collection, document) for document in documents]
        await self._on_host(self._put(collection, rows))

    async def get(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
        limit: int | None = None,
        embeddings: bool = False,
    ) -> list[Document]:
        """Return documents by their ids, or all; those that pass the filter."""
        rows = await self._on_host(
            self._reader.get(collection, ids, filters=filters, limit=limit, embeddings=embeddings)
        )
        return [_document(row) for row in rows]

    async def delete(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
    ) -> int:
        """Delete documents; return how many; durable when it returns."""
        return await self._on_host(self._delete(collection, ids, filters))

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
        fused = embedding is not None and text is not None
        depth = max(limit, FUSION_DEPTH) if fused else limit
        rankings: list[list[Document]] = []
        if embedding is not None:
            packed = _packed(embedding, "the query")
            nearest = self._reader.nearest(collection, packed, depth, filters=filters)
            rankings.append(_scored(await self._on_host(nearest)))
        if text is not None:
            words = list(dict.fromkeys(words_of(text)))
            matching = self._reader.matching(collection, words, depth, filters=filters)
            rankings.append(_scored(await self._on_host(matching)))
        if fused:
            return reciprocal_rank_fusion(rankings, limit)
        return rankings[0] if rankings else []

    async def size(self, collection: str) -> int:
        """Return how many documents a collection has."""
        return await self._on_host(self._reader.size(collection))

    # On the host loop

    @property
    def _reader(self) -> DocumentReader:
        return self._store.documents

    async def _put(self, collection: str, rows: list[DocumentRow]) -> None:
        lengths = {len(row.embedding) for row in rows if row.embedding is not None}
        if lengths:
            has = await self._reader.embedding_bytes(collection) or min(lengths)
            if wrong := lengths - {has}:
                raise TerminalError(other_length(collection, has, min(wrong)))
        if rows:
            await self._commits.write(rows)

    async def _delete(
        self, collection: str, ids: Sequence[str] | None, filters: MetadataFilter | None
    ) -> int:
        found = await self._reader.get(collection, ids, filters=filters)
        if found:
            await self._commits.write([row._replace(content=None) for row in found])
        return len(found)

    async def _on_host(self, work: Coroutine[Any, Any, T]) -> T:
        # A plain function in a thread may search too, on a loop of its own.
        host, running = self._commits.host, asyncio.get_running_loop()
        if running is host:
            return await work
        if isinstance(running, ActionLoop):
            work.close()
            raise ActionLoopError(
                "a vector store was used by an action itself, which would not be the same after a"
                " crash: make it a durable call, such as await ctx.durable_execute_async(store.add,"
                " documents)"
            )
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, host))

    def _row(self, collection: str, document: Document) -> DocumentRow:
        id_ = document_id(document)
        embedding = document.embedding
        metadata = metadata_text(document.metadata)
        size = 4 * len(document.content) + 4 * len(metadata)  # at most
        if size > self._max_bytes:
            size = sum(len(t.encode(errors="replace")) for t in (document.content, metadata))
        if size > self._max_bytes:
            raise TerminalError(
                f"document {id_!r} takes {size} bytes, more than the {self._max_bytes} allowed:"
                " split it, or raise max-payload-bytes"
            )
        return DocumentRow(
            job=self._reader.job,
            collection=collection,
            id=id_,
            content=document.content,
            metadata=metadata,
            embedding=None if embedding is None else _packed(embedding, f"document {id_!r}"),
        )


def _packed(embedding: Sequence[float], what: str) -> bytes:
    try:
        packed = pack_embedding(embedding)
    except (TypeError, OverflowError) as error:
        raise TerminalError(f"the embedding of {what} cannot be stored: {error}") from None
    if not packed:
        raise TerminalError(f"the embedding of {what} is empty")
    return packed


def _document(row: DocumentRow) -> Document:
    return Document(
        content=row.content or "",
        metadata=json.loads(row.metadata),
        id=row.id,
        embedding=None if row.embedding is None else unpack_embedding(row.embedding),
    )


def _scored(found: Sequence[Found]) -> list[Document]:
    documents = []
    for row, score in found:
        document = _document(row)
        document.score = score
        documents.append(document)
    return documents
