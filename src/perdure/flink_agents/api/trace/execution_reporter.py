"""Reporters of a trace: accepted, and nothing is recorded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

__all__ = [
    "ExecutionEntityTypes",
    "ExecutionProblemCategories",
    "ExecutionReporter",
    "ExecutionReporters",
]


class ExecutionEntityTypes:
    """What a trace tells of."""

    ACTION: Final = "action"
    LLM: Final = "llm"
    PARSER: Final = "parser"
    TOOL: Final = "tool"


class ExecutionProblemCategories:
    """What may fail."""

    ACTION_EXECUTION_FAILED: Final = "action_execution_failed"
    MODEL_CALL_FAILED: Final = "model_call_failed"
    MODEL_OUTPUT_PARSE_ERROR: Final = "model_output_parse_error"
    TOOL_CALL_FAILED: Final = "tool_call_failed"


class ExecutionReporter(ABC):
    """Takes what a trace is told."""

    @abstractmethod
    def report_execution_started(
        self, entity_type: str, entity_name: str, entity_metadata: dict[str, Any] | None = None
    ) -> None:
        """Take that something has begun."""

    @abstractmethod
    def report_execution_succeeded(
        self, entity_type: str, entity_name: str, entity_metadata: dict[str, Any] | None = None
    ) -> None:
        """Take that it has ended well."""

    @abstractmethod
    def report_execution_failed(
        self,
        entity_type: str,
        entity_name: str,
        entity_metadata: dict[str, Any] | None,
        error: BaseException,
        problem_category: str | None = None,
    ) -> None:
        """Take that it has failed."""


class ExecutionReporters:
    """Tells the context of an action, where that is a reporter; here it is none."""

    @staticmethod
    def started(
        ctx: Any,
        entity_type: str,
        entity_name: str,
        entity_metadata: dict[str, Any] | None = None,
    ) -> None:
        """Tell that something has begun."""
        if isinstance(ctx, ExecutionReporter):
            ctx.report_execution_started(entity_type, entity_name, entity_metadata)

    @staticmethod
    def succeeded(
        ctx: Any,
        entity_type: str,
        entity_name: str,
        entity_metadata: dict[str, Any] | None = None,
    ) -> None:
        """Tell that it has ended well."""
        if isinstance(ctx, ExecutionReporter):
            ctx.report_execution_succeeded(entity_type, entity_name, entity_metadata)

    @staticmethod
    def failed(
        ctx: Any,
        entity_type: str,
        entity_name: str,
        entity_metadata: dict[str, Any] | None,
        error: BaseException,
        problem_category: str | None = None,
    ) -> None:
        """Tell that it has failed."""
        if isinstance(ctx, ExecutionReporter):
            ctx.report_execution_failed(
                entity_type, entity_name, entity_metadata, error, problem_category
            )
