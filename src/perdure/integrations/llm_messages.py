"""Conversations in perdure's form and in that of Pydantic AI's model layer, both ways.

A response that holds more than a ChatMessage does (signatures of reasoning, ids of items, parts of
tools that the provider runs itself) is kept whole, as JSON, in the message's
`extra_args["pydantic_ai"]`, and sent back as it was: providers refuse a conversation without it.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from perdure.codec.copies import own_value
from perdure.llm.message import Attachment, ChatMessage, MessageRole, ToolCall, Usage
from perdure.llm.sendable import sendable

if TYPE_CHECKING:
    from pydantic_ai.messages import (
        ModelMessage,
        ModelRequestPart,
        ModelResponse,
        ModelResponsePart,
        MultiModalContent,
    )
    from pydantic_ai.models import StreamedResponse
    from pydantic_ai.usage import RequestUsage

__all__ = [
    "KEPT",
    "check_answered",
    "check_end",
    "from_response",
    "raw_finish_reason",
    "split_reasoning",
    "to_model_messages",
]

KEPT: Final = "pydantic_ai"
"""Key of `ChatMessage.extra_args` under which a response is kept whole."""

FINISH_REASON: Final = "finish_reason"
"""Key of `ChatMessage.extra_args` that says why a response ended, where it is out of the usual."""

_USUAL_ENDS: Final = (None, "stop", "tool_call")

# What models write around their reasoning that know no other way to tell it from the answer.
_REASONING: Final = (
    re.compile(r"<(think|thinking|analysis|reasoning)>(.*?)</\1>", re.DOTALL | re.IGNORECASE),
    re.compile(r"```(think|reasoning|thought)[ \t]*\n(.*?)\n```", re.DOTALL | re.IGNORECASE),
)


def to_model_messages(messages: Sequence[ChatMessage]) -> tuple[list[ModelMessage], bool]:
    """Return a conversation as Pydantic AI's model layer takes it.

    Args:
        messages: The conversation.

    Returns:
        The messages, and whether some models take them only after `Model.prepare_messages`.
    """
    theirs = _forms()
    made: list[ModelMessage] = []
    parts: list[ModelRequestPart] = []
    unusual = False
    led = True  # only system messages so far
    for message in messages:
        role = message.role
        if role is MessageRole.ASSISTANT:
            if parts:
                made.append(theirs.ModelRequest(parts))
                parts = []
            kept = message.extra_args.get(KEPT)
            unusual |= kept is not None
            made.append(_restored(kept, message) if kept else _response_of(message))
        elif role is MessageRole.SYSTEM:
            unusual |= not led
            parts.append(theirs.SystemPromptPart(message.content))
            continue
        elif role is MessageRole.TOOL:
            content: Any = message.content
            if message.attachments:
                unusual = True
                content = [content, *map(_media, message.attachments)]
            name = message.tool_name or _tool_name(messages, message.tool_call_id)
            parts.append(
                theirs.ToolReturnPart(name, content, tool_call_id=message.tool_call_id or "")
            )
        elif message.attachments:
            said = [message.content] if message.content else []
            parts.append(theirs.UserPromptPart([*said, *map(_media, message.attachments)]))
        else:
            parts.append(theirs.UserPromptPart(message.content))
        led = False
    if parts:
        made.append(theirs.ModelRequest(parts))
    return made, unusual


@functools.cache
def _forms() -> Any:
    """Return the module of Pydantic AI's messages, which takes long to load."""
    return importlib.import_module("pydantic_ai.messages")


def _tool_name(messages: Sequence[ChatMessage], call_id: str | None) -> str:
    calls = (call for message in messages for call in message.tool_calls)
    return next((call.name for call in calls if call.id == call_id), "tool")


def _media(attachment: Attachment) -> MultiModalContent:
    from pydantic_ai.messages import AudioUrl, BinaryContent, DocumentUrl, ImageUrl, VideoUrl

    media_type = attachment.media_type
    if attachment.data is not None:
        return BinaryContent(data=attachment.data, media_type=media_type)
    kinds: dict[str, Any] = {"image": ImageUrl, "audio": AudioUrl, "video": VideoUrl}
    kind = kinds.get(media_type.partition("/")[0], DocumentUrl)
    made: MultiModalContent = kind(url=attachment.url, media_type=media_type)
    return made


def _restored(kept: str, message: ChatMessage) -> ModelResponse:
    """Return a response that was kept whole, its calls under the ids that the message has for them.

    Models that give several calls one id, or none, are answered under ids of ours.
    """
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    made: Any = ModelMessagesTypeAdapter.validate_json(kept)[0]
    response: ModelResponse = made
    if calls := message.tool_calls:
        parts: list[Any] = [each for each in response.parts if each.part_kind == "tool-call"]
        if [each.tool_name for each in parts] == [call.name for call in calls]:
            for part, call in zip(parts, calls, strict=True):
                part.tool_call_id = call.id
    return response


def _response_of(message: ChatMessage) -> ModelResponse:
    from pydantic_ai.messages import (
        BinaryContent,
        FilePart,
        ModelResponse,
        TextPart,
        ToolCallPart,
    )

    parts: list[ModelResponsePart] = []
    if message.content:
        parts.append(TextPart(message.content))
    for each in message.attachments:
        if each.data is not None:
            parts.append(FilePart(BinaryContent(data=each.data, media_type=each.media_type)))
    for call in message.tool_calls:
        parts.append(ToolCallPart(call.name, own_value(call.arguments), tool_call_id=call.id))
    return ModelResponse(parts)


