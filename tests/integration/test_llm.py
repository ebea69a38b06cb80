"""ChatConnection against a server that speaks the real protocol over loopback."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel

from perdure import BaseChatModelSetup, ChatModel, LocalEngine, ReActAgent, ResourceType
from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.integrations.llm import ChatConnection
from perdure.llm.message import Attachment, ChatDelta, ChatMessage, ToolCall
from perdure.llm.output_schema import OutputSchema
from perdure.llm.tool import Tool
from perdure.testing.model_server import Answer, ModelRequest, ScriptedModelServer

pytestmark = pytest.mark.usefixtures("no_blocking")

SEARCH = Tool(
    print,
    name="search",
    description="Find something.",
    parameters={
        "type": "object",
        "properties": {"q": {"type": "string"}},
        "required": ["q"],
    },
)
CALL = ToolCall(id="c1", name="search", arguments={"q": "x"})
PLAN = OutputSchema(
    {
        "type": "object",
        "properties": {"steps": {"type": "integer"}},
        "required": ["steps"],
    },
    name="plan",
)

ANSWERS: dict[str, Any] = {
    "tool": CALL,
    "think": "<think>hm</think>yes",
    "reason": ChatMessage(role="assistant", content="ok", reasoning="it must be"),
    "busy": Answer(status=429, text="slow down", headers={"Retry-After": "7"}),
    "broken": Answer(status=500, text="boom"),
    "bad": Answer(status=400, text="no such setting"),
    "drop": Answer(drop=True),
    "cut": Answer(text="one two three", cut=3),
    "filtered": Answer(finish_reason="content_filter"),
    "long": Answer(text="and so on", finish_reason="length"),
}


class Server:
    """A running server and what it was asked."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self.http = ScriptedModelServer(self.answer)

    def answer(self, request: ModelRequest) -> Any:
        self.requests.append(request)
        if request.schema is not None:
            return {"steps": 3}
        return ANSWERS.get(request.text, f"You said {request.text}")


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    with found.http:
        yield found


def with_connection(
    server: Server, use: Callable[[ChatConnection], Awaitable[Any]], **options: Any
) -> Any:
    async def main() -> Any:
        connection = ChatConnection("some-model", base_url=server.http.url, **options)
        await connection.open()
        try:
            return await use(connection)
        finally:
            await connection.close()

    return asyncio.run(main())


def asked(server: Server, *messages: ChatMessage | str, **kwargs: Any) -> ChatMessage:
    sent = [ChatMessage.user(each) if isinstance(each, str) else each for each in messages]
    found: ChatMessage = with_connection(server, lambda c: c.chat(sent, **kwargs))
    return found


def test_plain(server: Server) -> None:
    message = asked(server, ChatMessage.system("Be kind."), "hello", temperature=0.5, max_tokens=9)
    assert message.content == "You said hello"
    assert message.model == "some-model"
    assert message.usage is not None
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 3)
    assert message.usage.cost is None  # whoever runs the server knows
    body = server.requests[0].body
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hello"},
    ]
    assert (body["temperature"], body["max_tokens"]) == (0.5, 9)


def test_tools(server: Server) -> None:
    message = asked(server, "tool", tools=[SEARCH])
    assert message.tool_calls == [CALL]
    function = server.requests[0].body["tools"][0]["function"]
    assert (function["name"], function["description"]) == ("search", "Find something.")
    assert function["parameters"]["required"] == ["q"]

    asked(server, "tool", message, ChatMessage.tool("found it", call=CALL), tools=[SEARCH])
    wish, result = server.requests[1].body["messages"][1:]
    assert wish["tool_calls"][0]["id"] == "c1"
    assert (result["role"], result["tool_call_id"], result["content"]) == (
        "tool",
        "c1",
        "found it",
    )


