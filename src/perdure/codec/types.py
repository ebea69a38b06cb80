"""Which types the journal may rebuild, and the names it knows them by.

Bytes from a store only ever name a type. A name becomes a class by looking it up in a registry
that the job filled from its own code, so reading data imports nothing and calls nothing that the
data chose.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
import sys
import threading
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import getattr_static, isdatadescriptor
from typing import Any, Literal, TypeVar, overload

import msgspec

from perdure.annotations import annotations_of
from perdure.codec.names import NAMES, OWN_PLACES, OWN_PREFIX, type_name
from perdure.errors import ConfigurationError, DecodeError

__all__ = [
    "GLOBAL_TYPES",
    "TypeRegistry",
    "TypeShape",
    "describe",
    "register_type",
]

Kind = Literal["enum", "dataclass", "namedtuple", "struct", "pydantic"]
_ClassT = TypeVar("_ClassT", bound=type)

# Their content lives outside of fields, so taking a subclass apart by its fields would lose it.
_BUILTIN_VALUES = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset)


class TypeShape(msgspec.Struct, frozen=True, kw_only=True):
    """How instances of one class are taken apart.

    Attributes:
        cls: The class.
        kind: What sort of class it is.
        fields: Names of its fields in order; empty for an enum.
        compared: The fields that count when two instances are compared.
        cached: Names of attributes that the class computes and may keep in an instance.
        in_dict: It is a dataclass whose instances keep their fields in `__dict__`, and nowhere
            else: what stands there is what an attribute gives.
        take: Of a dataclass whose instances hold nothing but their fields: gives all of these at
            once, or raises AttributeError where one is not set.
        unset: Fields of a Struct whose default is `msgspec.UNSET`: left out where they hold it.
    """

    cls: type
    kind: Kind
    fields: tuple[str, ...]
    compared: tuple[str, ...]
    cached: frozenset[str]
    in_dict: bool = False
    take: Callable[[Any], tuple[Any, ...]] | None = None
    unset: tuple[str, ...] = ()


_shapes: dict[type, TypeShape] = {}


def describe(cls: type) -> TypeShape | None:
    """Return how instances of a class are taken apart.

    Args:
        cls: Any class.

    Returns:
        Its shape, or None when it is no enum, dataclass, NamedTuple, Struct or pydantic model.
    """
    shape = _shapes.get(cls)
    if shape is None and (shape := _describe(cls)) is not None:
        # A class that is nothing yet may still be passed through @dataclass.
        _shapes[cls] = shape
    return shape


def _describe(cls: type) -> TypeShape | None:
    if issubclass(cls, enum.Enum):
        return _shape(cls, "enum", ())
    if issubclass(cls, msgspec.Struct):
        return _shape(cls, "struct", cls.__struct_fields__)
    if _is_pydantic_model(cls):
        return _shape(cls, "pydantic", cls.model_fields)  # type: ignore[attr-defined]
    if issubclass(cls, tuple):
        if hasattr(cls, "_fields") and hasattr(cls, "_field_defaults"):
            return _shape(cls, "namedtuple", cls._fields)
        return None
    if dataclasses.is_dataclass(cls) and not issubclass(cls, (*_BUILTIN_VALUES, BaseException)):
        fields = dataclasses.fields(cls)
        compared = (field.name for field in fields if field.compare)
        return _shape(cls, "dataclass", (field.name for field in fields), compared)
    return None


def _shape(
    cls: type, kind: Kind, fields: Iterable[str], compared: Iterable[str] | None = None
) -> TypeShape:
    names = tuple(fields)
    cached = frozenset(
        name
        for base in cls.__mro__
        for name, member in vars(base).items()
        if isinstance(member, functools.cached_property)
    )
    compare = names if compared is None else tuple(compared)
    in_dict = kind == "dataclass" and _keeps_in_dict(cls, names)
    slotted = kind == "dataclass" and cls.__dictoffset__ == 0 and len(names) > 1
    return TypeShape(
        cls=cls, kind=kind, fields=names, compared=compare, cached=cached, in_dict=in_dict,
        take=operator.attrgetter(*names) if slotted else None,
        unset=_unset_fields(cls) if kind == "struct" else (),
    )  # fmt: skip


def _unset_fields(cls: type) -> tuple[str, ...]:
    # Not by `structs.fields`, which needs every annotation resolved. Defaults are of the last ones.
    names, defaults = cls.__struct_fields__, cls.__struct_defaults__  # type: ignore[attr-defined]
    last = names[len(names) - len(defaults) :]
    return tuple(name for name, default in zip(last, defaults, strict=True)
                 if default is msgspec.UNSET)  # fmt: skip


def _keeps_in_dict(cls: type, fields: Iterable[str]) -> bool:
    return (
        cls.__dictoffset__ != 0
        and getattr_static(cls, "__getattribute__") is getattr_static(object, "__getattribute__")
        and not any(isdatadescriptor(getattr_static(cls, name, None)) for name in fields)
    )


def _is_pydantic_model(cls: type) -> bool:
    # Without pydantic loaded there are no models, and loading it takes longer than all of this.
    main = sys.modules.get("pydantic.main")
    base = getattr(main, "BaseModel", None)
    return isinstance(base, type) and issubclass(cls, base)


class TypeRegistry:
    """The types that may be rebuilt from journal bytes.

    Owned by one job and filled from its code: from `register`, from the annotations of its events
    and durable functions, and from what the agent's own modules define, which is looked for when
    it is asked for. Types registered for the whole process are known to all. What the journal
    calls a type is not decided here: `names.NAMES` has its names, and all of them find it. Safe to
    fill from any thread.
    """

    def __init__(self, parent: TypeRegistry | None = None) -> None:
        """Create an empty registry.

        Args:
            parent: Where to look for what is not here; the process-wide one when not given.
        """
        self._parent = parent
        self._shapes: dict[type, TypeShape] = {}
        self._by_class: dict[type, tuple[str, TypeShape]] = {}
        self._by_name: dict[str, TypeShape] = {}
        self._version = NAMES.version
        self._seen: set[Any] = set()
        self._modules: frozenset[str] = frozenset()
        self._on_use: Callable[[], Iterable[Any]] | None = None
        self._using = threading.RLock()

    def know_modules(self, names: Iterable[str]) -> None:
        """Know what loaded modules define: the agent's own; nothing is imported for it.

        Args:
            names: Names of modules, as in `sys.modules`.
        """
        self._modules |= set(names)

    def know_on_use(self, annotations: Callable[[], Iterable[Any]]) -> None:
        """Know types of perdure's own, which are not loaded before a value or a name asks for one.

        Args:
            annotations: Loads them and returns annotations that name them all; called once.
        """
        self._on_use = annotations

    def _use(self) -> None:
        with self._using:
            if self._on_use is not None:
                for annotation in self._on_use():
                    self.register_annotation(annotation)
                self._on_use = None

    def register(self, cls: type) -> None:
        """Let instances of a class be journaled and rebuilt; again changes nothing.

        Args:
            cls: A dataclass, enum, NamedTuple, msgspec.Struct or pydantic model.

        Raises:
            ConfigurationError: Another class has one of its names, or this sort of class cannot
                be rebuilt.
        """
        shape = describe(cls)
        if shape is None:
            raise _not_rebuilt(cls)
        if self._version != NAMES.version:
            self._follow_names()
        self._name(cls, shape)
        self._shapes[cls] = shape

    def _name(self, cls: type, shape: TypeShape) -> None:
        names = NAMES.of(cls)
        for name in names:
            known = self._by_name.get(name)
            if known is not None and known.cls is not cls and not _is_made_again(known.cls, cls):
                raise ConfigurationError(
                    f"two types are called {name!r} in the journal: {type_name(known.cls)} and"
                    f" {type_name(cls)}; give one of them another name with register_type(cls,"
                    " name=...)"
                )
        for name in names:
            self._by_name[name] = shape
        self._by_class[cls] = (names[0], shape)

    def _follow_names(self) -> None:
        """Take over the names that were given since."""
        self._version = NAMES.version
        self._by_class.clear()
        self._by_name.clear()
        for cls, shape in list(self._shapes.items()):
            self._name(cls, shape)

    def register_annotation(self, tp: Any) -> None:
        """Register every class that values of an annotation may hold and that needs rebuilding.

        Args:
            tp: Any annotation: a class, a union, a generic, a TypedDict. What is not understood
                is passed over.

        Raises:
            ConfigurationError: Two different classes have one name.
        """
        pending = [tp]
        while pending:
            part = pending.pop()
            try:
                if part in self._seen:
                    continue
                self._seen.add(part)
            except TypeError:
                # Unhashable parts are metadata, never classes.
                continue
            if isinstance(part, type):
                pending.extend(self._class_parts(part))
            else:
                pending.extend(_annotation_parts(part))

    def _class_parts(self, cls: type) -> Iterable[Any]:
        if typing.is_typeddict(cls) or type(cls).__name__ == "_TypedDictMeta":
            return _hints(cls)  # before Python 3.12 that of typing_extensions is another class
        shape = describe(cls)
        if shape is None:
            return ()
        if cls not in self._shapes:
            self.register(cls)
        if shape.kind == "enum":
            return ()
        if shape.kind == "pydantic":
            fields = cls.model_fields  # type: ignore[attr-defined]
            return [field.annotation for field in fields.values()]
        return _hints(cls)

    def lookup(self, cls: type) -> tuple[str, TypeShape] | None:
        """Return name and shape of a registered class, or None."""
        if self._version != NAMES.version:
            self._follow_names()
        found = self._by_class.get(cls)
        if found is None and str(cls.__module__).startswith(OWN_PLACES):
            self._use()
            found = self._by_class.get(cls)
        if found is None:
            parent = self._parent or GLOBAL_TYPES
            found = parent.lookup(cls) if parent is not self else None
            if found is None and cls.__module__ in self._modules and _stands_at_its_place(cls):
                self.register_annotation(cls)
                found = self._by_class.get(cls)
        return found

    def name_of(self, cls: type) -> str | None:
        """Return what the journal calls a registered class, or None."""
        found = self.lookup(cls)
        return found[0] if found else None

    def shape_of(self, name: str) -> TypeShape:
        """Return the shape of the class that has a name, or had it before.

        Raises:
            DecodeError: No class is registered under it.
        """
        if self._version != NAMES.version:
            self._follow_names()
        shape = self._by_name.get(name)
        if shape is None and name.startswith((OWN_PREFIX, OWN_PLACES)):
            self._use()
            shape = self._by_name.get(name)
        shape = shape or self._shape_in_modules(name)
        if shape is not None:
            return shape
        parent = self._parent or GLOBAL_TYPES
        if parent is not self:
            return parent.shape_of(name)
        raise DecodeError(
            f"the journal holds a value of type {name!r}, which this job does not know: annotate "
            "the durable function or event field with it, or call register_type on it; a class "
            f"that was moved or renamed is known again by register_type(cls, aliases=({name!r},))"
        )

    def _shape_in_modules(self, name: str) -> TypeShape | None:
        for module in self._modules:
            for cls in _classes_in(vars(sys.modules.get(module, object)), module):
                if name in NAMES.of(cls) and describe(cls) is not None:
                    self.register_annotation(cls)
                    return self._by_name.get(name)
        return None

    def resolve(self, name: str) -> type:
        """Return the class that has a name, or had it before.

        Raises:
            DecodeError: No class is registered under it.
        """
        return self.shape_of(name).cls


def _classes_in(namespace: Mapping[str, Any], module: str, outer: str = "") -> Iterator[type]:
    """Yield the classes that a module defines, those inside of them included."""
    for name, found in list(namespace.items()):
        if (
            isinstance(found, type)
            and found.__module__ == module
            and found.__qualname__ == outer + name
        ):
            yield found
            yield from _classes_in(vars(found), module, f"{outer}{name}.")


def _stands_at_its_place(cls: type) -> bool:
    """Say whether a class is found by its module and name; one that a function made is not."""
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found is cls


def _not_rebuilt(cls: type) -> ConfigurationError:
    return ConfigurationError(
        f"{type_name(cls)} cannot be registered: only dataclasses, enums, NamedTuples, "
        "msgspec.Structs, pydantic models and exceptions are rebuilt; convert it to one of these"
    )


def _is_made_again(older: type, newer: type) -> bool:
    """True when a class statement ran again: in a function, in a notebook cell, at a reload."""
    return type_name(older) == type_name(newer)


_own_hints: dict[type, tuple[Any, ...]] = {}  # of perdure's classes, which each job looks at


def _hints(cls: type) -> Iterable[Any]:
    if cls in _own_hints:
        return _own_hints[cls]
    try:
        hints = tuple(typing.get_type_hints(cls, include_extras=True).values())
        if cls.__module__.startswith(OWN_PLACES):
            _own_hints[cls] = hints
        return hints
    except Exception:
        # A name that exists only for type checkers spoils get_type_hints for the whole class.
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            found.update(annotations_of(base))
        return [hint for hint in found.values() if not isinstance(hint, str | typing.ForwardRef)]


def _annotation_parts(part: Any) -> Iterable[Any]:
    origin = typing.get_origin(part)
    if origin is typing.Annotated:
        return (part.__origin__,)
    if origin is typing.Literal:
        return [type(arg) for arg in typing.get_args(part) if isinstance(arg, enum.Enum)]
    if origin is not None:
        return (origin, *(a for arg in typing.get_args(part) for a in _spread(arg)))
    if isinstance(part, TypeVar):
        return (part.__bound__, *part.__constraints__)
    if isinstance(part, typing.NewType):
        return (part.__supertype__,)
    # `type X = ...` of Python 3.12.
    value = getattr(part, "__value__", None)
    return () if value is None else (value,)


def _spread(arg: Any) -> Iterable[Any]:
    # The arguments of Callable[[A, B], C] hold a list.
    return arg if isinstance(arg, list) else (arg,)


GLOBAL_TYPES = TypeRegistry()
"""Types registered for the whole process, by `register_type`."""


@overload
def register_type(
    cls: _ClassT, *, name: str | None = None, aliases: Iterable[str] = ()
) -> _ClassT: ...
@overload
def register_type(
    cls: None = None, *, name: str | None = None, aliases: Iterable[str] = ()
) -> Callable[[_ClassT], _ClassT]: ...
def register_type(
    cls: type | None = None, *, name: str | None = None, aliases: Iterable[str] = ()
) -> Any:
    """Let all jobs of this process journal and rebuild instances of a class, under a lasting name.

    Works as a decorator, with or without arguments. Types that annotations of durable functions
    and event fields name need no registration, but a name that is given here holds for them too,
    in values and in the digests of arguments, inputs and keys.

    Args:
        cls: A dataclass, enum, NamedTuple, msgspec.Struct or pydantic model, or an exception
            class, which is then found by its name on replay.
        name: What the journal calls it, wherever it stands; `module:qualname` when not given.
            Keep it when the class moves, and journals written before stay readable.
        aliases: What the journal called it before, the newest first, such as
            "shop.orders:Order" for a class that had no name when it was moved.

    Returns:
        The class itself.

    Raises:
        ConfigurationError: Another class has this name or alias, or this sort of class cannot be
            rebuilt.
    """
    if cls is None:
        return functools.partial(register_type, name=name, aliases=aliases)
    if describe(cls) is None and not issubclass(cls, BaseException):
        raise _not_rebuilt(cls)
    NAMES.give(cls, name, (aliases,) if isinstance(aliases, str) else tuple(aliases))
    if not issubclass(cls, BaseException):
        GLOBAL_TYPES.register(cls)
    return cls
