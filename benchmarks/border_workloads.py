"""The same agents twice, for `bench_border.py`: perdure's own, and as Flink Agents writes them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from perdure import (
    Agent,
    ChatMessage,
    ChatModel,
    ChatRequestEvent,
    ChatResponseEvent,
    Event,
    InputEvent,
    LocalEngine,
    OutputEvent,
    ResourceType,
    RunnerContext,
    ToolCall,
    action,
    tool,
)
from perdure.llm.chat_model import BaseChatModelConnection


def looked_up(n: int) -> int:
    return 2 * n


# Perdure's own


class Steps(Agent):
    """A call, an event, two memories and an output: two actions a run."""

    @action(InputEvent)
    async def begin(self, event: InputEvent, ctx: RunnerContext) -> None:
        given: dict[str, Any] = event.input
        found = await ctx.durable_execute_async(looked_up, given["n"])
        ctx.sensory_memory.set("found", found)
        ctx.send_event(Event(type="found", attributes={"n": given["n"], "found": found}))

    @action("found")
    def end(self, event: Event, ctx: RunnerContext) -> None:
        seen = (ctx.short_term_memory.get("seen") or 0) + 1
        ctx.short_term_memory.set("seen", seen)
        ctx.send_event(OutputEvent(output=[event.get_attr("n"), ctx.sensory_memory.get("found")]))


class Scripted(BaseChatModelConnection):
    """Asks for a tool, then says what it gave."""

    async def chat(self, messages: Sequence[ChatMessage], tools: Any = None, **_: Any) -> Any:
        if messages[-1].role == "tool":
            return ChatMessage.assistant(messages[-1].content)
        return ChatMessage.assistant(
            "", tool_calls=[ToolCall(id="1", name="double", arguments={"n": 21})]
        )


class Chats(Agent):
    """A chat by events with one tool call and one output: five actions a run."""

    @tool
    @staticmethod
    def double(n: int) -> int:
        """Double a number."""
        return 2 * n

    @action(InputEvent)
    async def ask(self, event: InputEvent, ctx: RunnerContext) -> None:
        given: dict[str, Any] = event.input
        ctx.send_event(ChatRequestEvent("model", f"text {given['n']}"))

    @action(ChatResponseEvent)
    async def answer(self, event: ChatResponseEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.response.content))


def own(what: str, engine: LocalEngine) -> Agent:
    """Return an agent of perdure's own."""
    if what == "steps":
        return Steps()
    model = ChatModel("scripted", connection=Scripted(), tools=["double"])
    engine.add_resource("model", ResourceType.CHAT_MODEL, model)
    return Chats()


# Theirs


def theirs(what: str) -> Agent:
    """Return the same agent as Flink Agents writes it, compiled."""
    from border_agents import Chats, Steps

    from perdure.flink_agents.border.compiled import compiled
    from perdure.flink_agents.plan.configuration import AgentConfiguration

    return compiled(Steps() if what == "steps" else Chats(), AgentConfiguration())


def border(store: str, count: int, what: str, is_theirs: bool) -> dict[str, Any]:
    """CPU of `count` runs of an agent."""
    engine = LocalEngine(f"sqlite:///{store}", job="bench")
    agent = theirs(what) if is_theirs else own(what, engine)
    used = 0.0
    for first, many in ((0, 100), (100, count)):  # the first ones import and compile
        inputs = [{"n": n} for n in range(first, first + many)]
        began = time.process_time()
        outputs = engine.run(
            agent, inputs, key=lambda each: str(each["n"] % 50), id=lambda each: str(each["n"])
        )
        used = time.process_time() - began
        assert len(outputs) == many
    return {"cpu": used}
