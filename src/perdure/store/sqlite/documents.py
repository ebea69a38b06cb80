"""Documents in an SQLite store: exact search by cosine with numpy, by keywords with FTS5.

The embeddings of a collection are kept in the process as one matrix, from its first search on:
10,000 of 384 numbers take 15 MB, 0.1 s to read and a few ms to search. A write leaves a note of
what it changed, and the next search reads that.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from perdure.errors import TerminalError, missing_extra
from perdure.store.documents import DocumentReader, DocumentRow, Found, other_length
from perdure.store.sqlite.file import select_many
from perdure.store.statements import load_statements

if TYPE_CHECKING:
    import numpy

    from perdure.documents.filters import MetadataFilter

T = TypeVar("T")

FEW = 2_000  # changed documents; with more of them a collection is read again

READ = load_statements("sqlite", "documents.sql")


class _Work(Protocol):
    def __call__(self, work: Callable[[], T], /) -> Any: ...


class Matrix:
    """The embeddings of a collection, each of length 1, and what is known of their documents.

    Attributes:
        size: bytes of one embedding, 0 where there is none.
        numbers: of the documents, ascending.
        metadata: of the documents, JSON.
        rows: one embedding a row, float32.
        changed: ids of documents that were written or deleted since.
    """

    def __init__(self, collection: str, found: Sequence[Any]) -> None:
        self._collection = collection
        self.changed: set[str] = set()
        self.size = len(found[0][3]) if found else 0
        self.numbers = [row[0] for row in found]
        self.metadata = [row[2] for row in found]
        self.rows = self._packed(found)
        self._places = {row[1]: place for place, row in enumerate(found)}

    def _packed(self, found: Sequence[Any]) -> numpy.ndarray[Any, Any]:
        numpy = load_numpy()
        for row in found:
            if len(row[3]) != self.size:
                raise TerminalError(other_length(self._collection, self.size, len(row[3])))
        data = b"".join(row[3] for row in found)
        return _of_length_1(numpy.frombuffer(data, "<f4").reshape(len(found), self.size // 4))

    def take(self, found: Sequence[Any]) -> bool:
        """Take over the changed documents; say whether that was possible.

        Args:
            found: those of the changed that are there and have an embedding.
        """
        last = self.numbers[-1] if self.numbers else 0
        new = [row for row in found if row[1] not in self._places]
        if not self.size or any(row[0] <= last for row in new):
            return False
        for row in found:
            place = self._places.get(row[1])
            if place is not None:
                if row[0] != self.numbers[place]:
                    return False  # deleted, and added again
                self.metadata[place] = row[2]
                self.rows[place] = self._packed([row])[0]
        gone = self.changed - {row[1] for row in found}
        places = {self._places[id_] for id_ in gone if id_ in self._places}
        if places:
            self._drop(places)
        for row in new:
            self._places[row[1]] = len(self.numbers)
            self.numbers.append(row[0])
            self.metadata.append(row[2])
        if new:
            self.rows = load_numpy().concatenate([self.rows, self._packed(new)])
        self.changed.clear()
        return True

    def _drop(self, places: set[int]) -> None:
        kept = [place for place in range(len(self.numbers)) if place not in places]
        moved = {place: index for index, place in enumerate(kept)}
        self.rows = self.rows[kept]
        self.numbers = [self.numbers[place] for place in kept]
        self.metadata = [self.metadata[place] for place in kept]
        self._places = {id_: moved[place] for id_, place in self._places.items() if place in moved}


class SqliteDocuments(DocumentReader):
    """The documents of a store's job.

    Owns: the matrices. All but the coroutine methods is called where the store's connection may be
    used.

    Args:
        call: runs work on the store's thread.
        connection: returns the store's connection.
        job: returns the job's number.
    """

    def __init__(
        self,
        call: _Work,
        connection: Callable[[], sqlite3.Connection],
        job: Callable[[], int],
    ) -> None:
        self._call = call
        self._connection = connection
        self._job_number = job
        self._matrices: dict[str, Matrix] = {}

    @property
    def job(self) -> int:
        return self._job_number()

    def forget(self, rows: Iterable[Any] | None = None) -> None:
        """Take note that `rows` were written; without them forget all."""
        if rows is None:
            self._matrices.clear()
        elif self._matrices:
            for row in rows:
                if type(row) is DocumentRow and row.collection in self._matrices:
                    self._matrices[row.collection].changed.add(row.id)

    async def get(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
        limit: int | None = None,
        embeddings: bool = False,
    ) -> list[DocumentRow]:
        how = "" if embeddings else "_plain"

        def read() -> list[DocumentRow]:
            db, job = self._connection(), self.job
            found: Iterable[DocumentRow]
            if ids is None:
                cursor = db.execute(READ[f"all{how}"], (job, collection))
                found = map(DocumentRow._make, cursor)
            else:
                rows = select_many(db, f"by_id{how}", ids, job, collection, statements=READ)
                by_id = {row[2]: DocumentRow._make(row) for row in rows}
                found = [by_id[id_] for id_ in dict.fromkeys(ids) if id_ in by_id]
            return list(_passing(found, filters, limit))

        return list(await self._call(read))

    async def nearest(
        self,
        collection: str,
        embedding: bytes,
        limit: int,
        *,
        filters: MetadataFilter | None = None,
    ) -> list[Found]:
        def read() -> list[Found]:
            numpy = load_numpy()  # here, since the first import takes its time
            matrix = self._matrix(collection)
            if not matrix.numbers:
                return []
            if matrix.size != len(embedding):
                raise TerminalError(other_length(collection, matrix.size, len(embedding)))
            numbers, rows = matrix.numbers, matrix.rows
            if filters is not None:
                kept = [
                    index
                    for index, metadata in enumerate(matrix.metadata)
                    if filters.matches(json.loads(metadata))
                ]
                numbers, rows = [numbers[index] for index in kept], rows[kept]
            asked = _of_length_1(numpy.frombuffer(embedding, "<f4").reshape(1, -1))[0]
            scores = rows @ asked
            best = numpy.argsort(-scores, kind="stable")[:limit].tolist()
            return self._found([(numbers[index], float(scores[index])) for index in best])

        return list(await self._call(read))

    async def matching(
        self,
        collection: str,
        words: Sequence[str],
        limit: int,
        *,
        filters: MetadataFilter | None = None,
    ) -> list[Found]:
        # Quoted, so that no word is an operator; a word has no quotes in it.
        expression = " OR ".join(f'"{word}"' for word in words)
        if not expression:
            return []

        def read() -> list[Found]:
            db, job = self._connection(), self.job
            found: list[Found] = []
            cursor = db.execute(READ["matching"], (expression, job, collection))
            for *row, score in cursor:
                if len(found) >= limit:
                    break
                document = DocumentRow._make(row)
                if filters is None or filters.matches(json.loads(document.metadata)):
                    found.append(Found(document, score))
            return found

        return list(await self._call(read))

    async def size(self, collection: str) -> int:
        return int(await self._call(lambda: self._number("size", collection)))

    async def embedding_bytes(self, collection: str) -> int:
        return int(await self._call(lambda: self._number("embedding_bytes", collection)))

    def _number(self, statement: str, collection: str) -> int:
        cursor = self._connection().execute(READ[statement], (self.job, collection))
        row = cursor.fetchone()
        return row[0] if row else 0

    def _matrix(self, collection: str) -> Matrix:
        known = self._matrices.get(collection)
        if known is not None and not known.changed:
            return known
        db, job = self._connection(), self.job
        if known is not None and len(known.changed) <= FEW:
            changed = sorted(known.changed)
            found = select_many(db, "embeddings_of", changed, job, collection, statements=READ)
            if known.take(sorted(found)):
                return known
        self._matrices.pop(collection, None)
        found = db.execute(READ["embeddings"], (job, collection)).fetchall()
        made = self._matrices[collection] = Matrix(collection, found)
        return made

    def _found(self, scored: list[tuple[int, float]]) -> list[Found]:
        rows = select_many(
            self._connection(), "by_number", [number for number, _ in scored], statements=READ
        )
        by_number = {number: DocumentRow._make(row) for number, *row in rows}
        return [Found(by_number[number], score) for number, score in scored]


def _of_length_1(rows: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    numpy = load_numpy()
    lengths = numpy.linalg.norm(rows, axis=1, keepdims=True)
    return rows / numpy.where(lengths == 0, 1, lengths)  # type: ignore[no-any-return]


def _passing(
    rows: Iterable[DocumentRow], filters: MetadataFilter | None, limit: int | None
) -> Iterator[DocumentRow]:
    left = limit if limit is not None else -1
    for row in rows:
        if left == 0:
            return
        if filters is None or filters.matches(json.loads(row.metadata)):
            yield row
            left -= 1


def load_numpy() -> Any:
    """Return numpy.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import numpy
    except ImportError as error:
        raise missing_extra("semantic search", "rag", error) from error
    return numpy
