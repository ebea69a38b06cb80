"""G10: the retry and the timeout of a call: its own, its function's, the configured, none."""

from __future__ import annotations

from typing import Any

import pytest
from tests.promises.callees import LONG, fails, never, told
from tests.promises.support import ONE, State, agent_of, config_of, echo, out, pick, run

from perdure import RetryPolicy, durable


@durable(retry=RetryPolicy(max_attempts=2, initial_interval=0.0))
def declared(name: str) -> int:
    return fails(name)


@durable(timeout=0.05)
async def bounded(name: str) -> None:
    await never(name)


@pytest.mark.parametrize(
    "retry",
    [
        {"retry.max-attempts": 4, "retry.initial-interval": 0.001, "retry.jitter": 0},
        {"retry": RetryPolicy(max_attempts=4, initial_interval=0.001)},
        {"retry": {"max-attempts": 4, "initial-interval": 0.001}},
    ],
    ids=["keys", "policy", "mapping"],
)
def test_g10_the_configured_retry_is_what_calls_have_unless_they_say_otherwise(
    retry: dict[str, Any], kind: str, store: str
) -> None:
    own = RetryPolicy(max_attempts=3, initial_interval=0.0)

    async def calls(event: Any, ctx: Any) -> None:
        found = await ctx.gather(
            ctx.durable_execute_async(fails, "default"),
            ctx.durable_execute_async(declared, "declared"),
            ctx.with_options(retry=own).durable_execute_async(declared, "given"),
            ctx.with_options(timeout=LONG).durable_execute_async(fails, "partly given"),
        )
        out(ctx, [told(one) for one in found])

    def calls_plain(event: Any, ctx: Any) -> None:
        found = ctx.gather(
            ctx.durable_execute_async(fails, "default"),
            ctx.durable_execute_async(declared, "declared"),
            ctx.with_options(retry=own).durable_execute_async(declared, "given"),
            ctx.with_options(timeout=LONG).durable_execute_async(fails, "partly given"),
        )
        out(ctx, [told(one) for one in found])

    config = config_of(kind) | retry
    results = run(pick(kind, calls, calls_plain), ONE, store=store, config=config)
    assert results == [["OSError"] * 4]
    counts = {name: State.calls.count(name) for name in State.calls}
    assert counts == {"default": 4, "declared": 2, "given": 3, "partly given": 4}


def test_g10_without_a_configured_retry_there_is_one_attempt(kind: str) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in await ctx.gather(ctx.durable_execute_async(fails, "a"))])

    def calls_plain(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in ctx.gather(ctx.durable_execute_async(fails, "a"))])

    assert run(pick(kind, calls, calls_plain), ONE, config=config_of(kind)) == [["OSError"]]
    assert State.calls == ["a"]


def test_g10_the_configured_timeout_is_what_calls_have_unless_they_say_otherwise(
    store: str,
) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        found = await ctx.gather(
            ctx.durable_execute_async(never, "default"),
            ctx.with_options(timeout=LONG).durable_execute_async(echo, "given", 0.4),
            ctx.with_options(retry=RetryPolicy(max_attempts=1)).durable_execute_async(never, "b"),
        )
        out(ctx, [told(one) for one in found])

    results = run(agent_of(calls), ONE, store=store, config={"timeout": 0.1})
    assert results == [["TimeoutError", "given", "TimeoutError"]]


def test_g10_a_declared_timeout_goes_before_the_configured_one(kind: str) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in await ctx.gather(ctx.durable_execute_async(bounded, "a"))])

    def calls_plain(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in ctx.gather(ctx.durable_execute_async(bounded, "a"))])

    config = config_of(kind, timeout=LONG)
    assert run(pick(kind, calls, calls_plain), ONE, config=config) == [["TimeoutError"]]


def attempted(times: int) -> Any:
    """Return a function that differs from others made here in its options only."""

    @durable(retry=RetryPolicy(max_attempts=times, initial_interval=0.0))
    def made(name: str) -> None:
        fails(name)

    return made


def test_g10_functions_made_in_one_place_have_their_own_options(kind: str) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        for times in (2, 3, 2):
            await ctx.gather(ctx.durable_execute_async(attempted(times), f"{times} times"))

    def calls_plain(event: Any, ctx: Any) -> None:
        for times in (2, 3, 2):
            ctx.gather(ctx.durable_execute_async(attempted(times), f"{times} times"))

    run(pick(kind, calls, calls_plain), ONE, config=config_of(kind))
    assert State.calls == [*["2 times"] * 2, *["3 times"] * 3, *["2 times"] * 2]
