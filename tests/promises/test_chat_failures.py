"""Chats: fallbacks, attempts and waits between them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.chat_support import (
    BOTH,
    QUICK,
    ByEvents,
    model,
    said_by_tools,
    wants,
    weather,
)
from tests.promises.legs import Legs, go, results
from tests.promises.support import (
    ONE,
    State,
    agent_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    run,
)

from perdure import ConfigurationError, RetryableError, RetryPolicy, RunStatus, TerminalError
from perdure.actions.chat import chat
from perdure.llm.message import ChatMessage
from perdure.resource import ResourceType
from perdure.testing.scripted_chat import ScriptedChatModel


@pytest.mark.parametrize("sort", BOTH)
def test_fallbacks_are_asked_in_turn(sort: Any) -> None:
    first = model([TerminalError("down")], fallbacks=["second", "third"])
    second, third = model([LookupError("down too")]), model(["from the third"])
    agent = sort(first, lambda e: [e.response.content, e.model])
    agent.add_resource("second", ResourceType.CHAT_MODEL, second)
    agent.add_resource("third", ResourceType.CHAT_MODEL, third)
    assert run(agent, ONE) == [["from the third", "m"]]
    assert [len(m.connection.requests) for m in (first, second, third)] == [1, 1, 1]


@pytest.mark.parametrize("sort", BOTH)
def test_the_last_fallback_says_why_the_run_fails(sort: Any) -> None:
    last = model([TerminalError("last")])
    setup = model([TerminalError("first")], fallbacks=[last])
    assert error_text(failures(sort(setup), ONE)) == "perdure.errors.TerminalError: last"


@pytest.mark.parametrize("sort", BOTH)
def test_a_mistake_of_ones_own_is_not_hidden_by_a_fallback(sort: Any) -> None:
    other = model(["from another"])
    setup = model(limit="none", fallbacks=[other])
    with pytest.raises(ConfigurationError, match="limit 'none' is not configured"):
        run(sort(setup), ONE)
    odd = model(
        lambda messages, tools: ChatMessage(content="x", extra_args={"odd": object()}),
        fallbacks=[other],
    )
    assert "EncodeError" in error_text(failures(sort(odd), ONE))
    assert other.connection.requests == []


def test_a_fallback_has_a_way_of_its_own_to_give_output() -> None:
    other = model(['{"result": [36]}'], output_mode="prompted")
    setup = model([TerminalError("down")], output_schema=list[int], output_mode="native",
                  fallbacks=[other])  # fmt: skip
    assert run(ByEvents(setup, lambda e: e.response.output), ONE) == [[36]]
    (request,) = other.connection.requests
    assert "output_schema" not in request.settings


@pytest.mark.parametrize("sort", BOTH)
def test_a_request_is_tried_again_after_what_may_pass(sort: Any, store: str) -> None:
    passing = [[RetryableError("busy", 0.01), ConnectionError("reset"), "at last"]]
    setup = model(passing, retry=QUICK)
    assert run(sort(setup), ONE, store=store) == ["at last"]
    assert len(setup.connection.requests) == 3


def test_without_a_policy_four_attempts_are_made_after_what_may_pass() -> None:
    busy = model(lambda messages, tools: RetryableError("busy", 0.001))
    assert "busy" in error_text(failures(ByEvents(busy), ONE))
    assert len(busy.connection.requests) == 4


@pytest.mark.parametrize("error", [TerminalError("no"), LookupError("no"), TypeError("no")])
def test_what_does_not_pass_is_not_tried_again(error: Exception) -> None:
    setup = model([[error, "never"]])
    assert error_text(failures(ByEvents(setup), ONE)).endswith("Error: no")
    assert len(setup.connection.requests) == 1


def test_a_wait_between_attempts_slows_no_other_key() -> None:
    def script(messages: Any, tools: Any) -> Any:
        busy = messages[-1].content == "busy" and len(connection.requests) < 9
        return RetryableError("busy", 0.3) if busy else messages[-1].content

    connection = ScriptedChatModel(script)
    inputs = [{"k": "b", "messages": ["busy"]}]
    inputs += [{"k": f"k{n}", "messages": [f"{n}"]} for n in range(8)]
    outputs = run(ByEvents(model(connection=connection)), inputs)
    assert outputs[-1] == "busy"
    assert sorted(outputs[:-1]) == [str(n) for n in range(8)]


def test_a_wait_between_attempts_survives_a_restart(store: str) -> None:
    """The attempts that failed before the crash count after it."""
    setup = model(lambda messages, tools: RetryableError("busy"),
                  retry=RetryPolicy(max_attempts=3, initial_interval=0.2, jitter=0.0,
                                    max_interval=0.2))  # fmt: skip

    async def hangs(event: Any, ctx: Any) -> None:
        asking = asyncio.ensure_future(chat(ctx, "m", "hi"))
        await ctx.durable_execute_async(asyncio.sleep, 0.05)
        holding = asyncio.ensure_future(ctx.durable_execute_async(hold))
        try:
            await asking
        except RetryableError as error:
            await holding
            out(ctx, str(error))

    agent = agent_of(hangs).add_resource("m", ResourceType.CHAT_MODEL, setup)
    assert crash_and_resume(agent, ONE, store=store) == ["busy"]
    assert len(setup.connection.requests) == 3


def test_the_policy_of_the_job_counts_and_that_of_the_model_before_it() -> None:
    config = {"retry": {"max-attempts": 2, "initial-interval": 0.001}}
    for retry, attempts in ((None, 2), (QUICK, 3)):
        busy = model(lambda messages, tools: RetryableError("busy"), retry=retry)
        assert "busy" in error_text(failures(ByEvents(busy), ONE, config=config))
        assert len(busy.connection.requests) == attempts


@pytest.mark.parametrize("sort", BOTH)
def test_a_request_that_takes_too_long_is_tried_again(sort: Any) -> None:
    class Slow(ScriptedChatModel):
        async def chat(self, *args: Any, **kwargs: Any) -> Any:
            response = await super().chat(*args, **kwargs)
            if len(self.requests) < 3:
                await asyncio.sleep(30)
            return response

    setup = model(connection=Slow(["at last"]), timeout=0.03, retry=QUICK)
    assert run(sort(setup), ONE) == ["at last"]
    assert len(setup.connection.requests) == 3


@pytest.mark.parametrize("sort", BOTH)
def test_a_failed_run_that_is_retried_asks_nothing_again_that_was_answered(
    sort: Any, store: str
) -> None:
    State.calls.append("broken")

    def script(messages: Any, tools: Any) -> Any:
        if not said_by_tools(messages):
            return wants("weather", city="Oslo")
        return TerminalError("down") if State.calls[0] == "broken" else "done"

    setup = model(script, tools=[weather])
    legs = Legs(store)

    async def test() -> list[Any]:
        async with legs.opened(sort(setup)) as job:
            run_ = await job.submit({}, key="a", id="i")
            assert await run_.wait() is RunStatus.FAILED
        State.calls[0] = "mended"
        legs.engine.retry(run_.id)
        async with legs.opened(sort(setup)) as job:
            return await results(await job.submit({}, key="a", id="i"))

    assert go(test) == ["done"]
    assert len(setup.connection.requests) == 3
    assert State.calls == ["mended", "Oslo"]
