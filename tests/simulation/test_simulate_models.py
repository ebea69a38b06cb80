"""perdure.testing.simulate with agents that have models, tools and long-term memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perdure import (
    Agent,
    ChatDelta,
    ChatModel,
    ChatRequestEvent,
    ChatResponseEvent,
    InputEvent,
    OutputEvent,
    ReActAgent,
    ResourceType,
    RetryableError,
    SubAgent,
    ToolCall,
    action,
    tool,
)
from perdure.actions.chat import chat
from perdure.testing import ScriptedChatModel, SimulationFailed, simulate

INPUTS = ["x", "y", "x"]
BUSY = RetryableError("busy", retry_after=0.5)


@tool
async def stock(article: str) -> int:
    """Count pieces."""
    raise AssertionError("not in tests")


async def fake_stock(article: str) -> int:
    return 3


@tool(requires_approval=True)
def buy(article: str) -> str:
    """Buy one."""
    return f"bought {article}"


def wants(name: str) -> ToolCall:
    return ToolCall(id="1", name=name, arguments={"article": "tent"})


def buyer(**options: Any) -> ReActAgent:
    model = ScriptedChatModel([[BUSY, wants("stock")], wants("buy"), "Bought."], **options)
    return ReActAgent(chat_model=ChatModel("any", connection=model), tools=[stock, buy])


def check(agent: Any, seeds: int = 1, **options: Any) -> None:
    options = {"callables": {stock: fake_stock}} | options
    done = simulate(agent, INPUTS, key=str, seeds=seeds, **options)
    assert done.crashes > 10 * seeds


def test_a_tool_is_replaced() -> None:
    asked = []

    def fake(article: str) -> int:
        asked.append(article)
        return 3

    check(buyer, callables={stock: fake})
    assert set(asked) == {"tent"}


@pytest.mark.parametrize("agent", [buyer, buyer()])
def test_a_chat_with_tools_and_approval_passes(agent: Any) -> None:
    check(agent)


def test_tool_calls_are_approved_as_the_test_says() -> None:
    asked = set()

    def approve(name: str, arguments: dict[str, Any]) -> Any:
        asked.add((name, arguments["article"]))
        return {"approved": False, "reason": "too dear"}

    check(buyer, approve=approve)
    assert asked == {("buy", "tent")}


@pytest.mark.parametrize("continuations", ["auto", "off"])
def test_a_chat_one_request_at_a_time_passes(continuations: str) -> None:
    config = {"chat.async": False, "tool-call.async": False, "continuations": continuations}
    check(lambda: buyer(blocking=True, delay=3600), seeds=1, config=config)


def test_two_chats_of_a_run_wait_for_approval_at_once() -> None:
    class Two(Agent):
        def __init__(self) -> None:
            script = ScriptedChatModel([wants("buy"), "Bought."])
            model = ChatModel("any", connection=script, tools=[buy])
            self.add_resource("model", ResourceType.CHAT_MODEL, model)

        @action(InputEvent)
        def begin(self, event, ctx):
            for n in range(2):
                ctx.send_event(ChatRequestEvent("model", f"{n} {event.input}"))

        @action(ChatResponseEvent)
        def end(self, event, ctx):
            ctx.send_event(OutputEvent(output=event.response.content))

    check(Two, callables={})


class Remembers(Agent):
    """It chats, with a listener, remembers, and asks a sub-agent."""

    def __init__(self, script: Callable[..., Any] | None = None) -> None:
        helper = ScriptedChatModel([wants("stock"), "Three."])
        sub_agent = SubAgent(ChatModel("any", connection=helper, tools=[stock]))
        notes = ScriptedChatModel(script or [{"notes": ["all"]}], blocking=True)
        model = ChatModel("any", connection=notes, stream=self.hear)
        self.add_resource("helper", ResourceType.AGENT, sub_agent)
        self.add_resource("model", ResourceType.CHAT_MODEL, model)

    def hear(self, delta: ChatDelta) -> None:
        """Listen to what the model says."""

    @action(InputEvent)
    async def go(self, event, ctx):
        helper = ctx.get_resource("helper", ResourceType.AGENT)
        count = await helper.run(ctx, event.input)
        facts = ctx.long_term_memory.get_memory_set("facts")
        await facts.add(["one", "two", f"{event.input}: {count}"])
        found = await facts.search(event.input)
        answer = await chat(ctx, "model", event.input)
        await facts.compact(model="model")
        values = [item.value for item in (*found, *await facts.get())]
        ctx.send_event(OutputEvent(output=[values, answer.response.content]))


def test_sub_agents_and_long_term_memory_pass() -> None:
    check(Remembers)


def test_g7_a_model_that_answers_by_the_number_of_requests_is_found() -> None:
    asked = 0

    def script(_messages: Any, _tools: Any) -> Any:
        nonlocal asked
        asked += 1
        return {"notes": [str(asked)]}

    with pytest.raises(SimulationFailed):
        check(lambda: Remembers(script), compare=["outputs"])


def test_g6_an_item_that_a_second_execution_would_add_again_is_found() -> None:
    class Doubles(Agent):
        @action(InputEvent)
        async def go(self, event, ctx):
            facts = ctx.long_term_memory.get_memory_set("facts")
            await ctx.durable_execute_async(fake_stock, "tent")
            await facts.add("fact", ids=str(drawn()))

    count = 0

    def drawn() -> int:
        nonlocal count
        count += 1
        return count

    with pytest.raises(SimulationFailed, match="document"):
        check(Doubles, compare=["memory"])
