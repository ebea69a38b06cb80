"""What the page calls the same of models, chats, tools, retrieval, long-term memory and options."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel
from tests.porting.page import put, run, same, takes
from tests.promises.clock import Clock

from perdure import (
    Agent,
    AgentExecutionOptions,
    BaseChatModelConnection,
    BaseChatModelSetup,
    BaseEmbeddingModelConnection,
    BaseEmbeddingModelSetup,
    BaseVectorStore,
    ChatMessage,
    ChatRequestEvent,
    ChatResponseEvent,
    ConfigurationError,
    ContextRetrievalRequestEvent,
    ContextRetrievalResponseEvent,
    Document,
    Event,
    InputEvent,
    LocalEngine,
    MessageRole,
    Prompt,
    ReActAgent,
    ResourceDescriptor,
    ResourceType,
    RunnerContext,
    ToolCall,
    ToolRequestEvent,
    ToolResponseEvent,
    VectorStore,
    VectorStoreQuery,
    VectorStoreQueryMode,
    register_type,
)
from perdure.memory.long_term import MemorySet
from perdure.testing import ScriptedChatModel, ScriptedEmbeddingModel

USER, ASSISTANT = MessageRole.USER, MessageRole.ASSISTANT


def asks(setup: BaseChatModelSetup, *others: tuple[str, ResourceType, Any], **request: Any) -> Any:
    """Return the agent that sends the input to a model, and what it answers out."""

    def ask(event: Event, ctx: RunnerContext) -> None:
        message = ChatMessage(role=USER, content=InputEvent.from_event(event).input)
        sent = ChatRequestEvent(model="m", messages=[message], **request)
        ctx.send_event(sent)
        ctx.sensory_memory.set("asked", sent.id)

    def answer(event: Event, ctx: RunnerContext) -> None:
        said = ChatResponseEvent.from_event(event)
        assert said.request_id == ctx.sensory_memory.get("asked")
        put(ctx, said.response.content)

    agent = Agent().add_action("ask", [InputEvent.EVENT_TYPE], ask)
    agent.add_action("answer", [ChatResponseEvent.EVENT_TYPE], answer)
    agent.add_resource("m", ResourceType.CHAT_MODEL, setup)
    for each in others:
        agent.add_resource(*each)
    return agent


class Server(BaseChatModelConnection):
    """Says what it was sent."""

    def chat(self, messages: Sequence[ChatMessage], tools: Any = None, **kwargs: Any) -> Any:
        said = [f"{each.role.value}={each.content}" for each in messages]
        names = [tool.name for tool in tools or ()]
        return ChatMessage(role=ASSISTANT, content=f"{said} {names} {sorted(kwargs.items())}")


class AsyncServer(Server):
    """The same as a coroutine function."""

    async def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> Any:
        return super().chat(messages, tools, **kwargs)


def lookup(city: str) -> str:
    """Look a city up.

    Args:
        city: Its name.
    """
    return f"{city} is fine"


@same("`BaseChatModelConnection.chat")
def connections() -> None:
    for server in (Server(), AsyncServer()):
        setup = BaseChatModelSetup(connection=server, model="m1", tools=[lookup], temperature=0)
        assert run(asks(setup), ["hi"]) == [
            "['user=hi'] ['lookup'] [('model', 'm1'), ('temperature', 0)]"
        ]
    takes(BaseChatModelConnection.chat, "messages, tools=None, **kwargs")


class Redacting(BaseChatModelSetup):
    """As one would write it for Flink Agents."""

    def chat(self, messages: Any, prompt_args: Any = None, **kwargs: Any) -> Any:
        clean = [
            ChatMessage(role=m.role, content=m.content.replace("pin", "***")) for m in messages
        ]
        return super().chat(clean, prompt_args, **kwargs)


class Standing(BaseChatModelSetup):
    """Asks nobody; says what it was given."""

    def chat(self, messages: Any, prompt_args: Any = None, **kwargs: Any) -> Any:
        said = f"{[each.content for each in messages]} {prompt_args}"
        return ChatMessage(role=ASSISTANT, content=said)


@same("a chat model setup's own `chat")
def own_chat() -> None:
    redacting = Redacting(connection=Server(), model="m1")
    assert run(asks(redacting), ["my pin"]) == ["['user=my ***'] [] [('model', 'm1')]"]
    told = Prompt.from_text("be {how}")
    standing = Standing(connection=Server(), prompt=told)
    [said] = run(asks(standing, prompt_args={"how": "brief"}), ["my pin"])
    assert said == "['be brief', 'my pin'] {}"
    assert run(ReActAgent(chat_model=redacting), ["my pin"])[0].startswith("['user=my ***']")
    takes(BaseChatModelSetup.chat, "messages, prompt_args=None, **kwargs")


class Noting(BaseEmbeddingModelConnection):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def embed(self, text: Any, **kwargs: Any) -> Any:
        self.given.append((text, kwargs))
        return [[1.0, float(len(each))] for each in text]


class Small(BaseEmbeddingModelSetup):
    """Its settings are a property."""

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"model": self.model, "dimensions": 2}


@same("an embedding model setup's own `model_kwargs`")
def embedding_settings() -> None:
    noting = Noting()

    async def go(event: Event, ctx: RunnerContext) -> None:
        setup = ctx.get_resource("e", ResourceType.EMBEDDING_MODEL)
        put(ctx, await ctx.durable_execute_async(setup.embed, "two"))

    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_resource("c", ResourceType.EMBEDDING_MODEL_CONNECTION, noting)
    agent.add_resource("e", ResourceType.EMBEDDING_MODEL, Small(connection="c", model="m1"))
    assert run(agent, ["x"]) == [[1.0, 3.0]]
    assert noting.given == [(["two"], {"model": "m1", "dimensions": 2})]


@same("`ChatMessage(role=, content=, extra_args=)`")
def messages() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "lookup", "arguments": {"a": 1}}}
    message = ChatMessage(
        role=ASSISTANT, content="hm", tool_calls=[call], extra_args={"reasoning": "so"}
    )
    assert message.tool_calls == [ToolCall(id="1", name="lookup", arguments={"a": 1})]
    assert (message.role, message.text, message.extra_args) == (
        ASSISTANT,
        "hm",
        {"reasoning": "so"},
    )
    assert [each.value for each in MessageRole] == ["system", "user", "assistant", "tool"]
    assert (ChatMessage(role=USER).content, ChatMessage(role="tool").role) == ("", MessageRole.TOOL)
    with pytest.raises(ConfigurationError, match="is no tool call"):
        ChatMessage(role=ASSISTANT, tool_calls=[{"name": "lookup"}])

    def go(event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("said", message)
        put(ctx, ctx.short_term_memory.get("said"))

    assert run(Agent().add_action("go", [InputEvent], go), ["x"]) == [message]


class Answer(BaseModel):
    word: str


@same("`ChatRequestEvent(model")
def chats() -> None:
    script = [[ToolCall(id="1", name="lookup", arguments={"city": "Bonn"})], "Bonn is fine"]
    model = ScriptedChatModel(lambda messages, tools: script[len(messages) > 2])
    told = Prompt.from_messages([ChatMessage(role=MessageRole.SYSTEM, content="Be {how}.")])
    setup = BaseChatModelSetup(connection="c", model="m1", prompt="p", tools=["lookup"])
    others = [
        ("c", ResourceType.CHAT_MODEL_CONNECTION, model),
        ("p", ResourceType.PROMPT, told),
        ("lookup", ResourceType.TOOL, lookup),
    ]
    assert run(asks(setup, *others, prompt_args={"how": "brief"}), ["Bonn?"]) == ["Bonn is fine"]
    assert [each.content for each in model.requests[-1].messages] == [
        "Be brief.", "Bonn?", "", "Bonn is fine",
    ]  # fmt: skip
    answering = BaseChatModelSetup(connection=ScriptedChatModel([{"word": "yes"}]), model="m1")
    assert run(asks(answering, output_schema=Answer), ["?"]) == ['{"word": "yes"}']
    takes(ChatRequestEvent, "model, messages, prompt_args=None, output_schema=None")
    takes(ChatResponseEvent, "request_id, response")
    by_place = ChatResponseEvent("r", ChatMessage(role=ASSISTANT, content="x"))
    assert (by_place.request_id, by_place.response.content) == ("r", "x")


@same("`ToolRequestEvent`")
def tool_requests() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        nested = {"id": "2", "function": {"name": "none", "arguments": {}}}
        call = {"id": "1", "name": "lookup", "arguments": {"city": "Bonn"}}
        ctx.send_event(ToolRequestEvent(model="", tool_calls=[call, nested]))

    def got(event: Event, ctx: RunnerContext) -> None:
        responses = ToolResponseEvent.from_event(event).responses
        done, failed = responses["1"], responses["2"]
        put(ctx, [done.result, done.success, done.error, failed.success, bool(failed.error)])

    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_action("got", [ToolResponseEvent.EVENT_TYPE], got)
    agent.add_resource("lookup", ResourceType.TOOL, lookup)
    assert run(agent, ["x"]) == [["Bonn is fine", True, None, False, True]]
    assert ToolResponseEvent("r", {}).request_id == "r"


def with_documents(agent: Agent) -> Agent:
    agent.add_resource("c", ResourceType.EMBEDDING_MODEL_CONNECTION, ScriptedEmbeddingModel())
    agent.add_resource(
        "e", ResourceType.EMBEDDING_MODEL, BaseEmbeddingModelSetup(connection="c", model="m")
    )
    return agent.add_resource("docs", ResourceType.VECTOR_STORE, VectorStore(embedding_model="e"))


DOCUMENTS = [
    Document(content="green tea from Japan", metadata={"kind": "tea"}, id="1"),
    Document(content="coffee from Peru", metadata={"kind": "coffee"}, id="2"),
]


@same("`ContextRetrievalRequestEvent`")
def retrieval() -> None:
    async def go(event: Event, ctx: RunnerContext) -> None:
        store = ctx.get_resource("docs", ResourceType.VECTOR_STORE)
        await ctx.durable_execute_async(store.add, DOCUMENTS)
        asked = ContextRetrievalRequestEvent(query="tea from Japan", vector_store="docs")
        assert asked.max_results == 3
        ctx.send_event(asked)
        ctx.send_event(ContextRetrievalRequestEvent("tea from Japan", "docs", 1))

    def got(event: Event, ctx: RunnerContext) -> None:
        found = ContextRetrievalResponseEvent.from_event(event)
        put(ctx, [found.query, [each.id for each in found.documents]])

    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_action("got", [ContextRetrievalResponseEvent.EVENT_TYPE], got)
    outputs = run(with_documents(agent), ["x"])
    assert sorted(outputs) == [["tea from Japan", ["1"]], ["tea from Japan", ["1", "2"]]]


@same("`Document`, `VectorStoreQuery`")
def vector_stores() -> None:
    async def go(event: Event, ctx: RunnerContext) -> None:
        store = ctx.get_resource("docs", ResourceType.VECTOR_STORE)
        assert isinstance(store, BaseVectorStore)
        call = ctx.durable_execute_async
        ids = await call(store.add, DOCUMENTS)
        query = VectorStoreQuery(
            mode=VectorStoreQueryMode.SEMANTIC, query_text="tea", limit=5, filters={"kind": "tea"}
        )
        found = (await call(store.query, query)).documents
        await call(store.update, Document(content="black tea", id="1"))
        [changed] = await call(store.get, ids="1")
        await call(store.delete, ids=["1"])
        left = [each.content for each in await call(store.get)]
        put(ctx, [ids, [each.id for each in found], changed.content, left])

    assert run(with_documents(Agent().add_action("go", [InputEvent], go)), ["x"]) == [
        [["1", "2"], ["1"], "black tea", ["coffee from Peru"]]
    ]
    takes(BaseVectorStore.add, "documents, collection_name=None, **kwargs")
    takes(BaseVectorStore.query, "query")
    takes(BaseVectorStore.update, "documents, collection_name=None, **kwargs")
    takes(BaseVectorStore.get, "ids=None, collection_name=None, filters=None, limit=100, **kwargs")
    takes(BaseVectorStore.delete, "ids=None, collection_name=None, filters=None, **kwargs")


@same("`ctx.long_term_memory.get_memory_set(name)`")
def long_term_memory() -> None:
    async def go(event: Event, ctx: RunnerContext) -> None:
        notes = ctx.long_term_memory.get_memory_set("notes")
        ids = await notes.add(["Ada likes tea", "Bob likes coffee"], metadatas=[{"n": 1}, {"n": 2}])
        [one] = await notes.get(ids=ids[:1])
        [found] = await notes.search("coffee", 1)
        [numbered] = await notes.get(filters={"n": 2})
        await notes.delete(ids=ids[0])
        left = [each.value for each in await notes.get()]
        await notes.delete()
        after = await ctx.long_term_memory.get_memory_set("notes").get()
        put(ctx, [one.value, one.metadata, found.value, numbered.value, left, after])

    def plain(event: Event, ctx: RunnerContext) -> None:
        notes = ctx.long_term_memory.get_memory_set("notes")
        put(ctx, len(notes.add("one").result()))

    assert run(Agent().add_action("go", [InputEvent], go), ["x"]) == [
        [
            "Ada likes tea",
            {"n": 1},
            "Bob likes coffee",
            "Bob likes coffee",
            ["Bob likes coffee"],
            [],
        ]
    ]
    assert run(Agent().add_action("go", [InputEvent], plain), ["x"]) == [1]
    takes(MemorySet.add, "items, metadatas=None")
    takes(MemorySet.get, "ids=None, filters=None, limit=100")
    takes(MemorySet.search, "query, limit, filters=None")
    takes(MemorySet.delete, "ids=None")


@register_type
class Question(BaseModel):
    city: str
    day: str


@same("`ReActAgent(chat_model=")
def react() -> None:
    script = [ToolCall(id="1", name="lookup", arguments={"city": "Bonn"}), {"word": "fine"}]
    model = ScriptedChatModel(script)
    clazz = "perdure.BaseChatModelSetup"
    descriptor = ResourceDescriptor(clazz=clazz, connection="c", model="m1", tools=["lookup"])
    told = Prompt.from_messages([ChatMessage(role=USER, content="{city} on {day}")])
    agent = ReActAgent(chat_model=descriptor, prompt=told, output_schema=Answer)
    agent.add_resource("c", ResourceType.CHAT_MODEL_CONNECTION, model)
    agent.add_resource("lookup", ResourceType.TOOL, lookup)
    assert run(agent, [Question(city="Bonn", day="Monday")]) == [Answer(word="fine")]
    assert model.requests[0].messages[-1].content == "Bonn on Monday"
    engine = LocalEngine()  # or on the environment, as there
    engine.add_resource("c", ResourceType.CHAT_MODEL_CONNECTION, ScriptedChatModel(["hello"]))
    plain = ResourceDescriptor(clazz=clazz, connection="c", model="m1")
    [said] = engine.run(ReActAgent(chat_model=plain), ["hi"], key=str)
    assert said.value == "hello"
    takes(ReActAgent, "*, chat_model, prompt=None, output_schema=None")


@same("`num-async-threads`")
def options() -> None:
    of = AgentExecutionOptions
    defaults = {
        of.NUM_ASYNC_THREADS: ("num-async-threads", (os.cpu_count() or 1) * 2),
        of.CHAT_ASYNC: ("chat.async", True),
        of.TOOL_CALL_ASYNC: ("tool-call.async", True),
        of.RAG_ASYNC: ("rag.async", True),
        of.SHORT_TERM_MEMORY_STATE_TTL_MS: ("short-term-memory.state-ttl.ms", 0),
    }
    assert all((each.name, each.default) == meant for each, meant in defaults.items())
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        assert lives(clock) == ["gold", "gold", "gold"]
        assert lives(clock, "ON_READ_AND_WRITE") == ["gold", "gold", "gold"]
        assert lives(clock, "ON_CREATE_AND_WRITE") == ["gold", "gold", None]


def lives(clock: Clock, update: str | None = None) -> list[Any]:
    """Return what visits find that come within the time to live, each after the one before."""

    def visit(event: Event, ctx: RunnerContext) -> None:
        if InputEvent.from_event(event).input == 0:
            ctx.short_term_memory.set("state", "gold")
        put(ctx, ctx.short_term_memory.get("state"))

    async def go() -> list[Any]:
        config: dict[str, Any] = {"short-term-memory.state-ttl.ms": 60_000}
        if update is not None:
            config["short-term-memory.state-ttl.update-type"] = update
        seen = []
        agent = Agent().add_action("visit", [InputEvent], visit)
        async with LocalEngine(config=config).open(agent) as job:
            for number in range(3):
                [output] = await (await job.submit(number, key="k")).outputs()
                seen.append(output.value)
                clock.forward(40)
        return seen

    return asyncio.run(go())
