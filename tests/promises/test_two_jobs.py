"""Two jobs of one process at once that were given the same resources: each has its own."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.promises.support import out

from perdure import (
    Agent,
    ChatModel,
    Document,
    FunctionTool,
    InputEvent,
    LocalEngine,
    ResourceType,
    ToolCall,
    VectorStore,
    chat,
)
from perdure.testing import ScriptedChatModel


async def documents(event: Any, ctx: Any) -> None:
    store = ctx.get_resource("own", ResourceType.VECTOR_STORE)
    await ctx.durable_execute_async(store.add, [Document(f"of {event.input}")])
    await ctx.sleep(0.05)
    found = await ctx.durable_execute_async(store.get)
    out(ctx, [each.content for each in found])


async def chats(event: Any, ctx: Any) -> None:
    await ctx.sleep(event.input)  # the other job closes before this one asks
    out(ctx, (await chat(ctx, "model", "go")).response.content)


def both(agent: Agent, inputs: list[Any]) -> list[Any]:
    async def main() -> list[Any]:
        engines = [LocalEngine("memory://", job=f"job {n}") for n in range(len(inputs))]
        ran = [
            engine.run_async(agent, [value], key=lambda _: "k")
            for engine, value in zip(engines, inputs, strict=True)
        ]
        return [[each.value for each in outputs] for outputs in await asyncio.gather(*ran)]

    return asyncio.run(main())


def test_documents_go_into_the_index_of_the_own_job() -> None:
    agent = Agent().add_action("go", InputEvent, documents)
    agent.add_resource("own", ResourceType.VECTOR_STORE, VectorStore())
    assert both(agent, ["job a", "job b"]) == [[["of job a"]], [["of job b"]]]


def test_what_a_model_names_is_found_though_another_job_has_closed() -> None:
    async def look() -> str:
        return "found"

    connection = ScriptedChatModel(
        lambda messages, tools: (
            messages[-1].content
            if len(messages) > 1
            else ToolCall(id="1", name="look", arguments={})
        )
    )
    agent = Agent().add_action("go", InputEvent, chats)
    agent.add_resource("look", ResourceType.TOOL, FunctionTool(look))
    model = ChatModel("any", connection=connection, tools=["look"])
    agent.add_resource("model", ResourceType.CHAT_MODEL, model)
    assert both(agent, [0.0, 0.1]) == [["found"], ["found"]]
    assert len(connection.requests) == 4, "a copy shares what the original keeps in lists"


def test_one_after_the_other_uses_the_instance_itself() -> None:
    store = VectorStore()
    seen = []

    async def watch(event: Any, ctx: Any) -> None:
        seen.append(ctx.get_resource("own", ResourceType.VECTOR_STORE))

    watching = Agent().add_action("go", InputEvent, watch)
    watching.add_resource("own", ResourceType.VECTOR_STORE, store)
    for _ in range(2):
        LocalEngine("memory://").run(watching, [1], key=str)
    assert all(each is store for each in seen)
    assert store.resource_context is None, "closed"
