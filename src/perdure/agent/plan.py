"""AgentPlan: an agent compiled to what a runtime works from."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from perdure.agent.declaration import ActionMark, Agent, action_functions, agent_resources, type_of
from perdure.agent.memory_events import MEMORY_EVENTS, AgentRunBeginEvent
from perdure.agent.own_source import name_of, origin_of, source_digest
from perdure.agent.resources import ResourceKey, ResourceSpec, merged
from perdure.annotations import signature_of
from perdure.conditions.condition import Condition, ConditionIndex
from perdure.context import RunnerContext
from perdure.errors import AgentDefinitionError
from perdure.event import (
    Event,
    EventType,
    InputEvent,
    OutputEvent,
    event_field_types,
    resolve_annotation,
)
from perdure.memory.long_term import LongTermMemory, LongTermOperation

__all__ = ["ActionSpec", "AgentPlan", "Builtin"]

Notes = list[LongTermOperation] | None


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
        conditions: On an event of another type; any that is met triggers it.
    """

    name: str
    triggers: tuple[str, ...]
    func: Callable[[Any, Any], Any]
    is_coroutine: bool
    event_class: type[Event] | None
    config: Mapping[str, Any]
    conditions: tuple[Condition, ...] = ()


class Compiled(NamedTuple):
    """Compiled actions, the event classes that they name, and annotations of their fields."""

    actions: tuple[ActionSpec, ...] = ()
    event_classes: tuple[type[Event], ...] = ()
    annotated_types: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Builtin:
    """What every agent has beside its own; an engine hands it to the plan.

    Attributes:
        actions: Their actions are the agent's too.
        long_term_memory: Makes an action's view of the memory of one key of one job, which notes
            its operations in the list that it is given.
        annotated_types: Annotations of what they put into the journal.
        in_turn: An action of a run begins when those that ended before are written, and sees what
            they wrote; else it begins at once, with the memory of the last that is written.
    """

    actions: Agent
    long_term_memory: Callable[[RunnerContext, str, Notes], LongTermMemory]
    annotated_types: tuple[Any, ...] = ()
    in_turn: bool = False

    @functools.cached_property
    def compiled(self) -> Compiled:
        """Its actions, compiled once for all agents."""
        compiled = _compiled_all(action_functions(self.actions))
        return compiled._replace(annotated_types=compiled.annotated_types + self.annotated_types)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentPlan:
    """An agent compiled: what a runtime needs to know of it.

    Attributes:
        name: The agent's class name.
        file: The file that declares it, where that is no Python code.
        known_as: What tells it from another agent; see `own_source.name_of`.
        actions: In declaration order, those of base classes first.
        event_classes: Registered event class by event type.
        annotated_types: Annotations of the fields of all event classes that the agent names.
        resources: Declared resources by type and name.
        modules: Names of the agent's own modules: those that define its class and its actions.
        has_conditions: Whether any action has a condition.
    """

    name: str
    actions: tuple[ActionSpec, ...]
    event_classes: Mapping[str, type[Event]]
    annotated_types: tuple[Any, ...]
    resources: Mapping[ResourceKey, ResourceSpec] = dataclasses.field(default_factory=dict)
    builtin: Builtin | None = None
    modules: frozenset[str] = frozenset()
    file: str | None = None
    known_as: str = ""
    has_conditions: bool = dataclasses.field(init=False, repr=False, compare=False)
    _by_type: Mapping[str, tuple[ActionSpec, ...]] = dataclasses.field(
        init=False, repr=False, compare=False
    )
    _conditions: ConditionIndex[ActionSpec] = dataclasses.field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Index the actions by what triggers them."""
        by_type: dict[str, tuple[ActionSpec, ...]] = {}
        for spec in self.actions:
            for trigger in spec.triggers:
                by_type[trigger] = (*by_type.get(trigger, ()), spec)
        conditions = ConditionIndex((each, each.triggers, each.conditions) for each in self.actions)
        object.__setattr__(self, "_by_type", by_type)
        object.__setattr__(self, "_conditions", conditions)
        object.__setattr__(self, "has_conditions", bool(conditions))

    def actions_for(self, event_type: str) -> tuple[ActionSpec, ...]:
        """Return the actions that `event_type` alone triggers, in declaration order."""
        return self._by_type.get(event_type, ())

    def source_digest(self) -> str:
        """Return a digest of its own files as they are now; "" where one has none."""
        return source_digest(self.modules, self.file)

    def names_type(self, event_type: str) -> bool:
        """Say whether an action is for events of this type, by it or by a condition that asks so.

        A condition that asks for no type does not count.
        """
        return bool(self.actions_for(event_type)) or any(
            event_type in (condition.types or ())
            for spec in self.actions
            for condition in spec.conditions
        )

    def begun_by(self, agent: Agent) -> AgentPlan:
        """Return the plan with the actions of a built-in agent before its own.

        Raises:
            AgentDefinitionError: An action of its own has the name of one of these.
        """
        first = _compiled_all(action_functions(agent)).actions
        _refuse_reserved(self.name, self.actions, first)
        return dataclasses.replace(self, actions=first + self.actions)

    @property
    def takes_inputs(self) -> bool:
        """Whether an input can trigger any action."""
        inputs = EventType.InputEvent
        return bool(self.actions_for(inputs) or self.conditions_for(inputs))

    @property
    def in_turn(self) -> bool:
        """Whether an action begins when those that ended before are written, see Builtin."""
        return self.builtin is not None and self.builtin.in_turn

    def conditions_for(
        self, event_type: str
    ) -> tuple[tuple[ActionSpec, tuple[Condition, ...]], ...]:
        """Return further actions with the conditions that an event of this type may meet."""
        return self._conditions.for_type(event_type)

    def event_class_for(self, event_type: str) -> type[Event]:
        """Return the class registered for `event_type`, `Event` when there is none."""
        return self.event_classes.get(event_type, Event)

    @classmethod
    def from_agent(
        cls,
        agent: Agent | type[Agent] | Callable[[], Agent],
        *,
        builtin: Builtin | None = None,
        resources: Iterable[ResourceSpec] = (),
    ) -> AgentPlan:
        """Compile an agent.

        Args:
            agent: An agent, an agent class or a factory without arguments.
            builtin: What every agent has beside its own.
            resources: Those of the engine; the agent's own win over them.

        Returns:
            The plan; its actions are bound to the one instance.

        Raises:
            AgentDefinitionError: The agent has no actions, or they contradict each other.
        """
        instance = _instance_of(agent)
        # An agent that was written for another library brings the built-in actions of that one.
        builtin = getattr(instance, "_perdure_builtin", builtin)
        name = type(instance).__name__
        own = action_functions(instance)
        if not own:
            raise AgentDefinitionError(f"{name} has no actions: declare one with @action")
        compiled = _compiled_all(own)
        added = Compiled() if builtin is None else builtin.compiled
        _refuse_reserved(name, compiled.actions, added.actions)
        modules = _own_modules(instance, compiled.actions)
        origin = origin_of(instance)
        return cls(
            name=name,
            actions=compiled.actions + added.actions,
            event_classes=_registered(name, compiled.event_classes + added.event_classes),
            annotated_types=compiled.annotated_types + added.annotated_types,
            resources=merged(agent_resources(instance), resources),
            builtin=builtin,
            modules=modules,
            file=None if origin is None else origin.file,
            known_as=name_of(agent, instance, (spec.name for spec in compiled.actions), modules),
        )


def _compiled_all(
    functions: Iterable[tuple[ActionMark, Callable[[Any, Any], Any]]],
) -> Compiled:
    actions: list[ActionSpec] = []
    named: list[type[Event]] = [
        InputEvent, OutputEvent, AgentRunBeginEvent, *MEMORY_EVENTS.values()
    ]  # fmt: skip
    for mark, func in functions:
        spec, classes = _compiled(mark, func)
        actions.append(spec)
        named += classes
    return Compiled(tuple(actions), tuple(named), _annotated_types(named))


def _own_modules(agent: Agent, actions: Iterable[ActionSpec]) -> frozenset[str]:
    found = {cls.__module__ for cls in type(agent).__mro__}
    found.update(_globals_of(each.func).get("__name__", "") for each in actions)
    return frozenset(
        name for name in found if name.partition(".")[0] not in ("", "builtins", "perdure")
    )


def _refuse_reserved(
    agent_name: str, own: Iterable[ActionSpec], added: Iterable[ActionSpec]
) -> None:
    reserved = {spec.name for spec in added}
    for spec in own:
        if spec.name in reserved:
            raise AgentDefinitionError(
                f"{agent_name}: {spec.name!r} is the name of a built-in action: rename yours"
            )


def _instance_of(agent: Any) -> Agent:
    if isinstance(agent, Agent):
        return agent
    what = getattr(agent, "__qualname__", repr(agent))
    if not callable(agent):
        raise AgentDefinitionError(f"{what} is no agent: pass an Agent, its class or a factory")
    try:
        signature_of(agent).bind()
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


def _compiled(
    mark: ActionMark, func: Callable[[Any, Any], Any]
) -> tuple[ActionSpec, list[type[Event]]]:
    """Return an action's spec and the event classes that it names."""
    conditions = tuple(each for each in mark.triggers if isinstance(each, Condition))
    exact = [each for each in mark.triggers if not isinstance(each, Condition)]
    classes = [each for each in exact if not isinstance(each, str)]
    annotated = _annotated_classes(mark.name, func, classes)
    if len(annotated) == 1:
        event_class: type[Event] | None = annotated[0]
    elif len(mark.triggers) == 1 and classes:
        event_class = classes[0]
    else:
        event_class = None
    spec = ActionSpec(
        name=mark.name,
        triggers=tuple(dict.fromkeys(map(type_of, exact))),
        func=func,
        is_coroutine=_is_coroutine_function(func),
        event_class=event_class,
        config=mark.config,
        conditions=conditions,
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
    annotation = next(iter(signature_of(func).parameters.values())).annotation
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
