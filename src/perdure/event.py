"""Events: what a run handles, and what its actions send each other.

An event is a type (a string that actions are triggered by) and attributes (a dictionary of values
the codec takes). A subclass gives the attributes names and types:

    class ReviewScored(Event):
        score: int
        note: str = ""

`ReviewScored(score=4)` is an event of type "ReviewScored" with attributes score and note; its
fields read and write the attributes, so that nothing of it is lost in the journal.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self, dataclass_transform

from perdure.annotations import annotations_in, annotations_of
from perdure.errors import AgentDefinitionError
from perdure.printable import why_no_name

__all__ = [
    "Event",
    "EventType",
    "InputEvent",
    "OutputEvent",
    "event_field_types",
    "resolve_annotation",
]

_REQUIRED: Final = object()
_MUTABLE: Final = (list, dict, set, bytearray)

MadeId = tuple[str, object]  # an id, and who gave it: who sends it tells its own events by that


class _IdSource:
    """Where events get their ids from that are made in an action."""

    in_turn: Callable[[], MadeId | None] = staticmethod(lambda: None)


def set_id_source(in_turn: Callable[[], MadeId | None]) -> None:
    """Say what gives the event that is being made its id; None where no action makes it."""
    _IdSource.in_turn = staticmethod(in_turn)


class EventType:
    """The types of the built-in events, as strings."""

    InputEvent: Final = "_input_event"
    OutputEvent: Final = "_output_event"
    ChatRequestEvent: Final = "_chat_request_event"
    ChatResponseEvent: Final = "_chat_response_event"
    ToolRequestEvent: Final = "_tool_request_event"
    ToolResponseEvent: Final = "_tool_response_event"
    ContextRetrievalRequestEvent: Final = "_context_retrieval_request_event"
    ContextRetrievalResponseEvent: Final = "_context_retrieval_response_event"
    ShortTermWriteEvent: Final = "_short_term_write_event"
    ShortTermReadEvent: Final = "_short_term_read_event"
    SensoryWriteEvent: Final = "_sensory_write_event"
    SensoryReadEvent: Final = "_sensory_read_event"
    LongTermUpdateEvent: Final = "_long_term_update_event"
    LongTermGetEvent: Final = "_long_term_get_event"
    LongTermSearchEvent: Final = "_long_term_search_event"
    AgentRunBeginEvent: Final = "_agent_run_begin_event"


def wrong_type(given: Any) -> str:
    """Return why it cannot be the type of an event; "" where it can."""
    if isinstance(given, type) and issubclass(given, Event):
        return f"it is a class: make the event by {given.__name__}(...)"
    return why_no_name(given)


class _Field:
    """One declared field: reads and writes the attribute of its name."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default

    def __get__(self, event: Event | None, owner: type | None = None) -> Any:
        if event is None:
            return self
        try:
            return event.attributes[self.name]
        except KeyError:
            raise AttributeError(
                f"{type(event).__name__} has lost its attribute {self.name!r}: set it again first"
            ) from None

    def __set__(self, event: Event, value: Any) -> None:
        event.attributes[self.name] = value

    def fresh_default(self) -> Any:
        """Return the default; a mutable one as a copy, so that events do not share it."""
        default = self.default
        return copy.deepcopy(default) if isinstance(default, _MUTABLE) else default


def _is_class_variable(annotation: Any) -> bool:
    if isinstance(annotation, str):
        head = annotation.partition("[")[0].strip()
        return head.rpartition(".")[2] == "ClassVar"
    return annotation is ClassVar or typing.get_origin(annotation) is ClassVar


def _declared_fields(
    name: str, inherited: Mapping[str, _Field], namespace: dict[str, Any]
) -> dict[str, _Field]:
    """Return a class's fields, moving defaults out of its namespace (which gets descriptors)."""
    annotations = annotations_in(namespace)
    own = [field for field, note in annotations.items() if not _is_class_variable(note)]
    # `note = "x"` without annotation is a new default of an inherited field.
    own += [field for field in inherited if field in namespace and field not in own]
    fields = dict(inherited)
    for field in own:
        if field in _RESERVED:
            raise AgentDefinitionError(
                f"event class {name}: field {field!r} is a name that every event has already: "
                "choose another"
            )
        default = namespace.get(field, _REQUIRED)
        # A property or method of that name reads the attribute its own way. A partial, which is a
        # descriptor from Python 3.14 on, is a value.
        if hasattr(default, "__get__") and not isinstance(default, functools.partial):
            continue
        fields[field] = namespace[field] = _Field(field, default)
    return fields


