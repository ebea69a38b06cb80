"""Tools: what a model may ask to have called."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, overload

from perdure.call import RetryPolicy, checked_retry
from perdure.callables import attribute
from perdure.checks import checked_timeout
from perdure.errors import AgentDefinitionError, ConfigurationError
from perdure.llm.message import Attachment
from perdure.llm.tool_schema import FunctionSchema, keep_locals
from perdure.resource import RESOURCE_MARK, Resource, ResourceType, function_of

__all__ = [
    "AnyTool",
    "FunctionTool",
    "InjectedArg",
    "Tool",
    "ToolParameterSource",
    "as_tool",
    "checked_tool_name",
    "tool",
    "tool_result_attachments",
    "tool_result_text",
]

OnError = Literal["return", "raise"]
F = TypeVar("F", bound="Callable[..., Any] | staticmethod[..., Any]")

TOOL_OPTIONS: Final = "__perdure_tool__"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tool(Resource):
    """A tool: a callable, and what a model needs to know of it.

    Each call of a tool is a durable call under the name `tool:NAME`.

    Attributes:
        description: What it does, for the model.
        parameters: JSON schema of its arguments, an object; injected ones are not in it.
        func: What is called with the arguments by keyword; plain or a coroutine function.
        requires_approval: Whether a person must agree before it is called.
        timeout: Seconds for one attempt; None: as configured.
        retry: When a failed attempt is followed by another; None: as configured.
        limit: Name of a configured limit that its attempts count under.
        on_error: "return": the model is told why it failed; "raise": the action fails.
    """

    __journal_name__ = "perdure:Tool"

    RESOURCE_TYPE: ClassVar = ResourceType.TOOL

    description: str
    parameters: dict[str, Any]
    func: Callable[..., Any]
    requires_approval: bool
    timeout: float | None
    retry: RetryPolicy | None
    limit: str | None
    on_error: OnError

    def __init__(
        self,
        func: Callable[..., Any],
        *,
        name: str,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        requires_approval: bool = False,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        limit: str | None = None,
        on_error: OnError = "return",
    ) -> None:
        self.func = func
        self.name = checked_tool_name(name)
        self.description = description
        self.parameters = dict(parameters or {"type": "object", "properties": {}})
        self.requires_approval = requires_approval
        self.timeout = checked_timeout(timeout)
        self.retry = checked_retry(retry)
        self.limit = limit
        if on_error not in typing.get_args(OnError):
            raise AgentDefinitionError(
                f"tool {name!r}: on_error={on_error!r} is neither 'return' nor 'raise'"
            )
        self.on_error = on_error

    @staticmethod
    def from_callable(func: Callable[..., Any], **options: Any) -> FunctionTool:
        """Return a function as a tool; `options` as FunctionTool takes them."""
        return FunctionTool(func, **{**attribute(func, TOOL_OPTIONS, {}), **options})

    def checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the model's arguments in the form that `func` takes.

        Raises:
            ToolArgumentsError: They do not fit the parameters; its text is for the model.
        """
        return arguments

    def injected(self, source: Callable[[str, str], Any]) -> dict[str, Any]:
        """Return the arguments that the model does not see.

        Args:
            source: Returns a value by where it comes from, a value of ToolParameterSource, and its
                name or path; None where there is none.
        """
        return {}


class ToolParameterSource(enum.StrEnum):
    """Where an argument comes from that the model does not see.

    `Tool.injected` asks its source for `(value of this, key)`:

    - "config": the job's configuration, by the option's key
    - "sensory_memory", "short_term_memory": the memory, by path
    - "action_config": the configuration of the action that asked for the tool, by key
    - "key": the key of the run; its own key is ""
    - "run_id": the id of the run; its key is ""
    """

    __journal_name__ = "perdure:ToolParameterSource"

    CONFIG = "config"
    SENSORY_MEMORY = "sensory_memory"
    SHORT_TERM_MEMORY = "short_term_memory"
    ACTION_CONFIG = "action_config"
    KEY = "key"
    RUN_ID = "run_id"
    CONSTANT = "constant"


