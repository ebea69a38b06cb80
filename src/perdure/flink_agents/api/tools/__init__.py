"""Tools: what a chat model may ask to have called."""

from __future__ import annotations

from perdure.flink_agents.api.tools.tool_execution_metadata_provider import (
    ToolExecutionMetadataProvider,
)
from perdure.flink_agents.api.tools.tool_parameter_injection import (
    InjectedArg,
    ToolParameterSource,
)
from perdure.flink_agents.api.tools.tool_response import ToolResponse

__all__ = [
    "InjectedArg",
    "ToolExecutionMetadataProvider",
    "ToolParameterSource",
    "ToolResponse",
]
