"""The JSON schema of a function's arguments, and how a model's arguments become them.

Signature, annotations and docstring say it all: names and types, `Annotated[..., Field(...)]`,
defaults, and the descriptions under `Args:` (Google), `Parameters` (NumPy) or `:param:` (Sphinx).
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from perdure.annotations import annotations_of, signature_of
from perdure.callables import attribute, innermost
from perdure.errors import (
    AgentDefinitionError,
    ToolArgumentsError,
    missing_extra,
)
from perdure.llm.json_form import of_json

__all__ = ["FunctionSchema", "keep_locals"]

_MOST_ERRORS: Final = 5
_KEPT: Final = "__perdure_locals__"
_WORD: Final = re.compile(r"\w+")
_RESERVED: Final = ("durable_id", "reconciler")
_VARIADIC: Final = {
    inspect.Parameter.POSITIONAL_ONLY: "the positional-only parameter {}",
    inspect.Parameter.VAR_POSITIONAL: "*{}",
    inspect.Parameter.VAR_KEYWORD: "**{}",
}


class FunctionSchema:
    """What a model is told of a function's arguments, and the check of those that it gives.

    Attributes:
        description: What the function does, by its docstring.
        json_schema: JSON schema of the arguments: an object that takes no other ones.
        types: Annotations of the arguments, and of the result under "return".
        hidden: Parameters that are not in the schema, with whether they must be given.
    """

    __slots__ = ("_always", "_fields", "_model", "description", "hidden", "json_schema", "types")

    def __init__(self, func: Callable[..., Any], *, hidden: Collection[str] = ()) -> None:
        """Read a function.

        Args:
            func: A plain or a coroutine function, a method, or an object that is called.
            hidden: Parameters that the model does not see.

        Raises:
            AgentDefinitionError: It has parameters that a model cannot give, or types that have
                no JSON schema.
            ConfigurationError: The extra `llm` is not installed.
        """
        parameters = _parameters(func)
        unknown = sorted(set(hidden) - set(parameters))
        if unknown:
            raise AgentDefinitionError(
                f"tool {_said(func)}: injected_args names {', '.join(unknown)}, which"
                f" the function does not take; it takes {', '.join(parameters) or 'nothing'}"
            )
        self.types = _annotations(func)
        self._always = {
            name for name, each in parameters.items() if each.default is inspect.Parameter.empty
        }
        self.description, descriptions = _documented(func)
        self.hidden = {name: name in self._always for name in hidden}
        visible = {name: each for name, each in parameters.items() if name not in self.hidden}
        self._model, self._fields = _model(func, visible, self.types, descriptions)
        self.json_schema = _json_schema(func, self._model)

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function's types have them; defaults are left out.

        Args:
            arguments: JSON values by name, as a model gives them.

        Raises:
            ToolArgumentsError: They do not fit; the text says which and why, for the model.
        """
        if not isinstance(arguments, Mapping):
            raise ToolArgumentsError(
                f"the arguments must be one JSON object, not {_json_type(arguments)}"
            )
        try:
            made = of_json(self._model.__pydantic_validator__, dict(arguments))
        except ValueError as error:
            raise ToolArgumentsError(_explained(error, list(self._fields.values()))) from None
        given = made.model_fields_set
        return {
            name: getattr(made, field)
            for field, name in self._fields.items()
            if field in given or name in self._always
        }


def _said(func: Callable[..., Any]) -> str:
    module = attribute(func, "__module__")
    name = attribute(func, "__qualname__") or type(func).__qualname__
    return f"{module}.{name}" if module else name