_UNNAMED: Final = (ToolParameterSource.KEY, ToolParameterSource.RUN_ID)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InjectedArg:
    """Where one argument of a tool comes from that the model does not see.

    Attributes:
        source: Where it comes from.
        key: Its name or path there; None: the name of the parameter.
        value: The value itself, of a constant.
    """

    __journal_name__ = "perdure:InjectedArg"

    source: ToolParameterSource = ToolParameterSource.SENSORY_MEMORY
    key: str | None = None
    value: Any = None

    def __post_init__(self) -> None:
        """Take a source by its word too."""
        try:
            found = ToolParameterSource(str(getattr(self.source, "value", self.source)).lower())
        except ValueError:
            known = ", ".join(each.value for each in ToolParameterSource)
            raise AgentDefinitionError(
                f"injected_args: there is no source {self.source!r}; there are {known}"
            ) from None
        object.__setattr__(self, "source", found)

    @staticmethod
    def from_config(key: str) -> InjectedArg:
        """Return one that is read from the job's configuration."""
        return InjectedArg(source=ToolParameterSource.CONFIG, key=key)

    @staticmethod
    def from_sensory_memory(path: str) -> InjectedArg:
        """Return one that is read from the memory of the run."""
        return InjectedArg(source=ToolParameterSource.SENSORY_MEMORY, key=path)

    @staticmethod
    def from_short_term_memory(path: str) -> InjectedArg:
        """Return one that is read from the memory of the key."""
        return InjectedArg(source=ToolParameterSource.SHORT_TERM_MEMORY, key=path)

    @staticmethod
    def from_action_config(key: str) -> InjectedArg:
        """Return one that is read from the configuration of the action that asked."""
        return InjectedArg(source=ToolParameterSource.ACTION_CONFIG, key=key)

    @staticmethod
    def from_key() -> InjectedArg:
        """Return one that is the key of the run."""
        return InjectedArg(source=ToolParameterSource.KEY)

    @staticmethod
    def from_run_id() -> InjectedArg:
        """Return one that is the id of the run."""
        return InjectedArg(source=ToolParameterSource.RUN_ID)

    @staticmethod
    def constant(value: Any) -> InjectedArg:
        """Return one that is always the same."""
        return InjectedArg(source=ToolParameterSource.CONSTANT, value=value)


InjectedArgs = Mapping[str, "InjectedArg | Mapping[str, Any]"]


