"""Copies of arguments: equal, of their own where they can change, the same where they cannot."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import threading
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.codec.copies import own_arguments, own_value
from perdure.codec.digests import digest


@dataclasses.dataclass
class Order:
    """A mutable value, with a client that is no part of it."""

    items: list[str]
    client: Any = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A value that cannot change."""

    x: int
    y: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Holder:
    """Frozen, around something that is not."""

    held: list[int]


class Pair(NamedTuple):
    """A named tuple."""

    left: list[int]
    right: int


class Struct(msgspec.Struct):
    """A Struct that says when it is made anew."""

    tags: set[str]

    def __post_init__(self) -> None:
        self.tags.add("made")


class Model(pydantic.BaseModel):
    """A model with a secret, which has no journal form."""

    tags: list[str]
    secret: pydantic.SecretStr = pydantic.SecretStr("s")
    _lock: Any = pydantic.PrivateAttr(default_factory=threading.Lock)


class Colour(enum.Enum):
    """An enum."""

    RED = [1]


MUTABLE: list[Any] = [
    [1, [2, {"a": [3]}]], {"a": {"b": [1]}}, {1, 2}, bytearray(b"x"), OrderedDict(a=[1]),
    Order(["a"]), Pair([1], 2), Holder([1]), Struct({"a"}), Model(tags=["a"]), ([1], 2),
    {(1, 2): [3]},
]  # fmt: skip
IMMUTABLE: list[Any] = [
    None, 1, "a", b"b", 1.5, (1, ("a", None)), frozenset({1, 2}), Point(1, (2, 3)), Colour.RED,
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), uuid.UUID(int=5), Path("/x"), Pair, len,
]  # fmt: skip


@pytest.mark.parametrize("value", MUTABLE, ids=lambda value: type(value).__name__)
def test_g5_a_copy_is_equal_and_nothing_in_it_is_shared(value: Any) -> None:
    own = own_value(value)
    assert type(own) is type(value)
    assert own == value
    assert digest(own) == digest(value)
    assert own is not value
    called = own_arguments(print, (value, 1), {"k": value})
    assert called is not None
    assert called.args[0] is called.kwargs["k"]  # shared within one call


@pytest.mark.parametrize("value", IMMUTABLE, ids=lambda value: type(value).__name__)
def test_g5_what_cannot_change_is_handed_over_as_it_is(value: Any) -> None:
    assert own_value(value) is value
    assert own_arguments(print, (value,), {"k": value}) is None


def test_g5_changes_reach_no_copy() -> None:
    order, struct, model, holder = Order(["a"]), Struct({"a"}), Model(tags=["a"]), Holder([1])
    own = own_arguments(print, (order, struct), {"model": model, "holder": holder})
    assert own is not None
    order.items.append("b")
    struct.tags.clear()
    model.tags.append("b")
    holder.held.append(2)
    assert own.args[0].items == ["a"]
    assert own.args[1].tags == {"a", "made"}
    assert own.kwargs["model"].tags == ["a"]
    assert own.kwargs["holder"].held == [1]


def test_g5_what_is_no_part_of_a_value_is_the_same_object() -> None:
    client, model = threading.Lock(), Model(tags=["a"])
    own = own_value([Order(["a"], client), model])
    assert own[0].client is client
    assert own[1].secret is model.secret
    assert own[1]._lock is model._lock


@dataclasses.dataclass
class Line:
    """Keeps something that is no field, as `__post_init__` often does."""

    n: int

    def __post_init__(self) -> None:
        self.totals = [self.n]


class Loose(pydantic.BaseModel, extra="allow"):
    """Keeps something in each place of a model."""

    n: int
    given: int = 0
    _seen: list[int] = pydantic.PrivateAttr(default_factory=list)


@dataclasses.dataclass
class Made:
    """Gives a field as a new object each time."""

    n: int
    parts: list[int]

    def __getattribute__(self, name: str) -> Any:
        return [self.n] if name == "parts" else super().__getattribute__(name)


