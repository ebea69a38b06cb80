"""Short names in YAML files, of events and of classes."""

from __future__ import annotations

from perdure.flink_agents.api.events.event_type import EventType
from perdure.flink_agents.api.resource import ResourceName, ResourceType

__all__ = [
    "CLAZZ_ALIASES",
    "EVENT_ALIASES",
    "JAVA_WRAPPER_CLAZZ",
    "resolve_clazz",
    "resolve_event_type",
]

EVENT_ALIASES: dict[str, str] = {
    "input": EventType.InputEvent,
    "output": EventType.OutputEvent,
    "chat_request": EventType.ChatRequestEvent,
    "chat_response": EventType.ChatResponseEvent,
    "tool_request": EventType.ToolRequestEvent,
    "tool_response": EventType.ToolResponseEvent,
    "context_retrieval_request": EventType.ContextRetrievalRequestEvent,
    "context_retrieval_response": EventType.ContextRetrievalResponseEvent,
}

_Chat = ResourceName.ChatModel
_Embedding = ResourceName.EmbeddingModel

CLAZZ_ALIASES: dict[ResourceType, dict[str, dict[str, str]]] = {
    ResourceType.CHAT_MODEL_CONNECTION: {
        "python": {
            "ollama": _Chat.OLLAMA_CONNECTION,
            "openai": _Chat.OPENAI_COMPLETIONS_CONNECTION,
            "anthropic": _Chat.ANTHROPIC_CONNECTION,
            "tongyi": _Chat.TONGYI_CONNECTION,
            "azure_openai": _Chat.AZURE_OPENAI_CONNECTION,
            "vllm": _Chat.VLLM_CONNECTION,
            "watsonx": _Chat.WATSONX_CONNECTION,
        },
    },
    ResourceType.CHAT_MODEL: {
        "python": {
            "ollama": _Chat.OLLAMA_SETUP,
            "openai": _Chat.OPENAI_COMPLETIONS_SETUP,
            "anthropic": _Chat.ANTHROPIC_SETUP,
            "tongyi": _Chat.TONGYI_SETUP,
            "azure_openai": _Chat.AZURE_OPENAI_SETUP,
            "vllm": _Chat.VLLM_SETUP,
            "watsonx": _Chat.WATSONX_SETUP,
        },
    },
    ResourceType.EMBEDDING_MODEL_CONNECTION: {
        "python": {
            "ollama": _Embedding.OLLAMA_CONNECTION,
            "openai": _Embedding.OPENAI_CONNECTION,
            "tongyi": _Embedding.TONGYI_CONNECTION,
        },
    },
    ResourceType.EMBEDDING_MODEL: {
        "python": {
            "ollama": _Embedding.OLLAMA_SETUP,
            "openai": _Embedding.OPENAI_SETUP,
            "tongyi": _Embedding.TONGYI_SETUP,
        },
    },
    ResourceType.VECTOR_STORE: {
        "python": {
            "chroma": ResourceName.VectorStore.CHROMA_VECTOR_STORE,
            "mem0": ResourceName.VectorStore.MEM0_VECTOR_STORE,
        },
    },
    ResourceType.MCP_SERVER: {"python": {"mcp": ResourceName.MCP_SERVER}},
}

JAVA_WRAPPER_CLAZZ: dict[ResourceType, str] = {
    ResourceType.CHAT_MODEL_CONNECTION: _Chat.JAVA_WRAPPER_CONNECTION,
    ResourceType.CHAT_MODEL: _Chat.JAVA_WRAPPER_SETUP,
    ResourceType.EMBEDDING_MODEL_CONNECTION: _Embedding.JAVA_WRAPPER_CONNECTION,
    ResourceType.EMBEDDING_MODEL: _Embedding.JAVA_WRAPPER_SETUP,
    ResourceType.VECTOR_STORE: ResourceName.VectorStore.JAVA_WRAPPER_VECTOR_STORE,
}


def resolve_event_type(name: str) -> str:
    """Return the event type that a short name means; another name means itself."""
    return EVENT_ALIASES.get(name, name)


def resolve_clazz(name: str, resource_type: ResourceType, language: str = "python") -> str:
    """Return the full name of a class that a short name means; another name means itself."""
    return CLAZZ_ALIASES.get(resource_type, {}).get(language, {}).get(name, name)
