"""perdure: asynchronous, durable agents on keyed event streams.

Every public name is importable from here and loads its module on first use.
"""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it: `typing` takes longer to load than all else here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

# isort: off (it would give each name a statement of its own)
# `x as x` tells type checkers that the name is public.
if TYPE_CHECKING:
    from perdure.actions.chat import ask as ask
    from perdure.actions.chat import chat as chat
    from perdure.actions.react import ReActAgent as ReActAgent
    from perdure.actions.retrieval import retrieve as retrieve
    from perdure.actions.sub_agent import SubAgent as SubAgent
    from perdure.agent.declaration import Agent as Agent
    from perdure.agent.declaration import action as action
    from perdure.agent.memory_events import (
        AgentRunBeginEvent as AgentRunBeginEvent,
    )
    from perdure.agent.memory_events import (
        LongTermGetEvent as LongTermGetEvent,
    )
    from perdure.agent.memory_events import (
        LongTermSearchEvent as LongTermSearchEvent,
    )
    from perdure.agent.memory_events import (
        LongTermUpdateEvent as LongTermUpdateEvent,
    )
    from perdure.agent.memory_events import (
        MemoryEvent as MemoryEvent,
    )
    from perdure.agent.memory_events import (
        SensoryReadEvent as SensoryReadEvent,
    )
    from perdure.agent.memory_events import (
        SensoryWriteEvent as SensoryWriteEvent,
    )
    from perdure.agent.memory_events import (
        ShortTermReadEvent as ShortTermReadEvent,
    )
    from perdure.agent.memory_events import (
        ShortTermWriteEvent as ShortTermWriteEvent,
    )
    from perdure.call import (
        DurableCall as DurableCall,
    )
    from perdure.call import (
        Limit as Limit,
    )
    from perdure.call import (
        Outcome as Outcome,
    )
    from perdure.call import (
        RetryPolicy as RetryPolicy,
    )
    from perdure.call import (
        durable as durable,
    )
    from perdure.call import (
        wait as wait,
    )
    from perdure.codec.types import register_type as register_type
    from perdure.config.configuration import (
        AgentExecutionOptions as AgentExecutionOptions,
    )
    from perdure.config.configuration import (
        ConfigOption as ConfigOption,
    )
    from perdure.config.configuration import (
        Configuration as Configuration,
    )
    from perdure.connectors.jsonl import JsonlSink as JsonlSink
    from perdure.connectors.jsonl import JsonlSource as JsonlSource
    from perdure.context import ChildRun as ChildRun
    from perdure.context import RunnerContext as RunnerContext
    from perdure.documents.document import (
        Document as Document,
    )
    from perdure.documents.document import (
        VectorStoreQuery as VectorStoreQuery,
    )
    from perdure.documents.document import (
        VectorStoreQueryMode as VectorStoreQueryMode,
    )
    from perdure.documents.document import (
        VectorStoreQueryResult as VectorStoreQueryResult,
    )
    from perdure.documents.split import split_text as split_text
    from perdure.engine.flink.engine import FlinkEngine as FlinkEngine
    from perdure.engine.local import LocalEngine as LocalEngine
    from perdure.errors import (
        AgentDefinitionError as AgentDefinitionError,
    )
    from perdure.errors import (
        ChatLimitError as ChatLimitError,
    )
    from perdure.errors import (
        ConditionError as ConditionError,
    )
    from perdure.errors import (
        ConfigurationError as ConfigurationError,
    )
    from perdure.errors import (
        ContextAccessError as ContextAccessError,
    )
    from perdure.errors import (
        DurableCallError as DurableCallError,
    )
    from perdure.errors import (
        EncodeError as EncodeError,
    )
    from perdure.errors import (
        FlinkJobError as FlinkJobError,
    )
    from perdure.errors import (
        InputError as InputError,
    )
    from perdure.errors import (
        NonDeterminismError as NonDeterminismError,
    )
    from perdure.errors import (
        OutputSchemaError as OutputSchemaError,
    )
    from perdure.errors import (
        PerdureError as PerdureError,
    )
    from perdure.errors import (
        RetryableError as RetryableError,
    )
    from perdure.errors import (
        RunCancelledError as RunCancelledError,
    )
    from perdure.errors import (
        RunNotFoundError as RunNotFoundError,
    )
    from perdure.errors import (
        RunsFailedError as RunsFailedError,
    )
    from perdure.errors import (
        SinkError as SinkError,
    )
    from perdure.errors import (
        StoreError as StoreError,
    )
    from perdure.errors import (
        TerminalError as TerminalError,
    )
    from perdure.errors import (
        ToolArgumentsError as ToolArgumentsError,
    )
    from perdure.errors import (
        TooManyFailuresError as TooManyFailuresError,
    )
    from perdure.errors import (
        UnreadableAnswerError as UnreadableAnswerError,
    )
    from perdure.event import (
        Event as Event,
    )
    from perdure.event import (
        EventType as EventType,
    )
    from perdure.event import (
        InputEvent as InputEvent,
    )
    from perdure.event import (
        OutputEvent as OutputEvent,
    )
    from perdure.executor.continuation import is_continuation_supported as is_continuation_supported
    from perdure.integrations.http_client import HttpClient as HttpClient
    from perdure.integrations.http_client import HttpResponse as HttpResponse
    from perdure.integrations.mcp import MCPServer as MCPServer
    from perdure.llm.chat_model import (
        BaseChatModelConnection as BaseChatModelConnection,
    )
    from perdure.llm.chat_model import (
        BaseChatModelSetup as BaseChatModelSetup,
    )
    from perdure.llm.chat_model import (
        ChatModel as ChatModel,
    )
    from perdure.llm.embedding_model import (
        BaseEmbeddingModelConnection as BaseEmbeddingModelConnection,
    )
    from perdure.llm.embedding_model import (
        BaseEmbeddingModelSetup as BaseEmbeddingModelSetup,
    )
    from perdure.llm.embedding_model import (
        EmbeddingModel as EmbeddingModel,
    )
    from perdure.llm.events import (
        ChatRequestEvent as ChatRequestEvent,
    )
    from perdure.llm.events import (
        ChatResponseEvent as ChatResponseEvent,
    )
    from perdure.llm.events import (
        ContextRetrievalRequestEvent as ContextRetrievalRequestEvent,
    )
    from perdure.llm.events import (
        ContextRetrievalResponseEvent as ContextRetrievalResponseEvent,
    )
    from perdure.llm.events import (
        ToolRequestEvent as ToolRequestEvent,
    )
    from perdure.llm.events import (
        ToolResponseEvent as ToolResponseEvent,
    )
    from perdure.llm.message import (
        Attachment as Attachment,
    )
    from perdure.llm.message import (
        ChatDelta as ChatDelta,
    )
    from perdure.llm.message import (
        ChatMessage as ChatMessage,
    )
    from perdure.llm.message import (
        MessageRole as MessageRole,
    )
    from perdure.llm.message import (
        ToolCall as ToolCall,
    )
    from perdure.llm.message import (
        ToolResponse as ToolResponse,
    )
    from perdure.llm.message import (
        Usage as Usage,
    )
    from perdure.llm.prompt import Prompt as Prompt
    from perdure.llm.skills.skills import Skills as Skills
    from perdure.llm.tool import (
        FunctionTool as FunctionTool,
    )
    from perdure.llm.tool import (
        InjectedArg as InjectedArg,
    )
    from perdure.llm.tool import (
        Tool as Tool,
    )
    from perdure.llm.tool import (
        tool as tool,
    )
    from perdure.llm.vector_store import (
        BaseVectorStore as BaseVectorStore,
    )
    from perdure.llm.vector_store import (
        VectorStore as VectorStore,
    )
    from perdure.log_lines import JsonLogFormatter as JsonLogFormatter
    from perdure.memory.long_term import (
        LongTermMemory as LongTermMemory,
    )
    from perdure.memory.long_term import (
        MemorySet as MemorySet,
    )
    from perdure.memory.long_term import (
        MemorySetItem as MemorySetItem,
    )
    from perdure.memory.memory import MemoryObject as MemoryObject
    from perdure.memory.memory import MemoryRef as MemoryRef
    from perdure.resource import (
        Resource as Resource,
    )
    from perdure.resource import (
        ResourceDescriptor as ResourceDescriptor,
    )
    from perdure.resource import (
        ResourceType as ResourceType,
    )
    from perdure.resource import (
        chat_model_connection as chat_model_connection,
    )
    from perdure.resource import (
        chat_model_setup as chat_model_setup,
    )
    from perdure.resource import (
        embedding_model_connection as embedding_model_connection,
    )
    from perdure.resource import (
        embedding_model_setup as embedding_model_setup,
    )
    from perdure.resource import (
        http_client as http_client,
    )
    from perdure.resource import (
        mcp_server as mcp_server,
    )
    from perdure.resource import (
        prompt as prompt,
    )
    from perdure.resource import (
        skills as skills,
    )
    from perdure.resource import (
        sub_agent as sub_agent,
    )
    from perdure.resource import (
        vector_store as vector_store,
    )
    from perdure.run import Output as Output
    from perdure.run import RunStatus as RunStatus
    from perdure.run.approval import Approval as Approval
    from perdure.yaml_agent.load import AgentFile as AgentFile
    from perdure.yaml_agent.load import load_agent as load_agent

    __version__: str
