"""G10: errors say whether and when a call is attempted again."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.promises.callees import LONG, told
from tests.promises.support import ONE, State, agent_of, config_of, out, pick, run

from perdure import RetryableError, RetryPolicy, TerminalError


def says(error: Exception) -> None:
    State.calls.append(time.monotonic())
    raise error


def test_g10_a_retryable_error_says_when_the_next_attempt_is_due(store: str) -> None:
    soon = RetryPolicy(max_attempts=2, initial_interval=LONG, max_interval=LONG)
    never_again = RetryPolicy(max_attempts=5, initial_interval=0.0, retry_on=())

    def limited_by_peer() -> None:
        says(RetryableError("slow down", retry_after=0.1))

    def at_once() -> None:
        State.calls.append("at once")
        raise RetryableError("now", retry_after=0)

    async def calls(event: Any, ctx: Any) -> None:
        call = ctx.with_options(retry=soon).durable_execute_async(limited_by_peer)
        other = ctx.with_options(retry=never_again).durable_execute_async(at_once)
        found = await ctx.gather(call, other)
        out(ctx, [[told(one), str(one.error), one.error.retry_after] for one in found])

    results = run(agent_of(calls), ONE, store=store)
    assert results == [[["RetryableError", "slow down", 0.1], ["RetryableError", "now", 0]]]
    first, second = (one for one in State.calls if one != "at once")
    assert second - first >= 0.1
    assert State.calls.count("at once") == 5


@pytest.mark.parametrize("inline", [False, True], ids=["async", "inline"])
def test_g10_a_terminal_error_ends_the_attempts(inline: bool, kind: str, store: str) -> None:
    policy = RetryPolicy(max_attempts=5, initial_interval=0.0, retry_on=(Exception,))

    def refuses(name: str) -> None:
        State.calls.append(name)
        raise TerminalError(name)

    async def calls(event: Any, ctx: Any) -> None:
        again = ctx.with_options(retry=policy)
        try:
            if inline:
                again.durable_execute(refuses, "no")
            await again.durable_execute_async(refuses, "no")
        except TerminalError as error:
            out(ctx, str(error))

    def calls_plain(event: Any, ctx: Any) -> None:
        again = ctx.with_options(retry=policy)
        try:
            if inline:
                again.durable_execute(refuses, "no")
            again.durable_execute_async(refuses, "no").result()
        except TerminalError as error:
            out(ctx, str(error))

    results = run(pick(kind, calls, calls_plain), ONE, store=store, config=config_of(kind))
    assert results == ["no"]
    assert State.calls == ["no"]


def test_g10_non_retryable_goes_before_retry_on(store: str) -> None:
    policy = RetryPolicy(max_attempts=5, initial_interval=0.0, non_retryable=(FileNotFoundError,))

    def misses(error: str) -> None:
        State.calls.append(error)
        raise {"missing": FileNotFoundError, "other": PermissionError}[error](error)

    async def calls(event: Any, ctx: Any) -> None:
        again = ctx.with_options(retry=policy)
        names = ("missing", "other")
        found = await ctx.gather(*(again.durable_execute_async(misses, name) for name in names))
        out(ctx, [told(one) for one in found])

    assert run(agent_of(calls), ONE, store=store) == [["FileNotFoundError", "PermissionError"]]
    assert sorted(State.calls) == ["missing", *["other"] * 5]
