"""VectorStoreContract: what every vector store must do, as tests to inherit.

    class TestMyStore(VectorStoreContract):
        @asynccontextmanager
        async def opened(self, embedding_model):
            store = MyStore(embedding_model=embedding_model)
            ...  # open it
            yield store

Plain methods named `test_*`, so that pytest collects them; nothing here imports it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from perdure.documents.document import Document, VectorStoreQuery, VectorStoreQueryMode
from perdure.errors import ConfigurationError, TerminalError
from perdure.llm.embedding_model import (
    BaseEmbeddingModelConnection,
    BaseEmbeddingModelSetup,
    EmbedKind,
)
from perdure.llm.vector_store import BaseVectorStore
from perdure.testing.contract_support import on_a_loop, refusal

__all__ = ["VectorStoreContract", "WordEmbeddings"]

WORDS = ("apple", "banana", "cherry", "damson")


class WordEmbeddings(BaseEmbeddingModelConnection):
    """Embeddings that count words: of `WORDS` each, and whether there are others.

    Attributes:
        asked: What it was asked for: texts and kinds.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], str]] = []

    async def embed(
        self, texts: Sequence[str], *, model: str, kind: EmbedKind = "document", **kwargs: Any
    ) -> list[list[float]]:
        self.asked.append((list(texts), kind))
        return [
            [*(float(text.lower().split().count(word)) for word in WORDS), 0.1] for text in texts
        ]


FRUIT = {
    "a": Document("Apple apple pie", {"kind": "pie", "n": 1, "tags": ["sweet", "warm"]}, "a"),
    "b": Document("banana split", {"kind": "ice", "n": 2.5, "tags": ["sweet"]}, "b"),
    "c": Document("apple and cherry tart", {"kind": "pie", "n": 3, "fresh": True}, "c"),
    "d": Document("damson jam", {"kind": None, "n": "3", "fresh": False}, "d"),
    "e": Document("No fruit at all", {}, "e"),
}

FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "abcde"),
    ({"kind": "pie"}, "ac"),
    ({"kind": "pie", "n": 3}, "c"),
    ({"n": 3.0}, "c"),
    ({"n": "3"}, "d"),
    ({"n": True}, ""),
    ({"fresh": True}, "c"),
    ({"fresh": 1}, ""),
    ({"kind": None}, "d"),
    ({"tags": "sweet"}, "ab"),
    ({"tags": {"$eq": "warm"}}, "a"),
    ({"kind": {"$ne": "pie"}}, "bde"),
    ({"n": {"$gt": 1}}, "bc"),
    ({"n": {"$gte": 1, "$lt": 3}}, "ab"),
    ({"n": {"$lte": 2.5}}, "ab"),
    ({"kind": {"$in": ["ice", None]}}, "bd"),
    ({"tags": {"$in": ["cold", "warm"]}}, "a"),
    ({"kind": {"$nin": ["ice", "pie"]}}, "de"),
    ({"n": {"$in": []}}, ""),
    ({"fresh": {"$exists": True}}, "cd"),
    ({"kind": {"$exists": False}}, "e"),
    ({"$or": [{"kind": "ice"}, {"fresh": False}]}, "bd"),
    ({"$and": [{"kind": "pie"}, {"$not": {"n": 1}}]}, "c"),
    ({"$not": {"n": {"$gt": 2}}}, "ade"),
    ({"no such": "field"}, ""),
]


