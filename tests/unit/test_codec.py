"""G5, G7, G21: values keep their form, digests are the same everywhere, data runs no code."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import os
import pathlib
import subprocess
import sys
import typing
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from typing import Any
from unittest import mock

import msgspec
import pydantic
import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.codec.brief import brief
from perdure.codec.codec import Codec
from perdure.codec.digests import digest, digest_call, stored_ids
from perdure.codec.lower import MAX_DEPTH
from perdure.codec.names import NAMES, main_module_name, type_name
from perdure.codec.sketch import differences, sign_call
from perdure.codec.types import TypeRegistry
from perdure.errors import ConfigurationError, DecodeError, EncodeError


class Color(enum.Enum):
    RED = 1
    BLUE = "b"
    ALSO_RED = 1  # noqa: PIE796 - an alias is what is at test


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Text(str):
    __slots__ = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Inner:
    tags: frozenset[str]
    at: dt.datetime


@dataclasses.dataclass
class Outer:
    name: str
    inner: Inner | None = None
    made: list[int] = dataclasses.field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        self.made.append(1)


class Point(typing.NamedTuple):
    x: int
    y: tuple[int, ...] = ()


class Packet(msgspec.Struct, frozen=True):
    body: bytes
    kind: Color = Color.RED


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    items: list[Outer]
    when: dt.date
    _secret: int = pydantic.PrivateAttr(default=3)

    @pydantic.field_validator("when")
    @classmethod
    def later(cls, value: dt.date) -> dt.date:
        return value + dt.timedelta(days=1)


class Linked(pydantic.BaseModel):
    url: pydantic.AnyUrl


def registry_of(*annotations: Any) -> TypeRegistry:
    registry = TypeRegistry()
    for annotation in annotations:
        registry.register_annotation(annotation)
    return registry


def known() -> Codec:
    return Codec(registry_of(Color, Access, Outer, Point, Packet, Model, Linked))


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types, in the same order, NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (
            a == b and math.copysign(1, a) == math.copysign(1, b)
        )
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(k, j) and same(v, w) for (k, v), (j, w) in zip(a.items(), b.items(), strict=True)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Decimal):
        return str(a) == str(b)
    if isinstance(a, dt.datetime | dt.time):
        return (a.replace(tzinfo=None), a.fold, str(a.tzinfo)) == (
            b.replace(tzinfo=None),
            b.fold,
            str(b.tzinfo),
        )
    return bool(a == b)


zones = st.one_of(
    st.none(),
    st.sampled_from([zoneinfo.ZoneInfo("Europe/Berlin"), dt.UTC]),
    st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(dt.timezone),
)
hashables = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(st.characters(exclude_categories=())),
        st.binary(),
        st.dates(),
        st.uuids(),
        st.timedeltas(),
        st.sampled_from([Color.RED, Color.BLUE, Access.READ | Access.WRITE, 2**64, -(2**63) - 1]),
        st.floats(allow_nan=False),
        st.sampled_from(["\ud800", "é", 2**63, 10**400, pathlib.PurePosixPath("/a/b")]),
    ),
    lambda inner: st.one_of(
        st.frozensets(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.builds(Point, st.integers(), st.lists(st.integers(), max_size=2).map(tuple)),
    ),
    max_leaves=6,
)
values = st.recursive(
    st.one_of(
        hashables,
        st.floats(),
        st.complex_numbers(),
        st.decimals(),
        st.datetimes(timezones=zones),
        st.times(timezones=st.sampled_from([None, dt.UTC])),
        st.binary().map(bytearray),
        st.sets(hashables, max_size=4),
        st.builds(Packet, st.binary(), st.sampled_from(Color)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashables, inner, max_size=4),
        st.dictionaries(st.text(), inner, max_size=4).map(OrderedDict),
    ),
    max_leaves=15,
)


@given(values)
@settings(max_examples=400, deadline=None)
def test_g5_values_read_back_as_they_are(value: Any) -> None:
    codec = known()
    data = codec.encode(value)
    assert same(codec.decode(data), value)
    assert codec.encode(codec.decode(data)) == data
    json.dumps(codec.to_json(data), allow_nan=False).encode()


@given(values)
@settings(max_examples=150, deadline=None)
def test_g7_a_digest_survives_the_journal(value: Any) -> None:
    codec = known()
    again = codec.decode(codec.encode(value))
    assert digest(again) == digest(value)
    assert digest_call((again,), {"x": again}) == digest_call((value,), {"x": value})


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_are_a_decode_error_or_a_value(data: bytes) -> None:
    for read in (known().decode, known().to_json):
        try:
            read(b"\x01" + data)
        except DecodeError:
            pass


def test_fixed_offsets_names_and_fold_are_kept() -> None:
    named = dt.timezone(dt.timedelta(hours=1), "mine")
    for zone in (dt.UTC, named, zoneinfo.ZoneInfo("America/New_York")):
        value = dt.datetime(2026, 11, 1, 1, 30, 0, 7, zone, fold=1)
        again = known().decode(known().encode(value))
        assert (again.tzname(), again.utcoffset(), again.fold) == (
            value.tzname(),
            value.utcoffset(),
            1,
        )


def test_instances_of_registered_types_come_back_without_their_init() -> None:
    codec = known()
    inner = Inner(frozenset({"a", "b"}), dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    outer = Outer("n", inner)
    model = Model(items=[outer], when=dt.date(2026, 1, 1), more=(1, 2))  # type: ignore[call-arg]
    model._secret = 9
    for value in (inner, outer, model, Point(1, (2,)), Packet(b"x", Color.BLUE), Color.ALSO_RED):
        again = codec.decode(codec.encode(value))
        assert again == value
        assert type(again) is type(value)
    again = codec.decode(codec.encode(model))
    # __post_init__ appended once, when the original was made, and the validator moved the day once.
    assert again.items[0].made == [1]
    assert (again.when, again._secret, again.more) == (dt.date(2026, 1, 2), 9, (1, 2))
    assert again.model_fields_set == model.model_fields_set


def test_a_model_of_urls_comes_back_through_its_json_form() -> None:
    value = Linked(url="https://example.org/a")  # type: ignore[arg-type]
    assert known().decode(known().encode({"a": [value]})) == {"a": [value]}
    assert digest(value) == digest(Linked(url="https://example.org/a"))  # type: ignore[arg-type]


def test_a_gained_field_gets_its_default_and_a_lost_one_is_named() -> None:
    def version(*fields: Any) -> Codec:
        registry = TypeRegistry()
        registry.register(dataclasses.make_dataclass("Versioned", fields))
        return Codec(registry)

    name = type_name(dataclasses.make_dataclass("Versioned", ()))

    old, new = (
        version(("a", int)),
        version(("a", int), ("b", list, dataclasses.field(default_factory=list))),
    )
    data = old.encode(old.registry.resolve(name)(1))
    assert new.decode(data).b == []
    with pytest.raises(DecodeError, match="Versioned has no field 'b' any more"):
        old.decode(new.encode(new.registry.resolve(name)(1)))
    with pytest.raises(DecodeError, match="'c' without a default"):
        version(("a", int), ("c", int)).decode(data)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Text("x"), r"value: .*test_codec:Text cannot be journaled: convert it with str"),
        ({"a": [0, 1, {"b": object()}]}, r"value\['a'\]\[2\]\['b'\]: .*builtins:object"),
        ({"a": (1, {2: defaultdict(int)})}, r"value\['a'\]\[1\]\[2\]: .*dict\(\.\.\.\)"),
        (deque(), r"list\(\.\.\.\)"),
        (Counter(), r"dict\(\.\.\.\)"),
        ({object: 1}, r"value\.key\(type\): "),
        (Outer("a", inner=typing.cast("Any", 1 + 2j)), None),
        (Point(1, typing.cast("Any", print)), r"value\.y: "),
        (True, None),
    ],
)
def test_a_refusal_names_type_and_place(value: Any, message: str | None) -> None:
    codec = known()
    if message is None:
        assert codec.decode(codec.encode(value)) == value
        return
    with pytest.raises(EncodeError, match=message):
        codec.encode(value)


def test_an_unregistered_type_is_refused_when_written() -> None:
    for value in (Color.RED, Outer("x"), Point(1), Packet(b""), Linked(url="http://a.example")):  # type: ignore[arg-type]
        with pytest.raises(EncodeError, match="register_type"):
            Codec().encode([value])


def test_too_large_is_refused_with_size_and_option() -> None:
    codec = Codec(max_bytes=100)
    assert codec.decode(codec.encode(b"x" * 90)) == b"x" * 90
    with pytest.raises(EncodeError, match=r"10\d\d bytes.*100 allowed.*max-payload-bytes"):
        codec.encode(["x" * 1000])


@pytest.mark.parametrize(
    "wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: {1.5: v}]
)
def test_depth_is_bounded_and_cycles_are_refused(wrap: Any) -> None:
    value: Any = None
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    codec = Codec()
    assert codec.decode(codec.encode(value)) == value
    for _ in range(100_000):
        value = wrap(value)
    with pytest.raises(EncodeError, match="levels deep"):
        codec.encode(value)
    with pytest.raises(EncodeError):
        digest_call((value,), {})
    while isinstance(value, dict | list | tuple):  # the interpreter's own unwinding is not at test
        value = next(iter(value.values() if isinstance(value, dict) else value))
    cycle: list[Any] = []
    cycle.append(wrap(cycle))
    with pytest.raises(EncodeError, match="contains itself"):
        codec.encode(cycle)


def test_deep_foreign_bytes_are_a_decode_error() -> None:
    for data in (b"\x91" * 100_000 + b"\xc0", b"\x81\xa1a" * 100_000 + b"\xc0"):
        with pytest.raises(DecodeError, match="too deep"):
            Codec().decode(b"\x01" + data)
        with pytest.raises(DecodeError, match="too deep"):
            Codec().to_json(b"\x01" + data)


@pytest.mark.parametrize("data", [b"", b"\x02\xc0", b"\x80\x04N."])
def test_other_formats_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="format"):
        Codec().decode(data)


def test_what_needs_no_tag_is_not_copied_and_the_given_value_is_left_alone() -> None:
    lower = Codec()._lowering.lower
    plain = {"a": [1, {"b": None}], "c": {"d": 1.5}}
    assert lower(plain) is plain
    mixed = {"a": [1, {"b": (2,)}], "c": plain}
    lowered = lower(mixed)
    assert mixed == {"a": [1, {"b": (2,)}], "c": plain}
    assert lowered["c"] is plain


# Registry


def test_two_types_under_one_name_are_refused() -> None:
    registry = TypeRegistry()
    registry.register(Outer)
    registry.register(Outer)
    with mock.patch.object(NAMES, "of", return_value=(type_name(Outer),)):
        with pytest.raises(ConfigurationError, match=r"two types .*Outer.* and .*Inner"):
            registry.register(Inner)
    with pytest.raises(ConfigurationError, match="only dataclasses"):
        registry.register(Text)


def test_annotations_register_what_they_name() -> None:
    class Row(typing.TypedDict):
        packet: Packet

    T = typing.TypeVar("T", bound=Access)
    registry = registry_of(
        dict[str, list[typing.Annotated[Outer | None, "note"]]],
        Row,
        T,
        typing.Literal[Color.RED],
        int,
    )
    names = {registry.name_of(cls) for cls in (Outer, Inner, Packet, Access, Color)}
    assert names == {type_name(cls) for cls in (Outer, Inner, Packet, Access, Color)}
    assert registry.name_of(Model) is None
    assert registry_of(Model).resolve(type_name(Inner)) is Inner


def test_a_script_and_its_import_agree_on_names(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "agent_script.py"
    script.write_text(
        "from perdure.codec.names import type_name\nclass A: pass\nprint(type_name(A))\n"
    )
    commands = [[str(script)], ["-m", "agent_script"], ["-c", "import agent_script"]]
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout == "agent_script:A\n"
    assert main_module_name() != ""


# G21


def test_g21_unregistered_types_are_not_rebuilt() -> None:
    data = known().encode([Outer("x"), Color.RED])
    with pytest.raises(DecodeError, match=r"test_codec:Outer.*register_type"):
        Codec().decode(data)


def test_g21_reading_imports_nothing_and_calls_nothing_the_data_names() -> None:
    def ext(code: int, tree: Any) -> bytes:
        return b"\x01" + msgspec.msgpack.encode(
            msgspec.msgpack.Ext(code, msgspec.msgpack.encode(tree))
        )

    before = set(sys.modules)
    for name in ("antigravity:fly", "os:system", "builtins:eval", "perdure.errors:EncodeError"):
        for data in (ext(18, [name, {"a": "true"}]), ext(17, [name, "a"])):
            with pytest.raises(DecodeError, match="does not know"):
                known().decode(data)
            assert name in json.dumps(known().to_json(data))
    assert set(sys.modules) == before


def test_g21_the_readable_view_shows_names_and_fields() -> None:
    codec = known()
    inner = Inner(frozenset({"a"}), dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    data = codec.encode({"o": Outer("n", inner), "c": Color.RED, (1, 2): b"\x00", "n": math.nan})
    assert Codec().to_json(data) == {
        "o": {
            "$type": type_name(Outer),
            "name": "n",
            "inner": {
                "$type": type_name(Inner),
                "tags": ["a"],
                "at": "2026-01-02T00:00:00+00:00",
            },
            "made": [1],
        },
        "c": f"{type_name(Color)}.RED",
        "[1, 2]": {"$base64": "AA=="},
        "n": "nan",
    }


# Digests

_DIGESTS = """
import datetime, decimal, enum, uuid
from perdure.codec.digests import digest, digest_call, stored_ids
class E(enum.Enum):
    A = 1
