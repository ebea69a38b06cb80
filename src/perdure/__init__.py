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
    from perdure.agent.declaration import Agent, action
    from perdure.call import DurableCall, Limit, Outcome, RetryPolicy, durable, wait
    from perdure.codec.types import register_type
    from perdure.config.configuration import AgentExecutionOptions, ConfigOption, Configuration
    from perdure.connectors.jsonl import JsonlSink, JsonlSource
    from perdure.context import ChildRun, RunnerContext
    from perdure.documents.document import (
        Document,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
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
    from perdure.llm.chat_model import BaseChatModelConnection, BaseChatModelSetup, ChatModel
    from perdure.llm.embedding_model import (
        BaseEmbeddingModelConnection,
        BaseEmbeddingModelSetup,
        EmbeddingModel,
    )
    from perdure.llm.events import (
        ChatRequestEvent,
        ChatResponseEvent,
        ContextRetrievalRequestEvent,
        ContextRetrievalResponseEvent,
        ToolRequestEvent,
        ToolResponseEvent,
    )
    from perdure.llm.message import (
        Attachment,
        ChatDelta,
        ChatMessage,
        MessageRole,
        ToolCall,
        ToolResponse,
        Usage,
    )
    from perdure.llm.prompt import Prompt
    from perdure.llm.tool import FunctionTool, InjectedArg, Tool, tool
    from perdure.llm.vector_store import BaseVectorStore, VectorStore
    from perdure.memory.long_term import LongTermMemory, MemorySet, MemorySetItem
    from perdure.memory.memory import MemoryObject, MemoryRef
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
    "Agent": "agent.declaration",
    "AgentDefinitionError": "errors",
    "AgentExecutionOptions": "config.configuration",
    "AgentFile": "yaml_agent.load",
    "Attachment": "llm.message",
    "BaseChatModelConnection": "llm.chat_model",
    "BaseChatModelSetup": "llm.chat_model",
    "BaseEmbeddingModelConnection": "llm.embedding_model",
    "BaseEmbeddingModelSetup": "llm.embedding_model",
    "BaseVectorStore": "llm.vector_store",
    "ChatDelta": "llm.message",
    "ChatLimitError": "errors",
    "ChatMessage": "llm.message",
    "ChatModel": "llm.chat_model",
    "ChatRequestEvent": "llm.events",
    "ChatResponseEvent": "llm.events",
    "ChildRun": "context",
    "ConditionError": "errors",
    "ConfigOption": "config.configuration",
    "Configuration": "config.configuration",
    "ConfigurationError": "errors",
    "ContextAccessError": "errors",
    "ContextRetrievalRequestEvent": "llm.events",
    "ContextRetrievalResponseEvent": "llm.events",
    "Document": "documents.document",
    "DurableCall": "call",
    "DurableCallError": "errors",
    "EmbeddingModel": "llm.embedding_model",
    "EncodeError": "errors",
    "Event": "event",
    "EventType": "event",
    "FunctionTool": "llm.tool",
    "InjectedArg": "llm.tool",
    "InputError": "errors",
    "InputEvent": "event",
    "JsonlSink": "connectors.jsonl",
    "JsonlSource": "connectors.jsonl",
    "Limit": "call",
    "LocalEngine": "engine.local",
    "LongTermMemory": "memory.long_term",
    "MCPServer": "integrations.mcp",
    "MemoryObject": "memory.memory",
    "MemoryRef": "memory.memory",
    "MemorySet": "memory.long_term",
    "MemorySetItem": "memory.long_term",
    "MessageRole": "llm.message",
    "NonDeterminismError": "errors",
    "Outcome": "call",
    "Output": "run",
    "OutputEvent": "event",
    "OutputSchemaError": "errors",
    "PerdureError": "errors",
    "Prompt": "llm.prompt",
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
    "Tool": "llm.tool",
    "ToolArgumentsError": "errors",
    "ToolCall": "llm.message",
    "ToolRequestEvent": "llm.events",
    "ToolResponse": "llm.message",
    "ToolResponseEvent": "llm.events",
    "Usage": "llm.message",
    "VectorStore": "llm.vector_store",
    "VectorStoreQuery": "documents.document",
    "VectorStoreQueryMode": "documents.document",
    "VectorStoreQueryResult": "documents.document",
    "action": "agent.declaration",
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
    "tool": "llm.tool",
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
