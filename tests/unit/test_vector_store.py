"""Vector stores: the embedded one, the base class, embedding models, fused ranks."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vector_stores import Context, document_index, on_loop, opened, sqlite_url

from perdure.documents.document import Document, VectorStoreQuery, words_of
from perdure.documents.filters import parse_filters
from perdure.documents.ranking import keyword_scores, reciprocal_rank_fusion
from perdure.errors import ConfigurationError, TerminalError
from perdure.llm.embedding_model import (
    BaseEmbeddingModelConnection,
    BaseEmbeddingModelSetup,
    EmbeddingModel,
)
from perdure.llm.vector_store import BaseVectorStore, VectorStore
from perdure.resource import Resource
from perdure.testing.vector_store_contract import VectorStoreContract, WordEmbeddings

pytestmark = pytest.mark.usefixtures("no_blocking")


class TestVectorStoreInMemory(VectorStoreContract):
    @asynccontextmanager
    async def opened(
        self, embedding_model: BaseEmbeddingModelSetup | None
    ) -> AsyncIterator[BaseVectorStore]:
        async with document_index("memory://") as index:
            store = VectorStore(embedding_model=embedding_model)
            async with opened(store, Context(index)):
                yield store


class TestVectorStoreInSqlite(VectorStoreContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = sqlite_url(tmp_path)

    @asynccontextmanager
    async def opened(
        self, embedding_model: BaseEmbeddingModelSetup | None
    ) -> AsyncIterator[BaseVectorStore]:
        async with document_index(self.url) as index:
            store = VectorStore(embedding_model=embedding_model)
            async with opened(store, Context(index)):
                yield store


def words() -> BaseEmbeddingModelSetup:
    return BaseEmbeddingModelSetup(WordEmbeddings(), "words")


# The index on the job's store


@on_loop
async def test_documents_outlive_the_process(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    async with document_index(url) as index:
        await index.put("c", [Document("apple", {"n": 1}, "1", embedding=[1.0, 0.0])])
    async with document_index(url) as index:
        assert await index.get("c", embeddings=True) == [Document("apple", {"n": 1}, "1", [1, 0])]
        assert [d.id for d in await index.query("c", embedding=[1, 1])] == ["1"]
        assert await index.query("c", embedding=[1, 1], limit=0) == []
    async with document_index(url, "another job") as index:
        assert await index.get("c") == await index.query("c", text="apple") == []


@on_loop
async def test_what_put_returned_from_is_durable_and_all_or_nothing(tmp_path: Path) -> None:
    async with document_index(sqlite_url(tmp_path)) as index:
        bad = Document("\ud800", {}, "bad")
        with pytest.raises(Exception, match="refused a row"):
            await index.put("c", [Document("good", {}, "good"), bad])
        assert await index.size("c") == 0
        with pytest.raises(TerminalError, match="embeddings of 1 numbers, and one of 2"):
            await index.put("c", [Document("x", {}, "1", [1.0]), Document("x", {}, "2", [1.0, 2])])
        assert await index.size("c") == 0


@on_loop
async def test_deleting_says_how_many_and_goes_by_filters() -> None:
    async with document_index() as index:
        await index.put("c", [Document(str(n), {"n": n}, str(n)) for n in range(10)])
        assert await index.delete("c", filters=parse_filters({"n": {"$lt": 3}})) == 3
        assert await index.delete("c", ["1", "5", "x"]) == 1
        assert await index.delete("c") == 6
        assert await index.delete("c") == 0


@on_loop
async def test_a_query_by_embedding_and_text_is_fused() -> None:
    async with document_index() as index:
        await index.put("c", [
            Document("near", {}, "near", [1.0, 0.0]), Document("far words", {}, "both", [0.9, 0.1]),
            Document("words among others here", {}, "words", [-1.0, 0.0]),
        ])  # fmt: skip
        found = await index.query("c", embedding=[1.0, 0.0], text="words", limit=2)
        assert [document.id for document in found] == ["both", "words"]
        assert await index.query("c") == []


@on_loop
async def test_documents_that_cannot_be_stored_are_named() -> None:
    async with document_index(max_bytes=100) as index:
        for wrong, why in (
            (Document("x" * 101, {}, "long"), r"'long' takes 103 bytes, more than the 100 allowed"),
            (Document("é" * 50, {}, "é"), r"'é' takes 102 bytes"),
            (Document("x", {"a": float("nan")}), "metadata of a document must be JSON"),
            (Document("x", {1: 2}), "metadata of a document must be JSON"),  # type: ignore[dict-item]
            (Document("x", {}, "e", []), "embedding of document 'e' is empty"),
            (Document("x", {}, "e", ["1"]), "embedding of document 'e' cannot"),  # type: ignore[list-item]
        ):
            with pytest.raises(TerminalError, match=why):
                await index.put("c", [wrong])
        await index.put("c", [Document("é" * 49, {}, "fits")])
        with pytest.raises(TerminalError, match="embedding of the query"):
            await index.query("c", embedding=[])


@on_loop
async def test_another_loop_may_search_too() -> None:
    async with document_index() as index:
        store = VectorStore(embedding_model=words())
        async with opened(store, Context(index)):
            await store.add(Document("apple", {}, "1"))

            def search() -> list[Document]:
                async def body() -> list[Document]:
                    await store.add(Document("apple too", {}, "2"))
                    return (await store.query("apple")).documents

                return asyncio.run(body())

            found = await asyncio.to_thread(search)
            assert {document.id for document in found} == {"1", "2"}


@on_loop
async def test_without_numpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with document_index() as index:
        await index.put("c", [Document("apple", {}, "1", [1.0])])
        monkeypatch.setitem(sys.modules, "numpy", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'perdure\[rag\]'"):
            await index.query("c", embedding=[1.0])
        assert [document.id for document in await index.query("c", text="apple")] == ["1"]


# The base class


@on_loop
async def test_a_model_is_looked_up_by_name() -> None:
    model = words()
    async with document_index() as index:
        store = VectorStore(embedding_model="fruit", collection="mine")
        async with opened(store, Context(index, fruit=model)):
            await store.add(Document("apple", {}, "1"))
            assert await store.size("mine") == 1
            assert [d.id for d in (await store.query("apple")).documents] == ["1"]
    store = VectorStore(embedding_model="fruit")
    with pytest.raises(ConfigurationError, match="there is no embedding_model 'fruit'"):
        async with opened(store, Context()):
            pass
    with pytest.raises(ConfigurationError, match="is not open: declare it"):
        await store.query("apple")


@on_loop
async def test_a_resource_of_another_class_is_refused() -> None:
    class Odd(Resource):
        RESOURCE_TYPE = BaseEmbeddingModelSetup.RESOURCE_TYPE

    store = VectorStore(embedding_model="odd")
    store.name = "docs"
    with pytest.raises(ConfigurationError, match="vector_store 'docs': 'odd' is a Odd, no Base"):
        async with opened(store, Context(odd=Odd())):
            pass


@on_loop
async def test_a_store_of_ones_own_needs_little() -> None:
    class Own(BaseVectorStore):
        store_kwargs = {"everywhere": 1}  # type: ignore[assignment]

        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            self.calls: list[Any] = []

        async def get(self, *args: Any, **kwargs: Any) -> list[Document]:
            return []

        async def delete(self, *args: Any, **kwargs: Any) -> None: ...

        async def size(self, collection_name: str | None = None) -> int:
            return 0

        async def _add_embedding(
            self, documents: list[Document], collection_name: str, **kwargs: Any
        ) -> list[str]:
            self.calls.append((collection_name, kwargs))
            return [str(document.id) for document in documents]

        async def _query_embedding(self, *args: Any, **kwargs: Any) -> list[Document]:
            self.calls.append((args[1:], kwargs))
            return [Document("found", {}, str(n)) for n in range(9)]

    store = Own(embedding_model=words())
    async with opened(store):
        assert await store.add(Document("x", {}, "i"), here=2) == ["i"]
        result = await store.query(VectorStoreQuery("x", 2, extra_args={"there": 3}))
        assert [document.id for document in result.documents] == ["0", "1"]
        assert str(result) == "QueryResult: 2 documents"
        assert store.calls == [
            ("default", {"everywhere": 1, "here": 2}),
            ((2, "default", None), {"everywhere": 1, "there": 3}),
        ]
        for mode in ("keyword", "hybrid"):
            with pytest.raises(ConfigurationError, match="Own has no keyword search"):
                await store.query(VectorStoreQuery("x", mode=mode))  # type: ignore[arg-type]


# Embedding models


class Plain(BaseEmbeddingModelConnection):
    """As a Flink Agents connection: plain, one text or several, no `kind`."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def embed(self, text: str | Sequence[str], **kwargs: Any) -> Any:  # type: ignore[override]
        self.calls.append((text, kwargs, threading.current_thread() is threading.main_thread()))
        return [float(len(text[0]))] if len(text) == 1 else [[float(len(each))] for each in text]


