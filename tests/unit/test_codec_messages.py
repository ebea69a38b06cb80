"""What the codec says of values that have no journal form, and what is no part of a value."""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, TypeVar

import numpy as np
import pytest

from perdure.codec.codec import Codec
from perdure.codec.digests import digest
from perdure.codec.types import TypeRegistry
from perdure.errors import EncodeError

T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    """A generic value."""

    v: T


@dataclasses.dataclass(frozen=True)
class FrozenBox(Generic[T]):
    """Likewise, frozen."""

    v: T


@pytest.mark.parametrize("cls", [Box, FrozenBox])
def test_an_instance_of_a_generic_alias_is_one_of_its_class(cls: Any) -> None:
    registry = TypeRegistry()
    registry.register(cls)
    codec = Codec(registry)
    for made in (cls[int](v=1), cls[list[int]](v=1)):
        assert codec.encode(made) == codec.encode(cls(1))
        assert codec.decode(codec.encode(made)) == cls(1)
        assert digest(made) == digest(cls(1))


@pytest.mark.parametrize(
    ("value", "step"),
    [
        (np.int64(1), ".item()"), (np.float64(1.5), ".item()"), (np.bool_(True), ".item()"),
        (np.str_("a"), ".item()"), (np.datetime64("2026-01-01"), ".item()"),
        (np.array([1, 2]), ".tolist()"), (np.ma.masked_array([1]), ".tolist()"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_numpy_say_how_they_are_converted(value: Any, step: str) -> None:
    for whole in (value, {"scores": [value]}):
        with pytest.raises(EncodeError, match=r"convert it with ") as refused:
            Codec().encode(whole)
        assert str(refused.value).endswith(f"convert it with {step}")
    with pytest.raises(EncodeError) as undigested:
        digest([value])
    assert step in str(undigested.value)
