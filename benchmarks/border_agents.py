"""The agents of `border_workloads.py` as Flink Agents writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from border_workloads import looked_up

from perdure.flink_agents.api.agents.agent import Agent
from perdure.flink_agents.api.chat_message import ChatMessage, MessageRole
from perdure.flink_agents.api.chat_models.chat_model import (
    BaseChatModelConnection,
    BaseChatModelSetup,
)
from perdure.flink_agents.api.decorators import (
    action,
    chat_model_connection,
    chat_model_setup,
    tool,
)
from perdure.flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from perdure.flink_agents.api.events.event import Event, InputEvent, OutputEvent
from perdure.flink_agents.api.resource import ResourceDescriptor
from perdure.flink_agents.api.runner_context import RunnerContext


class Steps(Agent):
    """A call, an event, two memories and an output: two actions a run."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def begin(event: Event, ctx: RunnerContext) -> None:
        given = InputEvent.from_event(event).input
        found = await ctx.durable_execute_async(looked_up, given["n"])
        ctx.sensory_memory.set("found", found)
        ctx.send_event(Event(type="found", attributes={"n": given["n"], "found": found}))

    @action("found")
    @staticmethod
    def end(event: Event, ctx: RunnerContext) -> None:
        seen = (ctx.short_term_memory.get("seen") or 0) + 1
        ctx.short_term_memory.set("seen", seen)
        ctx.send_event(OutputEvent(output=[event.get_attr("n"), ctx.sensory_memory.get("found")]))


class Scripted(BaseChatModelConnection):
    """Asks for a tool, then says what it gave."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: Any = None, **kwargs: Any
    ) -> ChatMessage:
        if messages[-1].role == MessageRole.TOOL:
            return ChatMessage(role=MessageRole.ASSISTANT, content=messages[-1].content)
        call = {"id": "1", "function": {"name": "double", "arguments": {"n": 21}}}
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


class Setup(BaseChatModelSetup):
    """A setup without options."""

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {}


class Chats(Agent):
    """A chat by events with one tool call and one output: five actions a run."""

    @chat_model_connection
    @staticmethod
    def server() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=Scripted)

    @chat_model_setup
    @staticmethod
    def model() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=Setup, connection="server", tools=["double"])

    @tool
    @staticmethod
    def double(n: int) -> int:
        """Double a number."""
        return 2 * n

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def ask(event: Event, ctx: RunnerContext) -> None:
        text = f"text {InputEvent.from_event(event).input['n']}"
        ctx.send_event(ChatRequestEvent("model", [ChatMessage(content=text)]))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    async def answer(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=ChatResponseEvent.from_event(event).response.content))
