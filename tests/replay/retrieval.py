"""Documents: a vector store's own calls, retrieval, and sets of long-term memory."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from tests.replay.agents import fetch, note, out
from tests.replay.chats import Scripted
from tests.replay.harness import Expected, Scenario, fetched, one, submits
from tests.replay.value_types import Colour, Visit

from perdure import (
    Agent,
    AgentRunBeginEvent,
    ChatModel,
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
    InputEvent,
    ResourceType,
    action,
    retrieve,
    vector_store,
)
from perdure.agent.memory_events import MEMORY_EVENTS
from perdure.documents.document import (
    Document,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from perdure.llm.embedding_model import (
    BaseEmbeddingModelConnection,
    BaseEmbeddingModelSetup,
    EmbedKind,
)
from perdure.llm.vector_store import VectorStore
from perdure.memory.long_term import MemorySetItem


class Letters(BaseEmbeddingModelConnection):
    """Embeddings that count letters: the same on every machine."""

    async def embed(
        self, texts: Sequence[str], *, model: str, kind: EmbedKind = "document", **_kwargs: Any
    ) -> list[list[float]]:
        note("embed", kind, *texts)
        return [[float(text.count(letter)) for letter in "aehs"] for text in texts]


class Library(Agent):
    """Keeps documents, and looks one up."""

    @vector_store
    @staticmethod
    def books() -> VectorStore:
        model = BaseEmbeddingModelSetup(Letters(), "letters")
        return VectorStore(embedding_model=model, collection="books")

    @action(InputEvent)
    async def look_up(self, event: InputEvent, ctx: Any) -> None:
        books = ctx.get_resource("books", ResourceType.VECTOR_STORE)
        added = [
            Document("The whale", {"pages": 600, "tags": ["sea", None]}, "whale"),
            Document("The ship it's after", {"pages": 0.5}, "ship"),
            Document("Lost", {}, "lost"),
        ]
        await ctx.durable_execute_async(books.add, added)
        await ctx.durable_execute_async(books.add, Document("Ships ☃", {"new": True}, "ship"))
        await ctx.durable_execute_async(books.delete, "lost")
        await ctx.durable_execute_async(fetch, event.input)
        found = await ctx.durable_execute_async(books.query, VectorStoreQuery(event.input))
        out(ctx, [document.id for document in found.documents])


BOOKS = [
    Document("The whale and the sea", {"pages": 600, "tags": ["sea", None]}, "whale"),
    Document("A ship at sea", {"fresh": True, "pages": 120.5}, "ship"),
    Document("Tea with eel", {"pages": 3}, "tea"),
]


class Axes(BaseEmbeddingModelConnection):
    """Embeddings along the axes: their scores are exact on every machine."""

    async def embed(
        self, texts: Sequence[str], *, model: str, kind: EmbedKind = "document", **_kwargs: Any
    ) -> list[list[float]]:
        note("embed", kind, *texts)
        return [
            [-1.0, 0.0] if "ea with" in text or text == "tea" else
            [0.0, 1.0] if "ship" in text else [1.0, 0.0]
            for text in texts
        ]  # fmt: skip


class Shelf(VectorStore):
    """A store of one's own, whose calls are named by both classes; and a call that is its own."""

    async def titles(self, ids: list[str]) -> dict[str, Document]:
        """Return documents by their ids."""
        note("titles", *ids)
        return {each.id or "": each for each in await self.get(ids)}