names = {"alpha", "beta", "gamma", "delta", "epsilon"}
args = (1, "x", names, frozenset(names), {"k": [names, (2, None)]}, E.A, uuid.UUID(int=7),
        decimal.Decimal("1.50"), datetime.date(2026, 1, 1), 2**80, "\\ud800", float("nan"))
print(digest_call(args, {"b": 1, "a": names}).hex(), digest({("t",): names}).hex())
"""


def test_g7_digests_are_the_same_in_every_process() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", _DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(printed) == 1
    assert len(printed.pop()) == 66


def test_g7_digests_tell_different_arguments_apart() -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}), ((1,), {}), ((1.0,), {}), ((True,), {}), (("1",), {}), ((b"1",), {}),
        (((1,),), {}), (([1],), {}), (({1},), {}), ((frozenset({1}),), {}), ((), {"a": 1}),
        (({"a": 1},), {}), (({"a": 1, "b": 2},), {}), (({"b": 2, "a": 1},), {}), ((1, 2), {}),
        ((Outer("a"),), {}), ((Outer("b"),), {}), ((Point(1),), {}), ((Color.RED,), {}),
        ((2**70,), {}), ((None,), {}), ((uuid.UUID(int=1),), {}),
    ]  # fmt: skip
    assert len({digest_call(*call) for call in calls}) == len(calls)


def test_g7_equal_arguments_have_equal_digests() -> None:
    assert digest_call((), {"a": 1, "b": [2]}) == digest_call((), {"b": [2], "a": 1})
    assert digest(math.nan) == digest(-math.nan) == digest(float("inf") - float("inf"))
    one, two = Outer("a"), Outer("a")
    two.made.append(5)  # compare=False
    assert one == two
    assert digest(one) == digest(two)


@pytest.mark.parametrize("call", [((1, [object()]), {}), ((), {"x": [0, object()]})])
def test_g7_what_is_no_plain_value_is_named(call: Any) -> None:
    with pytest.raises(EncodeError, match=r"^(args\[1\]\[0\]|kwargs\['x'\]\[1\]): .*plain values"):
        digest_call(*call)


# Short texts


def test_brief_reads_like_a_call() -> None:
    assert brief(("B01", 3, (1,), {"a": [None]}), {"aspect": Color.RED}) == (
        "'B01', 3, (1,), {'a': [None]}, aspect=Color.RED"
    )


class Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __len__ = __iter__ = __getattr__ = __repr__  # type: ignore[misc]


def test_brief_is_short_and_never_raises() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    huge = [("x" * 10**6, list(range(10**5)), 10**5000, {i: i for i in range(10**4)})] * 100
    for value in (cycle, huge, Hostile(), {Hostile(): 1}, "\ud800", Decimal(10) ** 100):
        for limit in (10, 160):
            assert 0 < len(brief((value, value), {"k": value}, limit)) <= limit


def test_a_typed_dict_of_typing_extensions_names_types_as_well() -> None:
    cls = dataclasses.make_dataclass("Held", [("value", int)])
    made: Any = typing_extensions.TypedDict
    registry = TypeRegistry()
    registry.register_annotation(made("State", {"held": list[cls]}))
    assert registry.lookup(cls) is not None


@pytest.mark.parametrize("value", [None, True, 7, 1 << 70, 0.5, "é\ud800", b"b", [1], {"a": [2]}])
def test_g5_a_value_read_back_is_what_its_bytes_hold(value: Any) -> None:
    codec = Codec()
    data = codec.encode(value)
    read = codec.read_back(value, data)
    assert read == codec.decode(data)
    assert type(read) is type(value)
    assert (read is value) is not isinstance(value, list | dict)  # what can change is a copy


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["above", "below"])
def test_g7_a_number_of_any_size_is_a_key_too(number: int) -> None:
    (before, _), (now, _) = (sign_call(({number: value},), {}) for value in (1, 2))
    assert before != now
    assert differences(before, ({number: 2},), {}) == "args[0][int]"
    before, now = ({10**50: value, "more": "x" * 200} for value in (1, 2))
    assert differences(sign_call((before,), {})[0], (now,), {}) == f"args[0][{10**50}]"
    assert stored_ids(number) != stored_ids(number + 1)
    view = Codec().to_json(Codec().encode({number: number}))
    assert json.loads(json.dumps(view)) == {"<int of 16610 bits>": "<int of 16610 bits>"}
    assert Codec().to_json(Codec().encode(10**1000)) == 10**1000
