"""G24: an action whose code was made and never run has not been done: it fails, and says so."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    ONE,
    agent_of,
    config_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    run,
)

from perdure import Agent, InputEvent, RunsFailedError, action


async def acts(event: Any, ctx: Any) -> None:
    out(ctx, "never")


def traced(func: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function as decorators do that are not made for coroutines."""

    @functools.wraps(func)
    def inner(*args: Any) -> Any:
        return func(*args)

    return inner


class Traced(Agent):
    @action(InputEvent)
    @traced
    async def go(self, event: Any, ctx: Any) -> None:
        out(ctx, "never")


async def forgets_to_await(event: Any, ctx: Any) -> Any:
    return acts(event, ctx)


def makes_a_generator(event: Any, ctx: Any) -> Any:
    return (out(ctx, n) for n in range(3))


async def _sends(ctx: Any) -> Any:
    yield out(ctx, "never")


def makes_an_async_generator(event: Any, ctx: Any) -> Any:
    return _sends(ctx)


@pytest.mark.parametrize(
    ("agent", "named"),
    [
        (agent_of(traced(acts)), "the coroutine of acts,"),
        (agent_of(lambda event, ctx: acts(event, ctx)), "the coroutine of acts,"),
        (Traced(), "the coroutine of Traced.go,"),
        (agent_of(forgets_to_await), "the coroutine of acts,"),
        (agent_of(makes_a_generator), "the generator of makes_a_generator.<locals>.<genexpr>,"),
        (agent_of(makes_an_async_generator), "the async_generator of _sends,"),
    ],
    ids=["wraps", "lambda", "method", "no await", "generator", "async generator"],
)
def test_g24_an_action_whose_code_was_not_run_fails(
    agent: Agent, named: str, kind: str, store: str
) -> None:
    failed = failures(agent, ONE, store=store, config=config_of(kind))
    assert error_text(failed) == (
        f"perdure.errors.AgentDefinitionError: go returned {named} which nothing runs: make the"
        " action, and each function that wraps it, `async def` and await it there"
    )
    assert failed.outputs == []


def test_g24_so_it_does_on_replay(kind: str, store: str) -> None:
    async def holds(event: Any, ctx: Any) -> Any:
        await ctx.durable_execute_async(hold)
        return acts(event, ctx)

    def holds_plain(event: Any, ctx: Any) -> Any:
        ctx.durable_execute_async(hold).result()
        return acts(event, ctx)

    agent = agent_of(holds if kind == COROUTINE else holds_plain)
    with pytest.raises(RunsFailedError) as failed:
        crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    assert "returned the coroutine of acts, which nothing runs" in error_text(failed.value)


def test_g24_what_else_an_action_returns_is_let_go(kind: str, store: str) -> None:
    def returns(event: Any, ctx: Any) -> Any:
        out(ctx, "done")
        return [acts], lambda: acts(event, ctx)

    assert run(agent_of(returns), ONE, store=store, config=config_of(kind)) == ["done"]
