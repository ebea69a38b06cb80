"""Streaming: a listener is told the pieces; they change no outcome and are not journaled."""

from __future__ import annotations

import dataclasses
import logging
import threading
from typing import Any

import pytest
from tests.promises.chat_support import (
    BOTH,
    QUICK,
    ByEvents,
    Inside,
    model,
    said_by_tools,
    wants,
    weather,
)
from tests.promises.support import ONE, crash_and_resume, hold, out, run

from perdure import RetryableError
from perdure.actions.chat import chat
from perdure.llm.chat_model import BaseChatModelConnection, ChatModel
from perdure.llm.events import ChatRequestEvent
from perdure.llm.message import ChatDelta, ChatMessage
from perdure.resource import ResourceType
from perdure.testing.scripted_chat import ScriptedChatModel


def text(deltas: list[ChatDelta]) -> str:
    return "".join(delta.text for delta in deltas)


@pytest.mark.parametrize("sort", BOTH)
def test_the_pieces_make_up_the_response_and_the_last_says_so(sort: Any, store: str) -> None:
    deltas: list[ChatDelta] = []
    threads: set[int] = set()

    def listen(delta: ChatDelta) -> None:
        deltas.append(delta)
        threads.add(threading.get_ident())

    answer = dataclasses.replace(ChatMessage.assistant("it is sunny"), reasoning="hm")
    outputs = run(sort(model([answer], stream=listen)), [{"k": "b"}], store=store)
    assert outputs == ["it is sunny"]
    assert text(deltas) == "it is sunny"
    assert deltas[0].reasoning == "hm"
    assert [delta.done for delta in deltas] == [False] * 4 + [True]
    assert deltas[-1].text == ""
    assert {(d.model, d.key, d.run_id) for d in deltas} == {("m", "b", "r1")}
    assert threads == {threading.get_ident()}


def test_the_pieces_name_their_request() -> None:
    deltas: list[ChatDelta] = []
    asked: list[str] = []

    class Two(ByEvents):
        def _begin(self, event: Any, ctx: Any) -> None:
            for word in ("one", "two"):
                request = ChatRequestEvent("m", word)
                ctx.send_event(request)
                asked.append(request.id)

    setup = model(lambda messages, tools: f"said {messages[0].content}", stream=deltas.append)
    assert sorted(run(Two(setup), ONE)) == ["said one", "said two"]
    said = {id_: text([d for d in deltas if d.request_id == id_]) for id_ in asked}
    assert list(said.values()) == ["said one", "said two"]


@pytest.mark.parametrize("sort", BOTH)
def test_a_listener_that_raises_changes_nothing(
    sort: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def listen(delta: ChatDelta) -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        assert run(sort(model(["it is sunny"], stream=listen)), ONE) == ["it is sunny"]
    assert "the stream listener of chat model 'm' failed" in caplog.text


@pytest.mark.parametrize("sort", BOTH)
def test_each_request_of_a_loop_is_streamed(sort: Any) -> None:
    deltas: list[ChatDelta] = []

    def script(messages: Any, tools: Any) -> Any:
        if said_by_tools(messages):
            return "it is done"
        return ChatMessage.assistant("let me look", wants("weather", city="X"))

    run(sort(model(script, tools=[weather], stream=deltas.append)), ONE)
    assert text(deltas) == "let me lookit is done"
    assert sum(delta.done for delta in deltas) == 2


def test_a_replay_streams_no_finished_response_again(store: str) -> None:
    deltas: list[ChatDelta] = []
    setup = model(lambda messages, tools: f"to {messages[0].content}", stream=deltas.append)

    class Crashes(Inside):
        async def _go(self, event: Any, ctx: Any) -> None:
            first = await chat(ctx, "m", "one")
            await ctx.durable_execute_async(hold)
            second = await chat(ctx, "m", "two")
            out(ctx, [first.response.content, second.response.content])

    assert crash_and_resume(Crashes(setup), ONE, store=store) == [["to one", "to two"]]
    assert text(deltas) == "to oneto two"
    assert [delta.done for delta in deltas].count(True) == 2


def test_a_response_that_is_asked_for_again_comes_again() -> None:
    deltas: list[ChatDelta] = []

    class Breaks(ScriptedChatModel):
        async def chat_stream(self, *args: Any, emit: Any, **kwargs: Any) -> Any:
            response = await super().chat_stream(*args, emit=emit, **kwargs)
            if len(self.requests) == 1:
                raise RetryableError("cut", 0.01)
            return response

    setup = model(connection=Breaks(["one two"]), stream=deltas.append, retry=QUICK)
    assert run(ByEvents(setup), ONE) == ["one two"]
    assert text(deltas) == "one twoone two"
    assert sum(delta.done for delta in deltas) == 1


def test_a_connection_that_cannot_stream_gives_one_piece() -> None:
    class Plain(BaseChatModelConnection):
        def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> ChatMessage:
            return ChatMessage.assistant("all at once")

    deltas: list[ChatDelta] = []
    setup = ChatModel("x", connection=Plain(), stream=deltas.append)
    assert run(ByEvents(setup), ONE) == ["all at once"]
    assert [delta.text for delta in deltas] == ["all at once", ""]


def test_what_a_fallback_says_is_streamed_to_the_model_that_was_asked() -> None:
    deltas: list[ChatDelta] = []
    other = model(["from another"])
    setup = model([LookupError("down")], stream=deltas.append, fallbacks=["other"])
    agent = ByEvents(setup).add_resource("other", ResourceType.CHAT_MODEL, other)
    assert run(agent, ONE) == ["from another"]
    assert text(deltas) == "from another"
    assert {delta.model for delta in deltas} == {"m"}
