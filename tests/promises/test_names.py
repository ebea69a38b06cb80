"""G21: names that last: what is recorded under one name is known again under the next."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import types
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.promises import shop
from tests.promises.support import SECONDS, State, agent_of, hold, out

from perdure import (
    Agent,
    InputEvent,
    LocalEngine,
    RunsFailedError,
    durable,
    register_type,
)

CLASSES = ("Order", "Kind", "OutOfStock")


def named(prefix: str, *older: str) -> shop.Register:
    """Give the classes of the shop names, and those that they had."""

    def register(made: types.ModuleType) -> None:
        for name in CLASSES:
            aliases = [f"{each}{name}" for each in older]
            register_type(getattr(made, name), name=f"{prefix}{name}" if prefix else None,
                          aliases=aliases)  # fmt: skip

    return register


def unnamed(made: types.ModuleType) -> None:
    """Make the classes known without names."""
    for name in CLASSES:
        register_type(getattr(made, name))


# (registered in the first life, in the second one, in a third one)
RENAMES = {
    "the name stays": (named("the-"), named("the-"), named("the-")),
    "named when it moves": (unnamed, named("the-", "shop_one:"), named("the-", "shop_one:")),
    "alias alone": (unnamed, named("", "shop_one:"), named("", "shop_two:", "shop_one:")),
    "named twice": (
        unnamed,
        named("the-", "shop_one:"),
        named("new-", "the-", "shop_two:", "shop_one:"),
    ),
}
renames = pytest.mark.parametrize("rename", RENAMES.values(), ids=RENAMES)


def agent_with(made: Any) -> Agent:
    """The agent, on the classes of one life."""

    async def go(event: Any, ctx: Any) -> None:
        memory = ctx.short_term_memory
        last = memory.get("last")
        memory.set("last", event.input)
        found = [await ctx.durable_execute_async(made.price, event.input)]
        found.append(await ctx.durable_execute_async(event.input.doubled))
        bound = functools.partial(made.price, made.Order(50))
        found.append(await ctx.durable_execute_async(bound))
        found.append(await ctx.durable_execute_async(made.Order, n=7))
        try:
            await ctx.durable_execute_async(made.reserve, made.Kind.RECORD, made.Order(9))
        except made.OutOfStock as error:
            found.append(str(error))
        found.append(await ctx.wait_for_signal("gift"))
        await ctx.durable_execute_async(hold)
        ctx.send_event(made.Ordered(order=found[0], kind=made.Kind.BOOK))
        out(ctx, [each.n if isinstance(each, made.Order) else each for each in [last, *found]])

    async def ordered(event: Any, ctx: Any) -> None:
        assert type(event.order) is made.Order
        out(ctx, [event.order.n, event.kind is made.Kind.BOOK])

    agent = Agent().add_action("go", [InputEvent], go)
    return agent.add_action("ordered", [made.Ordered], ordered)


class CrashedError(Exception):
    """Raised inside a job that is left as it is."""


async def stuck() -> None:
    """Leave the job when its run hangs in `hold`."""
    await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
    raise CrashedError


def crash(made_of: Coroutine[Any, Any, Any]) -> None:
    """Run a life that ends in the middle."""
    with pytest.raises(CrashedError):
        asyncio.run(made_of)


def one_life(
    store: LocalEngine, name: str, register: shop.Register, *, dies: bool, n: int = 1
) -> list[Any]:
    """Run the input of key BOOK, given with an enum as its id, to its end or to its crash."""

    async def go(made: types.ModuleType) -> list[Any]:
        async with store.open(agent_with(made)) as job:
            run = await job.submit(made.Order(n), key=made.Kind.BOOK, id=made.Kind.RECORD if n == 1
                                   else f"order {n}")  # fmt: skip
            await run.signal("gift", made.Order(100))
            if dies:
                await stuck()
            return [output.value for output in await run.outputs()]

    State.gate = type(State.gate)()
    State.gate.open = not dies
    with shop.life(name, register) as made:
        if not dies:
            return asyncio.run(go(made))
        crash(go(made))
        return []


@renames
def test_g21_a_moved_class_is_known_wherever_it_was_recorded(
    rename: tuple[shop.Register, shop.Register, shop.Register], sqlite: str
) -> None:
    engine = LocalEngine(sqlite)
    assert one_life(engine, "shop_one", rename[0], dies=True) == []
    made = list(State.calls)
    assert made == ["price 1", "doubled 1", "price 50", "reserve 9"]
    first = one_life(engine, "shop_two", rename[1], dies=False)
    assert first == [[None, 2, 2, 51, 7, "no record 9", 100], [2, True]]
    assert State.calls == made
    # The key, found under its older name, has its memory and its order; the id is known again.
    assert one_life(engine, "shop_three", rename[2], dies=False) == first
    assert State.calls == made
    again = one_life(engine, "shop_three", rename[2], dies=False, n=2)
    assert again[0][0] == 1
    infos = engine.runs()
    assert len(infos) == 2


@renames
def test_g2_a_child_admitted_under_an_older_name_is_not_started_again(
    rename: tuple[shop.Register, shop.Register, shop.Register], sqlite: str
) -> None:
    def agent(made: Any) -> Agent:
        async def go(event: Any, ctx: Any) -> None:
            if event.input == "parent":
                child = await ctx.submit(made.Order(3), key=made.Kind.RECORD)
                await ctx.durable_execute_async(hold)
                got = await child.outputs()
                out(ctx, ["parent", *[each.value for each in got]])
            else:
                out(ctx, event.input.n)

        return agent_of(go)

    async def lose_the_settlement(made: types.ModuleType) -> None:
        # The child is durable, and the call that started it has no outcome yet.
        async with engine.open(agent(made)) as job:
            await job.submit("parent", key="p", id="p")
            await stuck()

    engine = LocalEngine(sqlite)
    State.gate = type(State.gate)()
    with shop.life("shop_one", rename[0]) as made:
        crash(lose_the_settlement(made))
    with sqlite3.connect(sqlite.removeprefix("sqlite:///")) as connection:
        connection.execute("DELETE FROM record WHERE function = 'perdure:submit'")
    connection.close()
    State.gate.open = True
    for name, register in (("shop_two", rename[1]), ("shop_three", rename[2])):
        with shop.life(name, register) as made:
            outputs = engine.run(agent(made), ["parent"], key=lambda _: "p", id=lambda _: "p")
            assert sorted(str(each.value) for each in outputs) == ["['parent', 3]"]
    assert len(engine.runs()) == 2


def test_g7_a_moved_callable_is_known_by_its_aliases(sqlite: str) -> None:
    def callables(leg: int) -> tuple[Any, Any, Any]:
        async def price(n: int) -> int:
            State.calls.append(f"price {n}")
            return n

        async def tax(n: int) -> int:
            State.calls.append(f"tax {n}")
            return n

        async def ship(n: int) -> int:
            State.calls.append(f"ship {n}")
            return n

        for each in (price, tax, ship):
            each.__qualname__ = each.__name__
            each.__module__ = "shop.calc" if leg == 1 else "shop.prices"
        if leg == 1:
            return price, durable(id="tax")(tax), ship
        return (
            durable(id="price", aliases=("shop.calc:price",))(price),
            durable(id="taxes", aliases=["tax"])(tax),
            ship,
        )

    def agent(leg: int) -> Agent:
        price, tax, ship = callables(leg)

        async def go(event: Any, ctx: Any) -> None:
            found = [await ctx.durable_execute_async(price, 1)]
            found.append(await ctx.durable_execute_async(tax, 2))
            shipping = ctx.with_options(durable_id="ship", durable_aliases=("shop.calc:ship",))
            found.append(await (ctx if leg == 1 else shipping).durable_execute_async(ship, 3))
            await ctx.durable_execute_async(hold)
            out(ctx, found)

        return agent_of(go)

    async def first() -> None:
        async with engine.open(agent(1)) as job:
            await job.submit({"k": 1}, key=1, id="one")
            await stuck()

    engine = LocalEngine(sqlite)
    crash(first())
    State.gate.open = True
    outputs = engine.run(agent(2), [{"k": 1}], key="k", id=lambda _: "one")
    assert [each.value for each in outputs] == [[1, 2, 3]]
    assert State.calls == ["price 1", "tax 2", "ship 3"]


def test_g7_a_renamed_class_without_an_alias_is_named_in_the_divergence(sqlite: str) -> None:
    def agent(made: Any) -> Agent:
        async def go(event: Any, ctx: Any) -> None:
            out(ctx, (await ctx.durable_execute_async(made.price, made.Order(1))).n)
            await ctx.durable_execute_async(hold)

        return agent_of(go)

    async def first(made: Any) -> None:
        async with engine.open(agent(made)) as job:
            await job.submit({"k": 1}, key=1, id="one")
            await stuck()

    engine = LocalEngine(sqlite)
    with shop.life("shop_one", unnamed) as made:
        crash(first(made))
    State.gate.open = True
    with shop.life("shop_two", named("the-")) as made:
        with pytest.raises(RunsFailedError) as failed:
            engine.run(agent(made), [{"k": 1}], key="k", id=lambda _: "one")
    told = failed.value.failed[0].error["message"]
    assert "looks alike and differs in the type of args[0] (now the-Order)" in told
    assert "register_type(name=, aliases=)" in told
