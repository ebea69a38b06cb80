"""G6, G12, G13: whatever a plain action composes calls with takes the same way after a crash.

Without continuations each call is over before the next is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.patterns import STAGGERED, OddError, call, crash_at_each_call, saw, text
from tests.promises.support import OFF

from perdure import wait


def plain_waits_for_the_first(ctx: Any) -> Any:
    pending = {call(ctx, name, delay) for name, delay in STAGGERED.items()}
    order = []
    while pending:
        done, pending = wait(pending, return_when=asyncio.FIRST_COMPLETED)
        order += [saw(one.result()) for one in done]
    return sorted(order)


def plain_waits_for_an_exception(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.01), call(ctx, "b", 0.02, True), call(ctx, "c", 0.05)]
    done, _ = wait(calls, return_when=asyncio.FIRST_EXCEPTION)
    saw([one in done for one in calls[:2]])
    calls[2].cancel()  # of no effect where it is done
    return saw(call(ctx, "d").result())


def plain_gathers(ctx: Any) -> Any:
    found = ctx.gather(call(ctx, "a", 0.01), call(ctx, "b", 0.0, True), call(ctx, "c"))
    return saw([text(one.error or one.value) for one in found])


def plain_mixes(ctx: Any) -> Any:
    early = call(ctx, "a", 0.02)
    saw(ctx.durable_execute(str, "inline"))
    saw(call(ctx, "b").result())
    timer = ctx.sleep(0.01)
    late = call(ctx, "c", 0.03)
    timer.result()
    saw("slept")
    wait([early, late])
    try:
        call(ctx, "d", 0.0, True).result()
    except OddError as error:
        saw(text(error))
    return saw([early.result(), late.result(), text(call(ctx, "e", 0, True).exception())])


def plain_gives_up(ctx: Any) -> Any:
    slow = call(ctx, "a", 0.1)
    try:
        saw(slow.result(timeout=0.03))
    except TimeoutError:
        saw("late")
    saw(call(ctx, "b").result())
    return saw(slow.result())


def plain_cancels(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.02), call(ctx, "b", 0.1)]
    done, _ = wait(calls, return_when=asyncio.FIRST_COMPLETED)
    for one in calls:
        one.cancel()  # of no effect where it is done
    saw(len(done))
    return saw([call(ctx, "c").result(), calls[0].cancelled()])


PLAIN: dict[Callable[[Any], Any], Any] = {
    plain_waits_for_the_first: ["a", "b", "c", "d"],
    plain_waits_for_an_exception: "d",
    plain_gathers: ["a", "OddError b", "c"],
    plain_mixes: ["a", "c", "OddError e"],
    plain_gives_up: "a",
    plain_cancels: ["c", False],
}


@pytest.mark.parametrize("pattern", PLAIN, ids=lambda pattern: pattern.__name__)
@pytest.mark.parametrize("plain_kind", ["plain", OFF])
def test_g6_plain_actions_take_the_same_way_again(
    pattern: Any, plain_kind: str, store: str
) -> None:
    crash_at_each_call(plain_kind, pattern, PLAIN[pattern], store)
