"""AgentPlan: an agent compiled to what a runtime works from."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from perdure.agent.declaration import ActionMark, Agent, action_functions, agent_resources, type_of
from perdure.agent.memory_events import MEMORY_EVENTS, AgentRunBeginEvent
from perdure.agent.own_source import name_of, origin_of, source_digest
from perdure.agent.resources import ResourceKey, ResourceSpec, merged
from perdure.annotations import signature_of
from perdure.callables import innermost
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

if TYPE_CHECKING:
    from perdure.memory.long_term import LongTermMemory, LongTermOperation

    Notes = list[LongTermOperation] | None

__all__ = ["ActionSpec", "AgentPlan", "Builtin", "BuiltinOnUse"]


class ActionSpec(msgspec.Struct, frozen=True, kw_only=True):
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


class Builtin(msgspec.Struct, frozen=True, kw_only=True, dict=True):
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


class BuiltinOnUse(NamedTuple):
    """A `Builtin` that most agents do without: it is loaded when something of it is used.

    None of its actions has a condition, and actions of a run begin at once with it.

    Attributes:
        names: Those of its actions.
        event_types: All types of events that trigger its actions or that it has classes for.
        load: Returns it; several calls return the same.
    """

    names: frozenset[str]
    event_types: frozenset[str]
    load: Callable[[], Builtin]


class AgentPlan:
    """An agent compiled: what a runtime needs to know of it. It does not change.

    What every agent has beside its own is there too, but may be loaded only when it is asked for,
    on whatever thread asks: by an event of one of its types, by the name of one of its actions.

    Attributes:
        name: The agent's class name.
        file: The file that declares it, where that is no Python code.
        known_as: What tells it from another agent; see `own_source.name_of`.
        resources: Declared resources by type and name.
        modules: Names of the agent's own modules: those that define its class and its actions.
        has_conditions: Whether any action has a condition.
        in_turn: Whether an action begins when those that ended before are written, see Builtin.
        known_types: Annotations of the fields of event classes, without those of `types_on_use`.
    """

    def __init__(
        self,
        *,
        name: str,
        own: Compiled,
        builtin: Builtin | BuiltinOnUse | None,
        resources: Mapping[ResourceKey, ResourceSpec],
        modules: frozenset[str],
        file: str | None,
        known_as: str,
    ) -> None:
        """Put a plan together; `from_agent` makes one of an agent.

        Raises:
            AgentDefinitionError: There are two classes for one type of event.
        """
        self.name = name
        self.resources = resources
        self.modules = modules
        self.file = file
        self.known_as = known_as
        self.in_turn = isinstance(builtin, Builtin) and builtin.in_turn
        self._own = own
        self._builtin = builtin
        self._on_use: frozenset[str] = frozenset()
        self._complete(builtin.compiled if isinstance(builtin, Builtin) else Compiled())
        self.known_types = self._annotated_types
        if isinstance(builtin, BuiltinOnUse):
            self._on_use = builtin.event_types
        self._conditions: ConditionIndex[ActionSpec] = ConditionIndex(
            (each, each.triggers, each.conditions) for each in self._actions
        )
        self.has_conditions = bool(self._conditions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AgentPlan):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    __hash__ = None  # type: ignore[assignment]

    def _complete(self, added: Compiled) -> None:
        """Index what the agent has and what every agent has; again changes nothing."""
        own = self._own
        actions = own.actions + added.actions
        by_type: dict[str, tuple[ActionSpec, ...]] = {}
        for spec in actions:
            for trigger in spec.triggers:
                by_type[trigger] = (*by_type.get(trigger, ()), spec)
        self._event_classes = _registered(self.name, own.event_classes + added.event_classes)
        self._annotated_types = own.annotated_types + added.annotated_types
        self._actions, self._by_type = actions, by_type
        self._on_use = frozenset()  # last: who sees it empty on another thread sees all else

    def _use(self) -> None:
        if self._on_use:
            self._complete(self._loaded().compiled)

    def _loaded(self) -> Builtin:
        assert self._builtin is not None
        return self._builtin if isinstance(self._builtin, Builtin) else self._builtin.load()

    @property
    def builtin(self) -> Builtin | None:
        """What every agent has beside its own."""
        return None if self._builtin is None else self._loaded()

    @property
    def actions(self) -> tuple[ActionSpec, ...]:
        """All actions in declaration order: of base classes, of the agent, the built-in ones."""
        self._use()
        return self._actions

    def action(self, name: str) -> ActionSpec:
        """Return the action of a name.

        Raises:
            KeyError: There is none.
        """
        found = next((each for each in self._actions if each.name == name), None)
        if found is None:
            found = {each.name: each for each in self.actions}[name]
        return found

    @property
    def event_classes(self) -> Mapping[str, type[Event]]:
        """Registered event class by event type."""
        self._use()
        return self._event_classes

    @property
    def annotated_types(self) -> tuple[Any, ...]:
        """Annotations of the fields of all event classes that the agent names."""
        self._use()
        return self._annotated_types

    @property
    def types_on_use(self) -> Callable[[], tuple[Any, ...]] | None:
        """What loads and returns further annotations; None where `known_types` are all."""
        return (lambda: self._loaded().compiled.annotated_types) if self._on_use else None

    def actions_for(self, event_type: str) -> tuple[ActionSpec, ...]:
        """Return the actions that `event_type` alone triggers, in declaration order."""
        if event_type in self._on_use:
            self._use()
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
            for spec in self._actions
            for condition in spec.conditions
        )

    def begun_by(self, agent: Agent) -> AgentPlan:
        """Return the plan with the actions of a built-in agent before its own.

        Raises:
            AgentDefinitionError: An action of its own has the name of one of these.
        """
        first = _compiled_all(action_functions(agent)).actions
        _refuse_reserved(self.name, self._actions, {spec.name for spec in first})
        return AgentPlan(
            name=self.name,
            own=self._own._replace(actions=first + self._own.actions),
            builtin=self._builtin,
            resources=self.resources,
            modules=self.modules,
            file=self.file,
            known_as=self.known_as,
        )

    @property
    def takes_inputs(self) -> bool:
        """Whether an input can trigger any action."""
        inputs = EventType.InputEvent
        return bool(self.actions_for(inputs) or self.conditions_for(inputs))

    def conditions_for(
        self, event_type: str
    ) -> tuple[tuple[ActionSpec, tuple[Condition, ...]], ...]:
        """Return further actions with the conditions that an event of this type may meet."""
        return self._conditions.for_type(event_type)

    def event_class_for(self, event_type: str) -> type[Event]:
        """Return the class registered for `event_type`, `Event` when there is none."""
        if event_type in self._on_use:
            self._use()
        return self._event_classes.get(event_type, Event)

    @classmethod
    def from_agent(
        cls,
        agent: Agent | type[Agent] | Callable[[], Agent],
        *,
        builtin: Builtin | BuiltinOnUse | None = None,
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
        functions = action_functions(instance)
        if not functions:
            raise AgentDefinitionError(f"{name} has no actions: declare one with @action")
        own = _compiled_all(functions)
        declared = merged(agent_resources(instance), resources)
        if isinstance(builtin, BuiltinOnUse) and _uses(builtin, own, declared):
            builtin = builtin.load()
        if isinstance(builtin, Builtin):
            _refuse_reserved(name, own.actions, {spec.name for spec in builtin.compiled.actions})
        elif builtin is not None:
            _refuse_reserved(name, own.actions, builtin.names)
        modules = _own_modules(instance, own.actions)
        origin = origin_of(instance)
        return cls(
            name=name,
            own=own,
            builtin=builtin,
            resources=declared,
            modules=modules,
            file=None if origin is None else origin.file,
            known_as=name_of(agent, instance, (spec.name for spec in own.actions), modules),
        )


_COMPARED: Final = ("name", "_own", "_builtin", "resources", "modules", "file", "known_as")


def _uses(
    builtin: BuiltinOnUse, own: Compiled, resources: Mapping[ResourceKey, ResourceSpec]
) -> bool:
    """Say whether an agent will want it: better loaded with the job than in the midst of a run.

    One that names a type of its events always does, so that two classes for one are refused here.
    """
    named = {each.EVENT_TYPE for each in own.event_classes}
    for spec in own.actions:
        named.update(spec.triggers, *(each.types or () for each in spec.conditions))
    return bool(named & builtin.event_types) or not all(each.for_use for each in resources.values())


_OF_EVERY_AGENT: Final[tuple[type[Event], ...]] = (
    InputEvent, OutputEvent, AgentRunBeginEvent, *MEMORY_EVENTS.values()
)  # fmt: skip


def _compiled_all(
    functions: Iterable[tuple[ActionMark, Callable[[Any, Any], Any]]],
) -> Compiled:
    actions: list[ActionSpec] = []
    named: list[type[Event]] = []
    for mark, func in functions:
        spec, classes = _compiled(mark, func)
        actions.append(spec)
        named += classes
    # Those of every agent hold what needs no class, and resolving their annotations takes time.
    annotated = _annotated_types(each for each in named if each not in _OF_EVERY_AGENT)
    return Compiled(tuple(actions), (*_OF_EVERY_AGENT, *named), annotated)


def _own_modules(agent: Agent, actions: Iterable[ActionSpec]) -> frozenset[str]:
    found = {cls.__module__ for cls in type(agent).__mro__}
    found.update(_globals_of(each.func).get("__name__", "") for each in actions)
    return frozenset(
        name for name in found if name.partition(".")[0] not in ("", "builtins", "perdure")
    )


def _refuse_reserved(agent_name: str, own: Iterable[ActionSpec], reserved: Collection[str]) -> None:
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
    inner = innermost(func)
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
