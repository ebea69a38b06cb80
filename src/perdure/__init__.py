"""perdure: asynchronous, durable agents on keyed event streams.

Every public name is importable from here and loads its module on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.agent import Agent, action
    from perdure.call import DurableCall, Limit, Outcome, RetryPolicy, durable, wait
    from perdure.config import AgentExecutionOptions, ConfigOption, Configuration
    from perdure.connectors.jsonl import JsonlSink, JsonlSource
    from perdure.context import ChildRun, RunnerContext
    from perdure.engine.local import LocalEngine
    from perdure.errors import (
        AgentDefinitionError,
        ConfigurationError,
        ContextAccessError,
        DurableCallError,
        EncodeError,
        InputError,
        NonDeterminismError,
        PerdureError,
        RetryableError,
        RunCancelledError,
        RunsFailedError,
        SinkError,
        StoreError,
        TerminalError,
    )
    from perdure.event import Event, EventType, InputEvent, OutputEvent
    from perdure.executor.continuation import is_continuation_supported
    from perdure.journal.types import register_type
    from perdure.memory import MemoryObject, MemoryRef
    from perdure.run import Output, RunStatus

    __version__: str

__all__ = [
    "Agent",
    "AgentDefinitionError",
    "AgentExecutionOptions",
    "ChildRun",
    "ConfigOption",
    "Configuration",
    "ConfigurationError",
    "ContextAccessError",
    "DurableCall",
    "DurableCallError",
    "EncodeError",
    "Event",
    "EventType",
    "InputError",
    "InputEvent",
    "JsonlSink",
    "JsonlSource",
    "Limit",
    "LocalEngine",
    "MemoryObject",
    "MemoryRef",
    "NonDeterminismError",
    "Outcome",
    "Output",
    "OutputEvent",
    "PerdureError",
    "RetryPolicy",
    "RetryableError",
    "RunCancelledError",
    "RunStatus",
    "RunnerContext",
    "RunsFailedError",
    "SinkError",
    "StoreError",
    "TerminalError",
    "__version__",
    "action",
    "durable",
    "is_continuation_supported",
    "register_type",
    "wait",
]

_MODULES = {
    "Agent": "agent",
    "AgentDefinitionError": "errors",
    "AgentExecutionOptions": "config",
    "ChildRun": "context",
    "ConfigOption": "config",
    "Configuration": "config",
    "ConfigurationError": "errors",
    "ContextAccessError": "errors",
    "DurableCall": "call",
    "DurableCallError": "errors",
    "EncodeError": "errors",
    "Event": "event",
    "EventType": "event",
    "InputError": "errors",
    "InputEvent": "event",
    "JsonlSink": "connectors.jsonl",
    "JsonlSource": "connectors.jsonl",
    "Limit": "call",
    "LocalEngine": "engine.local",
    "MemoryObject": "memory",
    "MemoryRef": "memory",
    "NonDeterminismError": "errors",
    "Outcome": "call",
    "Output": "run",
    "OutputEvent": "event",
    "PerdureError": "errors",
    "RetryPolicy": "call",
    "RetryableError": "errors",
    "RunCancelledError": "errors",
    "RunStatus": "run",
    "RunnerContext": "context",
    "RunsFailedError": "errors",
    "SinkError": "errors",
    "StoreError": "errors",
    "TerminalError": "errors",
    "durable": "call",
    "action": "agent",
    "is_continuation_supported": "executor.continuation",
    "register_type": "journal.types",
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
