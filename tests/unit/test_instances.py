"""Instances of dataclasses are taken apart by what their attributes give, however they keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
import pytest

from perdure.codec.codec import Codec
from perdure.codec.copies import own_value
from perdure.codec.digests import digest
from perdure.codec.instances import build_instance, take_apart
from perdure.codec.types import TypeRegistry, describe
from perdure.errors import DecodeError, EncodeError


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


T = TypeVar("T")
_POST_INITS: list[object] = []


class Working:
    """Works on an instance each time that it runs, and may refuse its own work."""

    __slots__ = ()
    a: Any

    def __post_init__(self) -> None:
        _POST_INITS.append(self)
        if not self.a.startswith("EUR "):
            raise ValueError(f"no price: {self.a!r}")
        msgspec.structs.force_setattr(self, "a", self.a[4:])  # type: ignore[arg-type]


class Price(Working, msgspec.Struct):
    """Declared in the plainest way."""

    a: str
    b: list[int] = msgspec.field(default_factory=list)


class Frozen(Working, msgspec.Struct, frozen=True, kw_only=True, cache_hash=True, weakref=True):
    a: str
    b: tuple[int, ...] = ()


class Tagged(Working, msgspec.Struct, tag=str.lower, rename="camel", array_like=True, order=True):
    a: str
    b: int = 0


class Untracked(Working, msgspec.Struct, gc=False):
    a: str


class Open(Working, msgspec.Struct, dict=True):
    a: str


class Of(Working, msgspec.Struct, Generic[T]):
    a: T


class Under(Price, kw_only=True):
    """A class below another, that knows of those below itself."""

    c: int
    below = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        Under.below += 1
        super().__init_subclass__(**kwargs)


class Naming(msgspec.StructMeta):
    """Makes no class but those that say what they are."""

    def __new__(cls, name: str, bases: Any, namespace: Any, **kwargs: Any) -> Any:
        if namespace.get("says") is None:
            raise TypeError("say what it is")
        return super().__new__(cls, name, bases, namespace, **kwargs)


class Choosy(msgspec.Struct, metaclass=Naming):
    """Has no class below it that it does not know."""

    says = "choosy"
    a: int

    def __post_init__(self) -> None:
        self.a += 1


def codec_of(*classes: type) -> Codec:
    registry = TypeRegistry()
    for cls in classes:
        registry.register(cls)
    return Codec(registry)


@pytest.mark.parametrize(
    "made",
    [
        Price("EUR 5", [1]), Frozen(a="EUR 5", b=(1,)), Tagged("EUR 5", 3), Untracked("EUR 5"),
        Open("EUR 5"), Of("EUR 5"), Under("EUR 5", c=2),
    ],
    ids=lambda made: type(made).__name__,
)  # fmt: skip
def test_the_post_init_of_a_struct_does_not_run_again(made: Any) -> None:
    codec = codec_of(type(made))
    before = len(_POST_INITS)
    again = codec.decode(codec.encode(made))
    assert len(_POST_INITS) == before
    assert type(again) is type(made)
    assert again == made
    assert again.a == "5"
    assert msgspec.json.encode(again) == msgspec.json.encode(made)
    assert repr(again) == repr(made)
    assert Under.below == 0


def test_a_struct_whose_post_init_appends_reads_back_as_it_was() -> None:
    class Log(msgspec.Struct):
        seen: list[str] = msgspec.field(default_factory=list)

        def __post_init__(self) -> None:
            self.seen.append("made")

    codec = codec_of(Log)
    assert codec.decode(codec.encode(Log())).seen == ["made"]


def test_a_struct_with_a_post_init_may_gain_a_field_that_has_a_default() -> None:
    shape = describe(Price)
    assert shape is not None
    old = build_instance(shape, "it", {"a": "5"}, {})
    assert (old.a, old.b) == ("5", [])
    with pytest.raises(DecodeError, match="field 'a' without a default"):
        build_instance(shape, "it", {"b": [1]}, {})


def test_a_struct_keeps_what_is_no_field() -> None:
    made: Any = Open("EUR 5")
    made.seen = [1]
    codec = codec_of(Open)
    assert codec.decode(codec.encode(made)).seen == [1]


def test_a_struct_whose_metaclass_makes_no_other_class_is_built_as_it_can_be() -> None:
    codec = codec_of(Choosy)
    made = Choosy(1)
    assert codec.decode(codec.encode(made)) == made


class Partial(msgspec.Struct, omit_defaults=True):
    a: Nowhere  # type: ignore[name-defined]  # noqa: F821 (its annotations cannot be resolved)
    b: int | msgspec.UnsetType = msgspec.UNSET
    c: int | None = None


class Hooked(msgspec.Struct):
    b: int | msgspec.UnsetType = msgspec.UNSET
    c: int | msgspec.UnsetType | None = None

    def __post_init__(self) -> None:
        """Be built in the other way."""


@pytest.mark.parametrize("made", [Partial(1), Partial(1, 2), Hooked(), Hooked(1, 2)])
def test_a_field_that_is_not_set_comes_back_so(made: Any) -> None:
    codec = codec_of(type(made))
    again = codec.decode(codec.encode([made]))[0]
    assert again == made
    assert again.b is msgspec.UNSET or again.b == made.b
    own = own_value(made)
    assert own == made
    assert digest(made) == digest(again)
    assert digest(Partial(1)) != digest(Partial(1, 0))


def test_a_field_that_is_not_set_where_its_default_is_another_is_refused() -> None:
    with pytest.raises(EncodeError, match=r"value\.c: .*UnsetType cannot be journaled"):
        codec_of(Hooked).encode(Hooked(1, msgspec.UNSET))
