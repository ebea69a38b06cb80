"""G10: what is longer than any time that can be kept is refused by name, or never over."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.support import (
    ONE,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    echo_plain,
    error_text,
    failures,
    hold,
    out,
    pick,
)

import perdure
from perdure import (
    ConfigurationError,
    Limit,
    LocalEngine,
    PerdureError,
    RetryPolicy,
    RunStatus,
)
from perdure.checks import LONGEST_SECONDS

HUGE = (1e300, 1e12, LONGEST_SECONDS * 1.001, 10**400, math.inf)

WAITS: dict[str, Callable[[Any, Any], Any]] = {
    "sleep": lambda ctx, seconds: ctx.sleep(seconds),
    "signal": lambda ctx, seconds: ctx.wait_for_signal("x", timeout=seconds),
    "approval": lambda ctx, seconds: ctx.wait_for_approval("x", timeout=seconds),
    "submit": lambda ctx, seconds: ctx.submit("v", key="c", delay=seconds),
    "timeout": lambda ctx, seconds: ctx.with_options(timeout=seconds).durable_execute_async(echo),
}


@pytest.mark.parametrize("what", WAITS)
def test_a_wait_that_cannot_be_kept_is_refused_by_name(kind: str, what: str, store: str) -> None:
    waits = WAITS[what]

    async def go(event: Any, ctx: Any) -> None:
        await waits(ctx, event.input["seconds"])

    def go_plain(event: Any, ctx: Any) -> None:
        waits(ctx, event.input["seconds"]).result()

    inputs = [{"k": n, "seconds": seconds} for n, seconds in enumerate(HUGE[:3])]
    failed = failures(pick(kind, go, go_plain), inputs, store=store, config=config_of(kind))
    said = [(info.error or {}) for info in failed.failed]
    assert [each["type"] for each in said] == ["perdure.errors.ConfigurationError"] * 3
    assert all("6307200000 seconds, two hundred years" in each["message"] for each in said)


async def ends(event: Any, ctx: Any) -> None:
    out(ctx, "end")


async def endless(event: Any, ctx: Any) -> None:
    if event.input == "wait":
        await ctx.durable_execute_async(echo, 1)
        await asyncio.sleep(1e300)
    out(ctx, "end")


async def endless_at_once(event: Any, ctx: Any) -> None:
    if event.input == "wait":
        await asyncio.sleep(math.inf)
    out(ctx, "end")


async def endless_timeout(event: Any, ctx: Any) -> None:
    if event.input == "wait":
        async with asyncio.timeout(1e300):
            await ctx.wait_for_signal("x")
    out(ctx, "end")


def endless_plain(event: Any, ctx: Any) -> None:
    if event.input == "wait":
        perdure.wait([ctx.wait_for_signal("x")], timeout=1e300)
    out(ctx, "end")


ENDLESS = (endless, endless_at_once, endless_timeout, endless_plain)


async def first_and_other(agent: Any, store: str) -> None:
    """Have one input wait while others go on: in two legs, of which the first is abandoned."""
    engine = LocalEngine(store)
    with pytest.raises(PerdureError, match="was stopped"):
        async with engine.open(agent) as job:
            waiting = await job.submit("wait", key=1, id="waits")
            assert await (await job.submit("a", key=2)).wait() is RunStatus.COMPLETED
            job.stop_now()
    async with engine.open(agent) as job:
        again = await job.submit("wait", key=1, id="waits")
        assert again.id == waiting.id
        assert await (await job.submit("b", key=2)).wait() is RunStatus.COMPLETED
        assert not again.status.is_final
        await again.cancel()
        assert await again.wait() is RunStatus.CANCELLED


@pytest.mark.parametrize("function", ENDLESS, ids=lambda each: each.__name__)
def test_a_wait_of_asyncio_for_ever_leaves_the_job_open(function: Any, sqlite: str) -> None:
    asyncio.run(first_and_other(agent_of(function), sqlite))


async def long_past(event: Any, ctx: Any) -> None:
    await asyncio.sleep(-1e300)
    await ctx.sleep(-1e300)
    await ctx.durable_execute_async(hold)
    result = ctx.durable_execute_async(echo, "end")
    async with asyncio.timeout(1e300):
        out(ctx, await result)


def long_past_plain(event: Any, ctx: Any) -> None:
    ctx.sleep(-1e300).result()
    ctx.durable_execute_async(hold).result()
    out(ctx, ctx.durable_execute_async(echo_plain, "end").result(timeout=1e300))


def test_a_wait_that_is_over_before_it_begins_is_over(kind: str, store: str) -> None:
    agent = pick(kind, long_past, long_past_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == ["end"]


async def waits_for_no_number(event: Any, ctx: Any) -> None:
    async with asyncio.timeout(math.nan):
        await ctx.durable_execute_async(echo, 1)


def waits_for_no_number_plain(event: Any, ctx: Any) -> None:
    ctx.durable_execute_async(echo_plain, 1).result(timeout=math.nan)


@pytest.mark.parametrize(
    ("function", "error"),
    [(waits_for_no_number, "ValueError"), (waits_for_no_number_plain, "ConfigurationError")],
    ids=["coroutine", "plain"],
)
def test_a_time_that_is_no_number_fails_the_run_alone(
    function: Any, error: str, store: str
) -> None:
    failed = failures(agent_of(function), ONE, store=store)
    assert error in error_text(failed)
    assert "nan" in error_text(failed)


# Retries


@pytest.mark.parametrize("seconds", HUGE, ids=lambda each: str(each)[:8])
@pytest.mark.parametrize("field", ["initial_interval", "max_interval", "total_timeout"])
def test_a_policy_of_more_is_refused(field: str, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match=field):
        RetryPolicy(**{field: seconds})  # type: ignore[arg-type]


def test_the_longest_interval_is_not_varied_beyond_what_can_be_kept() -> None:
    policy = RetryPolicy(initial_interval=LONGEST_SECONDS, max_interval=LONGEST_SECONDS, jitter=1)
    assert policy.interval(ValueError(), 1, 0.999) == LONGEST_SECONDS


# What is given outside of an action


@pytest.mark.parametrize("delay", [*HUGE, math.nan], ids=lambda each: str(each)[:8])
def test_a_delay_that_cannot_be_kept_is_refused(delay: float, store: str) -> None:
    async def submit() -> None:
        async with LocalEngine(store).open(agent_of(ends)) as job:
            with pytest.raises(ConfigurationError, match="delay="):
                await job.submit("v", key="k", delay=delay)
            assert await (await job.submit("v", key="k")).wait() is RunStatus.COMPLETED

    asyncio.run(submit())


def test_the_longest_delay_is_kept(store: str) -> None:
    async def submit() -> None:
        async with LocalEngine(store).open(agent_of(ends)) as job:
            later = await job.submit("v", key="k", delay=LONGEST_SECONDS)
            assert not later.status.is_final
            await later.cancel()

    asyncio.run(submit())


async def sleeps_longest(event: Any, ctx: Any) -> None:
    if event.input == "wait":
        await ctx.sleep(LONGEST_SECONDS)
    out(ctx, "end")


def test_the_longest_sleep_is_kept(sqlite: str) -> None:
    asyncio.run(first_and_other(agent_of(sleeps_longest), sqlite))


@pytest.mark.parametrize(
    "key",
    [
        "timeout", "run-timeout", "retry-wait-interval", "retry.initial-interval",
        "retry.max-interval", "retry.total-timeout",
    ],
)  # fmt: skip
@pytest.mark.parametrize("seconds", ["1e308", 1e12])
def test_an_option_of_more_is_refused_by_name(key: str, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{key} must be .* at most 6307200000"):
        LocalEngine("memory://", config={key: seconds})


def test_a_limit_of_more_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="per="):
        Limit(rate=1, per=1e300)
    with pytest.raises(ConfigurationError, match=r"limits\.x\.rate.*two hundred years"):
        LocalEngine("memory://", config={"limits.x.rate": "1/999999999day"})