def _parameters(func: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        parameters = dict(signature_of(func).parameters)
    except (TypeError, ValueError) as error:
        raise AgentDefinitionError(
            f"tool {_said(func)} has no signature ({error}): wrap it in a function that has one"
        ) from None
    if inspect.isfunction(func) and next(iter(parameters), "") in ("self", "cls"):
        raise AgentDefinitionError(
            f"tool {_said(func)} takes {next(iter(parameters))}: make it a static method, or pass"
            " the method of an instance"
        )
    for name, each in parameters.items():
        if each.kind in _VARIADIC:
            raise AgentDefinitionError(
                f"tool {_said(func)} takes {_VARIADIC[each.kind].format(name)}, which a model"
                " cannot name: give it parameters with names"
            )
        if name in _RESERVED:
            raise AgentDefinitionError(
                f"tool {_said(func)} has a parameter {name!r}, which is an option of durable calls:"
                " give it another name"
            )
    return parameters


def _annotations(func: Callable[..., Any]) -> dict[str, Any]:
    function = _function_behind(func)
    found = annotations_of(function)
    names = getattr(function, "__globals__", {})
    around = _locals_around(function)
    hints = {}
    for name, annotation in found.items():
        one = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints.update(typing.get_type_hints(one, names, around, include_extras=True))
        except (NameError, TypeError, AttributeError, SyntaxError) as error:
            if name == "return":  # nothing is checked by it
                continue
            raise AgentDefinitionError(
                f"tool {_said(func)}: the annotation of {name} cannot be read: {error}; define the"
                " types it names in its module, before the tool is made"
            ) from None
    return hints


def _function_behind(func: Callable[..., Any]) -> Any:
    """Return the function that has the annotations of a callable."""
    target: Any = func
    while isinstance(target, functools.partial):
        target = target.func
    if not inspect.isroutine(target) and not isinstance(target, type):
        call = getattr(type(target), "__call__", None)  # noqa: B004 - the method itself is wanted
        target = call if attribute(target, "__wrapped__") is None else target
    return innermost(target)


def keep_locals(func: Any) -> None:
    """Keep what the annotations of a local function name, for when the function around it is gone.

    Args:
        func: Any function; one of a module needs nothing.
    """
    function = _function_behind(func)
    found = _locals_around(function)
    if found:
        said = " ".join(map(str, annotations_of(function).values()))
        names = set(_WORD.findall(said)) & set(found)
        setattr(function, _KEPT, {name: found[name] for name in names})


def _locals_around(function: Any) -> dict[str, Any]:
    """Return the names of the function around a local one, while that still runs."""
    outer, _, _ = getattr(function, "__qualname__", "").rpartition(".<locals>.")
    if not outer:
        return {}
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_qualname == outer and frame.f_globals is function.__globals__:
            return dict(frame.f_locals)
        frame = frame.f_back
    return dict(getattr(function, _KEPT, {}))


def _documented(func: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of a function, and of its parameters."""
    text = inspect.getdoc(func) or ""
    try:
        import docstring_parser
    except ImportError as error:
        raise missing_extra("a tool", "llm", error) from None
    try:
        found = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return text, {}
    parts = [found.short_description, found.long_description]
    described = {
        each.arg_name: " ".join(each.description.split())
        for each in found.params
        if each.description
    }
    return "\n\n".join(part for part in parts if part), described


def _model(
    func: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    types: Mapping[str, Any],
    descriptions: Mapping[str, str],
) -> tuple[Any, dict[str, str]]:
    """Return a pydantic model of the parameters, and the parameter of each of its fields."""
    try:
        from pydantic import ConfigDict, Field, create_model
        from pydantic.errors import PydanticUserError
    except ImportError as error:
        raise missing_extra("a tool", "llm", error) from None
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    for index, (name, each) in enumerate(parameters.items()):
        # A field's own name may be anything that pydantic keeps for itself: the alias is the name.
        field = f"p{index}"
        names[field] = name
        annotation = types.get(name, Any)
        info: dict[str, Any] = {"alias": name}
        if each.default is not inspect.Parameter.empty:
            info["default"] = each.default
        said = _described(annotation, descriptions.get(name))
        if said is not None:
            info["description"] = said
        fields[field] = (annotation, Field(**info))
    try:
        made = create_model(
            attribute(func, "__name__", type(func).__name__),
            __config__=ConfigDict(extra="forbid", validate_default=False),
            **fields,
        )
    except (PydanticUserError, TypeError, NameError, AttributeError) as error:
        raise _unfit(func, error) from None
    return made, names


def _described(annotation: Any, by_docstring: str | None) -> str | None:
    """Return what a parameter is for: by its Field, its docstring, or a text in Annotated."""
    extras = getattr(annotation, "__metadata__", ())
    for each in extras:
        if not isinstance(each, str) and isinstance(getattr(each, "description", None), str):
            return str(each.description)
    return by_docstring or next((each for each in extras if isinstance(each, str)), None)


def _unfit(func: Callable[..., Any], error: Exception) -> AgentDefinitionError:
    said = " ".join(str(error).split())
    return AgentDefinitionError(
        f"tool {_said(func)}: a parameter has no JSON schema: {said}; give it a type of JSON, or"
        " inject it (injected_args)"
    )


def _json_schema(func: Callable[..., Any], model: Any) -> dict[str, Any]:
    from pydantic.errors import PydanticUserError
    from pydantic.json_schema import GenerateJsonSchema

    class Silent(GenerateJsonSchema):
        """Leaves a default that is no JSON out without a warning."""

        def emit_warning(self, kind: Any, detail: str) -> None:
            """Say nothing."""

    try:
        schema = model.model_json_schema(by_alias=True, schema_generator=Silent)
    except PydanticUserError as error:
        raise _unfit(func, error) from None
    schema.pop("description", None)
    schema = _untitled(schema)
    schema.setdefault("properties", {})
    return typing.cast("dict[str, Any]", schema)


def _untitled(schema: Any) -> Any:
    """Return a schema without the titles that are made of names."""
    if isinstance(schema, list):
        return [_untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs") and isinstance(value, dict):
            kept[key] = {name: _untitled(each) for name, each in value.items()}
        elif key in ("default", "const", "enum", "examples"):
            kept[key] = value
        elif key != "title":
            kept[key] = _untitled(value)
    return kept


def _json_type(value: Any) -> str:
    names = {str: "a string", list: "an array", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "this")


def _explained(error: Any, known: list[str]) -> str:
    if not hasattr(error, "errors"):
        return str(error)
    said = []
    for each in error.errors(include_url=False, include_context=False)[:_MOST_ERRORS]:
        where = ".".join(map(str, each["loc"])) or "arguments"
        if each["type"] == "extra_forbidden" and len(each["loc"]) == 1:
            said.append(f"{where}: there is no such argument; there are: {', '.join(known)}")
        else:
            said.append(f"{where}: {each['msg']}")
    return "; ".join(said)
