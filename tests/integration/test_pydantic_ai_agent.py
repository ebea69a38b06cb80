"""Pydantic AI agents in an action: what has finished is not made again, and the rest works."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, create_model
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import (
    ModelRetry,
    PromptedOutput,
    RunContext,
    TextOutput,
    ToolOutput,
    ToolReturn,
    UsageLimits,
)
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import DeferredToolRequests, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema
from tests.integration import agents_support as support
from tests.integration.agents_support import Log, note
from tests.integration.pydantic_ai_agents import durable as durable_planner
from tests.patience import PATIENCE

from perdure import (
    Agent,
    InputEvent,
    LocalEngine,
    OutputEvent,
    RetryPolicy,
    RunsFailedError,
    integrations,
)
from perdure.codec.types import GLOBAL_TYPES
from perdure.errors import ConfigurationError
from perdure.integrations import pydantic_ai_forms
from perdure.integrations.pydantic_ai import DurableAgent
from perdure.testing import simulate

MODULE = "pydantic_ai_agents"
INPUTS = [{"k": "a", "ask": "a trip", "who": "Ann"}]
ANSWER = "{'city': 'Bonn', 'sun': True, 'for': 'Ann'}; 99.5; at most 5 days; 2 days"


@pytest.fixture(autouse=True)
def log() -> list[str]:
    """What was called in this process."""
    Log.lines = []
    return Log.lines


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"


def agent_of(action: Callable[..., Any]) -> Agent:
    return Agent().add_action("go", [InputEvent], action)


def asking(durable: DurableAgent[Any, Any], **options: Any) -> Agent:
    """Return an agent whose action asks `durable` and sends out the answer."""

    async def ask(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, event.input["ask"], **options)
        ctx.send_event(OutputEvent(output=result.output))

    return agent_of(ask)


def outputs_of(agent: Agent, inputs: Any = None, *, store: str = "memory://") -> list[Any]:
    engine = LocalEngine(store)
    ran = engine.run(agent, inputs or [{"k": "a", "ask": "hi"}], key="k")
    return [output.value for output in ran]


def failure_of(agent: Agent) -> str:
    """Return type and message of what made the only run fail."""
    with pytest.raises(RunsFailedError) as failed:
        outputs_of(agent)
    error = failed.value.failed[0].error
    assert error is not None
    return f"{error['type']}: {error['message']}"


def script(*responses: Any) -> FunctionModel:
    """Return a model that gives these answers in turn: by the number of those given so far."""

    async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        given = sum(isinstance(message, ModelResponse) for message in messages)
        note(f"model {given}")
        parts = responses[given]
        return ModelResponse(parts=[parts] if not isinstance(parts, list) else parts)

    return FunctionModel(respond)


def last_content(messages: list[Any]) -> Any:
    return messages[-1].parts[-1].content


class Place(BaseModel):
    """What a tool or an output function returns."""

    city: str


# Crashes


def test_finished_requests_and_tool_calls_are_not_made_again(tmp_path: Path) -> None:
    # Killed as a model request starts, in a tool that refuses, and as the last request ends.
    for line in ("model 2 starts", "book 9 ends", "model 4 starts"):
        support.kill_at(line, MODULE, tmp_path, INPUTS)
    [output] = support.finish(MODULE, tmp_path, INPUTS)
    assert output["answer"] == ANSWER
    assert output["requests"] == 4
    lines = support.log_of(tmp_path)
    ended = {line: count for line, count in lines.items() if "ends" in line}
    # Only the call in flight when the process died is made again.
    assert ended.pop("book 9 ends") == 2
    assert set(ended.values()) == {1}
    assert lines["model 1 starts"] == lines["model 3 starts"] == 1
    assert lines["model 2 starts"] == lines["model 4 starts"] == 2
    # The id that the first process drew is the one in the answer of the last.
    [drawn] = [line.split()[-1] for line in ended if line.startswith("weather")]
    call = output["messages"][1]["parts"][0]
    assert (call["tool_name"], call["tool_call_id"]) == ("weather", drawn)
    # Once more: everything is recorded.
    assert support.finish(MODULE, tmp_path, INPUTS) == [output]
    assert support.log_of(tmp_path) == lines


def test_messages_are_the_same_on_replay(tmp_path: Path) -> None:
    # Killed after the agent's end: the whole run is replayed, times and ids included.
    def messages() -> list[Any]:
        texts = (tmp_path / "messages.log").read_text("utf-8").splitlines()
        return [json.loads(text) for text in texts]

    for die_at in ("answered", ""):
        process = support.start("pydantic_ai_replayed", tmp_path, INPUTS, die_at=die_at)
        process.communicate(timeout=support.SECONDS)
        assert process.returncode == (-9 if die_at else 0)
    first, second = messages()
    assert first == second
    assert support.log_of(tmp_path)["model ends"] == 2


def test_another_prompt_is_a_divergence(tmp_path: Path) -> None:
    support.kill_at("model 3 starts", MODULE, tmp_path, INPUTS)
    process = support.start("pydantic_ai_changed", tmp_path, INPUTS)
    _, errors = process.communicate(timeout=support.SECONDS)
    assert process.returncode != 0
    assert "NonDeterminismError" in errors
    assert "pydantic_ai:planner:model" in errors


def test_it_comes_to_the_same_answer_whenever_it_crashes() -> None:
    async def ask(event: Any, ctx: Any) -> None:
        result = await durable_planner.run(ctx, event.input["ask"], deps=event.input["who"])
        ctx.send_event(OutputEvent(output=[result.output, result.usage.requests]))

    simulate(agent_of(ask), INPUTS, key="k", seeds=3)
    assert Log.lines.count("price ends") > 10


def test_feedback_on_wrong_output_is_the_same_on_replay() -> None:
    # Text instead of the output tool, then bad arguments, then what the validator refuses.
    inner = PydanticAgent(
        script(
            TextPart("Bonn"),
            ToolCallPart("final_result", {"town": "Bonn"}),
            ToolCallPart("final_result", {"city": "Bonn"}),
            ToolCallPart("final_result", {"city": "Ulm"}),
        ),
        output_type=Place,
        retries=5,
    )

    @inner.output_validator
    def not_bonn(place: Place) -> Place:
        if place.city == "Bonn":
            raise ModelRetry("another one")
        return place

    durable = DurableAgent(inner)

    async def ask(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, event.input["ask"])
        ctx.send_event(OutputEvent(output=result.output.city))

    assert outputs_of(agent_of(ask)) == ["Ulm"]
    simulate(agent_of(ask), INPUTS, key="k", seeds=1)


# What runs where


def test_many_keys_at_once_share_one_agent(store: str) -> None:
    barrier = asyncio.Event()
    waiting: set[str] = set()

    async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            waiting.add(last_content(messages))
            if len(waiting) == 20:
                barrier.set()
            await asyncio.wait_for(barrier.wait(), PATIENCE)  # all of them are under way at once
            return ModelResponse(parts=[ToolCallPart("double", {"n": len(waiting)})])
        return ModelResponse(
            parts=[TextPart(f"{messages[0].parts[-1].content} {messages[-1].parts[0].content}")]
        )

    inner = PydanticAgent(FunctionModel(respond), name="shared", deps_type=str)

    @inner.tool
    async def double(ctx: RunContext[str], n: int) -> str:
        return f"{n * 2} {ctx.deps}"

    durable = DurableAgent(inner)

    async def ask(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, event.input["ask"], deps=event.input["k"])
        ctx.send_event(OutputEvent(output=result.output))

    inputs = [{"k": f"k{n}", "ask": f"q{n}"} for n in range(20)]
    assert sorted(outputs_of(agent_of(ask), inputs, store=store)) == sorted(
        f"q{n} 40 k{n}" for n in range(20)
    )


def test_plain_tools_run_on_threads_and_coroutines_on_the_host_loop() -> None:
    inner = PydanticAgent(script([ToolCallPart("plain"), ToolCallPart("coroutine")], TextPart("x")))
    seen: dict[str, Any] = {}

    @inner.tool_plain
    def plain() -> str:
        seen["plain"] = threading.current_thread().name
        return ""

    @inner.tool_plain
    async def coroutine() -> str:
        seen["coroutine"] = asyncio.get_running_loop()
        return ""

    async def main() -> None:
        engine = LocalEngine("memory://")
        await engine.run_async(asking(DurableAgent(inner)), [{"k": 1, "ask": "hi"}], key="k")
        assert seen["coroutine"] is asyncio.get_running_loop()

    asyncio.run(main())
    assert seen["plain"].startswith("perdure-call")


def test_tools_with_a_time_limit_of_their_own_keep_it() -> None:
    inner = PydanticAgent(script(ToolCallPart("slow"), TextPart("given up")))

    @inner.tool_plain(timeout=0.05)
    async def slow() -> None:
        note("slow")
        await asyncio.sleep(60)

    assert outputs_of(asking(DurableAgent(inner))) == ["given up"]
    assert Log.lines.count("slow") == 1


# Results and signals of tools


def test_results_of_tools_come_back_as_the_model_sees_them() -> None:
    image = BinaryContent(b"\x00\xffpixels", media_type="image/png")
    inner = PydanticAgent(
        script(
            [ToolCallPart("place"), ToolCallPart("picture"), ToolCallPart("both")], TextPart("x")
        )
    )

    @inner.tool_plain
    def place() -> list[Place]:
        return [Place(city="Bonn")]

    @inner.tool_plain
    async def picture() -> BinaryContent:
        return image

    @inner.tool_plain
    async def both() -> ToolReturn[int]:
        return ToolReturn(return_value=7, content=["see", image], metadata={"n": 1})

    durable = DurableAgent(inner)

    async def ask(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, "hi")
        parts = [part for message in result.all_messages() for part in message.parts]
        returns = {part.tool_name: part for part in parts if part.part_kind == "tool-return"}
        assert returns["place"].content == [{"city": "Bonn"}]
        assert returns["picture"].content.data == image.data
        assert (returns["both"].content, returns["both"].metadata) == (7, {"n": 1})
        [_, added] = [part.content for part in parts if part.part_kind == "user-prompt"]
        assert (added[0], added[1].data) == ("see", image.data)
        ctx.send_event(OutputEvent(output="checked"))

    assert outputs_of(agent_of(ask)) == ["checked"]


def test_a_refusal_by_a_tool_is_not_retried_by_the_policy() -> None:
    inner = PydanticAgent(script(ToolCallPart("t"), ToolCallPart("t"), TextPart("done")))

    @inner.tool_plain
    def t() -> str:
        note("t")
        if Log.lines.count("t") == 1:
            raise ModelRetry("once more")
        if Log.lines.count("t") == 2:
            raise OSError("down")  # which the policy is for
        return "fine"

    retry = RetryPolicy(max_attempts=2, initial_interval=0.0)
    durable = DurableAgent(inner, tool_options={"*": {"retry": retry}})
    assert outputs_of(asking(durable)) == ["done"]
    assert Log.lines == ["model 0", "t", "model 1", "t", "t", "model 2"]


def test_a_model_request_has_its_own_options() -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        note("asked")
        if len(Log.lines) < 3:
            raise ModelHTTPError(429, "model")
        return ModelResponse(parts=[TextPart("at last")])

    policy = RetryPolicy(max_attempts=3, initial_interval=0.0, retry_on=(ModelHTTPError,))
    durable = DurableAgent(PydanticAgent(FunctionModel(respond)), model_options={"retry": policy})
    assert outputs_of(asking(durable)) == ["at last"]
    assert len(Log.lines) == 3


def test_a_failed_request_raises_its_own_type_in_the_action() -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(400, "model", body={"why": "no"})

    durable = DurableAgent(PydanticAgent(FunctionModel(respond)))

    async def ask(event: Any, ctx: Any) -> None:
        with pytest.raises(ModelHTTPError) as caught:
            await durable.run(ctx, "hi")
        ctx.send_event(OutputEvent(output=[caught.value.status_code, caught.value.body]))

    assert outputs_of(agent_of(ask)) == [[400, {"why": "no"}]]


def test_calls_that_need_approval_end_the_run_with_requests() -> None:
    inner = PydanticAgent(
        script(ToolCallPart("pay", {"sum": 3}, tool_call_id="c1"), TextPart("paid")),
        output_type=[str, DeferredToolRequests],
    )

    @inner.tool_plain(requires_approval=True)
    def pay(sum: int) -> str:
        note("pay")
        return "ok"

    durable = DurableAgent(inner)

    async def ask(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, "hi")
        assert isinstance(result.output, DeferredToolRequests)
        [call] = result.output.approvals
        again = await durable.run(
            ctx,
            message_history=result.all_messages(),
            deferred_tool_results=result.output.build_results(approve_all=True),
        )
        ctx.send_event(OutputEvent(output=[call.tool_name, again.output]))

    assert outputs_of(agent_of(ask)) == [["pay", "paid"]]
    assert Log.lines == ["model 0", "pay", "model 1"]


def test_what_an_agent_inside_a_tool_uses_counts() -> None:
    helper = PydanticAgent(TestModel(custom_output_text="help"))
    inner = PydanticAgent(script(ToolCallPart("ask_helper"), TextPart("done")))

    @inner.tool
    async def ask_helper(ctx: RunContext[None]) -> str:
        return (await helper.run("help", usage=ctx.usage)).output

    durable = DurableAgent(inner)

    async def ask(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, "hi")
        ctx.send_event(OutputEvent(output=result.usage.requests))

    assert outputs_of(agent_of(ask)) == [3]


# Output, history, limits, streams


def test_output_functions_are_durable_calls_with_typed_results() -> None:
    async def look_up(city: str) -> Place:
        note(f"look up {city} {asyncio.get_running_loop().__class__.__name__}")
        return Place(city=city.upper())

    inner = PydanticAgent(TestModel(custom_output_args={"city": "Bonn"}), output_type=look_up)
    durable = DurableAgent(inner)

    async def ask(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, "hi")
        assert result.output == Place(city="BONN")
        ctx.send_event(OutputEvent(output=result.output.city))

    assert outputs_of(agent_of(ask)) == ["BONN"]
    assert len(Log.lines) == 1
    assert "ActionLoop" not in Log.lines[0]


def test_structured_output_and_message_history(store: str) -> None:
    inner = PydanticAgent(TestModel(custom_output_args={"city": "Bonn"}), output_type=Place)
    durable = DurableAgent(inner)

    async def ask(event: Any, ctx: Any) -> None:
        kept = ctx.short_term_memory.get("messages", "[]")
        result = await durable.run(
            ctx, event.input["ask"], message_history=ModelMessagesTypeAdapter.validate_json(kept)
        )
        ctx.short_term_memory.set("messages", result.all_messages_json().decode())
        ctx.send_event(OutputEvent(output=[result.output.city, len(result.all_messages())]))

    inputs = [{"k": "a", "ask": "one"}, {"k": "a", "ask": "two"}]
    assert outputs_of(agent_of(ask), inputs, store=store) == [["Bonn", 3], ["Bonn", 6]]


def made_model(name: str) -> Any:
    """Return a model that no module defines: nothing but the agent names it."""
    return create_model(name, category=(str, ...))


@pytest.mark.parametrize(
    "form",
    [
        lambda cls: cls,
        lambda cls: [cls, int],
        lambda cls: cls | int,
        lambda cls: ToolOutput(cls, name="final"),
        lambda cls: PromptedOutput([cls]),
        lambda cls: TextOutput(giving(cls)),
        lambda cls: giving(cls),
        lambda cls: list[cls],
    ],
)
def test_g21_the_output_types_of_an_agent_are_known(form: Callable[[Any], Any], store: str) -> None:
    cls = made_model("Verdict")
    output = form(cls)
    model = (
        TestModel(custom_output_text='{"category": "a"}')
        if "Prompted" in repr(output)
        else (TestModel())
    )
    durable = DurableAgent(PydanticAgent(model, output_type=output, name="judge"))
    assert GLOBAL_TYPES.lookup(cls)  # before it runs: another process reads what this one gave
    [value] = outputs_of(asking(durable), store=store)
    value = value[0] if isinstance(value, list) else value
    assert type(value) is cls


def giving(cls: Any) -> Callable[[str], Any]:
    """Return an output function that is annotated with a class."""

    def give(text: str) -> Any:
        return cls(category=text)

    give.__annotations__["return"] = cls
    return give


def test_g21_the_output_type_of_one_run_and_its_deps_are_known() -> None:
    cls, deps = made_model("OfOneRun"), made_model("Deps")
    other = made_model("OtherDeps")
    durable = DurableAgent(PydanticAgent(TestModel(), deps_type=deps, name="judge"))

    async def go(event: Any, ctx: Any) -> None:
        given = deps(category="d")
        result = await durable.run(ctx, "hi", deps=given, output_type=cls)
        more = other(category="o")
        await durable.run(ctx, "hi", deps=more)
        ctx.send_event(OutputEvent(output=[result.output, given, more]))

    [[output, *given]] = outputs_of(agent_of(go))
    assert type(output) is cls
    assert given == [deps(category="d"), other(category="o")]


def test_tools_that_run_side_by_side_count_what_each_of_them_used() -> None:
    helper = PydanticAgent(TestModel(), name="helper")
    gate = asyncio.Event()

    async def quick(ctx: RunContext[None]) -> str:
        await helper.run("help", usage=ctx.usage)
        gate.set()
        return "quick"

    async def slow(ctx: RunContext[None]) -> str:
        await gate.wait()  # it begins before, and ends after the other was counted
        await asyncio.sleep(0.05)
        await helper.run("help", usage=ctx.usage)
        return "slow"

    model = script([ToolCallPart("quick", {}), ToolCallPart("slow", {})], [TextPart("done")])
    durable = DurableAgent(PydanticAgent(model, tools=[quick, slow], name="two"))
    seen: list[dict[str, Any]] = []

    async def go(event: Any, ctx: Any) -> None:
        result = await durable.run(ctx, "hi")
        usage = result.usage
        ctx.send_event(OutputEvent(output=[usage.requests, usage.input_tokens > 0]))

    original = pydantic_ai_forms.with_usage

    def noting(outcome: Any, used: Any) -> Any:
        seen.append({"requests": used.requests, "tokens": used.input_tokens})
        return original(outcome, used)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pydantic_ai_forms, "with_usage", noting)
        [[requests, _]] = outputs_of(agent_of(go))
    assert [each["requests"] for each in seen] == [1, 1]
    assert requests == 4  # two of its own, and one in each tool


def test_usage_limits_hold() -> None:
    inner = PydanticAgent(script(*[ToolCallPart("t")] * 10))
    inner.tool_plain(lambda: "x", name="t")
    limited = asking(DurableAgent(inner), usage_limits=UsageLimits(request_limit=3))
    assert "UsageLimitExceeded" in failure_of(limited)
    assert len(Log.lines) == 3


def test_a_time_limit_of_the_run_is_a_durable_timer() -> None:
    async def never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.sleep(60)
        raise AssertionError

    durable = DurableAgent(PydanticAgent(FunctionModel(never)))

    async def ask(event: Any, ctx: Any) -> None:
        with pytest.raises(TimeoutError):
            await durable.run(ctx, "hi", timeout=0.05)
        ctx.send_event(OutputEvent(output="timed out"))

    assert outputs_of(agent_of(ask)) == ["timed out"]


def test_stream_handlers_see_whole_responses() -> None:
    kinds: list[str] = []

    async def handle(ctx: RunContext[None], events: AsyncIterable[Any]) -> None:
        async for event in events:
            kinds.append(event.event_kind)

    durable = DurableAgent(PydanticAgent(TestModel()))
    assert outputs_of(asking(durable, event_stream_handler=handle)) == ["success (no tool calls)"]
    assert kinds[0] == "part_start"


# Toolsets


class Server(AbstractToolset[Any]):
    """Stands for `MCPToolset`, which needs a package more: connects, lists and calls."""

    id = "shop"
    cache_tools = True
    include_instructions = True

    def __init__(self) -> None:
        self.open = 0

    async def __aenter__(self) -> Server:
        await asyncio.open_connection("127.0.0.1", 9) if self._on_action_loop() else None
        self.open += 1
        return self

    async def __aexit__(self, *args: Any) -> None:
        self.open -= 1

    def _on_action_loop(self) -> bool:
        return type(asyncio.get_running_loop()).__name__ == "ActionLoop"

    def tool_for_tool_def(self, tool_def: ToolDefinition, *, ctx: Any) -> ToolsetTool[Any]:
        validator = SchemaValidator(core_schema.dict_schema())
        return ToolsetTool(toolset=self, tool_def=tool_def, max_retries=1, args_validator=validator)

    async def get_tools(self, ctx: Any) -> dict[str, ToolsetTool[Any]]:
        assert self.open
        note("list")
        schema = {"type": "object", "properties": {"item": {"type": "string"}}}
        definition = ToolDefinition(name="stock", parameters_json_schema=schema)
        return {"stock": self.tool_for_tool_def(definition, ctx=ctx)}

    async def get_instructions(self, ctx: Any) -> str:
        assert self.open
        note("instructions")
        return "Count twice."

    async def call_tool(self, name: str, args: dict[str, Any], ctx: Any, tool: Any) -> int:
        assert self.open
        note(f"{name} {args['item']}")
        return 5


def test_servers_are_connected_to_listed_and_called_outside_of_the_action() -> None:
    server = Server()
    inner = PydanticAgent(
        script(ToolCallPart("shop_stock", {"item": "tent"}), TextPart("5 tents")),
        toolsets=[server.prefixed("shop")],
    )
    assert outputs_of(asking(DurableAgent(inner))) == ["5 tents"]
    assert Counter(Log.lines) == {
        "list": 1, "instructions": 2, "model 0": 1, "stock tent": 1, "model 1": 1,
    }  # fmt: skip
    assert server.open == 0


def test_dynamic_and_own_toolsets() -> None:
    class Logged(FunctionToolset[Any]):
        async def call_tool(self, name: str, *args: Any) -> Any:
            note(f"{name} on {type(asyncio.get_running_loop()).__name__}")
            return await super().call_tool(name, *args)

    def one() -> str:
        return "one"

    def pick(ctx: RunContext[None]) -> AbstractToolset[Any]:
        return Logged([one])

    inner = PydanticAgent(script(ToolCallPart("one"), TextPart("done")))
    inner.toolset(pick)
    assert outputs_of(asking(DurableAgent(inner))) == ["done"]
    assert len(Log.lines) == 3
    assert "ActionLoop" not in Log.lines[1]


# Refusals


def test_what_has_no_place_in_an_action_is_refused() -> None:
    durable = DurableAgent(PydanticAgent(TestModel()))
    assert "workspace= cannot be used" in failure_of(asking(durable, workspace="new"))
    with pytest.raises(TypeError, match=r"DurableAgent\.run\(ctx, \.\.\.\), not 'hi'"):
        asyncio.run(durable.run("hi"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'retires' is no option"):
        DurableAgent(PydanticAgent(TestModel()), model_options={"retires": 3})  # type: ignore[typeddict-unknown-key]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(integrations, "pydantic_ai_run")
    monkeypatch.setitem(sys.modules, "perdure.integrations.pydantic_ai_run", None)
    with pytest.raises(ConfigurationError, match=r"the extra `llm`: pip install 'perdure\[llm\]'"):
        DurableAgent(PydanticAgent(TestModel()))


def test_io_on_the_loop_of_the_agent_is_refused_by_name() -> None:
    inner = PydanticAgent(TestModel())

    @inner.instructions
    async def from_the_net() -> str:
        await asyncio.open_connection("127.0.0.1", 9)
        return ""

    failed = failure_of(asking(DurableAgent(inner)))
    assert "do it inside ctx.durable_execute_async" in failed


def test_a_result_without_a_json_form_is_refused() -> None:
    inner = PydanticAgent(script(ToolCallPart("odd"), TextPart("")))
    inner.tool_plain(lambda: object(), name="odd")
    assert "has no JSON form" in failure_of(asking(DurableAgent(inner)))
