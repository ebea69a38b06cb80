"""What a ScriptedModelServer is asked and answers, in the forms of the Chat Completions API."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perdure.checks import checked_bound
from perdure.llm.message import ChatMessage, MessageRole, ToolCall, Usage

__all__ = ["Answer", "ModelRequest", "as_answer", "chunks_of", "completion_of", "echo"]

_CREATED = 1_700_000_000  # no clock, so that an answer is the same each time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One request that the server got.

    Attributes:
        path: Such as "/v1/chat/completions".
        body: The JSON body.
        headers: The headers, by their names in lower case.
        digest: What the request is recognized by: of path and body.
        attempt: How often the same request has come, this one included.
    """

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    digest: str
    attempt: int

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, as the API has them."""
        return list(self.body.get("messages", ()))

    @property
    def text(self) -> str:
        """The text of the last message."""
        messages = self.messages
        return text_of(messages[-1].get("content")) if messages else ""

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema that the answer shall fit, where one is asked for."""
        wanted = (self.body.get("response_format") or {}).get("json_schema") or {}
        found: dict[str, Any] | None = wanted.get("schema")
        return found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answers.

    Attributes:
        text: The text; with an error status, the error's message.
        tool_calls: Tools that the model wants called.
        reasoning: What comes as `reasoning_content`.
        status: The HTTP status.
        headers: Further headers, such as Retry-After.
        delay: Seconds until it answers.
        drop: Whether the connection is closed without an answer.
        cut: Pieces of a stream after which the connection breaks off; None: it does not.
        usage: Tokens; counted in words when not given.
        finish_reason: Why the response ended; "stop" or "tool_calls" when not given.
        body: What is sent as it is, instead of all that: the JSON body, or its bytes; for a stream
            the JSON of each piece, an end mark included, or all its bytes.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str | None = None
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    cut: int | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    body: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", checked_bound("delay", self.delay))


def as_answer(found: Any) -> Answer:
    """Return what a script returned as an Answer.

    Args:
        found: An Answer, a text, a ChatMessage, a ToolCall or several; anything else is made JSON.
    """
    if isinstance(found, Answer):
        return found
    if isinstance(found, str):
        return Answer(text=found)
    if isinstance(found, ChatMessage):
        return Answer(
            text=found.content,
            tool_calls=found.tool_calls,
            reasoning=found.reasoning,
            usage=found.usage,
        )
    if isinstance(found, ToolCall):
        return Answer(tool_calls=[found])
    if isinstance(found, list) and found and all(isinstance(each, ToolCall) for each in found):
        return Answer(tool_calls=found)
    return Answer(text=json.dumps(found))


def echo(request: ModelRequest) -> Any:
    """Say the last message again; where a schema is asked for, give the least that fits it."""
    return request.text if request.schema is None else least(request.schema)


def least(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """Return a small value that fits a JSON schema of the usual kinds."""
    root = schema if root is None else root
    if "$ref" in schema:
        return least(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return least(schema[key][0], root)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        known = schema.get("properties", {})
        return {name: least(known.get(name, {}), root) for name in schema.get("required", known)}
    if kind == "array":
        return [least(schema.get("items", {}), root)] * schema.get("minItems", 0)
    simple = {"string": "text", "boolean": True, "null": None}
    return simple[kind] if kind in simple else schema.get("minimum", 1)


def text_of(content: Any) -> str:
    """Return the text of a message's content, a str or a list of parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""


def completion_of(request: ModelRequest, answer: Answer) -> dict[str, Any]:
    """Return the body of a response that is not streamed."""
    message: dict[str, Any] = {"role": MessageRole.ASSISTANT.value, "content": answer.text or None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = [_call(call) for call in answer.tool_calls]
    choice = {"index": 0, "message": message, "finish_reason": _reason(answer)}
    return {
        **_head(request, "chat.completion"),
        "choices": [choice],
        "usage": _usage(request, answer),
    }


def chunks_of(request: ModelRequest, answer: Answer) -> Iterator[dict[str, Any]]:
    """Yield the pieces of a streamed response: reasoning, words, tool calls, end, usage."""
    head = _head(request, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield chunk({"role": MessageRole.ASSISTANT.value, "content": ""})
    for word in _words(answer.reasoning or ""):
        yield chunk({"reasoning_content": word})
    for word in _words(answer.text):
        yield chunk({"content": word})
    for index, call in enumerate(answer.tool_calls):
        yield chunk({"tool_calls": [{"index": index, **_call(call)}]})
    yield chunk({}, _reason(answer))
    if (request.body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _usage(request, answer)}


def _head(request: ModelRequest, kind: str) -> dict[str, Any]:
    return {
        "id": f"scripted-{request.digest[:12]}",
        "object": kind,
        "created": _CREATED,
        "model": request.body.get("model", "scripted"),
    }


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = call.arguments
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def _reason(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def _usage(request: ModelRequest, answer: Answer) -> dict[str, Any]:
    used = answer.usage or Usage(
        input_tokens=sum(len(text_of(m.get("content")).split()) for m in request.messages),
        output_tokens=len(answer.text.split()) + len(answer.tool_calls),
    )
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cache_read_tokens},
    }


def _words(text: str) -> list[str]:
    """Return a text in pieces of a word each, the space before it."""
    words = text.split(" ")
    return [word if not index else f" {word}" for index, word in enumerate(words)] if text else []