class Librarian(Agent):
    """Keeps books, and answers with what it finds by each way there is."""

    def __init__(self) -> None:
        for name, store in (("books", VectorStore), ("shelf", Shelf)):
            model = BaseEmbeddingModelSetup(Axes(), "axes")
            made = store(embedding_model=model, collection=name)
            self.add_resource(name, ResourceType.VECTOR_STORE, made)
        self.add_resource(
            "axes", ResourceType.EMBEDDING_MODEL, BaseEmbeddingModelSetup(Axes(), "axes")
        )

    @action(InputEvent)
    async def keep(self, event: InputEvent, ctx: Any) -> None:
        """Make each of a store's calls, and one that asks for embeddings alone."""
        call = ctx.durable_execute_async
        shelf = ctx.get_resource("shelf", ResourceType.VECTOR_STORE)
        books = ctx.get_resource("books", ResourceType.VECTOR_STORE)
        axes = ctx.get_resource("axes", ResourceType.EMBEDDING_MODEL)
        for store in (books, shelf):
            await call(store.add, BOOKS)
        await call(shelf.add, [Document("gone soon", {}, "gone")], "shelf")
        await call(books.update, Document("Tea with eels", {"pages": 4}, "tea"))
        found = [await call(store.get, ["tea", "ship"]) for store in (books, shelf)]
        query = VectorStoreQuery(
            "sea", 2, VectorStoreQueryMode.HYBRID, "books", {"pages": {"$gt": 100}}
        )
        asked = await call(books.query, query)
        await call(shelf.delete, "gone")
        sizes = [await call(store.size) for store in (books, shelf)]
        titles = await call(shelf.titles, ["whale"])
        embedded = await call(axes.embed, "sea", kind="query")
        await call(fetch, f"{[each.content for each in asked.documents]} {sizes} {embedded}")
        out(ctx, [[each.content for each in both] for both in found])
        out(ctx, [asked, sizes, titles, embedded])
        ctx.send_event(ContextRetrievalRequestEvent(vector_store="books", query=event.input))

    @action(ContextRetrievalResponseEvent)
    async def answer(self, event: ContextRetrievalResponseEvent, ctx: Any) -> None:
        """Search once more in an action."""
        again = await retrieve(ctx, "shelf", event.query, limit=1, filters={"pages": 600})
        await ctx.durable_execute_async(fetch, f"{event.query}: {again[0].id}", 5)
        out(ctx, [[each.id for each in event.documents], [each.id for each in again]])
        out(ctx, again)


# Long-term memory


CONFIG = {"long-term-memory.embedding-model": "axes"}


def compacts(messages: Sequence[Any], tools: Any) -> Any:
    """Rewrite notes as one."""
    return {"notes": ["Ada likes tea; the train leaves at nine"]}


class Diary(Agent):
    """Keeps notes of its key, by each call that a memory set has."""

    def __init__(self) -> None:
        connection = Scripted("compacts", compacts)
        axes = BaseEmbeddingModelSetup(Axes(), "axes")
        self.add_resource("axes", ResourceType.EMBEDDING_MODEL, axes)
        self.add_resource(
            "model", ResourceType.CHAT_MODEL, ChatModel("fake", connection=connection)
        )

    @action(InputEvent)
    async def remember(self, event: InputEvent, ctx: Any) -> None:
        """Add, change, delete, find and count notes; go on with them after a while."""
        notes = ctx.long_term_memory.get_memory_set("notes")
        ids = await notes.add(
            ["Ada likes coffee", "Bob is away", "the train leaves at nine"],
            [{"n": number, "who": "x"} for number in range(3)], ["a", "b", "c"],
        )  # fmt: skip
        drawn = await notes.add("drawn")
        changed = await notes.update("a", "Ada likes tea", {"n": 7})
        await notes.delete("b")
        await notes.delete(filters={"n": {"$exists": False}})
        items = await notes.get(limit=10)
        found = await notes.search("ship", 1)
        size = await notes.size()
        what = f"{ids} {len(drawn)} {changed} {[each.value for each in items]} {size}"
        await ctx.durable_execute_async(fetch, what, 3)
        by_word = await notes.search("leaves", mode="keyword")
        smaller = await notes.compact(model="model")
        left = await notes.get()
        out(ctx, [smaller, [each.value for each in left], left[0].metadata, by_word[0].id])
        out(ctx, [*items, *found])
        other = ctx.long_term_memory.get_memory_set("other")
        await other.add("elsewhere", ids="o")
        await ctx.long_term_memory.delete_memory_set("notes")
        out(ctx, [await notes.size(), await other.size()])

    @action(Visit)
    async def never(self, event: Visit, ctx: Any) -> None:
        """Be there for the annotation."""


