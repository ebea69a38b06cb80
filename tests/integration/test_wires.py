"""The wires of Anthropic and Gemini, spoken to over real HTTP with servers that have a script."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from perdure.errors import RetryableError, TerminalError
from perdure.integrations.llm import ChatConnection
from perdure.llm.message import Attachment, ChatDelta, ChatMessage, ToolCall
from perdure.llm.output_schema import OutputSchema
from perdure.llm.tool import Tool

pytestmark = pytest.mark.usefixtures("no_blocking")

PNG = Attachment(media_type="image/png", data=b"png")
LOOK = Tool(
    print,
    name="look",
    description="Look something up.",
    parameters={"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
)
PLAN = OutputSchema(
    {
        "type": "object",
        "properties": {"steps": {"type": "integer"}},
        "required": ["steps"],
        "additionalProperties": False,
    },
    name="plan",
)
Reply = tuple[int, str, bytes, dict[str, str]]


class Wire:
    """A server on a thread: what it was asked, and what it answers next."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.replies: list[Reply] = []
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def do_POST(self) -> None:
                wire.paths.append(self.path)
                length = int(self.headers["content-length"])
                wire.requests.append(json.loads(self.rfile.read(length)))
                status, kind, data, headers = wire.replies.pop(0)
                self.send_response(status)
                headers = {"content-type": kind, "content-length": str(len(data)), **headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def says(self, body: Any, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies.append((status, "application/json", json.dumps(body).encode(), named))

    def claude_says(self, *content: Any, reason: str = "end_turn", kept: int | None = None) -> None:
        """Answer a request that is streamed behind the scenes, as all that may be long."""
        self.streams(*claude_stream(*content, reason=reason)[:kept])

    def streams(self, *events: Any) -> None:
        lines = []
        for each in events:
            if "type" in each:
                lines.append(f"event: {each['type']}\n")
            lines.append(f"data: {json.dumps(each)}\n\n")
        self.replies.append((200, "text/event-stream", "".join(lines).encode(), {}))


@pytest.fixture
def wire() -> Iterator[Wire]:
    found = Wire()
    thread = threading.Thread(target=found.http.serve_forever, daemon=True)
    thread.start()
    yield found
    found.http.shutdown()
    found.http.server_close()
    thread.join()


def asked(
    wire: Wire,
    model: str,
    *messages: ChatMessage | str,
    emit: Callable[[ChatDelta], None] | None = None,
    **options: Any,
) -> ChatMessage:
    async def main() -> ChatMessage:
        connection = ChatConnection(model, base_url=wire.url, api_key="none")
        await connection.open()
        sent = [ChatMessage.user(each) if isinstance(each, str) else each for each in messages]
        try:
            if emit is None:
                return await connection.chat(sent, **options)
            return await connection.chat_stream(sent, emit=emit, **options)
        finally:
            await connection.close()

    return asyncio.run(main())


# Anthropic

CLAUDE = "anthropic:claude-haiku-4-5"
SPENT = {"input_tokens": 5, "output_tokens": 2}


def claude(*content: Any, reason: str | None = "end_turn") -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5",
        "content": list(content), "stop_reason": reason, "stop_sequence": None, "usage": SPENT,
    }  # fmt: skip


def claude_stream(*content: Any, reason: str = "end_turn") -> list[dict[str, Any]]:
    start = {**claude(reason=None), "usage": {"input_tokens": 5, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(content):
        deltas = DELTAS[block["type"]](block)
        begun = {**block, **dict.fromkeys(("text", "thinking", "signature") & block.keys(), "")}
        begun = {**begun, "input": {}} if "input" in block else begun
        events += [
            {"type": "content_block_start", "index": index, "content_block": begun},
            *({"type": "content_block_delta", "index": index, "delta": each} for each in deltas),
            {"type": "content_block_stop", "index": index},
        ]
    delta = {"stop_reason": reason, "stop_sequence": None}
    usage = {"output_tokens": 2}
    return [*events, {"type": "message_delta", "delta": delta, "usage": usage}, STOP]


STOP = {"type": "message_stop"}
DELTAS: dict[str, Callable[[Any], list[dict[str, Any]]]] = {
    "text": lambda block: [
        {"type": "text_delta", "text": word} for word in re.findall(r"\S+\s*", block["text"])
    ],
    "thinking": lambda block: [
        {"type": "thinking_delta", "thinking": block["thinking"]},
        {"type": "signature_delta", "signature": block["signature"]},
    ],
    "tool_use": lambda block: [
        {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    ],
}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_anthropic_text_images_and_settings(wire: Wire) -> None:
    wire.says(claude(text("A map.")))
    linked = Attachment(media_type="image/png", url="https://example.com/a.png")
    look = ChatMessage.user("Look. caf\udce9", PNG, linked)
    found = asked(wire, CLAUDE, ChatMessage.system("Be kind."), look, max_tokens=9)
    assert (found.content, found.model) == ("A map.", "claude-haiku-4-5")
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (5, 2)
    assert found.usage.cost is not None
    (request,) = wire.requests
    assert wire.paths[0].startswith("/v1/messages")
    assert (request["model"], request["max_tokens"]) == ("claude-haiku-4-5", 9)
    system = request["system"]
    assert (system if isinstance(system, str) else system[0]["text"]) == "Be kind."
    words, data, url = request["messages"][0]["content"]
    assert words["text"] == "Look. caf�"
    assert data["source"] == {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(b"png").decode(),
    }
    assert url["source"]["url"] == "https://example.com/a.png"


def test_anthropic_tools_with_thinking_that_is_sent_back(wire: Wire) -> None:
    wire.claude_says(
        {"type": "thinking", "thinking": "Where?", "signature": "s1"},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"q": "x"}},
        reason="tool_use",
    )
    wire.claude_says(text("There."))
    first = asked(wire, CLAUDE, "Where is x?", tools=[LOOK])
    assert first.tool_calls == [ToolCall(id="t1", name="look", arguments={"q": "x"})]
    assert first.reasoning == "Where?"
    result = ChatMessage.tool("there", call=first.tool_calls[0])
    result.attachments = [PNG]
    assert asked(wire, CLAUDE, "Where is x?", first, result, tools=[LOOK]).content == "There."
    assert wire.requests[0]["tools"][0]["input_schema"]["required"] == ["q"]
    _, wish, answer = wire.requests[1]["messages"]
    thinking, use = wish["content"]
    assert (thinking["signature"], use["id"], use["input"]) == ("s1", "t1", {"q": "x"})
    assert answer["content"][0]["tool_use_id"] == "t1"
    assert base64.b64encode(b"png").decode() in json.dumps(answer)


def test_anthropic_output_in_a_schema(wire: Wire) -> None:
    wire.claude_says(text('{"steps": 3}'))
    found = asked(wire, CLAUDE, "Plan.", output_schema=PLAN)
    assert PLAN.parse(found.content) == {"steps": 3}
    assert '"steps"' in json.dumps(wire.requests[0])


def test_anthropic_streams(wire: Wire) -> None:
    wire.claude_says(text("The limit is 100."))
    told: list[str] = []
    found = asked(wire, CLAUDE, "?", emit=lambda delta: told.append(delta.text))
    assert (found.content, told) == ("The limit is 100.", ["The ", "limit ", "is ", "100."])
    assert found.usage is not None
    assert found.usage.output_tokens == 2


@pytest.mark.parametrize("kept", [1, 3, 5, 7])
@pytest.mark.parametrize("emit", [None, lambda delta: None])
def test_g26_an_anthropic_stream_that_broke_off_is_no_answer(
    wire: Wire, kept: int, emit: Any
) -> None:
    wire.claude_says(text("The limit is 1"), kept=kept)
    with pytest.raises(RetryableError, match=f"^{CLAUDE}: .*(broke off|without a choice)"):
        asked(wire, CLAUDE, "?", emit=emit)


@pytest.mark.parametrize("emit", [None, lambda delta: None])
def test_an_anthropic_answer_that_cannot_be_read_is_retryable(wire: Wire, emit: Any) -> None:
    *_, ended, stopped = whole = claude_stream(text("The limit is 1"))
    for events in (whole[1:], [*whole[:-2], {**ended, "usage": None}, stopped]):
        wire.streams(*events)
        with pytest.raises(RetryableError, match=f"^{CLAUDE}: the answer cannot be read: [^\n]*$"):
            asked(wire, CLAUDE, "?", emit=emit)


@pytest.mark.parametrize("answer", [{}, {"output": None}], ids=str)
def test_an_answer_of_the_responses_api_that_cannot_be_read_is_retryable(
    wire: Wire, answer: Any
) -> None:
    wire.says(answer)
    with pytest.raises(RetryableError, match=r"^openai-responses:m: the answer cannot be read: "):
        asked(wire, "openai-responses:m", "?")


def test_an_anthropic_stream_that_fails_says_why(wire: Wire) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    wire.streams(*claude_stream(text("The limit"))[:3], error)
    with pytest.raises(RetryableError, match="Overloaded"):
        asked(wire, CLAUDE, "?", emit=lambda delta: None)


@pytest.mark.parametrize(
    ("status", "kind", "meaning"),
    [
        (529, "overloaded_error", RetryableError),
        (500, "api_error", RetryableError),
        (429, "rate_limit_error", RetryableError),
        (400, "invalid_request_error", TerminalError),
        (401, "authentication_error", TerminalError),
    ],
)
@pytest.mark.parametrize("emit", [None, lambda delta: None])
def test_anthropic_failures(
    wire: Wire, status: int, kind: str, meaning: type[Exception], emit: Any
) -> None:
    body = {"type": "error", "error": {"type": kind, "message": "not now"}}
    wire.says(body, status, retry_after="7")
    with pytest.raises(meaning, match=f"^{CLAUDE}: HTTP {status}: not now$") as caught:
        asked(wire, CLAUDE, "?", emit=emit)
    assert len(wire.requests) == 1  # whether it is made again is not for the SDK to say
    if status == 429:
        assert isinstance(caught.value, RetryableError)
        assert caught.value.retry_after == 7


def test_anthropic_refusals_and_cut_answers(wire: Wire) -> None:
    wire.claude_says(reason="refusal")
    with pytest.raises(TerminalError, match="content filter"):
        asked(wire, CLAUDE, "?")
    wire.claude_says(text("and so"), reason="max_tokens")
    assert asked(wire, CLAUDE, "?").extra_args["finish_reason"] == "length"


# Gemini

GEMINI = "google:gemini-2.5-flash"


def gemini(*parts: Any, reason: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
    found = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}
    return {**found, "responseId": "r1", **more}


def test_gemini_text_images_and_settings(wire: Wire) -> None:
    wire.says(gemini({"text": "A map."}))
    look = ChatMessage.user("Look. caf\udce9", PNG)
    found = asked(wire, GEMINI, ChatMessage.system("Be kind."), look, max_tokens=9)
    assert (found.content, found.model) == ("A map.", "gemini-2.5-flash")
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (5, 2)
    (request,) = wire.requests
    assert wire.paths[0].endswith("/models/gemini-2.5-flash:generateContent")
    assert request["systemInstruction"]["parts"][0]["text"] == "Be kind."
    assert request["generationConfig"]["maxOutputTokens"] == 9
    words, data = request["contents"][0]["parts"]
    assert words["text"] == "Look. caf�"
    assert "image/png" in data["inlineData"].values(), data
    assert base64.b64decode(data["inlineData"]["data"]) == b"png"


def test_gemini_tools_with_signatures_that_are_sent_back(wire: Wire) -> None:
    call = {"functionCall": {"name": "look", "args": {"q": "x"}}, "thoughtSignature": "czE="}
    wire.says(gemini({"text": "Where?", "thought": True}, call))
    wire.says(gemini({"text": "There."}))
    first = asked(wire, GEMINI, "Where is x?", tools=[LOOK])
    (wish,) = first.tool_calls
    assert (wish.name, wish.arguments, bool(wish.id)) == ("look", {"q": "x"}, True)
    assert first.reasoning == "Where?"
    result = ChatMessage.tool("there", call=wish)
    result.attachments = [PNG]
    assert asked(wire, GEMINI, "Where is x?", first, result, tools=[LOOK]).content == "There."
    declared = wire.requests[0]["tools"][0]["functionDeclarations"][0]
    assert declared["name"] == "look"
    sent = json.dumps(wire.requests[1]["contents"])
    assert "czE=" in sent
    assert '"functionResponse"' in sent
    assert base64.b64encode(b"png").decode() in sent


def test_gemini_output_in_a_schema(wire: Wire) -> None:
    wire.says(gemini({"text": '{"steps": 3}'}))
    found = asked(wire, GEMINI, "Plan.", output_schema=PLAN)
    assert PLAN.parse(found.content) == {"steps": 3}
    assert '"steps"' in json.dumps(wire.requests[0]["generationConfig"])


def test_gemini_streams(wire: Wire) -> None:
    wire.streams(gemini({"text": "The limit"}, reason=None), gemini({"text": " is 100."}))
    told: list[str] = []
    found = asked(wire, GEMINI, "?", emit=lambda delta: told.append(delta.text))
    assert (found.content, told) == ("The limit is 100.", ["The limit", " is 100."])
    assert "streamGenerateContent" in wire.paths[0]


def test_g26_a_gemini_stream_that_broke_off_is_no_answer(wire: Wire) -> None:
    wire.streams(gemini({"text": "The limit is 1"}, reason=None))
    with pytest.raises(RetryableError, match=f"^{GEMINI}: .*broke off"):
        asked(wire, GEMINI, "?", emit=lambda delta: None)


@pytest.mark.parametrize("emit", [None, lambda delta: None])
@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "LANGUAGE"])
def test_a_gemini_answer_that_ended_with_an_error_is_retryable(
    wire: Wire, emit: Any, reason: str
) -> None:
    reply = gemini({"text": "The limit is 1"}, reason=reason)
    if emit is None:
        wire.says(reply)
    else:
        wire.streams(reply)
    with pytest.raises(RetryableError, match=f"^{GEMINI}: "):
        asked(wire, GEMINI, "?", emit=emit)


