"""G5: arguments are values: no later change to one is seen, on neither side, live as on replay."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    ONE,
    PLAIN,
    State,
    config_of,
    crash_and_resume,
    hold,
    out,
    pick,
    run,
)

from perdure import RetryableError, RetryPolicy


@dataclasses.dataclass
class Cart:
    """A mutable argument."""

    items: list[str]


def fill(cart: Any, item: str) -> int:
    """Change what it was given."""
    items = cart.items if isinstance(cart, Cart) else cart
    items.append(item)
    return len(items)


async def fill_on_loop(cart: Any, item: str) -> int:
    return fill(cart, item)


def seen(cart: Any) -> list[str]:
    return list(cart.items if isinstance(cart, Cart) else cart)


async def seen_on_loop(cart: Any) -> list[str]:
    await asyncio.sleep(0)
    return seen(cart)


@pytest.mark.parametrize("make", [list, lambda: Cart([])], ids=["list", "dataclass"])
@pytest.mark.parametrize("callee", [fill, fill_on_loop])
def test_g5_what_a_callable_changes_its_action_does_not_see(
    callee: Any, make: Any, kind: str, store: str
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        cart = make()
        counts = [await ctx.durable_execute_async(callee, cart, item) for item in "ab"]
        counts.append(ctx.durable_execute(fill, cart, "c"))
        await ctx.durable_execute_async(hold)
        out(ctx, [counts, seen(cart)])

    def go_plain(event: Any, ctx: Any) -> None:
        cart = make()
        counts = [ctx.durable_execute_async(callee, cart, item).result() for item in "ab"]
        counts.append(ctx.durable_execute(fill, cart, "c"))
        ctx.durable_execute_async(hold).result()
        out(ctx, [counts, seen(cart)])

    results = crash_and_resume(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind))
    assert results == [[[1, 1, 1], []]]


# Without continuations a call is over before its action goes on.
@pytest.mark.parametrize("kind", [COROUTINE, PLAIN])
@pytest.mark.parametrize("callee", [seen, seen_on_loop])
@pytest.mark.parametrize("late", [False, True])
def test_g5_what_the_action_changes_afterwards_its_callable_does_not_see(
    callee: Any, late: bool, kind: str, store: str
) -> None:
    def calls(ctx: Any) -> list[Any]:
        items, bound = ["at call"], ["at call"]
        limited = ctx.with_options(limit="one")
        made = [
            limited.durable_execute_async(callee, items),
            limited.durable_execute_async(callee, cart=items),
            limited.durable_execute_async(functools.partial(callee, bound)),
        ]
        items.append("after call")
        bound.append("after call")
        return made

    async def go(event: Any, ctx: Any) -> None:
        first = ctx.durable_execute_async(hold) if late else None
        made = calls(ctx)
        if first is not None:
            await first  # in the second leg they begin when the replay is over
        out(ctx, await asyncio.gather(*made))

    def go_plain(event: Any, ctx: Any) -> None:
        first = ctx.durable_execute_async(hold) if late else None
        made = calls(ctx)
        if first is not None:
            first.result()
        out(ctx, [call.result() for call in made])

    config = config_of(kind, **{"limits.one.concurrency": 1})
    agent = pick(kind, go, go_plain)
    results = (
        crash_and_resume(agent, ONE, store=store, config=config)
        if late
        else run(agent, ONE, store=store, config=config)
    )
    assert results == [[["at call"]] * 3]


def test_g5_each_attempt_gets_its_own_and_what_is_shared_stays_shared(kind: str) -> None:
    def fails_twice(first: list[str], second: list[str]) -> Any:
        first.append("seen")
        State.calls.append((list(first), first is second))
        if len(State.calls) < 3:
            raise RetryableError("again")
        return list(second)

    policy = RetryPolicy(max_attempts=3, initial_interval=0.0)

    async def go(event: Any, ctx: Any) -> None:
        items = ["a"]
        call = ctx.with_options(retry=policy).durable_execute_async(fails_twice, items, items)
        out(ctx, await call)

    def go_plain(event: Any, ctx: Any) -> None:
        items = ["a"]
        call = ctx.with_options(retry=policy).durable_execute_async(fails_twice, items, items)
        out(ctx, call.result())

    results = run(pick(kind, go, go_plain), ONE, config=config_of(kind))
    assert results == [["a", "seen"]]
    assert State.calls == [(["a", "seen"], True)] * 3


async def settle_up(cart: list[str]) -> list[str]:
    """Leave its call in doubt in the first leg, with its argument changed."""
    cart.append("changed by the call")
    await hold()
    return cart


async def ask(cart: list[str]) -> list[str]:
    cart.append("asked")
    return cart


def test_g5_a_reconciler_gets_the_arguments_as_they_were(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        cart = ["a"]
        call = ctx.durable_execute_async(settle_up, cart, reconciler=ask)
        cart.append("after call")
        out(ctx, await call)

    def go_plain(event: Any, ctx: Any) -> None:
        cart = ["a"]
        call = ctx.durable_execute_async(settle_up, cart, reconciler=ask)
        cart.append("after call")
        out(ctx, call.result())

    results = crash_and_resume(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind))
    assert results == [["a", "asked"]]


@pytest.mark.parametrize("kind", [COROUTINE, PLAIN])
def test_g5_a_child_begins_with_what_each_part_of_its_input_held(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        if "child" in event.input:
            out(ctx, totals(event.input["lines"]))
            return
        await ctx.submit({"k": "c", "child": 1, "lines": [Line(n) for n in range(20)]}, key="c")

    def go_plain(event: Any, ctx: Any) -> None:
        if "child" in event.input:
            out(ctx, totals(event.input["lines"]))
            return
        lines = [Line(n) for n in range(20)]
        ctx.submit({"k": "c", "child": 1, "lines": lines}, key="c").result()

    sent: list[Any] = []
    run(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind), sink=sent.append)
    assert [output.value for output in sent] == [[2 * n for n in range(20)]]


@pytest.mark.parametrize("kind", [COROUTINE, PLAIN])
def test_g5_a_child_begins_with_its_input_as_it_was(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        if "child" in event.input:
            out(ctx, event.input["items"])
            return
        value = {"k": "c", "child": True, "items": ["a"]}
        call = ctx.submit(value, key="c")
        value["items"].append("after call")
        await call

    def go_plain(event: Any, ctx: Any) -> None:
        if "child" in event.input:
            out(ctx, event.input["items"])
            return
        value = {"k": "c", "child": True, "items": ["a"]}
        call = ctx.submit(value, key="c")
        value["items"].append("after call")
        call.result()

    agent = pick(kind, go, go_plain)
    sent: list[Any] = []
    run(agent, ONE, store=store, config=config_of(kind), sink=lambda output: sent.append(output))
    assert [output.value for output in sent] == [["a"]]


@dataclasses.dataclass
class Line:
    """Keeps a sum that is no field."""

    price: int

    def __post_init__(self) -> None:
        self.total = [self.price * 2]


def totals(lines: list[Line]) -> list[int]:
    return [line.total.pop() for line in lines]


async def totals_on_loop(lines: list[Line]) -> list[int]:
    return totals(lines)


@pytest.mark.parametrize("callee", [totals, totals_on_loop])
def test_g5_each_argument_keeps_its_own_attributes(callee: Any, kind: str, store: str) -> None:
    expected = [2 * n for n in range(20)]

    async def go(event: Any, ctx: Any) -> None:
        lines = [Line(n) for n in range(20)]
        late = ctx.with_options(limit="one").durable_execute_async(hold)
        made = ctx.durable_execute_async(callee, lines)
        waits = ctx.with_options(limit="one").durable_execute_async(callee, lines)
        out(ctx, [await made, await late, await waits, totals(lines)])

    def go_plain(event: Any, ctx: Any) -> None:
        lines = [Line(n) for n in range(20)]
        late = ctx.with_options(limit="one").durable_execute_async(hold)
        made = ctx.durable_execute_async(callee, lines)
        waits = ctx.with_options(limit="one").durable_execute_async(callee, lines)
        out(ctx, [made.result(), late.result(), waits.result(), totals(lines)])

    config = config_of(kind, **{"limits.one.concurrency": 1})
    [found] = crash_and_resume(pick(kind, go, go_plain), ONE, store=store, config=config)
    assert [found[0], found[2], found[3]] == [expected] * 3
