"""Which types the journal may rebuild, and the names it knows them by.

Bytes from a store only ever name a type. A name becomes a class by looking it up in a registry
that the job filled from its own code, so reading data imports nothing and calls nothing that the
data chose.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, overload

import msgspec

from perdure.errors import ConfigurationError, DecodeError

__all__ = [
    "GLOBAL_TYPES",
    "TypeRegistry",
    "TypeShape",
    "describe",
    "main_module_name",
    "module_name",
    "register_type",
    "type_name",
]

Kind = Literal["enum", "dataclass", "namedtuple", "struct", "pydantic"]
_ClassT = TypeVar("_ClassT", bound=type)

# Their content lives outside of fields, so taking a subclass apart by its fields would lose it.
_BUILTIN_VALUES = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TypeShape:
    """How instances of one class are taken apart.

    Attributes:
        cls: The class.
        kind: What sort of class it is.
        fields: Names of its fields in order; empty for an enum.
        compared: The fields that count when two instances are compared.
        cached: Names of attributes that the class computes and may keep in an instance.
    """

    cls: type
    kind: Kind
    fields: tuple[str, ...]
    compared: tuple[str, ...]
    cached: frozenset[str]


def main_module_name(main: types.ModuleType | None = None) -> str:
    """Return the name that the running script would have if it were imported.

    Args:
        main: The script's module; the running one when not given.

    Returns:
        The name after `python -m`, or the stem of the script's file, or `__main__` when there
        is neither, as in an interactive session.
    """
    main = sys.modules.get("__main__") if main is None else main
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return os.path.splitext(os.path.basename(file))[0] if file else "__main__"


def module_name(module: str) -> str:
    """Return the name of a module as the journal knows it: a script by its own name."""
    if module == "__main__" or module == "__mp_main__":
        return main_module_name(sys.modules.get(module))
    return module


def type_name(cls: type) -> str:
    """Return `module:qualname`, the same whether a module runs as a script or is imported."""
    return f"{module_name(cls.__module__)}:{cls.__qualname__}"


_shapes: weakref.WeakKeyDictionary[type, TypeShape] = weakref.WeakKeyDictionary()


def describe(cls: type) -> TypeShape | None:
    """Return how instances of a class are taken apart.

    Args:
        cls: Any class.

    Returns:
        Its shape, or None when it is no enum, dataclass, NamedTuple, Struct or pydantic model.
    """
    try:
        return _shapes[cls]
    except KeyError:
        shape = _describe(cls)
        if shape is not None:
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
    return TypeShape(cls=cls, kind=kind, fields=names, compared=compare, cached=cached)


def _is_pydantic_model(cls: type) -> bool:
    # Without pydantic loaded there are no models, and loading it takes longer than all of this.
    main = sys.modules.get("pydantic.main")
    base = getattr(main, "BaseModel", None)
    return isinstance(base, type) and issubclass(cls, base)


class TypeRegistry:
    """The types that may be rebuilt from journal bytes, by name.

    Owned by one job and filled from its code: from `register`, and from the annotations of its
    events and durable functions. Types registered for the whole process are known to all.
    Safe to fill from any thread.
    """

    def __init__(self, parent: TypeRegistry | None = None) -> None:
        """Create an empty registry.

        Args:
            parent: Where to look for what is not here; the process-wide one when not given.
        """
        self._parent = parent
        self._by_class: dict[type, tuple[str, TypeShape]] = {}
        self._by_name: dict[str, TypeShape] = {}
        self._seen: set[Any] = set()

    def register(self, cls: type, name: str | None = None) -> None:
        """Let instances of a class be journaled and rebuilt; again changes nothing.

        Args:
            cls: A dataclass, enum, NamedTuple, msgspec.Struct or pydantic model.
            name: What the journal calls it, for a class that was moved or renamed;
                `module:qualname` when not given.

        Raises:
            ConfigurationError: Another class has this name, or this sort of class cannot be
                rebuilt.
        """
        shape = describe(cls)
        if shape is None:
            raise ConfigurationError(
                f"{type_name(cls)} cannot be registered: only dataclasses, enums, NamedTuples, "
                "msgspec.Structs and pydantic models are rebuilt; convert it to one of these"
            )
        name = name or type_name(cls)
        known = self._by_name.get(name)
        if known is not None and known.cls is not cls and not _is_redefinable(known.cls):
            raise ConfigurationError(
                f"two types are called {name!r} in the journal: {known.cls!r} and {cls!r}; "
                "register one of them under another name"
            )
        self._by_name[name] = shape
        self._by_class.setdefault(cls, (name, shape))

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
        if typing.is_typeddict(cls):
            return _hints(cls)
        shape = describe(cls)
        if shape is None:
            return ()
        if cls not in self._by_class:
            self.register(cls)
        if shape.kind == "enum":
            return ()
        if shape.kind == "pydantic":
            fields = cls.model_fields  # type: ignore[attr-defined]
            return [field.annotation for field in fields.values()]
        return _hints(cls)

    def lookup(self, cls: type) -> tuple[str, TypeShape] | None:
        """Return name and shape of a registered class, or None."""
        found = self._by_class.get(cls)
        if found is None:
            parent = self._parent or GLOBAL_TYPES
            return parent.lookup(cls) if parent is not self else None
        return found

    def name_of(self, cls: type) -> str | None:
        """Return what the journal calls a registered class, or None."""
        found = self.lookup(cls)
        return found[0] if found else None

    def shape_of(self, name: str) -> TypeShape:
        """Return the shape of the class registered under a name.

        Raises:
            DecodeError: No class is registered under it.
        """
        shape = self._by_name.get(name)
        if shape is not None:
            return shape
        parent = self._parent or GLOBAL_TYPES
        if parent is not self:
            return parent.shape_of(name)
        raise DecodeError(
            f"the journal holds a value of type {name!r}, which this job does not know: annotate "
            f"the durable function or event field with it, or call register_type on it"
        )

    def resolve(self, name: str) -> type:
        """Return the class registered under a name.

        Raises:
            DecodeError: No class is registered under it.
        """
        return self.shape_of(name).cls


def _is_redefinable(cls: type) -> bool:
    # A class statement in a function or a notebook cell makes a new class each time it runs.
    return "<locals>" in cls.__qualname__ or type_name(cls).startswith("__main__:")


def _hints(cls: type) -> Iterable[Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True).values()
    except Exception:
        # A name that exists only for type checkers spoils get_type_hints for the whole class.
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            found.update(vars(base).get("__annotations__", {}))
        return [hint for hint in found.values() if not isinstance(hint, str)]


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
def register_type(cls: _ClassT, *, name: str | None = None) -> _ClassT: ...
@overload
def register_type(cls: None = None, *, name: str) -> Callable[[_ClassT], _ClassT]: ...
def register_type(cls: type | None = None, *, name: str | None = None) -> Any:
    """Let all jobs of this process journal and rebuild instances of a class.

    Works as a decorator, with or without arguments. Types that annotations of durable functions
    and event fields name need no registration.

    Args:
        cls: A dataclass, enum, NamedTuple, msgspec.Struct or pydantic model.
        name: What the journal calls it; `module:qualname` when not given. Keep it when the class
            moves, and journals written before stay readable.

    Returns:
        The class itself.

    Raises:
        ConfigurationError: Another class has this name, or this sort of class cannot be rebuilt.
    """
    if cls is None:
        return functools.partial(register_type, name=name)
    GLOBAL_TYPES.register(cls, name)
    return cls