class _EventMeta(type):
    """Turns annotations into fields, and refuses attributes that the journal would lose.

    Every event class has empty `__slots__`, so that `event.typo = 1` is an error at once.
    """

    _fields: dict[str, _Field]
    _required: frozenset[str]
    _optional: tuple[_Field, ...]

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> _EventMeta:
        fields: dict[str, _Field] = {}
        if bases:
            inherited: dict[str, _Field] = {}
            for base in reversed(bases):
                inherited.update(getattr(base, "_fields", {}))
            fields = _declared_fields(name, inherited, namespace)
            namespace.setdefault("__slots__", ())
        cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        cls._fields = fields
        cls._optional = tuple(f for f in fields.values() if f.default is not _REQUIRED)
        cls._required = frozenset(fields) - {f.name for f in cls._optional}
        return cls


@dataclass_transform(kw_only_default=True)
class Event(metaclass=_EventMeta):
    """One event of a run: a type and attributes.

    Attributes:
        id: Identity within the job. Made in an action: the same on replay. Made elsewhere: random,
            until the first `send_event` gives it one that is derived. Sent again it gets another.
        type: What actions are triggered by.
        attributes: The event's data; every value must be one that the codec takes.
        upstream_event_id: Id of the event whose action sent this one, None for an input.
        upstream_action_name: Name of the action that sent this one, None for an input.
    """

    __slots__ = (
        "_made_by",
        "attributes",
        "id",
        "type",
        "upstream_action_name",
        "upstream_event_id",
    )

    EVENT_TYPE: ClassVar[str] = ""

    id: str
    type: str
    attributes: dict[str, Any]
    upstream_event_id: str | None
    upstream_action_name: str | None
    _made_by: object

    def __init__(
        self,
        *values: Any,
        type: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        id: str | None = None,
        **fields: Any,
    ) -> None:
        """Make an event.

        Args:
            *values: Declared fields of a built-in event, in their order, such as an output.
            type: The event's type; a subclass has its own and needs none.
            attributes: Attributes by name; copied, one level deep.
            id: Identity, for tests; sending the event gives it another.
            **fields: Declared fields of the subclass, by name.

        Raises:
            TypeError: A field is missing or unknown, or there is no type, or it is no text that
                a store can keep.
        """
        cls = self.__class__
        if values:
            fields = _by_name(cls, values, fields)
        if fields and not fields.keys() <= cls._fields.keys():
            raise TypeError(_unknown_fields(cls, fields))
        if attributes is not None:
            fields = {**attributes, **fields}
        if cls._fields:
            _complete(cls, fields)
        if type is not None and (why := wrong_type(type)):
            raise TypeError(f"{cls.__name__}: type={type!r:.60} is no event type: {why}")
        kind = cls.EVENT_TYPE if type is None else type
        if not kind:
            raise TypeError(f"{cls.__name__} has no type: pass type=, or set EVENT_TYPE")
        if id:
            self.id, self._made_by = id, None
        else:
            self.id, self._made_by = _IdSource.in_turn() or (os.urandom(16).hex(), None)
        self.type = kind
        self.attributes = fields
        self.upstream_event_id = None
        self.upstream_action_name = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Name the type after the class, unless the class sets EVENT_TYPE."""
        super().__init_subclass__(**kwargs)
        # A subclass of a built-in event is still one: an output under another type would be lost.
        if "EVENT_TYPE" not in cls.__dict__ and not cls.EVENT_TYPE.startswith("_"):
            cls.EVENT_TYPE = cls.__name__
        if why := wrong_type(cls.EVENT_TYPE):
            raise AgentDefinitionError(
                f"event class {cls.__name__}: {cls.EVENT_TYPE!r:.60} is no event type: {why}"
            )

    @classmethod
    def from_event(cls, event: Event) -> Self:
        """Return `event` seen as this class: same id, type and origin.

        Args:
            event: Any event; returned as it is when it is of this class already.

        Returns:
            An event of this class with its own dictionary of the same attribute values.

        Raises:
            ValueError: `event` lacks attributes that this class requires.
        """
        if isinstance(event, cls):
            return event
        attributes = dict(event.attributes)
        missing = sorted(cls._required - attributes.keys())
        if missing:
            raise ValueError(
                f"event of type {event.type!r} is no {cls.__name__}: it lacks "
                f"{', '.join(map(repr, missing))}; it has {', '.join(sorted(attributes)) or 'none'}"
            )
        if cls._fields:
            _complete(cls, attributes)
        view = cls.__new__(cls)
        view.id = event.id
        view._made_by = event._made_by
        view.type = event.type
        view.attributes = attributes
        view.upstream_event_id = event.upstream_event_id
        view.upstream_action_name = event.upstream_action_name
        return view

    @classmethod
    def rebuilt(cls, type: str, attributes: dict[str, Any], id: str) -> Self:
        """Return an event as the journal has it: it is complete, and has its id.

        Args:
            type: The event's type.
            attributes: All its attributes; not copied.
            id: Its id.
        """
        event = cls.__new__(cls)
        event.id = id
        event._made_by = None
        event.type = type
        event.attributes = attributes
        event.upstream_event_id = None
        event.upstream_action_name = None
        return event

    def get_attr(self, name: str, default: Any = None) -> Any:
        """Return the attribute `name`, or `default` when there is none."""
        return self.attributes.get(name, default)

    def set_attr(self, name: str, value: Any) -> None:
        """Set the attribute `name`."""
        self.attributes[name] = value

    def __eq__(self, other: object) -> bool:
        """Compare class, type and attributes; ids and origins do not count."""
        if not isinstance(other, Event):
            return NotImplemented
        return (
            self.__class__ is other.__class__
            and self.type == other.type
            and self.attributes == other.attributes
        )

    __hash__ = None  # type: ignore[assignment]  # mutable, and equal by value

    def __repr__(self) -> str:
        """Return class, type where it is not the class's own, and shortened attributes."""
        parts = [] if self.type == self.EVENT_TYPE else [f"type={self.type!r}"]
        parts += [f"{name}={_short(value)}" for name, value in self.attributes.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


_RESERVED: Final = frozenset(name for name in vars(Event) if not name.startswith("__"))


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _complete(cls: type[Event], attributes: dict[str, Any]) -> None:
    """Put defaults of `cls` into `attributes`; TypeError when required ones are missing."""
    if not cls._required <= attributes.keys():
        missing = [name for name in cls._fields if name in cls._required - attributes.keys()]
        raise TypeError(f"{cls.__name__} needs {', '.join(f'{name}=' for name in missing)}")
    for field in cls._optional:
        if field.name not in attributes:
            attributes[field.name] = field.fresh_default()


def _by_name(cls: type[Event], values: tuple[Any, ...], fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with those that are given by position, as built-in events may have them."""
    if not cls.EVENT_TYPE.startswith("_") or len(values) > len(cls._fields):
        known = ", ".join(f"{name}=" for name in cls._fields)
        hint = f"pass them by name, {known}" if known else "pass type= and attributes={...}"
        raise TypeError(f"{cls.__name__} takes no {len(values)} values by position: {hint}")
    named = dict(zip(cls._fields, values, strict=False))
    twice = sorted(named.keys() & fields.keys())
    if twice:
        raise TypeError(f"{cls.__name__} is given {', '.join(twice)} by position and by name")
    return {**named, **fields}


def _unknown_fields(cls: type[Event], fields: Mapping[str, Any]) -> str:
    unknown = ", ".join(repr(name) for name in fields if name not in cls._fields)
    known = ", ".join(cls._fields)
    hint = f"it has {known}" if known else "pass attributes={...}, or declare a subclass with it"
    return f"{cls.__name__} has no field {unknown}: {hint}"


class InputEvent(Event):
    """The event that begins a run.

    Attributes:
        input: The input's value.
    """

    EVENT_TYPE: ClassVar[str] = EventType.InputEvent
    input: Any


class OutputEvent(Event):
    """An output of the run: it leaves for the sink and triggers nothing.

    Attributes:
        output: The output's value.
    """

    EVENT_TYPE: ClassVar[str] = EventType.OutputEvent
    output: Any


def event_field_types(cls: type[Event]) -> dict[str, Any]:
    """Return the resolved annotation of each declared field of `cls`.

    Args:
        cls: An event class.

    Returns:
        Types by field name, in declaration order; Any where an annotation cannot be resolved.
    """
    try:
        hints = typing.get_type_hints(cls)
    except Exception:  # an annotation may raise anything when it is evaluated
        hints = {}
        for owner in reversed(cls.__mro__):
            for name, annotation in annotations_of(owner).items():
                names = {**vars(owner), owner.__name__: owner}
                module = sys.modules.get(owner.__module__)
                hints[name] = resolve_annotation(annotation, vars(module) if module else {}, names)
    return {name: hints.get(name, Any) for name in cls._fields}


def resolve_annotation(
    annotation: Any, global_names: dict[str, Any], local_names: Mapping[str, Any]
) -> Any:
    """Return what one annotation means where these names are known, Any when it cannot be told."""
    probe = type("_Probe", (), {"__annotations__": {"value": annotation}})
    try:
        return typing.get_type_hints(probe, global_names, local_names)["value"]
    except Exception:  # as above: one that fails must not cost the others
        return Any if isinstance(annotation, str | typing.ForwardRef) else annotation