# isort: on

# Where each public name comes from. A name is written here and above, and nowhere else.
_NAMES = {
    "actions.chat": "ask chat",
    "actions.react": "ReActAgent",
    "actions.retrieval": "retrieve",
    "actions.sub_agent": "SubAgent",
    "agent.declaration": "Agent action",
    "agent.memory_events": (
        "AgentRunBeginEvent LongTermGetEvent LongTermSearchEvent LongTermUpdateEvent MemoryEvent "
        "SensoryReadEvent SensoryWriteEvent ShortTermReadEvent ShortTermWriteEvent"
    ),
    "call": "DurableCall Limit Outcome RetryPolicy durable wait",
    "codec.types": "register_type",
    "config.configuration": "AgentExecutionOptions ConfigOption Configuration",
    "connectors.jsonl": "JsonlSink JsonlSource",
    "context": "ChildRun RunnerContext",
    "documents.document": "Document VectorStoreQuery VectorStoreQueryMode VectorStoreQueryResult",
    "documents.split": "split_text",
    "engine.flink.engine": "FlinkEngine",
    "engine.local": "LocalEngine",
    "errors": (
        "AgentDefinitionError ChatLimitError ConditionError ConfigurationError "
        "ContextAccessError DurableCallError EncodeError FlinkJobError InputError "
        "NonDeterminismError OutputSchemaError PerdureError RetryableError RunCancelledError "
        "RunNotFoundError RunsFailedError SinkError StoreError TerminalError "
        "TooManyFailuresError ToolArgumentsError UnreadableAnswerError"
    ),
    "event": "Event EventType InputEvent OutputEvent",
    "executor.continuation": "is_continuation_supported",
    "integrations.http_client": "HttpClient HttpResponse",
    "integrations.mcp": "MCPServer",
    "llm.chat_model": "BaseChatModelConnection BaseChatModelSetup ChatModel",
    "llm.embedding_model": "BaseEmbeddingModelConnection BaseEmbeddingModelSetup EmbeddingModel",
    "llm.events": (
        "ChatRequestEvent ChatResponseEvent ContextRetrievalRequestEvent "
        "ContextRetrievalResponseEvent ToolRequestEvent ToolResponseEvent"
    ),
    "llm.message": "Attachment ChatDelta ChatMessage MessageRole ToolCall ToolResponse Usage",
    "llm.prompt": "Prompt",
    "llm.skills.skills": "Skills",
    "llm.tool": "FunctionTool InjectedArg Tool tool",
    "llm.vector_store": "BaseVectorStore VectorStore",
    "log_lines": "JsonLogFormatter",
    "memory.long_term": "LongTermMemory MemorySet MemorySetItem",
    "memory.memory": "MemoryObject MemoryRef",
    "resource": (
        "Resource ResourceDescriptor ResourceType chat_model_connection chat_model_setup "
        "embedding_model_connection embedding_model_setup http_client mcp_server prompt "
        "skills sub_agent vector_store"
    ),
    "run": "Output RunStatus",
    "run.approval": "Approval",
    "yaml_agent.load": "AgentFile load_agent",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(["__version__", *_MODULES])  # noqa: PLE0605 -- a list, of names above


def __getattr__(name: str) -> Any:
    if name == "__version__":
        # Not at import: reading the metadata takes longer than everything else here.
        from importlib.metadata import version

        value: Any = version("perdure")
    elif name in _MODULES:
        import_module("perdure.integrations.providers")  # says what stands behind short names
        value = getattr(import_module(f"perdure.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Moved:
    """Finds modules under the names that they had before. Asked last, when all else failed."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("perdure."):
            return None
        from perdure.moved import spec_of

        return spec_of(name)


if not any(finder.__class__.__name__ == "_Moved" for finder in sys.meta_path):
    sys.meta_path.append(_Moved())
