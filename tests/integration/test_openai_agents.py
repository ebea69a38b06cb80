"""Agents of the OpenAI Agents SDK in an action: what has finished is not made again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agents as sdk
import pydantic
import pytest
from agents.testing import assistant_message
from tests.integration import agents_support as support
from tests.integration.agents_support import Log, note
from tests.integration.openai_agents_team import FunctionModel, call, outputs, reception
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RetryPolicy, RunsFailedError
from perdure.integrations import openai_agents_forms as forms
from perdure.integrations.openai_agents import DurableRunner
from perdure.testing import simulate

MODULE = "openai_agents_team"
INPUTS = [{"k": "a", "ask": "a trip", "who": "Ann"}]
ANSWER = """Booked: sun in Bonn for Ann; {'tent': 99.5}; {"assistant": "booking"}; 2 days"""


@pytest.fixture(autouse=True)
def log() -> list[str]:
    """What was called in this process."""
    Log.lines = []
    return Log.lines


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"


def asking(agent: sdk.Agent[Any], runner: DurableRunner | None = None, **options: Any) -> Agent:
    """Return an agent whose action asks `agent` and sends out the answer."""
    durable = runner or DurableRunner()

    async def ask(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, agent, event.input["ask"], **options)
        ctx.send_event(OutputEvent(output=result.final_output))

    return Agent().add_action("ask", [InputEvent], ask)


def outputs_of(agent: Agent, inputs: Any = None, *, store: str = "memory://") -> list[Any]:
    ran = LocalEngine(store).run(agent, inputs or [{"k": "a", "ask": "hi"}], key="k")
    return [output.value for output in ran]


def failure_of(agent: Agent) -> str:
    """Return type and message of what made the only run fail."""
    with pytest.raises(RunsFailedError) as failed:
        outputs_of(agent)
    error = failed.value.failed[0].error
    assert error is not None
    return f"{error['type']}: {error['message']}"


def agent_of(respond: Callable[..., Any], **options: Any) -> sdk.Agent[Any]:
    return sdk.Agent(name="one", model=FunctionModel("one", respond), **options)


def tool_once(instructions: Any, items: Any, step: int) -> list[Any]:
    """Ask for the tool `t`, and answer with what it said."""
    return [call("t")] if step == 0 else [assistant_message(outputs(items)[-1])]


def test_g21_the_types_that_agents_give_and_take_are_known(store: str) -> None:
    cls = pydantic.create_model("Verdict", category=(str, ...))  # no module defines it
    context = pydantic.create_model("Context", who=(str, ...))
    judge = agent_of(lambda *_: [assistant_message('{"category": "a"}')], output_type=cls)

    async def ask(event: Any, ctx: Any) -> None:
        given = context(who="Ann")
        result = await DurableRunner().run(ctx, judge, "hi", context=given)
        ctx.send_event(OutputEvent(output=[result.final_output, given]))

    [[output, given]] = outputs_of(Agent().add_action("ask", [InputEvent], ask), store=store)
    assert output == cls(category="a")
    assert given == context(who="Ann")


# Crashes


def test_finished_requests_and_tool_calls_are_not_made_again(tmp_path: Path) -> None:
    # Killed as the second agent is asked, in its tool, and as it is asked for the last time.
    for line in ("back 3 starts", "book starts", "back 4 starts"):
        support.kill_at(line, MODULE, tmp_path, INPUTS)
    [output] = support.finish(MODULE, tmp_path, INPUTS)
    assert (output["answer"], output["last"]) == (ANSWER, "booking")
    assert output["requests"] == 4
    lines = support.log_of(tmp_path)
    assert {count for line, count in lines.items() if "ends" in line} == {1}
    started = [lines[f"{line} starts"] for line in ("front 0", "front 2", "back 3", "back 4")]
    assert started == [1, 1, 2, 2]
    assert lines["guardrail ends"] == 1
    # The id that the first process drew is the one in the answer of the last.
    [drawn] = [line.split()[-1] for line in lines if line.startswith("weather")]
    [item] = [item for item in output["items"] if item.get("name") == "weather"]
    assert item["call_id"] == drawn
    assert support.finish(MODULE, tmp_path, INPUTS) == [output]
    assert support.log_of(tmp_path) == lines


def test_other_instructions_are_a_divergence(tmp_path: Path) -> None:
    support.kill_at("back 4 starts", MODULE, tmp_path, INPUTS)
    process = support.start("openai_agents_changed", tmp_path, INPUTS)
    _, errors = process.communicate(timeout=support.SECONDS)
    assert process.returncode != 0
    assert "NonDeterminismError" in errors
    assert "openai_agents:agents:model" in errors


def test_it_comes_to_the_same_answer_whenever_it_crashes() -> None:
    simulate(asking(reception, context="Ann"), INPUTS, key="k", seeds=3)
    assert Log.lines.count("price ends") > 10


# What else there is


def test_many_keys_at_once_share_agents_and_runner(store: str) -> None:
    together = asyncio.Event()
    waiting: set[str] = set()

    @sdk.function_tool(name_override="t")
    async def tool(ctx: sdk.RunContextWrapper[Any]) -> str:
        waiting.add(ctx.context)
        if len(waiting) == 20:
            together.set()
        await asyncio.wait_for(together.wait(), PATIENCE)  # all of them are under way at once
        return f"for {ctx.context}"

    agent, runner = agent_of(tool_once, tools=[tool]), DurableRunner()

    async def ask(event: Any, ctx: Any) -> None:
        result = await runner.run(ctx, agent, "hi", context=event.input["k"])
        ctx.send_event(OutputEvent(output=result.final_output))

    asked = Agent().add_action("ask", [InputEvent], ask)
    answers = outputs_of(asked, [{"k": f"k{n}"} for n in range(20)], store=store)
    assert sorted(answers) == sorted(f"for k{n}" for n in range(20))
    assert agent.tools == [tool]


def test_results_of_tools_come_back_as_the_model_sees_them() -> None:
    class Place:
        def __str__(self) -> str:
            return "Bonn!"

    seen: list[Any] = []

    def respond(instructions: Any, items: Any, step: int) -> list[Any]:
        if step == 0:
            return [call("place"), call("picture")]
        seen.extend(item["output"] for item in items if item.get("type", "").endswith("_output"))
        return [assistant_message("done")]

    place = sdk.function_tool(lambda: Place(), name_override="place")
    picture = sdk.function_tool(
        lambda: [sdk.ToolOutputText(text="see"), sdk.ToolOutputImage(image_url="data:,x")],
        name_override="picture",
    )
    assert outputs_of(asking(agent_of(respond, tools=[place, picture]))) == ["done"]
    assert seen == [
        "Bonn!",
        [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:,x"}],
    ]


def test_an_agent_as_a_tool_is_one_call_and_its_usage_counts() -> None:
    helper = sdk.Agent(
        name="helper",
        model=FunctionModel("helper", lambda *_: [assistant_message("help")]),
    )

    def ask_helper(instructions: Any, items: Any, step: int) -> list[Any]:
        return [call("t", input="x")] if step == 0 else tool_once(instructions, items, step)

    outer = agent_of(ask_helper, tools=[helper.as_tool("t", "Helps.")])
    runner = DurableRunner()

    async def ask(event: Any, ctx: Any) -> None:
        result = await runner.run(ctx, outer, "hi")
        used = result.context_wrapper.usage.requests
        ctx.send_event(OutputEvent(output=[result.final_output, used]))

    assert outputs_of(Agent().add_action("ask", [InputEvent], ask)) == [["help", 3]]


def test_models_by_name_come_from_the_provider() -> None:
    class Provider(sdk.ModelProvider):
        def get_model(self, model_name: str | None) -> sdk.Model:
            return FunctionModel(str(model_name), lambda *_: [assistant_message(str(model_name))])

    named = sdk.Agent(name="one", model="some-model")
    assert outputs_of(asking(named, DurableRunner(model_provider=Provider()))) == ["some-model"]
    config = sdk.RunConfig(model_provider=Provider(), model="other")
    assert outputs_of(asking(named, run_config=config)) == ["other"]


def test_requests_and_tools_have_options() -> None:
    def respond(instructions: Any, items: Any, step: int) -> list[Any]:
        note("asked")
        if Log.lines.count("asked") == 1:
            raise OSError("down")
        return tool_once(instructions, items, step)

    def t() -> str:
        note("tool")
        if Log.lines.count("tool") == 1:
            raise OSError("down")
        return "fine"

    tool = sdk.function_tool(t, failure_error_function=None)
    retry = RetryPolicy(max_attempts=2, initial_interval=0.0)
    runner = DurableRunner(model_options={"retry": retry}, tool_options={"t": {"retry": retry}})
    assert outputs_of(asking(agent_of(respond, tools=[tool]), runner)) == ["fine"]
    assert (Log.lines.count("asked"), Log.lines.count("tool")) == (3, 2)


def test_a_guardrail_ends_the_run_by_its_own_error() -> None:
    @sdk.output_guardrail
    def strict(ctx: Any, agent: Any, output: Any) -> sdk.GuardrailFunctionOutput:
        note(f"{agent.name} said {output}")
        return sdk.GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    guarded = agent_of(lambda *_: [assistant_message("no")], output_guardrails=[strict])
    assert "OutputGuardrailTripwireTriggered" in failure_of(asking(guarded))
    assert Log.lines[-1] == "one said no"


def test_approvals_pass_through_the_state() -> None:
    @sdk.function_tool(name_override="t", needs_approval=True)
    async def tool() -> str:
        note("tool")
        return "paid"

    agent, runner = agent_of(tool_once, tools=[tool]), DurableRunner()

    async def ask(event: Any, ctx: Any) -> None:
        result = await runner.run(ctx, agent, "hi")
        state = result.to_state()
        for item in result.interruptions:
            state.approve(item)
        again = await runner.run(ctx, agent, state)
        ctx.send_event(OutputEvent(output=[len(result.interruptions), again.final_output]))

    assert outputs_of(Agent().add_action("ask", [InputEvent], ask)) == [[1, "paid"]]


def test_what_has_no_place_in_an_action_is_refused() -> None:
    plain = agent_of(lambda *_: [assistant_message("x")])
    session = sdk.SQLiteSession("s")
    refused = failure_of(asking(plain, session=session))
    session.close()
    assert "session= cannot be used in an action" in refused
    shell = agent_of(lambda *_: [], tools=[sdk.LocalShellTool(executor=lambda _: "")])
    assert "LocalShellTool runs on this machine" in failure_of(asking(shell))


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"type": "function_call", "name": "f", "status": "odd"}, "ResponseFunctionToolCall"),
        ({"type": "reasoning", "id": 1, "summary": "text"}, "ResponseReasoningItem"),
        ({"type": "new", "id": "x", "more": [{"a": None}]}, "ResponseOutputMessage"),
    ],
)
def test_an_item_that_is_not_to_the_letter_is_kept_as_it_came(
    item: dict[str, Any], kind: str
) -> None:
    kept = {"output": [item], "usage": {}, "response_id": "r", "request_id": None}
    response = forms.load_response(kept)
    # What the OpenAI client itself makes of such an item.
    assert type(response.output[0]).__name__ == kind
    assert forms.dump_response(response)["output"] == [item]
