"""Annotations are read in modules without `from __future__ import annotations` too.

This is one. From Python 3.14 on they are evaluated when they are asked for, so what is quoted below
need not be there; before, it is a string or an error of the module itself.
"""

import functools
import sys
from typing import Any, ClassVar

import pytest

from perdure import Agent, Event, InputEvent, action
from perdure.agent.plan import AgentPlan
from perdure.annotations import annotations_of, signature_of
from perdure.codec.identity import function_identity
from perdure.event import event_field_types
from perdure.llm.tool_schema import FunctionSchema

NEW = sys.version_info >= (3, 14)


class Noted(Event):
    kind: ClassVar[str] = "note"
    text: str
    later: "Later | None" = None
    then: Any = functools.partial(int, "1")


class Later:
    pass


def test_an_event_has_the_fields_that_it_is_annotated_with() -> None:
    event = Noted(text="a")
    assert (event.text, event.later, event.then()) == ("a", None, 1)
    assert event_field_types(Noted) == {"text": str, "later": Later | None, "then": Any}
    with pytest.raises(TypeError, match="text"):
        Noted()  # type: ignore[call-arg]


class Local(Event):
    one: int
    other: "Missing"  # noqa: F821 # type: ignore[name-defined]


def test_an_annotation_that_means_nothing_costs_no_other() -> None:
    assert event_field_types(Local) == {"one": int, "other": Any}
    assert Local(one=1, other=2).other == 2


@pytest.mark.skipif(not NEW, reason="an error of the class itself before Python 3.14")
def test_what_is_there_for_type_checkers_alone_needs_no_quotes() -> None:
    names: dict[str, Any] = {one.__name__: one for one in (Event, Agent, InputEvent, action)}
    names["__name__"] = __name__
    exec(
        "class Bare(Event):\n"
        "    one: int\n"
        "    other: Missing\n"
        "def tool(a: int) -> Missing: ...\n"
        "def call(a: Missing, b: int) -> Missing: ...\n"
        "class Acts(Agent):\n"
        "    @action(InputEvent)\n"
        "    def act(event: InputEvent, ctx: Missing) -> Missing: ...\n",
        names,
    )
    assert event_field_types(names["Bare"]) == {"one": int, "other": Any}
    assert FunctionSchema(names["tool"]).types == {"a": int}
    assert list(signature_of(names["call"]).parameters) == ["a", "b"]
    assert function_identity(names["call"])
    assert [spec.name for spec in AgentPlan.from_agent(names["Acts"]()).actions] == ["act"]


def returns(value: "Later") -> "Later | None": ...


def test_functions_are_annotated_as_they_say() -> None:
    assert list(annotations_of(returns)) == ["value", "return"]
    assert annotations_of(len) == {}


class Above:
    inherited: int


class Below(Above):
    pass


def test_a_class_has_its_own_annotations_alone() -> None:
    assert annotations_of(Below) == {}
    assert annotations_of(Above) == {"inherited": int}
