"""Taking instances of registered classes apart and putting them together again.

Putting together runs neither validators nor `__post_init__`: the values were checked when the
instance was first made, and running user code again could give another value on replay.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from collections.abc import Callable
from typing import Any

import msgspec

from perdure.codec.types import TypeShape
from perdure.errors import DecodeError

__all__ = ["build_enum", "build_instance", "is_made_again", "take_apart", "take_enum"]


def take_enum(member: enum.Enum) -> str | int | None:
    """Return what names a member in its class: its name, or the number of an undeclared one.

    Undeclared are combined flags and what `_missing_` made. None where the value of such a one is
    no number: it is known by its value alone.
    """
    name = member._name_  # what `name` gives by way of Python
    # What `__members__` wraps anew each time. A member that was made up may have a name in it.
    if type(member)._member_map_.get(name) is member:
        return name
    value = member._value_
    return value if type(value) is int and -(2**63) <= value < 2**64 else None


def is_made_again(member: enum.Enum) -> bool:
    """Say whether the class makes a member that it does not declare from its value again."""
    try:
        again: Any = type(member)(member._value_)
        return bool((again._name_, again._value_) == (member._name_, member._value_))
    except Exception:
        return False  # `_missing_` may do anything


def build_enum(shape: TypeShape, name: str, member: str | int | list[Any]) -> Any:
    """Return the member that `take_enum` named.

    Args:
        shape: Of its class.
        name: What the journal calls the class, for messages.
        member: The name, the number, or a list of the value alone.

    Raises:
        DecodeError: The class has no such member now.
    """
    value = member[0] if isinstance(member, list) else member
    try:
        if isinstance(member, str):
            found = getattr(shape.cls, "__members__", {}).get(member)
        else:
            found = shape.cls(value) if shape.kind == "enum" else None
    except Exception:  # `_missing_` may raise anything
        found = None
    if found is None:
        raise DecodeError(f"{name} has no member {value!r} any more: give it back that member")
    return found


def take_apart(shape: TypeShape, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take an instance apart into plain containers of its own values.

    Args:
        shape: Of the instance's class.
        value: The instance.

    Returns:
        Field values by name, and what it holds beside them: `attrs` (attributes that are no
        fields), and for pydantic models `extra`, `private` and `set` (fields that were given).
    """
    if shape.in_dict and tuple(held := value.__dict__) == shape.fields:
        return held.copy(), {}  # as nearly every one is
    if shape.take is not None:
        try:
            return dict(zip(shape.fields, shape.take(value))), {}  # noqa: B905 (costs as much again)
        except AttributeError:
            pass  # a field that is not set
    fields: dict[str, Any] = {}
    for name in shape.fields:
        try:
            fields[name] = getattr(value, name) if shape.kind != "pydantic" else vars(value)[name]
        except (AttributeError, KeyError):
            # A field that was never set, or deleted, stays so.
            continue
    for name in shape.unset:
        if fields.get(name) is msgspec.UNSET:
            del fields[name]  # it has no form; the default comes back
    rest: dict[str, Any] = {}
    # cached_property values are made again when asked for, and which generic alias made an instance
    # (`Box[int](1)`) is no part of its value.
    attrs = {
        key: held
        for key, held in getattr(value, "__dict__", {}).items()
        if key not in fields and key not in shape.cached and key != "__orig_class__"
    }
    if attrs:
        rest["attrs"] = attrs
    if shape.kind == "pydantic":
        if value.__pydantic_extra__:
            rest["extra"] = dict(value.__pydantic_extra__)
        if value.__pydantic_private__:
            private = value.__pydantic_private__.items()
            rest["private"] = {key: held for key, held in private if not _is_undefined(held)}
        if value.__pydantic_fields_set__ != fields.keys():
            rest["set"] = sorted(value.__pydantic_fields_set__)
    return fields, rest


def _is_undefined(value: Any) -> bool:
    return type(value).__name__ == "PydanticUndefinedType"


def build_instance(
    shape: TypeShape, name: str, fields: dict[str, Any], rest: dict[str, Any]
) -> Any:
    """Put an instance together from what `take_apart` returned.

    A field that the class gained since gets its default. A model that was kept as its own JSON
    form (`json` in `rest`) is validated from it.

    Args:
        shape: Of the class to build.
        name: What the journal calls the class, for messages.
        fields: Field values by name.
        rest: What it held beside them.

    Returns:
        A new instance.

    Raises:
        DecodeError: The class lost a field that was journaled, or gained one without default.
    """
    if "json" in rest:
        model: Any = shape.cls
        return model.model_validate(rest["json"])
    if tuple(fields) != shape.fields:
        lost = [field for field in fields if field not in shape.fields]
        if lost:
            raise DecodeError(
                f"{name} has no field {lost[0]!r} any more, but the journal holds one: give it "
                "back that field"
            )
    value = _BUILDERS[shape.kind](shape, name, fields, rest)
    if rest:
        put = msgspec.structs.force_setattr if shape.kind == "struct" else object.__setattr__
        for key, held in rest.get("attrs", {}).items():
            put(value, key, held)
    return value


