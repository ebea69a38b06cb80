"""The part of StoreContract that is about documents."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from perdure.documents.filters import parse_filters
from perdure.errors import StoreDataError, StoreError, TerminalError
from perdure.store.documents import (
    DocumentRow,
    Found,
    pack_embedding,
)
from perdure.testing.contract_stores import ContractStores
from perdure.testing.contract_support import on_a_loop, refusal
from perdure.testing.sample_rows import SampleRows

__all__ = ["DocumentContract"]


class DocumentContract(ContractStores):
    """Tests of the documents of a store; see StoreContract."""

    @on_a_loop
    async def test_documents_are_there_after_reopening(self) -> None:
        async with self.opened() as (store, sample):
            assert store.documents.job == sample.job
            row = document(sample, "ä\0\n\\'", content="Text 😀", metadata={"a": [1, None]})
            await store.commit([row, document(sample, "other", collection="elsewhere")])
        async with self.opened(store) as (again, _):
            documents = again.documents
            assert await documents.get("c", embeddings=True) == [row]
            assert await documents.get("c") == [row._replace(embedding=None)]
            assert [found.row.id for found in await documents.nearest("c", vector(1), 9)] == [
                row.id
            ]
            assert [found.row.id for found in await documents.matching("c", ["text"], 9)] == [
                row.id
            ]
            assert await documents.embedding_bytes("c") == 8
            assert await documents.size("c") == await documents.size("elsewhere") == 1

    @on_a_loop
    async def test_a_collection_that_is_not_there_is_empty(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([document(sample, "1", embedding=None)])
            for collection in ("c", "none"):
                assert await store.documents.nearest(collection, vector(1), 9) == []
                assert await store.documents.embedding_bytes(collection) == 0
            assert await store.documents.get("none") == await store.documents.get("none", ["1"])
            assert await store.documents.matching("none", ["text"], 9) == []
            assert await store.documents.size("none") == 0

    @on_a_loop
    async def test_a_document_is_written_over_the_one_of_its_id(self) -> None:
        async with self.opened() as (store, sample):
            old = document(sample, "1", content="old words", metadata={"n": 1})
            await store.commit([old, document(sample, "2"), old])
            assert await store.documents.nearest("c", vector(1, 0), 1) == [found(old, 1.0)]
            new = document(sample, "1", content="new words", embedding=vector(0, 1))
            await store.commit([new])
            assert await store.documents.size("c") == 2
            assert (await store.documents.get("c", embeddings=True))[0] == new
            assert await store.documents.matching("c", ["old"], 9) == []
            assert len(await store.documents.matching("c", ["new"], 9)) == 1
            assert await store.documents.nearest("c", vector(0, 1), 1) == [found(new, 1.0)]

    @on_a_loop
    async def test_deleting_and_writing_keep_their_order(self) -> None:
        async with self.opened() as (store, sample):
            row, gone = document(sample, "1"), deletion(sample, "1")
            await store.commit([row, gone])
            assert await store.documents.size("c") == 0
            await store.commit([gone, row, gone, row])
            assert await store.documents.get("c", embeddings=True) == [row]
            assert len(await store.documents.matching("c", ["text"], 9)) == 1
            await store.commit([deletion(sample, "unknown"), gone, document(sample, "2")])
            assert [each.id for each in await store.documents.get("c")] == ["2"]
            assert [each.row.id for each in await store.documents.matching("c", ["text"], 9)] == [
                "2"
            ]
            assert [each.row.id for each in await store.documents.nearest("c", vector(1), 9)] == [
                "2"
            ]

    @on_a_loop
    async def test_documents_are_got_by_ids_filters_and_limit(self) -> None:
        async with self.opened() as (store, sample):
            rows = [document(sample, str(n), metadata={"n": n}) for n in range(600)]
            await store.commit(rows)
            small = parse_filters({"n": {"$lt": 3}})
            got = await store.documents.get("c", ["2", "none", "7", "1", "2"], filters=small)
            assert [row.id for row in got] == ["2", "1"]
            assert [row.id for row in await store.documents.get("c", filters=small, limit=2)] == [
                "0",
                "1",
            ]
            assert len(await store.documents.get("c", [row.id for row in rows])) == 600
            assert await store.documents.get("c", []) == await store.documents.get("c", limit=0)
            assert await store.documents.get("c", []) == []

    @on_a_loop
    async def test_the_nearest_come_first(self) -> None:
        async with self.opened() as (store, sample):
            places = {
                "far": (-3, 0),
                "near": (2, 1),
                "same": (9, 0),
                "twin": (1, 0),
                "none": (0, 0),
            }
            rows = [
                document(sample, id_, embedding=vector(*place), metadata={"id": id_})
                for id_, place in places.items()
            ]
            await store.commit(rows)
            nearest = await store.documents.nearest("c", vector(0.5, 0), 9)
            assert [each.row.id for each in nearest] == ["same", "twin", "near", "none", "far"]
            scores = [round(each.score, 5) for each in nearest]
            assert scores == [1.0, 1.0, 0.89443, 0.0, -1.0]
            assert nearest[0].row == rows[2]._replace(embedding=None)
            not_same = parse_filters({"id": {"$nin": ["same", "near"]}})
            some = await store.documents.nearest("c", vector(0.5, 0), 2, filters=not_same)
            assert [each.row.id for each in some] == ["twin", "none"]
            assert await store.documents.nearest("c", vector(1, 0), 0) == []

    @on_a_loop
    async def test_embeddings_of_another_length_are_named(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([document(sample, "1")])
            error = await refusal(store.documents.nearest("c", vector(1, 2, 3), 9))
            assert isinstance(error, TerminalError)
            assert "embeddings of 2 numbers, and one of 3" in str(error)

    @on_a_loop
    async def test_any_word_is_found(self) -> None:
        async with self.opened() as (store, sample):
            texts = {
                "both": "Quick foxes jump; the FOX sleeps",
                "one": "A slow fox",
                "long": "A fox " + "among very many other animals of the wood " * 5,
                "none": "Nothing of it",
            }
            rows = [
                document(sample, id_, content=text, metadata={"id": id_}, embedding=None)
                for id_, text in texts.items()
            ]
            await store.commit([*rows, document(sample, "5", content="fox", collection="other")])
            matching = await store.documents.matching("c", ["fox", "quick", "zebra"], 9)
            assert [each.row.id for each in matching] == ["both", "one", "long"]
            assert all(each.score > 0 for each in matching)
            assert sorted((each.score for each in matching), reverse=True) == [
                each.score for each in matching
            ]
            others = parse_filters({"id": {"$ne": "both"}})
            some = await store.documents.matching("c", ["fox", "quick"], 1, filters=others)
            assert [each.row.id for each in some] == ["one"]
            assert await store.documents.matching("c", [], 9) == []

    @on_a_loop
    async def test_documents_of_another_job_are_not_seen(self) -> None:
        async with self.opened(job="one") as (store, one):
            row = document(one, "1")
            await store.commit([row])
        async with self.opened(store, job="two") as (other, two):
            assert two.job != one.job
            assert await other.documents.get("c") == await other.documents.get("c", ["1"]) == []
            assert await other.documents.nearest("c", vector(1), 9) == []
            assert await other.documents.matching("c", ["text"], 9) == []
            assert await other.documents.size("c") == 0
            await other.commit([document(two, "1", content="mine"), deletion(two, "1")])
        async with self.opened(other, job="one") as (back, _):
            assert await back.documents.get("c", embeddings=True) == [row]

    @on_a_loop
    async def test_a_refused_document_takes_its_batch_with_it(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([document(sample, "1")])
            await store.documents.nearest("c", vector(1), 9)
            bad = document(sample, "2")._replace(job=1 << 70)
            error = await refusal(store.commit([deletion(sample, "1"), sample.key(1), bad]))
            assert isinstance(error, StoreDataError)
            assert [row.id for row in await store.documents.get("c")] == ["1"]
            assert len(await store.documents.nearest("c", vector(1), 9)) == 1
            assert await store.keys([sample.key(1).digest]) == {}

    @on_a_loop
    async def test_a_search_sees_what_was_asked_for_before(self) -> None:
        async with self.opened() as (store, sample):
            for n in range(1, 30):
                commit = store.commit([document(sample, str(n))])
                nearest = await store.documents.nearest("c", vector(1), 99)
                assert len(nearest) == len(await store.documents.matching("c", ["text"], 99)) == n
                await commit

    @on_a_loop
    async def test_a_closed_store_finds_nothing(self) -> None:
        async with self.opened() as (store, sample):
            await store.commit([document(sample, "1")])
            documents = store.documents
        for work in (documents.get("c"), documents.nearest("c", vector(1), 1)):
            assert isinstance(await refusal(work), StoreError)

    @on_a_loop
    async def test_many_readers_and_writers_at_a_time(self) -> None:
        async with self.opened() as (store, sample):
            work: list[Any] = []
            for n in range(100):
                work.append(store.commit([document(sample, str(n))]))
                work.append(store.documents.nearest("c", vector(1), 999))
            done = await asyncio.gather(*work)
            seen = [len(nearest) for nearest in done[1::2]]
            assert seen == sorted(seen)
            assert seen[-1] == 100


def vector(*numbers: float) -> bytes:
    """Return an embedding of at least two numbers."""
    return pack_embedding([*numbers, 0.0][: max(2, len(numbers))])


def document(
    sample: SampleRows,
    id: str,
    *,
    content: str = "Some text",
    metadata: dict[str, Any] | None = None,
    embedding: bytes | None = b"\0\0\x80?\0\0\0\0",
    collection: str = "c",
) -> DocumentRow:
    """Return the row of a document; its embedding is (1, 0)."""
    text = json.dumps(metadata or {})
    return DocumentRow(sample.job, collection, id, content, text, embedding)


def deletion(sample: SampleRows, id: str) -> DocumentRow:
    """Return a row that deletes a document."""
    return DocumentRow(sample.job, "c", id, None, "{}", None)


def found(row: DocumentRow, score: float) -> Found:
    """Return a document as a search gives it."""
    return Found(row._replace(embedding=None), score)
