"""OutputSchema: the form that a model's final answer shall have."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from perdure.errors import (
    AgentDefinitionError,
    OutputSchemaError,
    missing_extra,
)
from perdure.llm.json_form import of_json
from perdure.llm.json_schema import fault_of, json_validator

__all__ = ["OutputMode", "OutputSchema"]

OutputMode = Literal["auto", "native", "tool", "prompted"]

_FENCE: Final = re.compile(r"```(?:json)?\s*\n?(.*?)\n?```", re.DOTALL)
_OBJECT: Final = re.compile(r'\{\s*["}]')  # where an object may begin
_WRAPPED: Final = "result"
_MOST_ERRORS: Final = 5
_NONE: Final = object()  # no JSON: null is some


class OutputSchema:
    """A JSON schema, and how a value of it is read.

    Attributes:
        json_schema: An object schema; a type that is no object is wrapped under "result".
        source: The schema before that; `OutputSchema(source)` has the same `json_schema`.
        name: What it is called, for providers.
        type: The type whose values `parse` returns; None: plain JSON values.
    """

    __slots__ = ("_adapter", "_validator", "_wrapped", "json_schema", "name", "source", "type")

    def __init__(self, json_schema: Mapping[str, Any], *, name: str | None = None) -> None:
        """Take a JSON schema; `parse` then returns plain JSON values.

        Args:
            json_schema: A JSON schema, draft 2020-12.
            name: What it is called; its title when not given.
        """
        self.type: Any = None
        self._adapter: Any = None
        self._validator: Any = None
        self._set(dict(json_schema), name or str(json_schema.get("title", "output")))

    def _set(self, schema: dict[str, Any], name: str) -> None:
        self.source: Mapping[str, Any] = dict(schema)
        # Providers take an object at the top only; one behind a reference is one too.
        self._wrapped = schema.get("type") != "object" and not _refers_to_object(schema)
        if self._wrapped:
            definitions = schema.pop("$defs", None)
            schema = {"type": "object", "properties": {_WRAPPED: schema}, "required": [_WRAPPED]}
            if definitions is not None:
                schema["$defs"] = definitions
        self.json_schema = schema
        self.name = re.sub(r"\W", "_", name)[:60] or "output"

    @classmethod
    def of(cls, output: Any) -> OutputSchema:
        """Return the schema of a type: a pydantic model, dataclass, TypedDict, `list[int]`...

        Args:
            output: A type, a JSON schema, or an OutputSchema.

        Raises:
            AgentDefinitionError: The type has no JSON schema.
            ConfigurationError: The extra `llm` is not installed.
        """
        if isinstance(output, cls):
            return output
        if isinstance(output, Mapping):
            return cls(output)
        try:
            return _of_type(output)
        except TypeError:  # unhashable
            return _made_of_type(output)

    def parse(self, answer: Any) -> Any:
        """Return the value that an answer holds.

        Args:
            answer: JSON text, also in a fenced block or with text around it, or the parsed object.

        Raises:
            OutputSchemaError: It does not fit; the text says where, for the model.
        """
        data = _parsed(answer) if isinstance(answer, str) else answer
        if self._adapter is None:
            self._validate(data)
            return data[_WRAPPED] if self._wrapped else data
        if self._wrapped:
            if not isinstance(data, dict) or _WRAPPED not in data:
                raise OutputSchemaError(f"the answer must be an object with {_WRAPPED!r}")
            data = data[_WRAPPED]
        try:
            return of_json(self._adapter.validator, data)
        except ValueError as error:
            raise OutputSchemaError(_explained(error)) from None

    def _validate(self, data: Any) -> None:
        found = self._json_validator().iter_errors(data)
        errors = sorted(found, key=lambda e: list(map(str, e.path)))
        if errors:
            said = [f"{e.json_path}: {e.message}" for e in errors[:_MOST_ERRORS]]
            raise OutputSchemaError("; ".join(said))

    def _json_validator(self) -> Any:
        if self._validator is None:
            self._validator = json_validator(self.json_schema)
        return self._validator

    def check(self) -> None:
        """Make sure that a JSON schema is one, before a model is asked for an answer to it.

        It is looked into once; a schema with the same content costs next to nothing.

        Raises:
            AgentDefinitionError: It is none, or refers to what it does not hold.
            ConfigurationError: The extra `llm` is not installed.
        """
        said = self.fault()
        if said is not None:
            raise AgentDefinitionError(f"output_schema is no JSON schema: {said}")

    def fault(self) -> str | None:
        """Return what is wrong with a JSON schema, as `check` says it; None: nothing."""
        if self._adapter is not None:
            return None
        try:
            # As it is written, so that paths are its own; references lead through what it became.
            return fault_of(json.dumps(self.source), json.dumps(self.json_schema))
        except TypeError as error:
            return str(error)

    def instruction(self) -> str:
        """Return what a model is told that takes no schema of its own."""
        return (
            "Answer with one JSON object that fits this JSON schema, and with nothing else:\n"
            + json.dumps(self.json_schema, ensure_ascii=False)
        )

    def __repr__(self) -> str:
        return f"OutputSchema({self.name})"


@functools.lru_cache(maxsize=256)
def _of_type(output: Any) -> OutputSchema:
    return _made_of_type(output)


def _made_of_type(output: Any) -> OutputSchema:
    try:
        from pydantic import TypeAdapter
        from pydantic.errors import PydanticUserError
    except ImportError as error:
        raise missing_extra("an output schema made of a type", "llm", error) from None
    try:
        adapter = TypeAdapter(output)
        schema = adapter.json_schema()
    except (PydanticUserError, NameError, TypeError, AttributeError) as error:
        said = str(error).partition("\n")[0]
        raise AgentDefinitionError(
            f"output_schema {output!r} has no JSON schema: {said}; pass a pydantic model, a"
            " dataclass, a TypedDict or a JSON schema"
        ) from None
    made = OutputSchema(schema, name=getattr(output, "__name__", None))
    made.type = output
    made._adapter = adapter
    return made


def _refers_to_object(schema: Mapping[str, Any]) -> bool:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    target = schema.get("$defs", {}).get(name, {})
    return bool(target.get("type") == "object")


def _parsed(text: str) -> Any:
    """Return the JSON object of a text; models like to wrap it in words or a fenced block.

    It is the first object of the text: an inner one of an answer that was cut off must not pass
    for the whole.
    """
    found = [value for value in map(_loaded, (text, *_FENCE.findall(text))) if value is not _NONE]
    begin = _OBJECT.search(text)
    if begin is not None:
        found.append(_loaded(text[begin.start() :], json.JSONDecoder().raw_decode))
    for value in found:
        if isinstance(value, dict):
            return value
    if found and found[0] is not _NONE:
        return found[0]
    raise OutputSchemaError("the answer is not JSON")


def _loaded(text: str, load: Callable[[str], Any] = json.loads) -> Any:
    try:
        value = load(text)
    except (ValueError, RecursionError):
        return _NONE
    return value[0] if isinstance(value, tuple) else value


def _explained(error: Any) -> str:
    if not hasattr(error, "errors"):
        return str(error)
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in found]
    return "; ".join(said[:_MOST_ERRORS])
