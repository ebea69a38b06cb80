"""Agents: what can be declared, what is refused, and the plan it compiles to."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest

from perdure.agent.declaration import Agent, action
from perdure.agent.plan import ActionSpec, AgentPlan
from perdure.errors import AgentDefinitionError
from perdure.event import Event, InputEvent, OutputEvent


@dataclasses.dataclass
class Review:
    text: str


class Scored(Event):
    score: int


class Noted(Event):
    EVENT_TYPE = "noted"
    review: Review


class Base(Agent):
    def __init__(self) -> None:
        self.made = "base"  # skips Agent's own: there is none to call

    @action(InputEvent, limit=3)
    async def begin(self, event: InputEvent, ctx: Any) -> Any:
        return self.made, event, ctx

    @action(Scored)
    @staticmethod
    def inner_static(event: Event, ctx: Any) -> Any:
        return event, ctx

    @staticmethod
    @action("noted", name="renamed")
    def outer_static(event, ctx):  # type: ignore[no-untyped-def]
        return event, ctx

    @action(Scored, Noted)
    def two(event, ctx):  # type: ignore[no-untyped-def]
        return event, ctx


def _specs(agent: Any) -> dict[str, ActionSpec]:
    return {spec.name: spec for spec in AgentPlan.from_agent(agent).actions}


def test_every_way_to_declare_an_action() -> None:
    specs = _specs(Base)
    assert list(specs) == ["begin", "inner_static", "renamed", "two"]
    for name in ("inner_static", "renamed", "two"):
        assert specs[name].func("event", "ctx") == ("event", "ctx")
        assert not specs[name].is_coroutine
    begin = specs["begin"]
    assert begin.is_coroutine
    assert begin.config == {"limit": 3}
    with pytest.raises(StopIteration) as ended:
        begin.func("event", "ctx").send(None)
    assert ended.value.value == ("base", "event", "ctx")


def test_the_class_an_action_receives() -> None:
    specs = _specs(Base)
    assert specs["begin"].event_class is InputEvent
    assert specs["inner_static"].event_class is Event  # by annotation
    assert specs["renamed"].event_class is None  # by what is registered for the type
    assert specs["two"].event_class is None
    assert _specs(Agent().add_action("a", Scored, lambda e, c: None))["a"].event_class is Scored


def test_the_plan_finds_actions_and_classes_by_type() -> None:
    plan = AgentPlan.from_agent(Base())
    assert plan.name == "Base"
    assert [spec.name for spec in plan.actions_for("Scored")] == ["inner_static", "two"]
    assert [spec.name for spec in plan.actions_for("noted")] == ["renamed", "two"]
    assert plan.actions_for("unknown") == ()
    assert plan.event_class_for("noted") is Noted
    assert plan.event_class_for("_input_event") is InputEvent
    assert plan.event_class_for("unknown") is Event
    of_every_agent = AgentPlan.from_agent(
        Agent().add_action("a", "x", lambda event, ctx: None)
    ).annotated_types
    assert set(plan.annotated_types) - set(of_every_agent) == {int, Review}


def test_actions_are_inherited_and_overrides_keep_their_place() -> None:
    class Derived(Base):
        @action(Noted, name="inner_static")
        def replaced(self, event: Noted, ctx: Any) -> str:
            return "replaced"

        def two(self, event: Scored | Noted, ctx: Any) -> str:  # type: ignore[override]
            return "overridden"

        @action(InputEvent)
        def last(self, event: InputEvent, ctx: Any) -> None: ...

    specs = _specs(Derived)
    assert list(specs) == ["begin", "inner_static", "renamed", "two", "last"]
    assert specs["inner_static"].func(None, None) == "replaced"
    assert specs["inner_static"].triggers == ("noted",)
    assert specs["two"].func(None, None) == "overridden"
    assert specs["two"].triggers == ("Scored", "noted")
    assert list(_specs(Base)) == ["begin", "inner_static", "renamed", "two"]


def test_an_action_can_be_removed_or_renamed_in_a_subclass() -> None:
    class Derived(Base):
        two = None  # type: ignore[assignment]

        @action(InputEvent, name="start")
        async def begin(self, event: InputEvent, ctx: Any) -> Any: ...

    assert list(_specs(Derived)) == ["inner_static", "renamed", "start"]


def test_an_agent_can_be_built_without_a_class() -> None:
    class Callable_:
        async def __call__(self, event: Scored, ctx: Any) -> None: ...

    def bound(extra: int, event: Event, ctx: Any) -> int:
        return extra

    agent = (
        Agent()
        .add_action("one", InputEvent, lambda event, ctx: 1, a=2)
        .add_action("two", [Scored, "noted"], functools.partial(bound, 7))
        .add_action("three", "Scored", Callable_())
    )
    specs = _specs(agent)
    assert specs["one"].func(None, None) == 1
    assert specs["one"].config == {"a": 2}
    assert specs["two"].triggers == ("Scored", "noted")
    assert specs["two"].func(None, None) == 7
    assert specs["three"].is_coroutine
    assert list(_specs(Base().add_action("added", Scored, lambda e, c: 1)))[-1] == "added"
    assert "added" not in _specs(Base)


def test_an_agent_is_given_as_instance_class_or_factory() -> None:
    instance = Base()
    instance.made = "mine"
    with pytest.raises(StopIteration) as ended:
        _specs(instance)["begin"].func(None, None).send(None)
    assert ended.value.value[0] == "mine"
    assert AgentPlan.from_agent(lambda: instance) == AgentPlan.from_agent(instance)


def test_a_local_event_class_named_as_trigger_is_found_by_its_annotation() -> None:
    class Local(Event):
        x: int

    class Using(Agent):
        @action(Local, "other")
        def run(self, event: Local, ctx: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert _specs(Using)["run"].event_class is Local


def test_a_typed_view_of_the_input_is_no_contradiction() -> None:
    class TypedInput(InputEvent):
        pass

    agent = Agent().add_action("a", TypedInput, lambda e, c: 1)
    agent.add_action("b", InputEvent, lambda e, c: 1)
    plan = AgentPlan.from_agent(agent)
    assert [spec.event_class for spec in plan.actions] == [TypedInput, InputEvent]
    assert plan.event_class_for("_input_event") is InputEvent


def test_two_classes_of_one_type_are_refused() -> None:
    class Other(Event):
        EVENT_TYPE = "noted"

    agent = Agent().add_action("a", [Noted, Other], lambda e, c: 1)
    with pytest.raises(AgentDefinitionError, match="both events of type 'noted'"):
        AgentPlan.from_agent(agent)


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ("", "it is blank: name a type"),
        (OutputEvent, "outputs leave the run"),
        ("_output_event", "outputs leave the run"),
        (Event, "it has no type"),
        (int, "write @action with an event class"),
        (3, "write @action with an event class"),
    ],
)
def test_triggers_that_are_refused(trigger: Any, message: str) -> None:
    with pytest.raises(AgentDefinitionError, match=message):
        action(trigger)
    with pytest.raises(AgentDefinitionError, match=message):
        Agent().add_action("a", [trigger], lambda e, c: 1)
    with pytest.raises(AgentDefinitionError, match=message):
        Agent().add_action("a", trigger, lambda e, c: 1)


def test_a_condition_that_is_none_is_refused_with_the_name_of_its_action() -> None:
    message = r"^action 'check', condition 'score >' is not CEL: column 8: "
    with pytest.raises(AgentDefinitionError, match=message):

        @action(InputEvent, "score >")
        def check(event: Any, ctx: Any) -> None: ...

    with pytest.raises(AgentDefinitionError, match=message):
        Agent().add_action("check", "score >", lambda e, c: 1)


def test_types_and_conditions_are_told_apart() -> None:
    class Mixed(Agent):
        @action(Scored, "'order:created'", " plain ", "score > 3", "score  > 4", "score > 3")
        def both(self, event: Any, ctx: Any) -> None: ...

    spec = _specs(Mixed)["both"]
    assert spec.triggers == ("Scored", "order:created", "plain")
    assert [condition.text for condition in spec.conditions] == ["score > 3", "score  > 4"]
    assert spec.event_class is None
    plan = AgentPlan.from_agent(Mixed)
    assert plan.has_conditions
    assert [each.name for each in plan.actions_for("Scored")] == ["both"]
    assert plan.conditions_for("Scored") == ()
    assert [(each.name, asked) for each, asked in plan.conditions_for("other")] == [
        ("both", spec.conditions)
    ]


def test_no_trigger_is_refused() -> None:
    with pytest.raises(AgentDefinitionError, match="names no trigger"):
        action()
    with pytest.raises(AgentDefinitionError, match="write @action with"):

        @action  # type: ignore[arg-type]
        def bare(event: Any, ctx: Any) -> None: ...


def _one() -> None: ...
def _generator(self: Any, event: Any, ctx: Any) -> Any:
    yield event


async def _async_generator(self: Any, event: Any, ctx: Any) -> Any:
    yield event


def _four(self: Any, event: Any, ctx: Any, more: Any) -> None: ...
def _varargs(*args: Any) -> None: ...
def _no_context(self: Any, event: Any) -> None: ...
def _keyword(self: Any, event: Any, ctx: Any, *, must: Any) -> None: ...


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (_one, "needs 0 arguments"),
        (_four, "needs 4 arguments"),
        (_no_context, "needs 2 arguments"),
        (_generator, "is a generator"),
        (_async_generator, "is a generator"),
        (_varargs, r"takes \*args"),
        (_keyword, "'must' a default"),
        (staticmethod(_keyword), "'must' a default"),
    ],
)
def test_functions_that_are_refused_at_class_creation(func: Any, message: str) -> None:
    copied = func if isinstance(func, staticmethod) else functools.wraps(func)(_clone(func))
    with pytest.raises(AgentDefinitionError, match=f"Wrong.run.*{message}"):
        type("Wrong", (Agent,), {"run": action(InputEvent)(copied)})


def _clone(func: Any) -> Callable[..., Any]:
    """Return the same function again, so that its mark is not shared between tests."""
    return type(func)(func.__code__, func.__globals__)  # type: ignore[no-any-return]


def test_a_static_method_takes_two() -> None:
    with pytest.raises(AgentDefinitionError, match="needs 3 arguments"):

        class Wrong(Agent):
            @action(InputEvent)
            @staticmethod
            def run(self: Any, event: Any, ctx: Any) -> None: ...


def test_only_functions_are_actions() -> None:
    with pytest.raises(AgentDefinitionError, match="put it on a method"):

        class Wrong(Agent):
            @action(InputEvent)  # type: ignore[arg-type]
            @classmethod
            def run(cls, event: Any, ctx: Any) -> None: ...

    with pytest.raises(AgentDefinitionError, match="overrides an action"):
        type("Wrong", (Base,), {"two": 3})
    with pytest.raises(AgentDefinitionError, match="cannot be called"):
        Agent().add_action("a", InputEvent, 3)  # type: ignore[arg-type]
    with pytest.raises(AgentDefinitionError, match="must take"):
        Agent().add_action("a", InputEvent, lambda e: 1)  # type: ignore[misc, arg-type]


def test_an_event_parameter_is_annotated_with_an_event_class() -> None:
    class Wrong(Agent):
        @action(InputEvent)
        def run(self, event: str, ctx: Any) -> None: ...

    with pytest.raises(AgentDefinitionError, match="annotated str"):
        AgentPlan.from_agent(Wrong)


def test_duplicate_names_are_refused() -> None:
    with pytest.raises(AgentDefinitionError, match="declares action 'run' twice"):

        class Twice(Agent):
            @action(InputEvent)
            def run(self, event: Any, ctx: Any) -> None: ...
            @action(Scored)
            def run(self, event: Any, ctx: Any) -> None: ...  # type: ignore[no-redef]  # noqa: F811

    with pytest.raises(AgentDefinitionError, match="declares action 'one' twice"):

        class Same(Agent):
            @action(InputEvent, name="one")
            def a(self, event: Any, ctx: Any) -> None: ...
            @action(Scored, name="one")
            def b(self, event: Any, ctx: Any) -> None: ...

    with pytest.raises(AgentDefinitionError, match="has an action 'begin' already"):
        Base().add_action("begin", InputEvent, lambda e, c: 1)
    with pytest.raises(AgentDefinitionError, match="has an action 'a' already"):
        Agent().add_action("a", Scored, lambda e, c: 1).add_action("a", Scored, lambda e, c: 1)
    with pytest.raises(AgentDefinitionError, match="non-empty string"):
        Agent().add_action("", Scored, lambda e, c: 1)


def test_what_is_no_agent_is_refused() -> None:
    class NeedsMore(Base):
        def __init__(self, more: int) -> None: ...

    with pytest.raises(AgentDefinitionError, match="Agent has no actions"):
        AgentPlan.from_agent(Agent)
    with pytest.raises(AgentDefinitionError, match="NeedsMore cannot be called without arguments"):
        AgentPlan.from_agent(NeedsMore)  # type: ignore[arg-type]
    with pytest.raises(AgentDefinitionError, match="gave 3, not an Agent"):
        AgentPlan.from_agent(lambda: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(AgentDefinitionError, match="is no agent"):
        AgentPlan.from_agent(3)  # type: ignore[arg-type]


def test_whether_an_input_triggers_anything() -> None:
    def act(event: Any, ctx: Any) -> None: ...

    assert AgentPlan.from_agent(Agent().add_action("a", InputEvent, act)).takes_inputs
    assert AgentPlan.from_agent(Agent().add_action("a", "input.x > 1", act)).takes_inputs
    assert not AgentPlan.from_agent(Agent().add_action("a", "inpt", act)).takes_inputs
    assert not AgentPlan.from_agent(Agent().add_action("a", "type == 'x'", act)).takes_inputs
