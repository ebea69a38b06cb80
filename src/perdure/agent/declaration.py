"""Agents: actions and what triggers them, declared as a class or built by calls.

Declaring runs nothing. `perdure.agent.plan` compiles an agent to the frozen plan that a runtime
works from; what is wrong with an agent is an `AgentDefinitionError`, at class creation where it
can be seen there.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self, TypeVar

import msgspec

from perdure.agent.resources import ResourceSpec, added_resource, declared_resources, merged
from perdure.annotations import signature_of
from perdure.conditions.condition import Condition, event_type_of, is_condition
from perdure.errors import AgentDefinitionError
from perdure.event import (
    Event,
    EventType,
)
from perdure.printable import unstorable
from perdure.resource import ResourceType

__all__ = ["ActionMark", "Agent", "action", "action_functions", "agent_resources", "type_of"]

F = TypeVar("F", bound="Callable[..., Any] | staticmethod[..., Any]")
Trigger = type[Event] | str

_MARK: Final = "__perdure_action__"


class ActionMark(msgspec.Struct, frozen=True, kw_only=True):
    """What `@action` leaves on a function."""

    name: str
    triggers: tuple[Trigger | Condition, ...]
    config: Mapping[str, Any]


class _Declared(msgspec.Struct, frozen=True, kw_only=True):
    """One action as found on a class: its mark, and the definition that runs."""

    mark: ActionMark
    attribute: str
    definition: Any


def action(
    *trigger_conditions: Trigger, name: str | None = None, **config: Any
) -> Callable[[F], F]:
    """Declare a function in an agent's class body as an action.

    It takes `(self, event, ctx)`, or `(event, ctx)` as a `@staticmethod` or a plain function;
    parameters with defaults do not count. It may be plain or a coroutine function.

    Args:
        *trigger_conditions: Event classes, event types or conditions in CEL, such as
            `type == EventType.InputEvent && input.score > 80`; any of them triggers the action.
        name: The action's name, the function's own by default.
        **config: Options of this action, which it finds in its context.

    Returns:
        A decorator that marks the function and returns it.

    Raises:
        AgentDefinitionError: A trigger, or the function, cannot be what it is meant to be.
        ConfigurationError: A condition needs the extra `conditions`.
    """
    # `@action` without parentheses is given the function as a trigger.
    where = f"@action(name={name!r})" if name is not None else "@action"
    plain = [each for each in trigger_conditions if not _is_condition(each)]
    if plain or not trigger_conditions:
        _checked_triggers(where, plain)

    def decorate(definition: F) -> F:
        func = _function_of(definition)
        if func is None:
            raise AgentDefinitionError(
                f"{where} is on {definition!r}: put it on a method, a static method or a function"
            )
        own_name = _checked_name(func.__name__ if name is None else name)
        body = sys._getframe(1).f_locals
        if "__qualname__" in body and _mark_of(body.get(func.__name__)) is not None:
            raise AgentDefinitionError(
                f"{body['__qualname__']} declares action {func.__name__!r} twice: rename one"
            )
        triggers = _checked_triggers(where, trigger_conditions, own_name)
        config_view = types.MappingProxyType(dict(config))
        mark = ActionMark(name=own_name, triggers=triggers, config=config_view)
        setattr(func, _MARK, mark)
        return definition

    return decorate


class Agent:
    """A set of actions: subclass it, or build one with `add_action`.

    The instance is shared by all runs and never changed by them: state belongs in memory.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the actions that the class declares."""
        super().__init_subclass__(**kwargs)
        for declared in _declared_actions(cls).values():
            _binds_self(f"{cls.__name__}.{declared.attribute}", declared.definition)

    def add_action(
        self,
        name: str,
        trigger_conditions: Trigger | Iterable[Trigger],
        func: Callable[[Any, Any], Any],
        **config: Any,
    ) -> Self:
        """Add an action to this agent.

        Args:
            name: Unique in this agent.
            trigger_conditions: An event class, event type or condition, or several.
            func: Takes `(event, ctx)`; plain or a coroutine function.
            **config: Options of this action.

        Returns:
            This agent.

        Raises:
            AgentDefinitionError: The name is taken, or a trigger or `func` is not fit.
            ConfigurationError: A condition needs the extra `conditions`.
        """
        _checked_name(name)
        where = f"add_action({name!r})"
        added = _added_actions(self)
        if name in added or name in _declared_actions(type(self)):
            raise AgentDefinitionError(
                f"{where}: {type(self).__name__} has an action {name!r} already: rename one"
            )
        several: Iterable[Any]
        if isinstance(trigger_conditions, str | type) or not isinstance(
            trigger_conditions, Iterable
        ):
            several = (trigger_conditions,)
        else:
            several = trigger_conditions
        triggers = _checked_triggers(where, several, name)
        if not callable(func):
            raise AgentDefinitionError(f"{where}: {func!r} cannot be called: pass a function")
        if _parameter_count(where, func) != 2:
            raise AgentDefinitionError(f"{where}: its function must take (event, ctx)")
        mark = ActionMark(name=name, triggers=triggers, config=types.MappingProxyType(dict(config)))
        added[name] = (mark, func)
        return self

    def add_resource(self, name: str, resource_type: ResourceType, instance: Any) -> Self:
        """Add a resource to this agent.

        Args:
            name: Unique among the agent's resources of this type.
            resource_type: What sort of resource it is.
            instance: A resource, or a ResourceDescriptor; a tool may be a function.

        Returns:
            This agent.

        Raises:
            AgentDefinitionError: The name is taken, or it is no resource of this type.
        """
        spec = added_resource(name, resource_type, instance, type(self).__name__)
        merged([*agent_resources(self), spec])
        vars(self).setdefault("_added_resources", []).append(spec)
        return self


def agent_resources(agent: Agent) -> list[ResourceSpec]:
    """Return the resources of an agent, those of its class first."""
    return [*declared_resources(agent), *vars(agent).get("_added_resources", ())]


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise AgentDefinitionError(f"an action's name must be a non-empty string, not {name!r}")
    if why := unstorable(name):
        raise AgentDefinitionError(f"an action cannot be named {name!r}: {why}")
    return name


def _is_condition(trigger: Any) -> bool:
    return isinstance(trigger, str) and is_condition(trigger)


def _checked_triggers(
    where: str, conditions: Iterable[Any], name: str = ""
) -> tuple[Trigger | Condition, ...]:
    checked = [
        Condition(each, f"action {name!r}")
        if _is_condition(each)
        else _checked_trigger(where, each)
        for each in conditions
    ]
    if not checked:
        raise AgentDefinitionError(f"{where} names no trigger: name an event class or type")
    return tuple(dict.fromkeys(checked))


def _checked_trigger(where: str, condition: Any) -> Trigger:
    if isinstance(condition, type) and issubclass(condition, Event):
        trigger: Trigger = condition
    elif isinstance(condition, str):
        trigger = event_type_of(condition)
        if not trigger:
            raise AgentDefinitionError(f"{where}, trigger {condition!r}: it is blank: name a type")
    else:
        raise AgentDefinitionError(
            f"{where}, trigger {condition!r}: write @action with an event class or type"
        )
    event_type = type_of(trigger)
    if not event_type:
        raise AgentDefinitionError(f"{where}, trigger Event: it has no type: name a subclass")
    if event_type == EventType.OutputEvent:
        raise AgentDefinitionError(
            f"{where}, trigger {condition!r}: outputs leave the run: send an event of your own"
        )
    return trigger


def type_of(trigger: Trigger) -> str:
    """Return the event type that a trigger names."""
    return trigger if isinstance(trigger, str) else trigger.EVENT_TYPE


def _function_of(definition: Any) -> Any:
    """Return the function under a definition in a class body, None when it is not one."""
    func = definition.__func__ if isinstance(definition, staticmethod) else definition
    if isinstance(func, type) or not callable(func) or not hasattr(func, "__name__"):
        return None
    return func if hasattr(func, "__dict__") else None


def _mark_of(definition: Any) -> ActionMark | None:
    func = _function_of(definition)
    return None if func is None else vars(func).get(_MARK)


def _declared_actions(cls: type) -> dict[str, _Declared]:
    """Return the actions of a class by name, base classes first; overrides keep their place.

    A method that overrides an action's method without `@action` is what the action then runs;
    `name = None` in a subclass removes the action.
    """
    found: dict[str, _Declared] = {}
    for owner in reversed(cls.__mro__):
        own: set[str] = set()
        for attribute, definition in vars(owner).items():
            mark = _mark_of(definition)
            inherited = next((d for d in found.values() if d.attribute == attribute), None)
            if mark is None:
                if inherited is None:
                    continue
                mark = inherited.mark
            elif mark.name in own:
                raise AgentDefinitionError(
                    f"{owner.__name__} declares action {mark.name!r} twice: rename one of them"
                )
            own.add(mark.name)
            if inherited is not None and (definition is None or mark.name != inherited.mark.name):
                del found[inherited.mark.name]
            if definition is not None:
                found[mark.name] = _Declared(mark=mark, attribute=attribute, definition=definition)
    return found


def _added_actions(agent: Agent) -> dict[str, tuple[ActionMark, Callable[[Any, Any], Any]]]:
    """Return what `add_action` added; made on first use, for a subclass may skip our __init__."""
    added: dict[str, tuple[ActionMark, Callable[[Any, Any], Any]]]
    added = vars(agent).setdefault("_added_actions", {})
    return added


def _parameter_count(where: str, func: Any) -> int:
    """Return how many positional arguments an action's function needs; refuse unfit kinds."""
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise AgentDefinitionError(f"{where} is a generator: send events with ctx.send_event")
    try:
        parameters = signature_of(func).parameters.values()
    except ValueError:
        raise AgentDefinitionError(
            f"{where}: {func!r} has no signature: wrap it in a function"
        ) from None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise AgentDefinitionError(f"{where} takes *args: name its parameters, (event, ctx) last")
    needed = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    for parameter in needed:
        if parameter.kind is parameter.KEYWORD_ONLY:
            raise AgentDefinitionError(f"{where}: give its parameter {parameter.name!r} a default")
    return len(needed)


