"""Conditions: what they read, when they are true, what is refused, how they are indexed."""

from __future__ import annotations

import builtins
import dataclasses
import datetime
import decimal
import enum
import subprocess
import sys
import threading
import uuid
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from tests.patience import PATIENCE

from perdure.conditions.condition import Condition, ConditionIndex, event_type_of, is_condition
from perdure.errors import AgentDefinitionError, ConditionError, ConfigurationError
from perdure.event import Event, EventType, InputEvent, OutputEvent


def condition(text: str) -> Condition:
    return Condition(text, "action 'a'")


def event(type: str = "scored", **attributes: Any) -> Event:
    return Event(type=type, attributes=attributes, id="e7")


def meets(text: str, **attributes: Any) -> bool:
    return condition(text).matches(event(**attributes))


# Types and conditions


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("scored", "scored"),
        ("order.created", "order.created"),
        ("order-created", "order-created"),
        ("_input_event", "_input_event"),
        ("  scored ", "scored"),
        ("'order:created'", "order:created"),
        ('"true"', "true"),
        ("'EventType.custom'", "EventType.custom"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_what_names_an_event_type(text: str, type_: str) -> None:
    assert not is_condition(text)
    assert event_type_of(text) == type_


@pytest.mark.parametrize(
    "text",
    ["true", "null", "score > 3", "EventType.InputEvent", "attributes.ready", "'a b'", "has(x)"],
)
def test_what_is_a_condition(text: str) -> None:
    assert is_condition(text)


# When it is true


@pytest.mark.parametrize(
    "text",
    [
        "type == 'scored'",
        "id == 'e7'",
        "score > 80 && attributes.score > 80 && attributes['score'] == 81",
        "score > 80.5",
        "input.a.b == 1 && attributes.input.a['b'] == 1",
        "nothing == null",
        "has(score) && has(attributes.score) && 'score' in attributes",
        "has(input.a.b)",
        "!has(missing) && !has(missing.a.b) && !has(input.x.y) && !has(attributes.missing.a)",
        "!('missing' in attributes)",
        "has(nothing)",
        "attributes['a.b'] == 'dotted' && 'a.b' in attributes",
        "attributes.type == 'mine' && attributes['id'] == 'own'",
        "type(score) == int",
        "name.startsWith('A') && name.matches('^A.*n$') && size(name) == 3",
        "tags[1] == 'y' && 'x' in tags && size(tags) == 2",
        "input[key].b == 1",
        "type in ['other', 'scored']",
        "EventType['InputEvent'] != type && EventType.InputEvent == '_input_event'",
        "score == 81 // a comment",
        "false ? missing : true",
        "missing || true",
        "true",
    ],
)
def test_true(text: str) -> None:
    attributes = {
        "score": 81, "input": {"a": {"b": 1}}, "nothing": None, "a.b": "dotted", "type": "mine",
        "id": "own", "name": "Ann", "tags": ["x", "y"], "key": "a",
    }  # fmt: skip
    assert condition(text).matches(Event(type="scored", attributes=attributes, id="e7"))


def test_false() -> None:
    assert not meets("score > 80", score=80)
    assert not meets("type == EventType.InputEvent && missing > 3", score=80)
    assert not meets("missing > 3 && score == 1", score=80)
    assert not meets("false")


def test_nested_attributes_are_not_flattened() -> None:
    begin = InputEvent(input={"score": 81})
    assert condition("type == EventType.InputEvent && input.score > 80").matches(begin)
    with pytest.raises(ConditionError, match="there is no attribute 'score'"):
        condition("score > 80").matches(begin)


def test_a_condition_on_inputs_reads_the_fields_of_their_values() -> None:
    begin = InputEvent(input={"score": 81, "input": 1})
    assert condition("type == EventType.InputEvent && attributes.score > 80").matches(begin)
    assert condition("type == EventType.InputEvent && score > 80").matches(begin)
    assert condition("type == EventType.InputEvent && input.input == 1").matches(begin)
    with pytest.raises(ConditionError, match="there is no attribute 'note'"):
        condition("type == EventType.InputEvent && note == 1").matches(begin)


def test_typed_events_are_read_by_their_fields() -> None:
    class Scored(Event):
        score: int
        note: str = "none"

    assert condition("type == 'Scored' && score > 3 && note == 'none'").matches(Scored(score=4))


def test_an_output_meets_nothing() -> None:
    assert not condition("true").matches(OutputEvent(output=1))
    assert not condition("has(output)").matches(OutputEvent(output=1))


def test_it_can_be_asked_on_any_thread() -> None:
    told: list[bool] = []
    asked = condition("score > 3")
    thread = threading.Thread(target=lambda: told.append(asked.matches(event(score=4))))
    thread.start()
    thread.join()
    assert told == [True]


# When it cannot be told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("missing > 3", r"there is no attribute 'missing': guard it with has\(missing\)"),
        ("attributes.missing > 3", "there is no 'missing': guard it with has"),
        ("input.missing > 3", "there is no 'missing': guard it with has"),
        ("name > 3", "No such overload"),
        ("nothing > 3", "No such overload"),
        ("score && true", "No such overload"),
        ("score.contains('a')", r"contains\(...\) does not take what it was given"),
        ("input['a']", "its result is of type int, neither true nor false"),
        ("nothing == 1 ? true : name", "its result is of type string, neither true nor false"),
        ("10 / (score - 4) > 1", "division by zero"),
        ("tags[9] == 'x'", "index out of bounds: 9"),
        (
            "thing.x == 1",
            "attribute 'thing' has a value of type object in it, which no condition takes",
        ),
        ("keyed.x == 1", "attribute 'keyed' has a key of type tuple in it"),
        ("huge > 1", "attribute 'huge' has a number in it that is too large"),
    ],
)
def test_failures(text: str, reason: str) -> None:
    attributes: dict[str, Any] = {
        "score": 4, "name": "Ann", "nothing": None, "input": {"a": 1}, "tags": ["x"],
        "thing": [object()], "keyed": {(1, 2): 3}, "huge": 10**400,
    }  # fmt: skip
    with pytest.raises(ConditionError, match=reason) as caught:
        condition(text).matches(event(**attributes))
    message = str(caught.value)
    assert message.startswith(f"action 'a', condition {text!r}, event e7 of type scored: ")
    assert "\n" not in message


