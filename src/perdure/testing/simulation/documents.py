"""Documents of a SimulatedStore: searched by looking at each."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence

from perdure.documents.filters import MetadataFilter
from perdure.documents.ranking import keyword_scores
from perdure.errors import TerminalError
from perdure.store.documents import (
    DocumentReader,
    DocumentRow,
    Found,
    other_length,
    unpack_embedding,
)

Rows = dict[tuple[int, str], dict[str, DocumentRow]]  # by job and collection, then by id


def write_document(rows: Rows, row: DocumentRow) -> None:
    """Write one row."""
    collection = rows.setdefault((row.job, row.collection), {})
    if row.content is None:
        collection.pop(row.id, None)
    else:
        collection[row.id] = row


class SimulatedDocuments(DocumentReader):
    """Reads documents once all is written that was asked for before.

    Args:
        rows: returns them, then.
        job: returns the job's number.
    """

    def __init__(self, rows: Callable[[], Awaitable[Rows]], job: Callable[[], int]) -> None:
        self._rows = rows
        self._job_number = job

    @property
    def job(self) -> int:
        return self._job_number()

    async def _of(self, collection: str) -> dict[str, DocumentRow]:
        return (await self._rows()).get((self.job, collection), {})

    async def get(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
        limit: int | None = None,
        embeddings: bool = False,
    ) -> list[DocumentRow]:
        rows = await self._of(collection)
        wanted = rows if ids is None else [id_ for id_ in dict.fromkeys(ids) if id_ in rows]
        passing = _passing((rows[id_] for id_ in wanted), filters)[:limit]
        return passing if embeddings else [row._replace(embedding=None) for row in passing]

    async def nearest(
        self,
        collection: str,
        embedding: bytes,
        limit: int,
        *,
        filters: MetadataFilter | None = None,
    ) -> list[Found]:
        asked = unpack_embedding(embedding)
        scored = []
        for row in _passing((await self._of(collection)).values(), filters):
            if row.embedding is None:
                continue
            if len(row.embedding) != len(embedding):
                raise TerminalError(other_length(collection, len(row.embedding), len(embedding)))
            scored.append((row, _cosine(unpack_embedding(row.embedding), asked)))
        return _best(scored, limit)

    async def matching(
        self,
        collection: str,
        words: Sequence[str],
        limit: int,
        *,
        filters: MetadataFilter | None = None,
    ) -> list[Found]:
        rows = list((await self._of(collection)).values())
        scores = keyword_scores(" ".join(words), [row.content or "" for row in rows])
        scored = [(row, score) for row, score in zip(rows, scores, strict=True) if score > 0]
        passing = set(_passing((row for row, _ in scored), filters))
        return _best([(row, score) for row, score in scored if row in passing], limit)

    async def size(self, collection: str) -> int:
        return len(await self._of(collection))

    async def embedding_bytes(self, collection: str) -> int:
        embeddings = (row.embedding for row in (await self._of(collection)).values())
        return next((len(each) for each in embeddings if each is not None), 0)


def _passing(rows: Iterable[DocumentRow], filters: MetadataFilter | None) -> list[DocumentRow]:
    return [row for row in rows if filters is None or filters.matches(json.loads(row.metadata))]


def _best(scored: list[tuple[DocumentRow, float]], limit: int) -> list[Found]:
    best = sorted(scored, key=lambda each: -each[1])[:limit]
    return [Found(row._replace(embedding=None), score) for row, score in best]


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    length = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / length if length else 0.0
