"""Agents: actions and what triggers them, declared as a class or built by calls.

Declaring runs nothing. `AgentPlan.from_agent` compiles an agent to the frozen plan that a runtime
works from; what is wrong with an agent is an `AgentDefinitionError`, at class creation where it
can be seen there.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self, TypeVar

from perdure.errors import AgentDefinitionError
from perdure.event import (
    Event,
    EventType,
    InputEvent,
    OutputEvent,
    event_field_types,
    resolve_annotation,
)

__all__ = ["ActionSpec", "Agent", "AgentPlan", "action"]

F = TypeVar("F", bound="Callable[..., Any] | staticmethod[..., Any]")
Trigger = type[Event] | str

_MARK: Final = "__perdure_action__"
_EVENT_TYPE: Final = re.compile(r"[\w.\-]+")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What `@action` leaves on a function."""

    name: str
    triggers: tuple[Trigger, ...]
    config: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """One action as found on a class: its mark, and the definition that runs."""

    mark: _Mark
    attribute: str
    definition: Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """One action, ready to be called as `func(event, ctx)`.

    Attributes:
        name: Unique in its agent.
        triggers: Event types; any of them triggers it.
        func: Takes the event and the context.
        is_coroutine: Whether `func` is a coroutine function.
        event_class: Class that it receives its event as; None: the one registered for the type.
        config: Options given where it was declared.
    """

    name: str
    triggers: tuple[str, ...]
    func: Callable[[Any, Any], Any]
    is_coroutine: bool
    event_class: type[Event] | None
    config: Mapping[str, Any]


def action(
    *trigger_conditions: Trigger, name: str | None = None, **config: Any
) -> Callable[[F], F]:
    """Declare a function in an agent's class body as an action.

    It takes `(self, event, ctx)`, or `(event, ctx)` as a `@staticmethod` or a plain function;
    parameters with defaults do not count. It may be plain or a coroutine function.

    Args:
        *trigger_conditions: Event classes or event types; any of them triggers the action.
        name: The action's name, the function's own by default.
        **config: Options of this action, which it finds in its context.

    Returns:
        A decorator that marks the function and returns it.

    Raises:
        AgentDefinitionError: A trigger, or the function, cannot be what it is meant to be.
    """
    # `@action` without parentheses is given the function as a trigger.
    where = f"@action(name={name!r})" if name is not None else "@action"
    triggers = _checked_triggers(where, trigger_conditions)

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
        config_view = types.MappingProxyType(dict(config))
        mark = _Mark(name=own_name, triggers=triggers, config=config_view)
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
            trigger_conditions: An event class or event type, or several.
            func: Takes `(event, ctx)`; plain or a coroutine function.
            **config: Options of this action.

        Returns:
            This agent.

        Raises:
            AgentDefinitionError: The name is taken, or a trigger or `func` is not fit.
        """
        _checked_name(name)
        where = f"add_action({name!r})"
        added = _added_actions(self)
        if name in added or name in _declared_actions(type(self)):
            raise AgentDefinitionError(
                f"{where}: {type(self).__name__} has an action {name!r} already: rename one"
            )
        several: Iterable[Any]
        if isinstance(trigger_conditions, (str, type)):
            several = (trigger_conditions,)
        else:
            several = trigger_conditions
        triggers = _checked_triggers(where, several)
        if not callable(func):
            raise AgentDefinitionError(f"{where}: {func!r} cannot be called: pass a function")
        if _parameter_count(where, func) != 2:
            raise AgentDefinitionError(f"{where}: its function must take (event, ctx)")
        mark = _Mark(name=name, triggers=triggers, config=types.MappingProxyType(dict(config)))
        added[name] = (mark, func)
        return self


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentPlan:
    """An agent compiled: what a runtime needs to know of it.

    Attributes:
        name: The agent's class name.
        actions: In declaration order, those of base classes first.
        event_classes: Registered event class by event type.
        annotated_types: Annotations of the fields of all event classes that the agent names.
    """

    name: str
    actions: tuple[ActionSpec, ...]
    event_classes: Mapping[str, type[Event]]
    annotated_types: tuple[Any, ...]
    _by_type: Mapping[str, tuple[ActionSpec, ...]] = dataclasses.field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Index the actions by what triggers them."""
        by_type: dict[str, tuple[ActionSpec, ...]] = {}
        for spec in self.actions:
            for trigger in spec.triggers:
                by_type[trigger] = (*by_type.get(trigger, ()), spec)
        object.__setattr__(self, "_by_type", by_type)

    def actions_for(self, event_type: str) -> tuple[ActionSpec, ...]:
        """Return the actions that `event_type` triggers, in declaration order."""
        return self._by_type.get(event_type, ())

    def event_class_for(self, event_type: str) -> type[Event]:
        """Return the class registered for `event_type`, `Event` when there is none."""
        return self.event_classes.get(event_type, Event)

    @classmethod
    def from_agent(cls, agent: Agent | type[Agent] | Callable[[], Agent]) -> AgentPlan:
        """Compile an agent.

        Args:
            agent: An agent, an agent class or a factory without arguments.

        Returns:
            The plan; its actions are bound to the one instance.

        Raises:
            AgentDefinitionError: The agent has no actions, or they contradict each other.
        """
        instance = _instance_of(agent)
        name = type(instance).__name__
        marked = [
            (declared.mark, _bound(name, instance, declared))
            for declared in _declared_actions(type(instance)).values()
        ]
        actions: list[ActionSpec] = []
        named: list[type[Event]] = [InputEvent, OutputEvent]
        for mark, func in (*marked, *_added_actions(instance).values()):
            spec, classes = _compiled(mark, func)
            actions.append(spec)
            named += classes
        if not actions:
            raise AgentDefinitionError(f"{name} has no actions: declare one with @action")
        return cls(
            name=name,
            actions=tuple(actions),
            event_classes=_registered(name, named),
            annotated_types=_annotated_types(named),
        )


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise AgentDefinitionError(f"an action's name must be a non-empty string, not {name!r}")
    return name


