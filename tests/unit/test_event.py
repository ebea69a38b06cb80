"""Events: fields backed by attributes, views, equality."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from typing import Any, ClassVar

import pytest

from perdure.errors import AgentDefinitionError
from perdure.event import Event, EventType, InputEvent, OutputEvent, event_field_types


@dataclasses.dataclass
class Review:
    text: str


class ReviewScored(Event):
    score: int
    note: str = ""


class Tagged(ReviewScored):
    label: ClassVar[str] = "none"
    tags: list[str] = []


class ByHand(Event):
    EVENT_TYPE = "by_hand"

    def __init__(self, value: int) -> None:
        super().__init__(type=ByHand.EVENT_TYPE, attributes={"value": value})

    @property
    def value(self) -> Any:
        return self.get_attr("value")


class Carrying(Event):
    review: Review
    lost: NoSuchType  # type: ignore[name-defined]  # noqa: F821
    count: int = 0


def test_generic_event_has_type_and_a_copy_of_its_attributes() -> None:
    given = {"a": 1}
    event = Event(type="x", attributes=given, id="e1")
    event.set_attr("b", 2)
    assert (event.type, event.id, event.attributes) == ("x", "e1", {"a": 1, "b": 2})
    assert given == {"a": 1}
    assert event.get_attr("none", 7) == 7
    assert event.upstream_event_id is None
    assert event.upstream_action_name is None


def test_fields_read_and_write_attributes() -> None:
    event = ReviewScored(score=1)
    assert event.attributes == {"score": 1, "note": ""}
    event.score = 2
    assert event.attributes["score"] == 2
    event.attributes["note"] = "n"
    assert event.note == "n"


def test_fields_are_inherited_and_mutable_defaults_not_shared() -> None:
    first, second = Tagged(score=1), Tagged(score=2)
    first.tags.append("t")
    assert second.tags == []
    assert list(event_field_types(Tagged)) == ["score", "note", "tags"]
    assert Tagged.label == "none"


def test_a_default_can_be_given_to_an_inherited_field() -> None:
    class Perfect(ReviewScored):
        score = 5

    assert Perfect().score == 5
    assert Perfect(score=4).score == 4


def test_missing_and_unknown_fields_are_named() -> None:
    with pytest.raises(TypeError, match="ReviewScored needs score="):
        ReviewScored()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="ReviewScored has no field 'scroe': it has score, note"):
        ReviewScored(score=1, scroe=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Event has no field 'score'"):
        Event(type="x", score=1)
    with pytest.raises(TypeError, match="Event has no type"):
        Event(attributes={})


def test_what_the_journal_would_lose_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        ReviewScored(score=1).scroe = 2  # type: ignore[attr-defined]
    event = ReviewScored(score=1)
    del event.attributes["score"]
    with pytest.raises(AttributeError, match="lost its attribute 'score'"):
        _ = event.score


@pytest.mark.parametrize("name", ["id", "type", "attributes", "get_attr", "from_event"])
def test_a_field_cannot_take_a_name_that_events_have(name: str) -> None:
    with pytest.raises(AgentDefinitionError, match=f"field '{name}'"):
        type(Event)("Taken", (Event,), {"__annotations__": {name: "str"}})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (5, "give a text"), (("x",), "give a text"), (b"x", "give a text"),
        ("\ud800", "it has half of a character"),
        (InputEvent, r"it is a class: make the event by InputEvent\(\.\.\.\)"),
    ],
)  # fmt: skip
def test_a_type_is_text_that_a_store_can_keep(wrong: Any, why: str) -> None:
    with pytest.raises(TypeError, match=f"^Event: type=.* is no event type: {why}"):
        Event(type=wrong)
    with pytest.raises(AgentDefinitionError, match=f"^event class Mine: .* no event type: {why}"):
        type(Event)("Mine", (Event,), {"EVENT_TYPE": wrong})


def test_event_types() -> None:
    class MyOutput(OutputEvent):
        pass

    class Named(Event):
        EVENT_TYPE = "named"

    class Below(Named):
        pass

    assert ReviewScored.EVENT_TYPE == ReviewScored(score=1).type == "ReviewScored"
    assert InputEvent(input=1).type == EventType.InputEvent == "_input_event"
    assert OutputEvent(output=1).type == EventType.OutputEvent == "_output_event"
    assert MyOutput.EVENT_TYPE == "_output_event"
    assert (Named.EVENT_TYPE, Below.EVENT_TYPE) == ("named", "Below")


def test_from_event_views_any_event() -> None:
    plain = Event(type="ReviewScored", attributes={"score": 3, "more": 1}, id="e")
    plain.upstream_event_id, plain.upstream_action_name = "u", "a"
    view = ReviewScored.from_event(plain)
    assert (view.score, view.note, view.id, view.type) == (3, "", "e", "ReviewScored")
    assert (view.upstream_event_id, view.upstream_action_name) == ("u", "a")
    assert view.get_attr("more") == 1
    view.score = 4
    assert plain.attributes == {"score": 3, "more": 1}
    assert ReviewScored.from_event(view) is view
    assert ByHand.from_event(Event(type="by_hand", attributes={"value": 1})).value == 1


def test_from_event_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match="'x' is no ReviewScored: it lacks 'score'; it has a"):
        ReviewScored.from_event(Event(type="x", attributes={"a": 1}))


def test_equality_is_by_class_type_and_attributes() -> None:
    assert ReviewScored(score=1) == ReviewScored(score=1, note="")
    assert ReviewScored(score=1) != ReviewScored(score=2)
    assert Event(type="x", id="1") == Event(type="x", id="2")
    assert Event(type="x") != Event(type="y")
    assert Event(type="ReviewScored", attributes={"score": 1, "note": ""}) != ReviewScored(score=1)
    assert Event(type="x") != "x"
    with pytest.raises(TypeError):
        hash(ReviewScored(score=1))


def test_repr_is_short() -> None:
    assert repr(ReviewScored(score=1)) == "ReviewScored(score=1, note='')"
    assert repr(Event(type="x")) == "Event(type='x')"
    assert len(repr(InputEvent(input="a" * 1000))) < 100


def test_events_can_be_copied() -> None:
    event = Tagged(score=1, tags=["a"])
    event.upstream_event_id = "u"
    for twin in (copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert twin == event
        assert twin.upstream_event_id == "u"
        assert twin.attributes is not event.attributes


def test_field_types_are_resolved_and_one_failure_costs_no_other() -> None:
    assert event_field_types(ReviewScored) == {"score": int, "note": str}
    assert event_field_types(Carrying) == {"review": Review, "lost": Any, "count": int}
    assert event_field_types(InputEvent) == {"input": Any}
    assert event_field_types(Event) == {}


def test_no_instance_dictionary_is_paid_for() -> None:
    assert not hasattr(ReviewScored(score=1), "__dict__")
    assert "pydantic" not in vars(sys.modules["perdure.event"])