@on_loop
async def test_a_plain_connection_is_called_in_a_thread_in_batches() -> None:
    connection = Plain()
    setup = BaseEmbeddingModelSetup(connection, "m", batch_size=2, dimensions=1)
    async with opened(setup):
        assert await setup.embed(["a", "bb", "ccc"]) == [[1.0], [2.0], [3.0]]
        assert await setup.embed("four", kind="query", extra=True) == [4.0]
        assert await setup.embed([]) == []
    given = {"model": "m", "dimensions": 1}
    assert connection.calls == [
        (["a", "bb"], given, False), (["ccc"], given, False),
        (["four"], {**given, "extra": True}, False),
    ]  # fmt: skip


@on_loop
async def test_a_connection_that_returns_too_few_is_an_error() -> None:
    class Few(WordEmbeddings):
        async def embed(self, texts: Sequence[str], **kwargs: Any) -> list[list[float]]:  # type: ignore[override]
            return [[1.0]]

    setup = BaseEmbeddingModelSetup(Few(), "few")
    with pytest.raises(TerminalError, match="'few' returned 1 embeddings for 2 texts"):
        await setup.embed(["a", "b"])


@on_loop
async def test_a_connection_is_looked_up_by_name() -> None:
    setup = BaseEmbeddingModelSetup("service", "m")
    setup.name = "fruit"
    with pytest.raises(ConfigurationError, match="embedding_model 'fruit' is not open"):
        await setup.embed("apple")
    async with opened(setup, Context(service=WordEmbeddings())):
        assert await setup.embed("apple") == [1.0, 0.0, 0.0, 0.0, 0.1]


