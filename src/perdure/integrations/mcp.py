"""MCP servers: their tools and prompts as resources (extra `mcp`).

A server's tools are called inside durable calls, on the host loop. The connection is made when the
job opens and made again when it breaks. A call that was under way when it broke may have been
carried out: it fails as RetryableError, and the retry policy of the tool decides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from perdure.call import RetryPolicy
from perdure.checks import checked_limit, checked_time, checked_timeout
from perdure.errors import (
    AgentDefinitionError,
    ConfigurationError,
    TerminalError,
    ToolArgumentsError,
)
from perdure.integrations.mcp_content import messages_of, part_of, text_of
from perdure.integrations.mcp_errors import line
from perdure.integrations.mcp_options import (
    command_of,
    is_said,
    text_of_option,
    texts,
    texts_by_name,
    tool_options_of,
)
from perdure.integrations.mcp_session import Endpoint, Link, load_extra
from perdure.llm.json_schema import json_validator
from perdure.llm.message import Attachment, ChatMessage, MessageRole
from perdure.llm.prompt import Prompt
from perdure.llm.sendable import sendable
from perdure.llm.tool import Tool
from perdure.printable import printable_logger
from perdure.resource import Resource, ResourceType

__all__ = ["MCPPrompt", "MCPServer", "MCPTool", "MCPToolError"]

MCPResult = str | list[str | Attachment]
logger = printable_logger("perdure.mcp")
DEFAULT_RETRY: Final = RetryPolicy(max_attempts=4, initial_interval=0.5, retry_on=())
_MOST_PAGES: Final = 100
_MOST_ERRORS: Final = 5


class MCPToolError(TerminalError):
    """A tool of an MCP server said that it failed; the text is its own, for the model."""

    __journal_name__ = "perdure:MCPToolError"


class MCPTool(Tool):
    """A tool of an MCP server.

    Attributes:
        server_name: What the server calls it; `name` is what models call it.
    """

    __journal_name__ = "perdure:MCPTool"

    def __init__(self, server: MCPServer, server_name: str, *, name: str, **options: Any) -> None:
        async def call(**arguments: Any) -> MCPResult:
            return await server.call_tool(server_name, arguments)

        # The journal names a call by its function: each tool has its own.
        call.__name__, call.__qualname__ = name, f"MCPTool.{name}"
        super().__init__(call, name=name, **options)
        self.server_name = server_name

    def checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        _check(self.parameters, arguments)
        return arguments

    def journaled_types(self) -> Iterable[Any]:
        return (MCPResult,)


class MCPPrompt(Prompt):
    """A prompt of an MCP server.

    One without arguments is filled by the server when the job opens, and used like any other. One
    with arguments is filled by the server too, which is a durable call of its own:
    `await ctx.durable_execute_async(prompt.fetch, topic="rain")`.

    Attributes:
        server_name: What the server calls it.
        title: What people may call it; "" where it has none.
        description: What it is for.
        arguments: Names of its arguments, with whether they are required.
    """

    __journal_name__ = "perdure:MCPPrompt"

    def __init__(
        self,
        server: MCPServer,
        server_name: str,
        *,
        name: str,
        description: str = "",
        arguments: Mapping[str, bool] | None = None,
        title: str = "",
    ) -> None:
        super().__init__(())
        self._server = server
        self._filled = False
        self.server_name = server_name
        self.name = name
        self.title = title
        self.description = description
        self.arguments = dict(arguments or {})

    async def fetch(self, **arguments: Any) -> list[ChatMessage]:
        """Return the messages, filled by the server; for durable calls.

        Args:
            **arguments: The prompt's arguments; anything is made a str.

        Raises:
            RetryableError: The connection broke.
            TerminalError: The server refuses the arguments.
        """
        return await self._server.get_prompt(self.server_name, arguments)

    def fill(self, template: Sequence[ChatMessage]) -> None:
        """Take the messages of a prompt that needs no arguments, or that keeps places for them."""
        self.template = tuple(template)
        self._filled = True

    def format_string(self, **values: Any) -> str:
        self._usable()
        return super().format_string(**values)

    def format_messages(
        self, role: MessageRole = MessageRole.SYSTEM, **values: Any
    ) -> list[ChatMessage]:
        self._usable()
        return super().format_messages(role, **values)

    def _usable(self) -> None:
        if not self._filled:
            takes = f"takes {line(', '.join(self.arguments))}" if self.arguments else "was refused"
            raise ConfigurationError(
                f"the prompt {self.name!r} of an MCP server {takes}: fetch it in a durable call"
                " (prompt.fetch), or name it in prompt_templates="
            )


class MCPServer(Resource):
    """An MCP server: `MCPServer("uvx some-server")` or `MCPServer(url="https://.../mcp")`.

    Lives on the host loop: connects when the job opens, ends its session and its process when the
    job closes. Offers its tools and prompts as resources of their own names.

    Args:
        command: The program and its arguments in one text, or the program alone with `args`;
            or a URL.
        args: Arguments of the program.
        env: Environment variables of the program, over the few that it inherits.
        cwd: Its working folder.
        url: Where a server listens for streamable HTTP.
        endpoint: The same.
        headers: Sent with each request, such as an Authorization.
        server: A server object of the package `mcp`, in this process; for tests.
        tool_filter: Which tools are taken: the server's names for them, or a function of a name.
        prefix: Put before the names of its tools and prompts.
        timeout: Seconds for one attempt of a call of a tool.
        retry: When a failed attempt is followed by another; by default four attempts while the
            connection breaks or the server is overloaded.
        limit: Name of a configured limit that calls of its tools count under.
        requires_approval: Whether a person must agree before a tool is called.
        tool_options: timeout, retry, limit, requires_approval, on_error of single tools, by the
            server's names for them.
        prompt_templates: Prompts that only insert their arguments: they are read once with
            `{argument}` in these places, and filled like any other prompt.
        connect_timeout: Seconds to start the server, or to reach it.
        read_timeout: Seconds between two pieces of an answer over HTTP.
        auth: How requests over HTTP are signed: an `Auth` of httpx or httpx2.

    Raises:
        ConfigurationError: It is not one of command, url and server, or an option is of a wrong
            kind.
    """

    __journal_name__ = "perdure:MCPServer"

    RESOURCE_TYPE: ClassVar = ResourceType.MCP_SERVER

    def __init__(
        self,
        command: str | None = None,
        *,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        url: str | None = None,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        server: Any = None,
        tool_filter: Collection[str] | Callable[[str], bool] | None = None,
        prefix: str = "",
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        limit: str | None = None,
        requires_approval: bool = False,
        tool_options: Mapping[str, Mapping[str, Any]] | None = None,
        prompt_templates: Collection[str] = (),
        connect_timeout: float = 10.0,
        read_timeout: float = 300.0,
        auth: Any = None,
    ) -> None:
        url = url or endpoint
        command = text_of_option("command", command)
        if command is not None and re.match(r"https?://", command):
            command, url = None, command
        if sum(each is not None for each in (command, url, server)) != 1:
            raise ConfigurationError("an MCPServer has one of command, url= and server=")
        self._endpoint = Endpoint(
            command=command_of(command, args), env=texts_by_name("env", env),
            cwd=text_of_option("cwd", cwd, os.PathLike), url=text_of_option("url", url),
            headers=texts_by_name("headers", headers), server=server, auth=auth,
            read_timeout=checked_time(read_timeout, "read_timeout="),
        )  # fmt: skip
        self.name = str(self._endpoint)  # in messages, where it is not declared under another
        self._filter = tool_filter if callable(tool_filter) else texts("tool_filter", tool_filter)
        self._prefix = text_of_option("prefix", prefix) or ""
        self._defaults = {
            "timeout": checked_timeout(timeout),
            "retry": DEFAULT_RETRY if retry is None else retry,
            "limit": None if limit is None else checked_limit(limit),
            "requires_approval": is_said("requires_approval", requires_approval),
        }
        self._tool_options = tool_options_of(tool_options)
        self._templates = frozenset(texts("prompt_templates", prompt_templates) or ())
        self._connect_timeout = checked_time(connect_timeout, "connect_timeout=")
        self._link: Link | None = None
        self._tools: dict[str, MCPTool] = {}
        self._prompts: dict[str, MCPPrompt] = {}

    async def open(self) -> None:
        """Connect, and learn which tools and prompts there are.

        Raises:
            ConfigurationError: The server cannot be started or reached within `connect_timeout`,
                or `tool_options` and `prompt_templates` name what it does not have.
        """
        await load_extra()
        link = Link(self._endpoint, timeout=self._connect_timeout, on_connect=self._learn)
        await link.open()
        self._link = link
        try:
            self._check_names()
        except ConfigurationError:
            await self.close()
            raise

    async def close(self) -> None:
        """End the session; a process that was started is gone when this returns."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def provided(self) -> Iterable[Resource]:
        return [*self._tools.values(), *self._prompts.values()]

    def journaled_types(self) -> Iterable[Any]:
        return (MCPResult, list[ChatMessage])

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> MCPResult:
        """Call a tool by the server's name for it; for durable calls.

        Returns:
            The texts of its answer in one; a list with its images and files where there are any.

        Raises:
            MCPToolError: The tool says that it failed.
            RetryableError: The connection broke; the tool may have been called.
            TerminalError: The server refuses the call.
        """
        found = await self.call_tool_parts(name, arguments)
        text = text_of(found)
        files = [each for each in found if isinstance(each, Attachment)]
        return [*([text] if text else []), *files] if files else text

    async def call_tool_parts(
        self, name: str, arguments: Mapping[str, Any]
    ) -> list[str | Attachment]:
        """Call a tool as `call_tool` does, and return the parts of its answer one by one."""
        what = f"tool {name!r} of the MCP server {self.name}"
        sent = sendable(dict(arguments))
        answer = await self._linked().call(what, lambda it: it.call_tool(name, sent))
        found = [part_of(each, what) for each in answer.content]
        if answer.is_error:
            raise MCPToolError(text_of(found) or f"{what} failed and does not say why")
        if found or answer.structured_content is None:
            return found
        return [json.dumps(answer.structured_content, ensure_ascii=False)]

    async def get_prompt(self, name: str, arguments: Mapping[str, Any]) -> list[ChatMessage]:
        """Return a prompt by the server's name for it, filled; for durable calls.

        Raises:
            RetryableError: The connection broke.
            TerminalError: The server refuses the arguments.
        """
        what = f"prompt {name!r} of the MCP server {self.name}"
        values = {key: sendable(str(value)) for key, value in arguments.items()}
        answer = await self._linked().call(what, lambda it: it.get_prompt(name, values))
        return messages_of(answer, what)

    def _linked(self) -> Link:
        if self._link is None:
            raise ConfigurationError(
                f"the MCP server {self.name} is not open: declare it on the agent or the engine"
            )
        return self._link

    async def _learn(self, client: Any) -> None:
        """Read what a new session offers; what is known already stays the same object."""
        capabilities = client.server_capabilities
        tools: dict[str, MCPTool] = {}
        prompts: dict[str, MCPPrompt] = {}
        if capabilities.tools is not None:
            for each in await _listed(client.list_tools, "tools"):
                if self._takes(each.name):
                    try:
                        made = self._tool(each)
                    except AgentDefinitionError as error:  # models could not name it
                        logger.warning("MCP server %s: it is left out: %s", self._endpoint, error)
                        continue
                    if made.name in tools:
                        raise ConfigurationError(
                            f"MCP server {self._endpoint}: its tools {each.name!r} and"
                            f" {tools[made.name].server_name!r} are both {made.name!r} for models:"
                            " take one of them (tool_filter=)"
                        )
                    tools[made.name] = made
        if capabilities.prompts is not None:
            for each in await _listed(client.list_prompts, "prompts"):
                prompt = self._prompt(each)
                await self._fill(client, prompt)
                prompts[prompt.name] = prompt
        self._tools, self._prompts = tools, prompts

    def _takes(self, name: str) -> bool:
        if self._filter is None:
            return True
        return self._filter(name) if callable(self._filter) else name in self._filter

    def _tool(self, listed: Any) -> MCPTool:
        name = self._named(listed.name)
        known = self._tools.get(name)
        if known is not None and known.server_name == listed.name:
            known.description = listed.description or ""
            known.parameters = dict(listed.input_schema)
            return known
        return MCPTool(
            self,
            listed.name,
            name=name,
            description=listed.description or "",
            parameters=listed.input_schema,
            **{**self._defaults, **self._tool_options.get(listed.name, {})},
        )

    def _prompt(self, listed: Any) -> MCPPrompt:
        name = self._named(listed.name)
        arguments = {each.name: bool(each.required) for each in listed.arguments or ()}
        known = self._prompts.get(name)
        if known is not None and known.server_name == listed.name:
            known.arguments = arguments
            return known
        return MCPPrompt(
            self, listed.name, name=name, description=listed.description or "",
            arguments=arguments, title=listed.title or "",
        )  # fmt: skip

    def _named(self, name: str) -> str:
        """Return a server's name as models take it."""
        return re.sub(r"[^A-Za-z0-9_-]", "_", self._prefix + name)[:64]

    async def _fill(self, client: Any, prompt: MCPPrompt) -> None:
        if prompt.server_name in self._templates:
            places = {name: f"{{{name}}}" for name in prompt.arguments}
        elif any(prompt.arguments.values()):
            return
        else:
            places = {}
        from mcp.shared.exceptions import MCPError

        what = f"prompt {prompt.server_name!r}"
        try:
            prompt.fill(messages_of(await client.get_prompt(prompt.server_name, places), what))
        except (MCPError, TerminalError) as error:
            if prompt.server_name in self._templates:
                raise ConfigurationError(
                    f"MCP server {self._endpoint}: its prompt {prompt.server_name!r} takes no"
                    f" places for arguments: {line(str(error))}; leave it out of prompt_templates"
                ) from None
            logger.warning("MCP server %s: prompt %s: %s", self._endpoint, prompt.name, error)

    def _check_names(self) -> None:
        tools = {each.server_name for each in self._tools.values()}
        prompts = {each.server_name for each in self._prompts.values()}
        taken = set() if callable(self._filter) or self._filter is None else set(self._filter)
        for what, named, known in (
            ("tool_options", set(self._tool_options), tools),
            ("tool_filter", taken, tools),
            ("prompt_templates", set(self._templates), prompts),
        ):
            if named - known:
                raise ConfigurationError(
                    f"MCP server {self._endpoint}: {what} names"
                    f" {', '.join(sorted(named - known))}; it has:"
                    f" {line(', '.join(sorted(known))) or 'none'}"
                )


async def _listed(request: Callable[..., Any], attribute: str) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await request(cursor=cursor)
        found += getattr(page, attribute)
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


def _check(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that do not fit a server's schema; one that is no schema refuses nothing.

    Raises:
        ToolArgumentsError: They do not fit.
    """
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        validator = json_validator(schema)
        validator.check_schema(schema)
        errors = sorted(validator.iter_errors(arguments), key=lambda error: error.json_path)
    except (SchemaError, Unresolvable, re.error, RecursionError):
        return
    if errors:
        said = [f"{error.json_path[2:] or 'arguments'}: {error.message}" for error in errors]
        raise ToolArgumentsError("; ".join(said[:_MOST_ERRORS]))