class FunctionTool(Tool):
    """A function as a tool: its signature, annotations and docstring say what the model sees.

    Args:
        func: A plain function, which runs on a thread, or a coroutine function.
        name: What the model calls it; by default the function's name.
        description: What it does, for the model; by default what its docstring says.
        injected_args: Where arguments come from that the model does not see, by parameter.
        requires_approval: Whether a person must agree before it is called.
        timeout: Seconds for one attempt.
        retry: When a failed attempt is followed by another.
        limit: Name of a configured limit that its attempts count under.
        on_error: "return": the model is told why it failed; "raise": the action fails.

    Raises:
        AgentDefinitionError: The function or its name is none that a model could call.
        ConfigurationError: The extra `llm` is not installed.
    """

    __journal_name__ = "perdure:FunctionTool"

    def __init__(
        self,
        func: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        injected_args: InjectedArgs | None = None,
        requires_approval: bool = False,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        limit: str | None = None,
        on_error: OnError = "return",
    ) -> None:
        self.injected_args = _injections(injected_args or {})
        self._schema = FunctionSchema(func, hidden=self.injected_args)
        super().__init__(
            func,
            name=_name_of(func) if name is None else name,
            description=self._schema.description if description is None else description,
            parameters=self._schema.json_schema,
            requires_approval=requires_approval,
            timeout=timeout,
            retry=retry,
            limit=limit,
            on_error=on_error,
        )

    def checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._schema.checked(arguments)

    def injected(self, source: Callable[[str, str], Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, each in self.injected_args.items():
            if each.source is ToolParameterSource.CONSTANT:
                found[name] = each.value
                continue
            key = "" if each.source in _UNNAMED else each.key or name
            value = source(each.source.value, key)
            if value is not None:
                found[name] = value
            elif self._schema.hidden[name]:  # without a default of its own
                if not _admits_none(self._schema.types.get(name, Any)):
                    where = f"{each.source.value} has no {key!r}" if key else each.source.value
                    raise ConfigurationError(
                        f"tool {self.name!r}: the injected argument {name!r} is missing: {where};"
                        " set it before, or give the parameter a default"
                    )
                found[name] = None
        return found

    def journaled_types(self) -> list[Any]:
        return list(self._schema.types.values())


def _injections(injected_args: InjectedArgs) -> dict[str, InjectedArg]:
    if not isinstance(injected_args, Mapping):
        raise AgentDefinitionError(
            f"injected_args is a {type(injected_args).__name__}: pass a dict of parameter to"
            " InjectedArg"
        )
    found = {}
    for name, each in injected_args.items():
        if isinstance(each, Mapping):
            try:
                found[name] = InjectedArg(**each)
            except TypeError as error:
                raise AgentDefinitionError(f"injected_args[{name!r}]: {error}") from None
        elif isinstance(each, InjectedArg):
            found[name] = each
        else:
            raise AgentDefinitionError(
                f"injected_args[{name!r}] is {each!r}: pass an InjectedArg, such as"
                " InjectedArg.from_config(...) or InjectedArg.constant(...)"
            )
    return found


def _admits_none(annotation: Any) -> bool:
    if typing.get_origin(annotation) is Annotated:
        annotation = annotation.__origin__
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(_admits_none(each) for each in typing.get_args(annotation))
    return annotation in (Any, object, None, type(None))


def _name_of(func: Any) -> str:
    while isinstance(func, functools.partial):
        func = func.func
    found = attribute(func, "__name__") or attribute(func, "name")
    return found if isinstance(found, str) else type(func).__name__


def checked_tool_name(name: str) -> str:
    """Return a name if models take it.

    Raises:
        AgentDefinitionError: They do not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AgentDefinitionError(
            f"{name!r} names no tool: use 1 to 64 letters, digits, _ and - (name=)"
        )
    return name


_OPTIONS: Final = frozenset(inspect.signature(FunctionTool).parameters) - {"func"}


@overload
def tool(definition: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    injected_args: InjectedArgs | None = None,
    requires_approval: bool = False,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    limit: str | None = None,
    on_error: OnError = "return",
) -> Callable[[F], F]: ...


def tool(definition: Any = None, /, **options: Any) -> Any:
    """Declare a function as a tool; it stays a function, and can be called as before.

    Used as `@tool` or `@tool(requires_approval=True, ...)`, on a function of a module or another
    function, and in an Agent's body on a static method or a function without `self`.

    Args:
        definition: The function.
        **options: As FunctionTool takes them.

    Raises:
        AgentDefinitionError: It is on something that is no function.
    """
    unknown = ", ".join(sorted(set(options) - _OPTIONS))
    if unknown:
        raise TypeError(f"@tool takes no {unknown}; it takes {', '.join(sorted(_OPTIONS))}")
    if definition is None:
        return lambda found: _marked(found, options)
    return _marked(definition, options)


def _marked(definition: F, options: Mapping[str, Any]) -> F:
    func = function_of(definition, "@tool")
    setattr(func, RESOURCE_MARK, ResourceType.TOOL)
    setattr(func, TOOL_OPTIONS, dict(options))
    keep_locals(func)
    return definition


AnyTool = str | Resource | Callable[..., Any]


def as_tool(tool: AnyTool) -> str | Resource:
    """Return a function as a tool, with the options that `@tool` gave it; names and resources stay.

    Raises:
        AgentDefinitionError: It is nothing that a model could call.
    """
    if isinstance(tool, str | Resource):
        return tool
    func: Any = tool.__func__ if isinstance(tool, staticmethod) else tool
    if isinstance(func, type) or not callable(func):
        raise AgentDefinitionError(
            f"{tool!r} is no tool: pass a function, the name of a tool or a Tool"
        )
    return Tool.from_callable(func)


def tool_result_text(result: Any) -> str:
    """Return what a tool returned as the text that the model is shown.

    A str as it is; anything else as JSON: dataclasses and pydantic models as objects, times and
    ids as text, bytes as Base64. Of attachments there is a note: see `tool_result_attachments`.
    """
    if isinstance(result, str):
        return str.__str__(result)
    attachments = tool_result_attachments(result)
    if not attachments:
        return _json(result)
    others = [] if isinstance(result, Attachment) else result
    said = [tool_result_text(each) for each in others if not isinstance(each, Attachment)]
    return "\n".join([*said, *(f"[{each.name or each.media_type}]" for each in attachments)])


def tool_result_attachments(result: Any) -> list[Attachment]:
    """Return the images and files in what a tool returned: it, or items of the list that it is."""
    if isinstance(result, Attachment):
        return [result]
    if isinstance(result, list | tuple):
        return [each for each in result if isinstance(each, Attachment)]
    return []


def _json(value: Any) -> str:
    import msgspec

    try:
        return msgspec.json.encode(value, enc_hook=_json_form).decode()
    except (TypeError, ValueError, OverflowError):
        # Numbers over 64 bits, lone surrogates, keys that are no text: rare, and slower to write.
        return json.dumps(_plain(value), default=str)


def _json_form(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return _plain(value.model_dump(mode="json")) if hasattr(value, "model_dump") else value
