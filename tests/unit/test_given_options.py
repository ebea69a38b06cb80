"""Options of calls that are of a wrong type are refused where they are given, by name."""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from tests.promises.support import agent_of, out, run

from perdure import (
    ChatModel,
    ConfigurationError,
    Limit,
    LocalEngine,
    RetryPolicy,
    Tool,
    durable,
    wait,
)
from perdure.integrations.http_client import HttpClient
from perdure.integrations.mcp import MCPServer
from perdure.integrations.pgvector import PgVectorStore
from perdure.integrations.qdrant import QdrantVectorStore
from perdure.testing import ScriptedChatModel, ScriptedEmbeddingModel
from perdure.testing.model_server_answers import Answer
from perdure.web.limits import Limits

_FIVE = datetime.timedelta(seconds=5)


async def hang() -> None:
    await asyncio.Event().wait()


def never(*_: Any) -> None:
    """Not be called."""


@pytest.mark.parametrize(
    "given",
    [
        {"timeout": "5"}, {"timeout": _FIVE}, {"timeout": 0}, {"retry": 5},
        {"retry": {"max_attempts": 3}}, {"retry": RetryPolicy}, {"limit": 5}, {"limit": ("a", 5)},
        {"durable_id": 5}, {"durable_id": b"x"}, {"durable_aliases": 5}, {"durable_aliases": [5]},
    ],
    ids=str,
)  # fmt: skip
def test_options_of_a_call_are_refused_by_value(given: dict[str, Any]) -> None:
    ((name, value),) = given.items()

    async def go(event: Any, ctx: Any) -> None:
        with pytest.raises(ConfigurationError) as refused:
            ctx.with_options(**given)
        out(ctx, str(refused.value))

    (text,) = run(agent_of(go), [{"k": 1}])
    wrong = value[-1] if name == "durable_aliases" and isinstance(value, list) else value
    assert repr(wrong)[:60] in text
    assert "\n" not in text
    with pytest.raises(ConfigurationError):
        durable(**{name.removeprefix("durable_"): value})


@pytest.mark.parametrize("make", [ChatModel, lambda _, **more: Tool(never, name="t", **more)])
@pytest.mark.parametrize("given", [{"retry": 5}, {"timeout": "5"}], ids=str)
def test_options_of_models_and_tools_are_too(make: Any, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(given))):
        make("openai:m", **given)


def test_a_limit_may_be_named_in_a_list() -> None:
    async def go(event: Any, ctx: Any) -> None:
        call = ctx.with_options(limit=["a"]).durable_execute_async(never)
        out(ctx, await call)

    assert run(agent_of(go), [{"k": 1}], config={"limits": {"a": Limit(concurrency=1)}}) == [None]


@pytest.mark.parametrize(
    "given",
    [
        {"max_attempts": "3"}, {"initial_interval": "1"}, {"backoff_coefficient": None},
        {"max_interval": _FIVE}, {"jitter": "0"}, {"total_timeout": _FIVE},
        {"retry_on": 5}, {"retry_on": ("x",)}, {"retry_on": "ValueError"}, {"retry_on": [int]},
        {"non_retryable": [ValueError("x")]},
    ],
    ids=str,
)  # fmt: skip
def test_a_retry_policy_of_wrong_types_is_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"RetryPolicy: .*{next(iter(given))}="):
        RetryPolicy(**given)


@pytest.mark.parametrize("several", [list, set, frozenset, tuple])
def test_the_exceptions_of_a_retry_policy_may_be_one_or_in_any_list(several: Any) -> None:
    policies = [
        RetryPolicy(retry_on=several([ValueError]), non_retryable=several([UnicodeError])),
        RetryPolicy(retry_on=ValueError, non_retryable=UnicodeError),  # type: ignore[arg-type]
    ]
    for policy in policies:
        assert policy.retry_on == (ValueError,)
        assert policy.allows(ValueError(), 1)
        assert not policy.allows(UnicodeError(), 1)
        assert not policy.allows(KeyError(), 1)


@pytest.mark.parametrize("given", [{"concurrency": "3"}, {"rate": _FIVE}, {"per": "1"}], ids=str)
def test_a_limit_of_wrong_types_is_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"Limit: {next(iter(given))}="):
        Limit(**given)


@pytest.mark.parametrize("seconds", ["5", _FIVE, None])
def test_times_that_are_no_numbers_are_refused(seconds: Any) -> None:
    async def go(event: Any, ctx: Any) -> None:
        with pytest.raises(ConfigurationError, match="no finite number of seconds"):
            ctx.sleep(seconds)
        with pytest.raises(ConfigurationError, match=r"delay=.* is no finite number of seconds"):
            ctx.submit({"k": 2}, key=2, delay=seconds)
        out(ctx, 1)

    assert run(agent_of(go), [{"k": 1}]) == [1]


def test_what_is_no_run_is_refused_by_value() -> None:
    async def main() -> None:
        async with LocalEngine("memory://").open(agent_of(lambda event, ctx: None)) as job:
            given: Any = 5
            for command in (job.retry, job.cancel, job.approve):
                with pytest.raises(ConfigurationError, match="5 is no run: give a Run"):
                    await command(given)
            with pytest.raises(ConfigurationError, match="5 is no run: give a Run"):
                await job.signal(given, "s", 1)
            with pytest.raises(ConfigurationError, match="5 is no run: give a Run"):
                job.run(given)

    asyncio.run(main())


class HalfFloat(float):
    """As numpy's float64 is: a float for Python, of a class that the journal does not know."""


