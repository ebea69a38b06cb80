"""Chats: requests and responses by events, the loop of tools, output in a schema, fallbacks."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from tests.promises.chat_support import (
    BOTH,
    QUICK,
    TWO_ROUNDS,
    TimedModel,
    model,
    most_at_once,
    population,
    said_by_tools,
    two_rounds,
    wants,
    weather,
)
from tests.promises.support import (
    OFF,
    ONE,
    State,
    agent_of,
    config_of,
    error_text,
    failures,
    out,
    run,
)

from perdure import Agent, InputEvent, RetryPolicy, TerminalError, action
from perdure.actions.chat import chat
from perdure.llm.events import (
    ChatRequestEvent,
    ChatResponseEvent,
    ToolRequestEvent,
    ToolResponseEvent,
)
from perdure.llm.message import ChatMessage, ToolCall, Usage
from perdure.llm.tool import Tool
from perdure.resource import ResourceType

# Requests and responses


class Asks(Agent):
    """Sends several requests; the responses come with the ids of their requests."""

    @action(InputEvent)
    def begin(self, event: Any, ctx: Any) -> None:
        for text in event.input["texts"]:
            request = ChatRequestEvent("m", text)
            ctx.send_event(request)
            ctx.sensory_memory.set(f"asked.{request.id}", text)

    @action(ChatResponseEvent)
    def end(self, event: ChatResponseEvent, ctx: Any) -> None:
        asked = ctx.sensory_memory.get(f"asked.{event.request_id}")
        out(ctx, [asked, event.response.content, event.model, event.rounds])


def test_a_response_names_its_request(store: str) -> None:
    connection = TimedModel(lambda messages, tools: messages[-1].content.upper(), delay=0.05)
    agent = Asks().add_resource("m", ResourceType.CHAT_MODEL, model(connection=connection))
    inputs = [{"k": key, "texts": ["a", "b", "c"]} for key in "xy"]
    outputs = run(agent, inputs, store=store)
    expected = [[text, text.upper(), "m", 0] for text in ("a", "b", "c")]
    assert sorted(outputs) == sorted(expected * 2)
    assert most_at_once(connection.spans) == 6  # requests of one run, and of several, overlap


@pytest.mark.parametrize("sort", BOTH)
def test_prompt_arguments_and_messages_reach_the_model(sort: Any) -> None:
    setup = model(lambda messages, tools: "yes", prompt="You are {mood}.")
    messages = [ChatMessage.user("one"), ChatMessage.assistant("two"), "three"]
    run(sort(setup, prompt_args={"mood": "kind"}), [{"k": "a", "messages": messages}])
    (request,) = setup.connection.requests
    said = [(m.role.value, m.content) for m in request.messages]
    assert said == [
        ("system", "You are kind."), ("user", "one"), ("assistant", "two"), ("user", "three"),
    ]  # fmt: skip


def test_messages_may_be_one_and_must_be_messages() -> None:
    one = ChatMessage.user("one")
    assert ChatRequestEvent("m", one).messages == ChatRequestEvent("m", "one").messages == [one]
    for wrong in ({"role": "user"}, [{"role": "user", "content": "hi"}], [None], 5):
        with pytest.raises(TypeError, match=r"write ChatMessage\.user"):
            ChatRequestEvent("m", wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("sort", BOTH)
def test_an_unknown_model_fails_the_run_and_is_named(sort: Any) -> None:
    agent = sort(None).add_resource("mm", ResourceType.CHAT_MODEL, model())
    said = error_text(failures(agent, ONE))
    assert "there is no chat_model 'm': did you mean 'mm'?" in said


# Tools


@pytest.mark.parametrize("sort", BOTH)
def test_tools_are_called_until_the_model_answers(sort: Any, store: str) -> None:
    turns = {0: wants("weather", "population", city="Oslo"), 2: wants("weather", city="Rome")}

    def script(messages: Any, tools: Any) -> Any:
        said = said_by_tools(messages)
        return turns.get(len(said)) or " and ".join(said)

    setup = model(script, tools=[weather, population])
    show = lambda event: [event.response.content, event.rounds, event.usage.requests]  # noqa: E731
    assert run(sort(setup, show), ONE, store=store) == [
        ["sunny in Oslo and 400 and sunny in Rome", 2, 3]
    ]
    last = setup.connection.requests[-1].messages
    assert [(m.role.value, m.tool_call_id, m.tool_name) for m in last][1:4] == [
        ("assistant", None, None), ("tool", "c0", "weather"), ("tool", "c1", "population"),
    ]  # fmt: skip
    assert [t.name for t in setup.connection.requests[0].tools] == ["weather", "population"]
    assert sorted(State.calls) == ["Oslo", "Oslo", "Rome"]


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize("parallelism", [1, 3])
def test_tools_of_one_turn_overlap_up_to_the_parallelism(sort: Any, parallelism: int) -> None:
    inside = {"now": 0, "most": 0}

    async def slow(n: int) -> int:
        inside["now"] += 1
        inside["most"] = max(inside["most"], inside["now"])
        await asyncio.sleep(0.02)
        inside["now"] -= 1
        return n

    calls = [ToolCall(id=str(n), name="slow", arguments={"n": n}) for n in range(7)]
    setup = model(lambda messages, tools: ",".join(said_by_tools(messages)) or calls, tools=[slow])
    outputs = run(sort(setup), ONE, config={"tool-call.parallelism": parallelism})
    assert outputs == ["0,1,2,3,4,5,6"]
    assert inside["most"] == parallelism


def fails(kind: str) -> str:
    """Fail."""
    State.calls.append(kind)
    if kind == "terminal":
        raise TerminalError("no such thing")
    raise LookupError(f"nothing under {kind}")


@pytest.mark.parametrize("sort", BOTH)
def test_what_goes_wrong_with_a_tool_is_told_to_the_model(sort: Any, store: str) -> None:
    calls = [
        ToolCall(id="1", name="wether", arguments={"city": "X"}),
        ToolCall(id="2", name="weather", arguments={"town": "X"}),
        ToolCall(id="3", name="weather", arguments="{no json"),
        ToolCall(id="4", name="fails", arguments={"kind": "x"}),
        ToolCall(id="5", name="fails", arguments={"kind": "terminal"}),
        ToolCall(id="6", name="weather", arguments={"city": "Oslo"}),
    ]
    setup = model(lambda messages, tools: said_by_tools(messages) or calls, tools=[weather, fails])
    ((unknown, unfit, no_json, failed, terminal, good),) = map(
        json.loads, run(sort(setup), ONE, store=store)
    )
    assert unknown == "Error: there is no tool 'wether'; there are: weather, fails"
    assert unfit.startswith("Error: ")
    assert "city" in unfit
    assert no_json == "Error: the arguments are no JSON object: {no json"
    assert failed == "Error: LookupError: nothing under x"
    assert terminal == "Error: TerminalError: no such thing"
    assert good == "sunny in Oslo"
    assert sorted(State.calls) == ["Oslo", "terminal", "x"]  # they overlap, some on threads


@pytest.mark.parametrize("sort", BOTH)
def test_a_tool_may_fail_the_run_instead(sort: Any) -> None:
    raising = Tool.from_callable(fails, on_error="raise")
    calls = [*wants("fails", kind="x"), ToolCall(id="2", name="weather", arguments={"city": "y"})]
    setup = model(lambda messages, tools: calls, tools=[raising, weather])
    assert error_text(failures(sort(setup), ONE)) == "LookupError: nothing under x"
    assert len(setup.connection.requests) == 1


@pytest.mark.parametrize("sort", BOTH)
def test_a_tool_is_tried_again_as_it_says(sort: Any) -> None:
    async def flaky(n: int) -> int:
        State.calls.append(n)
        if len(State.calls) < 3:
            raise ConnectionError("not yet")
        return n

    async def hangs(n: int) -> int:
        await asyncio.sleep(30)
        return n

    tools = [
        Tool.from_callable(flaky, retry=QUICK),
        Tool.from_callable(hangs, timeout=0.02, retry=RetryPolicy(max_attempts=1)),
    ]
    setup = model(
        lambda messages, _: " | ".join(said_by_tools(messages)) or wants("flaky", "hangs", n=7),
        tools=tools,
    )
    (said,) = run(sort(setup), ONE)
    assert said.startswith("7 | Error: TimeoutError")
    assert State.calls == [7, 7, 7]


def test_calls_without_ids_or_with_the_same_are_told_apart() -> None:
    calls = [ToolCall(id="", name="weather", arguments={"city": c}) for c in ("A", "B")]
    calls += [ToolCall(id="x", name="weather", arguments={"city": c}) for c in ("C", "D")]
    setup = model(lambda ms, _: ", ".join(said_by_tools(ms)) or calls, tools=[weather])
    for sort in BOTH:
        assert run(sort(setup), ONE) == ["sunny in A, sunny in B, sunny in C, sunny in D"]
    ids = [m.tool_call_id for m in setup.connection.requests[-1].messages if m.tool_call_id]
    assert len(set(ids)) == 4


def test_tools_are_called_without_a_model_too(store: str) -> None:
    class Calls(Agent):
        @action(InputEvent)
        def begin(self, event: Any, ctx: Any) -> None:
            request = ToolRequestEvent(
                tool_calls=[
                    ToolCall(id="1", name="weather", arguments={"city": "Oslo"}),
                    ToolCall(id="2", name="nothing", arguments={}),
                ]
            )
            ctx.send_event(request)
            ctx.sensory_memory.set("id", request.id)

        @action(ToolResponseEvent)
        def end(self, event: ToolResponseEvent, ctx: Any) -> None:
            assert event.request_id == ctx.sensory_memory.get("id")
            out(ctx, [[r.name, r.success, r.result, r.error] for r in event.responses.values()])

    agent = Calls().add_resource("weather", ResourceType.TOOL, weather)
    ((found, missing),) = run(agent, ONE, store=store)
    assert found == ["weather", True, "sunny in Oslo", None]
    assert missing[:3] == ["nothing", False, None]
    assert "there is no tool 'nothing'" in missing[3]


def test_calls_of_ones_own_that_share_an_id_are_refused_before_one_is_made() -> None:
    class Calls(Agent):
        @action(InputEvent)
        def begin(self, event: Any, ctx: Any) -> None:
            calls = [ToolCall(id="", name="weather", arguments={"city": c}) for c in ("A", "B")]
            ctx.send_event(ToolRequestEvent(tool_calls=calls))

    agent = Calls().add_resource("weather", ResourceType.TOOL, weather)
    assert "two of its tool_calls have the id ''" in error_text(failures(agent, ONE))
    assert State.calls == []


# Bounds


@pytest.mark.parametrize("sort", BOTH)
def test_rounds_are_bounded(sort: Any) -> None:
    setup = model(lambda messages, tools: wants("weather", city="X"), tools=[weather], max_rounds=3)
    said = error_text(failures(sort(setup), ONE))
    assert said.startswith("perdure.errors.ChatLimitError: chat model 'm' wants tools called after")
    assert "3 rounds" in said
    assert State.calls == ["X"] * 3
    assert len(setup.connection.requests) == 4


@pytest.mark.parametrize("sort", BOTH)
def test_tokens_are_bounded(sort: Any) -> None:
    answer = dataclasses.replace(
        ChatMessage.assistant("", wants("weather", city="X")),
        usage=Usage(input_tokens=40, output_tokens=10),
    )
    setup = model(lambda messages, tools: answer, tools=[weather], token_budget=100)
    said = error_text(failures(sort(setup), ONE))
    assert "ChatLimitError: chat model 'm': the chat has taken 100 tokens" in said
    assert len(setup.connection.requests) == 2


# Inside an action


async def asks_twice(event: Any, ctx: Any) -> None:
    answers = await asyncio.gather(*(chat(ctx, "m", text) for text in ("a", "b", "c")))
    out(ctx, [each.response.content for each in answers])


def test_chats_inside_an_action_overlap(store: str) -> None:
    connection = TimedModel(
        lambda messages, tools: (
            said_by_tools(messages) or wants("weather", city=messages[0].content)
        ),
        delay=0.03,
    )
    setup = model(connection=connection, tools=[weather])
    agent = agent_of(asks_twice).add_resource("m", ResourceType.CHAT_MODEL, setup)
    assert run(agent, ONE, store=store) == [['["sunny in a"]', '["sunny in b"]', '["sunny in c"]']]
    assert most_at_once(connection.spans) == 3


def test_chats_work_without_continuations(store: str) -> None:
    setup = model(two_rounds, tools=[weather, population])
    for sort in BOTH:
        inputs = [{"k": "a", "sort": sort.__name__}]
        found = run(sort(setup), inputs, store=store, config=config_of(OFF), id="sort")
        assert found == [f"hi: {TWO_ROUNDS}"]


def test_a_setup_can_be_passed_as_it_is() -> None:
    setup = model(["direct"])

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, (await chat(ctx, setup, "hi")).response.content)

    agent = agent_of(go).add_resource("m", ResourceType.CHAT_MODEL, setup)
    assert run(agent, ONE) == ["direct"]
