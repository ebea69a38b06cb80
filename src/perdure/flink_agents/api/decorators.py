"""The decorators that declare actions and resources in an agent's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from perdure.flink_agents.api.function import Function
from perdure.flink_agents.api.resource import ResourceType
from perdure.flink_agents.api.tools.tool_parameter_injection import (
    InjectedArg,
    normalize_injected_args,
    validate_injected_arg_names,
)

__all__ = [
    "action",
    "chat_model_connection",
    "chat_model_setup",
    "embedding_model_connection",
    "embedding_model_setup",
    "mcp_server",
    "prompt",
    "skills",
    "tool",
    "vector_store",
]

F = TypeVar("F", bound=Any)


def action(*trigger_conditions: Any, target: Function | None = None) -> Callable[[F], F]:
    """Declare a static method as an action.

    Args:
        *trigger_conditions: Event types, or conditions; event classes stand for their types.
        target: A function elsewhere that is called instead.
    """
    assert trigger_conditions, "action must have at least one trigger condition"
    names = [getattr(each, "EVENT_TYPE", each) for each in trigger_conditions]
    for each in names:
        assert isinstance(each, str), "trigger conditions must be strings"
        assert each.strip(), "trigger conditions must not be blank"

    def decorate(func: F) -> F:
        marked = _function_of(func)
        marked._trigger_conditions = names
        marked._listen_events = names
        if target is not None:
            marked._target = target
        return func

    return decorate


def _function_of(func: Any) -> Any:
    return getattr(func, "__func__", func)


def _declares(type_: ResourceType, mark: str) -> Callable[[F], F]:
    def decorate(func: F) -> F:
        marked = _function_of(func)
        setattr(marked, mark, True)
        marked._flink_agents_resource = type_
        return func

    decorate.__name__ = decorate.__qualname__ = mark.removeprefix("_is_")
    decorate.__doc__ = f"Declare that a static method returns a {type_.value}."
    return decorate


chat_model_connection = _declares(ResourceType.CHAT_MODEL_CONNECTION, "_is_chat_model_connection")
chat_model_setup = _declares(ResourceType.CHAT_MODEL, "_is_chat_model_setup")
embedding_model_connection = _declares(
    ResourceType.EMBEDDING_MODEL_CONNECTION, "_is_embedding_model_connection"
)
embedding_model_setup = _declares(ResourceType.EMBEDDING_MODEL, "_is_embedding_model_setup")
prompt = _declares(ResourceType.PROMPT, "_is_prompt")
mcp_server = _declares(ResourceType.MCP_SERVER, "_is_mcp_server")
vector_store = _declares(ResourceType.VECTOR_STORE, "_is_vector_store")
skills = _declares(ResourceType.SKILLS, "_is_skills")

_mark_tool = _declares(ResourceType.TOOL, "_is_tool")


@overload
def tool(func: F) -> F: ...


@overload
def tool(*, injected_args: Mapping[str, InjectedArg | dict[str, Any]] | None = None) -> Any: ...


def tool(
    func: Any = None,
    *,
    injected_args: Mapping[str, InjectedArg | dict[str, Any]] | None = None,
) -> Any:
    """Declare a static method as a tool.

    Args:
        func: The method.
        injected_args: Where arguments come from that the model does not see, by parameter.
    """

    def decorate(definition: Any) -> Any:
        _mark_tool(definition)
        if injected_args:
            marked = _function_of(definition)
            marked._injected_args = normalize_injected_args(injected_args)
            validate_injected_arg_names(marked, marked._injected_args)
        return definition

    return decorate if func is None else decorate(func)
