"""Chats: answers that fit a schema, by each way of getting them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests import zygote
from tests.promises.chat_support import (
    BOTH,
    ByEvents,
    Inside,
    model,
    said_by_tools,
    wants,
    weather,
)
from tests.promises.support import (
    ONE,
    ROOT,
    SECONDS,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    run,
)

from perdure.llm.events import ChatResponseEvent
from perdure.llm.message import ToolCall


class Person(BaseModel):
    name: str
    age: int


@dataclasses.dataclass
class City:
    name: str
    size: int = 0


ADA = '{"name": "Ada", "age": 36}'
MODES = ["native", "tool", "prompted"]


def answers(mode: str, *texts: str) -> Any:
    """Return a script that gives these answers in turn, each in the way of the mode."""

    def script(messages: Any, tools: Any) -> Any:
        text = texts[sum(m.role == "assistant" for m in messages)]
        if mode != "tool" or not tools:
            return text
        try:
            arguments = json.loads(text)
        except ValueError:
            return text
        return ToolCall(id="f", name="final_result", arguments=arguments)

    return script


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize("mode", MODES)
def test_output_of_a_setup_is_of_its_type(sort: Any, mode: str, store: str) -> None:
    setup = model(answers(mode, ADA), output_schema=Person, output_mode=mode)
    show = lambda event: [type(event.response.output).__name__, event.response.output.age]  # noqa: E731
    assert run(sort(setup, show), ONE, store=store) == [["Person", 36]]
    (request,) = setup.connection.requests
    assert ("output_schema" in request.settings) == (mode == "native")
    assert [t.name for t in request.tools] == (["final_result"] if mode == "tool" else [])
    assert any("JSON schema" in m.content for m in request.messages) == (mode == "prompted")


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize("mode", MODES)
def test_a_misfit_is_told_and_the_model_asked_again(sort: Any, mode: str) -> None:
    script = answers(mode, "no json", '{"name": "Ada"}', ADA)
    setup = model(script, output_schema=Person, output_mode=mode)
    assert run(sort(setup, lambda event: event.response.output.name), ONE) == ["Ada"]
    last = setup.connection.requests[2].messages
    told = [m for m in last if "does not fit the schema" in m.content]
    assert len(told) == 2
    assert "age: Field required" in told[1].content
    assert [m.role.value for m in told] == ["user", "tool" if mode == "tool" else "user"]


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize("retries", [0, 1])
def test_misfits_have_an_end(sort: Any, retries: int) -> None:
    script = lambda messages, tools: "no"  # noqa: E731
    setup = model(script, output_schema=Person, output_retries=retries)
    said = error_text(failures(sort(setup), ONE))
    assert "OutputSchemaError: chat model 'm' gave no answer that fits its schema" in said
    assert len(setup.connection.requests) == retries + 1


def test_output_of_an_event_is_plain_and_that_of_chat_is_typed(store: str) -> None:
    setup = model(lambda messages, tools: ADA)
    assert run(ByEvents(setup, lambda e: e.response.output, output_schema=Person), ONE,
               store=store) == [{"name": "Ada", "age": 36}]  # fmt: skip
    inside = Inside(setup, lambda e: e.response.output.age, output_schema=Person)
    assert run(inside, [{"k": "b"}], store=store, id=lambda _: "other") == [36]


@pytest.mark.parametrize("sort", BOTH)
def test_output_that_is_no_object_comes_unwrapped(sort: Any) -> None:
    setup = model(lambda messages, tools: '{"result": [1, 2]}')
    agent = sort(setup, lambda e: e.response.output, output_schema=list[int])
    assert run(agent, ONE) == [[1, 2]]


@pytest.mark.parametrize("sort", BOTH)
def test_the_schema_of_a_request_goes_before_that_of_the_setup(sort: Any) -> None:
    setup = model(lambda messages, tools: '{"size": 3}', output_schema=Person)
    schema = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}
    assert run(sort(setup, lambda e: e.response.output, output_schema=schema), ONE) == [{"size": 3}]


@pytest.mark.parametrize("mode", MODES)
def test_tools_and_a_schema_go_together(mode: str, store: str) -> None:
    def script(messages: Any, tools: Any) -> Any:
        if not said_by_tools(messages):
            return wants("weather", city="Oslo")
        if mode == "tool":
            return ToolCall(id="f", name="final_result", arguments={"name": "Oslo", "size": 7})
        return '{"name": "Oslo", "size": 7}'

    for sort in BOTH:
        setup = model(script, tools=[weather], output_schema=City, output_mode=mode)
        agent = sort(setup, lambda e: [e.response.output.size, e.response.tool_calls, e.rounds])
        assert run(agent, ONE, store=store, id=lambda _, sort=sort: sort.__name__) == [[7, [], 1]]
    key = setup.connection.requests[-1].messages
    assert said_by_tools(key) == ["sunny in Oslo"]


class HoldsOutput(ByEvents):
    """Hangs once after the response has come."""

    def _end(self, event: ChatResponseEvent, ctx: Any) -> None:
        ctx.durable_execute_async(hold).result()
        output = event.response.output
        out(ctx, [type(output).__name__, output.name])


@pytest.mark.parametrize("schema", [Person, City])
def test_a_typed_output_is_typed_after_a_crash(schema: Any, store: str) -> None:
    answer = ADA if schema is Person else ADA.replace("age", "size")
    setup = model([answer], output_schema=schema)
    outputs = crash_and_resume(HoldsOutput(setup), ONE, store=store)
    assert outputs == [[schema.__name__, "Ada"]]
    assert len(setup.connection.requests) == 1


@pytest.mark.parametrize("sort", ["events", "inside"])
def test_g6_a_typed_output_is_typed_in_another_process(sort: str, tmp_path: Path) -> None:
    def leg() -> tuple[int, str]:
        done = zygote.run(
            [sys.executable, "-m", "tests.promises.chat_process", sort],
            env={**os.environ, "PROMISE_FOLDER": str(tmp_path)}, cwd=ROOT, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode, done.stdout

    assert leg() == (-signal.SIGKILL, "")
    assert leg() == (0, "Book by Author Ada")
    assert (tmp_path / "calls.log").read_text("utf-8") == "asked\n"


@pytest.mark.parametrize("sort", BOTH)
def test_misfits_add_up_over_the_rounds_of_a_chat(sort: Any) -> None:
    turns = ["no json", wants("weather", city="X"), "no json again", ADA]

    def script(messages: Any, tools: Any) -> Any:
        return turns[sum(m.role == "assistant" for m in messages)]

    for retries, requests in ((1, 3), (2, 4)):
        setup = model(script, tools=[weather], output_schema=Person, output_retries=retries)
        agent = sort(setup, lambda event: event.response.output.age)
        if retries == 1:
            assert "OutputSchemaError" in error_text(failures(agent, ONE))
        else:
            assert run(agent, ONE) == [36]
        assert len(setup.connection.requests) == requests