def from_response(
    response: ModelResponse, *, extract_reasoning: bool = True, cost: float | None = None
) -> ChatMessage:
    """Return a response of Pydantic AI's model layer as a ChatMessage.

    Args:
        response: The response.
        extract_reasoning: Whether reasoning that the model marks in its text is taken out of it.
        cost: What it cost, in US dollars, where known.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    files: list[Attachment] = []
    calls: list[ToolCall] = []
    more = broken = False  # whether there is more than we keep; whether a text was interrupted
    parts: Sequence[Any] = response.parts  # what is read of each kind, its type has
    for part in parts:
        kind = part.part_kind
        if kind == "text":
            if part.content:
                texts.append("\n\n" + part.content if broken and texts else part.content)
                broken = False
            more |= bool(part.id or part.provider_details or part.citations)
            continue
        broken = True
        if kind == "thinking":
            if part.content:
                thoughts.append(part.content)
            more |= bool(part.id or part.signature or part.provider_details)
        elif kind == "tool-call":
            calls.append(
                ToolCall(id=part.tool_call_id, name=part.tool_name, arguments=_arguments(part.args))
            )
            more |= bool(part.id or part.provider_details)
        elif kind == "file":
            found = part.content
            files.append(Attachment(media_type=found.media_type, data=bytes(found.data)))
            more |= bool(part.id or part.provider_details)
        else:
            more = True
    text = "".join(texts)
    if extract_reasoning and ("<" in text or "```" in text):
        text, marked = split_reasoning(text)
        thoughts += [marked] if marked else []
    extra: dict[str, Any] = {KEPT: _dump(response)} if more else {}
    if response.finish_reason not in _USUAL_ENDS:
        extra[FINISH_REASON] = response.finish_reason
    return ChatMessage(
        role=MessageRole.ASSISTANT,
        content=text,
        attachments=files,
        tool_calls=calls,
        reasoning="\n\n".join(thoughts) or None,
        usage=_usage(response.usage, cost),
        model=response.model_name,
        extra_args=extra,
    )


def raw_finish_reason(response: ModelResponse) -> str | None:
    """Return why a response ended, in the provider's own word, where it says."""
    found = (response.provider_details or {}).get("finish_reason")
    return found if isinstance(found, str) and found else None


def check_answered(response: ModelResponse) -> None:
    """Refuse what a server gave in one piece and is no answer.

    Raises:
        UnexpectedModelBehavior: It is none.
    """
    if response.provider_url is None:
        return
    _check_called(response)
    if response.finish_reason is not None or raw_finish_reason(response) is not None:
        return
    from pydantic_ai.exceptions import UnexpectedModelBehavior

    if not response.parts:
        raise UnexpectedModelBehavior("the server answers without a choice")
    if "anthropic" in (response.provider_name, response.canonical_system):
        # Its long answers are streamed behind the scenes.
        raise UnexpectedModelBehavior("the answer broke off: it ended without a finish reason")


def check_end(stream: StreamedResponse, response: ModelResponse) -> None:
    """Refuse a stream from a server that ended without saying so: it broke off.

    Raises:
        UnexpectedModelBehavior: It did.
    """
    if stream.provider_url is None:
        return  # of a model in this process
    from pydantic_ai.exceptions import UnexpectedModelBehavior

    told = response.finish_reason is not None or raw_finish_reason(response) is not None
    # Chat Completions that end without a reason are given one.
    told = told and (
        getattr(stream, "_has_finish_reason", True) or response.finish_reason != "stop"
    )
    if response.state == "incomplete" or not told:
        raise UnexpectedModelBehavior("the stream broke off: it ended without a finish reason")
    _check_called(response)


def _check_called(response: ModelResponse) -> None:
    """Refuse an answer that ends for a call of a tool, and neither calls one nor says anything."""
    if response.finish_reason != "tool_call":
        return
    if all(part.part_kind == "thinking" for part in response.parts):
        from pydantic_ai.exceptions import UnexpectedModelBehavior

        raise UnexpectedModelBehavior("the answer ends for a call of a tool, and calls none")


def _usage(usage: RequestUsage, cost: float | None) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost=cost,
    )


def _arguments(args: Any) -> dict[str, Any] | str:
    if isinstance(args, dict):
        return args
    if not args:
        return {}
    try:
        found = json.loads(args)
    except (ValueError, RecursionError):
        return str(args)
    return found if isinstance(found, dict) else str(args)


def _dump(response: ModelResponse) -> str:
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    left_out = {"__all__": {"usage"}}  # it is in the message, and no provider wants it back
    dump = functools.partial(
        ModelMessagesTypeAdapter.dump_json, exclude=left_out, exclude_none=True
    )
    try:
        return dump([response]).decode()
    except ValueError:  # for lone surrogates
        plain = ModelMessagesTypeAdapter.dump_python([response])
        return dump(ModelMessagesTypeAdapter.validate_python(sendable(plain))).decode()


def split_reasoning(text: str) -> tuple[str, str | None]:
    """Take the reasoning that a model marks in its text out of it.

    It is what stands in `<think>`, `<thinking>`, `<analysis>` or `<reasoning>` elements, or in
    fenced blocks of `think`, `reasoning` or `thought`.

    Args:
        text: What the model wrote.

    Returns:
        The rest of the text, and the reasoning; None where there is none.
    """
    thoughts: list[str] = []

    def take(match: re.Match[str]) -> str:
        thoughts.append(match.group(2).strip())
        return ""

    rest = text
    for pattern in _REASONING:
        rest = pattern.sub(take, rest)
    if rest == text:
        return text, None
    return rest.strip(), "\n\n".join(filter(None, thoughts)) or None
