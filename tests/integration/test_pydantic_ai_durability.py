"""A Pydantic AI agent that declares its durability: `capabilities=[PerdureDurability()]`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from perdure import Agent, InputEvent, LocalEngine, OutputEvent
from perdure.context import current_context
from perdure.errors import ConfigurationError
from perdure.integrations.pydantic_ai import DurableAgent, PerdureDurability
from perdure.operate.history import History
from perdure.testing import simulate

MADE: list[str] = []


@pytest.fixture(autouse=True)
def made() -> list[str]:
    """What was done outside."""
    MADE.clear()
    return MADE


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Ask for two tools at once, for one that refuses once, and answer."""
    given = sum(isinstance(message, ModelResponse) for message in messages)
    MADE.append(f"model {given}")
    if given == 0:
        return ModelResponse(parts=[ToolCallPart("weather", {}), ToolCallPart("book", {"days": 9})])
    if given == 1:
        return ModelResponse(parts=[ToolCallPart("book", {"days": 2})])
    said = [part.content for part in messages[-1].parts]
    return ModelResponse(parts=[TextPart(f"{said[0]}; {info.instructions}")])


def planner(*capabilities: Any) -> PydanticAgent[str, str]:
    """Return a new agent."""
    made = PydanticAgent(
        FunctionModel(answer), name="planner", deps_type=str, capabilities=capabilities
    )

    @made.instructions
    def for_whom(ctx: RunContext[str]) -> str:
        return f"For {ctx.deps}."

    @made.tool
    async def weather(ctx: RunContext[str]) -> str:
        await asyncio.sleep(0)
        MADE.append(f"weather for {ctx.deps}")
        assert current_context() is None
        return "sun"

    @made.tool_plain
    def book(days: int) -> str:
        MADE.append(f"book {days}")
        if days > 5:
            raise ModelRetry("at most 5 days")
        return f"{days} days"

    return made


def asking(agent: PydanticAgent[str, Any], **options: Any) -> Agent:
    async def go(event: Any, ctx: Any) -> None:
        assert current_context() is ctx
        result = await agent.run(event.input["ask"], deps="Ann", **options)
        messages = result.all_messages()
        ids = {message.run_id for message in messages}
        times = {str(part.timestamp) for part in messages[0].parts}
        ctx.send_event(OutputEvent(output=[result.output, sorted(map(str, ids)), sorted(times)]))

    return Agent().add_action("go", [InputEvent], go)


INPUTS = [{"k": "a", "ask": "a trip"}]
ALL = ["model 0", "weather for Ann", "book 9", "model 1", "book 2", "model 2"]


def journal(store: str) -> list[tuple[str, str]]:
    """Return function and arguments of the calls that the first run made."""
    with History.open(store) as history:
        (action,) = history.detail(history.choose_job(None), "r1").actions
    return [(call.function, call.arguments) for call in action.calls]


def test_each_request_and_tool_call_is_a_durable_call(tmp_path: Path) -> None:
    journals = []
    for name, agent in (("capability", planner(PerdureDurability())), ("wrapper", planner())):
        MADE.clear()
        store = f"sqlite:///{tmp_path / name}.db"
        run: Callable[..., Any] = agent.run
        if name == "wrapper":
            run = DurableAgent(agent).run

        async def go(event: Any, ctx: Any, name: str = name, run: Any = run) -> None:
            given = (ctx,) if name == "wrapper" else ()
            result = await run(*given, event.input["ask"], deps="Ann")
            ctx.send_event(OutputEvent(output=result.output))

        ran = LocalEngine(store).run(Agent().add_action("go", [InputEvent], go), INPUTS, key="k")
        assert [output.value for output in ran] == ["2 days; For Ann."]
        assert sorted(MADE) == sorted(ALL)
        journals.append([(function, "") for function, _ in journal(store)])
    assert journals[0] == journals[1]  # one takes up what the other began
    assert [function for function, _ in journals[0]] == [
        "pydantic_ai:planner:model", "pydantic_ai:planner:tool:weather",
        "pydantic_ai:planner:tool:book", "pydantic_ai:planner:model",
        "pydantic_ai:planner:tool:book", "pydantic_ai:planner:model",
    ]  # fmt: skip


def test_a_crash_at_any_moment_changes_nothing() -> None:
    agent = planner(PerdureDurability(model_options={"timeout": 60}))
    done = simulate(lambda: asking(agent), INPUTS, key="k", seeds=3)
    assert done.crashes > 10


def test_outside_of_an_action_the_agent_runs_as_it_does_without(made: list[str]) -> None:
    agent = planner(PerdureDurability())
    result = asyncio.run(agent.run("a trip", deps="Ann"))
    assert result.output == "2 days; For Ann."
    assert sorted(made) == sorted(ALL)


def test_a_durable_agent_of_an_agent_with_the_capability_makes_each_call_once(
    made: list[str],
) -> None:
    durable = DurableAgent(planner(PerdureDurability()))

    async def go(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, event.input["ask"], deps="Ann")
        ctx.send_event(OutputEvent(output=result.output))

    agent = Agent().add_action("go", [InputEvent], go)
    ran = LocalEngine("memory://").run(agent, INPUTS, key="k")
    assert [output.value for output in ran] == ["2 days; For Ann."]
    assert sorted(made) == sorted(ALL)


class City(BaseModel):
    """What an output function returns."""

    name: str


def test_an_output_function_is_a_durable_call_and_its_type_is_known(tmp_path: Path) -> None:
    def found(name: str) -> City:
        MADE.append("found")
        return City(name=name)

    agent = PydanticAgent(
        TestModel(), name="finder", output_type=found, capabilities=[PerdureDurability()]
    )

    async def go(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=(await agent.run("where")).output))

    store = f"sqlite:///{tmp_path / 'store.db'}"
    ran = LocalEngine(store).run(Agent().add_action("go", [InputEvent], go), INPUTS, key="k")
    assert [type(output.value) for output in ran] == [City]
    assert MADE == ["found"]
    assert [function for function, _ in journal(store)] == [
        "pydantic_ai:finder:model", "pydantic_ai:finder:output:found",
    ]  # fmt: skip


def test_an_option_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'timout' is no option of a durable call"):
        PerdureDurability(model_options={"timout": 1})  # type: ignore[typeddict-unknown-key]
