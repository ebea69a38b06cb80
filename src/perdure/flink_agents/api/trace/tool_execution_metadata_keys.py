"""What a trace says of a tool call."""

from __future__ import annotations

from typing import Final

__all__ = ["ToolExecutionMetadataKeys"]


class ToolExecutionMetadataKeys:
    """Keys of what a trace says of a tool call."""

    TOOL_REQUEST_EVENT_ID: Final = "toolRequestEventId"
    TOOL_CALL_ID: Final = "toolCallId"
    EXTERNAL_ID: Final = "externalId"
    TOOL_TYPE: Final = "toolType"
    MCP_SERVER: Final = "mcpServer"
    SKILL_NAME: Final = "skillName"
    SKILL_RESOURCE_PATH: Final = "skillResourcePath"