def _first_parameter(func: Any) -> str:
    return next(iter(signature_of(func).parameters), "")


def _binds_self(where: str, definition: Any) -> bool:
    """Return whether a definition in a class body is a method, by its parameter count."""
    func = _function_of(definition)
    if func is None:
        raise AgentDefinitionError(f"{where} overrides an action with {definition!r}: use a method")
    count = _parameter_count(where, func)
    is_method = not isinstance(definition, staticmethod) and _first_parameter(func) == "self"
    if count == 2 and not is_method:  # (self, event) would be called with (event, ctx)
        return False
    if count == 3 and not isinstance(definition, staticmethod):
        return True
    raise AgentDefinitionError(
        f"{where} needs {count} arguments: an action takes (self, event, ctx), "
        "or (event, ctx) as a static method"
    )


def action_functions(agent: Agent) -> list[tuple[ActionMark, Callable[[Any, Any], Any]]]:
    """Return the actions of an agent, as `(mark, func)` to be called as `func(event, ctx)`.

    Those of its class first, then those added to it.
    """
    name = type(agent).__name__
    declared = [
        (each.mark, _bound(name, agent, each)) for each in _declared_actions(type(agent)).values()
    ]
    return [*declared, *_added_actions(agent).values()]


def _bound(agent_name: str, agent: Agent, declared: _Declared) -> Callable[[Any, Any], Any]:
    func = _function_of(declared.definition)
    if not _binds_self(f"{agent_name}.{declared.attribute}", declared.definition):
        return typing.cast("Callable[[Any, Any], Any]", func)
    return typing.cast("Callable[[Any, Any], Any]", types.MethodType(func, agent))
