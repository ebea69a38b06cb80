"""How messages, tool results and requests of Pydantic AI are kept in the journal.

Messages are kept as the library's own JSON, which it reads back in later versions. What a tool
returns is kept in the JSON form that the model sees, with images and files as they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    ToolFailed,
    ToolRetryError,
)
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ToolReturn,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage, RunUsage
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from perdure.codec.identity import annotated_types
from perdure.errors import EncodeError
from perdure.llm.sendable import sendable

_DEFINITIONS = TypeAdapter(dict[str, ToolDefinition])
_INSTRUCTIONS: TypeAdapter[Any] = TypeAdapter(
    InstructionPart | str | list[InstructionPart | str] | None
)
_RUN_USAGE = TypeAdapter(RunUsage)
_REQUEST_USAGE = TypeAdapter(RequestUsage)

# Read from the clock or drawn by the agent loop, again on replay: no part of a request's identity.
_LOOP_MADE: Any = {
    "__all__": {
        "timestamp": True,
        "run_id": True,
        "conversation_id": True,
        "history_digest": True,
        "parts": {"__all__": {"timestamp"}},
    }
}
_SHOWN = 80


def dump_messages(messages: Sequence[ModelMessage]) -> str:
    """Return messages as JSON text, with U+FFFD for what such a text cannot hold."""
    try:
        return ModelMessagesTypeAdapter.dump_json(list(messages)).decode()
    except PydanticSerializationError:
        return ModelMessagesTypeAdapter.dump_json(sendable_messages(messages)).decode()


def sendable_messages(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Return messages with U+FFFD for the lone surrogates in their texts."""
    plain = ModelMessagesTypeAdapter.dump_python(list(messages))
    return ModelMessagesTypeAdapter.validate_python(sendable(plain))


def load_messages(text: str) -> list[ModelMessage]:
    """Return the messages that `dump_messages` gave."""
    return ModelMessagesTypeAdapter.validate_json(text)


def digest(messages: list[ModelMessage], settings: Any, parameters: Any) -> str:
    """Return what tells one model request from another, the same in every process."""
    made = hashlib.blake2b(digest_size=16)
    made.update(ModelMessagesTypeAdapter.dump_json(messages, exclude=_LOOP_MADE))
    made.update(to_json([settings, parameters], fallback=_type_name))
    return made.hexdigest()


def signed(
    messages: list[ModelMessage], settings: Any, parameters: Any
) -> tuple[list[ModelMessage], str]:
    """Return a request's messages as they can be sent, and its digest."""
    try:
        return messages, digest(messages, settings, parameters)
    except PydanticSerializationError:
        messages = sendable_messages(messages)
        return messages, digest(messages, settings, parameters)


def parts(messages: list[ModelMessage], settings: Any, parameters: Any) -> dict[str, Any]:
    """Return what `digest` is made of, by name, as plain data."""
    return {
        "messages": ModelMessagesTypeAdapter.dump_python(messages, mode="json", exclude=_LOOP_MADE),
        "settings": plain(settings),
        "parameters": plain(parameters),
    }


def _type_name(value: Any) -> str:
    cls = value if isinstance(value, type) else type(value)
    return f"{cls.__module__}.{cls.__qualname__}"


def last_text(messages: list[ModelMessage]) -> str:
    """Return the beginning of what a request says last, for people who read the journal."""
    for message in reversed(messages):
        for part in reversed(message.parts):
            content = getattr(part, "content", None)
            if isinstance(content, str):
                return content if len(content) <= _SHOWN else content[: _SHOWN - 1] + "…"
    return ""


def plain(value: Any) -> Any:
    """Return arguments as plain data for the digest; objects count by their type alone."""
    return to_jsonable_python(value, fallback=_type_name)


def dump_definitions(definitions: dict[str, ToolDefinition]) -> str:
    """Return the tools of a server as JSON text."""
    return _DEFINITIONS.dump_json(definitions).decode()


def load_definitions(text: str) -> dict[str, ToolDefinition]:
    """Return the tools that `dump_definitions` gave."""
    return _DEFINITIONS.validate_json(text)


def dump_instructions(instructions: Any) -> str:
    """Return the instructions of a server as JSON text."""
    if instructions is not None and not isinstance(instructions, str | InstructionPart):
        instructions = list(instructions)
    return _INSTRUCTIONS.dump_json(instructions).decode()


def load_instructions(text: str) -> Any:
    """Return the instructions that `dump_instructions` gave."""
    return _INSTRUCTIONS.validate_json(text)


def dump_usage(usage: RequestUsage) -> str:
    """Return the usage of a request as JSON text."""
    return _REQUEST_USAGE.dump_json(usage).decode()


def load_request_usage(text: str) -> RequestUsage:
    """Return the usage that `dump_usage` gave."""
    return _REQUEST_USAGE.validate_json(text)


