"""MCP servers: they can be declared; opening one is refused here yet."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from perdure.flink_agents.api.prompts.prompt import Prompt
from perdure.flink_agents.api.resource import Resource, ResourceType
from perdure.flink_agents.api.tools.tool import Tool, ToolType
from perdure.flink_agents.border.refused import Refused

__all__ = ["MCPPrompt", "MCPServer", "MCPTool"]


class MCPServer(Refused, Resource):
    """An MCP server.

    Attributes:
        endpoint: Its address.
        headers: Headers of every request.
        timeout: Seconds that a request may take.
        sse_read_timeout: Seconds between two events of a stream.
        auth: How a request is signed.
    """

    __journal_name__ = "perdure:flink_agents.MCPServer"

    INSTEAD: ClassVar = "perdure.MCPServer in an agent of perdure's own speaks MCP"

    endpoint: str
    headers: dict[str, Any] | None = None
    timeout: int = 30
    sse_read_timeout: int = 300
    auth: Any = None

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.MCP_SERVER."""
        return ResourceType.MCP_SERVER


class MCPTool(Tool):
    """A tool of an MCP server.

    Attributes:
        mcp_server: The server.
        mcp_server_name: Its name.
    """

    __journal_name__ = "perdure:flink_agents.MCPTool"

    mcp_server: MCPServer
    mcp_server_name: str | None = None

    @classmethod
    def tool_type(cls) -> ToolType:
        """Return ToolType.MCP."""
        return ToolType.MCP

    def call(self, *args: Any, **kwargs: Any) -> Any:
        self.mcp_server.open()


class MCPPrompt(Prompt):
    """A prompt of an MCP server.

    Attributes:
        name: Its name.
        title: Its title.
        description: What it is for.
        prompt_arguments: What it takes.
        mcp_server: The server.
    """

    __journal_name__ = "perdure:flink_agents.MCPPrompt"

    name: str
    title: str | None = None
    description: str | None = None
    prompt_arguments: list[Any] = Field(default_factory=list)
    mcp_server: MCPServer

    def format_string(self, **kwargs: Any) -> str:
        self.mcp_server.open()
        return ""

    def format_messages(self, role: Any = None, **kwargs: Any) -> Any:
        self.mcp_server.open()