def _checked_triggers(where: str, conditions: Iterable[Any]) -> tuple[Trigger, ...]:
    triggers = tuple(dict.fromkeys(_checked_trigger(where, each) for each in conditions))
    if not triggers:
        raise AgentDefinitionError(f"{where} names no trigger: name an event class or type")
    return triggers


def _checked_trigger(where: str, condition: Any) -> Trigger:
    if isinstance(condition, type) and issubclass(condition, Event):
        trigger: Trigger = condition
    elif isinstance(condition, str):
        if not _EVENT_TYPE.fullmatch(condition):
            raise AgentDefinitionError(
                f"{where}, trigger {condition!r}: conditions are not supported yet: "
                "name an event class or type"
            )
        trigger = condition
    else:
        raise AgentDefinitionError(
            f"{where}, trigger {condition!r}: write @action with an event class or type"
        )
    event_type = _type_of(trigger)
    if not event_type:
        raise AgentDefinitionError(f"{where}, trigger Event: it has no type: name a subclass")
    if event_type == EventType.OutputEvent:
        raise AgentDefinitionError(
            f"{where}, trigger {condition!r}: outputs leave the run: send an event of your own"
        )
    return trigger


def _type_of(trigger: Trigger) -> str:
    return trigger if isinstance(trigger, str) else trigger.EVENT_TYPE


def _function_of(definition: Any) -> Any:
    """Return the function under a definition in a class body, None when it is not one."""
    func = definition.__func__ if isinstance(definition, staticmethod) else definition
    if isinstance(func, type) or not callable(func) or not hasattr(func, "__name__"):
        return None
    return func if hasattr(func, "__dict__") else None


def _mark_of(definition: Any) -> _Mark | None:
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


def _added_actions(agent: Agent) -> dict[str, tuple[_Mark, Callable[[Any, Any], Any]]]:
    """Return what `add_action` added; made on first use, for a subclass may skip our __init__."""
    added: dict[str, tuple[_Mark, Callable[[Any, Any], Any]]]
    added = vars(agent).setdefault("_added_actions", {})
    return added


def _parameter_count(where: str, func: Any) -> int:
    """Return how many positional arguments an action's function needs; refuse unfit kinds."""
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise AgentDefinitionError(f"{where} is a generator: send events with ctx.send_event")
    try:
        parameters = inspect.signature(func).parameters.values()
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


def _binds_self(where: str, definition: Any) -> bool:
    """Return whether a definition in a class body is a method, by its parameter count."""
    func = _function_of(definition)
    if func is None:
        raise AgentDefinitionError(f"{where} overrides an action with {definition!r}: use a method")
    count = _parameter_count(where, func)
    if count == 2:
        return False
    if count == 3 and not isinstance(definition, staticmethod):
        return True
    raise AgentDefinitionError(
        f"{where} needs {count} arguments: an action takes (self, event, ctx), "
        "or (event, ctx) as a static method"
    )


