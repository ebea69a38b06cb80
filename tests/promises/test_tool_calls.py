"""Tool calls: what a tool is given beside the model's arguments, and ends before its own."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel
from tests.promises.chat_support import BOTH, ByEvents, Inside, model, said_by_tools, wants
from tests.promises.legs import Legs, go, until
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

from perdure import InputEvent, RunStatus, action
from perdure.actions.chat import chat
from perdure.errors import ConfigurationError
from perdure.llm.events import ChatRequestEvent, ToolResponseEvent
from perdure.llm.message import Attachment, MessageRole, ToolCall
from perdure.llm.tool import InjectedArg, Tool, tool
from perdure.resource import ResourceType


def telling(messages: Any, tools: Any) -> Any:
    """Want the first tool called, then answer what it said."""
    return " ".join(said_by_tools(messages)) or wants(tools[0].name, x=1)


# Arguments that the model does not see


@tool(
    injected_args={
        "user": InjectedArg.from_short_term_memory("user"),
        "trace": InjectedArg.from_sensory_memory("trace"),
        "currency": InjectedArg.from_config("agent.currency"),
        "key": InjectedArg.from_key(),
        "run": InjectedArg.from_run_id(),
        "fixed": InjectedArg.constant(7),
        "absent": InjectedArg.from_short_term_memory("absent"),
    }
)
async def knows(
    x: int, user: str, trace: str, currency: str, key: str, run: str, fixed: int, absent: str = "-"
) -> str:
    """Tell what it was given."""
    return f"{x} {user} {trace} {currency} {key} {run} {fixed} {absent}"


class Remembers(ByEvents):
    def _begin(self, event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("user", "Ada")
        ctx.sensory_memory.set("trace", "t1")
        ctx.send_event(ChatRequestEvent("m", "hi"))


class RemembersInside(Inside):
    async def _go(self, event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("user", "Ada")
        ctx.sensory_memory.set("trace", "t1")
        await super()._go(event, ctx)


@pytest.mark.parametrize("sort", [Remembers, RemembersInside])
def test_a_tool_gets_what_the_model_does_not_see(sort: Any, store: str) -> None:
    setup = model(telling, tools=[knows])
    config = {"agent.currency": "EUR"}
    assert run(sort(setup), ONE, store=store, config=config) == ["1 Ada t1 EUR a r1 7 -"]
    (seen,) = setup.connection.requests[0].tools
    assert list(seen.parameters["properties"]) == ["x"]


@pytest.mark.parametrize("sort", BOTH)
def test_what_is_missing_fails_the_run_and_is_named(sort: Any) -> None:
    text = error_text(failures(sort(model(telling, tools=[knows])), ONE))
    assert "ConfigurationError: tool 'knows': the injected argument 'user' is missing" in text


def test_a_model_cannot_give_what_it_does_not_see() -> None:
    call = ToolCall(id="1", name="knows", arguments={"x": 1, "user": "Eve", "key": "b"})
    setup = model(lambda ms, _: " ".join(said_by_tools(ms)) or [call], tools=[knows])
    (said,) = run(Remembers(setup), ONE, config={"agent.currency": "EUR"})
    assert "Eve" not in said or said.startswith("Error: ")


def test_the_configuration_of_the_action_that_chats_is_at_hand() -> None:
    tool_ = Tool.from_callable(
        lambda x, style: f"{x} {style}", name="styled",
        injected_args={"style": InjectedArg.from_action_config("style")},
    )  # fmt: skip
    agent = Inside(None)
    vars(agent).pop("_added_actions")
    agent.add_action("go", InputEvent, agent._go, style="brief")
    agent.add_resource("m", ResourceType.CHAT_MODEL, model(telling, tools=[tool_]))
    assert run(agent, ONE) == ["1 brief"]


# What tools return


class Found(BaseModel):
    name: str


@dataclasses.dataclass
class Counted:
    count: int


async def finds(x: int) -> Found:
    """Find something."""
    return Found(name=await hold())


async def counts(x: int) -> Counted:
    """Count something."""
    await hold()
    return Counted(count=x)


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize(("func", "said"), [(finds, '{"name":"held"}'), (counts, '{"count":1}')])
def test_typed_results_survive_a_crash(sort: Any, func: Any, said: str, store: str) -> None:
    setup = model(telling, tools=[func])
    assert crash_and_resume(sort(setup), ONE, store=store) == [said]


@pytest.mark.parametrize("sort", BOTH)
def test_images_that_a_tool_returns_reach_the_model(sort: Any, store: str) -> None:
    image = Attachment(media_type="image/png", data=b"\x89", name="i.png")

    async def draws(x: int) -> list[Any]:
        return ["a cat", image]

    setup = model(telling, tools=[Tool.from_callable(draws)])
    assert run(sort(setup), ONE, store=store) == ["a cat\n[i.png]"]
    last = setup.connection.requests[-1].messages[-1]
    assert (last.role, last.attachments) == (MessageRole.TOOL, [image])


# Ends


async def slow(x: int) -> str:
    """Take long."""
    State.calls.append("began")
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        State.calls.append("cancelled")
        raise
    return "slow"


async def breaks(x: int) -> str:
    """Break."""
    while "began" not in State.calls:
        await asyncio.sleep(0.001)
    raise LookupError("broken")


@pytest.mark.usefixtures("no_noise")
@pytest.mark.parametrize("sort", BOTH)
def test_a_failing_tool_ends_the_others_of_its_turn(sort: Any, store: str) -> None:
    raising = Tool.from_callable(breaks, on_error="raise")
    setup = model(lambda ms, _: wants("breaks", "slow", "breaks", x=1), tools=[raising, slow])
    config = {"tool-call.parallelism": 3}
    text = error_text(failures(sort(setup), ONE, store=store, config=config))
    assert text == "LookupError: broken"
    assert State.calls == ["began", "cancelled"]


@pytest.mark.usefixtures("no_noise")
def test_a_chat_that_takes_too_long_is_given_up(store: str) -> None:
    async def hurries(event: Any, ctx: Any) -> None:
        try:
            async with asyncio.timeout(0.05):
                await chat(ctx, "m", "hi")
        except TimeoutError:
            out(ctx, "gave up")
            await ctx.durable_execute_async(asyncio.sleep, 0.01)

    setup = model(telling, tools=[slow])
    agent = agent_of(hurries).add_resource("m", ResourceType.CHAT_MODEL, setup)
    assert run(agent, ONE, store=store) == ["gave up"]
    assert State.calls == ["began", "cancelled"]


@pytest.mark.parametrize("sort", BOTH)
def test_a_cancelled_run_ends_its_tools(sort: Any, store: str) -> None:
    async def test() -> RunStatus:
        async with Legs(store).opened(sort(model(telling, tools=[slow]))) as job:
            run_ = await job.submit({}, key="a")
            await until(lambda: State.calls == ["began"])
            await run_.cancel()
            return await run_.wait()

    assert go(test) is RunStatus.CANCELLED
    assert State.calls == ["began", "cancelled"]


def test_a_model_that_no_job_opened_says_so() -> None:
    async def asks(event: Any, ctx: Any) -> None:
        with pytest.raises(ConfigurationError, match="chat_model 'ChatModel' is not open"):
            await chat(ctx, model(), "hi")
        out(ctx, "refused")

    assert run(agent_of(asks), ONE) == ["refused"]


@pytest.mark.usefixtures("no_noise")
def test_a_failing_tool_ends_the_others_though_the_action_goes_on(store: str) -> None:
    async def goes_on(event: Any, ctx: Any) -> None:
        with pytest.raises(LookupError):
            await chat(ctx, "m", "hi")
        await ctx.durable_execute_async(asyncio.sleep, 0.02)
        out(ctx, list(State.calls))

    raising = Tool.from_callable(breaks, on_error="raise")
    setup = model(lambda ms, _: wants("breaks", "slow", x=1), tools=[raising, slow])
    agent = agent_of(goes_on).add_resource("m", ResourceType.CHAT_MODEL, setup)
    config = {"tool-call.parallelism": 2}
    assert run(agent, ONE, store=store, config=config) == [["began", "cancelled"]]


def test_an_answer_of_tools_that_comes_again_begins_nothing_again(store: str) -> None:
    class Repeats(ByEvents):
        @action(ToolResponseEvent)
        def keep(self, event: ToolResponseEvent, ctx: Any) -> None:
            ctx.sensory_memory.set("id", event.request_id)

        def _end(self, event: Any, ctx: Any) -> None:
            super()._end(event, ctx)
            for request_id in (ctx.sensory_memory.get("id"), "unknown"):
                ctx.send_event(ToolResponseEvent(request_id=request_id, responses={}))

    setup = model(telling, tools=[Tool.from_callable(lambda x: f"got {x}", name="got")])
    assert run(Repeats(setup), ONE, store=store) == ["got 1"]
    assert len(setup.connection.requests) == 2
