"""G11: what a reconciler is called with, and that one which cannot be called is refused in time."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.promises.support import (
    ONE,
    State,
    config_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    pick,
)


async def pay(order: str, amount: int = 0) -> str:
    """Leave the payment in doubt in the first leg."""
    State.calls.append(order)
    await hold()
    return f"paid {order} again"


def ask_nothing() -> str:
    return "the bank says paid"


async def ask_nothing_on_loop() -> str:
    return "the bank says paid"


def ask_order(order: str, amount: int = 0) -> str:
    return f"the bank says paid {order} {amount}"


class Bank:
    """Asked through a method or itself."""

    def ask(self) -> str:
        return "the bank says paid"

    async def __call__(self) -> str:
        return "the bank says paid"


async def tells(order: str, amount: int = 0) -> AsyncIterator[str]:
    yield "the bank says paid"


class Told:
    """Collects what an async generator yields, as its class says, whatever it wraps."""

    def __init__(self, tells: Any) -> None:
        functools.update_wrapper(self, tells)
        self.tells = tells

    async def __call__(self, *args: Any, **kwargs: Any) -> str:
        return "".join([each async for each in self.tells(*args, **kwargs)])


class Teller:
    """Is an async generator function itself."""

    async def __call__(self, order: str, amount: int = 0) -> AsyncIterator[str]:
        yield "the bank says paid"


RECONCILERS: dict[str, tuple[Any, str]] = {
    "none": (ask_nothing, "the bank says paid"),
    "none, coroutine": (ask_nothing_on_loop, "the bank says paid"),
    "closure": (lambda: "the bank says paid", "the bank says paid"),
    "method": (Bank().ask, "the bank says paid"),
    "object": (Bank(), "the bank says paid"),
    "collected": (Told(tells), "the bank says paid"),
    "bound": (functools.partial(ask_order, "o1", 9), "the bank says paid o1 9"),
    "the call's": (ask_order, "the bank says paid o1 5"),
    "any": (lambda *args, **kwargs: f"{args} {kwargs}", "('o1',) {'amount': 5}"),
}


@pytest.mark.parametrize("which", RECONCILERS)
def test_g11_a_reconciler_may_take_no_arguments(which: str, kind: str, store: str) -> None:
    reconciler, answer = RECONCILERS[which]

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(pay, "o1", amount=5, reconciler=reconciler))

    def go_plain(event: Any, ctx: Any) -> None:
        call = ctx.durable_execute_async(pay, "o1", amount=5, reconciler=reconciler)
        out(ctx, call.result())

    agent = pick(kind, go, go_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == [answer]
    assert State.calls == ["o1"]


@pytest.mark.parametrize(
    ("misfit", "told"),
    [
        (lambda one, two, three: 1, "takes neither the arguments of the call (2 given) nor none"),
        (lambda other: 1, "takes neither"), (7, "cannot be called"), ("ask", "cannot be called"),
        (tells, "the reconciler "), (Teller(), "is an async generator"),
        (functools.partial(tells, "o1"), "is an async generator"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["call", "options"])
def test_g11_a_misfit_is_refused_when_the_call_is_made(
    misfit: Any, told: str, how: str, kind: str, store: str
) -> None:
    def make(ctx: Any) -> Any:
        if how == "call":
            return ctx.durable_execute_async(pay, "o1", amount=5, reconciler=misfit)
        return ctx.with_options(reconciler=misfit).durable_execute_async(pay, "o1", amount=5)

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, await make(ctx))

    def go_plain(event: Any, ctx: Any) -> None:
        out(ctx, make(ctx).result())

    failed = failures(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind))
    assert "EncodeError: " in error_text(failed)
    assert told in error_text(failed)
    assert State.calls == []  # nothing was paid
