"""MCP servers over HTTP: their tools and prompts, over perdure's own connection."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, PrivateAttr

from perdure.flink_agents.api.chat_message import ChatMessage, MessageRole
from perdure.flink_agents.api.prompts.prompt import Prompt
from perdure.flink_agents.api.resource import Resource, ResourceType
from perdure.flink_agents.api.tools.tool import Tool, ToolMetadata, ToolType
from perdure.flink_agents.api.tools.tool_execution_metadata_provider import (
    ToolExecutionMetadataProvider,
)
from perdure.flink_agents.api.tools.tool_response import ToolResponse
from perdure.flink_agents.api.trace.tool_execution_metadata_keys import (
    ToolExecutionMetadataKeys,
)
from perdure.flink_agents.border.own_loop import OwnLoop
from perdure.flink_agents.border.straight_calls import StraightCalls
from perdure.integrations.mcp import MCPServer as CoreServer
from perdure.integrations.mcp import MCPTool as CoreTool
from perdure.integrations.mcp import MCPToolError
from perdure.llm.message import Attachment

__all__ = ["MCPPrompt", "MCPServer", "MCPTool"]

T = TypeVar("T")


class MCPServer(Resource):
    """An MCP server.

    Its tools and prompts are resources of the job, by the server's names for them.

    Owns: the connection, and the loop that it lives on; from the first use until `close`.

    Attributes:
        endpoint: Its address.
        headers: Headers of every request.
        timeout: Seconds to reach it, and for a request.
        sse_read_timeout: Seconds between two pieces of a streamed answer.
        auth: How requests are signed: an `Auth` of httpx.
    """

    __journal_name__ = "perdure:flink_agents.MCPServer"

    endpoint: str
    headers: dict[str, Any] | None = None
    timeout: int = 30
    sse_read_timeout: int = 300
    auth: Any = Field(default=None, exclude=True)
    _core: CoreServer | None = PrivateAttr(default=None)
    _loop: OwnLoop = PrivateAttr(default_factory=OwnLoop)
    _connecting: asyncio.Lock = PrivateAttr(default_factory=asyncio.Lock)

    if TYPE_CHECKING:  # pydantic makes one

        def __init__(self, **data: Any) -> None: ...

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.MCP_SERVER."""
        return ResourceType.MCP_SERVER

    async def open(self) -> None:  # type: ignore[override]  # the job's loop goes on meanwhile
        """Connect.

        Raises:
            ValueError: The endpoint is no address.
            ConfigurationError: It cannot be reached.
        """
        await self._loop.wait(self._linked())

    def close(self) -> None:
        """End the session."""
        core, self._core = self._core, None
        if core is not None:
            self._loop.run(core.close())
        self._loop.close()
        self._connecting = asyncio.Lock()  # the next loop's

    async def _linked(self) -> CoreServer:
        """Return the core's server, connected; on the loop that it lives on."""
        async with self._connecting:
            if self._core is None:
                self._core = await self._connected()
            return self._core

    async def _connected(self) -> CoreServer:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"Invalid HTTP endpoint: {self.endpoint}")
        core = CoreServer(
            url=self.endpoint,
            headers={name: str(value) for name, value in (self.headers or {}).items()},
            auth=self.auth,
            connect_timeout=float(self.timeout),
            read_timeout=float(self.sse_read_timeout),
        )
        await core.open()
        return core

    async def _asked(self, ask: Callable[[CoreServer], Awaitable[T]]) -> T:
        core = await self._linked()
        async with asyncio.timeout(self.timeout):
            return await ask(core)

    async def call_tool_async(self, tool_name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a tool.

        Args:
            tool_name: The server's name for it.
            *args: Its arguments as one mapping; or
            **kwargs: by their names.

        Returns:
            The parts of its answer: texts, and mappings of what else there is.

        Raises:
            RuntimeError: The tool says that it failed.
        """
        arguments = kwargs or (args[0] if args else {})

        async def ask(core: CoreServer) -> list[Any]:
            try:
                return [_part(each) for each in await core.call_tool_parts(tool_name, arguments)]
            except MCPToolError as error:
                raise RuntimeError(f"MCP tool '{tool_name}' returned an error: {error}") from error

        return await self._loop.wait(self._asked(ask))

    def list_tools(self) -> list[MCPTool]:
        """Return its tools."""
        provided = self._loop.run(self._linked()).provided()
        return [MCPTool.of(self, each) for each in provided if isinstance(each, CoreTool)]

    def get_tool(self, name: str) -> MCPTool:
        """Return one of its tools.

        Raises:
            ValueError: There is none.
        """
        for each in self.list_tools():
            if each.name == name:
                return each
        raise ValueError(f"Tool '{name}' not found on MCP server at {self.endpoint}")

    def get_tool_metadata(self, name: str) -> ToolMetadata:
        """Return what models are told of one of its tools."""
        found = self.get_tool(name).metadata
        assert found is not None
        return found

    def list_prompts(self) -> list[MCPPrompt]:
        """Return its prompts."""
        provided = self._loop.run(self._linked()).provided()
        return [MCPPrompt.of(self, each) for each in provided if not isinstance(each, CoreTool)]

    def get_prompt(self, name: str, arguments: dict[str, str] | None = None) -> list[ChatMessage]:
        """Return a prompt, filled by the server.

        Raises:
            TypeError: It has more than texts.
        """
        found = self._loop.run(self._asked(lambda core: core.get_prompt(name, arguments or {})))
        messages = []
        for each in found:
            if each.attachments:
                kinds = ", ".join(part.media_type for part in each.attachments)
                raise TypeError(f"Unsupported content type: {kinds}")
            role = MessageRole(each.role.value)
            messages.append(ChatMessage(role=role, content=each.content))
        return messages

    def offered(self) -> list[tuple[ResourceType, str, Resource]]:
        """Return its tools and prompts as resources, each with its name; it is open."""
        assert self._core is not None
        found: list[tuple[ResourceType, str, Resource]] = []
        for each in self._core.provided():
            if isinstance(each, CoreTool):
                found.append((ResourceType.TOOL, each.server_name, MCPTool.of(self, each)))
            else:
                prompt = MCPPrompt.of(self, each)
                found.append((ResourceType.PROMPT, prompt.name, prompt))
        return found


def _part(content: Any) -> Any:
    if not isinstance(content, Attachment):
        return content
    kind = content.media_type.partition("/")[0]
    return {
        "type": kind if kind in ("image", "audio") else "resource",
        "mimeType": content.media_type,
        "data": base64.b64encode(content.data or b"").decode(),
    }


class MCPTool(Tool, StraightCalls, ToolExecutionMetadataProvider):
    """A tool of an MCP server.

    Attributes:
        mcp_server: The server.
        mcp_server_name: Its name.
    """

    __journal_name__ = "perdure:flink_agents.MCPTool"

    STRAIGHT: ClassVar = ("call",)

    mcp_server: MCPServer
    mcp_server_name: str | None = None

    if TYPE_CHECKING:  # pydantic makes one

        def __init__(self, **data: Any) -> None: ...

    @classmethod
    def of(cls, server: MCPServer, core: CoreTool) -> MCPTool:
        """Return a tool of the core as one of theirs."""
        metadata = {
            "name": core.server_name,
            "description": core.description,
            "args_schema": dict(core.parameters),
        }
        return cls(metadata=ToolMetadata.model_validate(metadata), mcp_server=server)

    @classmethod
    def tool_type(cls) -> ToolType:
        """Return ToolType.MCP."""
        return ToolType.MCP

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.mcp_server._loop.run(self._called(*args, **kwargs))

    @property
    def durable(self) -> Callable[..., Any]:
        """What a durable call of it calls: it ends when the call is cancelled."""

        async def call(**arguments: Any) -> Any:
            return await self._called(**arguments)

        return call

    async def _called(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await self.mcp_server.call_tool_async(self.name, *args, **kwargs)
        except Exception as error:
            said = str(error) or type(error).__name__
            return ToolResponse.failure(
                f"Error calling MCP tool '{self.name}': {said}", tool_name=self.name
            )

    def get_tool_execution_metadata(self, parameters: Any) -> dict[str, Any]:
        """Return the server's name, where it is known."""
        if self.mcp_server_name is None:
            return {}
        return {ToolExecutionMetadataKeys.MCP_SERVER: self.mcp_server_name}


class PromptArgument(BaseModel):
    """An argument of a prompt of an MCP server.

    Attributes:
        name: Its name.
        required: Whether the prompt cannot do without it.
    """

    __journal_name__ = "perdure:flink_agents.PromptArgument"

    name: str
    required: bool = False


class MCPPrompt(Prompt, StraightCalls):
    """A prompt of an MCP server, filled by it.

    Attributes:
        name: Its name.
        title: Its title.
        description: What it is for.
        prompt_arguments: What it takes.
        mcp_server: The server.
    """

    __journal_name__ = "perdure:flink_agents.MCPPrompt"

    STRAIGHT: ClassVar = ("format_string", "format_messages")

    name: str
    title: str | None = None
    description: str | None = None
    prompt_arguments: list[Any] = Field(default_factory=list)
    mcp_server: MCPServer

    if TYPE_CHECKING:  # pydantic makes one

        def __init__(self, **data: Any) -> None: ...

    @classmethod
    def of(cls, server: MCPServer, core: Any) -> MCPPrompt:
        """Return a prompt of the core as one of theirs."""
        arguments = [
            PromptArgument(name=name, required=required)
            for name, required in core.arguments.items()
        ]
        return cls(
            name=core.server_name,
            title=core.title or None,
            description=core.description or None,
            prompt_arguments=arguments,
            mcp_server=server,
        )

    def format_string(self, **arguments: Any) -> str:
        return "\n".join(each.content for each in self.format_messages(**arguments))

    def format_messages(
        self, role: MessageRole = MessageRole.SYSTEM, **arguments: Any
    ) -> list[ChatMessage]:
        """Return its messages.

        Args:
            role: Not used: the server says who says a message.
            **arguments: Its arguments; others are passed over.

        Raises:
            RuntimeError: One that is required is missing.
        """
        given = {}
        for each in self.prompt_arguments:
            if each.name in arguments:
                given[each.name] = arguments[each.name]
            elif each.required:
                raise RuntimeError(f"Missing required argument {each.name}")
        return self.mcp_server.get_prompt(self.name, given)
