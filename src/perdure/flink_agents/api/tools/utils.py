"""Schemas of tools: from a function's signature, and from a JSON schema."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal, Optional

from docstring_parser import parse
from pydantic import BaseModel, Field, create_model

__all__ = [
    "CONSTRAINT_MAPPING",
    "TYPE_MAPPING",
    "create_model_from_schema",
    "create_schema_from_function",
    "description_of",
]

TYPE_MAPPING: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}

CONSTRAINT_MAPPING: dict[str, str] = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "inclusiveMinimum": "ge",
    "inclusiveMaximum": "le",
    "minItems": "min_length",
    "maxItems": "max_length",
}


def description_of(func: Callable[..., Any]) -> str:
    """Return what a function's docstring says that it does."""
    return parse(func.__doc__ or "").description or ""


def create_schema_from_function(
    name: str, func: Callable[..., Any], injected_args: Iterable[str] | None = None
) -> type[BaseModel]:
    """Return a function's parameters as a pydantic model.

    Args:
        name: The model's name.
        func: The function.
        injected_args: Parameters that are left out.
    """
    said = {each.arg_name: each.description for each in parse(func.__doc__ or "").params}
    hints = _hints(func)
    hidden = set(injected_args or ())
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(func).parameters.values():
        if parameter.name in hidden or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        annotation = hints.get(parameter.name, Any)
        description = said.get(parameter.name) or f"Parameter: {parameter.name}"
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (annotation, Field(default, description=description))
    made: type[BaseModel] = create_model(name, **fields)
    return made


def _hints(func: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(func, include_extras=True)
    except Exception:  # an annotation may raise anything when it is evaluated
        return {}


def create_model_from_schema(name: str, schema: dict[str, Any]) -> type[BaseModel]:
    """Return a JSON schema of an object as a pydantic model."""
    known: dict[str, type[BaseModel]] = {}
    defined = {**schema.get("definitions", {}), **schema.get("$defs", {})}

    def model(title: str, given: dict[str, Any]) -> type[BaseModel]:
        needed = set(given.get("required", ()))
        fields: dict[str, Any] = {}
        for each, what in given.get("properties", {}).items():
            constraints = {
                ours: what[theirs] for theirs, ours in CONSTRAINT_MAPPING.items() if theirs in what
            }
            default = ... if each in needed and "default" not in what else what.get("default")
            annotation = kind(each, what)
            if default is None:
                annotation = Optional[annotation]  # noqa: UP045  # of a value
            fields[each] = (
                annotation,
                Field(default, description=what.get("description"), **constraints),
            )
        made: type[BaseModel] = create_model(title, **fields)
        return made

    def kind(title: str, what: dict[str, Any]) -> Any:
        if "$ref" in what:
            target = what["$ref"].rpartition("/")[2]
            if target not in known:
                known[target] = model(target, defined[target])
            return known[target]
        if "enum" in what:
            return Literal[tuple(what["enum"])]
        several = what.get("anyOf") or what.get("oneOf")
        if several:
            return typing.Union[tuple(kind(title, each) for each in several)]  # noqa: UP007
        type_ = what.get("type")
        if isinstance(type_, list):
            return typing.Union[tuple(kind(title, {**what, "type": each}) for each in type_)]  # noqa: UP007
        if type_ == "object" and what.get("properties"):
            return model(f"{name}_{title}", what)
        if type_ == "array" and "items" in what:
            return list[kind(title, what["items"])]  # type: ignore[misc]
        return TYPE_MAPPING.get(type_ or "", Any)

    return model(name, schema)