class Open(msgspec.Struct, dict=True):
    """A Struct with attributes that are no fields."""

    n: int


def loose(n: int) -> Loose:
    more: dict[str, Any] = {"given": n} if n % 2 else {"more": [n]}
    model = Loose(n=n, **more)
    model._seen.append(n)
    return model


def opened(n: int) -> Open:
    struct = Open(n)
    struct.seen = [n]  # type: ignore[attr-defined]
    return struct


def kept(value: Any) -> Any:
    """Return all that an instance holds."""
    if isinstance(value, pydantic.BaseModel):
        state = value.__getstate__()
        return {**state, "__pydantic_fields_set__": sorted(value.model_fields_set)}
    return vars(value) if hasattr(value, "__dict__") else value


@pytest.mark.parametrize("make", [Line, loose, opened, lambda n: Made(n, [n])])
def test_g5_each_of_many_keeps_what_it_holds_beside_its_fields(make: Any) -> None:
    many = [make(n) for n in range(50)]
    expected = [repr(kept(each)) for each in many]
    called = own_arguments(print, (many,), {"by": dict(enumerate(many))})
    assert called is not None
    for copies in (own_value(many), called.args[0], list(called.kwargs["by"].values())):
        assert [repr(kept(each)) for each in copies] == expected
        assert not any(mine is its for mine, its in zip(copies, many, strict=True))


def test_g5_what_stands_beside_fields_is_copied_too() -> None:
    line, model, struct = Line(1), loose(2), opened(3)
    own = own_value([line, model, struct])
    line.totals.append(9)
    model._seen.append(9)
    model.more.append(9)  # type: ignore[attr-defined]
    struct.seen.append(9)  # type: ignore[attr-defined]
    assert (own[0].totals, own[1]._seen, own[1].more) == ([1], [2], [2])  # type: ignore[attr-defined]
    assert own[2].seen == [3]  # type: ignore[attr-defined]


def test_g5_what_is_shared_stays_shared_and_a_ring_is_no_trap() -> None:
    shared = [1]
    own = own_value({"a": shared, "b": [shared], "c": Order(shared)})  # type: ignore[arg-type]
    assert own["a"] is own["b"][0] is own["c"].items
    ring: list[Any] = [1]
    ring.append(ring)
    copied = own_value(ring)
    assert copied is not ring
    assert copied[1] is copied


def test_g5_what_a_partial_binds_is_an_argument_too() -> None:
    bound, keyword = [1], {"k": [2]}
    func = functools.partial(functools.partial(print, bound), sep=keyword)
    func.mark = "kept"  # type: ignore[attr-defined]
    own = own_arguments(func, (), {})
    assert own is not None
    bound.append(9)
    keyword["k"].append(9)
    assert own.func.args == ([1],)  # type: ignore[attr-defined]
    assert own.func.keywords == {"sep": {"k": [2]}}  # type: ignore[attr-defined]
    assert own.func.mark == "kept"  # type: ignore[attr-defined]
    assert own_arguments(functools.partial(print, 1), (), {}) is None


class Odd(pydantic.BaseModel):
    """A model that cannot be taken apart."""

    tags: list[int]

    def __getattribute__(self, name: str) -> Any:
        if name == "__pydantic_private__":
            raise RuntimeError("no")
        return super().__getattribute__(name)


def test_g5_what_cannot_be_copied_is_handed_over_as_it_is() -> None:
    odd = Odd(tags=[1])
    assert own_value([odd])[0] is odd


_leaves = st.none() | st.integers() | st.text() | st.floats(allow_nan=False) | st.binary()
_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.builds(Order, st.lists(st.text()), inner)
    ),
)


@given(_values)
def test_g5_any_value_is_copied_to_an_equal_one(value: Any) -> None:
    own = own_value(value)
    assert own == value
    assert digest(own) == digest(value)