class VectorStoreContract:
    """Tests of a vector store; a subclass says how to open one.

    Attributes:
        keyword_search: Whether the store has it.
        without_embeddings: Whether it takes documents without embeddings.
    """

    keyword_search: ClassVar[bool] = True
    without_embeddings: ClassVar[bool] = True

    def opened(
        self, embedding_model: BaseEmbeddingModelSetup | None
    ) -> AbstractAsyncContextManager[BaseVectorStore]:
        """Open a store without documents."""
        raise NotImplementedError

    def words(self) -> BaseEmbeddingModelSetup:
        """Return an embedding model, ready to be used."""
        return BaseEmbeddingModelSetup(WordEmbeddings(), "words")

    @on_a_loop
    async def test_what_was_added_is_got(self) -> None:
        async with self.opened(self.words()) as store:
            given = Document("Apple 😀 'quoted'\n", {"é": [1, "x"], "deep": {"a": None}}, "id 1/é")
            assert await store.add(given) == ["id 1/é"]
            assert given.embedding is None, "what was given must not be changed"
            (got,) = await store.get()
            assert got == given
            assert await store.get("id 1/é") == await store.get(["x", "id 1/é"]) == [given]
            (full,) = await store.get("id 1/é", embeddings=True)
            assert full.embedding is not None
            # (Some stores keep embeddings at length 1.)
            length = math.hypot(*full.embedding)
            wanted = [1.0, 0.0, 0.0, 0.0, 0.1]
            assert [round(n / length, 4) for n in full.embedding] == [
                round(n / math.hypot(*wanted), 4) for n in wanted
            ]
            assert await store.get("nobody") == []

    @on_a_loop
    async def test_adding_again_changes_nothing(self) -> None:
        async with self.opened(self.words()) as store:
            bare = [Document("apple"), Document("apple", {"n": 1}), Document("banana")]
            ids = await store.add(bare)
            assert len(set(ids)) == 3
            assert await store.add([*bare, bare[0]]) == [*ids, ids[0]]
            assert await store.size() == 3
            assert {document.id for document in await store.get()} == set(ids)
            assert await store.add([]) == []

    @on_a_loop
    async def test_a_document_is_replaced_by_its_id(self) -> None:
        async with self.opened(self.words()) as store:
            await store.add([Document("apple", {"old": 1}, "1"), Document("cherry", {}, "2")])
            new = Document("banana", {"new": 1}, "1")
            await store.update(new)
            assert await store.get("1") == [new]
            assert await store.size() == 2
            found = (await store.query(VectorStoreQuery("banana", 1))).documents
            assert [(each.id, each.content) for each in found] == [("1", "banana")]
            assert await store.get(filters={"old": 1}) == []
            assert isinstance(await refusal(store.update(Document("x"))), ConfigurationError)
            assert isinstance(await refusal(store.update([])), ConfigurationError)

    @on_a_loop
    async def test_the_nearest_are_found(self) -> None:
        async with self.opened(self.words()) as store:
            assert (await store.query("apple")).documents == []
            await store.add(list(FRUIT.values()))
            found = (await store.query(VectorStoreQuery("apple", limit=3))).documents
            assert [each.id for each in found[:2]] == ["a", "c"]
            assert len(found) == 3
            first, second, third = (each.score for each in found)
            assert first is not None
            assert second is not None
            assert third is not None
            assert 1.001 > first > second > third
            assert abs(second - 0.7089) < 0.001
            assert found[0].metadata == FRUIT["a"].metadata
            assert found[0].content == FRUIT["a"].content
            assert all(each.embedding is None for each in found)
            assert (await store.query(VectorStoreQuery("apple", limit=0))).documents == []
            assert len((await store.query("apple")).documents) == 5

    @on_a_loop
    async def test_the_embedding_model_knows_what_for(self) -> None:
        model = self.words()
        async with self.opened(model) as store:
            assert isinstance(model.connection, WordEmbeddings)
            await store.add([Document("apple"), Document("own", embedding=[1.0, 0, 0, 0, 0])])
            await store.query("banana")
            assert model.connection.asked == [(["apple"], "document"), (["banana"], "query")]

    @on_a_loop
    async def test_filters_mean_the_same_everywhere(self) -> None:
        async with self.opened(self.words()) as store:
            await store.add(list(FRUIT.values()))
            for filters, ids in FILTERS:
                got = [document.id for document in await store.get(filters=filters)]
                assert "".join(sorted(str(id_) for id_ in got)) == ids, filters
                query = VectorStoreQuery("apple", 9, filters=filters)
                found = [document.id for document in (await store.query(query)).documents]
                assert "".join(sorted(str(id_) for id_ in found)) == ids, filters
                assert found[:1] == [id_ for id_ in "acbde" if id_ in ids][:1] or "a" not in ids

    @on_a_loop
    async def test_filters_go_with_ids_and_limit(self) -> None:
        async with self.opened(self.words()) as store:
            await store.add(list(FRUIT.values()))
            pies = {"kind": "pie"}
            got = await store.get(["e", "c", "a"], filters=pies)
            assert [document.id for document in got] == ["c", "a"]
            assert len(await store.get(filters=pies, limit=1)) == 1
            assert len(await store.get(limit=2)) == 2
            assert len(await store.get(limit=None)) == 5
            wrong = store.get(filters={"n": {"$near": 1}})
            error = await refusal(wrong)
            assert isinstance(error, ConfigurationError)
            assert "$near" in str(error)

    @on_a_loop
    async def test_documents_are_deleted(self) -> None:
        async with self.opened(self.words()) as store:
            await store.add(list(FRUIT.values()))
            await store.delete(["a", "nobody"])
            assert await store.size() == 4
            await store.delete("b", filters={"kind": "pie"})
            assert await store.size() == 4
            await store.delete(filters={"kind": "pie"})
            assert {document.id for document in await store.get()} == {"b", "d", "e"}
            await store.delete()
            assert await store.size() == 0
            assert (await store.query("apple")).documents == []
            await store.add(FRUIT["a"])
            assert await store.size() == 1

    @on_a_loop
    async def test_collections_are_apart(self) -> None:
        async with self.opened(self.words()) as store:
            await store.add(FRUIT["a"], "one")
            await store.add([FRUIT["b"], FRUIT["a"]], "two")
            assert (await store.size("one"), await store.size("two")) == (1, 2)
            assert await store.size("three") == 0
            assert await store.get(collection_name="three") == []
            query = VectorStoreQuery("banana", collection_name="one")
            assert [each.id for each in (await store.query(query)).documents] == ["a"]
            await store.delete(collection_name="two")
            assert await store.size("one") == 1
            await store.delete(collection_name="three")

    @on_a_loop
    async def test_words_are_found(self) -> None:
        async with self.opened(self.words()) as store:
            query = VectorStoreQuery(
                "JAM and tart?", mode=VectorStoreQueryMode.KEYWORD, filters={"n": {"$exists": True}}
            )
            if not self.keyword_search:
                error = await refusal(store.query(query))
                assert isinstance(error, ConfigurationError)
                assert "keyword search" in str(error)
                return
            assert (await store.query(query)).documents == []
            await store.add(list(FRUIT.values()))
            found = (await store.query(query)).documents
            assert [each.id for each in found] == ["c", "d"]
            assert all(each.score is not None and each.score > 0 for each in found)
            for text in ("", "?!", "zebra", "' OR \"", "apple'); --", "* & | : ! <->", "\\"):
                asked = VectorStoreQuery(text, mode=VectorStoreQueryMode.KEYWORD)
                hits = {each.id for each in (await store.query(asked)).documents}
                assert hits == ({"a", "c"} if "apple" in text else set()), text

    @on_a_loop
    async def test_both_ways_are_fused(self) -> None:
        if not self.keyword_search:
            return
        async with self.opened(self.words()) as store:
            await store.add(list(FRUIT.values()))
            query = VectorStoreQuery("cherry jam", 2, VectorStoreQueryMode.HYBRID)
            found = (await store.query(query)).documents
            assert {each.id for each in found} == {"c", "d"}
            assert found[0].id == "c"
            assert found[0].score is not None
            assert 1 / 61 < found[0].score <= 2 / 61

    @on_a_loop
    async def test_embeddings_of_another_length_are_refused(self) -> None:
        async with self.opened(self.words()) as store:
            await store.add(FRUIT["a"])
            short = Document("short", {}, "s", embedding=[1.0, 2.0])
            assert isinstance(await self._refused(store, short), TerminalError)
            nothing = Document("bad", {"x": {1, 2}}, "n")
            assert isinstance(await self._refused(store, nothing), TerminalError)
            assert await store.size() == 1

    async def _refused(self, store: BaseVectorStore, document: Document) -> BaseException | None:
        """Return why a document is refused, when it is added or when it is searched beside."""
        error = await refusal(store.add(document))
        if error is None:
            error = await refusal(store.query("apple"))
            await store.delete(document.id)
        return error

    @on_a_loop
    async def test_a_store_without_an_embedding_model(self) -> None:
        async with self.opened(None) as store:
            own = Document("apple", {}, "own", embedding=[1.0, 0.0])
            await store.add(own)
            assert await store.size() == 1
            error = await refusal(store.query("apple"))
            assert isinstance(error, ConfigurationError)
            assert "has no embedding model" in str(error)
            bare = Document("banana", {}, "bare")
            if not self.without_embeddings:
                assert isinstance(await refusal(store.add(bare)), ConfigurationError)
                return
            await store.add(bare)
            words = VectorStoreQuery("banana", mode=VectorStoreQueryMode.KEYWORD)
            assert [each.id for each in (await store.query(words)).documents] == ["bare"]
            (got,) = await store.get("bare", embeddings=True)
            assert got.embedding is None