# Events of memory


READS = {
    "memory.generate-event.short-term-read": True,
    "memory.generate-event.sensory-read": True,
    "agent-run.begin-event": True,
}


class Told(Agent):
    """Is told what was done to memory: by an action that has completed, and by one that has not."""

    @action(InputEvent)
    async def soon(self, event: InputEvent, ctx: Any) -> None:
        """Use all memories, and be done before the cut."""
        await self.use(event.input, ctx)

    @action(InputEvent)
    async def later(self, event: InputEvent, ctx: Any) -> None:
        """Do the same, and be done after it."""
        await self.use(event.input, ctx)
        await ctx.durable_execute_async(fetch, "later", 3)

    async def use(self, word: str, ctx: Any) -> None:
        """Write and read each memory."""
        short, sensory = ctx.short_term_memory, ctx.sensory_memory
        short.set("a.b", word)
        sensory.set("n", [Colour.RED, short.get("a.b")])
        assert sensory.get("n") == [Colour.RED, word]
        notes = ctx.long_term_memory.get_memory_set("notes")
        await notes.add(word, ids="w")
        await notes.get("w")
        await notes.search(word)
        await ctx.durable_execute_async(fetch, word)

    @action(AgentRunBeginEvent)
    async def begun(self, event: AgentRunBeginEvent, ctx: Any) -> None:
        """Put out what was there."""
        out(ctx, [event.id, event.key, event.value])

    @action(*MEMORY_EVENTS.values())
    async def tell(self, event: Any, ctx: Any) -> None:
        """Take a while, and remember the event."""
        what = f"{event.type} of {event.upstream_action_name}"
        await ctx.durable_execute_async(fetch, what, 2)
        said = {what: [event.id, event.key, event.value]}
        ctx.short_term_memory.update(
            "told", lambda told: dict(sorted({**(told or {}), **said}.items()))
        )

    @action(Visit)
    async def never(self, event: Visit, ctx: Any) -> None:
        """Be there for the annotation."""


def _item(id_: str, value: str, micros: int, metadata: Any, score: float | None) -> MemorySetItem:
    at = datetime.datetime(2026, 1, 1, 0, 0, 0, micros, tzinfo=datetime.UTC)
    return MemorySetItem(
        memory_set_name="notes", id=id_, value=value, created_at=at, updated_at=at,
        metadata=metadata, score=score,
    )  # fmt: skip


def _kept(query: str) -> list[Any]:
    whale, ship = (dataclasses.replace(each, score=None) for each in BOOKS[:2])
    both = 1 / 61 + 1 / 62  # first by meaning and second by words, and the other way round
    scored = [dataclasses.replace(each, score=both) for each in (whale, ship)]
    order = {"sea": ["whale", "ship", "tea"], "tea": ["tea", "ship", "whale"]}[query]
    score = {"sea": 1.0, "tea": -1.0}[query]
    return [
        [["Tea with eels", "A ship at sea"], ["Tea with eel", "A ship at sea"]],
        [VectorStoreQueryResult(scored), [3, 3], {"whale": whale}, [1.0, 0.0]],
        [order, ["whale"]],
        [dataclasses.replace(whale, score=score)],
    ]


TEA = _item("a", "Ada likes tea", 0, {"n": 7}, None)
TRAIN = _item("c", "the train leaves at nine", 2, {"n": 2, "who": "x"}, None)
REMEMBERED = [
    [1, ["Ada likes tea; the train leaves at nine"], {"compacted": 2}, "c"],
    [TEA, TRAIN, dataclasses.replace(TEA, score=0.0)],
    [0, 1],
]
TOLD = "['a', 'b', 'c'] 1 True ['Ada likes tea', 'the train leaves at nine'] 2"

