"""G7: what is not the same on replay is found where it reaches a call."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.patterns import begin, work
from tests.promises.support import (
    ONE,
    State,
    config_of,
    crash_and_resume,
    error_text,
    hold,
    out,
    pick,
)

from perdure import RunsFailedError

COUNTER = itertools.count()
CHANGING: dict[str, Callable[[], Any]] = {
    "time": time.time,
    "random": random.random,
    "uuid4": lambda: str(uuid.uuid4()),
    "a global": lambda: next(COUNTER),
}


async def takes(value: Any) -> Any:
    return value


@pytest.mark.parametrize("what", CHANGING)
@pytest.mark.parametrize("where", ["argument", "branch"])
def test_g7_what_changes_on_replay_is_found_where_it_reaches_a_call(
    what: str, where: str, kind: str, store: str
) -> None:
    def value() -> Any:
        time.sleep(0.001)  # more than a clock's step
        return CHANGING[what]()

    def first(ctx: Any) -> Any:
        found = value()
        if where == "argument":
            return ctx.durable_execute_async(takes, found)
        State.calls.append(found)
        return ctx.durable_execute_async(takes if found == State.calls[0] else work, "a")

    async def go(event: Any, ctx: Any) -> None:
        await first(ctx)
        await ctx.durable_execute_async(hold)

    def go_plain(event: Any, ctx: Any) -> None:
        first(ctx).result()
        ctx.durable_execute_async(hold).result()

    begin("nobody")
    with pytest.raises(RunsFailedError) as caught:
        crash_and_resume(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind))
    message = error_text(caught.value)
    for part in ("NonDeterminismError", "action go", "call 1", "test_changes_on_replay:takes"):
        assert part in message


def test_g7_what_the_context_gives_instead_is_the_same(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        given = [ctx.now(), ctx.random.random(), str(ctx.uuid4())]
        out(ctx, await ctx.durable_execute_async(takes, given) == given)
        await ctx.durable_execute_async(hold)

    def go_plain(event: Any, ctx: Any) -> None:
        given = [ctx.now(), ctx.random.random(), str(ctx.uuid4())]
        out(ctx, ctx.durable_execute_async(takes, given).result() == given)
        ctx.durable_execute_async(hold).result()

    agent = pick(kind, go, go_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == [True]
