"""ScriptedChatModel and ScriptedEmbeddingModel: doubles that depend on what they are asked."""

from __future__ import annotations

import asyncio
import inspect
import math
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.llm.chat_model import answered
from perdure.llm.message import ChatDelta, ChatMessage, ToolCall, Usage
from perdure.llm.tool import Tool
from perdure.testing.request_log import RequestLog
from perdure.testing.scripted_chat import ScriptedChatModel
from perdure.testing.scripted_embedding import ScriptedEmbeddingModel, word_embedding

CALL = ToolCall(id="c1", name="search", arguments={"q": "x"})
ASKED = ChatMessage.user("find x")


def asked(scripted: ScriptedChatModel, *messages: ChatMessage, **kwargs: Any) -> ChatMessage:
    return asyncio.run(answered(scripted.chat, messages, **kwargs))


def test_a_list_is_answered_by_the_place_in_the_conversation() -> None:
    model = ScriptedChatModel([CALL, "found it"])
    wish = asked(model, ASKED)
    assert wish.tool_calls == [CALL]
    result = ChatMessage.tool("x is here", call=CALL)
    assert asked(model, ASKED, wish, result).content == "found it"
    # The order in which conversations come does not matter, nor how often.
    assert asked(model, ChatMessage.user("another")).tool_calls == [CALL]
    assert asked(model, ASKED, wish, result).content == "found it"


def test_a_conversation_that_goes_on_too_long_is_told_so() -> None:
    model = ScriptedChatModel(["only"])
    with pytest.raises(TerminalError, match="1 answers, and this conversation wants number 2"):
        asked(model, ASKED, ChatMessage.assistant("only"), ASKED)


def test_a_list_in_the_list_is_for_attempts() -> None:
    model = ScriptedChatModel([[RetryableError("busy", 1.0), "done"]])
    with pytest.raises(RetryableError, match="busy"):
        asked(model, ASKED)
    with pytest.raises(RetryableError, match="busy"):
        asked(model, ChatMessage.user("another"))
    assert asked(model, ASKED).content == "done"
    assert asked(model, ASKED).content == "done"


def test_a_function_sees_messages_and_tools() -> None:
    tool = Tool(print, name="search")

    def script(messages: Any, tools: Any) -> Any:
        return f"{messages[-1].content} with {[each.name for each in tools]}"

    assert asked(ScriptedChatModel(script), ASKED, tools=[tool]).content == (
        "find x with ['search']"
    )


@pytest.mark.parametrize(
    ("answer", "content", "calls"),
    [
        ("text", "text", []),
        ([CALL], "", [CALL]),
        ({"steps": 3}, '{"steps": 3}', []),
        (ChatMessage.assistant("said"), "said", []),
    ],
)
def test_answers_of_several_kinds(answer: Any, content: str, calls: list[ToolCall]) -> None:
    message = asked(ScriptedChatModel(lambda messages, tools: answer), ASKED)
    assert (message.content, message.tool_calls) == (content, calls)


def test_usage_is_counted_unless_the_script_says_it() -> None:
    message = asked(ScriptedChatModel(["one two three"]), ASKED)
    assert message.usage == Usage(input_tokens=2, output_tokens=3)
    said = Usage(input_tokens=100, cost=0.5)
    script = [ChatMessage(role="assistant", content="x", usage=said, model="m")]
    assert asked(ScriptedChatModel(script), ASKED).usage == said


def test_requests_are_recorded() -> None:
    model = ScriptedChatModel(["a", "b"])
    asked(model, ASKED, model="m", temperature=0.5)
    (request,) = model.requests
    assert request.messages == (ASKED,)
    assert request.settings == {"model": "m", "temperature": 0.5}
    asked(model, ASKED, model="m", temperature=0.5)
    asked(model, ASKED, model="m", temperature=0.6)
    digests = [each.digest for each in model.requests]
    assert digests[0] == digests[1] != digests[2]


def test_the_log_outlives_the_model(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    asked(ScriptedChatModel(["a"], log=path), ASKED)
    asked(ScriptedChatModel(["a"], log=path), ASKED)
    log = RequestLog(path)
    log.close()
    assert [entry["status"] for entry in log.requests()] == [200, 200]
    assert len(log.repeated()) == 1


def test_a_blocking_one_is_a_plain_function() -> None:
    model = ScriptedChatModel(["a"], blocking=True)
    assert not inspect.iscoroutinefunction(model.chat)
    assert inspect.iscoroutinefunction(ScriptedChatModel(["a"]).chat)
    assert asked(model, ASKED).content == "a"


def test_it_streams_words() -> None:
    pieces: list[ChatDelta] = []
    model = ScriptedChatModel(["one two"])
    message = asyncio.run(model.chat_stream([ASKED], emit=pieces.append))
    assert [piece.text for piece in pieces] == ["one", " two"]
    assert message.content == "one two"


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_texts_that_share_words_are_near() -> None:
    red, also_red, blue = (
        word_embedding(text)
        for text in ("a big red apple", "the apple is big and red", "seven swans a-swimming")
    )
    assert math.isclose(cosine(red, red), 1.0)
    assert cosine(red, also_red) > 0.5 > cosine(red, blue)


def test_embeddings_are_the_same_everywhere() -> None:
    assert word_embedding("Apple!", 8) == [-0.5, 0.0, -0.5, 0.0, -0.5, 0.5, 0.0, 0.0]
    assert word_embedding("...", 4) == [1.0, 0.0, 0.0, 0.0]


def test_an_embedding_connection() -> None:
    model = ScriptedEmbeddingModel(16)
    found = asyncio.run(model.embed(["a", "b"], model="any"))
    assert found == [word_embedding("a", 16), word_embedding("b", 16)]
    assert len(asyncio.run(model.embed(["a"], dimensions=4))[0]) == 4
    assert model.requests == [["a", "b"], ["a"]]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("Found.", "'Found.' is neither"),
        (b"Found.", "is neither"),
        ({"a": 1}, "is neither"),
        (None, "None is neither"),
        (["one", []], "answer 2 of a script is a list without an answer"),
    ],
)
def test_what_is_no_script_is_refused(script: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        ScriptedChatModel(script)
