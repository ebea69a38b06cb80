"""ToolResponse: what came of a tool call, where a tool says so itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ToolResponse"]


@dataclass(frozen=True)
class ToolResponse:
    """What came of a tool call: a result or an error.

    Attributes:
        result: What the tool gave.
        error: Why it failed; None where it did not.
        execution_time_ms: How long it took.
        tool_name: The tool.
    """

    __journal_name__ = "perdure:flink_agents.ToolResponse"

    result: Any = None
    error: str | None = None
    execution_time_ms: int = 0
    tool_name: str | None = None

    @classmethod
    def success(
        cls, result: Any, execution_time_ms: int = 0, tool_name: str | None = None
    ) -> ToolResponse:
        """Return one of a call that went well."""
        return cls(result, None, execution_time_ms, tool_name)

    @classmethod
    def failure(
        cls, error: str | BaseException, execution_time_ms: int = 0, tool_name: str | None = None
    ) -> ToolResponse:
        """Return one of a call that failed."""
        return cls(None, str(error), execution_time_ms, tool_name)

    def is_success(self) -> bool:
        """Say whether it went well."""
        return self.error is None

    def is_error(self) -> bool:
        """Say whether it failed."""
        return self.error is not None

    def __str__(self) -> str:
        return str(self.result) if self.error is None else self.error
