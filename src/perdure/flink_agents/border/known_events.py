"""The events that every agent knows, by their types."""

from __future__ import annotations

from typing import Any

from perdure.flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from perdure.flink_agents.api.events.context_retrieval_event import (
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
)
from perdure.flink_agents.api.events.event import Event, InputEvent, OutputEvent
from perdure.flink_agents.api.events.memory_event import MEMORY_EVENTS
from perdure.flink_agents.api.events.run_event import AgentRunBeginEvent
from perdure.flink_agents.api.events.tool_event import ToolRequestEvent, ToolResponseEvent

__all__ = ["BUILT_IN_EVENTS"]

_CLASSES: tuple[Any, ...] = (
    InputEvent,
    OutputEvent,
    ChatRequestEvent,
    ChatResponseEvent,
    ToolRequestEvent,
    ToolResponseEvent,
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
    AgentRunBeginEvent,
    *MEMORY_EVENTS.values(),
)
BUILT_IN_EVENTS: dict[str, type[Event]] = {each.EVENT_TYPE: each for each in _CLASSES}