@pytest.mark.parametrize(
    ("status", "meaning"), [(503, RetryableError), (429, RetryableError), (400, TerminalError)]
)
@pytest.mark.parametrize("emit", [None, lambda delta: None])
def test_gemini_failures(wire: Wire, status: int, meaning: type[Exception], emit: Any) -> None:
    wire.says({"error": {"code": status, "message": "not now", "status": "X"}}, status)
    with pytest.raises(meaning, match=f"^{GEMINI}: HTTP {status}: not now"):
        asked(wire, GEMINI, "?", emit=emit)
    assert len(wire.requests) == 1


def test_gemini_withheld_answers(wire: Wire) -> None:
    wire.says(gemini(reason="SAFETY"))
    with pytest.raises(TerminalError, match="content filter"):
        asked(wire, GEMINI, "?")
    wire.says({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}})
    with pytest.raises(TerminalError, match="content filter"):
        asked(wire, GEMINI, "?")


@pytest.mark.parametrize("emit", [None, lambda delta: None])
def test_gemini_without_a_candidate_is_retryable(wire: Wire, emit: Any) -> None:
    empty: dict[str, Any] = {"candidates": [], "usageMetadata": {}}
    if emit is None:
        wire.says(empty)
    else:
        wire.streams(empty)
    with pytest.raises(RetryableError, match=f"^{GEMINI}: "):
        asked(wire, GEMINI, "?", emit=emit)
