"""Traces: their names are here, and nothing is recorded; `perdure trace` shows what ran."""

from __future__ import annotations

from perdure.flink_agents.api.trace.execution_lifecycle_events import ExecutionLifecycleEvents
from perdure.flink_agents.api.trace.execution_reporter import (
    ExecutionEntityTypes,
    ExecutionProblemCategories,
    ExecutionReporter,
    ExecutionReporters,
)
from perdure.flink_agents.api.trace.llm_execution_metadata_keys import LLMExecutionMetadataKeys
from perdure.flink_agents.api.trace.tool_execution_metadata_keys import ToolExecutionMetadataKeys

__all__ = [
    "ExecutionEntityTypes",
    "ExecutionLifecycleEvents",
    "ExecutionProblemCategories",
    "ExecutionReporter",
    "ExecutionReporters",
    "LLMExecutionMetadataKeys",
    "ToolExecutionMetadataKeys",
]
