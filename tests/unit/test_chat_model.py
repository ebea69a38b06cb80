"""Chat model setups and prompts: what a request is made of, and names that are not there."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from typing import Any

import pytest

from perdure.errors import AgentDefinitionError, ConfigurationError, TerminalError
from perdure.llm.chat_model import BaseChatModelConnection, BaseChatModelSetup, ChatModel
from perdure.llm.message import Attachment, ChatDelta, ChatMessage, MessageRole, ToolCall, Usage
from perdure.llm.prompt import Prompt
from perdure.llm.tool import Tool, as_tool
from perdure.resource import Resource, ResourceDescriptor, ResourceType
from perdure.runtime.shared.resources import JobResources
from perdure.testing.scripted_chat import ScriptedChatModel

user, system = ChatMessage.user, ChatMessage.system


def look(city: str) -> str:
    """Look up a city."""
    return city


def model(script: Any = ("answer",), **options: Any) -> ChatModel:
    return ChatModel("fake", connection=ScriptedChatModel(script), **options)


def opened(setup: BaseChatModelSetup, **others: Resource) -> BaseChatModelSetup:
    """Return a setup that a job has opened, under the name `m`, beside other resources."""
    engine = {"m": setup, **others}
    from perdure.agent.resources import added_resource, merged

    specs = merged([added_resource(n, r.resource_type(), r, "here") for n, r in engine.items()])
    asyncio.run(JobResources(specs, lambda: None).open())
    return setup


def refused(setup: BaseChatModelSetup, match: str, **others: Resource) -> None:
    with pytest.raises(ConfigurationError, match=match) as failure:
        opened(setup, **others)
    assert "\n" not in str(failure.value)


# Prompts


def test_placeholders_are_filled_and_other_braces_stay() -> None:
    text = 'Say {word} to {name}: {"json": {unknown}} {} { word } {{word}}'
    filled = Prompt(text).format_string(word="hi", name=7, other="x")
    assert filled == 'Say hi to 7: {"json": {unknown}} {} { word } {hi}'


def test_values_may_have_any_name() -> None:
    values = {"role": "pirate", "self": "me", "values": 1, "template": 2}
    prompt = Prompt("{role} {self} {values} {template}")
    assert prompt.filled_messages(values) == [system("pirate me 1 2")]
    assert prompt.format_string(**values) == "pirate me 1 2"
    assert model(prompt="A {role}.").prepared([], {"role": "pirate"}) == [system("A pirate.")]


def test_what_is_filled_in_is_not_filled_again() -> None:
    assert Prompt("{a} {b}").format_string(a="{b}", b="{a}") == "{b} {a}"


def test_a_prompt_of_messages_is_filled_without_changing_it() -> None:
    image = Attachment(media_type="image/png", data=b"")
    template = [system("Be {mood}."), user("I am {name}.", image)]
    prompt = Prompt.from_messages(template)
    made = prompt.format_messages(mood="kind", name="Ada")
    assert made == [system("Be kind."), user("I am Ada.", image)]
    assert template[0].content == "Be {mood}."
    assert prompt.format_string(mood="kind", name="Ada") == "system: Be kind.\nuser: I am Ada."


def test_a_prompt_of_one_text_has_the_role_that_is_asked_for() -> None:
    assert Prompt("x").format_messages() == [system("x")]
    assert Prompt.from_text("x").format_messages(MessageRole.USER) == [user("x")]


# What a request is made of


def test_without_a_prompt_the_messages_are_what_is_sent() -> None:
    messages = [user("a"), ChatMessage.assistant("b")]
    prepared = model().prepared(messages, {"x": 1})
    assert prepared == messages
    assert prepared is not messages


def test_a_prompt_goes_before_the_messages() -> None:
    setup = model(prompt="You are {mood}.")
    assert setup.prepared([user("hi")], {"mood": "kind"}) == [system("You are kind."), user("hi")]


def test_empty_user_messages_carry_arguments_only() -> None:
    setup = model(prompt="You are {mood}, {name}.")
    carrier = ChatMessage(content="", extra_args={"mood": "kind", "name": "Ada"})
    assert setup.prepared([carrier]) == [system("You are kind, Ada.")]
    prepared = setup.prepared([carrier, user("hi")], {"name": "Bob"})
    assert prepared == [system("You are kind, Bob."), user("hi")]


def test_messages_that_hold_something_else_than_text_stay() -> None:
    image = user("", Attachment(media_type="image/png", data=b"1"))
    call = ToolCall(id="1", name="look", arguments={})
    said = ChatMessage.assistant("", [call])
    assert model(prompt="x").prepared([image, said])[1:] == [image, said]


def test_a_prompt_is_a_text_a_resource_or_a_name() -> None:
    assert opened(model(prompt=Prompt("own"))).prepared([]) == [system("own")]
    assert opened(model(prompt="some words")).prepared([]) == [system("some words")]
    assert opened(model(prompt="greet"), greet=Prompt("named")).prepared([]) == [system("named")]


def test_a_prompt_that_is_not_declared_is_named_when_the_job_opens() -> None:
    refused(model(prompt="greeet"), "no prompt 'greeet': did you mean 'greet'", greet=Prompt("x"))
    refused(model(prompt="greet"), "chat_model 'm': there is no prompt 'greet': none is declared;")
    refused(model(prompt="Hello"), "for a text pass Prompt")


def test_settings_and_the_model_are_passed_on() -> None:
    setup = opened(model(temperature=0.5, max_tokens=7))
    assert setup.model_kwargs == {"model": "fake", "temperature": 0.5, "max_tokens": 7}
    setup.model_kwargs["temperature"] = 9
    asyncio.run(setup.chat([user("hi")], temperature=0.1))
    (request,) = setup.opened_connection.requests
    assert request.settings == {"model": "fake", "temperature": 0.1, "max_tokens": 7}


def test_chat_makes_one_request_and_calls_no_tool() -> None:
    call = ToolCall(id="1", name="look", arguments={"city": "Oslo"})
    setup = opened(model([call], tools=[look], prompt="In {country}."))
    response = asyncio.run(setup.chat([user("hi")], {"country": "Norway"}))
    assert response.tool_calls == [call]
    (request,) = setup.opened_connection.requests
    assert [m.content for m in request.messages] == ["In Norway.", "hi"]
    assert [tool.name for tool in request.tools] == ["look"]


# Tools


def test_tools_are_functions_names_and_resources() -> None:
    own = as_tool(look)
    setup = model(tools=[look, "named", Tool(look, name="third")])
    assert [t.name for t in opened(setup, named=own).tool_list()] == ["look", "named", "third"]


def test_a_tool_that_is_not_declared_is_named_with_those_that_are() -> None:
    refused(
        model(tools=["loook"]), r"chat model 'm': there is no tool 'loook'; declared are: look",
        look=as_tool(look),
    )  # fmt: skip
    refused(model(tools=["look"]), "there is no tool 'look'; declared are: none")


def test_two_tools_of_one_name_are_refused_when_the_job_opens() -> None:
    refused(
        model(tools=[look, Tool(look, name="look")]),
        "chat model 'm': two of its tools are called 'look': give one another name=",
    )
    named = as_tool(look)
    refused(model(tools=[look, "look"]), "two of its tools are called 'look'", look=named)


class Server(Resource):
    """Offers tools, others later."""

    RESOURCE_TYPE = ResourceType.MCP_SERVER

    def __init__(self, name: str, *tools: str) -> None:
        self.name = name
        self.tools = tools

    def provided(self) -> list[Resource]:
        return [Tool(look, name=each) for each in self.tools]


def test_a_server_that_lists_others_later_takes_no_tools_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = Server("first", "a", "b"), Server("second", "c")
    setup = opened(model(tools=[first, look, second]))
    own = setup.tool_list()[2]
    first.tools, second.tools = ("c", "look", "a", "new", "final_result"), ("c", "new", "b")
    for _ in range(3):
        listed = setup.tool_list()
        assert [each.name for each in listed] == ["a", "new", "look", "c"]
        assert listed[2] is own
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == 5  # each once
    assert told[1] == (
        "chat model 'm': first lists a tool 'look' now, a name that another of its tools has: it"
        " is left out; give the server a prefix=, or take some of its tools (tool_filter=)"
    )
    first.tools = ("b",)
    assert [each.name for each in setup.tool_list()] == ["b", "look", "c"]


def test_the_name_of_the_final_answer_is_no_tools() -> None:
    refused(
        model(tools=[Tool(look, name="final_result")]), "how a model gives its structured output"
    )


def test_a_name_that_no_model_takes_is_refused_when_the_job_opens() -> None:
    refused(
        model(tools=["look it up"]), "chat model 'm': 'look it up' names no tool",
        **{"look it up": as_tool(look)},
    )  # fmt: skip


def test_what_is_no_tool_is_refused_at_once() -> None:
    for wrong in (7, int, None):
        with pytest.raises(AgentDefinitionError, match="is no tool"):
            model(tools=[wrong])


# Connections and fallbacks


def test_a_connection_is_an_object_a_name_or_a_descriptor() -> None:
    own = ScriptedChatModel(["own"])
    assert opened(ChatModel("x", connection=own)).opened_connection is own
    named = ScriptedChatModel(["named"])
    assert opened(ChatModel("x", connection="c"), c=named).opened_connection is named
    described = ResourceDescriptor(ScriptedChatModel, script=["made"])
    made = opened(ChatModel("x", connection=described)).opened_connection
    assert isinstance(made, ScriptedChatModel)


def test_a_connection_that_is_none_is_refused() -> None:
    refused(
        ChatModel("x", connection="cc"), "no chat_model_connection 'cc': did you mean 'c'",
        c=ScriptedChatModel([]),
    )  # fmt: skip
    refused(
        ChatModel("x", connection=Prompt("x")),
        "chat model 'm': its connection is a Prompt, no BaseChatModelConnection",
    )


def test_fallbacks_are_objects_and_names() -> None:
    first, second = model(), model()
    setup = opened(model(fallbacks=[first, "other"]), other=second)
    assert setup.fallback_list() == [first, second]


def test_a_fallback_that_is_none_is_refused() -> None:
    refused(model(fallbacks=["other"]), "there is no chat_model 'other': declared are: m")
    refused(model(fallbacks=[Prompt("x")]), "chat model 'm': its fallback .* is no chat model")


def test_a_timeout_that_is_none_is_refused() -> None:
    wrongs: tuple[Any, ...] = (0, -1.0, float("nan"), "3")
    for wrong in wrongs:
        with pytest.raises((ConfigurationError, ValueError), match="timeout"):
            model(timeout=wrong)


def test_an_output_mode_that_is_none_is_refused() -> None:
    for make in (model, lambda **options: ScriptedChatModel([], **options)):
        with pytest.raises(ConfigurationError, match="output_mode='natve' is none of"):
            make(output_mode="natve")


# Connections of one's own


class Plain(BaseChatModelConnection):
    def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> Any:
        time.sleep(0.01)
        return ChatMessage(content="plain", reasoning="thought")


class PassesOn(Plain):
    def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> Any:
        async def later() -> ChatMessage:
            return ChatMessage.assistant("later")

        return later()


class Wrong(Plain):
    async def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> Any:
        return "a text"


def asked(connection: BaseChatModelConnection) -> Any:
    return asyncio.run(opened(ChatModel("x", connection=connection)).chat([user("hi")]))


def test_a_connection_may_be_plain_or_pass_a_coroutine_on() -> None:
    assert asked(Plain()).content == "plain"
    assert asked(PassesOn()).content == "later"
    with pytest.raises(TypeError, match="connection returned str, no ChatMessage"):
        asked(Wrong())
    with pytest.raises(NotImplementedError):
        asked(BaseChatModelConnection())


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("usage", "12", r"usage='12': give a Usage"),
        ("usage", {"input_tokens": "3"}, r"usage=\{'input_tokens': '3'\}: give a Usage"),
        ("usage", Usage(input_tokens="3"), r"usage.input_tokens='3': give a whole number"),
        ("usage", Usage(output_tokens=-1), r"usage.output_tokens=-1: give a whole number"),
        ("usage", Usage(requests=None), r"usage.requests=None: give a whole number"),
        ("usage", Usage(cost="free"), r"usage.cost='free': give a number"),
        ("tool_calls", None, r"tool_calls=None: give a list"),
        ("tool_calls", "abc", r"tool_calls='abc': give a list"),
        ("tool_calls", [{"name": "x"}], r"tool_calls\[0\]=\{'name': 'x'\}: give a ToolCall"),
    ],
)
def test_a_response_that_no_chat_can_count_or_answer_names_connection_and_field(
    field: str, value: Any, said: str
) -> None:
    class Odd(BaseChatModelConnection):
        def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> Any:
            response = ChatMessage.assistant("x")
            setattr(response, field, value)
            return response

    with pytest.raises(TerminalError, match=f"^the chat model connection Odd .*with {said}"):
        asked(Odd())


def test_a_connection_without_streaming_streams_one_piece() -> None:
    pieces: list[ChatDelta] = []
    response = asyncio.run(Plain().chat_stream([user("hi")], emit=pieces.append))
    assert response.content == "plain"
    assert pieces == [ChatDelta(text="plain", reasoning="thought")]
    assert Plain().output_mode("x") == "prompted"


def test_a_chat_model_without_a_connection_is_one_of_a_provider() -> None:
    setup = ChatModel("openai:gpt-5", base_url="http://127.0.0.1:9/v1", api_key="k")
    assert isinstance(setup.connection, BaseChatModelConnection)
    assert setup.model_kwargs == {}  # the connection knows its model


def test_a_setup_that_no_job_opened_says_so() -> None:
    setup = ChatModel("x", connection="named", tools=["look"])
    for use in (lambda: setup.opened_connection, setup.tool_list):
        with pytest.raises(ConfigurationError, match="chat_model 'ChatModel' is not open"):
            use()


def test_types_of_the_output_are_what_the_journal_must_know() -> None:
    class Local(dict):  # type: ignore[type-arg]
        pass

    assert list(model(output_schema={"type": "object"}).journaled_types()) == []
    assert list(model(output_schema=list[int]).journaled_types()) == [list[int]]
    assert model().resource_type() is ResourceType.CHAT_MODEL


def test_a_varied_model_takes_its_options_as_the_class_does() -> None:
    made = model().varied(fallbacks=["openai:gpt-5"], timeout=3, temperature=0.5)
    (fallback,) = made.fallbacks
    assert isinstance(fallback, ChatModel)
    assert (made.timeout, made.settings["temperature"]) == (3, 0.5)
    with pytest.raises(ConfigurationError, match="no positive number of seconds"):
        model().varied(timeout=-1)


@pytest.mark.parametrize("name", ["output_retries", "max_rounds", "token_budget"])
def test_a_bound_that_is_none_is_refused_where_it_is_given(name: str) -> None:
    model = ChatModel("m", connection=ScriptedChatModel(["x"]))
    for wrong in ("3", -1, float("nan"), [2]):
        for give in (functools.partial(ChatModel, connection="c", model="m"), model.varied):
            with pytest.raises(ConfigurationError, match=rf"^{name}=.* is no number from 0 on"):
                give(**{name: wrong})
    for most in (0, 3, 1e6, math.inf):
        assert getattr(model.varied(**{name: most}), name) == most
    if name == "token_budget":
        assert model.varied(token_budget=None).token_budget is None