def test_an_attribute_without_a_form_matters_only_where_it_is_read() -> None:
    assert meets("score > 3", score=4, thing=object())


# Values


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str] = dataclasses.field(default_factory=list)


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    point: Point


class Shape(msgspec.Struct):
    point: Point


class Pair(NamedTuple):
    left: int
    right: Point


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Colour.RED, "v == 'red'"),
        (Level.HIGH, "v > 2"),
        (Point(1, ["a"]), "v.x == 1 && v.tags[0] == 'a' && !has(v.y)"),
        (Model(point=Point(1), more=[Colour.RED]), "v.point.x == 1 && v.more[0] == 'red'"),  # type: ignore[call-arg]
        (Shape(Point(1)), "v.point.x == 1"),
        (Pair(1, Point(2)), "v.left == 1 && v.right.x == 2"),
        ([Point(1), (Point(2),)], "v[1][0].x == 2"),
        ({"a": {Colour.RED: Point(1)}, 3: "three"}, "v.a.red.x == 1 && v[3] == 'three'"),
        ({3, 1, 2}, "2 in v && v[0] == 1"),
        (Text("abc"), "v == 'abc'"),
        (b"ab", "v == b'ab'"),
        (bytearray(b"ab"), "v == b'ab'"),
        (2**63, "v > 1.0 && v == 9223372036854775808.0"),
        (-(2**63), "v < 0"),
        (decimal.Decimal("1.5"), "v == 1.5"),
        (uuid.UUID(int=1), "v == '00000000-0000-0000-0000-000000000001'"),
        (datetime.date(2026, 1, 2), "v == '2026-01-02' && v < '2026-02-01'"),
        (datetime.time(7, 30), "v == '07:30:00'"),
        (
            datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
            "v > timestamp('2026-01-01T00:00:00Z') && v.getFullYear() == 2026",
        ),
        (datetime.timedelta(minutes=90), "v > duration('1h')"),
        (True, "v == true"),
        ('{"a": 1}', "v == '{\"a\": 1}'"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_values(value: Any, text: str) -> None:
    assert meets(text, v=value)


# What is refused where it is declared


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("score >", "is not CEL: column 8: Syntax error"),
        ("a b", "is not CEL: column 3: "),
        ("has(score) &&\n  (score > 1", "is not CEL: line 2, column 13: "),
        ("score @ 1", "is not CEL: column 7: "),
        ("has(id)", "is not CEL: column 5: invalid argument to has"),
        ("has(score, 1)", "takes one path"),
        ("EventType.Nope == type", "there is no EventType.Nope: use one of InputEvent, "),
        ("has(EventType.Nope)", "there is no EventType.Nope"),
        (
            "EventType.InputEvent",
            "write type == EventType.InputEvent, or pass EventType.InputEvent ",
        ),
        ("attributes.ready", "is no condition: write attributes.ready == true"),
        ("(ready)", "is no condition: write ready == true"),
        ("1 + 2", "never true or false"),
        ("score + 1", "never true or false"),
        ("-score", "never true or false"),
        ("size(tags)", "never true or false"),
        ("null", "never true or false: it is of type null"),
        ("'a b'", "never true or false: it is of type string"),
        ("1 / 0 == 1", "fails for every event: division by zero"),
        ("now() > created", "no function now: use one of "),
        ("cel.bind(a, 1, a == 1)", "no function bind"),
        ("score.has(x)", "no function has"),
        ("tags.exists(t, t == 'x')", r"no exists\(...\): has\(...\) is the only macro"),
        ("[1].all(t, t > score)", r"no all\(...\)"),
        ("size(tags.map(t, t)) == 1", r"no map\(...\)"),
        ("Point{x: 1} == p", "there are no messages here"),
        (".score == 1", "write score without the dot"),
        ("size(attributes) == 1", "column 6: `attributes` as a whole"),
        ("attributes[key] == 1", "column 1: `attributes` as a whole"),
        ("attributes == {'a': 1}", "`attributes` as a whole"),
        ("'a' + 'b' in attributes", "`attributes` as a whole"),
        ("attributes.size() == 1", "`attributes` as a whole"),
        ("type == EventType.OutputEvent", "outputs leave the run"),
        ("type == '_output_event' && output > 3", "outputs leave the run"),
        ("score == 1" + " || score == 1" * 700, "shorten it to 8192"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(AgentDefinitionError, match=reason) as caught:
        condition(text)
    message = str(caught.value)
    assert message.startswith("action 'a', condition ")
    assert "\n" not in message


def test_what_is_written_in_a_literal_is_not_read() -> None:
    assert meets("name == 'has(x) || EventType.Nope'", name="has(x) || EventType.Nope")
    assert condition("name == \"type == 'x' && attributes\"").types is None


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_cel(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cel":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_cel)
    with pytest.raises(ConfigurationError, match=r"pip install 'perdure\[conditions\]'"):
        condition("score > 3")


def test_the_package_is_imported_without_cel() -> None:
    program = "import sys, perdure; perdure.Agent; assert 'cel' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)


# Types that a condition asks for


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("type == 'x'", {"x"}),
        ("'x' == type && score > 3", {"x"}),
        ("score > 3 && (type == EventType.InputEvent)", {"_input_event"}),
        ("type == 'x' && score > 3 || type == 'y'", {"x", "y"}),
        ("(type == 'x' || type == 'y') && (a == 1 || b == 2)", {"x", "y"}),
        ("type in ['x', EventType.ToolRequestEvent]", {"x", "_tool_request_event"}),
        ("type in ['x', EventType.OutputEvent]", {"x"}),
        ("type == 'x' && type == 'y'", set()),
        ("((type == r'x'))", {"x"}),
        ("type == 'x' // || true", {"x"}),
        ("type == 'x' || score > 3", None),
        ("!(type == 'x')", None),
        ("type != 'x'", None),
        ("type == 'x' ? true : score > 3", None),
        ("type == 'x' && score > 3 ? true : score < 1", None),
        ("(type == 'x') == (score > 3)", None),
        ("type == wanted", None),
        ("type in ['x', wanted]", None),
        ("type.startsWith('x')", None),
        ("attributes.type == 'x'", None),
        ("type(score) == int", None),
        ("score > 3", None),
        ("true", None),
    ],
)
def test_types(text: str, types: set[str] | None) -> None:
    assert condition(text).types == types


def test_the_types_never_hide_what_is_true() -> None:
    """Against the same condition with the types kept from being seen."""
    texts = [
        "type == 'x' && score > 3 || type == 'y'",
        "score > 3 && (type == 'x' || (type == 'y' && score < 9))",
        "type in ['x', 'y'] && score != 5",
        "type == 'x' ? score > 3 : score < 4",
    ]
    for text in texts:
        hidden = condition(f"({text}) == true")
        for kind in ("x", "y", "z", EventType.InputEvent):
            for score in (1, 5, 10):
                told = condition(text).matches(event(kind, score=score))
                assert told == hidden.matches(event(kind, score=score)), (text, kind, score)


# The index


def asked(index: ConditionIndex[str], kind: str) -> dict[str, list[str]]:
    return {owner: [each.text for each in found] for owner, found in index.for_type(kind)}


def test_conditions_are_found_by_type() -> None:
    on_x, on_y = condition("type == 'x' && a == 1"), condition("type == 'y'")
    either, any_type = condition("type in ['x', 'y']"), condition("score > 3")
    index = ConditionIndex(
        [
            ("plain", ("x",), ()),
            ("first", (), (on_x, on_y)),
            ("typed", ("x", "w"), (either, any_type)),
            ("last", (), (any_type, either)),
        ]
    )
    assert index
    assert asked(index, "x") == {"first": [on_x.text], "last": [any_type.text, either.text]}
    assert asked(index, "y") == {
        "first": [on_y.text], "typed": [either.text, any_type.text],
        "last": [any_type.text, either.text],
    }  # fmt: skip
    assert asked(index, "w") == {"last": [any_type.text]}
    assert asked(index, "z") == {"typed": [any_type.text], "last": [any_type.text]}


def test_an_index_without_conditions_is_false() -> None:
    index = ConditionIndex([("plain", ("x",), ())])
    assert not index
    assert index.for_type("x") == ()


def test_equal_by_text() -> None:
    assert condition(" score > 3") == Condition("score > 3", "elsewhere")
    assert len({condition("score > 3"), condition("score > 3"), condition("score > 4")}) == 2
    assert repr(condition("score > 3")) == "Condition('score > 3')"
