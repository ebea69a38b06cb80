"""How model responses and tool results of the OpenAI Agents SDK are kept in the journal."""

from __future__ import annotations

import hashlib
from typing import Any

import openai
from agents import ModelResponse, ToolOutputFileContent, ToolOutputImage, ToolOutputText
from agents.items import TResponseOutputItem
from agents.usage import Usage
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from perdure.llm.sendable import sendable


class _Item(openai.BaseModel):
    """An item of a response, as a field of what the client reads leniently."""

    item: TResponseOutputItem


_ITEM: TypeAdapter[Any] = TypeAdapter(TResponseOutputItem)
_USAGE = TypeAdapter(Usage)
_CONTENT = {cls.__name__: cls for cls in (ToolOutputText, ToolOutputImage, ToolOutputFileContent)}
_SHOWN = 80


def digest(value: Any) -> str:
    """Return what tells one request from another, the same in every process."""
    try:
        data = to_json(value, fallback=_type_name)
    except PydanticSerializationError:  # for lone surrogates
        data = to_json(sendable(plain(value)))
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _type_name(value: Any) -> str:
    cls = value if isinstance(value, type) else type(value)
    return f"{cls.__module__}.{cls.__qualname__}"


def plain(value: Any) -> Any:
    """Return plain data for a value; what has no such form counts by its type alone."""
    return to_jsonable_python(value, fallback=_type_name)


def last_text(input: Any) -> str:
    """Return the beginning of what a request says last, for people who read the journal."""
    text = input if isinstance(input, str) else ""
    for item in reversed([] if isinstance(input, str) else input):
        content = item.get("content") or item.get("output")
        if isinstance(content, str):
            text = content
            break
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def settings_of(settings: Any) -> Any:
    """Return what counts of a model's settings."""
    return settings.to_json_dict() if hasattr(settings, "to_json_dict") else settings


def tool_of(tool: Any) -> Any:
    """Return what the model sees of a tool."""
    schema = getattr(tool, "params_json_schema", None)
    return [type(tool).__name__, tool.name, getattr(tool, "description", None), schema]


def handoff_of(target: Any) -> Any:
    """Return what the model sees of a handoff."""
    return [target.tool_name, target.tool_description, target.input_json_schema]


def schema_of(schema: Any) -> Any:
    """Return what the model sees of an output type."""
    if schema is None or schema.is_plain_text():
        return None
    return [schema.name(), schema.json_schema()]


def dump_response(response: ModelResponse) -> dict[str, Any]:
    """Return a response as plain data, without the fields that the provider left out."""
    return {
        "output": [
            item.model_dump(mode="json", exclude_unset=True, by_alias=True, warnings=False)
            if isinstance(item, BaseModel)
            else to_jsonable_python(item)
            for item in response.output
        ],
        "usage": _USAGE.dump_python(response.usage, mode="json", warnings=False),
        "response_id": response.response_id,
        "request_id": response.request_id,
    }


def load_response(kept: dict[str, Any]) -> ModelResponse:
    """Return the response that `dump_response` gave."""
    return ModelResponse(
        output=[_item(item) for item in kept["output"]],
        usage=_USAGE.validate_python(kept["usage"]),
        response_id=kept["response_id"],
        request_id=kept["request_id"],
    )


def _item(item: Any) -> Any:
    try:
        return _ITEM.validate_python(item)
    except ValidationError:
        # As the client itself takes what a provider sends that is not quite to the letter.
        return _Item.construct(item=item).item


def dump_result(result: Any, used: Usage) -> dict[str, Any]:
    """Return a tool's result as plain data: what the model sees of it.

    Args:
        result: plain data, the SDK's contents, or anything, of which the model sees `str()`.
        used: what agents inside the tool used.
    """
    kept: dict[str, Any] = {}
    if used.requests or used.total_tokens:
        kept["usage"] = _USAGE.dump_python(used, mode="json", warnings=False)
    if type(result) in _CONTENT.values():
        return {**kept, "contents": [_content(result)], "single": True}
    if isinstance(result, list) and result and all(type(r) in _CONTENT.values() for r in result):
        return {**kept, "contents": [_content(part) for part in result]}
    return {**kept, "value": result if _is_plain(result) else str(result)}


def _content(content: Any) -> list[Any]:
    return [type(content).__name__, content.model_dump(mode="json", exclude_unset=True)]


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(held) for key, held in value.items())
    if isinstance(value, list):
        return all(_is_plain(held) for held in value)
    return value is None or type(value) in (bool, int, float, str)


def load_result(kept: dict[str, Any]) -> tuple[Any, Usage | None]:
    """Return the result and the usage that `dump_result` gave."""
    usage = _USAGE.validate_python(kept["usage"]) if "usage" in kept else None
    if "contents" not in kept:
        return kept["value"], usage
    contents = [_CONTENT[name](**fields) for name, fields in kept["contents"]]
    return (contents[0] if "single" in kept else contents), usage
