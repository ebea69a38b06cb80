"""Arguments are values (G5): what a callable gets is what was handed over when its call was made.

A change that is made to a mutable argument afterwards is seen by neither side. Copies are made by
shape, as the codec takes values apart: containers, dataclasses, models, Structs and named tuples;
running no constructor. What cannot change is handed over as it is, as is what does not count as
part of a value: fields that are not compared, and objects that the journal has no form for. What is
shared within one call stays shared.

No copies are made, by who makes the call, for two sorts of callables. One with a true attribute
`keeps_arguments` changes none: its attempts share one copy. One with a true `shares_arguments` has
them from somebody who changes none either, or has them for the journal alone: it gets them as they
are.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import pathlib
import uuid
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from perdure.codec.instances import build_instance, take_apart
from perdure.codec.types import TypeShape, describe

__all__ = ["ArgumentsOf", "own_arguments", "own_value"]

T = TypeVar("T")
# Each original with its copy, by the original's id: held, so that no other object gets that id.
Memo = dict[int, tuple[Any, Any]]

_IMMUTABLE = frozenset(
    (
        type(None), bool, int, float, complex, str, bytes, datetime.datetime, datetime.date,
        datetime.time, datetime.timedelta, datetime.timezone, zoneinfo.ZoneInfo, decimal.Decimal,
        uuid.UUID, pathlib.PurePosixPath, pathlib.PureWindowsPath, type(pathlib.Path()), type,
    )
)  # fmt: skip


class ArgumentsOf(NamedTuple):
    """A callable with its arguments."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def own_arguments(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ArgumentsOf | None:
    """Return a call with arguments of its own, or None where none of them can change.

    Args:
        func: what is called; what a partial binds counts among the arguments.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """
    immutable = _IMMUTABLE.issuperset
    if (
        immutable(map(type, args))
        and (not kwargs or immutable(map(type, kwargs.values())))
        and type(func) is not functools.partial
    ):
        return None
    memo: Memo = {}
    own = ArgumentsOf(_own_callable(func, memo), _copy(args, memo), _members(kwargs, memo))
    changed = own.func is not func or own.args is not args
    return own if changed or own.kwargs is not kwargs else None


def own_value(value: T) -> T:
    """Return a value that no change to the given one reaches: itself where it cannot change."""
    if type(value) in _IMMUTABLE:
        return value
    copied: T = _copy(value, {})
    return copied


def _own_callable(func: Any, memo: Memo) -> Any:
    if type(func) is not functools.partial:
        return func
    inner, args = _own_callable(func.func, memo), _copy(func.args, memo)
    keywords = _members(func.keywords, memo)
    if inner is func.func and args is func.args and keywords is func.keywords:
        return func
    own = functools.partial(inner, *args, **keywords)
    own.__dict__.update(func.__dict__)
    return own


def _members(kwargs: dict[str, Any], memo: Memo) -> dict[str, Any]:
    """Return keyword arguments with values of their own, the same dict where these are the same."""
    own = {name: _copy(value, memo) for name, value in kwargs.items()}
    return own if any(own[name] is not value for name, value in kwargs.items()) else kwargs


def _copy(value: Any, memo: Memo) -> Any:
    cls = type(value)
    if cls in _IMMUTABLE:
        return value
    known = memo.get(id(value))
    if known is not None:
        return known[1]
    copier = _COPIERS.get(cls)
    if copier is not None:
        return copier(value, memo)
    if isinstance(value, enum.Enum):
        return value
    shape = describe(cls)
    if shape is None:
        return value
    try:
        return _instance(shape, value, memo)
    except Exception:
        return value  # no call is refused because of how its arguments are handed over


def _dict(value: dict[Any, Any], memo: Memo) -> Any:
    if not _IMMUTABLE.issuperset(map(type, value)):
        own = type(value)()
        memo[id(value)] = value, own
        for key, held in value.items():
            own[_copy(key, memo)] = _copy(held, memo)
        return own
    own = value.copy()
    memo[id(value)] = value, own
    for key, held in value.items():
        if type(held) not in _IMMUTABLE:
            own[key] = _copy(held, memo)
    return own


def _list(value: list[Any], memo: Memo) -> Any:
    own = value.copy()
    memo[id(value)] = value, own
    for index, held in enumerate(value):
        if type(held) not in _IMMUTABLE:
            own[index] = _copy(held, memo)
    return own


def _tuple(value: tuple[Any, ...], memo: Memo) -> Any:
    own = tuple(_copy(held, memo) for held in value)
    if all(map(_is, own, value)):
        return value
    memo[id(value)] = value, own
    return own


def _set(value: set[Any], memo: Memo) -> Any:
    own = {_copy(held, memo) for held in value}
    memo[id(value)] = value, own
    return own


def _frozenset(value: frozenset[Any], memo: Memo) -> Any:
    members = list(value)
    own = [_copy(held, memo) for held in members]
    return value if all(map(_is, own, members)) else frozenset(own)


def _bytearray(value: bytearray, memo: Memo) -> Any:
    own = bytearray(value)
    memo[id(value)] = value, own
    return own


def _is(one: Any, other: Any) -> bool:
    return one is other


_COPIERS: dict[type, Callable[[Any, Memo], Any]] = {
    dict: _dict,
    OrderedDict: _dict,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    bytearray: _bytearray,
}


def _instance(shape: TypeShape, value: Any, memo: Memo) -> Any:
    """Return an instance with fields of its own; itself where it is frozen and they are the same.

    An instance that refers back to itself gets the given one there: it has no digest either.
    """
    fields, rest = take_apart(shape, value)
    changed: dict[str, Any] = {}
    for name in shape.compared:
        held = fields.get(name)
        if type(held) not in _IMMUTABLE and (own := _copy(held, memo)) is not held:
            changed[name] = own
    if not changed and not rest and _is_frozen(shape):
        return value
    fields.update(changed)
    beside = {name: _copy(held, memo) for name, held in rest.items()}
    built = build_instance(shape, shape.cls.__name__, fields, beside)
    memo[id(value)] = value, built
    return built


def _is_frozen(shape: TypeShape) -> bool:
    cls: Any = shape.cls
    if shape.kind == "dataclass":
        return bool(cls.__dataclass_params__.frozen)
    if shape.kind == "struct":
        return bool(cls.__struct_config__.frozen)
    if shape.kind == "pydantic":
        return bool(cls.model_config.get("frozen"))
    return shape.kind in ("namedtuple", "enum")
