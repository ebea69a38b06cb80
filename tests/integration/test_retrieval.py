"""Context retrieval: the built-in action, on a real engine and under simulated crashes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunsFailedError, action
from perdure.actions.retrieval import retrieve
from perdure.documents.document import Document
from perdure.llm.embedding_model import BaseEmbeddingModelSetup, EmbedKind
from perdure.llm.events import ContextRetrievalRequestEvent, ContextRetrievalResponseEvent
from perdure.llm.vector_store import VectorStore
from perdure.resource import ResourceType, vector_store
from perdure.testing.simulation.simulate import simulate
from perdure.testing.vector_store_contract import FRUIT, WordEmbeddings


class Watched(WordEmbeddings):
    """Embeddings that take a moment, and count how many are made at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    async def embed(
        self, texts: Sequence[str], *, model: str, kind: EmbedKind = "document", **kwargs: Any
    ) -> list[list[float]]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.02)
            return await super().embed(texts, model=model, kind=kind)
        finally:
            self.now -= 1


class Kitchen(Agent):
    """Stores recipes, asks for what an input needs, and answers with what was found."""

    @vector_store
    @staticmethod
    def recipes() -> VectorStore:
        return VectorStore(embedding_model=BaseEmbeddingModelSetup(Watched(), "words"))

    @action(InputEvent)
    async def ask(self, event: InputEvent, ctx: Any) -> None:
        recipes = ctx.get_resource("recipes", ResourceType.VECTOR_STORE)
        await ctx.durable_execute_async(recipes.add, list(FRUIT.values()))
        asked = event.input if isinstance(event.input, dict) else {"query": event.input}
        ctx.send_event(ContextRetrievalRequestEvent(**{"vector_store": "recipes", **asked}))

    @action(ContextRetrievalResponseEvent)
    def answer(self, event: ContextRetrievalResponseEvent, ctx: Any) -> None:
        found = [document.id for document in event.documents]
        ctx.send_event(OutputEvent(output=[event.query, found, bool(event.request_id)]))


def run(inputs: list[Any], store: str = "memory://", **config: Any) -> list[Any]:
    engine = LocalEngine(store, config=config)
    outputs = engine.run(Kitchen(), inputs, key=str)
    return [output.value for output in outputs]


def test_a_request_is_answered() -> None:
    assert run(["apple"]) == [["apple", ["a", "c", "e"], True]]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({"max_results": 1}, ["a"]),
        ({"filters": {"kind": "ice"}}, ["b"]),
        ({"filters": {"n": {"$gte": 1, "$lt": 3}}, "max_results": 1}, ["a"]),
        ({"mode": "keyword"}, ["a", "c"]),
        ({"mode": "hybrid", "max_results": 2}, ["a", "c"]),
        ({"collection_name": "empty"}, []),
    ],
)
def test_a_request_says_how(asked: dict[str, Any], ids: list[str]) -> None:
    assert run([{"query": "apple", **asked}]) == [["apple", ids, True]]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"vector_store": "recipe"}, "did you mean 'recipes'"),
        ({"mode": "fuzzy"}, "'fuzzy' is no query mode"),
        ({"filters": {"n": {"$near": 1}}}, "unknown operator '$near'"),
    ],
)
def test_a_wrong_request_fails_its_run(asked: dict[str, Any], why: str) -> None:
    with pytest.raises(RunsFailedError) as failed:
        run([{"query": "apple", **asked}])
    assert why in failed.value.failed[0].error["message"]


def test_an_action_that_uses_the_store_by_itself_is_told_how() -> None:
    class Hasty(Agent):
        @vector_store
        @staticmethod
        def notes() -> VectorStore:
            return VectorStore()

        @action(InputEvent)
        async def ask(self, event: InputEvent, ctx: Any) -> None:
            notes = ctx.get_resource("notes", ResourceType.VECTOR_STORE)
            if event.input == "text":
                await ctx.durable_execute_async(notes.add, ["a text"])
            await notes.add(Document("a text"))

    for given, said in (
        ("text", "takes Documents, not 'a text'"),
        ("directly", "await ctx.durable_execute_async(store.add, documents)"),
    ):
        with pytest.raises(RunsFailedError) as caught:
            LocalEngine("memory://").run(Hasty(), [given], key=str)
        assert said in caught.value.failed[0].error["message"]


def test_a_search_is_one_durable_call_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert run(["apple"], f"sqlite:///{path}") == [["apple", ["a", "c", "e"], True]]
    with contextlib.closing(sqlite3.connect(path)) as store:
        calls = [row[0] for row in store.execute("SELECT function FROM record WHERE call > 0")]
    assert calls[-1] == "retrieval:recipes"
    assert len(calls) == 2


@pytest.mark.parametrize("parallel", [True, False])
def test_searches_overlap_unless_that_is_off(parallel: bool) -> None:
    watched = Watched()

    class Shared(Agent):
        @vector_store
        @staticmethod
        def recipes() -> VectorStore:
            return VectorStore(embedding_model=BaseEmbeddingModelSetup(watched, "words"))

        @action(InputEvent)
        def ask(self, event: InputEvent, ctx: Any) -> None:
            ctx.send_event(ContextRetrievalRequestEvent(query=event.input, vector_store="recipes"))

        @action(ContextRetrievalResponseEvent)
        def answer(self, event: ContextRetrievalResponseEvent, ctx: Any) -> None:
            ctx.send_event(OutputEvent(output=event.query))

    engine = LocalEngine("memory://", config={"rag.async": parallel})
    inputs = [f"apple {n}" for n in range(8)]
    outputs = engine.run(Shared(), inputs, key=str)
    assert sorted(output.value for output in outputs) == inputs
    assert watched.most > 1 if parallel else watched.most == 1


class Remembering(Agent):
    """Adds, replaces, searches and deletes, within one action."""

    @vector_store
    @staticmethod
    def notes() -> VectorStore:
        return VectorStore(embedding_model=BaseEmbeddingModelSetup(WordEmbeddings(), "words"))

    @action(InputEvent)
    async def note(self, event: InputEvent, ctx: Any) -> None:
        notes = ctx.get_resource("notes", ResourceType.VECTOR_STORE)
        call, mine = ctx.durable_execute_async, f"of {ctx.key}"
        ids = await call(notes.add, [Document("apple", {"n": 1}), Document("banana")], mine)
        await call(notes.update, Document("cherry", {}, ids[0]), mine)
        found = await retrieve(ctx, "notes", "cherry", limit=1, collection_name=mine)
        await call(notes.delete, ids[1], mine)
        size = await call(notes.size, mine)
        ctx.send_event(OutputEvent(output=[found[0].content, size]))


def test_documents_survive_a_crash_after_any_commit() -> None:
    simulated = simulate(Remembering(), ["a", "b"], key=str, seeds=3)
    assert simulated.crashes > 20
