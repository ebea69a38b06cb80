"""The actions that every agent of theirs has: chats, tool calls, context retrieval."""

from __future__ import annotations

from typing import Final

from perdure.agent.declaration import Agent
from perdure.context import RunnerContext
from perdure.event import Event, EventType
from perdure.flink_agents.border.chats import Chats
from perdure.flink_agents.border.context import BorderContext
from perdure.flink_agents.border.events import to_theirs
from perdure.flink_agents.border.retrievals import retrieve
from perdure.flink_agents.border.tool_calls import call_tools
from perdure.flink_agents.plan.configuration import AgentConfiguration

__all__ = ["BuiltinActions"]

CHAT: Final = "chat_model_action"
TOOLS: Final = "tool_call_action"
RETRIEVAL: Final = "context_retrieval_action"


class BuiltinActions:
    """The built-in actions of one job.

    Args:
        config: The job's configuration.
    """

    def __init__(self, config: AgentConfiguration) -> None:
        self._config = config

    def agent(self) -> Agent:
        """Return an agent that has them."""
        chats = [EventType.ChatRequestEvent, EventType.ToolResponseEvent]
        return (
            Agent()
            .add_action(CHAT, chats, self.chat)
            .add_action(TOOLS, EventType.ToolRequestEvent, self.call_tools)
            .add_action(RETRIEVAL, EventType.ContextRetrievalRequestEvent, self.retrieve)
        )

    def _context(self, event: Event, ctx: RunnerContext, action: str) -> BorderContext:
        return BorderContext(ctx, self._config, is_coroutine=True, action=action, event=event)

    async def chat(self, event: Event, ctx: RunnerContext) -> None:
        """Begin a chat, or go on with one whose tools have answered."""
        await Chats(self._context(event, ctx, CHAT)).take(to_theirs(event))

    async def call_tools(self, event: Event, ctx: RunnerContext) -> None:
        """Call tools and answer."""
        await call_tools(to_theirs(event), self._context(event, ctx, TOOLS))

    async def retrieve(self, event: Event, ctx: RunnerContext) -> None:
        """Ask a vector store and answer."""
        await retrieve(to_theirs(event), self._context(event, ctx, RETRIEVAL))
