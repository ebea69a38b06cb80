"""Long-term memory: compaction by a chat model, and vector stores of one's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.promises.chat_support import model
from tests.promises.support import (
    ONE,
    agent_of,
    crash_and_resume,
    hold,
    out,
    run,
    values,
)
from tests.promises.test_long_term_memory import fills, looks, notes, texts, works_on_all

from perdure import Agent, ConfigurationError, InputEvent, LocalEngine
from perdure.documents.document import Document
from perdure.documents.filters import parse_filters
from perdure.documents.ranking import keyword_scores
from perdure.llm.vector_store import BaseVectorStore, VectorStore, id_list
from perdure.resource import ResourceType

TEXTS = ["Ada likes green tea", "Bob likes coffee", "the train leaves at nine"]

# Compaction


def compacts(
    count: int, answer: Any, *, store: str = "memory://", config: Any = None, **options: Any
) -> tuple[int, list[str], list[Any]]:
    """Compact a set of so many items; return by how much, what is left, what was asked."""
    setup = model(answer if callable(answer) else lambda messages, tools: answer)

    async def go(event: Any, ctx: Any) -> None:
        await notes(ctx).add([f"i{n}" for n in range(count)])
        smaller = await notes(ctx).compact(**options)
        out(ctx, [smaller, texts(await notes(ctx).get())])

    agent = agent_of(go).add_resource("m", ResourceType.CHAT_MODEL, setup)
    ((smaller, left),) = run(agent, ONE, store=store, config=config)
    return smaller, left, setup.connection.requests


NOTES = json.dumps({"notes": ["short", "shorter"]})


def test_the_oldest_items_become_fewer(store: str) -> None:
    smaller, left, (request,) = compacts(6, NOTES, store=store, keep=2, model="m")
    assert smaller == 2
    assert sorted(left[:2]) == ["short", "shorter"]
    assert left[2:] == ["i4", "i5"]
    assert json.loads(request.messages[-1].content) == ["i0", "i1", "i2", "i3"]


def test_the_configuration_names_the_model() -> None:
    config = {"long-term-memory.chat-model": "m"}
    assert compacts(4, NOTES, config=config)[0] == 2


@pytest.mark.parametrize(
    ("count", "options"),
    [(4, {"above": 4}), (1, {}), (0, {}), (4, {"keep": 4}), (4, {"keep": 3}), (10, {"keep": 12}),
     (10, {"keep": 99})],
)  # fmt: skip
def test_small_sets_and_new_items_stay(count: int, options: Any) -> None:
    smaller, left, asked = compacts(count, NOTES, model="m", **options)
    assert (smaller, left, asked) == (0, [f"i{n}" for n in range(count)], [])


@pytest.mark.parametrize("notes_", [[], [""], [" "], ["a", "b", "c", "d"], ["a"] * 9])
def test_a_model_that_has_not_understood_loses_nothing(notes_: Any) -> None:
    smaller, left, _ = compacts(4, json.dumps({"notes": notes_}), model="m")
    assert (smaller, left) == (0, ["i0", "i1", "i2", "i3"])


def test_a_model_that_fails_loses_nothing(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await notes(ctx).add(TEXTS)
        with pytest.raises(LookupError):
            await notes(ctx).compact(model="m")
        out(ctx, await notes(ctx).size())

    setup = model(lambda messages, tools: LookupError("down"))
    agent = agent_of(go).add_resource("m", ResourceType.CHAT_MODEL, setup)
    assert run(agent, ONE, store=store) == [3]


# Vector stores of one's own


class InMemory(BaseVectorStore):
    """All documents of all collections in a dictionary, as a server that others use too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.documents: dict[tuple[str, str], Document] = {}

    async def get(
        self, ids: Any = None, collection_name: Any = None, filters: Any = None,
        limit: int | None = 100, **kwargs: Any,
    ) -> list[Document]:  # fmt: skip
        wanted, passes = id_list(ids), parse_filters(filters)
        own = {i: d for (c, i), d in self.documents.items() if c == collection_name}
        found = [own[i] for i in (own if wanted is None else wanted) if i in own]
        found = [d for d in found if passes is None or passes.matches(d.metadata)]
        return found[:limit] if wanted is None else found

    async def delete(
        self, ids: Any = None, collection_name: Any = None, filters: Any = None, **kwargs: Any
    ) -> None:
        for each in await self.get(ids, collection_name, filters, None):
            del self.documents[collection_name, each.id]

    async def size(self, collection_name: str | None = None) -> int:
        return len(await self.get(None, collection_name, None, None))

    async def _add_embedding(
        self, documents: list[Document], collection_name: str, **kwargs: Any
    ) -> list[str]:
        self.documents.update({(collection_name, d.id): d for d in documents})
        return [d.id for d in documents]

    async def _query_embedding(self, *args: Any, **kwargs: Any) -> list[Document]:
        raise AssertionError("there are no embeddings")

    async def _query_keyword(
        self, text: str, limit: int, collection_name: str, filters: Any, **kwargs: Any
    ) -> list[Document]:
        found = await self.get(None, collection_name, filters, None)
        scores = keyword_scores(text, [d.content for d in found])
        ranked = sorted(zip(scores, range(len(found)), strict=True), reverse=True)
        return [found[n] for score, n in ranked if score][:limit]


