"""Instances of dataclasses are taken apart by what their attributes give, however they keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure.codec.instances import build_instance, take_apart
from perdure.codec.types import describe


class Doubled:
    """A descriptor that keeps its value in the instance's dict, and gives twice of it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return 1 if instance is None else 2 * instance.__dict__[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = value / 2


@dataclass
class Plain:
    a: int
    b: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Slotted:
    a: int
    b: list[int] = field(default_factory=list)


@dataclass
class Described:
    a: Doubled = Doubled()  # type: ignore[assignment]
    b: list[int] = field(default_factory=list)


@pytest.mark.parametrize("cls", [Plain, Slotted, Described])
def test_fields_are_what_attributes_give(cls: type) -> None:
    shape = describe(cls)
    assert shape is not None
    assert shape.in_dict is (cls is Plain)
    made = cls(4, [1])
    fields, rest = take_apart(shape, made)
    assert (fields, rest) == ({"a": 4, "b": [1]}, {})
    again = build_instance(shape, "it", fields, rest)
    assert (again.a, again.b) == (4, [1])
    assert fields is not getattr(made, "__dict__", None)


def test_what_is_no_field_or_not_set_is_kept_so() -> None:
    shape = describe(Plain)
    assert shape is not None
    made = Plain(4)
    made.more = 5  # type: ignore[attr-defined]
    assert take_apart(shape, made) == ({"a": 4, "b": []}, {"attrs": {"more": 5}})
    del made.more, made.a  # type: ignore[attr-defined]
    assert take_apart(shape, made) == ({"b": []}, {})
    assert build_instance(shape, "it", {"a": 1}, {}) == Plain(1)