def _gained(name: str, field: str) -> DecodeError:
    return DecodeError(
        f"{name} has a field {field!r} without a default that the journal does not hold: give it "
        "a default"
    )


def _build_dataclass(
    shape: TypeShape, name: str, fields: dict[str, Any], rest: dict[str, Any]
) -> Any:
    value: Any = object.__new__(shape.cls)
    if shape.in_dict and len(fields) == len(shape.fields):
        value.__dict__.update(fields)
        return value
    if len(fields) == len(shape.fields):
        for place, held in fields.items():
            object.__setattr__(value, place, held)  # past that of a frozen class
        return value
    for field in dataclasses.fields(shape.cls):
        if field.name in fields:
            held = fields[field.name]
        elif field.default is not dataclasses.MISSING:
            held = field.default
        elif field.default_factory is not dataclasses.MISSING:
            held = field.default_factory()
        elif field.init:
            raise _gained(name, field.name)
        else:
            continue
        object.__setattr__(value, field.name, held)
    return value


def _build_namedtuple(
    shape: TypeShape, name: str, fields: dict[str, Any], rest: dict[str, Any]
) -> Any:
    defaults: dict[str, Any] = shape.cls._field_defaults  # type: ignore[attr-defined]
    items = []
    for field in shape.fields:
        if field not in fields and field not in defaults:
            raise _gained(name, field)
        items.append(fields[field] if field in fields else defaults[field])
    return tuple.__new__(shape.cls, items)


def _build_struct(shape: TypeShape, name: str, fields: dict[str, Any], rest: dict[str, Any]) -> Any:
    cls: Any = shape.cls
    if not hasattr(cls, "__post_init__"):
        return cls(**fields)
    held = fields if len(fields) == len(shape.fields) else _with_defaults(cls, name, fields)
    unmade = _unmade(cls)
    value = cls(**held) if unmade is None else _copied_struct(unmade)
    for field in held:
        msgspec.structs.force_setattr(value, field, held[field])  # past that of a frozen class
    return value


def _with_defaults(cls: Any, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Return field values of a Struct with those that the class gained since."""
    held = dict(fields)
    for field in msgspec.structs.fields(cls):
        if field.name in fields:
            continue
        if field.default is not msgspec.NODEFAULT:
            held[field.name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            held[field.name] = field.default_factory()
        else:
            raise _gained(name, field.name)
    return held


class _Unmade:
    """Before a Struct among the bases of a class: none of its hooks run."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Do nothing: this is no class of the user's."""

    def __post_init__(self) -> None:
        """Do nothing: the values are those of an instance that was made before."""


_copied_struct: Callable[[Any], Any] = msgspec.Struct.__copy__  # type: ignore[attr-defined]


@functools.cache
def _unmade(cls: type[msgspec.Struct]) -> Any:
    """Return an instance of a Struct to make others of; None where its metaclass allows none.

    msgspec makes an instance only with its `__post_init__`, but for copies. The class that this one
    is made of is gone at once: it is not to be seen among the user's subclasses.
    """
    try:
        bare: Any = types.new_class(cls.__name__, (_Unmade, cls))
        # Filled with what the garbage collector looks at, so that it looks at the copies too.
        made = bare(**{name: [] for name in cls.__struct_fields__})
        msgspec.structs.force_setattr(made, "__class__", cls)
    except Exception:
        return None
    return made


def _build_pydantic(
    shape: TypeShape, name: str, fields: dict[str, Any], rest: dict[str, Any]
) -> Any:
    cls: Any = shape.cls
    values = dict(fields)
    for field, info in cls.model_fields.items():
        if field not in values:
            if info.is_required():
                raise _gained(name, field)
            values[field] = info.get_default(call_default_factory=True)
    private = rest.get("private")
    if private is None and cls.__private_attributes__:
        private = {}
    config_extra = cls.model_config.get("extra")
    value = cls.__new__(cls)
    value.__setstate__(
        {
            "__dict__": values,
            "__pydantic_extra__": rest.get("extra", {} if config_extra == "allow" else None),
            "__pydantic_fields_set__": set(rest.get("set", fields)),
            "__pydantic_private__": private,
        }
    )
    return value


_Builder = Callable[[TypeShape, str, dict[str, Any], dict[str, Any]], Any]
_BUILDERS: dict[str, _Builder] = {
    "dataclass": _build_dataclass,
    "namedtuple": _build_namedtuple,
    "struct": _build_struct,
    "pydantic": _build_pydantic,
}
