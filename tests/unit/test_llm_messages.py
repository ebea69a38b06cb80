"""Conversations to Pydantic AI's form and back, with what a provider needs returned to it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from perdure.integrations.llm_messages import (
    KEPT,
    from_response,
    split_reasoning,
    to_model_messages,
)
from perdure.llm.message import Attachment, ChatMessage, ToolCall


def converted(*messages: ChatMessage) -> list[Any]:
    return to_model_messages(messages)[0]


def dumped(response: Any) -> Any:
    """A response as plain data, without what is kept elsewhere."""
    found = ModelMessagesTypeAdapter.dump_python([response], mode="json")[0]
    del found["usage"]
    return found


def test_messages_between_two_answers_become_one_request() -> None:
    call = ToolCall(id="c1", name="search", arguments={"q": "x"})
    made = converted(
        ChatMessage.system("Be brief."),
        ChatMessage.user("Find x."),
        ChatMessage.assistant("I look.", [call]),
        ChatMessage.tool("found", call=call),
        ChatMessage.user("And?"),
    )
    assert [type(each) for each in made] == [ModelRequest, ModelResponse, ModelRequest]
    system, user = made[0].parts
    assert isinstance(system, SystemPromptPart)
    assert isinstance(user, UserPromptPart)
    assert (system.content, user.content) == ("Be brief.", "Find x.")
    text, wish = made[1].parts
    assert (text.content, wish.tool_name, wish.args, wish.tool_call_id) == (
        "I look.",
        "search",
        {"q": "x"},
        "c1",
    )
    result, user = made[2].parts
    assert isinstance(result, ToolReturnPart)
    assert (result.tool_name, result.content, result.tool_call_id) == ("search", "found", "c1")


def test_a_tool_message_without_a_name_gets_that_of_its_call() -> None:
    call = ToolCall(id="c1", name="search", arguments={})
    answer = ChatMessage(role="tool", content="found", tool_call_id="c1")
    made = converted(ChatMessage.user("x"), ChatMessage.assistant("", [call]), answer)
    assert made[2].parts[0].tool_name == "search"


def test_attachments() -> None:
    made = converted(
        ChatMessage.user(
            "Look.",
            Attachment(media_type="image/png", data=b"png"),
            Attachment(media_type="image/jpeg", url="https://example.com/a"),
            Attachment(media_type="application/pdf", url="https://example.com/b"),
        )
    )
    text, data, image, document = made[0].parts[0].content
    assert text == "Look."
    assert isinstance(data, BinaryContent)
    assert (data.data, data.media_type) == (b"png", "image/png")
    assert isinstance(image, ImageUrl)
    assert (image.url, image.media_type) == ("https://example.com/a", "image/jpeg")
    assert isinstance(document, DocumentUrl)
    assert document.media_type == "application/pdf"


def test_a_tool_may_return_an_image() -> None:
    image = Attachment(media_type="image/png", data=b"png")
    call = ToolCall(id="c", name="draw", arguments={})
    answer = ChatMessage(
        role="tool", content="drawn", attachments=[image], tool_call_id="c", tool_name="draw"
    )
    made, unusual = to_model_messages([ChatMessage.assistant("", [call]), answer])
    assert unusual
    text, picture = made[1].parts[0].content
    assert (text, picture.data) == ("drawn", b"png")


@pytest.mark.parametrize(
    ("messages", "unusual"),
    [
        ([ChatMessage.system("a"), ChatMessage.system("b"), ChatMessage.user("c")], False),
        ([ChatMessage.user("c"), ChatMessage.system("a")], True),
        ([ChatMessage.user("c"), ChatMessage.assistant("a")], False),
    ],
)
def test_late_system_messages_need_preparation(messages: list[ChatMessage], unusual: bool) -> None:
    assert to_model_messages(messages)[1] is unusual


def test_a_plain_response_keeps_nothing_besides() -> None:
    response = ModelResponse(
        [TextPart("Hello."), ToolCallPart("search", '{"q": "x"}', "c1")],
        usage=RequestUsage(input_tokens=7, output_tokens=2, cache_read_tokens=3),
        model_name="some-model",
        finish_reason="stop",
    )
    message = from_response(response, cost=0.25)
    assert message.content == "Hello."
    assert message.tool_calls == [ToolCall(id="c1", name="search", arguments={"q": "x"})]
    assert message.model == "some-model"
    assert message.usage is not None
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 2)
    assert (message.usage.cache_read_tokens, message.usage.cost) == (3, 0.25)
    assert message.extra_args == {}


@pytest.mark.parametrize(
    ("args", "arguments"),
    [
        (None, {}),
        ("", {}),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": ', '{"a": '),
        ("[1]", "[1]"),
    ],
)
def test_arguments_that_are_no_object_stay_text(args: Any, arguments: Any) -> None:
    message = from_response(ModelResponse([ToolCallPart("search", args, "c1")]))
    assert message.tool_calls[0].arguments == arguments


@pytest.mark.parametrize(
    "parts",
    [
        [ThinkingPart("hm", signature="s", provider_name="anthropic"), TextPart("yes")],
        [ThinkingPart("", id="rs_1", signature="enc", provider_name="openai"), TextPart("yes")],
        [TextPart("yes", id="msg_1", provider_name="openai")],
        [
            ToolCallPart(
                "search", '{"q": "x"}', "c1", provider_name="google", provider_details={"sig": "s"}
            )
        ],
        [
            NativeToolCallPart("web_search", {"q": "x"}, "w1", provider_name="anthropic"),
            NativeToolReturnPart("web_search", [{"url": "u"}], "w1", provider_name="anthropic"),
            TextPart("yes"),
        ],
    ],
    ids=["signature", "encrypted", "id", "tool call", "native tool"],
)
def test_what_a_provider_needs_back_goes_back_exactly(parts: list[Any]) -> None:
    response = ModelResponse(
        parts,
        usage=RequestUsage(input_tokens=7),
        model_name="m",
        provider_name="anthropic",
        provider_response_id="r1",
        finish_reason="stop",
    )
    message = from_response(response)
    assert isinstance(message.extra_args[KEPT], str)
    (restored,) = converted(message)
    assert dumped(restored) == dumped(response)


@pytest.mark.parametrize("given", [("c", "c"), ("", "")])
def test_calls_of_a_kept_response_have_the_ids_that_their_results_refer_to(given: Any) -> None:
    parts = [ToolCallPart("f", {"a": n}, id_) for n, id_ in enumerate(given)]
    message = from_response(ModelResponse([ThinkingPart("hm", id="rs_1"), *parts]))
    assert KEPT in message.extra_args
    message.tool_calls = [
        ToolCall(id=f"c_{n}", name=call.name, arguments=call.arguments)
        for n, call in enumerate(message.tool_calls)
    ]
    results = [ChatMessage.tool("ok", call=call) for call in message.tool_calls]
    restored, answers = converted(message, *results)
    assert [part.tool_call_id for part in restored.parts[1:]] == ["c_0", "c_1"]
    assert [part.tool_call_id for part in answers.parts] == ["c_0", "c_1"]


def test_reasoning_without_a_signature_is_not_sent_back() -> None:
    message = from_response(ModelResponse([ThinkingPart("hm"), TextPart("yes")]))
    assert (message.reasoning, message.content, message.extra_args) == ("hm", "yes", {})
    (restored,) = converted(message)
    assert [part.content for part in restored.parts] == ["yes"]


def test_texts_are_joined_and_told_apart_where_something_stands_between() -> None:
    response = ModelResponse(
        [TextPart("a"), TextPart("b"), ToolCallPart("t", {}, "c"), TextPart("d")]
    )
    assert from_response(response).content == "ab\n\nd"


def test_files_that_a_model_makes_are_attachments() -> None:
    response = ModelResponse([FilePart(BinaryContent(data=b"png", media_type="image/png"))])
    message = from_response(response)
    assert message.attachments == [Attachment(media_type="image/png", data=b"png")]
    (restored,) = converted(message)
    assert restored.parts[0].content.data == b"png"


def test_an_unusual_end_is_told() -> None:
    assert from_response(ModelResponse([TextPart("a")], finish_reason="length")).extra_args == {
        "finish_reason": "length"
    }


@pytest.mark.parametrize(
    ("text", "rest", "reasoning"),
    [
        ("plain < text", "plain < text", None),
        ("<think>hm</think>\nyes", "yes", "hm"),
        ("<THINK>a</THINK> x <think>b</think>", "x", "a\n\nb"),
        ("<analysis>hm</analysis>yes", "yes", "hm"),
        ("<reasoning>\nhm\n</reasoning>\n\nyes", "yes", "hm"),
        ("```think\nhm\n```\nyes", "yes", "hm"),
        ("```python\nx = 1\n```", "```python\nx = 1\n```", None),
        ("<think>never closed", "<think>never closed", None),
        ("<think></think>yes", "yes", None),
        ("<b>bold</b>", "<b>bold</b>", None),
    ],
)
def test_marked_reasoning_is_taken_out(text: str, rest: str, reasoning: str | None) -> None:
    assert split_reasoning(text) == (rest, reasoning)
    response = ModelResponse([TextPart(text)])
    assert (from_response(response).content, from_response(response).reasoning) == (rest, reasoning)
    assert from_response(response, extract_reasoning=False).content == text
