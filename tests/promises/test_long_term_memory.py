"""Long-term memory: sets of texts that are a key's own, kept, searched and compacted."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest
from tests.promises.chat_support import CrashAt, model, output_for_each_crash
from tests.promises.legs import agent_for
from tests.promises.support import (
    COROUTINE,
    ONE,
    agent_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    run,
    values,
)

from perdure import ConfigurationError, LocalEngine
from perdure.errors import TerminalError
from perdure.llm.embedding_model import BaseEmbeddingModelSetup
from perdure.resource import ResourceType
from perdure.testing.scripted_embedding import ScriptedEmbeddingModel

TEXTS = ["Ada likes green tea", "Bob likes coffee", "the train leaves at nine"]


def notes(ctx: Any, name: str = "notes") -> Any:
    return ctx.long_term_memory.get_memory_set(name)


def texts(items: Any) -> list[str]:
    return [item.value for item in items]


def does(*steps: Any, store: str = "memory://", **more: Any) -> list[Any]:
    """Run one action that awaits each step with its set and puts out what came of them."""

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, [await step(notes(ctx)) for step in steps])

    (found,) = run(agent_of(go), ONE, store=store, **more)
    return list(found)


# What a set does


def test_what_is_added_is_there(store: str) -> None:
    ids, all_, one, size, empty = does(
        lambda s: s.add(TEXTS, [{"n": n} for n in range(3)], ["x", "y", "z"]),
        lambda s: s.get(), lambda s: s.get("y"), lambda s: s.size(), lambda s: s.get("none"),
        store=store,
    )  # fmt: skip
    assert ids == ["x", "y", "z"]
    assert texts(all_) == TEXTS
    assert [(i.id, i.metadata, i.memory_set_name, i.score) for i in all_] == [
        (id_, {"n": n}, "notes", None) for n, id_ in enumerate(ids)
    ]
    assert texts(one) == [TEXTS[1]]
    assert (size, empty) == (3, [])
    assert isinstance(all_[0].created_at, datetime.datetime)
    assert all_[0].created_at.tzinfo is not None
    assert all_[0].created_at <= all_[0].updated_at


def test_many_are_kept_in_their_order(store: str) -> None:
    many = [f"item {n}" for n in range(60)]
    _, _, found, some = does(
        lambda s: s.add(many[:50]), lambda s: s.add(many[50:]), lambda s: s.get(),
        lambda s: s.get(limit=3), store=store,
    )  # fmt: skip
    assert texts(found) == many
    assert texts(some) == many[:3]


def test_ids_are_made_where_none_are_given(store: str) -> None:
    first, second, found = does(
        lambda s: s.add("one"), lambda s: s.add(["one", "one"]), lambda s: s.get(), store=store
    )
    assert len({*first, *second}) == 3
    assert texts(found) == ["one"] * 3


def test_an_item_with_the_id_of_another_takes_its_place(store: str) -> None:
    _, _, found = does(
        lambda s: s.add(["a", "b"], {"n": 1}, ["x", "y"]), lambda s: s.add("new", ids="x"),
        lambda s: s.get(["y", "x"]), store=store,
    )  # fmt: skip
    assert [(i.value, i.metadata) for i in found] == [("b", {"n": 1}), ("new", {})]


def test_an_item_is_changed_in_part(store: str) -> None:
    _, text, data, both, none, found = does(
        lambda s: s.add(["a", "b", "c"], {"n": 1, "m": 2}, ["x", "y", "z"]),
        lambda s: s.update("x", "new a"), lambda s: s.update("y", metadata={"n": 7}),
        lambda s: s.update("z", "new c", {}), lambda s: s.update("none", "x"),
        lambda s: s.get(), store=store,
    )  # fmt: skip
    assert (text, data, both, none) == (True, True, True, False)
    assert [(i.id, i.value, i.metadata) for i in found] == [
        ("x", "new a", {"n": 1, "m": 2}), ("y", "b", {"n": 7}), ("z", "new c", {}),
    ]  # fmt: skip
    assert all(i.created_at < i.updated_at for i in found)


def test_items_are_deleted_by_id_by_filter_and_all(store: str) -> None:
    data = [{"n": n} for n in range(6)]
    found = does(
        lambda s: s.add([str(n) for n in range(6)], data, [str(n) for n in range(6)]),
        lambda s: s.delete([]), lambda s: s.size(),
        lambda s: s.delete(["0", "none"]), lambda s: s.size(),
        lambda s: s.delete(filters={"n": {"$gt": 3}}), lambda s: s.size(),
        lambda s: s.delete(["1", "2"], {"n": 2}), lambda s: s.get(),
        lambda s: s.delete(), lambda s: s.size(),
        store=store,
    )  # fmt: skip
    assert [found[n] for n in (2, 4, 6)] == [6, 5, 3]
    assert texts(found[8]) == ["1", "3"]
    assert found[10] == 0


def test_nothing_is_added_and_nothing_found(store: str) -> None:
    assert does(
        lambda s: s.add([]), lambda s: s.get([]), lambda s: s.search("tea"), lambda s: s.size(),
        lambda s: s.delete(), store=store,
    ) == [[], [], [], 0, None]  # fmt: skip


def test_filters_say_which(store: str) -> None:
    data = [{"who": "ada", "n": 1, "tags": ["a", "b"]}, {"who": "bob", "n": 2}, {"n": 3}]
    wanted = [
        {"who": "ada"}, {"n": {"$gte": 2}}, {"tags": "b"}, {"who": {"$exists": False}},
        {"$or": [{"who": "bob"}, {"n": 3}]}, {"$not": {"who": "bob"}}, {},
    ]  # fmt: skip
    found = does(
        lambda s: s.add(["0", "1", "2"], data),
        *(lambda s, each=each: s.get(filters=each) for each in wanted), store=store,
    )  # fmt: skip
    assert [texts(each) for each in found[1:]] == [
        ["0"], ["1", "2"], ["0"], ["2"], ["1", "2"], ["0", "2"], ["0", "1", "2"],
    ]  # fmt: skip


def test_search_goes_by_keywords_without_an_embedding_model(store: str) -> None:
    _, tea, likes, filtered, nothing = does(
        lambda s: s.add(TEXTS, [{"n": n} for n in range(3)]),
        lambda s: s.search("green tea, please"), lambda s: s.search("likes", limit=1),
        lambda s: s.search("likes", filters={"n": 1}), lambda s: s.search("likes", limit=0),
        store=store,
    )  # fmt: skip
    assert texts(tea) == [TEXTS[0]]
    assert tea[0].score > 0
    assert len(likes) == 1
    assert texts(filtered) == [TEXTS[1]]
    assert nothing == []


def with_embeddings(agent: Any) -> Any:
    connection = ScriptedEmbeddingModel()
    setup = BaseEmbeddingModelSetup(connection=connection, model="words")
    return agent.add_resource("e", ResourceType.EMBEDDING_MODEL, setup)


def test_search_is_semantic_with_an_embedding_model(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await notes(ctx).add(TEXTS)
        found = [await notes(ctx).search("coffee for bob", 2, mode=mode)
                 for mode in (None, "semantic", "keyword", "hybrid")]  # fmt: skip
        out(ctx, [texts(each)[0] for each in found] + [len(found[0])])

    agent = with_embeddings(agent_of(go))
    config = {"long-term-memory.embedding-model": "e"}
    assert run(agent, ONE, store=store, config=config) == [[TEXTS[1]] * 4 + [2]]


def test_an_embedding_model_that_is_not_there_is_named_when_the_job_opens() -> None:
    with pytest.raises(ConfigurationError, match="'nowhere'"):
        does(lambda s: s.size(), config={"long-term-memory.embedding-model": "nowhere"})


# Whose it is


HOSTILE = [
    {"$or": [{"_scope": {"$exists": True}}, {"n": 1}]},
    {"$or": [{"_set": "notes"}, {"_set": "other"}]},
    {"_scope": {"$ne": "x"}},
    {"$not": {"_scope": "x"}},
    {"$and": [{"$not": {"_key": "x"}}]},
    {"_id": "shared"},
    {"$or": [{}, {}]},
]


async def works_on_all(event: Any, ctx: Any) -> None:
    """Do with other items of the store whatever filters can do."""
    own = notes(ctx)
    for filters in HOSTILE:
        found = [*await own.get(filters=filters), *await own.search("tea shared", 50, filters)]
        assert all(item.value.startswith("a's") for item in found), (filters, texts(found))
        assert all(item.memory_set_name == "notes" for item in found)
        await own.delete(["nobodys"], filters)
        await own.delete(filters={"$and": [filters, {"n": 99}]})
    sizes = [await own.size(), await notes(ctx, "other").size()]
    await own.update("shared", "changed")
    await own.delete(["t"])
    await own.delete(filters=HOSTILE[0])
    out(ctx, [sizes, texts(await own.get())])


async def fills(event: Any, ctx: Any) -> None:
    whose = f"{ctx.key}'s"
    await notes(ctx).add([f"{whose} tea", f"{whose} shared"], {"n": 1}, ["t", "shared"])
    await notes(ctx, "other").add(f"{whose} other tea", {"n": 1}, "t")


async def looks(event: Any, ctx: Any) -> None:
    out(ctx, texts(await notes(ctx).get()) + texts(await notes(ctx, "other").get()))


def test_another_keys_items_are_never_seen_nor_changed(store: str) -> None:
    engine = LocalEngine(store)

    def do(func: Any, *keys: str) -> list[Any]:
        inputs = [{"k": key, "what": func.__name__} for key in keys]
        return values(engine.run(agent_of(func), inputs, key="k", id=str))

    do(fills, "a", "b")
    assert do(works_on_all, "a") == [[[2, 1], []]]
    assert do(looks, "b") == [["b's tea", "b's shared", "b's other tea"]]
    assert do(looks, "a") == [["a's other tea"]]


def test_another_jobs_items_are_never_seen_nor_changed(sqlite: str) -> None:
    def do(func: Any, job: str) -> list[Any]:
        inputs = [{"k": "a", "what": func.__name__}]
        engine = LocalEngine(sqlite, job=job)
        return values(engine.run(agent_of(func), inputs, key="k", id=str))

    do(fills, "first")
    do(fills, "second")
    assert do(works_on_all, "first") == [[[2, 1], []]]
    assert do(looks, "second") == [["a's tea", "a's shared", "a's other tea"]]


def test_keys_that_look_alike_have_memories_of_their_own(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await notes(ctx).add(repr(ctx.key))
        out(ctx, texts(await notes(ctx).get()))

    keys = [1, "1", "a/b", "a", None, "null", ("a", 1), "", "%", "a\0b"]
    engine = LocalEngine(store)
    outputs = engine.run(agent_of(go), [[key] for key in keys], key=lambda v: v[0])
    assert sorted(values(outputs)) == sorted([repr(key)] for key in keys)


@pytest.mark.parametrize("name", ["a/b", "a", "ü", "'; --", "x" * 500, "\0", " "])
def test_sets_of_any_name_are_kept_apart(name: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await notes(ctx, name).add("mine", ids="x")
        await notes(ctx, name + "/").add("other", ids="x")
        await ctx.long_term_memory.delete_memory_set(name + "/")
        out(ctx, [texts(await notes(ctx, name).get()), await notes(ctx, name + "/").size()])

    assert run(agent_of(go), ONE, store=store) == [[["mine"], 0]]


def test_a_deleted_set_is_empty_and_others_stay(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        for name in ("one", "two"):
            await notes(ctx, name).add(TEXTS)
        await ctx.long_term_memory.delete_memory_set("one")
        await notes(ctx, "one").add("again")
        out(ctx, [await notes(ctx, name).size() for name in ("one", "two")])

    assert run(agent_of(go), ONE, store=store) == [[1, 3]]


# What is refused


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda s: s.add("a", {"_scope": "x"}), "begin with an underscore are the memory's own"),
        (lambda s: s.add("a", {"_": 1}), "begin with an underscore"),
        (lambda s: s.add("a", {1: 2}), "metadata 1: names are texts"),
        (lambda s: s.update("x", metadata={"_id": "y"}), "begin with an underscore"),
        (lambda s: s.add(["a", "b"], ids=["x"]), "2 items, 1 ids and 2 metadatas"),
        (lambda s: s.add("a", [{}, {}]), "1 items, 1 ids and 2 metadatas"),
        (lambda s: s.search("a", mode="magic"), "'magic' is no query mode"),
        (lambda s: s.search("a", mode="semantic"), "has no embedding model"),
        (lambda s: s.search("a", limit=-1), "limit=-1 is negative"),
        (lambda s: s.get(filters={"n": {"$near": 1}}), "unknown operator '$near'"),
        (lambda s: s.compact(), "compact needs a chat model: pass model="),
    ],
)
def test_what_cannot_be_is_refused(step: Any, said: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await step(notes(ctx))

    text = error_text(failures(agent_of(go), ONE))
    assert text.startswith("perdure.errors.ConfigurationError: ")
    assert said in text


def test_metadata_is_json() -> None:
    async def go(event: Any, ctx: Any) -> None:
        with pytest.raises(TerminalError, match="must be JSON values"):
            await notes(ctx).add("a", {"when": datetime.date(2020, 1, 1)})
        out(ctx, await notes(ctx).size())

    assert run(agent_of(go), ONE) == [0]


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_set_has_a_name(name: Any) -> None:
    def go(event: Any, ctx: Any) -> None:
        ctx.long_term_memory.get_memory_set(name)

    assert "name must be a non-empty text" in error_text(failures(agent_of(go), ONE))


# Actions of all kinds, crashes


def test_plain_actions_use_it_too(store: str, kind: str) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        yield notes(ctx).add(TEXTS, ids=["x", "y", "z"])
        yield notes(ctx).update("x", "Ada likes water")
        found = yield notes(ctx).search("water")
        out(ctx, [texts(found), (yield notes(ctx).size())])

    agent = agent_for(COROUTINE if kind == COROUTINE else "plain", steps)
    config = {"continuations": "off"} if kind == "off" else {}
    assert run(agent, ONE, store=store, config=config) == [[["Ada likes water"], 3]]


def test_calls_of_a_set_overlap(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await asyncio.gather(*(notes(ctx, f"{n}").add(f"text {n}") for n in range(5)))
        found = await asyncio.gather(*(notes(ctx, f"{n}").search("text") for n in range(5)))
        out(ctx, [texts(each) for each in found])

    assert run(agent_of(go), ONE, store=store) == [[[f"text {n}"] for n in range(5)]]


def test_what_is_remembered_is_there_for_later_runs_and_after_a_crash(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        ids = await notes(ctx).add(f"run {event.input['n']}")
        if event.input["n"] == 1:
            await ctx.durable_execute_async(hold)
        found = await notes(ctx).get()
        out(ctx, [texts(found), ids[0] == found[-1].id])

    inputs = [{"k": "a", "n": n} for n in range(3)]
    assert crash_and_resume(agent_of(go), inputs, store=store) == [
        [["run 0"], True], [["run 0", "run 1"], True], [["run 0", "run 1", "run 2"], True],
    ]  # fmt: skip


def test_what_was_written_stays_when_the_action_fails(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        await notes(ctx).add(f"run {event.input['n']}")
        if event.input["n"] == 0:
            raise LookupError
        out(ctx, texts(await notes(ctx).get()))

    inputs = [{"k": "a", "n": n} for n in range(2)]
    assert values(failures(agent_of(go), inputs, store=store).outputs) == [["run 0", "run 1"]]


def test_g6_a_crash_at_each_commit_changes_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        ids = await notes(ctx).add(TEXTS)
        await notes(ctx).update(ids[1], "Bob likes water")
        await notes(ctx).delete([ids[2]])
        await notes(ctx).compact(model="m")
        out(ctx, [ids, [[i.id, i.value] for i in await notes(ctx).get()]])

    def once(store: str) -> list[Any]:
        setup = model(['{"notes": ["both drink"]}'])
        agent = agent_of(go).add_resource("m", ResourceType.CHAT_MODEL, setup)
        return run(agent, ONE, store=store)

    expected = once(f"sqlite:///{tmp_path}/first.db")
    ((_, items),) = expected
    assert [value for _, value in items] == ["both drink"]
    found = output_for_each_crash(CrashAt(monkeypatch), once, tmp_path, both=False)
    assert len(found) > 5
    for at, written, ((_, items),) in found:
        assert [value for _, value in items] == ["both drink"], (at, written)
