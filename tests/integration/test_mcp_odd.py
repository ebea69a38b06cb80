"""MCP servers that are not quite to the letter: one bad part does not spoil the rest."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine, MCPServer, OutputEvent
from perdure.actions.chat import chat
from perdure.errors import ConfigurationError, TerminalError
from perdure.integrations.mcp import MCPPrompt
from perdure.llm.chat_model import ChatModel
from perdure.llm.message import Attachment, ChatMessage, ToolCall
from perdure.testing.scripted_chat import ScriptedChatModel

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
GOOD = {"name": "good", "description": "Works.", "inputSchema": SCHEMA}
BAD = [
    {"name": "no_schema"},
    {"name": "null_schema", "inputSchema": None},
    {"name": "of_a_list", "inputSchema": {"type": "array"}},
    {"name": None, "inputSchema": SCHEMA},
    {"name": "", "inputSchema": SCHEMA},
    {"name": "described", "description": 5, "inputSchema": SCHEMA},
    {"name": "annotated", "annotations": "x", "inputSchema": SCHEMA},
    "text",
]
TEXT = {"type": "text", "text": "fine"}
ANSWERS: dict[str, Any] = {
    "good": [TEXT],
    "video": [TEXT, {"type": "video", "data": "eA==", "mimeType": "video/mp4"}],
    "image": [{"type": "image", "data": "eA==", "mimeType": "image/png"}],
    "lines": [{"type": "image", "data": "eHh4\neA==\n", "mimeType": "image/png"}],
    "broken": [{"type": "image"}, {"type": "text"}],
    "no_base64": [{"type": "image", "data": "!!!", "mimeType": "image/png"}],
    "no_blob": [
        {"type": "resource", "resource": {"uri": "a://b", "blob": "eA=", "mimeType": "image/png"}}
    ],
    "none": None,
}
IN_LINES = {"code": 1, "message": "bad\n  \x1b[31mparams\u2028x"}
# What is written in the place of a reply, by the name of the tool.
TEXTS: dict[str, Callable[[Any], str]] = {
    "half": lambda it: _reply(it, result={"content": [{"type": "text", "text": "a \ud800 b"}]}),
    "null": lambda it: _reply(it, result=None),
    "list": lambda it: _reply(it, result=[]),
    "no_error": lambda it: _reply(it, error="x"),
    "cut": lambda it: _reply(it, result={"content": []})[:-2],
    "in_lines": lambda it: _reply(it, error=IN_LINES),
    "to_nobody": lambda it: _reply(None, error={"code": -32600, "message": "who asks?"}),
}


def _reply(to: Any, **more: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": to, **more})


def answer(method: str, params: Any) -> Any:
    """Return the result of a request, as an odd server gives it."""
    if method == "initialize":
        return {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}, "prompts": {}},
            "serverInfo": {"name": "odd", "version": "1"},
        }
    if method == "tools/list":
        tools = [{**GOOD, "name": name} for name in (*ANSWERS, *TEXTS, "to_another")]
        return {"tools": [tools[0], *BAD, *tools[1:]]}
    if method == "tools/call":
        return {"content": ANSWERS[params["name"]]}
    if method == "prompts/list":
        drawn = {"name": "drawn", "arguments": [{"name": "of\nwhat", "required": True}]}
        bad = [{"name": 7}, {"name": "ask", "arguments": "x"}]
        return {"prompts": [{"name": "greet"}, *bad, drawn]}
    if method == "prompts/get" and params["name"] == "drawn":
        return None
    if method == "prompts/get":
        return {"messages": [{"role": "user", "content": {"type": "video"}}]}
    return None


def answered(request: Any) -> str | None:
    if "id" not in request:
        return None
    tool = request.get("params", {}).get("name")
    if tool in TEXTS:
        return TEXTS[tool](request["id"])
    if tool == "to_another":
        return _reply("x", result={"content": []})
    result = answer(request["method"], request.get("params"))
    if result is None:
        return _reply(request["id"], error={"code": -32601, "message": "there is\n\tno such"})
    return _reply(request["id"], result=result)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_POST(self) -> None:
        found = answered(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        data = (found or "").encode()
        self.send_response(200 if data else 202)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.send_error(405)

    do_DELETE = do_GET


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> Iterator[MCPServer]:
    if request.param == "stdio":
        root = str(Path(__file__).parents[2])
        yield MCPServer(sys.executable, args=[__file__], env={"PYTHONPATH": root})
        return
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield MCPServer(url=f"http://127.0.0.1:{http.server_port}/mcp")
    http.shutdown()
    http.server_close()
    thread.join()


def used(server: MCPServer, use: Callable[[], Any]) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(PATIENCE):
            await server.open()
            try:
                return await use()
            finally:
                await server.close()

    return asyncio.run(main())


def test_a_bad_tool_is_left_out_and_the_others_work(
    server: MCPServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def use() -> Any:
        names = [each.name for each in server.provided()]
        return names, await server.call_tool("good", {"x": 1})

    with caplog.at_level(logging.WARNING, "perdure.mcp"):
        names, said = used(server, use)
    assert (names, said) == ([*ANSWERS, *TEXTS, "to_another", "greet", "drawn"], "fine")
    warnings = [each for each in caplog.messages if "is left out" in each]
    noise = [each for each in warnings if each.endswith("what is no message is left out: noise")]
    warnings = [each for each in warnings if each not in noise]
    assert bool(noise) is server.name.startswith(sys.executable)
    assert len(warnings) == len(BAD) + 2
    assert all(each.startswith(f"MCP server {server.name}: ") for each in warnings)
    assert all("\n" not in each for each in warnings)
    assert any("'no_schema' is left out: it breaks the protocol" in each for each in warnings)


def test_content_of_a_type_that_is_not_known_is_one_line(server: MCPServer) -> None:
    async def use() -> Any:
        return (
            await server.call_tool("video", {}),
            await server.call_tool("image", {}),
            await server.call_tool("lines", {}),
            await server.get_prompt("greet", {}),
        )

    video, image, lines, prompt = used(server, use)
    unknown = "[content of the type 'video', which is not known here]"
    assert video == f"fine\n{unknown}"
    assert image == [Attachment(media_type="image/png", data=b"x")]
    assert lines == [Attachment(media_type="image/png", data=b"xxxx")]
    assert prompt == [ChatMessage.user(unknown)]


@pytest.mark.parametrize("tool", ["broken", "none", "no_base64", "no_blob"])
def test_an_answer_that_breaks_the_protocol_is_one_line_that_names_the_server(
    server: MCPServer, tool: str
) -> None:
    async def use() -> str:
        with pytest.raises(TerminalError) as caught:
            await server.call_tool(tool, {})
        return str(caught.value)

    said = used(server, use)
    assert said.startswith(f"tool {tool!r} of the MCP server {server.name}: it breaks the protocol")
    assert "\n" not in said
    assert len(said) < 400


@pytest.mark.parametrize(
    ("tool", "wanted"),
    [
        ("null", "it breaks the protocol: result: "),
        ("list", "it breaks the protocol: result: "),
        ("no_error", "it breaks the protocol: error: "),
        ("cut", "it breaks the protocol: no JSON: "),
        ("in_lines", r"bad \x1b[31mparams x (code 1)"),
        ("to_nobody", "who asks?"),
    ],
)
def test_a_reply_that_cannot_be_read_ends_the_call_that_it_is_to(
    server: MCPServer, tool: str, wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def use() -> Any:
        with pytest.raises(TerminalError) as caught:
            await server.call_tool(tool, {})
        return str(caught.value), await server.call_tool("good", {})

    said, then = used(server, use)
    assert said.startswith(f"tool {tool!r} of the MCP server {server.name}: {wanted}")
    assert "\n" not in said
    assert then == "fine"
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_a_prompt_that_is_refused_when_its_server_is_opened_is_one_line(server: MCPServer) -> None:
    server._templates = frozenset(["drawn"])
    with pytest.raises(ConfigurationError) as caught:
        used(server, lambda: None)
    assert "takes no places for arguments: there is no such; leave it out" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_arguments_are_one_line(server: MCPServer) -> None:
    async def use() -> str:
        (drawn,) = (each for each in server.provided() if each.name == "drawn")
        assert isinstance(drawn, MCPPrompt)
        with pytest.raises(ConfigurationError) as caught:
            drawn.format_string()
        return str(caught.value)

    assert "takes of what: fetch it" in used(server, use)


def test_the_end_of_its_stderr_is_one_line() -> None:
    ends = r"import sys; sys.exit('bad\x1b[31m\r\nluck\x85x')"
    with pytest.raises(ConfigurationError) as caught:
        used(MCPServer(sys.executable, args=["-c", ends]), lambda: None)
    assert str(caught.value).endswith(r"; its stderr ends with: bad\x1b[31m | luck x")


def test_a_body_without_a_reply_to_its_request_ends_the_call(server: MCPServer) -> None:
    if server.name.startswith(sys.executable):
        pytest.skip("a reply may still come over stdio")

    async def use() -> None:
        with pytest.raises(TerminalError, match=r"the reply to \d+ is a reply to 'x'"):
            await server.call_tool("to_another", {})

    used(server, use)


def test_half_of_a_character_is_replaced_in_a_reply(server: MCPServer) -> None:
    async def use() -> Any:
        return await server.call_tool("half", {})

    assert used(server, use) == "a \ufffd b"


def test_a_server_that_a_chat_model_holds_is_named_and_not_the_model(server: MCPServer) -> None:
    """The model is told what became of each call, and the run goes on."""

    def script(messages: Any, tools: Any) -> Any:
        told = [each.content for each in messages if each.role == "tool"]
        names = ("good", "broken", "video")
        return told or [ToolCall(id=name, name=name, arguments={}) for name in names]

    model = ChatModel("my-model", connection=ScriptedChatModel(script), tools=[server])

    async def go(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=(await chat(ctx, "m", "go")).response.content))

    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_resource("m", model.resource_type(), model)
    (output,) = LocalEngine("memory://").run(agent, [1], key=str)
    good, broken, video = json.loads(output.value)
    assert (good, video[:5]) == ("fine", "fine\n")
    assert f"the MCP server {server.name}" in broken
    assert "'m'" not in broken


if __name__ == "__main__":
    for line in sys.stdin:
        reply = answered(json.loads(line))
        if reply is not None:
            print(f"noise\n{reply}", flush=True)
