"""MCP servers over HTTP as a source of tools and prompts, against a real one."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import mcp as mcp_library  # noqa: F401 - at the top: importing it reads files, which blocks a loop
import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.decorators import (
    action,
    chat_model_connection,
    chat_model_setup,
    mcp_server,
)
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.events.tool_event import ToolResponseEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import ResourceDescriptor, ResourceName, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools.tool import ToolType
from flink_agents.integrations.mcp.mcp import MCPServer
from tests.flink_agents.models import HERE
from tests.integration.test_mcp import serving

from perdure.errors import AgentDefinitionError, ConfigurationError
from perdure.testing.mcp import scripted_mcp_server

CALLS: list[tuple[str, dict[str, Any]]] = []
HEADERS: list[dict[str, str]] = []


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def fail(a: int, b: int) -> None:
    """Fail."""
    raise ValueError("it is broken")


def look() -> list[Any]:
    """Return a picture."""
    from mcp_types import ImageContent, TextContent

    picture = ImageContent(
        type="image", data=base64.b64encode(b"png").decode(), mimeType="image/png"
    )
    return [TextContent(type="text", text="here"), picture]


def manner(manner: str, mood: str = "good") -> str:
    """How to answer."""
    return f"Be {manner}, in a {mood} mood."


def noted(headers: dict[str, str]) -> int:
    HEADERS.append(headers)
    return 200


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The address of a server."""
    CALLS.clear()
    HEADERS.clear()
    server = scripted_mcp_server([add, fail, look], [manner], calls=CALLS)
    with serving(server, status=noted) as port:
        yield f"http://127.0.0.1:{port}/mcp"


def asking(endpoint: str, tool: str = "add") -> Agent:
    class Asking(Agent):
        @mcp_server
        @staticmethod
        def server() -> ResourceDescriptor:
            return ResourceDescriptor(
                clazz=ResourceName.MCP_SERVER, endpoint=endpoint, headers={"x-tenant": 7}
            )

        @chat_model_connection
        @staticmethod
        def connection() -> ResourceDescriptor:
            return ResourceDescriptor(clazz=f"{HERE}.EchoConnection", prefix="said", tool=tool)

        @chat_model_setup
        @staticmethod
        def model() -> ResourceDescriptor:
            return ResourceDescriptor(
                clazz=f"{HERE}.EchoSetup", connection="connection", prompt="manner", tools=[tool]
            )

        @action(InputEvent.EVENT_TYPE)
        @staticmethod
        def ask(event: Event, ctx: RunnerContext) -> None:
            said = ChatMessage.user(InputEvent.from_event(event).input)
            request = ChatRequestEvent("model", [said], prompt_args={"manner": "brief"})
            ctx.send_event(request)

        @action(ToolResponseEvent.EVENT_TYPE)
        @staticmethod
        def watch(event: Event, ctx: RunnerContext) -> None:
            told = ToolResponseEvent.from_event(event)
            ctx.send_event(OutputEvent(output=[told.responses, told.success, told.error]))

        @action(ChatResponseEvent.EVENT_TYPE)
        @staticmethod
        def answer(event: Event, ctx: RunnerContext) -> None:
            response = ChatResponseEvent.from_event(event).response
            ctx.send_event(OutputEvent(output=response.content))

    return Asking()


def run(agent: Any, value: Any, store: str = "memory://") -> list[Any]:
    env = AgentsExecutionEnvironment.get_execution_environment(store=store, job="mcp")
    outputs = env.from_list([{"key": "k", "value": value}]).apply(agent).to_list()
    env.execute()
    return [each["k"] for each in outputs]


def test_a_model_calls_a_tool_of_a_server_by_its_name(endpoint: str, store: str) -> None:
    agent = asking(endpoint)
    found = run(agent, "sum 1 2 30 40", store)
    answers = {"call-0": ["3"], "call-1": ["70"]}
    assert found == [[answers, dict.fromkeys(answers, True), {}], "said: ['3'] ['70']"]
    assert sorted(each["a"] for _, each in CALLS) == [1, 30]
    assert {each.get("x-tenant") for each in HEADERS} == {"7"}
    if store != "memory://":
        assert run(agent, "sum 1 2 30 40", store) == found
        assert len(CALLS) == 2


