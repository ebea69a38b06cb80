"""ReActAgent: inputs of any kind become a task, the model's final answer is the output."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel
from tests.promises.chat_support import (
    TWO_ROUNDS,
    CrashAt,
    model,
    outputs_after_crashes,
    population,
    said_by_tools,
    two_rounds,
    wants,
    weather,
)
from tests.promises.support import OFF, State, config_of, error_text, failures, run

from perdure import AgentDefinitionError, InputEvent, LocalEngine, action, register_type
from perdure.actions.react import ReActAgent
from perdure.llm.chat_model import ChatModel
from perdure.llm.events import ChatRequestEvent
from perdure.llm.message import ChatMessage
from perdure.llm.prompt import Prompt
from perdure.resource import ResourceDescriptor
from perdure.testing.scripted_chat import ScriptedChatModel


@register_type
@dataclasses.dataclass
class Review:
    id: int
    text: str


@register_type
class Order(BaseModel):
    item: str
    count: int = 1


class Answer(BaseModel):
    word: str


def echo(messages: Any, tools: Any) -> Any:
    """Say every message again."""
    return " | ".join(f"{m.role.value}: {m.content}" for m in messages)


def by_value(value: Any) -> str:
    return repr(value)


def said(value: Any, *, store: str = "memory://", **options: Any) -> Any:
    """Return the output for one input."""
    setup = options.pop("setup", {})
    agent = ReActAgent(chat_model=model(echo, **setup), **options)
    (output,) = run(agent, [value], store=store, key=by_value)
    return output


# Inputs


@pytest.mark.parametrize("value", ["hello", 7, 2.5, True, ["a", "b"], ("a",)])
def test_what_has_no_fields_is_the_users_message(value: Any, store: str) -> None:
    assert said(value, store=store) == f"user: {value}"
    assert said(value, prompt="Do <{input}>.") == f"user: Do <{value}>."


def test_a_mapping_of_an_input_is_the_users_message_too() -> None:
    assert said({"input": "hello"}) == "user: hello"


FIELDS = [
    ({"id": 1, "text": "good {braces}"}, "1 says good {braces}"),
    (Review(id=1, text="good"), "1 says good"),
]


@pytest.mark.parametrize(("value", "filled"), FIELDS)
def test_fields_fill_the_places_of_the_prompt(value: Any, filled: str, store: str) -> None:
    assert said(value, prompt="{id} says {text}", store=store) == f"user: {filled}"


def test_the_fields_of_a_pydantic_model_fill_the_prompt(store: str) -> None:
    found = said(Order(item="tea"), prompt="{count} x {item}; {model_fields}", store=store)
    assert found == "user: 1 x tea; {model_fields}"


def test_names_that_the_prompt_does_not_know_stay_out() -> None:
    assert said({"id": 1, "more": 2}, prompt='{id} {"a": {b}}') == 'user: 1 {"a": {b}}'


def test_names_may_be_any_text() -> None:
    value = {"role": "r", "self": "s", "template": "t", "a b": "c", 7: "seven", "values": "v"}
    text = "{role} {self} {template} {7} {values}"
    assert said(value, prompt=text) == "user: r s t seven v"


def test_a_prompt_may_be_messages() -> None:
    prompt = Prompt.from_messages(
        [ChatMessage.system("Be {mood}."), ChatMessage.user("About {what}.")]
    )
    assert said({"mood": "kind", "what": "owls"}, prompt=prompt) == (
        "system: Be kind. | user: About owls."
    )


def test_the_models_own_prompt_goes_first_and_is_filled_as_well() -> None:
    value = {"mood": "kind", "what": "owls"}
    setup = {"prompt": "Be {mood}."}
    assert said(value, prompt="{what}", setup=setup) == "system: Be kind. | user: owls"
    assert said(value, setup=setup) == "system: Be kind."
    assert said("hi", setup=setup) == "system: Be {mood}. | user: hi"


@pytest.mark.parametrize("value", [{"id": 1}, Review(id=1, text="x"), Order(item="x"), {}])
def test_fields_without_a_prompt_fail_with_what_to_do(value: Any) -> None:
    agent = ReActAgent(chat_model=model())
    text = error_text(failures(agent, [value], key=by_value))
    assert text.startswith("perdure.errors.InputError: ReActAgent got a ")
    assert "pass prompt=" in text


# Tools and outputs


def test_it_reasons_and_acts_until_it_has_the_answer(store: str) -> None:
    agent = ReActAgent(chat_model=model(two_rounds), tools=[weather, population])
    outputs = run(agent, ["x", "y"], key=str, store=store)
    assert sorted(outputs) == [f"x: {TWO_ROUNDS}", f"y: {TWO_ROUNDS}"]
    off = ReActAgent(chat_model=model(two_rounds), tools=[weather, population])
    assert run(off, ["x"], key=str, config=config_of(OFF)) == [f"x: {TWO_ROUNDS}"]


def test_the_output_is_what_the_schema_says(store: str) -> None:
    agent = ReActAgent(chat_model=model(['{"word": "owl"}']), output_schema=Answer)
    assert run(agent, ["x"], key=str, store=store) == [Answer(word="owl")]
    numbers = ReActAgent(chat_model=model(['{"result": [1, 2]}']), output_schema=list[int])
    assert run(numbers, ["x"], key=str) == [[1, 2]]
    nothing = ReActAgent(chat_model=model(['{"result": null}']), output_schema=int | None)
    assert run(nothing, ["x"], key=str) == [None]


def test_typed_outputs_are_typed_when_they_are_read_again(tmp_path: Any) -> None:
    store = f"sqlite:///{tmp_path}/s.db"
    for _ in range(2):
        setup = model(['{"word": "owl"}'])
        agent = ReActAgent(chat_model=setup, output_schema=Answer)
        assert run(agent, ["x"], key=str, store=store) == [Answer(word="owl")]
    assert setup.connection.requests == []


def test_a_chat_model_is_also_a_connection_or_a_descriptor() -> None:
    descriptor = ResourceDescriptor(ChatModel, model="x", connection=ScriptedChatModel(["made"]))
    for chat_model in (ScriptedChatModel(["made"]), descriptor):
        agent = ReActAgent(chat_model=chat_model, max_rounds=3)
        assert agent.chat_model.max_rounds == 3
        assert run(agent, ["x"], key=str) == ["made"]
    with pytest.raises(AgentDefinitionError, match="chat_model is a int"):
        ReActAgent(chat_model=7)  # type: ignore[arg-type]


def test_its_tools_are_added_to_those_of_the_model() -> None:
    setup = model(lambda messages, tools: ",".join(t.name for t in tools), tools=[weather])
    agent = ReActAgent(chat_model=setup, tools=[population])
    assert run(agent, ["x"], key=str) == ["weather,population"]


def test_two_agents_share_an_engine_and_a_model() -> None:
    setup = model(lambda messages, tools: f"{len(messages)}")
    engine = LocalEngine("memory://")
    for prompt in (None, "Do {input}"):
        agent = ReActAgent(chat_model=setup, prompt=prompt)
        assert engine.run(agent, [f"{prompt}"], key=str, id=str)[0].value == "1"


def test_a_subclass_has_further_actions() -> None:
    class Counts(ReActAgent):
        @action(InputEvent)
        def count(self, event: Any, ctx: Any) -> None:
            State.calls.append(event.input)

    assert run(Counts(chat_model=model(["yes"])), ["x"], key=str) == ["yes"]
    assert State.calls == ["x"]


def test_g6_it_comes_through_crashes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = ScriptedChatModel(two_rounds)

    def agent() -> ReActAgent:
        return ReActAgent(
            chat_model=model(connection=connection), tools=[weather, population],
            prompt="Do {task}.",
        )  # fmt: skip

    inputs = [{"k": f"k{n % 2}", "task": f"t{n}"} for n in range(4)]
    store = f"sqlite:///{tmp_path}/s.db"
    outputs, crashes = outputs_after_crashes(CrashAt(monkeypatch), agent, inputs, store)
    assert crashes > 1
    assert sorted(outputs) == [f"Do t{n}.: {TWO_ROUNDS}" for n in range(4)]


def test_a_fan_out_over_events_is_answered_once_each() -> None:
    """Each response of the run is an output; a further request asks the same model."""

    class Twice(ReActAgent):
        @action(InputEvent)
        def also(self, event: Any, ctx: Any) -> None:
            ctx.send_event(ChatRequestEvent("react_chat_model", "also"))

    def script(messages: Any, tools: Any) -> Any:
        said = said_by_tools(messages)
        return " ".join(said) or wants("weather", city=messages[0].content)

    setup = model(script)
    agent = Twice(chat_model=setup, tools=[weather])
    assert sorted(run(agent, ["x"], key=str)) == ["sunny in also", "sunny in x"]
