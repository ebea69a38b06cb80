"""perdure: asynchronous, durable agents on keyed event streams.

Every public name is importable from here and loads its module on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.actions.chat import chat
    from perdure.actions.react import ReActAgent
    from perdure.actions.retrieval import retrieve
    from perdure.actions.sub_agent import SubAgent
    from perdure.agent import Agent, action
    from perdure.builtin_events import (
        ChatRequestEvent,
        ChatResponseEvent,
        ContextRetrievalRequestEvent,
        ContextRetrievalResponseEvent,
        ToolRequestEvent,
        ToolResponseEvent,
    )
    from perdure.call import DurableCall, Limit, Outcome, RetryPolicy, durable, wait
    from perdure.chat_model import BaseChatModelConnection, BaseChatModelSetup, ChatModel
    from perdure.codec.types import register_type
    from perdure.config import AgentExecutionOptions, ConfigOption, Configuration
    from perdure.connectors.jsonl import JsonlSink, JsonlSource
    from perdure.context import ChildRun, RunnerContext
    from perdure.documents.document import (
        Document,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from perdure.embedding_model import (
        BaseEmbeddingModelConnection,
        BaseEmbeddingModelSetup,
        EmbeddingModel,
    )
    from perdure.engine.local import LocalEngine
    from perdure.errors import (
        AgentDefinitionError,
        ChatLimitError,
        ConditionError,
        ConfigurationError,
        ContextAccessError,
        DurableCallError,
        EncodeError,
        InputError,
        NonDeterminismError,
        OutputSchemaError,
        PerdureError,
        RetryableError,
        RunCancelledError,
        RunsFailedError,
        SinkError,
        StoreError,
        TerminalError,
        ToolArgumentsError,
    )
    from perdure.event import Event, EventType, InputEvent, OutputEvent
    from perdure.executor.continuation import is_continuation_supported
    from perdure.integrations.mcp import MCPServer
    from perdure.long_term_memory import LongTermMemory, MemorySet, MemorySetItem
    from perdure.memory import MemoryObject, MemoryRef
    from perdure.message import (
        Attachment,
        ChatDelta,
        ChatMessage,
        MessageRole,
        ToolCall,
        ToolResponse,
        Usage,
    )
    from perdure.prompts import Prompt
    from perdure.resource import (
        Resource,
        ResourceDescriptor,
        ResourceType,
        chat_model_connection,
        chat_model_setup,
        embedding_model_connection,
        embedding_model_setup,
        mcp_server,
        prompt,
        sub_agent,
        vector_store,
    )
    from perdure.run import Output, RunStatus
    from perdure.tools import FunctionTool, InjectedArg, Tool, tool
    from perdure.vector_stores import BaseVectorStore, VectorStore
    from perdure.yaml_agent.load import AgentFile, load_agent

    __version__: str

__all__ = [
    "Agent",
    "AgentDefinitionError",
    "AgentExecutionOptions",
    "AgentFile",
    "Attachment",
    "BaseChatModelConnection",
    "BaseChatModelSetup",
    "BaseEmbeddingModelConnection",
    "BaseEmbeddingModelSetup",
    "BaseVectorStore",
    "ChatDelta",
    "ChatLimitError",
    "ChatMessage",
    "ChatModel",
    "ChatRequestEvent",
    "ChatResponseEvent",
    "ChildRun",
    "ConditionError",
    "ConfigOption",
    "Configuration",
    "ConfigurationError",
    "ContextAccessError",
    "ContextRetrievalRequestEvent",
    "ContextRetrievalResponseEvent",
    "Document",
    "DurableCall",
    "DurableCallError",
    "EmbeddingModel",
    "EncodeError",
    "Event",
    "EventType",
    "FunctionTool",
    "InjectedArg",
    "InputError",
    "InputEvent",
    "JsonlSink",
    "JsonlSource",
    "Limit",
    "LocalEngine",
    "LongTermMemory",
    "MCPServer",
    "MemoryObject",
    "MemoryRef",
    "MemorySet",
    "MemorySetItem",
    "MessageRole",
    "NonDeterminismError",
    "Outcome",
    "Output",
    "OutputEvent",
    "OutputSchemaError",
    "PerdureError",
    "Prompt",
    "ReActAgent",
    "Resource",
    "ResourceDescriptor",
    "ResourceType",
    "RetryPolicy",
    "RetryableError",
    "RunCancelledError",
    "RunStatus",
    "RunnerContext",
    "RunsFailedError",
    "SinkError",
    "StoreError",
    "SubAgent",
    "TerminalError",
    "Tool",
    "ToolArgumentsError",
    "ToolCall",
    "ToolRequestEvent",
    "ToolResponse",
    "ToolResponseEvent",
    "Usage",
    "VectorStore",
    "VectorStoreQuery",
    "VectorStoreQueryMode",
    "VectorStoreQueryResult",
    "__version__",
    "action",
    "chat",
    "chat_model_connection",
    "chat_model_setup",
    "durable",
    "embedding_model_connection",
    "embedding_model_setup",
    "is_continuation_supported",
    "load_agent",
    "mcp_server",
    "prompt",
    "register_type",
    "retrieve",
    "sub_agent",
    "tool",
    "vector_store",
    "wait",
]

_MODULES = {
    "Agent": "agent",
    "AgentDefinitionError": "errors",
    "AgentExecutionOptions": "config",
    "AgentFile": "yaml_agent.load",
    "Attachment": "message",
    "BaseChatModelConnection": "chat_model",
    "BaseChatModelSetup": "chat_model",
    "BaseEmbeddingModelConnection": "embedding_model",
    "BaseEmbeddingModelSetup": "embedding_model",
    "BaseVectorStore": "vector_stores",
    "ChatDelta": "message",
    "ChatLimitError": "errors",
    "ChatMessage": "message",
    "ChatModel": "chat_model",
    "ChatRequestEvent": "builtin_events",
    "ChatResponseEvent": "builtin_events",
    "ChildRun": "context",
    "ConditionError": "errors",
    "ConfigOption": "config",
    "Configuration": "config",
    "ConfigurationError": "errors",
    "ContextAccessError": "errors",
    "ContextRetrievalRequestEvent": "builtin_events",
    "ContextRetrievalResponseEvent": "builtin_events",
    "Document": "documents.document",
    "DurableCall": "call",
    "DurableCallError": "errors",
    "EmbeddingModel": "embedding_model",
    "EncodeError": "errors",
    "Event": "event",
    "EventType": "event",
    "FunctionTool": "tools",
    "InjectedArg": "tools",
    "InputError": "errors",
    "InputEvent": "event",
    "JsonlSink": "connectors.jsonl",
    "JsonlSource": "connectors.jsonl",
    "Limit": "call",
    "LocalEngine": "engine.local",
    "LongTermMemory": "long_term_memory",
    "MCPServer": "integrations.mcp",
    "MemoryObject": "memory",
    "MemoryRef": "memory",
    "MemorySet": "long_term_memory",
    "MemorySetItem": "long_term_memory",
    "MessageRole": "message",
    "NonDeterminismError": "errors",
    "Outcome": "call",
    "Output": "run",
    "OutputEvent": "event",
    "OutputSchemaError": "errors",
    "PerdureError": "errors",
    "Prompt": "prompts",
    "ReActAgent": "actions.react",
    "Resource": "resource",
    "ResourceDescriptor": "resource",
    "ResourceType": "resource",
    "RetryPolicy": "call",
    "RetryableError": "errors",
    "RunCancelledError": "errors",
    "RunStatus": "run",
    "RunnerContext": "context",
    "RunsFailedError": "errors",
    "SinkError": "errors",
    "StoreError": "errors",
    "SubAgent": "actions.sub_agent",
    "TerminalError": "errors",
    "Tool": "tools",
    "ToolArgumentsError": "errors",
    "ToolCall": "message",
    "ToolRequestEvent": "builtin_events",
    "ToolResponse": "message",
    "ToolResponseEvent": "builtin_events",
    "Usage": "message",
    "VectorStore": "vector_stores",
    "VectorStoreQuery": "documents.document",
    "VectorStoreQueryMode": "documents.document",
    "VectorStoreQueryResult": "documents.document",
    "action": "agent",
    "chat": "actions.chat",
    "chat_model_connection": "resource",
    "chat_model_setup": "resource",
    "durable": "call",
    "embedding_model_connection": "resource",
    "embedding_model_setup": "resource",
    "is_continuation_supported": "executor.continuation",
    "load_agent": "yaml_agent.load",
    "mcp_server": "resource",
    "prompt": "resource",
    "register_type": "codec.types",
    "retrieve": "actions.retrieval",
    "sub_agent": "resource",
    "tool": "tools",
    "vector_store": "resource",
    "wait": "call",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        # Not at import: reading the metadata takes longer than everything else here.
        from importlib.metadata import version

        value: Any = version("perdure")
    elif name in _MODULES:
        value = getattr(import_module(f"perdure.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
