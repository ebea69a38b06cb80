"""The short names of a file: event types, and classes of resources."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from perdure.event import Event, InputEvent, OutputEvent
from perdure.llm.events import (
    ChatRequestEvent,
    ChatResponseEvent,
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
    ToolRequestEvent,
    ToolResponseEvent,
)
from perdure.resource import ResourceType

__all__ = ["CLASSES", "EVENTS", "PROVIDERS", "Provider"]

_ALIASES: Final[Mapping[str, type[Event]]] = {
    "input": InputEvent,
    "output": OutputEvent,
    "chat_request": ChatRequestEvent,
    "chat_response": ChatResponseEvent,
    "tool_request": ToolRequestEvent,
    "tool_response": ToolResponseEvent,
    "context_retrieval_request": ContextRetrievalRequestEvent,
    "context_retrieval_response": ContextRetrievalResponseEvent,
}
# Classes, so that a function without annotations gets its event as one.
EVENTS: Final[Mapping[str, type[Event]]] = {
    **_ALIASES,
    **{each.EVENT_TYPE: each for each in _ALIASES.values()},
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What the name of a provider of chat models means.

    Attributes:
        prefix: Put before the name of a model; "": it is asked at `base_url` as it is.
        base_url: Where it is, unless the file says so; "": the provider knows.
        path: What its `base_url` ends with.
    """

    prefix: str = ""
    base_url: str = ""
    path: str = ""


PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": Provider(prefix="openai"),
    "openai_completions": Provider(prefix="openai-chat"),
    "openai_responses": Provider(prefix="openai-responses"),
    "anthropic": Provider(prefix="anthropic"),
    "ollama": Provider(prefix="ollama", base_url="http://localhost:11434", path="/v1"),
    "vllm": Provider(base_url="http://localhost:8000/v1"),
    "azure_openai": Provider(prefix="azure"),
    "bedrock": Provider(prefix="bedrock"),
    "gemini": Provider(prefix="google"),
    "tongyi": Provider(prefix="alibaba"),
}

_CHAT: Final = "perdure.integrations.llm.ChatConnection"
_EMBEDDINGS: Final = "perdure.integrations.embeddings.EmbeddingConnection"
_SETUP: Final = "perdure.llm.chat_model.BaseChatModelSetup"
_EMBEDDING_SETUP: Final = "perdure.llm.embedding_model.BaseEmbeddingModelSetup"
_EMBEDDING_PROVIDERS: Final = ("openai", "ollama", "tongyi", "bedrock")

# By what sort of resource; what is no alias is the full name of a class.
CLASSES: Final[Mapping[ResourceType, Mapping[str, str]]] = {
    ResourceType.CHAT_MODEL_CONNECTION: dict.fromkeys(PROVIDERS, _CHAT),
    ResourceType.CHAT_MODEL: dict.fromkeys(PROVIDERS, _SETUP),
    ResourceType.EMBEDDING_MODEL_CONNECTION: {
        **dict.fromkeys(_EMBEDDING_PROVIDERS, _EMBEDDINGS),
        "local": "perdure.integrations.local_embeddings.LocalEmbeddings",
    },
    ResourceType.EMBEDDING_MODEL: {
        **dict.fromkeys(_EMBEDDING_PROVIDERS, _EMBEDDING_SETUP),
        "local": _EMBEDDING_SETUP,
    },
    ResourceType.VECTOR_STORE: {
        "embedded": "perdure.llm.vector_store.VectorStore",
        "pgvector": "perdure.integrations.pgvector.PgVectorStore",
        "qdrant": "perdure.integrations.qdrant.QdrantVectorStore",
    },
    ResourceType.MCP_SERVER: {"mcp": "perdure.integrations.mcp.MCPServer"},
    ResourceType.AGENT: {"agent": "perdure.actions.sub_agent.SubAgent"},
}
