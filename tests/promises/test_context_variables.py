"""Each attempt of a call has the context variables of its action, as they were when it was made."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    OFF,
    PLAIN,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    hold,
    out,
    pick,
    run,
)

from perdure import RetryPolicy

TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")
TENANTS = ["a", "b", "c"]
ONE_AT_A_TIME = {"one": {"concurrency": 1}}
RETRIED = RetryPolicy(max_attempts=3, initial_interval=0.001)
OPTIONS: dict[str, dict[str, Any]] = {
    "alone": {},
    "in time": {"timeout": 60},
    "limited": {"limit": "one"},
    "retried": {"retry": RETRIED},
    "both": {"limit": "one", "retry": RETRIED},
}


def see(n: str, fails: int = 0) -> str:
    """Return what the variable is, and leave something else in it; the first attempts fail."""
    seen = TENANT.get()
    TENANT.set(f"left by {n}")
    State.calls.append(n)
    if State.calls.count(n) <= fails:
        raise ConnectionError(seen)
    return seen


async def see_later(n: str, fails: int = 0) -> str:
    """Do what `see` does, in a task."""
    await asyncio.sleep(0)
    return see(n, fails)


def see_at_last(n: str, fails: int = 0) -> Any:
    """Do what `see_later` does, from a plain function."""
    return see_later(n, fails)


CALLABLES = [see, see_later, see_at_last]


def given(event: Any, n: int, options: dict[str, Any]) -> tuple[str, int]:
    return f"{event.input} {n}", 2 if "retry" in options else 0


async def act(event: Any, ctx: Any, options: dict[str, Any]) -> list[Any]:
    with_options, calls = ctx.with_options(**options), []
    for n, func in enumerate(CALLABLES):
        TENANT.set(f"{event.input} for {n}")
        calls.append(with_options.durable_execute_async(func, *given(event, n, options)))
    TENANT.set(f"{event.input} waits")
    seen = list(await asyncio.gather(*calls))
    for n, func in enumerate(CALLABLES, len(CALLABLES)):
        seen.append(with_options.durable_execute(func, *given(event, n, options)))
    return [*seen, TENANT.get()]


def act_plainly(event: Any, ctx: Any, options: dict[str, Any]) -> list[Any]:
    with_options, calls = ctx.with_options(**options), []
    for n, func in enumerate(CALLABLES):
        TENANT.set(f"{event.input} for {n}")
        calls.append(with_options.durable_execute_async(func, *given(event, n, options)))
    TENANT.set(f"{event.input} waits")
    seen = [call.result() for call in calls]
    for n, func in enumerate(CALLABLES, len(CALLABLES)):
        seen.append(with_options.durable_execute(func, *given(event, n, options)))
    return [*seen, TENANT.get()]


def seen_by(tenant: str) -> list[str]:
    return [*(f"{tenant} for {n}" for n in range(3)), *[f"{tenant} waits"] * 4]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("turn", ["first turn", "later turn"])
@pytest.mark.parametrize("kind", [COROUTINE, PLAIN, OFF])
def test_calls_have_the_variables_of_their_own_action(
    kind: str, turn: str, options: dict[str, Any]
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        TENANT.set(event.input)
        if turn == "later turn":
            await ctx.sleep(0.001)
        out(ctx, await act(event, ctx, options))

    def go_plainly(event: Any, ctx: Any) -> None:
        TENANT.set(event.input)
        if turn == "later turn":
            ctx.sleep(0.001).result()
        out(ctx, act_plainly(event, ctx, options))

    config = config_of(kind, limits=ONE_AT_A_TIME)
    seen = run(pick(kind, go, go_plainly), TENANTS, key=str, config=config)
    assert sorted(seen) == [seen_by(tenant) for tenant in TENANTS]
    assert TENANT.get() == "nobody"


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_calls_that_are_made_again_after_a_crash_have_them_too(options: dict[str, Any]) -> None:
    async def go(event: Any, ctx: Any) -> None:
        TENANT.set(event.input)
        await ctx.durable_execute_async(hold)
        out(ctx, await act(event, ctx, options))

    config = {"limits": ONE_AT_A_TIME}
    seen = crash_and_resume(agent_of(go), TENANTS, key=str, config=config)
    assert sorted(seen) == [seen_by(tenant) for tenant in TENANTS]


def test_a_reconciler_has_them_too() -> None:
    async def pay(n: int) -> str:
        await hold()
        raise AssertionError("it was in doubt")

    async def look(n: int) -> str:
        return TENANT.get()

    async def go(event: Any, ctx: Any) -> None:
        TENANT.set(event.input)
        call = ctx.with_options(reconciler=look).durable_execute_async(pay, 1)
        TENANT.set("another's")
        out(ctx, await call)

    assert crash_and_resume(agent_of(go), ["a"], key=str) == ["a"]