def copy_of(usage: RunUsage) -> RunUsage:
    """Return a usage that stays what it is when the other one grows."""
    return dataclasses.replace(usage, details=dict(usage.details))


def with_usage(outcome: dict[str, Any], used: RunUsage) -> dict[str, Any]:
    """Return the outcome of a tool with what agents inside of it used."""
    if not used.has_values():
        return outcome
    return {**outcome, "usage": _RUN_USAGE.dump_json(used).decode()}


def add_usage(usage: RunUsage, outcome: dict[str, Any]) -> None:
    """Add what the agents inside a tool used to the usage of the run."""
    if "usage" in outcome:
        usage.incr(_RUN_USAGE.validate_json(outcome["usage"]))


async def outcome_of(call: Awaitable[Any], *, raw: bool = False) -> dict[str, Any]:
    """Return what came of a tool, what it tells the agent loop by raising included.

    These are outcomes and no failures of the call, so that no retry policy repeats them.

    Args:
        call: the tool's call.
        raw: keep the result as it is: the job's codec takes it.

    Raises:
        EncodeError: the result has no JSON form.
    """
    try:
        result = await call
    except ApprovalRequired as error:
        return {"kind": "approval", "metadata": to_jsonable_python(error.metadata)}
    except CallDeferred as error:
        return {
            "kind": "deferred",
            "metadata": to_jsonable_python(error.metadata),
            "call": getattr(error, "kind", "external"),
        }
    except ModelRetry as error:
        return {"kind": "retry", "message": error.message}
    except ToolFailed as error:
        return {"kind": "failed", "message": error.message}
    except ToolRetryError as error:
        return {
            "kind": "tool-retry",
            "request": dump_messages([ModelRequest(parts=[error.tool_retry])]),
        }
    except ValidationError as error:
        # The loop would ask the model to try again; the exception itself cannot be rebuilt.
        return {"kind": "retry", "message": str(error)}
    return {"kind": "raw", "result": result} if raw else _returned(result)


def _returned(result: Any) -> dict[str, Any]:
    outcome: dict[str, Any] = {"kind": "return"}
    parts: list[Any] = [ToolReturnPart(tool_name="", content=result, tool_call_id="")]
    try:
        if isinstance(result, ToolReturn):
            outcome["metadata"] = to_jsonable_python(result.metadata)
            parts[0].content = result.return_value
            if result.content is not None:
                parts.append(UserPromptPart(content=result.content))
        return {**outcome, "request": dump_messages([ModelRequest(parts=parts)])}
    except PydanticSerializationError as error:
        raise EncodeError(
            f"the tool's result of type {type(result).__name__} has no JSON form, which the model"
            f" would need too ({error}): return plain data, a dataclass or a model"
        ) from error


def result_of(outcome: dict[str, Any]) -> Any:
    """Return what a tool returned, or raise what it told the agent loop.

    Args:
        outcome: what `outcome_of` gave.
    """
    kind = outcome["kind"]
    if kind == "raw":
        return outcome["result"]
    if kind == "retry":
        raise ModelRetry(outcome["message"])
    if kind == "failed":
        raise ToolFailed(outcome["message"])
    if kind == "approval":
        raise ApprovalRequired(metadata=outcome["metadata"])
    if kind == "deferred":
        raise CallDeferred(metadata=outcome["metadata"], kind=outcome["call"])
    parts: list[Any] = list(load_messages(outcome["request"])[0].parts)
    if kind == "tool-retry":
        raise ToolRetryError(parts[0])
    if "metadata" not in outcome:
        return parts[0].content
    return ToolReturn(
        return_value=parts[0].content,
        content=parts[1].content if len(parts) > 1 else None,
        metadata=outcome["metadata"],
    )


def types_of(output_type: Any, *more: Any) -> Iterator[Any]:
    """Yield the types of what an agent with an output type gives, and `more`."""
    yield from more
    for part in _parts(output_type):
        if isinstance(part, type) or not callable(part) or typing.get_origin(part) is not None:
            yield part
        else:
            yield from annotated_types(part)[:1]


def functions_of(output_type: Any) -> dict[str, Any]:
    """Return the output functions in an output type, by name: their results are of their types."""
    return {
        part.__name__: part
        for part in _parts(output_type)
        if not isinstance(part, type) and hasattr(part, "__name__") and callable(part)
    }


def _parts(output_type: Any) -> Iterator[Any]:
    """Yield the types and functions that an output type consists of."""
    if isinstance(output_type, list | tuple):
        for member in output_type:
            yield from _parts(member)
        return
    for attribute in ("output", "output_function", "outputs"):  # ToolOutput, TextOutput, ...
        inner = getattr(output_type, attribute, None)
        if inner is not None and not isinstance(output_type, type):
            yield from _parts(inner)
            return
    yield output_type
