"""G10: errors say whether and when a call is attempted again."""

from __future__ import annotations

import datetime
import decimal
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.callees import LONG, fails, told
from tests.promises.support import (
    ONE,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    hold,
    out,
    pick,
    run,
)

from perdure import ConfigurationError, RetryableError, RetryPolicy, TerminalError


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


class Busy(RetryableError):
    """Has an __init__ of its own that does not come to perdure's."""

    def __init__(self, *, code: int) -> None:
        self.code = code


class Told(RetryableError):
    """Is told how long to wait by something that is not there."""

    @property
    def retry_after(self) -> float:
        raise OSError("no header")

    @retry_after.setter
    def retry_after(self, given: Any) -> None:
        pass


def set_later(retry_after: Any) -> RetryableError:
    error = RetryableError("busy", retry_after=LONG)
    error.retry_after = retry_after
    return error


SOON: dict[str, Callable[[], RetryableError]] = {
    "text": lambda: RetryableError("busy", "0.01"),
    "decimal": lambda: RetryableError("busy", decimal.Decimal("0.01")),
    "timedelta": lambda: RetryableError("busy", datetime.timedelta(seconds=0.01)),
    "negative": lambda: RetryableError("busy", -5),
    "own init": lambda: Busy(code=429),
    "property": lambda: Told("busy", 0.01),
    "text set later": lambda: set_later("0.01"),
    "nonsense set later": lambda: set_later("soon"),
    "nan set later": lambda: set_later(math.nan),
    "object set later": lambda: set_later(object()),
}


def busy(which: str) -> None:
    State.calls.append(which)
    raise SOON[which]()


async def busy_on_loop(which: str) -> None:
    busy(which)


def test_g10_however_a_retryable_error_says_when_the_attempts_go_on(kind: str, store: str) -> None:
    policy = RetryPolicy(max_attempts=3, initial_interval=0.01)

    def make(ctx: Any) -> list[Any]:
        again = ctx.with_options(retry=policy)
        return [
            again.durable_execute_async(func, which)
            for func in (busy, busy_on_loop)
            for which in SOON
        ]

    async def calls(event: Any, ctx: Any) -> None:
        found = [told(one) for one in await ctx.gather(*make(ctx))]
        await ctx.durable_execute_async(hold)
        out(ctx, found)

    def calls_plain(event: Any, ctx: Any) -> None:
        found = [told(one) for one in ctx.gather(*make(ctx))]
        ctx.durable_execute_async(hold).result()
        out(ctx, found)

    agent = pick(kind, calls, calls_plain)
    [found] = crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    assert found == [type(make_error()).__name__ for make_error in SOON.values()] * 2
    assert sorted(State.calls) == sorted([*SOON] * 6)


@pytest.mark.parametrize("long", [math.inf, 1e300, 1e12, decimal.Decimal("1e400"), "inf"])
def test_g10_a_time_that_nobody_can_wait_for_is_left_to_the_policy(long: Any, store: str) -> None:
    def limited() -> str:
        State.calls.append("limited")
        if len(State.calls) == 1:
            raise RetryableError("come back", retry_after=long)
        return "done"

    async def calls(event: Any, ctx: Any) -> None:
        policy = RetryPolicy(initial_interval=0.0)
        out(ctx, await ctx.with_options(retry=policy).durable_execute_async(limited))

    assert run(agent_of(calls), ONE, store=store) == ["done"]


class Patient(RetryPolicy):
    def interval(self, error: BaseException, attempt: int, fraction: float) -> float:
        return self.backoff_coefficient


@pytest.mark.parametrize("long", [1e12, 1e300])
def test_g10_a_policy_may_wait_for_as_long_as_times_can_be(long: float, store: str) -> None:
    def fails() -> None:
        State.calls.append("fails")
        raise RetryableError("come back")

    async def calls(event: Any, ctx: Any) -> None:
        policy = Patient(backoff_coefficient=long)
        call = ctx.with_options(retry=policy).durable_execute_async(fails)
        while not State.calls:
            await ctx.sleep(0.01)
        await ctx.sleep(0.01)
        out(ctx, call.done())

    assert run(agent_of(calls), ONE, store=store) == [False]
    assert State.calls == ["fails"]


@pytest.mark.parametrize("given", ["Wed, 21 Oct 2026 07:28:00 GMT", math.nan, object(), [1]])
def test_g10_a_wait_that_is_no_time_is_refused_where_it_is_given(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"RetryableError\('busy'\): retry_after=") as told:
        RetryableError("busy", retry_after=given)
    assert repr(given)[:60] in str(told.value)


class Unsure(type):
    """Cannot say what is an instance of it."""

    def __instancecheck__(cls, instance: object) -> bool:
        raise LookupError("who knows")


class Odd(Exception, metaclass=Unsure):
    pass


class Asks(RetryPolicy):
    """A policy of a user's own."""

    def allows(self, error: BaseException, attempt: int) -> bool:
        return True

    def interval(self, error: BaseException, attempt: int, fraction: float) -> Any:
        return "soon"


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (RetryPolicy(retry_on=(Odd,)), "LookupError: who knows"),
        (RetryPolicy(non_retryable=(Odd,)), "LookupError: who knows"),
        (Asks(), "TypeError: "),
    ],
    ids=["retry_on", "non_retryable", "interval"],
)
def test_g9_a_policy_that_raises_leaves_the_call_its_own_error(
    policy: RetryPolicy, why: str, kind: str, store: str
) -> None:
    def make(ctx: Any) -> list[Any]:
        again = ctx.with_options(retry=policy)
        return [again.durable_execute_async(fails, name) for name in ("a", "b")]

    def of(found: Any) -> list[Any]:
        return [[told(one), str(one.error), one.error.__notes__] for one in found]

    async def calls(event: Any, ctx: Any) -> None:
        found = of(await ctx.gather(*make(ctx)))
        await ctx.durable_execute_async(hold)
        out(ctx, found)

    def calls_plain(event: Any, ctx: Any) -> None:
        found = of(ctx.gather(*make(ctx)))
        ctx.durable_execute_async(hold).result()
        out(ctx, found)

    agent = pick(kind, calls, calls_plain)
    [found] = crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    for kind_of, text, notes in found:
        assert (kind_of, text) == ("OSError", "attempt 1")
        assert notes[0].startswith(f"not attempted again: the retry policy raised {why}")
    assert sorted(State.calls) == ["a", "b"]