def test_native_output(server: Server) -> None:
    message = asked(server, "plan", output_schema=PLAN)
    assert PLAN.parse(message.content) == {"steps": 3}
    wanted = server.requests[0].body["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["name"] == "plan"
    assert wanted["json_schema"]["schema"]["required"] == ["steps"]


def test_a_schema_leaves_room_for_tools(server: Server) -> None:
    asked(server, "plan", tools=[SEARCH], output_schema=PLAN)
    body = server.requests[0].body
    assert "response_format" not in body
    assert '"steps"' in body["messages"][0]["content"]
    assert body["tools"]


@pytest.mark.parametrize(
    ("asked_for", "content", "reasoning"), [("think", "yes", "hm"), ("reason", "ok", "it must be")]
)
def test_reasoning(server: Server, asked_for: str, content: str, reasoning: str) -> None:
    message = asked(server, asked_for)
    assert (message.content, message.reasoning) == (content, reasoning)


def test_images(server: Server) -> None:
    image = Attachment(media_type="image/png", data=b"png")
    linked = Attachment(media_type="image/png", url="https://example.com/a.png")
    asked(server, ChatMessage.user("Look.", image, linked))
    text, data, url = server.requests[0].body["messages"][0]["content"]
    assert text["text"] == "Look."
    assert data["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(b'png').decode()}"
    assert url["image_url"]["url"] == "https://example.com/a.png"


def test_busy(server: Server) -> None:
    with pytest.raises(RetryableError, match=r"^some-model: HTTP 429: slow down$") as found:
        asked(server, "busy")
    assert found.value.retry_after == 7
    assert len(server.requests) == 1  # whether it is made again is not for the SDK to say


@pytest.mark.parametrize(
    ("asked_for", "meaning", "said"),
    [
        ("broken", RetryableError, "HTTP 500: boom"),
        ("bad", TerminalError, "HTTP 400: no such setting"),
        ("drop", RetryableError, "disconnected"),
        ("filtered", TerminalError, "content filter"),
    ],
)
def test_failures(server: Server, asked_for: str, meaning: type[Exception], said: str) -> None:
    with pytest.raises(meaning, match=said):
        asked(server, asked_for)
    assert len(server.requests) == 1


def test_an_answer_that_was_cut_short_says_so(server: Server) -> None:
    assert asked(server, "long").extra_args["finish_reason"] == "length"


def test_a_server_that_is_not_there() -> None:
    async def main() -> None:
        connection = ChatConnection("any", base_url="http://127.0.0.1:9/v1")
        try:
            with pytest.raises(RetryableError, match="ConnectError"):
                await connection.chat([ChatMessage.user("hello")])
        finally:
            await connection.close()

    asyncio.run(main())


def streamed(server: Server, text: str) -> tuple[ChatMessage, list[ChatDelta]]:
    pieces: list[ChatDelta] = []
    sent = [ChatMessage.user(text)]
    message = with_connection(server, lambda c: c.chat_stream(sent, emit=pieces.append))
    return message, pieces


def test_stream(server: Server) -> None:
    message, pieces = streamed(server, "hello")
    assert message.content == "You said hello"
    assert [piece.text for piece in pieces] == ["You", " said", " hello"]
    assert message.usage is not None
    assert message.usage.output_tokens == 3


def test_stream_of_reasoning_and_tools(server: Server) -> None:
    message, pieces = streamed(server, "reason")
    assert (message.content, message.reasoning) == ("ok", "it must be")
    assert "".join(piece.reasoning for piece in pieces) == "it must be"
    assert streamed(server, "tool")[0].tool_calls == [CALL]


def test_a_stream_that_breaks_off_is_a_failure(server: Server) -> None:
    with pytest.raises(RetryableError, match="peer closed"):
        streamed(server, "cut")


def test_models_share_a_connection(server: Server) -> None:
    async def use(connection: ChatConnection) -> None:
        for name in ("some-model", "other-model", "qwen3:8b", "openai:gpt-5-mini"):
            await connection.chat([ChatMessage.user("hello")], model=name)

    with_connection(server, use, api_key="the-key")
    named = [request.body["model"] for request in server.requests]
    assert named == ["some-model", "other-model", "qwen3:8b", "gpt-5-mini"]
    assert {request.path for request in server.requests} == {"/v1/chat/completions"}
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer the-key"}


def test_the_key_of_openai_does_not_go_to_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret")
    asked(server, "hello")
    assert "very-secret" not in str(server.requests[0].headers)


def test_hundreds_at_once(server: Server) -> None:
    async def use(connection: ChatConnection) -> list[ChatMessage]:
        chats = (connection.chat([ChatMessage.user(str(number))]) for number in range(300))
        return await asyncio.gather(*chats)

    found = with_connection(server, use)
    assert [message.content for message in found] == [f"You said {n}" for n in range(300)]


def test_a_connection_can_be_opened_again(server: Server) -> None:
    connection = ChatConnection("some-model", base_url=server.http.url)

    async def main() -> str:
        await connection.open()
        message = await connection.chat([ChatMessage.user("hello")])
        await connection.close()
        return message.content

    assert [asyncio.run(main()), asyncio.run(main())] == ["You said hello"] * 2


def test_closed_for_one_job_it_stays_open_for_another(server: Server) -> None:
    async def main() -> str:
        connection = ChatConnection("some-model", base_url=server.http.url)
        await connection.open()
        await connection.open()
        await connection.close()
        message = await connection.chat([ChatMessage.user("hello")])
        await connection.close()
        return message.content

    assert asyncio.run(main()) == "You said hello"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("openai:gpt-5", "set OPENAI_API_KEY or pass api_key="),
        ("gpt-5", "provider:model"),
        ("opnai:gpt-5", "did you mean openai:gpt-5"),
        ("qwen3:8b", "such as ollama:qwen3:8b, or pass base_url="),
        (None, "which model"),
        ("anthropic:claude-sonnet-4-5", "pip install 'pydantic-ai-slim[anthropic]'"),
    ],
)
def test_what_is_missing(model: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setitem(sys.modules, "anthropic", None)  # as if it were not installed
    for name in [each for each in sys.modules if re.match(r"pydantic_ai\..*anthropic", each)]:
        monkeypatch.delitem(sys.modules, name)

    async def main() -> None:
        with pytest.raises(ConfigurationError) as found:
            await ChatConnection(model).chat([ChatMessage.user("hello")])
        assert said in str(found.value)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "openai:gpt-5"}, "chat model 'm': .*set OPENAI_API_KEY or pass api_key="),
        ({"model": "opnai:gpt-5"}, "chat model 'm': .*did you mean openai:gpt-5"),
        ({}, "chat model 'm': .*which model to ask"),
        ({"model": "test", "temprature": 0}, "chat model 'm': .*did you mean temperature"),
    ],
)
def test_what_a_setup_asks_for_is_checked_before_the_first_input(
    options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    agent = ReActAgent(chat_model=ChatModel("test", connection=ChatConnection("test")))
    agent.add_resource("c", ResourceType.CHAT_MODEL_CONNECTION, ChatConnection())
    agent.add_resource("m", ResourceType.CHAT_MODEL, BaseChatModelSetup(connection="c", **options))
    with pytest.raises(ConfigurationError, match=said):
        LocalEngine("memory://").run(agent, ["a"], key=str)


def test_a_setting_that_is_none_is_refused(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="did you mean temperature"):
        asked(server, "hello", temprature=0)
    asked(server, "hello", openai_user="ann", seed=1)
    assert server.requests[-1].body["user"] == "ann"


def test_model_objects() -> None:
    def answer(messages: Any, info: Any) -> ModelResponse:
        return ModelResponse([TextPart(f"{len(messages)} {[t.name for t in info.function_tools]}")])

    async def main() -> list[str]:
        found = []
        for model in (TestModel(custom_output_text="fixed"), FunctionModel(answer)):
            connection = ChatConnection(model)
            await connection.open()
            sent = [ChatMessage.user("a"), ChatMessage.assistant("b"), ChatMessage.user("c")]
            found.append((await connection.chat(sent, [SEARCH])).content)
            await connection.close()
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = asyncio.run(main())
    assert first == "fixed"
    assert second == "3 ['search']"


def test_what_a_model_object_of_ones_own_raises_stays_as_it_is() -> None:
    def answer(messages: Any, info: Any) -> ModelResponse:
        raise TypeError("a fault of mine")

    async def pieces(messages: Any, info: Any) -> AsyncIterator[str]:
        yield "hi"
        raise LookupError("a fault of mine")

    def emit(delta: ChatDelta) -> None:
        raise ValueError("a fault of mine")

    async def main() -> None:
        connection = ChatConnection(FunctionModel(answer, stream_function=pieces))
        await connection.open()
        sent = [ChatMessage.user("a")]
        with pytest.raises(TypeError, match=r"^a fault of mine$"):
            await connection.chat(sent)
        with pytest.raises(LookupError, match="a fault of mine"):
            await connection.chat_stream(sent, emit=lambda delta: None)
        with pytest.raises(ValueError, match=r"^a fault of mine$"):
            await connection.chat_stream(sent, emit=emit)
        await connection.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "address", ["", "not a url", "localhost:8000/v1", "http://[::1", "ftp://x"]
)
def test_a_base_url_that_is_none_is_refused_when_the_job_opens(address: str) -> None:
    agent = ReActAgent(chat_model=ChatModel("m", base_url=address))
    with pytest.raises(ConfigurationError, match=re.escape(f"base_url={address!r} is no address")):
        LocalEngine("memory://").run(agent, [], key=str)


def test_output_modes() -> None:
    assert ChatConnection("any", base_url="http://x/v1").output_mode("") == "native"
    assert ChatConnection().output_mode("openai:gpt-5") == "native"
    assert ChatConnection().output_mode("openai:gpt-3.5-turbo") in ("native", "tool")
    assert ChatConnection(TestModel()).output_mode("") in ("native", "tool")
    assert ChatConnection().output_mode("") == "prompted"
