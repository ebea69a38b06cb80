"""Members of enums that their class does not declare: what `_missing_` makes, combined flags."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import msgspec
import pytest

from perdure.codec.codec import Codec
from perdure.codec.digests import digest, digest_call
from perdure.codec.lower import Tag
from perdure.codec.names import type_name
from perdure.codec.sketch import differences, sign_call
from perdure.codec.types import TypeRegistry
from perdure.errors import DecodeError, EncodeError


class Code(enum.IntEnum):
    OK = 200

    @classmethod
    def _missing_(cls, value: object) -> Code | None:
        if not isinstance(value, int) or value < 0:
            return None
        made = int.__new__(cls, value)
        made._name_, made._value_ = f"UNKNOWN_{value}", value
        return made


class Word(enum.Enum):
    """Made-up members have the name of a declared one."""

    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> Word:
        made = object.__new__(cls)
        made._name_, made._value_ = "UNKNOWN", value
        return made


class Kept(enum.Flag, boundary=enum.KEEP):
    ONE = 1
    FAR = 2**70


class Plain(enum.Enum):
    A = "a"


@dataclasses.dataclass
class Gone:
    """It was an enum when the journal was written."""

    text: str


TYPES = (Code, Word, Kept, Plain, Gone)


@pytest.fixture(name="codec")
def _codec() -> Codec:
    registry = TypeRegistry()
    for cls in TYPES:
        registry.register(cls)
    return Codec(registry)


MADE_UP: list[Any] = [
    Code(299), Code(2**80), Word("zz"), Word("299"), Word("\ud800"), Word(2.5), Word(True),
    Word((1, "x")), Word(None), Word(Word("in it")), Kept(9), Kept.ONE | Kept.FAR,
]  # fmt: skip


@pytest.mark.parametrize("member", MADE_UP, ids=ascii)
def test_g5_an_undeclared_member_comes_back(codec: Codec, member: Any) -> None:
    found = codec.decode(codec.encode([member, {"in": member}]))
    for each in (found[0], found[1]["in"]):
        assert type(each) is type(member)
        assert each._name_ == member._name_
        assert repr(each._value_) == repr(member._value_)


def test_g7_undeclared_members_have_digests_of_their_own() -> None:
    members = [*MADE_UP, Code.OK, Word.UNKNOWN, Kept.ONE]
    assert len({digest(each) for each in members}) == len(members)
    one, other = ([{"word": Word(each)}] for each in ("a", "b"))
    assert digest_call((one,), {}) != digest_call((other,), {})
    signed, _ = sign_call((one,), {})
    assert differences(signed, (other,), {}) == "args[0][0]['word']"


def of_journal(cls: type, member: Any) -> bytes:
    """Return what a journal holds of a member."""
    tree = msgspec.msgpack.encode([type_name(cls), member])
    return b"\x01" + msgspec.msgpack.encode(msgspec.msgpack.Ext(Tag.ENUM, tree))


@pytest.mark.parametrize("member", [Code(299), Kept(9)])
def test_a_number_is_written_as_before_and_read(codec: Codec, member: Any) -> None:
    data = codec.encode(member)
    assert data == of_journal(type(member), member.value)
    assert codec.to_json(data) == f"{type_name(type(member))}.{member.value}"
    assert codec.fields(data) == member.value


def test_a_value_is_shown_where_no_class_is_asked(codec: Codec) -> None:
    data = codec.encode(Word("zz"))
    assert codec.to_json(data) == f"{type_name(Word)}('zz')"
    assert codec.fields(data) == "zz"


@pytest.mark.parametrize(
    ("cls", "member", "shown"),
    [(Code, -1, "-1"), (Code, ["x"], "'x'"), (Plain, 3, "3"), (Plain, "B", "'B'"),
     (Kept, "B", "'B'"), (Gone, "B", "'B'"), (Gone, 5, "5")],
)  # fmt: skip
def test_a_value_that_the_class_refuses_is_named(
    codec: Codec, cls: type, member: Any, shown: str
) -> None:
    with pytest.raises(DecodeError, match=rf":{cls.__name__} has no member {shown} any more"):
        codec.decode(of_journal(cls, member))


@pytest.mark.parametrize("value", [7, "x"])
def test_a_member_that_would_not_come_back_is_refused(codec: Codec, value: Any) -> None:
    member = object.__new__(Plain)
    member._name_, member._value_ = "OTHER", value
    with pytest.raises(EncodeError, match=r"\['a'\]: .*:Plain does not give this member"):
        codec.encode({"a": member})
    assert digest(member) != digest(Plain.A)
