"""Functions as tools: what marks them, what the model does not see, what it is shown."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from perdure import Agent
from perdure.agent.resources import declared_resources
from perdure.call import RetryPolicy, durable
from perdure.errors import AgentDefinitionError, ConfigurationError, ToolArgumentsError
from perdure.llm.message import Attachment
from perdure.llm.tool import (
    FunctionTool,
    InjectedArg,
    Tool,
    ToolParameterSource,
    as_tool,
    tool,
    tool_result_attachments,
    tool_result_text,
)
from perdure.resource import RESOURCE_MARK, ResourceType


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool(name="wait-for", timeout=5, retry=RetryPolicy(max_attempts=2), requires_approval=True)
async def wait(seconds: float) -> None:
    """Wait."""


def test_a_marked_function_is_still_a_function() -> None:
    assert add(1, b=2) == 3
    assert getattr(add, RESOURCE_MARK) is ResourceType.TOOL


def test_a_function_becomes_a_tool_with_its_options() -> None:
    made = as_tool(add)
    assert isinstance(made, FunctionTool)
    assert (made.name, made.description, made.func) == ("add", "Add two numbers.", add)
    assert (made.timeout, made.retry, made.limit, made.on_error) == (None, None, None, "return")
    made = as_tool(wait)
    assert isinstance(made, Tool)
    assert (made.name, made.timeout, made.requires_approval) == ("wait-for", 5, True)
    assert made.retry == RetryPolicy(max_attempts=2)


def test_names_and_resources_stay() -> None:
    made = FunctionTool(add)
    assert as_tool(made) is made
    assert as_tool("add") == "add"


def test_from_callable_takes_options_over_those_of_the_decorator() -> None:
    made = Tool.from_callable(wait, timeout=1)
    assert (made.name, made.timeout, made.requires_approval) == ("wait-for", 1, True)


class Tooled(Agent):
    @tool
    @staticmethod
    def outer(a: int) -> int:
        """Outer."""
        return a

    @staticmethod
    @tool(timeout=2)
    def inner(a: int) -> int:
        return a + 1

    @tool
    def plain(a: int) -> int:  # type: ignore[misc]
        return a + 2


def test_tools_in_the_body_of_an_agent() -> None:
    found = {each.name: each.source for each in declared_resources(Tooled())}
    assert set(found) == {"outer", "inner", "plain"}
    assert all(isinstance(each, FunctionTool) for each in found.values())
    assert [each.func(1) for each in found.values()] == [1, 2, 3]
    assert found["inner"].timeout == 2
    assert Tooled.outer(1) == 1


def test_defaults_of_a_durable_function_are_left_to_the_call() -> None:
    @durable(timeout=3)
    def slow() -> None: ...

    made = FunctionTool(slow)
    assert made.func is slow
    assert made.timeout is None


@pytest.mark.parametrize("wrong", [3, None, int, object(), ["add"]])
def test_what_is_no_tool_is_refused(wrong: Any) -> None:
    with pytest.raises(AgentDefinitionError, match="is no tool"):
        as_tool(wrong)


@pytest.mark.parametrize("wrong", [int, 3, functools.partial(add)])
def test_what_is_no_function_cannot_be_marked(wrong: Any) -> None:
    with pytest.raises(AgentDefinitionError, match="@tool is on"):
        tool(wrong)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "ä", "x" * 65])
def test_names_that_models_do_not_take(name: str) -> None:
    with pytest.raises(AgentDefinitionError, match="names no tool"):
        FunctionTool(add, name=name)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        FunctionTool(add, timeout=-1)
    with pytest.raises(AgentDefinitionError, match=r"on_error.*'return'.*'raise'"):
        FunctionTool(add, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timout"):
        tool(timout=1)  # type: ignore[call-overload]


def test_a_partial_and_an_object_have_names() -> None:
    class Search:
        def __call__(self, query: str) -> str:
            """Search."""
            return query

    assert FunctionTool(functools.partial(add, 1)).name == "add"
    assert FunctionTool(Search()).name == "Search"


def test_arguments_are_checked() -> None:
    made = FunctionTool(add)
    assert made.checked({"a": "2"}) == {"a": 2}
    with pytest.raises(ToolArgumentsError, match="c: there is no such argument"):
        made.checked({"a": 1, "c": 2})


def made_by_a_function() -> type[Agent]:
    class Order(BaseModel):
        number: int

    class Made(Agent):
        @tool
        @staticmethod
        def take(order: Order) -> None: ...

    return Made


def test_types_of_a_function_that_has_returned_are_known() -> None:
    (found,) = declared_resources(made_by_a_function()())
    (order,) = found.source.checked({"order": {"number": 1}}).values()
    assert order.number == 1


def test_a_method_is_refused() -> None:
    class Wrong(Agent):
        @tool
        def take(self, a: int) -> None: ...

    with pytest.raises(AgentDefinitionError, match=r"take takes self: make it a static method"):
        declared_resources(Wrong())


# Injected arguments


def lookup(
    order: str,
    user: str,
    region: str | None,
    page: int = 10,
    *,
    run: str = "",
    key: Any,
    version: int,
    mode: str = "m",
) -> None:
    """Look an order up.

    Args:
        order: Its number.
        user: Who asks.
    """


INJECTED: dict[str, Any] = {
    "user": InjectedArg.from_short_term_memory("user.id"),
    "region": InjectedArg(),
    "page": {"source": "config", "key": "page-size"},
    "run": InjectedArg.from_run_id(),
    "key": InjectedArg.from_key(),
    "version": InjectedArg.constant(2),
    "mode": InjectedArg.from_action_config("mode"),
}


def test_the_model_does_not_see_injected_arguments() -> None:
    made = FunctionTool(lookup, injected_args=INJECTED)
    assert list(made.parameters["properties"]) == ["order"]
    with pytest.raises(ToolArgumentsError, match="user: there is no such argument"):
        made.checked({"order": "1", "user": "somebody else"})


def test_injected_arguments_are_asked_for_by_source_and_name() -> None:
    asked: dict[tuple[str, str], Any] = {
        ("short_term_memory", "user.id"): "ann",
        ("sensory_memory", "region"): "eu",
        ("config", "page-size"): 5,
        ("run_id", ""): "r1",
        ("key", ""): 7,
        ("action_config", "mode"): "fast",
    }
    made = FunctionTool(lookup, injected_args=INJECTED)
    assert made.injected(lambda kind, name: asked.pop((kind, name))) == {
        "user": "ann", "region": "eu", "page": 5, "run": "r1", "key": 7, "version": 2,
        "mode": "fast",
    }  # fmt: skip
    assert asked == {}


def test_what_is_not_there_leaves_the_default() -> None:
    made = FunctionTool(lookup, injected_args=INJECTED)
    there = {"short_term_memory": "ann"}
    found = made.injected(lambda kind, name: there.get(kind))
    assert found == {"user": "ann", "region": None, "key": None, "version": 2}


def test_what_is_not_there_and_has_no_default_is_an_error() -> None:
    made = FunctionTool(lookup, injected_args=INJECTED)
    with pytest.raises(ConfigurationError, match=r"'lookup'.*'user'.*short_term_memory.*'user.id'"):
        made.injected(lambda kind, name: None)


@pytest.mark.parametrize(
    ("injected", "said"),
    [
        ({"who": InjectedArg()}, "names who"),
        ({"user": "config"}, r"injected_args\['user'\] is 'config'"),
        ({"user": {"source": "weather"}}, "there is no source 'weather'"),
        ({"user": {"sauce": "config"}}, "sauce"),
        (["user"], "pass a dict"),
    ],
)
def test_wrong_injections_are_refused(injected: Any, said: str) -> None:
    with pytest.raises(AgentDefinitionError, match=said):
        FunctionTool(lookup, injected_args=injected)


def test_sources_are_known_by_their_words() -> None:
    assert InjectedArg(source="SHORT_TERM_MEMORY").source is ToolParameterSource.SHORT_TERM_MEMORY


# What the model is shown


class Mood(enum.StrEnum):
    GOOD = "good"


@dataclasses.dataclass
class Found:
    id: int
    at: datetime.datetime
    raw: bytes = b"\x00\x01"


class Weather(BaseModel):
    sky: str
    mood: Mood = Mood.GOOD


AT = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        (Mood.GOOD, "good"),
        (None, "null"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        ("ä", "ä"),
        (["ä"], '["ä"]'),
        (Found(id=1, at=AT), '{"id":1,"at":"2026-01-02T00:00:00Z","raw":"AAE="}'),
        ([Weather(sky="blue")], '[{"sky":"blue","mood":"good"}]'),
        ((uuid.UUID(int=1), Decimal("1.5")), '["00000000-0000-0000-0000-000000000001","1.5"]'),
        ({Mood.GOOD: 1}, '{"good":1}'),
    ],
)
def test_results_as_text(result: Any, text: str) -> None:
    assert tool_result_text(result) == text


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (2**70, 2**70),
        ({"lone": "\ud800"}, {"lone": "\ud800"}),
        ({(1, 2): Found(id=2**70, at=AT)}, None),
        ({"sorted": {1}}, {"sorted": [1]}),
    ],
)
def test_results_that_json_hardly_takes(result: Any, value: Any) -> None:
    read = json.loads(tool_result_text(result))
    assert value is None or read == value


def test_attachments_in_results() -> None:
    image = Attachment(media_type="image/png", data=b"1")
    sheet = Attachment(media_type="application/pdf", data=b"2", name="sheet.pdf")
    assert tool_result_attachments("text") == []
    assert tool_result_attachments(image) == [image]
    assert tool_result_attachments(["two", image, sheet]) == [image, sheet]
    assert tool_result_text(image) == "[image/png]"
    assert tool_result_text(["two", image, sheet]) == "two\n[image/png]\n[sheet.pdf]"
