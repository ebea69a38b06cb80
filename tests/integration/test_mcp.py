"""MCP servers: real processes over stdio, a real HTTP server, one in this process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import mcp as mcp_library  # noqa: F401 - at the top: importing it reads files, which blocks a loop
import psutil
import pytest
import rich.logging  # noqa: F401 - so does what a server of the SDK loads when it is made
from tests import zygote
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine, OutputEvent
from perdure.actions.react import ReActAgent
from perdure.errors import (
    AgentDefinitionError,
    ConfigurationError,
    RetryableError,
    TerminalError,
    ToolArgumentsError,
)
from perdure.integrations.mcp import MCPPrompt, MCPServer, MCPTool, MCPToolError
from perdure.llm.chat_model import ChatModel
from perdure.llm.message import Attachment, ChatMessage, MessageRole, ToolCall
from perdure.resource import ResourceDescriptor, ResourceType, mcp_server
from perdure.testing.mcp import main as run_stdio_server
from perdure.testing.mcp import scripted_mcp_server
from perdure.testing.scripted_chat import ScriptedChatModel

pytestmark = pytest.mark.usefixtures("no_blocking")

TOOLS = Path(__file__).with_name("mcp_tools.py")
SECONDS = PATIENCE


def command(*more: str) -> str:
    words = [sys.executable, "-m", "perdure.testing.mcp", str(TOOLS), *more]
    return shlex.join([*words, "--prompts", f"{TOOLS}:_greet,_ask"])


@contextlib.asynccontextmanager
async def opened(server: MCPServer) -> AsyncIterator[dict[str, Any]]:
    """Open a server and give what it provides by name."""
    async with asyncio.timeout(SECONDS):
        await server.open()
        try:
            yield {each.name: each for each in server.provided()}
        finally:
            await server.close()


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def shout(text: str) -> str:
    """Say it loud."""
    return text.upper()


def fail() -> None:
    raise ValueError("it is broken")


def greet() -> str:
    return "Be kind."


def ask(topic: str) -> str:
    return f"Tell me about {topic}."


# In this process


def test_tools_of_a_server_in_this_process() -> None:
    calls: list[Any] = []
    server = scripted_mcp_server([add, shout], calls=calls)

    async def main() -> None:
        async with opened(MCPServer(server=server)) as found:
            assert list(found) == ["add", "shout"]
            made = found["add"]
            assert isinstance(made, MCPTool)
            assert made.description == "Add two numbers."
            assert set(made.parameters["properties"]) == {"a", "b"}
            assert made.checked({"a": 1}) == {"a": 1}
            assert await made.func(a=1, b=2) == "3"
            assert await found["shout"].func(text="hey") == "HEY"

    asyncio.run(main())
    assert calls == [("add", {"a": 1, "b": 2}), ("shout", {"text": "hey"})]


def test_wrong_arguments_are_refused_before_the_call() -> None:
    calls: list[Any] = []

    async def main() -> None:
        async with opened(MCPServer(server=scripted_mcp_server([add], calls=calls))) as found:
            with pytest.raises(ToolArgumentsError, match="a: 'x' is not of type 'integer'"):
                found["add"].checked({"a": "x"})
            with pytest.raises(ToolArgumentsError, match="'a' is a required property"):
                found["add"].checked({})

    asyncio.run(main())
    assert calls == []


def test_a_tool_that_fails_says_so_in_its_own_words() -> None:
    async def main() -> None:
        server = MCPServer(server=scripted_mcp_server([fail]))
        async with opened(server) as found:
            with pytest.raises(MCPToolError, match=r"^Error executing tool fail: it is broken$"):
                await found["fail"].func()
            with pytest.raises(TerminalError, match="nothing"):
                await server.call_tool("nothing", {})

    asyncio.run(main())


def test_images_are_attachments() -> None:
    from mcp.server.mcpserver import Image

    def draw(with_text: bool):  # annotated, its result would be structured
        image = Image(data=b"png", format="png")
        return ["a picture", image] if with_text else [image]

    async def main() -> None:
        async with opened(MCPServer(server=scripted_mcp_server([draw]))) as found:
            image = Attachment(media_type="image/png", data=b"png")
            assert await found["draw"].func(with_text=True) == ["a picture", image]
            assert await found["draw"].func(with_text=False) == [image]

    asyncio.run(main())


def test_names_filter_prefix_and_options() -> None:
    async def main() -> None:
        server = MCPServer(
            server=scripted_mcp_server([add, shout, fail], [greet]),
            tool_filter=["add", "shout"],
            prefix="my.",
            timeout=9,
            tool_options={"add": {"timeout": 3, "requires_approval": True}},
        )
        async with opened(server) as found:
            assert list(found) == ["my_add", "my_shout", "my_greet"]
            assert (found["my_add"].timeout, found["my_shout"].timeout) == (3, 9)
            assert found["my_add"].requires_approval
            assert not found["my_shout"].requires_approval
            assert await found["my_add"].func(a=1) == "2"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tool_options": {"ad": {"timeout": 1}}}, "tool_options names ad; it has: add"),
        ({"tool_filter": ["ad"]}, "tool_filter names ad"),
        ({"prompt_templates": ["ask"]}, "prompt_templates names ask; it has: none"),
    ],
)
def test_options_for_what_there_is_not(options: Any, said: str) -> None:
    server = MCPServer(server=scripted_mcp_server([add]), **options)
    if "tool_filter" in options:
        said = "tool_filter names ad; it has: none"
    with pytest.raises(ConfigurationError, match=said):
        asyncio.run(server.open())


def test_how_a_server_is_named() -> None:
    for wrong in ({}, {"command": "a", "url": "http://b"}, {"url": "http://b", "args": ["c"]}):
        with pytest.raises(ConfigurationError, match="MCPServer"):
            MCPServer(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="No closing quotation"):
        MCPServer("a 'b")
    with pytest.raises(ConfigurationError, match=r"tool_options\['a'\]: there is no timeuot"):
        MCPServer("a", tool_options={"a": {"timeuot": 1}})


@pytest.mark.parametrize(
    "options",
    [
        {"args": "hello world"}, {"args": [1, 2]}, {"args": {"a": "b"}}, {"env": {"A": 5}},
        {"env": ["A"]}, {"cwd": 5}, {"tool_filter": "read"}, {"tool_filter": [5]}, {"prefix": 5},
        {"requires_approval": "no"}, {"prompt_templates": "review"}, {"tool_options": ["a"]},
        {"tool_options": {"a": 5}}, {"command": 5},
    ],
)  # fmt: skip
def test_an_option_of_a_wrong_kind_is_refused_by_name(options: Any) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=f"an MCPServer's {name}.* give "):
        MCPServer(**{"command": "a", **options})


def test_a_header_of_a_wrong_kind_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="headers") as refused:
        MCPServer("http://b", headers={"Authorization": b"secret"})  # type: ignore[dict-item]
    assert "secret" not in str(refused.value)


def test_a_limit_that_is_no_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="limit=5 is no name of a limit"):
        MCPServer("a", limit=5)  # type: ignore[arg-type]


# Prompts


def test_prompts() -> None:
    async def main() -> None:
        mcp = scripted_mcp_server(prompts=[greet, ask])
        async with opened(MCPServer(server=mcp)) as found:
            greeting, asking = found["greet"], found["ask"]
            assert greeting.format_messages() == [ChatMessage.user("Be kind.")]
            assert isinstance(asking, MCPPrompt)
            assert asking.arguments == {"topic": True}
            assert await asking.fetch(topic="rain") == [ChatMessage.user("Tell me about rain.")]
            with pytest.raises(ConfigurationError, match=r"'ask'.*topic.*prompt.fetch"):
                asking.format_messages(topic="rain")
            with pytest.raises(TerminalError, match="ask"):
                await asking.fetch()

    asyncio.run(main())


def test_a_prompt_that_only_inserts_its_arguments_can_be_a_template() -> None:
    async def main() -> None:
        mcp = scripted_mcp_server(prompts=[ask])
        async with opened(MCPServer(server=mcp, prompt_templates=["ask"])) as found:
            assert found["ask"].format_string(topic="rain") == "user: Tell me about rain."

    asyncio.run(main())


def test_a_prompt_that_the_server_refuses_is_left_for_later() -> None:
    def moody() -> str:
        raise ValueError("not today")

    def counted(times: int) -> str:
        return "again " * times

    async def main() -> None:
        mcp = scripted_mcp_server(prompts=[moody, counted])
        async with opened(MCPServer(server=mcp)) as found:
            with pytest.raises(ConfigurationError, match=r"'moody'.*was refused"):
                found["moody"].format_messages()
            (message,) = await found["counted"].fetch(times=2)
            assert message.content == "again again "
        with pytest.raises(ConfigurationError, match=r"'counted' takes no places for arguments"):
            await MCPServer(server=mcp, prompt_templates=["counted"]).open()

    asyncio.run(main())


def test_tools_that_models_cannot_tell_apart_are_refused() -> None:
    def first() -> None: ...
    def second() -> None: ...

    first.__name__, second.__name__ = "a.b", "a_b"
    with pytest.raises(ConfigurationError, match=r"'a_b' and 'a.b' are both 'a_b'"):
        asyncio.run(MCPServer(server=scripted_mcp_server([first, second])).open())


def test_messages_of_prompts_keep_roles_and_images() -> None:
    from mcp.server.mcpserver.prompts.base import AssistantMessage, UserMessage
    from mcp_types import ImageContent

    def show() -> list[Any]:
        data = base64.b64encode(b"png").decode()
        image = ImageContent(data=data, mime_type="image/png")
        return [AssistantMessage("Look:"), UserMessage(image)]

    async def main() -> list[ChatMessage]:
        async with opened(MCPServer(server=scripted_mcp_server(prompts=[show]))) as found:
            return found["show"].format_messages()

    image = Attachment(media_type="image/png", data=b"png")
    assert asyncio.run(main()) == [
        ChatMessage.assistant("Look:"),
        ChatMessage(role=MessageRole.USER, attachments=[image]),
    ]


# A process of its own


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it may end between any two questions
        return False


def children() -> list[psutil.Process]:
    """Return the processes of tests, but for those that `zygote` forks, and theirs."""
    found: list[psutil.Process] = []
    for child in psutil.Process().children():
        if child.pid not in zygote.pids():
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [child, *child.children(recursive=True)]
    return found


async def until(what: Callable[[], bool]) -> None:
    while not what():
        await asyncio.sleep(0.01)


def test_a_process_is_started_and_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "calls.jsonl"
    caplog.set_level(logging.DEBUG, logger="perdure.mcp")

    async def main() -> int:
        async with opened(MCPServer(command("--log", str(log)))) as found:
            assert await found["add"].func(a=1, b=2) == "3"
            assert found["_greet"].format_messages() == [ChatMessage.user("Be kind.")]
            with pytest.raises(MCPToolError, match=r"refused: you know why$"):
                await found["refuse"].func(why="you know why")
            process = int(await found["pid"].func())
            assert alive(process)
            return process

    process = asyncio.run(main())
    assert not alive(process)
    called = [json.loads(line) for line in log.read_text().splitlines()]
    assert called[0] == {"tool": "add", "arguments": {"a": 1, "b": 2}, "pid": process}
    assert [each["tool"] for each in called] == ["add", "refuse", "pid"]
    assert "the server says hello" in caplog.text
    assert "hello" not in capfd.readouterr().err


def test_a_killed_process_is_started_again_once_for_all_callers(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"

    async def main() -> None:
        server = MCPServer(command("--log", str(log)))
        async with opened(server) as found:
            before = int(await found["pid"].func())
            os.kill(before, signal.SIGKILL)
            await until(lambda: server._link._session.broken)  # its stdout was read to the end
            after = await asyncio.gather(*(found["pid"].func() for _ in range(5)))
            assert len(set(after)) == 1
            assert int(after[0]) != before
            assert {each.name for each in [*found.values()]} >= {"add", "pid", "_greet"}

    asyncio.run(main())
    assert len(log.read_text().splitlines()) == 6  # none was made twice


def test_a_call_under_way_when_the_process_dies_is_retryable() -> None:
    async def main() -> None:
        async with opened(MCPServer(command())) as found:
            with pytest.raises(RetryableError, match=r"die.*broke during the call.*on purpose"):
                await found["die"].func()
            assert await found["add"].func(a=1, b=2) == "3"

    asyncio.run(main())


def test_a_cancelled_call_leaves_the_session_usable() -> None:
    async def main() -> None:
        async with opened(MCPServer(command())) as found:
            process = await found["pid"].func()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await found["forever"].func()
            assert await found["pid"].func() == process

    asyncio.run(main())


def test_a_server_that_does_not_come_back_is_retryable(tmp_path: Path) -> None:
    script = tmp_path / "tools.py"
    script.write_text("import os\ndef pid() -> str:\n    return str(os.getpid())\n")

    async def main() -> None:
        words = [sys.executable, "-m", "perdure.testing.mcp", str(script)]
        async with opened(MCPServer(words[0], args=words[1:])) as found:
            process = int(await found["pid"].func())
            script.unlink()
            os.kill(process, signal.SIGKILL)
            await until(lambda: not alive(process))
            with pytest.raises(RetryableError) as caught:
                for _ in range(2):  # the first may have met the session before its end was seen
                    with contextlib.suppress(RetryableError):
                        await found["pid"].func()
                await found["pid"].func()
            assert "cannot be started or reached" in str(caught.value)
            assert "is no Python file" in str(caught.value)  # its stderr
            assert caught.value.retry_after is not None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (MCPServer("no-such-program --x"), "there is no 'no-such-program'"),
        (MCPServer(sys.executable, cwd="/no/such"), r"there is no folder '/no/such' .*\(cwd=\)"),
        (MCPServer(sys.executable, cwd=__file__), r"there is no folder '.*test_mcp.py' "),
        (MCPServer("no-such-program", cwd="/"), "there is no 'no-such-program'"),
        (MCPServer(sys.executable, args=["-c", "raise SystemExit('bad luck')"]), "bad luck"),
        (
            MCPServer(sys.executable, args=["-c", "input()\ninput()"], connect_timeout=0.3),
            r"did not answer within 0.3 s",
        ),
        (MCPServer(url="http://127.0.0.1:9/mcp"), "http://127.0.0.1:9/mcp.*cannot be"),
    ],
    ids=[
        "no program",
        "no folder",
        "a file",
        "no program in a folder",
        "ends at once",
        "says nothing",
        "nobody listens",
    ],
)
def test_a_server_that_cannot_be_reached(server: MCPServer, said: str) -> None:
    before = set(children())
    with pytest.raises(ConfigurationError, match=said):
        asyncio.run(server.open())
    assert set(children()) <= before


def test_a_closed_server_refuses_calls() -> None:
    async def main() -> None:
        async with opened(MCPServer(server=scripted_mcp_server([add]))) as found:
            pass
        with pytest.raises(ConfigurationError, match="is not open"):
            await found["add"].func(a=1)

    asyncio.run(main())


def test_an_opening_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    code = f"import pathlib; pathlib.Path({str(mark)!r}).touch(); input(); input()"

    async def main() -> None:
        opening = asyncio.create_task(MCPServer(sys.executable, args=["-c", code]).open())
        async with asyncio.timeout(SECONDS):
            await until(mark.exists)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening

    asyncio.run(main())
    assert children() == []


def test_closing_ends_calls_under_way_and_the_process() -> None:
    async def main() -> None:
        server = MCPServer(command())
        async with opened(server) as found:
            call = asyncio.create_task(found["forever"].func())
            await found["add"].func(a=1, b=2)  # the other request was written before
            await server.close()
            with pytest.raises(RetryableError):
                await call

    asyncio.run(main())
    assert children() == []


def test_a_server_is_opened_again_by_the_next_job() -> None:
    server = MCPServer(server=scripted_mcp_server([add]))

    async def main() -> str:
        async with opened(server) as found:
            return str(await found["add"].func(a=1))

    assert [asyncio.run(main()) for _ in range(2)] == ["2", "2"]


@pytest.mark.parametrize("spec", ["no-file.py", f"{TOOLS}:nothing"])
def test_the_stand_in_refuses_what_is_no_function(spec: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no Python file|no function"):
        run_stdio_server([spec])


# HTTP


Headers = dict[str, str]


def accepted(headers: Headers) -> int:
    return 200


@contextlib.contextmanager
def serving(
    mcp: Any, port: int = 0, *, status: Callable[[Headers], int] = accepted
) -> Iterator[int]:
    """Serve over HTTP on a thread; answer with `status` of the headers where it is not 200."""
    import uvicorn

    app = mcp.streamable_http_app()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            code = status({name.decode(): text.decode() for name, text in scope["headers"]})
            if code != 200:
                headers = [(b"retry-after", b"7")] if code == 503 else []
                await send({"type": "http.response.start", "status": code, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()  # who comes before the server is up waits for it
    config = uvicorn.Config(noting, log_level="critical", lifespan="on", ws="none")
    server = uvicorn.Server(config)
    server.config.timeout_graceful_shutdown = 1

    def serve() -> None:
        # Python's own loop, whatever the tests run on: uvloop closes a listening socket's number
        # a moment later, and that may be another socket's by then.
        loop = asyncio.SelectorEventLoop()
        loop.run_until_complete(server.serve([listening]))
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(SECONDS)
        listening.close()


def test_over_http_with_headers() -> None:
    seen: list[str] = []

    async def main(port: int) -> None:
        url = f"http://127.0.0.1:{port}/mcp"
        server = MCPServer(url=url, headers={"Authorization": "Bearer t"})
        async with opened(server) as found:
            assert await found["add"].func(a=1, b=2) == "3"
            assert await found["ask"].fetch(topic="rain") == [
                ChatMessage.user("Tell me about rain.")
            ]
            with pytest.raises(MCPToolError, match="it is broken"):
                await found["fail"].func()

    def note(headers: Headers) -> int:
        seen.append(headers.get("authorization", ""))
        return 200

    with serving(scripted_mcp_server([add, fail], [ask]), status=note) as port:
        asyncio.run(main(port))
    assert seen
    assert set(seen) == {"Bearer t"}


async def on_thread(stack: contextlib.ExitStack, *args: Any, **kwargs: Any) -> int:
    return await asyncio.to_thread(stack.enter_context, serving(*args, **kwargs))


@pytest.mark.skipif(
    os.environ.get("PERDURE_TEST_EVENT_LOOP") == "uvloop",
    reason="on uvloop the server put in another's place is at times not reached, on a busy machine",
)
def test_calls_while_an_http_server_is_down_are_retryable() -> None:
    before, after = scripted_mcp_server([add]), scripted_mcp_server([add])

    async def main() -> None:
        with contextlib.ExitStack() as first:
            port = await on_thread(first, before)
            async with opened(MCPServer(f"http://127.0.0.1:{port}/mcp")) as found:
                assert await found["add"].func(a=1) == "2"
                await asyncio.to_thread(first.close)
                for _ in range(2):
                    with pytest.raises(RetryableError):
                        await found["add"].func(a=1)
                await on_thread(first, after, port)
                for attempt in range(4):
                    try:
                        assert await found["add"].func(a=2) == "3"
                        break
                    except RetryableError as error:
                        assert attempt < 3
                        await asyncio.sleep(error.retry_after or 0)

    asyncio.run(main())


def test_a_session_that_the_server_forgot_is_made_again_without_a_failure() -> None:
    calls: list[Any] = []
    sessions: list[str] = []
    forgotten: set[str] = set()

    def status(headers: Headers) -> int:
        if headers.get("mcp-method") == "server/discover":
            return 404  # as servers before 2026-07-28, which have sessions
        session = headers.get("mcp-session-id")
        if session is not None and session not in sessions:
            sessions.append(session)
        return 404 if session in forgotten else 200

    async def main(port: int) -> None:
        async with opened(MCPServer(url=f"http://127.0.0.1:{port}/mcp")) as found:
            assert await found["add"].func(a=1) == "2"
            forgotten.update(sessions)
            assert await found["add"].func(a=2) == "3"

    with serving(scripted_mcp_server([add], calls=calls), status=status) as port:
        asyncio.run(main(port))
    assert [each["a"] for _, each in calls] == [1, 2]
    assert len(sessions) == 2


def test_what_a_status_means() -> None:
    answer = [200]

    async def main(port: int) -> None:
        url = f"http://127.0.0.1:{port}/mcp"
        async with opened(MCPServer(url=url)) as found:
            answer[0] = 503
            with pytest.raises(RetryableError, match="HTTP 503") as caught:
                await found["add"].func(a=1)
            assert caught.value.retry_after == 7
            answer[0] = 403
            with pytest.raises(TerminalError, match="HTTP 403"):
                await found["add"].func(a=1)
            answer[0] = 200
            assert await found["add"].func(a=1) == "2"
            answer[0] = 401
            with pytest.raises(ConfigurationError, match="HTTP 401"):
                await MCPServer(url=url).open()
            answer[0] = 200

    with serving(scripted_mcp_server([add]), status=lambda headers: answer[0]) as port:
        asyncio.run(main(port))


# In a job


class Calls(Agent):
    @mcp_server
    @staticmethod
    def calculator() -> ResourceDescriptor:
        return ResourceDescriptor(MCPServer, server=scripted_mcp_server([add], [ask]), prefix="c_")


def test_in_a_job() -> None:
    async def go(event: InputEvent, ctx: Any) -> None:
        tool = ctx.get_resource("c_add", ResourceType.TOOL)
        prompt = ctx.get_resource("c_ask", ResourceType.PROMPT)
        total = await ctx.durable_execute_async(tool.func, a=event.input["n"], b=2)
        messages = await ctx.durable_execute_async(prompt.fetch, topic="rain")
        ctx.send_event(OutputEvent(output=[total, messages[0].content]))

    agent = Calls().add_action("go", [InputEvent], go)
    outputs = LocalEngine(store="memory://").run(agent, [{"k": "a", "n": 40}], key="k")
    assert [each.value for each in outputs] == [["42", "Tell me about rain."]]


def test_a_model_calls_the_tools_of_a_server_and_is_told_why_one_fails() -> None:
    def script(messages: Any, tools: Any) -> Any:
        said = messages[-1]
        if said.role is not MessageRole.TOOL:
            return [
                ToolCall(id="1", name="add", arguments={"a": 1, "b": 2}),
                ToolCall(id="2", name="fail", arguments={}),
                ToolCall(id="3", name="add", arguments={"b": "two"}),
            ]
        return " / ".join(each.content for each in messages if each.role is MessageRole.TOOL)

    server = MCPServer(server=scripted_mcp_server([add, fail]))
    model = ChatModel("script", connection=ScriptedChatModel(script), tools=[server])
    agent = ReActAgent(chat_model=model)
    outputs = LocalEngine(store="memory://").run(agent, [{"input": "a"}], key="input")
    sum_, failure, refusal = outputs[0].value.split(" / ")
    assert sum_ == "3"
    assert "it is broken" in failure
    assert "'a' is a required property" in refusal


def test_a_tool_whose_process_died_is_called_again_as_its_retry_policy_says(tmp_path: Path) -> None:
    script, mark = tmp_path / "tools.py", tmp_path / "died"
    script.write_text(
        "import os, pathlib\n"
        "def once() -> str:\n"
        f"    mark = pathlib.Path({str(mark)!r})\n"
        "    if not mark.exists():\n"
        "        mark.touch()\n"
        "        os._exit(3)\n"
        "    return 'done'\n"
    )

    async def go(event: InputEvent, ctx: Any) -> None:
        tool = ctx.get_resource("once", ResourceType.TOOL)
        patient = ctx.with_options(retry=tool.retry, durable_id="tool:once")
        ctx.send_event(OutputEvent(output=await patient.durable_execute_async(tool.func)))

    words = [sys.executable, "-m", "perdure.testing.mcp", str(script)]
    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_resource("server", ResourceType.MCP_SERVER, MCPServer(words[0], args=words[1:]))
    outputs = LocalEngine(store="memory://").run(agent, [{"k": "a"}], key="k")
    assert [each.value for each in outputs] == ["done"]
    assert children() == []


def test_two_servers_with_a_tool_of_one_name() -> None:
    agent = Calls().add_action("go", [InputEvent], lambda event, ctx: None)
    agent.add_resource(
        "other", ResourceType.MCP_SERVER, MCPServer(server=scripted_mcp_server([add]), prefix="c_")
    )
    with pytest.raises(AgentDefinitionError, match="c_add"):
        LocalEngine(store="memory://").run(agent, [{"k": "a"}], key="k")