# By type: what is told, and the ids after "soon" and after "later", which no version may change.
TEXT, SEEN = {"a.b": "tea"}, {"n": [Colour.RED, "tea"]}
NOTES, HIT = {"notes": {"w": "tea"}}, {"id": "w", "value": "tea", "score": 1e-06}
MEMORY: dict[str, tuple[Any, str, str]] = {
    "_short_term_write_event": (
        TEXT, "dc46fd5a77666a79092daf90ae4be558", "5e9572491506842ded8ae9004c8e8b2e",
    ),
    "_short_term_read_event": (
        TEXT, "2e7ba98c74ecaff9d25d3446ca5597b0", "e99132eacef4ae84830f46299b90f74a",
    ),
    "_sensory_write_event": (
        SEEN, "5b9066a14f728457bf02d28652c76170", "441294e4c7a31925d94d7dedb57f142d",
    ),
    "_sensory_read_event": (
        SEEN, "4a14f8bf7ac3410636be597b894b8718", "ecb5f55f37a80dfc7dbf43dfd5a11522",
    ),
    "_long_term_update_event": (
        NOTES, "72ca5dd7907178f2ecfebab2ae4fc2df", "e1fd1f25e565a9daf753d215a3f0d7f6",
    ),
    "_long_term_get_event": (
        NOTES, "bf2c49178a02339189334c3acc2a7fad", "029f38bf31ed83e898ba0eb185d26c1d",
    ),
    "_long_term_search_event": (
        {"notes": {"tea": [HIT]}},
        "cd56901d3c90f76c756fef318fc619de", "9490d2dc5f983133caa3847de4a30022",
    ),
}  # fmt: skip
TOLD_OF_MEMORY = {
    f"{kind} of {by}": [id_, "k", value]
    for kind, (value, *ids) in MEMORY.items()
    for by, id_ in zip(("soon", "later"), ids, strict=True)
}

TYPES = (Document, VectorStoreQueryResult, MemorySetItem)
SCENARIOS: dict[str, Scenario] = {
    "documents": one(
        "Documents that were added, replaced and deleted; a search still to come.",
        Library, submits(("whale", "d")), 0.5, first=3,
    ),
    "retrieval": one(
        "Each call of a vector store; a retrieval by event, one in an action.",
        Librarian, submits(("sea", "k"), ("tea", "l")), 2.5, first=3,
    ),
    "long_term_memory": one(
        "Sets of long-term memory, of two keys: added to, changed, searched; to be compacted.",
        Diary, submits(("", "ada"), ("", ("tenant", Colour.RED))), 1.5, first=3, config=CONFIG,
    ),
    "memory_events": one(
        "Events of what an action did to memory, under way; and of one that goes on.",
        Told, submits(("tea", "k")), 1.5, first=5, config=READS,
    ),
}  # fmt: skip

EXPECTED: dict[str, Expected] = {
    "documents": Expected(
        begin=2,
        outputs={"r1": [["whale", "ship"]]},
        executed=[*fetched("whale"), ("embed", "query", "whale")],
    ),
    "retrieval": Expected(
        begin=6,
        outputs={"r1": _kept("sea"), "r2": _kept("tea")},
        executed=fetched("sea: whale", "tea: whale"),
        types=TYPES,
    ),
    "long_term_memory": Expected(
        begin=6,
        outputs={"r1": REMEMBERED, "r2": REMEMBERED},
        executed=[
            *fetched(TOLD, TOLD),
            *[("chat", "compacts", 1)] * 2,
            *[("embed", "document", "Ada likes tea; the train leaves at nine")] * 2,
            *[("embed", "document", "elsewhere")] * 2,
        ],
        types=(*TYPES, Colour),
        config=CONFIG,
    ),
    "memory_events": Expected(
        begin=6,
        outputs={"r1": [["e1c0e224fda08d42ae42320046fbaa61", "k", {}]]},
        executed=fetched(
            "later", *(f"{kind} of {by}" for by in ("soon", "later") for kind in MEMORY)
        ),
        memory={"'k'": {**TEXT, "told": dict(sorted(TOLD_OF_MEMORY.items()))}},
        types=(Colour,),
        config=READS,
    ),
}
