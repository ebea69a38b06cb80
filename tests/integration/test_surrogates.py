"""Lone surrogates in texts: requests to models and tools, and documents, have U+FFFD for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agents as sdk
import pydantic_ai
import pytest
from mcp.server.mcpserver import MCPServer as PackageServer
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from perdure import (
    Agent,
    ChatModel,
    Document,
    EmbeddingModel,
    InputEvent,
    LocalEngine,
    MCPServer,
    Output,
    OutputEvent,
    ReActAgent,
    ResourceType,
    TerminalError,
    VectorStore,
    VectorStoreQuery,
)
from perdure.actions import model_request
from perdure.integrations.openai_agents import DurableRunner
from perdure.integrations.pydantic_ai import DurableAgent
from perdure.llm.message import ChatMessage, ToolCall
from perdure.llm.sendable import sendable, sendable_messages
from perdure.testing import ScriptedChatModel
from perdure.testing.model_server import Answer, ModelRequest, ScriptedModelServer

FILE = b"caf\xe9.txt".decode("utf-8", "surrogateescape")
SENT = "caf�.txt"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (FILE, SENT),
        ("x\ud83d", "x�"),
        ("\udce9\udce9a", "��a"),
        ("\ud83d\ude00", "😀"),  # a pair is a character
        ({"a": [(FILE, 1)], FILE: None}, {"a": [(SENT, 1)], SENT: None}),
    ],
)
def test_what_is_replaced(given: Any, sent: Any) -> None:
    assert sendable(given) == sent
    json.dumps(sent, ensure_ascii=False).encode()


def test_what_is_in_order_stays_the_same_object() -> None:
    value = {"a": ["é", ("😀", {"b": 1.5})]}
    assert sendable(value) is value
    messages = [
        ChatMessage.user("é"),
        ChatMessage.assistant("", [ToolCall(id="1", name="ls", arguments={"a": "é"})]),
    ]
    assert sendable_messages(messages) is messages


def ls() -> str:
    """List files."""
    return FILE


@pytest.fixture
def requests() -> list[ModelRequest]:
    return []


@pytest.fixture
def server(requests: list[ModelRequest]) -> Iterator[ScriptedModelServer]:
    """Asks for a file, in a text and with arguments that no request can hold, then says done."""

    def answer(request: ModelRequest) -> Any:
        requests.append(request)
        if request.messages[-1]["role"] == "tool":
            return "done"
        return Answer(text=FILE, tool_calls=[ToolCall(id="1", name="ls", arguments="{}")])

    with ScriptedModelServer(answer) as found:
        yield found


def texts(request: ModelRequest) -> list[str]:
    return [each["content"] for each in request.messages if each["role"] != "system"]


def test_of_a_tool_and_a_model(server: ScriptedModelServer, requests: list[ModelRequest]) -> None:
    model = ChatModel("m", base_url=server.url, tools=[ls])
    (output,) = LocalEngine("memory://").run(
        ReActAgent(chat_model=model), [{"input": FILE}], key=str
    )
    assert output.value == "done"
    assert texts(requests[-1]) == [SENT, SENT, SENT]


def test_g6_requests_that_were_recorded_with_such_a_text_are_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    calls = [ToolCall(id="1", name="ls", arguments={}), ToolCall(id="2", name="ls", arguments={})]

    def answer(messages: Any, tools: Any) -> Any:
        asked.append(messages[-1].content)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return [*calls, "done"][sum(each.role == "tool" for each in messages)]

    def run() -> Any:
        agent = ReActAgent(chat_model=ScriptedChatModel(answer), tools=[ls])
        engine = LocalEngine(f"sqlite:///{tmp_path / 'store.db'}")
        return engine.run(agent, ["go"], key=str)

    with monkeypatch.context() as before:
        before.setattr(model_request, "sendable_messages", lambda messages: messages)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert asked == ["go", FILE, FILE]
    (output,) = run()
    assert output.value == "done"
    assert asked[3:] == [SENT]  # the last one alone, and in order


def test_of_texts_to_embed() -> None:
    async def main(url: str) -> Any:
        model = EmbeddingModel("openai-compatible:m", base_url=url, api_key="none")
        connection = model._made()
        await connection.open()
        try:
            return await connection.embed([FILE, SENT], model="m")
        finally:
            await connection.close()

    with ScriptedModelServer() as server:
        first, second = asyncio.run(main(server.url))
    assert first == second


def outcome(act: Any, store: str) -> Any:
    """Return what an action's `act` returned."""

    async def go(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=await act(ctx)))

    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_resource("v", ResourceType.VECTOR_STORE, VectorStore())
    (output,) = LocalEngine(store).run(agent, ["x"], key=str)
    return output.value