def test_the_failure_of_a_tool_is_told_to_the_model(endpoint: str) -> None:
    (responses, success, error), said = run(asking(endpoint, "fail"), "sum 1 2")
    assert success == {"call-0": False}
    assert responses == error
    assert error["call-0"].startswith("Error calling MCP tool 'fail': MCP tool 'fail' returned an")
    assert "it is broken" in said


def test_prompts_and_tools_are_resources(endpoint: str) -> None:
    agent = asking(endpoint)

    def use(event: Event, ctx: RunnerContext) -> None:
        prompt = ctx.get_resource("manner", ResourceType.PROMPT)
        tool = ctx.get_resource("add", ResourceType.TOOL)
        ctx.send_event(OutputEvent(output=[prompt.format_string(manner="kind", more="x")]))
        messages = prompt.format_messages(manner="kind", mood="bad")
        ctx.send_event(OutputEvent(output=[[each.role.value, each.content] for each in messages]))
        ctx.send_event(OutputEvent(output=[tool.call(a=1, b=2), tool.tool_type() is ToolType.MCP]))
        ctx.send_event(OutputEvent(output=tool.get_tool_execution_metadata({})))
        with pytest.raises(RuntimeError, match="Missing required argument manner"):
            prompt.format_string()

    agent.add_action("use", InputEvent.EVENT_TYPE, use)
    found = run(agent, "hi")
    assert "said: hi" in found
    found.remove("said: hi")
    assert found == [
        ["Be kind, in a good mood."],
        [["user", "Be kind, in a bad mood."]],
        [["3"], True],
        {"mcpServer": "server"},
    ]


def test_the_server_by_itself(endpoint: str) -> None:
    server = MCPServer(endpoint=endpoint)
    try:
        assert [each.name for each in server.list_tools()] == ["add", "fail", "look"]
        schema = server.get_tool_metadata("add").get_parameters_dict()
        assert schema["required"] == ["a"]
        assert schema["properties"]["b"]["default"] == 1
        with pytest.raises(ValueError, match="Tool 'sub' not found on MCP server at"):
            server.get_tool("sub")
        (prompt,) = server.list_prompts()
        assert [(each.name, each.required) for each in prompt.prompt_arguments] == [
            ("manner", True), ("mood", False),
        ]  # fmt: skip
        assert server.get_prompt("manner", {"manner": "brief"}) == [
            ChatMessage(role=MessageRole.USER, content="Be brief, in a good mood.")
        ]
        picture = base64.b64encode(b"png").decode()
        assert server.get_tool("look").call() == [
            "here", {"type": "image", "mimeType": "image/png", "data": picture},
        ]  # fmt: skip
        assert server.get_tool("add").call({"a": 4}) == ["5"]
    finally:
        server.close()


def test_requests_are_signed(endpoint: str) -> None:
    server = MCPServer(endpoint=endpoint, auth=httpx.BasicAuth("ada", "secret"))
    try:
        tool = server.get_tool("add")
        assert tool.call(a=1) == ["2"]
        assert "secret" not in tool.model_dump_json()
    finally:
        server.close()
    word = base64.b64encode(b"ada:secret").decode()
    assert {each.get("authorization") for each in HEADERS} == {f"Basic {word}"}


def test_what_cannot_be_opened_says_what_to_do(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="Invalid HTTP endpoint: ftp://x"):
        run(asking("ftp://x"), "hi")
    with pytest.raises(ConfigurationError, match="cannot be started or reached"):
        run(asking("http://127.0.0.1:9/mcp"), "hi")
    agent = asking(endpoint)
    agent.add_resource("add", ResourceType.TOOL, agent_tool())
    with pytest.raises(AgentDefinitionError, match="offers the tool 'add', which is declared"):
        run(agent, "hi")


def agent_tool() -> Any:
    from flink_agents.api.tools.tool import Tool

    return Tool.from_callable(add)
