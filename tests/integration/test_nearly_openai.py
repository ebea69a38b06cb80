"""Servers that nearly speak OpenAI's Chat Completions, and streams that break off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from perdure import ChatModel, LocalEngine, ReActAgent, RetryableError, RetryPolicy
from perdure.integrations.llm import ChatConnection
from perdure.llm.message import ChatMessage, ToolCall
from perdure.llm.tool import Tool
from perdure.testing.model_server import Answer, ModelRequest, ScriptedModelServer

pytestmark = pytest.mark.usefixtures("no_blocking")

HEAD = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
DONE = "[DONE]"
NAMELESS = {"index": 0, "id": "1", "type": "function", "function": None}
LIST = Tool(print, name="ls", description="List files.")


def whole(message: Any, reason: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {**HEAD, "choices": [choice], "usage": USAGE, **more}


def said(**more: Any) -> dict[str, Any]:
    return whole({"role": "assistant", "content": "hi"}, **more)


def piece(delta: Any, reason: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice], **more}


def call(arguments: Any, **more: Any) -> dict[str, Any]:
    function = {"name": "ls", "arguments": arguments}
    found = {"id": "1", "type": "function", "function": function, **more}
    return {key: value for key, value in found.items() if value != "left out"}


def wish(*calls: Any) -> dict[str, Any]:
    return whole({"role": "assistant", "content": None, "tool_calls": [*calls]}, "tool_calls")


@pytest.fixture
def script() -> dict[str, Any]:
    return {}


@pytest.fixture
def url(script: dict[str, Any]) -> Iterator[str]:
    with ScriptedModelServer(lambda request: Answer(body=script["body"])) as server:
        yield server.url


def asked(url: str, *, stream: bool = False) -> ChatMessage:
    async def main() -> ChatMessage:
        connection = ChatConnection("some-model", base_url=url)
        await connection.open()
        try:
            messages = [ChatMessage.user("go")]
            if stream:
                return await connection.chat_stream(messages, [LIST], emit=lambda delta: None)
            return await connection.chat(messages, [LIST])
        finally:
            await connection.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        said(id=None),
        said(id=17),
        said(object=None),
        said(created=1_700_000_000_000_000_000),
        said(created="yesterday"),
        said(object="text_completion"),
        said(created=None),
        said(created=1.5),
        said(created="2026-01-01"),
        said(model=None),
        said(system_fingerprint=5),
        said(usage=None),
        said(usage={}),
        said(usage={"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}),
        said(reason=None),
        said(reason=""),
        said(reason="eos"),
        whole({"role": None, "content": "hi"}),
        whole({"role": "model", "content": [{"type": "text", "text": "hi"}]}),
        whole({"content": "hi", "annotations": [{"type": "x"}], "audio": {}}),
        {"choices": [{"message": {"content": "hi"}}]},
    ],
)
def test_what_is_null_missing_or_of_another_type_is_no_failure(
    script: dict[str, Any], url: str, body: Any
) -> None:
    script["body"] = body
    message = asked(url)
    assert (message.content, message.tool_calls) == ("hi", [])
    assert message.model in ("m", "some-model")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5}, (5, 0)),
        ({"prompt_tokens": "5", "completion_tokens": "2", "total_tokens": "7"}, (5, 2)),
        ({"prompt_tokens": 5.0, "completion_tokens": 2.5, "total_tokens": 7.5}, (5, 2)),
        ({**USAGE, "completion_tokens_details": {"reasoning_tokens": None}}, (5, 2)),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_is_partly_told(
    script: dict[str, Any], url: str, usage: Any, tokens: Any, stream: bool
) -> None:
    script["body"] = (
        [piece({"content": "hi"}), piece({}, "stop", usage=usage), DONE]
        if stream
        else said(usage=usage)
    )
    found = asked(url, stream=stream).usage
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == tokens


@pytest.mark.parametrize(
    ("given", "arguments"),
    [('{"a": 1}', {"a": 1}), ({"a": 1}, {"a": 1}), (None, {}), ("", {})],
)
@pytest.mark.parametrize("stream", [False, True])
def test_arguments_of_all_forms(
    script: dict[str, Any], url: str, given: Any, arguments: Any, stream: bool
) -> None:
    script["body"] = (
        [piece({"tool_calls": [{"index": 0, **call(given)}]}), piece({}, "tool_calls"), DONE]
        if stream
        else wish(call(given))
    )
    assert asked(url, stream=stream).tool_calls == [
        ToolCall(id="1", name="ls", arguments=arguments)
    ]


def test_arguments_that_are_no_object_stay_text(script: dict[str, Any], url: str) -> None:
    script["body"] = wish(call([1]))
    assert asked(url).tool_calls == [ToolCall(id="1", name="ls", arguments="[1]")]


@pytest.mark.parametrize(
    "odd",
    [
        call("{}", id=None),
        call("{}", id="left out"),
        call("{}", id=7),
        call("{}", type=None),
        call("{}", type="left out"),
        call("{}", type="tool"),
        {"name": "ls", "arguments": {}},
    ],
)
def test_calls_with_odd_ids_and_types(script: dict[str, Any], url: str, odd: Any) -> None:
    script["body"] = wish(odd)
    (found,) = asked(url).tool_calls
    assert (found.name, found.arguments) == ("ls", {})
    assert isinstance(found.id, str)
    assert found.id


def test_a_call_in_the_former_way(script: dict[str, Any], url: str) -> None:
    former = {"name": "ls", "arguments": '{"a": 1}'}
    script["body"] = whole({"content": None, "function_call": former}, "function_call")
    (found,) = asked(url).tool_calls
    assert (found.name, found.arguments) == ("ls", {"a": 1})


def test_a_streamed_call_in_the_former_way(script: dict[str, Any], url: str) -> None:
    empty = {"name": None, "arguments": ""}
    script["body"] = [
        piece({"content": "I look.", "function_call": empty}),
        piece({"function_call": {"name": "ls"}}),
        piece({"function_call": {"arguments": '{"a"'}}),
        piece({"function_call": {"arguments": ": 1}"}}),
        piece({}, "function_call"), DONE,
    ]  # fmt: skip
    (found,) = asked(url, stream=True).tool_calls
    assert (found.name, found.arguments) == ("ls", {"a": 1})
    script["body"] = [piece({"content": "hi", "function_call": empty}), piece({}, "stop"), DONE]
    assert asked(url, stream=True).tool_calls == []


@pytest.mark.parametrize(
    "indexes", [("left out", "left out"), (None, None), (0, 0), (0, 1)], ids=str
)
def test_streamed_calls_are_told_apart_by_their_ids(
    script: dict[str, Any], url: str, indexes: Any
) -> None:
    def part(index: Any, found: Any) -> dict[str, Any]:
        return piece({"tool_calls": [found if index == "left out" else {**found, "index": index}]})

    first, second = indexes
    script["body"] = [
        part(first, call('{"a": 1}')), part(second, call('{"a": 2}', id="2")),
        piece({}, "tool_calls"), DONE,
    ]  # fmt: skip
    found = asked(url, stream=True).tool_calls
    assert [(each.id, each.name, each.arguments) for each in found] == [
        ("1", "ls", {"a": 1}),
        ("2", "ls", {"a": 2}),
    ]


def test_a_streamed_call_in_pieces_without_ids(script: dict[str, Any], url: str) -> None:
    def part(**function: Any) -> dict[str, Any]:
        return {"index": 0, "id": None, "type": None, "function": function}

    script["body"] = [
        piece({"tool_calls": [{**part(name="ls", arguments=""), "id": "1"}]}),
        piece({"tool_calls": [part(name=None, arguments='{"a"')]}),
        piece({"tool_calls": [part(name="", arguments=": 1}")]}),
        piece({}, "tool_calls"),
        DONE,
    ]
    assert asked(url, stream=True).tool_calls == [ToolCall(id="1", name="ls", arguments={"a": 1})]


@pytest.mark.parametrize(
    "pieces",
    [
        [piece({"content": "hi"}), piece({}, "stop"), DONE],
        [piece({"content": "hi"}), piece({}, "stop")],  # the reason is an end as well
        [piece({"content": "hi"}), DONE],  # and so is the mark
        [piece({"content": "hi"}), piece({}, "eos"), DONE],
        [piece({"content": "hi"}, id=None, object=None, created=None, model=None), DONE],
        [piece({"content": "hi"}, "stop", created=1_700_000_000_000_000_000), DONE],
        [piece({"content": "hi"}, "stop", created="yesterday"), DONE],
        [{"choices": [{"delta": {"content": "hi"}}]}, DONE],
        [piece(None), piece({"content": "hi"}), {**HEAD, "choices": None}, piece(None, "stop")],
        [{**HEAD, "choices": [{"index": 0, "message": {"content": "hi"}}]}, DONE],
    ],
)
def test_streams_of_all_forms(script: dict[str, Any], url: str, pieces: Any) -> None:
    script["body"] = pieces
    assert asked(url, stream=True).content == "hi"


def test_a_whole_answer_where_a_stream_was_asked_for(script: dict[str, Any], url: str) -> None:
    script["body"] = said()
    message = asked(url, stream=True)
    assert message.content == "hi"
    assert message.usage is not None
    assert message.usage.input_tokens == 5


WORDS = "GPU is on fire"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": WORDS, "code": 502}},
        {"error": {"message": WORDS, "code": 400}},
        {"error": WORDS},
        {"detail": WORDS},
        {"object": "error", "message": WORDS, "code": 500},
        {**HEAD, "choices": [], "error": {"message": WORDS}},
        {**HEAD, "choices": None, "base_resp": {"status_code": 1, "status_msg": WORDS}},
        {**HEAD, "choices": [{"error": {"message": WORDS}, "message": {"content": ""}}]},
        WORDS,
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_with_status_200_fails_with_the_words_of_the_provider(
    script: dict[str, Any], url: str, body: Any, stream: bool
) -> None:
    script["body"] = body
    with pytest.raises(RetryableError, match=f"^some-model: .*{WORDS}"):
        asked(url, stream=stream)


@pytest.mark.parametrize(
    "broken",
    [
        {"error": {"message": WORDS, "code": 502}},
        {"error": {"message": WORDS}},
        {"error": WORDS},
        {"object": "error", "message": WORDS, "code": 500},
        {**piece({"content": ""}, "error"), "error": {"message": WORDS, "code": 502}},
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_an_error_in_a_stream_fails_with_the_words_of_the_provider(
    script: dict[str, Any], url: str, broken: Any, first: bool
) -> None:
    script["body"] = [broken, DONE] if first else [piece({"content": "hi"}), broken, DONE]
    with pytest.raises(RetryableError, match=f"^some-model: .*{WORDS}"):
        asked(url, stream=True)


@pytest.mark.parametrize(
    ("body", "stream", "words"),
    [
        ({**HEAD, "choices": []}, False, "without a choice"),
        (whole(None), False, "without a message"),
        (wish({"id": "1"}), False, "a call of no tool"),
        ({**HEAD, "choices": {"0": {}}}, False, "without a choice"),
        (b'{"choices":' + b"[" * 200_000, False, "cannot be read: RecursionError"),
        (wish({"id": "1", "type": "custom", "custom": {"name": "ls"}}), False, "call of no tool"),
        (whole({"content": None}, "tool_calls"), False, "calls none"),
        ([1], False, "no JSON object"),
        (b"", False, "JSON"),
        ([{**HEAD, "choices": []}, DONE], True, "without a choice"),
        (["null", DONE], True, "no object"),
        (["{not json"], True, "JSON"),
        ([DONE], True, "without content"),
        ([], True, "without content"),
        ([{**HEAD, "choices": [None]}, DONE], True, "cannot be read: AttributeError"),
        ([{**HEAD, "choices": [{"delta": [1]}]}, DONE], True, "cannot be read: AttributeError"),
        ([piece({"tool_calls": [None]}), DONE], True, "cannot be read: AttributeError"),
        ([piece({"content": "I look.", "tool_calls": [NAMELESS]}), DONE], True, "call of no tool"),
        ([piece({"tool_calls": [{**NAMELESS, "index": None}]}), DONE], True, "call of no tool"),
        ([piece({"content": ""}, "tool_calls"), DONE], True, "calls none"),
        ([piece({"content": "the limit is 1"})], True, "broke off"),
        ([piece({"tool_calls": [{"index": 0, **call('{"a": 1')}]})], True, "broke off"),
        (whole({"content": "hi"}, "error"), False, "ended its answer with an error after 'hi'"),
        ([piece({"content": "hi"}), piece({}, "error"), DONE], True, "with an error after 'hi'"),
    ],
)
def test_what_is_no_answer_is_retryable(
    script: dict[str, Any], url: str, body: Any, stream: bool, words: str
) -> None:
    script["body"] = body
    with pytest.raises(RetryableError, match=words):
        asked(url, stream=stream)


def test_arguments_without_an_end_stay_text(script: dict[str, Any], url: str) -> None:
    script["body"] = wish(call("[" * 100_000))
    (found,) = asked(url).tool_calls
    assert found.arguments == "[" * 100_000


def test_an_error_field_that_says_nothing_is_none(script: dict[str, Any], url: str) -> None:
    script["body"] = said(error={"code": 0, "message": ""})
    assert asked(url).content == "hi"


def test_model_objects_are_read_as_leniently_and_stay_as_they_are(
    script: dict[str, Any], url: str
) -> None:
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    script["body"] = [piece({"content": "the limit is 1"})]
    model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=url, api_key="none"))

    async def main() -> None:
        for each in (model, FallbackModel(model, model)):
            connection = ChatConnection(each)
            await connection.open()
            with pytest.raises(RetryableError, match="broke off"):
                await connection.chat_stream([ChatMessage.user("go")], emit=lambda delta: None)
            await connection.close()

    asyncio.run(main())
    assert type(model) is OpenAIChatModel


def test_g26_a_stream_that_broke_off_is_no_answer_and_is_asked_for_again() -> None:
    requests: list[ModelRequest] = []

    def answer(request: ModelRequest) -> Answer:
        requests.append(request)
        pieces = [piece({"content": "The limit is 1"}), piece({"content": "00."}, "stop"), DONE]
        return Answer(body=pieces[:1] if len(requests) == 1 else pieces)

    with ScriptedModelServer(answer) as server:
        model = ChatModel(
            "m", base_url=server.url, stream=lambda delta: None,
            retry=RetryPolicy(max_attempts=2, initial_interval=0.01),
        )  # fmt: skip
        agent = ReActAgent(chat_model=model)
        (output,) = LocalEngine("memory://").run(agent, [{"input": "?"}], key="input")
    assert output.value == "The limit is 100."
    assert len(requests) == 2


@pytest.mark.parametrize(("tool", "schema"), [("ls", None), ("final_result", dict[str, float])])
def test_calls_with_one_id_and_reasoning_are_answered_under_ids_that_the_request_has(
    tool: str, schema: Any
) -> None:
    requests: list[ModelRequest] = []

    def answer(request: ModelRequest) -> Answer:
        requests.append(request)
        if len(requests) > 1:
            return Answer(body=whole({"role": "assistant", "content": '{"a": 1}'}))
        calls = [call("[]", function={"name": tool, "arguments": "[]"}) for _ in "ab"]
        message = {"content": None, "reasoning_content": "hm", "tool_calls": calls}
        return Answer(body=whole(message, "tool_calls"))

    with ScriptedModelServer(answer) as server:
        model = ChatModel(
            "m", base_url=server.url, tools=[LIST], output_schema=schema, output_mode="tool"
        )
        list(LocalEngine("memory://").run(ReActAgent(chat_model=model), ["?"], key=str))
    messages = requests[1].body["messages"]
    asked_for = [each["id"] for message in messages for each in message.get("tool_calls", [])]
    answered = [each["tool_call_id"] for each in messages if each["role"] == "tool"]
    assert asked_for == answered == ["1_1", "1_2"]
