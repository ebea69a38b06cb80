"""Agents with models, for the benchmarks; the models are scripted, the durable part is not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from perdure import (
    Agent,
    ChatMessage,
    ChatModel,
    ChatRequestEvent,
    ChatResponseEvent,
    InputEvent,
    LocalEngine,
    OutputEvent,
    ReActAgent,
    ResourceType,
    RetryableError,
    RunnerContext,
    ToolCall,
    action,
    chat,
)
from perdure.testing import ScriptedChatModel


class ByEvents(Agent):
    """One chat by events and one output: three actions a run."""

    @action(InputEvent)
    async def ask(self, event: InputEvent, ctx: RunnerContext) -> None:
        ctx.send_event(ChatRequestEvent("model", event.input))

    @action(ChatResponseEvent)
    async def answer(self, event: ChatResponseEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.response.content))


class Inside(Agent):
    """One chat inside an action and one output."""

    @action(InputEvent)
    async def ask(self, event: InputEvent, ctx: RunnerContext) -> None:
        answer = await chat(ctx, "model", event.input)
        ctx.send_event(OutputEvent(output=answer.response.content))


def chat_cpu(store: str, count: int, inside: bool) -> dict[str, Any]:
    """CPU per run with one chat on Pydantic AI's TestModel, and that of the bare request."""
    from pydantic_ai.models.test import TestModel

    agent = Inside() if inside else ByEvents()
    engine = LocalEngine(f"sqlite:///{store}", job="bench")
    engine.add_resource("model", ResourceType.CHAT_MODEL, ChatModel(TestModel()))
    engine.run(agent, [f"warm {n}" for n in range(50)], key=lambda value: value, id=lambda v: v)
    began = time.process_time()
    texts = [f"text {n}" for n in range(count)]
    outputs = engine.run(agent, texts, key=lambda value: value, id=lambda value: value)
    used = time.process_time() - began
    assert len(outputs) == count
    return {"cpu_ms": used / count * 1e3, "bare_ms": _bare_request(count)}


def _bare_request(count: int) -> float:
    from pydantic_ai.messages import ModelRequest
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.models.test import TestModel

    async def measure() -> float:
        model, began = TestModel(), time.process_time()
        for n in range(count):
            messages = [ModelRequest.user_text_prompt(f"text {n}")]
            await model.request(messages, None, ModelRequestParameters())
        return (time.process_time() - began) / count * 1e3

    return asyncio.run(measure())


def two_chats_and_a_tool(seconds: float, keys: int, config: dict[str, Any]) -> dict[str, Any]:
    """Wall time of `keys` runs of two requests and a tool call, each of `seconds`."""

    async def look(place: str) -> str:
        await asyncio.sleep(seconds)
        return f"sunny in {place}"

    script = [ToolCall(id="1", name="look", arguments={"place": "Rome"}), "It is sunny."]
    model = ScriptedChatModel(script, delay=seconds)
    agent = ReActAgent(chat_model=ChatModel("any", connection=model, tools=[look]))
    began = time.perf_counter()
    outputs = LocalEngine("memory://", config=config).run(
        agent, [f"key {n}" for n in range(keys)], key=lambda value: value
    )
    return {"wall": time.perf_counter() - began, "outputs": [each.value for each in outputs]}


def five_tools(seconds: float) -> dict[str, Any]:
    """Wall time of five tool calls of one turn."""

    async def look(place: str) -> str:
        await asyncio.sleep(seconds)
        return place

    def script(messages: Any, tools: Any) -> Any:
        if len(messages) > 1:
            return "done"
        return [ToolCall(id=str(n), name="look", arguments={"place": str(n)}) for n in range(5)]

    connection = ScriptedChatModel(script)
    agent = ReActAgent(chat_model=ChatModel("any", connection=connection, tools=[look]))
    engine = LocalEngine("memory://", config={"tool-call.parallelism": 5})
    began = time.perf_counter()
    engine.run(agent, ["go"], key=lambda value: value)
    return {"wall": time.perf_counter() - began}


def beside_a_retry(store: str, count: int, retrying: bool) -> dict[str, Any]:
    """Wall time of `count` chats one after another, beside a chat that backs off for 30 s."""

    def script(messages: list[ChatMessage], tools: Any) -> Any:
        if messages[-1].content == "slow":
            return RetryableError("busy", retry_after=30.0)
        return "quick"

    async def measure() -> float:
        engine = LocalEngine(f"sqlite:///{store}", job="bench")
        model = ChatModel("any", connection=ScriptedChatModel(script))
        engine.add_resource("model", ResourceType.CHAT_MODEL, model)
        took = 0.0
        try:
            async with engine.open(ByEvents()) as job:
                if retrying:
                    await job.submit("slow", key="slow")
                await (await job.submit("warm", key="warm")).outputs()
                began = time.perf_counter()
                for n in range(count):
                    await (await job.submit(f"text {n}", key="quick")).outputs()
                took = time.perf_counter() - began
                raise KeyboardInterrupt  # the chat that backs off goes on another time
        except KeyboardInterrupt:
            return took

    return {"wall": asyncio.run(measure())}