OWN = {"long-term-memory.vector-store": "own"}


def test_a_vector_store_of_ones_own_keeps_it(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        ids = await notes(ctx).add(TEXTS, {"n": 1})
        await ctx.durable_execute_async(hold)
        await notes(ctx).update(ids[0], "Ada likes black tea")
        await notes(ctx, "other").add("not here")
        await notes(ctx).delete(ids[2])
        found = await notes(ctx).search("tea likes", filters={"n": 1})
        out(ctx, [texts(found), texts(await notes(ctx).get()), await notes(ctx).size()])

    own = InMemory()
    agent = agent_of(go).add_resource("own", ResourceType.VECTOR_STORE, own)
    both = ["Ada likes black tea", "Bob likes coffee"]
    assert crash_and_resume(agent, ONE, store=store, config=OWN) == [[both, both, 2]]
    assert {collection for collection, _ in own.documents} == {"long-term-memory"}
    assert len(own.documents) == 3


def test_what_shares_a_vector_store_is_kept_apart(store: str) -> None:
    """Keys, jobs and what else is in the store."""
    own = InMemory()
    own.documents["long-term-memory", "foreign"] = Document("a's foreign tea", {"n": 1}, "foreign")
    if store == "memory://":
        stores = {name: LocalEngine(store, job=name, config=OWN) for name in ("one", "two")}

    def do(func: Any, job: str, *keys: str) -> list[Any]:
        engine = stores[job] if store == "memory://" else LocalEngine(store, job=job, config=OWN)
        agent = agent_of(func).add_resource("own", ResourceType.VECTOR_STORE, own)
        inputs = [{"k": key, "what": func.__name__} for key in keys]
        return values(engine.run(agent, inputs, key="k", id=str))

    for job in ("one", "two"):
        do(fills, job, "a", "b")
    assert do(works_on_all, "one", "a") == [[[2, 1], []]]
    assert do(looks, "one", "a") == [["a's other tea"]]
    assert do(looks, "one", "b") == [["b's tea", "b's shared", "b's other tea"]]
    assert do(looks, "two", "a") == [["a's tea", "a's shared", "a's other tea"]]
    assert own.documents["long-term-memory", "foreign"].content == "a's foreign tea"
    assert len(own.documents) == 4 * 3 - 2 + 1


def test_the_embedded_store_may_be_named_too(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await notes(ctx).add(TEXTS)
        documents = ctx.get_resource("own", ResourceType.VECTOR_STORE)
        out(ctx, [await notes(ctx).size(), await ctx.durable_execute_async(documents.size)])

    agent = agent_of(go).add_resource("own", ResourceType.VECTOR_STORE, VectorStore())
    assert run(agent, ONE, store=store, config=OWN) == [[3, 0]]


@pytest.mark.parametrize(
    ("option", "kind"), [("vector-store", "vector_store"), ("chat-model", "chat_model")]
)
def test_options_that_name_what_is_not_declared_are_refused_at_once(option: str, kind: str) -> None:
    agent = Agent().add_action("a", InputEvent, out)
    with pytest.raises(ConfigurationError, match=f"long-term-memory.{option}: there is no {kind}"):
        run(agent, ONE, config={f"long-term-memory.{option}": "x"})
