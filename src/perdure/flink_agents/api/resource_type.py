"""The types of resources."""

from __future__ import annotations

from enum import Enum

__all__ = ["ResourceType"]


class ResourceType(Enum):
    """What sort of thing a resource is."""

    __journal_name__ = "perdure:flink_agents.ResourceType"

    CHAT_MODEL = "chat_model"
    CHAT_MODEL_CONNECTION = "chat_model_connection"
    TOOL = "tool"
    EMBEDDING_MODEL = "embedding_model"
    EMBEDDING_MODEL_CONNECTION = "embedding_model_connection"
    VECTOR_STORE = "vector_store"
    PROMPT = "prompt"
    MCP_SERVER = "mcp_server"
    SKILLS = "skills"
    MODEL_ROUTER = "model_router"
    AGENT = "agent"
