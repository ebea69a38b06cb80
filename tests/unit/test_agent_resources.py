"""Resources as agents and engines declare them: by decorators, by calls, by descriptors."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import (
    Agent,
    AgentDefinitionError,
    ConfigurationError,
    InputEvent,
    LocalEngine,
    action,
)
from perdure.agent.declaration import agent_resources
from perdure.agent.plan import AgentPlan
from perdure.agent.resources import ResourceSpec
from perdure.llm.chat_model import BaseChatModelConnection, ChatModel
from perdure.llm.prompt import Prompt
from perdure.llm.tool import FunctionTool, tool
from perdure.llm.vector_store import VectorStore
from perdure.resource import (
    Resource,
    ResourceDescriptor,
    ResourceType,
    chat_model_connection,
    chat_model_setup,
    prompt,
    sub_agent,
    vector_store,
)


class Fake(BaseChatModelConnection):
    def __init__(self, answer: str = "") -> None:
        self.answer = answer


class Acts(Agent):
    @action(InputEvent)
    def go(self, event: Any, ctx: Any) -> None:
        pass


def lookup(city: str) -> str:
    """Look up a city."""
    return city


def declared(agent: Agent) -> dict[str, ResourceSpec]:
    return {f"{spec.type.value}:{spec.name}": spec for spec in agent_resources(agent)}


def refused(agent: Agent, match: str) -> None:
    with pytest.raises(AgentDefinitionError, match=match) as failure:
        AgentPlan.from_agent(agent)
    assert "\n" not in str(failure.value)


# Decorators


class Declares(Agent):
    @chat_model_connection
    @staticmethod
    def outer() -> Resource:
        return Fake("outer")

    @staticmethod
    @chat_model_connection
    def inner() -> Resource:
        return Fake("inner")

    @chat_model_setup
    def model(self) -> ResourceDescriptor:
        return ResourceDescriptor(ChatModel, model="x", connection="outer")

    @prompt
    def greeting() -> Prompt:  # type: ignore[misc]
        return Prompt.from_text("Hello {name}")

    @tool
    @staticmethod
    def first(city: str) -> str:
        """First."""
        return city

    @staticmethod
    @tool(name="second_tool", description="Second.")
    def second(city: str) -> str:
        return city


def test_decorators_go_in_either_order_with_staticmethod() -> None:
    found = declared(Declares())
    assert list(found) == [
        "chat_model_connection:outer", "chat_model_connection:inner", "chat_model:model",
        "prompt:greeting", "tool:first", "tool:second_tool",
    ]  # fmt: skip
    assert found["chat_model_connection:inner"].source.answer == "inner"
    assert isinstance(found["chat_model:model"].source, ResourceDescriptor)
    assert found["prompt:greeting"].source.format_string(name="Ada") == "Hello Ada"
    assert found["tool:second_tool"].source.description == "Second."
    assert found["chat_model:model"].where == "Declares.model"
    assert Declares.first("Oslo") == Declares.second("Oslo") == "Oslo"


def test_a_method_is_given_its_agent() -> None:
    class Own(Agent):
        def __init__(self, text: str) -> None:
            self.text = text

        @prompt
        def words(self) -> Prompt:
            return Prompt(self.text)

    assert declared(Own("mine"))["prompt:words"].source.template == "mine"


def test_a_subclass_inherits_overrides_and_takes_out() -> None:
    class Base(Agent):
        @prompt
        def kept(self) -> Prompt:
            return Prompt("base")

        @prompt
        def marked(self) -> Prompt:
            return Prompt("base")

        @prompt
        def plain(self) -> Prompt:
            return Prompt("base")

        @prompt
        def gone(self) -> Prompt:
            return Prompt("base")

        @prompt
        def other(self) -> Prompt:
            return Prompt("base")

    class Derived(Base):
        gone = None  # type: ignore[assignment]

        @prompt
        def marked(self) -> Prompt:
            return Prompt("derived")

        def plain(self) -> Prompt:
            return Prompt("derived")

        @chat_model_connection
        def other(self) -> Fake:
            return Fake()

    found = declared(Derived())
    assert {name: getattr(spec.source, "template", None) for name, spec in found.items()} == {
        "prompt:kept": "base", "prompt:marked": "derived", "prompt:plain": "derived",
        "chat_model_connection:other": None,
    }  # fmt: skip
    assert len(declared(Base())) == 5


def test_a_tool_of_the_class_can_be_overridden_without_a_decorator() -> None:
    class Base(Agent):
        @tool
        @staticmethod
        def look(city: str) -> str:
            """Base."""
            return city

    class Derived(Base):
        @staticmethod
        def look(city: str, country: str = "") -> str:
            """Derived."""
            return city + country

    found = declared(Derived())["tool:look"].source
    assert found.description == "Derived."
    assert "country" in found.parameters["properties"]


def test_functions_that_declare_are_called_when_the_plan_is_made() -> None:
    made: list[str] = []

    class Counts(Acts):
        @prompt
        def words(self) -> Prompt:
            made.append("words")
            return Prompt("x")

    agent = Counts()
    assert made == []
    AgentPlan.from_agent(agent)
    assert made == ["words"]


def test_a_coroutine_function_is_refused() -> None:
    class Bad(Acts):
        @prompt
        async def words(self) -> Prompt:
            return Prompt("x")

    refused(Bad(), r"Bad\.words is a coroutine function: open things in open\(\)")


def test_what_returns_no_resource_is_refused() -> None:
    class Bad(Acts):
        @prompt
        def words(self) -> Any:
            return "Hello {name}"

    refused(Bad(), r"Bad\.words returned a str: return a Resource or a ResourceDescriptor")


def test_what_returns_another_sort_is_refused() -> None:
    class Bad(Acts):
        @vector_store
        def words(self) -> Any:
            return Prompt("x")

    refused(Bad(), r"Bad\.words: 'words' is declared as vector_store and is a prompt")


def test_what_needs_arguments_is_refused() -> None:
    class Bad(Acts):
        @prompt
        def words(self, name: str) -> Prompt:
            return Prompt(name)

    refused(Bad(), r"Bad\.words needs 2 arguments: a function that declares a resource takes none")


def test_two_tools_of_one_name_are_refused() -> None:
    class Bad(Acts):
        @tool(name="look")
        @staticmethod
        def first(x: str) -> str:
            return x

        @tool(name="look")
        @staticmethod
        def second(x: str) -> str:
            return x

    refused(Bad(), r"Bad\.second: there are two resources 'look' of type tool: rename one")


@pytest.mark.parametrize("mark", [prompt, sub_agent, chat_model_setup])
def test_a_decorator_on_what_is_no_function_is_refused(mark: Any) -> None:
    for wrong in (Prompt("x"), Prompt, 7):
        with pytest.raises(AgentDefinitionError, match="put it on a function or a static method"):
            mark(wrong)


# Calls


def test_agent_and_engine_take_resources_by_calls() -> None:
    agent = Agent().add_resource("p", ResourceType.PROMPT, Prompt("a"))
    assert agent.add_resource("look", ResourceType.TOOL, lookup) is agent
    found = declared(agent)
    assert list(found) == ["prompt:p", "tool:look"]
    assert isinstance(found["tool:look"].source, FunctionTool)
    engine = LocalEngine("memory://")
    assert engine.add_resource("p", ResourceType.PROMPT, Prompt("b")) is engine


def test_the_agents_own_win_over_the_engines() -> None:
    engine = LocalEngine("memory://").add_resource("p", ResourceType.PROMPT, Prompt("engine"))
    engine.add_resource("q", ResourceType.PROMPT, Prompt("engine"))
    agent = Acts().add_resource("p", ResourceType.PROMPT, Prompt("agent"))
    plan = AgentPlan.from_agent(agent, resources=engine._resources)
    templates = {name: spec.source.template for (_, name), spec in plan.resources.items()}
    assert templates == {"p": "agent", "q": "engine"}


def test_one_name_may_be_of_several_types() -> None:
    agent = Agent().add_resource("x", ResourceType.PROMPT, Prompt("a"))
    agent.add_resource("x", ResourceType.CHAT_MODEL_CONNECTION, Fake())
    assert list(declared(agent)) == ["prompt:x", "chat_model_connection:x"]


def test_a_name_is_given_once() -> None:
    class One(Agent):
        @prompt
        def words(self) -> Prompt:
            return Prompt("x")

    agent = One()
    said = "there are two resources 'words' of type prompt"
    with pytest.raises(AgentDefinitionError, match=f"One: {said}"):
        agent.add_resource("words", ResourceType.PROMPT, Prompt("y"))
    engine = LocalEngine("memory://").add_resource("words", ResourceType.PROMPT, Prompt("y"))
    with pytest.raises(AgentDefinitionError, match=f"the engine: {said}"):
        engine.add_resource("words", ResourceType.PROMPT, Prompt("z"))
    assert [spec.source.template for spec in engine._resources] == ["y"]


@pytest.mark.parametrize(
    ("name", "type_", "instance", "match"),
    [
        ("p", "prompt", Prompt("x"), r"'prompt' is no ResourceType: add_resource\(name, "),
        ("", ResourceType.PROMPT, Prompt("x"), "name must be a non-empty string"),
        (7, ResourceType.PROMPT, Prompt("x"), "name must be a non-empty string"),
        ("p", ResourceType.PROMPT, "text", "the prompt 'p' is a str: pass a Resource"),
        ("p", ResourceType.PROMPT, Prompt, "the prompt 'p' is a type: pass a Resource"),
        ("p", ResourceType.TOOL, "text", "the tool 'p' is a str: pass a Resource"),
        ("p", ResourceType.TOOL, 7, "7 is no tool"),
        ("p", ResourceType.CHAT_MODEL, Prompt("x"), "declared as chat_model and is a prompt"),
        ("p", ResourceType.TOOL, Prompt("x"), "declared as tool and is a prompt"),
    ],
)
def test_what_is_no_such_resource_is_refused(
    name: Any, type_: Any, instance: Any, match: str
) -> None:
    for owner in (Agent(), LocalEngine("memory://")):
        with pytest.raises(AgentDefinitionError, match=match):
            owner.add_resource(name, type_, instance)


# Descriptors


def test_a_descriptor_makes_an_instance_by_class_or_name() -> None:
    by_class = ResourceDescriptor(Prompt, template="x")
    by_name = ResourceDescriptor("perdure.llm.prompt.Prompt", {"template": "x"})
    assert by_class == by_name
    assert by_class.make("here").template == by_name.make("here").template == "x"
    assert by_class.make("here") is not by_class.make("here")
    assert ResourceDescriptor(Fake, {"answer": "a"}, answer="b").make("here").answer == "b"
    by_keywords = ResourceDescriptor(clazz="perdure.llm.prompt.Prompt", arguments={"template": "x"})
    assert ResourceDescriptor(clazz=Prompt, template="x") == by_keywords == by_name


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("Prompt", "here: 'Prompt' is no full name such as package.module.Class"),
        ("", "here: '' is no full name"),
        ("nowhere.at.all.Prompt", "here: 'nowhere.at.all.Prompt' cannot be imported: No module"),
        ("perdure.llm.prompt.Prompts", "here: 'perdure.llm.prompt.Prompts' cannot be imported"),
        ("perdure.llm.prompt.", "cannot be imported"),
        ("perdure.llm.prompt.filled", "here: 'perdure.llm.prompt.filled' is no Resource class"),
        ("perdure.event.Event", "is no Resource class"),
        ("..Prompt", "is no full name"),
        (".Prompt", "is no full name"),
    ],
)
def test_a_descriptor_of_a_bad_name_says_so(name: str, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match) as failure:
        ResourceDescriptor(name).make("here")
    assert "\n" not in str(failure.value)


def test_a_descriptor_of_wrong_arguments_says_so() -> None:
    with pytest.raises(
        ConfigurationError, match=r"here: perdure\.llm\.prompt\.Prompt refuses its arg"
    ):
        ResourceDescriptor(Prompt, text="x").make("here")
    with pytest.raises(ConfigurationError, match="refuses its arguments"):
        ResourceDescriptor(VectorStore, unknown=1).make("here")


def test_a_descriptor_of_what_is_no_resource_says_so() -> None:
    for wrong in (int, 7, None, lambda: None):
        with pytest.raises(ConfigurationError, match="here: "):
            ResourceDescriptor(wrong).make("here")  # type: ignore[arg-type]


def test_a_resource_is_not_pickled_and_needs_a_job() -> None:
    import copy
    import pickle

    for take in (pickle.dumps, copy.copy):
        with pytest.raises(ConfigurationError, match="prompt 'Prompt' was handed to a durable"):
            take(Prompt("x"))
    with pytest.raises(ConfigurationError, match="the prompt 'Prompt' is not open: declare it on"):
        _ = Prompt("x").context