@pytest.fixture(params=["memory://", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param if request.param != "sqlite" else f"sqlite:///{tmp_path / 'store.db'}"


async def refusal(call: Any) -> str:
    with pytest.raises(TerminalError) as caught:
        await call
    return str(caught.value)


HALF = "it has half of a character (a lone surrogate), which no store can keep"


def test_of_documents_and_filters(store: str) -> None:
    async def act(ctx: Any) -> Any:
        documents = ctx.get_resource("v", ResourceType.VECTOR_STORE)
        call = ctx.durable_execute_async
        given = Document(f"tea {FILE}", {"path": FILE, FILE: [FILE]})
        (id_,) = await call(documents.add, given)
        assert await call(documents.add, given) == [id_]  # a repetition changes nothing
        (found,) = await call(documents.get, None, None, {"path": FILE})
        query = VectorStoreQuery(f"tea {FILE}", mode="keyword", filters={FILE: FILE})
        assert (await call(documents.query, query)).documents[0].id == id_
        for refused in (
            call(documents.add, [Document("x", id="a\ud800")]),
            call(documents.get, "a\ud800"),
            call(documents.delete, ["a\ud800"]),
        ):
            assert await refusal(refused) == f"a document cannot be named 'a\\ud800': {HALF}"
        said = await refusal(call(documents.add, [Document("x")], "a\ud800"))
        assert said == f"a collection cannot be named 'a\\ud800': {HALF}"
        assert await refusal(call(documents.size, "a\ud800")) == said
        return [found.content, found.metadata]

    assert outcome(act, store) == [f"tea {SENT}", {"path": SENT, SENT: [SENT]}]


def test_of_long_term_memory(store: str) -> None:
    async def act(ctx: Any) -> Any:
        notes = ctx.long_term_memory.get_memory_set("n")
        await notes.add(["one", FILE], [{"path": FILE}, {}], ["1", "2"])
        assert await notes.update("1", f"tea {FILE}")
        (found,) = await notes.search("tea", filters={"path": FILE})
        said = f"an item of memory set 'n' cannot have the id 'a\\ud800': {HALF}"
        for refused in (notes.add("x", ids="a\ud800"), notes.get(["a\ud800"])):
            assert await refusal(refused) == said
        assert await notes.size() == 2
        return [found.value, found.metadata]

    assert outcome(act, store) == [f"tea {SENT}", {"path": SENT}]


def test_of_arguments_for_an_mcp_server() -> None:
    seen: list[str] = []
    package = PackageServer("here")

    @package.tool()
    def look(path: str) -> str:
        seen.append(path)
        return "nothing"

    async def main() -> None:
        server = MCPServer(server=package)
        await server.open()
        assert await server.call_tool("look", {"path": FILE}) == "nothing"
        await server.close()

    asyncio.run(main())
    assert seen == [SENT]


def test_in_a_pydantic_ai_agent(server: ScriptedModelServer, requests: list[ModelRequest]) -> None:
    model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=server.url, api_key="none"))
    lister = pydantic_ai.Agent(model, tools=[ls], name="lister")
    durable = DurableAgent(lister)

    async def go(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=(await durable.run(ctx, event.input)).output))

    async def main() -> list[Output]:
        async with lister:  # its model's client is closed on the loop that it was used on
            agent = Agent().add_action("go", [InputEvent], go)
            return await LocalEngine("memory://").run_async(agent, [FILE], key=len)

    (output,) = asyncio.run(main())
    assert output.value == "done"
    assert texts(requests[-1]) == [SENT, SENT, SENT]


def test_in_agents_of_the_openai_sdk(
    server: ScriptedModelServer, requests: list[ModelRequest]
) -> None:
    from openai import AsyncOpenAI

    async def main() -> list[Output]:
        async with AsyncOpenAI(base_url=server.url, api_key="none") as client:
            model = sdk.OpenAIChatCompletionsModel("m", client)
            lister = sdk.Agent(name="lister", model=model, tools=[sdk.function_tool(ls)])

            async def go(event: Any, ctx: Any) -> None:
                result = await DurableRunner().run(ctx, lister, event.input)
                ctx.send_event(OutputEvent(output=result.final_output))

            agent = Agent().add_action("go", [InputEvent], go)
            return await LocalEngine("memory://").run_async(agent, [FILE], key=len)

    (output,) = asyncio.run(main())
    assert output.value == "done"
    assert texts(requests[-1]) == [SENT, SENT, SENT]
