"""G15, G16: what replaces what in memory, and what keeps short-term memory alive."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.clock import Clock
from tests.promises.support import ONE, agent_of, config_of, error_text, failures, out, pick, run

from perdure import LocalEngine

TTL = "short-term-memory.state-ttl.ms"
UPDATE = "short-term-memory.state-ttl.update-type"


def refused(what: Any) -> str:
    try:
        what()
    except ValueError as error:
        return str(error)
    return "taken"


def replaces(memory: Any) -> list[Any]:
    memory.set("profile.orders.o1", "paid")
    memory.set("state", "important")
    memory.set("same", 1)
    told = [
        refused(lambda: memory.set("profile", "active")),
        refused(lambda: memory.set("profile.orders", "none")),
        refused(lambda: memory.new_object("state")),
        refused(lambda: memory.set("state.now", 1)),
        refused(lambda: memory.new_object("state.now")),
        refused(lambda: memory.update("state.now", lambda n: 1)),
        refused(lambda: memory.__setitem__("profile", 1)),
        refused(lambda: memory.set("same", 2)),
        refused(lambda: memory.new_object("profile")),
        refused(lambda: memory.new_object("profile.orders")),
    ]
    kept = [memory.get("profile.orders.o1"), memory.get("state"), memory.get("same")]
    memory.set("profile", "active", overwrite=True)
    memory.new_object("state", overwrite=True).set("now", 1)
    memory.set("same.deeper", 3, overwrite=True)
    after = [memory.get("profile"), memory.get("state").get_fields(), memory.get("same.deeper")]
    return [told, kept, after]


def test_g15_values_and_objects_replace_each_other_only_when_told_to(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        out(ctx, replaces(ctx.short_term_memory))
        replaces(ctx.sensory_memory)

    def go_plain(event: Any, ctx: Any) -> None:
        out(ctx, replaces(ctx.short_term_memory))
        replaces(ctx.sensory_memory)

    agent = pick(kind, go, go_plain)
    [(told, kept, after)] = run(agent, ONE, store=store, config=config_of(kind))
    assert kept == ["paid", "important", 2]
    assert after == ["active", {"now": 1}, 3]
    assert all("overwrite=True" in text for text in told[:5] + told[6:7])
    assert "'state' is a value" in told[5]
    assert told[7:] == ["taken"] * 3


def test_g15_a_refused_write_fails_its_action_and_leaves_memory_as_it_was(kind: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("a.b", 1)
        ctx.short_term_memory.set("a", 2)

    def go_plain(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("a.b", 1)
        ctx.short_term_memory.set("a", 2)

    failed = failures(pick(kind, go, go_plain), ONE, config=config_of(kind))
    assert error_text(failed).startswith("ValueError: short_term_memory.set('a')")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def visits(
    engine: LocalEngine, agent: Any, clock: Clock, seconds: float, inputs: list[Any]
) -> list[Any]:
    """Submit inputs of one key, one after another, with time between them."""
    seen = []
    async with engine.open(agent) as job:
        for value in inputs:
            outputs = await (await job.submit(value, key="k")).outputs()
            seen.append(outputs[0].value)
            clock.forward(seconds)
    return seen


def profile(event: Any, ctx: Any) -> None:
    if event.input == "set":
        ctx.short_term_memory.set("profile", "gold")
    elif event.input == "exists":
        out(ctx, ctx.short_term_memory.is_exist("profile"))
        return
    out(ctx, ctx.short_term_memory.get("profile") if event.input != "none" else "not read")


async def profile_async(event: Any, ctx: Any) -> None:
    profile(event, ctx)


@pytest.mark.parametrize("read", ["get", "exists"])
def test_g16_what_is_read_lives_on(kind: str, store: str, clock: Clock, read: str) -> None:
    engine = LocalEngine(store, config=config_of(kind, **{TTL: 60_000}))
    agent = pick(kind, profile_async, profile)
    seen = asyncio.run(visits(engine, agent, clock, 40, ["set", read, read, read, "get"]))
    assert seen[-1] == "gold"
    assert None not in seen


def test_g16_what_nobody_touches_is_forgotten(kind: str, store: str, clock: Clock) -> None:
    engine = LocalEngine(store, config=config_of(kind, **{TTL: 60_000}))
    agent = pick(kind, profile_async, profile)
    seen = asyncio.run(visits(engine, agent, clock, 40, ["set", "none", "get"]))
    assert seen == ["gold", "not read", None]


def test_g16_reads_do_not_count_where_the_option_says_so(
    kind: str, store: str, clock: Clock
) -> None:
    config = config_of(kind, **{TTL: 60_000, UPDATE: "on-create-and-write"})
    agent = pick(kind, profile_async, profile)
    engine = LocalEngine(store, config=config)
    seen = asyncio.run(visits(engine, agent, clock, 40, ["set", "get", "get"]))
    assert seen == ["gold", "gold", None]


def test_g16_a_read_never_brings_a_value_back(store: str, clock: Clock) -> None:
    async def reads(event: Any, ctx: Any) -> None:
        if event.input == "both":
            ctx.short_term_memory.get("profile")
            await ctx.durable_execute_async(len, "ab")  # the other action has ended by then

    def writes(event: Any, ctx: Any) -> None:
        if event.input == "both":
            ctx.short_term_memory.set("profile", "silver")
        profile(event, ctx)

    both = agent_of(writes).add_action("reads", ["_input_event"], reads)
    engine = LocalEngine(store, config={TTL: 60_000})
    seen = asyncio.run(visits(engine, both, clock, 40, ["set", "both", "get", "get"]))
    assert seen == ["gold", "silver", "silver", "silver"]
