"""G5, G6: what an action saw before a crash it sees again; no recorded call executes again."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from tests.promises.support import (
    OFF,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    echo_plain,
    hold,
    out,
    pick,
    run,
)

from perdure import Agent, Event, InputEvent, action, wait

ONE = [{"k": "a"}]


async def crossed(event: Any, ctx: Any) -> None:
    first = ctx.durable_execute_async(echo, "slow", 0.05)
    second = ctx.durable_execute_async(echo, "fast")
    seen = [await second, await first]
    await ctx.durable_execute_async(hold)
    out(ctx, seen)


def crossed_plain(event: Any, ctx: Any) -> None:
    first = ctx.durable_execute_async(echo, "slow", 0.05)
    second = ctx.durable_execute_async(echo_plain, "fast")
    seen = [second.result(), first.result()]
    ctx.durable_execute_async(hold).result()
    out(ctx, seen)


def test_g6_calls_awaited_in_another_order_than_made(kind: str, store: str) -> None:
    agent = pick(kind, crossed, crossed_plain)
    results = crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    assert results == [["fast", "slow"]]
    assert sorted(State.calls) == ["fast", "slow"]


async def race(event: Any, ctx: Any) -> None:
    calls = {
        ctx.durable_execute_async(echo, name, delay): name
        for name, delay in (("tortoise", 0.15), ("hare", 0.01), ("snail", 0.3))
    }
    done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    winner = [calls[call] for call in done]
    await ctx.durable_execute_async(hold)
    await asyncio.wait(pending)
    out(ctx, [winner, sorted(calls[call] for call in pending)])


def race_plain(event: Any, ctx: Any) -> None:
    calls = {
        ctx.durable_execute_async(echo, name, delay): name
        for name, delay in (("tortoise", 0.15), ("hare", 0.01), ("snail", 0.3))
    }
    done, pending = wait(calls, return_when=asyncio.FIRST_COMPLETED)
    winner = [calls[call] for call in done]
    ctx.durable_execute_async(hold).result()
    wait(pending)
    out(ctx, [winner, sorted(calls[call] for call in pending)])


@pytest.mark.parametrize("kind", ["coroutine", "plain"])
def test_g6_a_race_has_the_same_winner_again(kind: str, store: str) -> None:
    results = crash_and_resume(pick(kind, race, race_plain), ONE, store=store)
    assert results == [[["hare"], ["snail", "tortoise"]]]
    assert State.calls.count("hare") == 1


async def nothing() -> None:
    State.calls.append("nothing")


async def returns_none(event: Any, ctx: Any) -> None:
    result = await ctx.durable_execute_async(nothing)
    inline = ctx.durable_execute(lambda: None)
    await ctx.durable_execute_async(hold)
    out(ctx, [result, inline])


def returns_none_plain(event: Any, ctx: Any) -> None:
    result = ctx.durable_execute_async(nothing).result()
    inline = ctx.durable_execute(lambda: None)
    ctx.durable_execute_async(hold).result()
    out(ctx, [result, inline])


def test_g6_a_call_that_returned_none_is_not_executed_again(kind: str, store: str) -> None:
    agent = pick(kind, returns_none, returns_none_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == [[None, None]]
    assert State.calls == ["nothing"]


class SendsFirst(Agent):
    @action(InputEvent)
    async def sends(self, event: Any, ctx: Any) -> None:
        ctx.send_event(Event(type="sent", attributes={"n": 1}))
        await ctx.durable_execute_async(hold)
        ctx.send_event(Event(type="sent", attributes={"n": 2}))

    @action("sent")
    async def takes(self, event: Any, ctx: Any) -> None:
        State.calls.append(event.attributes["n"])
        out(ctx, [event.attributes["n"], event.id, event.upstream_event_id])


def test_g3_an_event_sent_before_an_await_is_sent_once(store: str) -> None:
    results = crash_and_resume(SendsFirst(), ONE, store=store)
    assert [n for n, *_ in results] == [1, 2]
    assert State.calls == [1, 2]


def test_g3_ids_of_events_are_the_same_without_a_crash(store: str) -> None:
    crashed = crash_and_resume(SendsFirst(), ONE, store=store)
    assert run(SendsFirst(), ONE) == crashed


async def shares(event: Any, ctx: Any) -> None:
    given = {"list": [1, 2]}
    call = ctx.durable_execute_async(echo, given)
    given["list"].append(3)  # too late: it was handed over
    first = await call
    first["list"].append(4)
    event.input["mine"] = True
    out(ctx, [first, (await call) is first, dict(event.input)])


def test_g5_an_event_is_each_actions_own_copy(store: str) -> None:
    def sees(event: Any, ctx: Any) -> None:
        out(ctx, "mine" in event.input)

    agent = agent_of(shares).add_action("other", [InputEvent], sees)
    results = run(agent, ONE, store=store)
    assert False in results


@dataclasses.dataclass
class Point:
    x: int
    y: tuple[int, ...] = ()


async def typed(x: int) -> Point:
    return Point(x, (x, x))


async def structured(event: Any, ctx: Any) -> None:
    point = await ctx.durable_execute_async(typed, 3)
    text = ctx.durable_execute(lambda: {"tuple": (1, 2), "set": {3}, "bytes": b"x"})
    ctx.short_term_memory.set("p", {"t": (1, 2)})
    await ctx.durable_execute_async(hold)
    kept = ctx.short_term_memory.get("p")
    out(ctx, [type(point).__name__, point.x, point.y, repr(text), repr(kept)])


def test_g5_results_are_equal_live_and_on_replay(store: str) -> None:
    State.gate.open = True
    live = run(agent_of(structured), ONE)
    State.gate.open = False
    assert crash_and_resume(agent_of(structured), ONE, store=store) == live
    assert live[0][:2] == ["Point", 3]


def test_g6_a_call_in_flight_at_the_crash_is_executed_again(kind: str, store: str) -> None:
    async def action_(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(hold))

    def plain(event: Any, ctx: Any) -> None:
        out(ctx, ctx.durable_execute_async(hold).result())

    agent = pick(kind, action_, plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == ["held"]


async def abandoned(event: Any, ctx: Any) -> None:
    late = ctx.durable_execute_async(echo, "late", 30)
    await ctx.durable_execute_async(echo, "quick")
    late.cancel()
    await ctx.durable_execute_async(hold)
    out(ctx, late.cancelled())


def test_g6_a_call_that_is_cancelled_during_replay_is_not_started(store: str) -> None:
    assert crash_and_resume(agent_of(abandoned), ONE, store=store) == [True]
    assert sorted(State.calls) == ["late", "quick"]


def test_g19_a_run_begun_with_continuations_resumes_without(sqlite: str) -> None:
    begun = config_of("plain")
    results = crash_and_resume(
        pick("plain", crossed, crossed_plain), ONE, store=sqlite, config=begun,
        resume_config=config_of(OFF),
    )  # fmt: skip
    assert results == [["fast", "slow"]]
    assert sorted(State.calls) == ["fast", "slow"]


def test_g19_a_run_begun_without_continuations_resumes_with(sqlite: str) -> None:
    results = crash_and_resume(
        pick("plain", crossed, crossed_plain), ONE, store=sqlite, config=config_of(OFF),
        resume_config={"num-async-threads": 1},
    )  # fmt: skip
    assert results == [["fast", "slow"]]
    assert sorted(State.calls) == ["fast", "slow"]
