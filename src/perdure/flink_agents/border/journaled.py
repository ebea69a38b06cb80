"""What of theirs the journal may hold, under stable names."""

from __future__ import annotations

from typing import Any

from perdure.flink_agents.api.agents.types import OutputSchema
from perdure.flink_agents.api.chat_message import ChatMessage, MessageRole
from perdure.flink_agents.api.embedding_models.embedding_model import (
    EmbeddingResult,
    EmbeddingTokenUsage,
)
from perdure.flink_agents.api.events.event import Event
from perdure.flink_agents.api.memory.long_term_memory import MemorySetItem
from perdure.flink_agents.api.memory_reference import MemoryRef
from perdure.flink_agents.api.memory_type import MemoryType
from perdure.flink_agents.api.subagent import SubagentResult
from perdure.flink_agents.api.tools.tool_response import ToolResponse
from perdure.flink_agents.api.vector_stores.vector_store import (
    Document,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

__all__ = ["JOURNALED"]

JOURNALED: tuple[Any, ...] = (
    ChatMessage,
    Document,
    EmbeddingResult,
    EmbeddingTokenUsage,
    Event,
    MemoryRef,
    MemorySetItem,
    MemoryType,
    MessageRole,
    OutputSchema,
    SubagentResult,
    ToolResponse,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