@pytest.mark.parametrize("name", ["minilm", "", ":x", "openai:"])
def test_an_embedding_model_names_provider_and_model(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name provider and model"):
        EmbeddingModel(name)


def test_a_local_embedding_model_has_no_address() -> None:
    with pytest.raises(ConfigurationError, match="'local:minilm' has no base_url"):
        EmbeddingModel("local:minilm", base_url="http://x")


def test_batches_have_a_size() -> None:
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        BaseEmbeddingModelSetup("c", batch_size=0)


# Ranks


def ranked(*ids: str) -> list[Document]:
    return [Document(id_, {}, id_, score=1.0) for id_ in ids]


def test_ranks_are_fused() -> None:
    fused = reciprocal_rank_fusion([ranked("a", "b", "c"), ranked("c", "a", "d")], 3)
    assert [document.id for document in fused] == ["a", "c", "b"]
    assert fused[0].score == 1 / 61 + 1 / 62
    assert fused[2].score == 1 / 62
    assert reciprocal_rank_fusion([], 3) == reciprocal_rank_fusion([[], []], 3) == []


@given(st.lists(st.permutations("abcdef"), min_size=1, max_size=3))
def test_what_is_first_everywhere_is_first(rankings: list[list[str]]) -> None:
    firsts = [["first", *ranking] for ranking in rankings]
    fused = reciprocal_rank_fusion([ranked(*ranking) for ranking in firsts], 99)
    assert fused[0].id == "first"
    assert sorted(str(document.id) for document in fused) == sorted(["first", *"abcdef"])
    scores = [document.score or 0 for document in fused]
    assert scores == sorted(scores, reverse=True)


def test_rarer_and_denser_words_weigh_more() -> None:
    texts = ["the cat", "the dog", "the cat and the dog and the bird", "nothing", ""]
    common = keyword_scores("the", texts)
    cat = keyword_scores("CAT the", texts)
    assert cat[0] > cat[2] > cat[1] > 0 == cat[3] == cat[4]
    assert keyword_scores("zebra", texts) == [0.0] * 5 == keyword_scores("", texts)
    assert keyword_scores("cat", []) == []
    assert all(one >= other for one, other in zip(cat, common, strict=True))


@given(st.text())
def test_any_text_can_be_searched_for(text: str) -> None:
    async def body() -> None:
        async with document_index() as index:
            documents = [Document(text.replace("\0", ""), {}, "1"), Document("other", {}, "2")]
            try:
                await index.put("c", documents[:1])
            except Exception:
                return  # a lone surrogate is no text
            found = [document.id for document in await index.query("c", text=text)]
            assert found in ([], ["1"])
            if text.isascii() and any(word.isalnum() for word in words_of(text)):
                assert found == ["1"]

    asyncio.run(body())


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from("abcde"), st.integers(0, 3)),
            st.tuples(st.just("bare"), st.sampled_from("abcde"), st.just(0)),
            st.tuples(st.just("delete"), st.sampled_from("abcde"), st.just(0)),
            st.tuples(st.just("look"), st.just(""), st.just(0)),
        ),
        max_size=25,
    )
)
def test_what_is_kept_in_memory_is_what_is_stored(steps: list[tuple[str, str, int]]) -> None:
    async def body() -> None:
        async with document_index() as index:
            expected: dict[str, list[float] | None] = {}
            for what, id_, number in [*steps, ("look", "", 0)]:
                if what == "put":
                    expected[id_] = [1.0, float(number)]
                    await index.put("c", [Document(id_, {"n": number}, id_, expected[id_])])
                elif what == "bare":
                    expected[id_] = None
                    await index.put("c", [Document(id_, {}, id_)])
                elif what == "delete":
                    expected.pop(id_, None)
                    await index.delete("c", [id_])
                else:
                    got = await index.query("c", embedding=[1.0, 0.0])
                    wanted = [i for i, e in expected.items() if e is not None]
                    wanted.sort(key=lambda i: expected[i][1])  # type: ignore[index]
                    assert {d.id for d in got} == set(wanted)
                    numbers = [d.metadata["n"] for d in got]
                    assert numbers == sorted(numbers)
                    assert [expected[str(d.id)][1] for d in got] == numbers  # type: ignore[index]
                    ties = [d.id for d in got if d.metadata["n"] == 0]
                    assert ties == [d.id for d in await index.get("c") if d.id in ties]

    asyncio.run(body())
