"""An agent of theirs compiled to one of the core: actions and resources are wrapped."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from perdure.actions.builtin import builtin
from perdure.agent.declaration import Agent as CoreAgent
from perdure.agent.plan import Builtin
from perdure.context import RunnerContext as CoreContext
from perdure.errors import AgentDefinitionError, ConfigurationError
from perdure.event import Event as CoreEvent
from perdure.flink_agents.api.agents.agent import Agent
from perdure.flink_agents.api.function import Function
from perdure.flink_agents.api.resource import (
    Resource,
    ResourceDescriptor,
    ResourceType,
    check_registrable,
)
from perdure.flink_agents.api.tools.tool import Tool
from perdure.flink_agents.border.builtin_actions import BuiltinActions
from perdure.flink_agents.border.context import BorderContext
from perdure.flink_agents.border.events import to_theirs
from perdure.flink_agents.border.journaled import JOURNALED
from perdure.flink_agents.border.long_term import in_action
from perdure.flink_agents.border.resources import Held, core_type
from perdure.flink_agents.border.skills import HeldSkills
from perdure.flink_agents.plan.configuration import AgentConfiguration

__all__ = ["compiled", "held_resource", "made", "main_models"]

_SIGNATURE: Final = inspect.Signature(
    [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("event", "ctx")]
)

Action = Callable[[Any, Any], Any]
Resources = Mapping[ResourceType, Mapping[str, Any]]


def made(agent: Any) -> Agent:
    """Return an agent of theirs.

    Args:
        agent: The agent, its class or a function that makes it.

    Raises:
        AgentDefinitionError: It is none.
    """
    theirs = agent() if callable(agent) and not isinstance(agent, Agent) else agent
    if not isinstance(theirs, Agent):
        raise AgentDefinitionError(
            f"{agent!r:.100} is no agent of Flink Agents: pass an Agent of"
            " flink_agents.api.agents.agent, its class or a factory"
        )
    return theirs


def compiled(
    agent: Any,
    config: AgentConfiguration,
    values: Iterable[Any] = (),
    *,
    resources: Resources = MappingProxyType({}),
    models: Iterable[type] = (),
    plain_outputs: bool = False,
) -> CoreAgent:
    """Return an agent of theirs as an agent of the core.

    Args:
        agent: The agent, its class or a function that makes it.
        config: The job's configuration; read while the agent runs.
        values: Inputs, as far as they are known: their types need no registration.
        resources: Those of the environment by type and name, which give way to its own.
        models: Further types that need no registration.
        plain_outputs: Outputs leave as plain data.

    Raises:
        AgentDefinitionError: It is no agent of theirs, or what it declares cannot be used.
        ConfigurationError: It has a resource of a type that there is nothing for here.
    """
    theirs = made(agent)
    cls = type(theirs)
    core: CoreAgent = type(
        cls.__name__,
        (CoreAgent,),
        {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__},
    )()
    functions = []
    for name, triggers, func, options in _actions(theirs):
        functions.append(func)
        core.add_action(name, triggers, _wrapped(name, func, config, plain_outputs), **options)
    for type_, name, source in _resources(theirs, resources):
        core.add_resource(name, *held_resource(name, type_, source))
    types = (*_models_of(cls, functions), *_models_in(values), *models)
    core._perdure_builtin = _builtin(config, types)  # type: ignore[attr-defined]
    return core


def main_models(agent: Agent) -> list[type]:
    """Return the models that an agent needs of the program itself, which others cannot import."""
    functions = [func for _, _, func, _ in _actions(agent)]
    return [each for each in _models_of(type(agent), functions) if each.__module__ == "__main__"]


# Actions


def _actions(agent: Agent) -> Iterator[tuple[str, list[str], Action, Mapping[str, Any]]]:
    found: dict[str, tuple[list[str], Action, Mapping[str, Any]]] = {}
    for owner in reversed(type(agent).__mro__):
        for name, definition in vars(owner).items():
            func = getattr(definition, "__func__", definition)
            triggers = getattr(func, "_trigger_conditions", None)
            if triggers is not None and inspect.isfunction(func):
                target = getattr(func, "_target", None)
                is_method = not isinstance(definition, staticmethod) and _needs_self(func)
                action = func if target is None else target.as_callable()
                found[name] = (triggers, getattr(agent, name) if is_method else action, {})
            elif name in found and triggers is None:
                del found[name]
    for name, (triggers, function, options) in agent.actions.items():
        if name in found:
            raise AgentDefinitionError(f"{type(agent).__name__}: Action {name} already defined")
        found[name] = (triggers, _callable(function), options or {})
    return ((name, *each) for name, each in found.items())


def _needs_self(func: Action) -> bool:
    return len(inspect.signature(func).parameters) == 3


def _callable(function: Function) -> Action:
    found: Action = function.as_callable()  # type: ignore[attr-defined]
    return found


def _wrapped(name: str, func: Action, config: AgentConfiguration, plain_outputs: bool) -> Action:
    """Return an action as the core calls it."""
    is_coroutine = inspect.iscoroutinefunction(func)

    def context(event: CoreEvent, ctx: CoreContext) -> BorderContext:
        return BorderContext(
            ctx, config, is_coroutine=is_coroutine, action=name, event=event,
            plain_outputs=plain_outputs,
        )  # fmt: skip

    if is_coroutine:

        @functools.wraps(func)
        async def act(event: CoreEvent, ctx: CoreContext) -> Any:
            border = context(event, ctx)
            found = await func(to_theirs(event), border)
            border.check_ended()
            return found

    else:

        @functools.wraps(func)
        def act(event: CoreEvent, ctx: CoreContext) -> Any:
            return func(to_theirs(event), context(event, ctx))

    # Without it the core would read theirs, whose annotations name theirs.
    act.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
    return act


# Resources


def _resources(agent: Agent, others: Resources) -> Iterator[tuple[ResourceType, str, Any]]:
    found = {
        (type_, name): source
        for type_, several in others.items()
        for name, source in several.items()
    }
    for owner in reversed(type(agent).__mro__):
        for name, definition in vars(owner).items():
            func = getattr(definition, "__func__", definition)
            type_ = getattr(func, "_flink_agents_resource", None)
            if type_ is None or not inspect.isfunction(func):
                continue
            if type_ is ResourceType.TOOL:
                found[type_, name] = Tool.from_callable(func)
            else:
                is_static = isinstance(definition, staticmethod) or not _parameters(func)
                found[type_, name] = func() if is_static else getattr(agent, name)()
    for type_, several in agent.resources.items():
        found.update({(type_, name): source for name, source in several.items()})
    return ((type_, name, source) for (type_, name), source in found.items())


def _parameters(func: Any) -> int:
    return len(inspect.signature(func).parameters)


def held_resource(name: str, type_: ResourceType, source: Any) -> tuple[Any, Any]:
    """Return the core's type of a resource, and a resource of the core that holds it.

    Raises:
        ConfigurationError: There is nothing here for its type.
        AgentDefinitionError: It is no resource.
    """
    check_registrable(name, type_)
    core = core_type(type_)
    if core is None:
        raise ConfigurationError(
            f"the {type_.value} {name!r}: resources of this type are not supported here yet"
        )
    if type_ is ResourceType.TOOL and inspect.isroutine(source):
        source = Tool.from_callable(source)
    if not isinstance(source, Resource | ResourceDescriptor):
        wanted = "a SubagentSetup" if type_ is ResourceType.AGENT else "a resource"
        raise AgentDefinitionError(
            f"the {type_.value} {name!r} is a {type(source).__name__}: pass {wanted} or a"
            " ResourceDescriptor"
        )
    return core, HeldSkills(source) if type_ is ResourceType.SKILLS else Held(core, source)


# What every agent has


def _builtin(config: AgentConfiguration, types: Iterable[type]) -> Builtin:
    usual = builtin()
    return msgspec.structs.replace(
        usual,
        actions=BuiltinActions(config).agent(),
        long_term_memory=in_action(usual.long_term_memory),
        in_turn=True,  # as theirs: what one action wrote, the next one sees
        annotated_types=(*usual.annotated_types, *JOURNALED, *types),
    )


def _models_of(cls: type, functions: Iterable[Action]) -> list[type]:
    modules = {each.__module__ for each in cls.__mro__} | {each.__module__ for each in functions}
    return _bound_models(modules)


def _bound_models(modules: Iterable[str]) -> list[type]:
    """Return the models and dataclasses that modules bind by name, imported ones too."""
    found: list[type] = []
    for module in sorted(modules):
        if module.partition(".")[0] in ("perdure", "flink_agents", "builtins"):
            continue
        for value in list(vars(sys.modules.get(module, object)).values()):
            if isinstance(value, type) and _is_model(value):
                found.append(value)
    return found


def _is_model(cls: type) -> bool:
    is_one = issubclass(cls, BaseModel) or dataclasses.is_dataclass(cls)
    return is_one and not cls.__module__.startswith(("perdure.", "pydantic"))


def _models_in(values: Iterable[Any]) -> list[type]:
    """Return the classes of models that values are, or hold in lists and mappings."""
    found: dict[type, None] = {}
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif _is_model(type(value)):
            found[type(value)] = None
    return list(found)