def _instance_of(agent: Any) -> Agent:
    if isinstance(agent, Agent):
        return agent
    what = getattr(agent, "__qualname__", repr(agent))
    if not callable(agent):
        raise AgentDefinitionError(f"{what} is no agent: pass an Agent, its class or a factory")
    try:
        inspect.signature(agent).bind()
    except TypeError as error:
        raise AgentDefinitionError(
            f"{what} cannot be called without arguments ({error}): pass an agent made of it"
        ) from None
    except ValueError:
        pass  # no signature to be had: calling it will tell
    made = agent()
    if not isinstance(made, Agent):
        raise AgentDefinitionError(f"{what} gave {made!r}, not an Agent")
    return made


def _bound(agent_name: str, agent: Agent, declared: _Declared) -> Callable[[Any, Any], Any]:
    func = _function_of(declared.definition)
    if not _binds_self(f"{agent_name}.{declared.attribute}", declared.definition):
        return typing.cast("Callable[[Any, Any], Any]", func)
    return typing.cast("Callable[[Any, Any], Any]", types.MethodType(func, agent))


def _compiled(mark: _Mark, func: Callable[[Any, Any], Any]) -> tuple[ActionSpec, list[type[Event]]]:
    """Return an action's spec and the event classes that it names."""
    classes = [trigger for trigger in mark.triggers if not isinstance(trigger, str)]
    annotated = _annotated_classes(mark.name, func, classes)
    if len(annotated) == 1:
        event_class: type[Event] | None = annotated[0]
    elif len(mark.triggers) == 1 and classes:
        event_class = classes[0]
    else:
        event_class = None
    spec = ActionSpec(
        name=mark.name,
        triggers=tuple(dict.fromkeys(map(_type_of, mark.triggers))),
        func=func,
        is_coroutine=_is_coroutine_function(func),
        event_class=event_class,
        config=mark.config,
    )
    return spec, [*classes, *annotated]


def _is_coroutine_function(func: Callable[..., Any]) -> bool:
    # An object is called through its class's __call__, which may be a coroutine function too.
    call = inspect.getattr_static(type(func), "__call__", None)
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(call)


def _annotated_classes(
    name: str, func: Callable[[Any, Any], Any], triggers: Iterable[type[Event]]
) -> list[type[Event]]:
    """Return the event classes that the event parameter is annotated with; none for Any."""
    annotation = next(iter(inspect.signature(func).parameters.values())).annotation
    if annotation is inspect.Parameter.empty:
        return []
    # A class local to a function is not among the globals, but may be among the triggers.
    names = {trigger.__name__: trigger for trigger in triggers}
    resolved = resolve_annotation(annotation, _globals_of(func), names)
    union = typing.get_args(resolved) if _is_union(resolved) else (resolved,)
    # Any is a class since Python 3.11, and says nothing here.
    members = [each for each in union if isinstance(each, type) and each is not Any]
    for member in members:
        if not issubclass(member, Event):
            raise AgentDefinitionError(
                f"action {name!r}: its event parameter is annotated {member.__name__}, "
                "which is no event class"
            )
    return members


def _globals_of(func: Any) -> dict[str, Any]:
    """Return the names that a callable's annotations are written in."""
    inner = inspect.unwrap(func)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    if not hasattr(inner, "__globals__"):
        inner = inspect.getattr_static(type(inner), "__call__", None)
    names: dict[str, Any] = getattr(inner, "__globals__", {})
    return names


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _registered(agent_name: str, named: Iterable[type[Event]]) -> Mapping[str, type[Event]]:
    classes: dict[str, type[Event]] = {}
    for each in named:
        if not each.EVENT_TYPE:
            continue
        first = classes.setdefault(each.EVENT_TYPE, each)
        # A subclass that keeps its base's type is another view of the same events.
        if not issubclass(each, first) and not issubclass(first, each):
            raise AgentDefinitionError(
                f"{agent_name}: {first.__qualname__} and {each.__qualname__} are both events of "
                f"type {each.EVENT_TYPE!r}: set another EVENT_TYPE on one"
            )
    return types.MappingProxyType(classes)


def _annotated_types(named: Iterable[type[Event]]) -> tuple[Any, ...]:
    found: list[Any] = []
    for each in named:
        for annotation in event_field_types(each).values():
            if annotation is not Any and annotation not in found:
                found.append(annotation)
    return tuple(found)
