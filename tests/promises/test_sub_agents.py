"""Sub-agents: a model asks one as it asks a tool; an action asks one by itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel
from tests.promises.chat_support import (
    BOTH,
    CrashAt,
    model,
    output_for_each_crash,
    said_by_tools,
    wants,
    weather,
)
from tests.promises.support import (
    ONE,
    agent_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    run,
)

from perdure import Agent, AgentDefinitionError, ConfigurationError, InputEvent, LocalEngine, action
from perdure.actions.chat import chat
from perdure.actions.react import ReActAgent
from perdure.actions.sub_agent import SubAgent
from perdure.llm.chat_model import ChatModel
from perdure.llm.message import ToolCall
from perdure.llm.prompt import Prompt
from perdure.llm.tool import FunctionTool, Tool
from perdure.operate.history import History
from perdure.resource import Resource, ResourceDescriptor, ResourceType, sub_agent
from perdure.testing.scripted_chat import ScriptedChatModel


class Finding(BaseModel):
    """What a researcher found."""

    text: str
    sure: bool = True


def researcher(script: Any = None, **options: Any) -> SubAgent:
    script = script or (lambda messages, tools: f"about {messages[-1].content}")
    setup = {k: options.pop(k) for k in ("prompt", "output_schema", "max_rounds", "token_budget")
             if k in options}  # fmt: skip
    tools = options.pop("tools", ())
    options = {"name": "research", "description": "Finds things out.", **options}
    return SubAgent(model(script, tools=tools, **setup), **options)


def asks(*inputs: str) -> Any:
    """Return a script that asks the researcher these things and passes on what it says."""
    calls = [
        ToolCall(id=f"r{n}", name="research", arguments={"input": text})
        for n, text in enumerate(inputs)
    ]
    return lambda messages, tools: " & ".join(said_by_tools(messages)) or calls


# A model asks


@pytest.mark.parametrize("sort", BOTH)
def test_a_model_asks_a_sub_agent_as_a_tool(sort: Any, store: str) -> None:
    agent = researcher()
    setup = model(asks("whales", "owls"), tools=[agent])
    assert run(sort(setup), ONE, store=store) == ["about whales & about owls"]
    (tool,) = setup.connection.requests[0].tools
    assert (tool.name, tool.description) == ("research", "Finds things out.")
    assert tool.parameters["required"] == ["input"]
    requests = agent.chat_model.connection.requests
    assert [[m.content for m in r.messages] for r in requests] == [["whales"], ["owls"]]


def test_a_sub_agent_has_tools_rounds_and_a_prompt_of_its_own() -> None:
    inner = researcher(
        lambda messages, tools: (
            f"{messages[0].content} {said_by_tools(messages)[0]}"
            if said_by_tools(messages)
            else wants("weather", city=messages[-1].content)
        ),
        tools=[weather], prompt="You are thorough.",
    )  # fmt: skip
    for sort in BOTH:
        setup = model(asks("Oslo"), tools=[inner])
        assert run(sort(setup), ONE) == ["You are thorough. sunny in Oslo"]


def test_a_sub_agents_arguments_fill_its_prompt() -> None:
    inner = researcher(
        lambda messages, tools: " | ".join(m.content for m in messages),
        prompt="Look for {what} in {where}.",
        parameters={"type": "object", "properties": {"what": {}, "where": {}}},
    )
    call = ToolCall(id="1", name="research", arguments={"what": "owls", "where": "trees"})
    setup = model(lambda messages, _: said_by_tools(messages) or [call], tools=[inner])
    assert run(BOTH[0](setup), ONE) == ['["Look for owls in trees."]']


def test_arguments_without_a_prompt_come_as_json() -> None:
    inner = researcher(lambda messages, tools: messages[-1].content)
    call = ToolCall(id="1", name="research", arguments={"what": "Öl", "n": 3})
    setup = model(lambda messages, _: "".join(said_by_tools(messages)) or [call], tools=[inner])
    assert json.loads(run(BOTH[1](setup), ONE)[0]) == {"what": "Öl", "n": 3}


@pytest.mark.parametrize("sort", BOTH)
def test_structured_output_reaches_the_model_as_json(sort: Any, store: str) -> None:
    inner = researcher(lambda messages, tools: '{"text": "owls"}', output_schema=Finding)
    setup = model(asks("x"), tools=[inner])
    assert json.loads(run(sort(setup), ONE, store=store)[0]) == {"text": "owls", "sure": True}


@pytest.mark.parametrize("sort", BOTH)
@pytest.mark.parametrize(
    ("inner", "said"),
    [
        (lambda: researcher([LookupError("down")]), "LookupError: down"),
        (lambda: researcher(lambda m, t: "no", output_schema=Finding), "OutputSchemaError: chat"),
        (
            lambda: researcher(
                lambda m, t: wants("weather", city="X"), tools=[weather], max_rounds=1
            ),
            "ChatLimitError: chat model 'research' wants tools called after 1 rounds",
        ),
    ],
)
def test_what_goes_wrong_in_it_is_told_to_the_model(
    sort: Any, inner: Any, said: str, store: str
) -> None:
    setup = model(asks("x"), tools=[inner()])
    (output,) = run(sort(setup), ONE, store=store)
    assert output.startswith(f"Error: {said}")


def test_sub_agents_of_one_turn_overlap() -> None:
    inside = {"now": 0, "most": 0}

    async def slow(city: str) -> str:
        inside["now"] += 1
        inside["most"] = max(inside["most"], inside["now"])
        await asyncio.sleep(0.02)
        inside["now"] -= 1
        return city

    inner = researcher(
        lambda messages, tools: (
            said_by_tools(messages)[0]
            if said_by_tools(messages)
            else wants("slow", city=messages[-1].content)
        ),
        tools=[Tool.from_callable(slow)],
    )
    setup = model(asks("a", "b", "c"), tools=[inner])
    assert run(BOTH[0](setup), ONE, config={"tool-call.parallelism": 3}) == ["a & b & c"]
    assert inside["most"] == 3


def test_sub_agents_have_sub_agents(store: str) -> None:
    bottom = researcher(lambda messages, tools: f"<{messages[-1].content}>")
    middle = SubAgent(model(asks("deep"), tools=[bottom]), name="middle")
    call = ToolCall(id="1", name="middle", arguments={"input": "go"})
    top = model(lambda messages, _: said_by_tools(messages) or [call], tools=[middle])
    assert run(ReActAgent(chat_model=top), ["x"], key=str, store=store) == ['["<deep>"]']


def test_two_without_a_name_are_refused() -> None:
    setup = model(tools=[SubAgent(model()), SubAgent(model())])
    with pytest.raises(ConfigurationError, match="two of its tools are called"):
        run(BOTH[0](setup), ONE)


# Declared as resources


class Declares(Agent):
    """Asks its sub-agents by name, from a model and from an action."""

    @sub_agent
    def research(self) -> SubAgent:
        return researcher(name="")

    @action(InputEvent)
    async def go(self, event: Any, ctx: Any) -> None:
        inner = ctx.get_resource("research", ResourceType.AGENT)
        out(ctx, [await inner.run(ctx, "bees"), await inner.run(ctx, {"input": "ants"})])


def test_an_action_asks_a_sub_agent(store: str) -> None:
    assert run(Declares, ONE, store=store) == [["about bees", "about ants"]]


def test_a_model_asks_a_sub_agent_by_its_name(store: str) -> None:
    engine = LocalEngine(store)
    engine.add_resource("research", ResourceType.AGENT, researcher(name=""))
    setup = model(asks("newts"), tools=["research"])
    assert [o.value for o in engine.run(BOTH[0](setup), ONE, key="k")] == ["about newts"]


def test_an_action_gets_typed_output_also_after_a_crash(store: str) -> None:
    inner = researcher(lambda messages, tools: '{"text": "owls"}', output_schema=Finding)

    async def go(event: Any, ctx: Any) -> None:
        found = await ctx.get_resource("r", ResourceType.AGENT).run(ctx, "x")
        await ctx.durable_execute_async(hold)
        out(ctx, [type(found).__name__, found.text])

    agent = agent_of(go).add_resource("r", ResourceType.AGENT, inner)
    assert crash_and_resume(agent, ONE, store=store) == [["Finding", "owls"]]
    assert len(inner.chat_model.connection.requests) == 1


def test_g6_a_crash_at_each_commit_changes_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs: dict[str, list[ScriptedChatModel]] = {}

    def inner_script(messages: Any, tools: Any) -> Any:
        said = said_by_tools(messages)
        return said[0] if said else wants("weather", city=messages[-1].content)

    def once(store: str) -> list[Any]:
        outer, inner = logs.setdefault(
            store, [ScriptedChatModel(asks("a", "b")), ScriptedChatModel(inner_script)]
        )
        agent = SubAgent(model(connection=inner, tools=[weather]), name="research")
        return run(BOTH[0](model(connection=outer, tools=[agent])), ONE, store=store)

    found = output_for_each_crash(CrashAt(monkeypatch), once, tmp_path, both=False)
    assert len(found) > 5
    for at, written, outputs in found:
        assert outputs == ["sunny in a & sunny in b"], (at, written)
        store = f"sqlite:///{tmp_path}/{at}-{written}.db"
        again = [entry for log in logs[store] for entry in log.log.repeated()]
        assert len(again) <= 2, (at, written, again)  # two were in flight at a time


def test_the_journal_names_calls_by_whom_they_are_of(store: str) -> None:
    def script(messages: Any, tools: Any) -> Any:
        return " ".join(said_by_tools(messages)) or wants("weather", city="X")

    engine = LocalEngine(store)
    setup = model(asks("Oslo"), tools=[researcher(script, tools=[weather])])
    engine.run(BOTH[1](setup), ONE, key="k")
    with History.of(engine._store) as history:
        detail = history.detail(history.job("default"), "r1")
    calls = [call.function for each in detail.actions for call in each.calls]
    assert calls == ["chat:m", "chat:research", "tool:weather", "chat:research", "chat:m"]


# What it is made of


def test_what_is_no_chat_model_is_refused() -> None:
    with pytest.raises(AgentDefinitionError, match="chat_model is a Prompt"):
        SubAgent(Prompt("x"))  # type: ignore[arg-type]


def test_options_go_over_those_of_a_chat_model_which_stays_as_it_is(store: str) -> None:
    shared = model(lambda ms, tools: '{"result": [%d]}' % len(tools), prompt="One.")  # noqa: UP031
    agent = SubAgent(shared, name="s", tools=[weather], prompt="Two.", output_schema=list[int])

    async def go(event: Any, ctx: Any) -> None:
        counted = await ctx.get_resource("s", ResourceType.AGENT).run(ctx, "x")
        out(ctx, [counted, (await chat(ctx, "m", "y")).response.content])

    both = agent_of(go).add_resource("s", ResourceType.AGENT, agent)
    both.add_resource("m", ResourceType.CHAT_MODEL, shared)
    assert run(both, ONE, store=store) == [[[1], '{"result": [0]}']]
    said = [[m.content for m in r.messages] for r in shared.connection.requests]
    assert said == [["Two.", "x"], ["One.", "y"]]


def test_a_descriptor_of_a_chat_model_takes_the_options() -> None:
    descriptor = ResourceDescriptor(
        ChatModel, model="x", connection=ScriptedChatModel(['{"result": [1]}'])
    )
    agent = SubAgent(descriptor, name="s", output_schema=list[int], prompt="Count.")

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.get_resource("s", ResourceType.AGENT).run(ctx, {"input": "x"}))

    assert run(agent_of(go).add_resource("s", ResourceType.AGENT, agent), ONE) == [[1]]


def test_a_react_agent_is_a_sub_agent_too() -> None:
    inner = ReActAgent(chat_model=model(lambda ms, _: f"did {ms[-1].content}")).as_sub_agent(
        name="research", description="Does."
    )
    assert run(BOTH[0](model(asks("it"), tools=[inner])), ONE) == ["did it"]
    assert isinstance(inner, Resource)


def test_a_tool_that_raises_fails_the_action_through_a_sub_agent(store: str) -> None:
    async def explode() -> None:
        raise KeyError("boom")

    inner = researcher(
        lambda messages, tools: wants("explode"), tools=[FunctionTool(explode, on_error="raise")]
    )
    agent = ReActAgent(chat_model=model(asks("x"), tools=[inner]))
    failed = failures(agent, ["go"], store=store, key=lambda _: "k")
    assert "KeyError: 'boom'" in error_text(failed)