NUMBERS = [Fraction(1, 100), Decimal("0.01"), 0.01, HalfFloat(0.01)]


@pytest.mark.parametrize("seconds", NUMBERS, ids=repr)
def test_any_number_is_taken_for_what_it_is(seconds: Any) -> None:
    failed: list[int] = []

    async def fails_once() -> str:
        if not failed:
            failed.append(1)
            raise ConnectionError("once")
        return "again"

    async def go(event: Any, ctx: Any) -> None:
        if event.input == "child":
            return
        await ctx.sleep(seconds)
        for waited in (
            ctx.wait_for_signal("s", timeout=seconds),
            ctx.wait_for_approval("a", timeout=seconds),
            ctx.with_options(timeout=seconds).durable_execute_async(hang),
            ctx.with_options(retry=RetryPolicy(total_timeout=seconds)).durable_execute_async(hang),
        ):
            with pytest.raises(TimeoutError):
                await waited
        policy = RetryPolicy(initial_interval=seconds, max_interval=seconds, jitter=seconds)
        child = ctx.submit("child", key="other", delay=seconds)
        await ctx.with_options(limit="l").durable_execute_async(never)
        out(ctx, await ctx.with_options(retry=policy).durable_execute_async(fails_once))
        await child

    limits = {"l": Limit(rate=5, per=seconds)}
    assert run(agent_of(go), [{"k": 1}], config={"limits": limits}) == ["again"]


@pytest.mark.parametrize(
    "seconds",
    [Decimal("NaN"), Decimal("sNaN"), -(10**400), 10**5000],
    ids=["nan", "signalling nan", "negative", "longer than Python writes"],
)
def test_a_number_that_no_time_can_be_is_refused(seconds: Any) -> None:
    async def go(event: Any, ctx: Any) -> None:
        for give in (
            ctx.sleep,
            lambda given: ctx.submit("v", key="k2", delay=given),
            lambda given: ctx.wait_for_signal("s", timeout=given),
            lambda given: ctx.with_options(timeout=given),
            lambda given: RetryPolicy(initial_interval=given),
            lambda given: RetryPolicy(backoff_coefficient=given),
            lambda given: Limit(rate=1, per=given),
            lambda given: Limit(rate=given),
            lambda given: ChatModel("openai:m", max_rounds=given),
        ):
            with pytest.raises(ConfigurationError):
                give(seconds)
        out(ctx, 1)

    assert run(agent_of(go), [{"k": 1}]) == [1]


@pytest.mark.parametrize("seconds", NUMBERS, ids=repr)
def test_any_number_is_how_long_a_plain_action_waits(seconds: Any) -> None:
    def go(event: Any, ctx: Any) -> None:
        call = ctx.durable_execute_async(hang)
        for settle in (call.result, call.exception):
            with pytest.raises(TimeoutError, match=r"is not done after 0\.01 s"):
                settle(timeout=seconds)
        out(ctx, [len(calls) for calls in wait([call], timeout=seconds)])

    assert run(agent_of(go), [{"k": 1}]) == [[0, 1]]


@pytest.mark.parametrize("seconds", [0, -1, Decimal("-Infinity"), math.inf, True], ids=repr)
def test_a_plain_action_waits_not_at_all_or_for_ever(seconds: Any) -> None:
    def go(event: Any, ctx: Any) -> None:
        call = ctx.sleep(0.01)
        done, _ = wait([call], timeout=seconds)
        out(ctx, len(done))

    assert run(agent_of(go), [{"k": 1}]) == [int(seconds > 0)]


@pytest.mark.parametrize(
    "seconds",
    ["5", _FIVE, math.nan, Decimal("NaN"), 10**400],
    ids=["text", "time", "nan", "NaN", "long"],
)
def test_a_plain_action_waits_for_no_time_that_is_none(seconds: Any) -> None:
    def go(event: Any, ctx: Any) -> None:
        call = ctx.sleep(0.0)
        wait([call])
        for settle in (call.result, call.exception, lambda timeout: wait([call], timeout=timeout)):
            with pytest.raises(
                ConfigurationError, match=r"^timeout=.* is no number of seconds: give one"
            ):
                settle(timeout=seconds)
        out(ctx, 1)

    assert run(agent_of(go), [{"k": 1}]) == [1]


GIVES = {
    "HttpClient": lambda given: HttpClient(timeout=given),
    "QdrantVectorStore": lambda given: QdrantVectorStore("http://q", timeout=given),
    "PgVectorStore": lambda given: PgVectorStore("pg", command_timeout=given),
    "MCPServer connect": lambda given: MCPServer("s", connect_timeout=given),
    "MCPServer read": lambda given: MCPServer("s", read_timeout=given),
    "MCPServer": lambda given: MCPServer("s", timeout=given),
    "ScriptedChatModel": lambda given: ScriptedChatModel(["a"], delay=given),
    "ScriptedEmbeddingModel": lambda given: ScriptedEmbeddingModel(delay=given),
    "Answer": lambda given: Answer(delay=given),
    "Limits": lambda given: Limits(receive_seconds=given),
}


@pytest.mark.parametrize("give", GIVES.values(), ids=GIVES)
def test_seconds_of_connections_and_of_tests_are_numbers(give: Callable[[Any], Any]) -> None:
    for seconds in NUMBERS:
        give(seconds)
    for seconds in ("5", _FIVE, math.nan, Decimal("sNaN"), -1):
        with pytest.raises(ConfigurationError):
            give(seconds)


def test_limits_of_the_service_are_kept_as_numbers() -> None:
    assert type(Limits(rate=Decimal("0.5")).rate) is float
