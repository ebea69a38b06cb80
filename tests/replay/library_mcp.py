"""An agent with an MCP server that runs in its own process; loaded when it is used."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from mcp.types import ImageContent, TextContent
from tests.replay.agents import fetch, note, out
from tests.replay.chats import Scripted, wants

from perdure import Agent, ChatModel, InputEvent, ResourceType, RetryPolicy, action, chat
from perdure.integrations.mcp import MCPServer
from perdure.llm.message import ChatMessage, MessageRole
from perdure.testing.mcp import scripted_mcp_server


def add(a: int, b: int) -> int:
    """Add two numbers."""
    note("add", a, b)
    return a + b


def photo(city: str) -> list[Any]:
    """Return a text and an image."""
    note("photo", city)
    data = base64.b64encode(b"\x89PNG").decode()
    return [
        TextContent(type="text", text=city),
        ImageContent(type="image", data=data, mime_type="image/png"),
    ]


def refuse(why: str) -> str:
    """Fail."""
    note("refuse", why)
    raise ValueError(f"refused: {why}")


async def ask(topic: str) -> str:
    """A prompt; a plain function would be called on a thread, whose time is not simulated."""
    return f"Tell me about {topic}."


def calls(messages: Sequence[ChatMessage], tools: Any) -> Any:
    """Want each tool called, and tell what they said."""
    said = [each.content for each in messages if each.role is MessageRole.TOOL]
    if not said:
        return wants(
            ("add", {"a": 2, "b": 3}), ("photo", {"city": "Bonn"}), ("refuse", {"why": "x"})
        )
    return "; ".join(said)


class Connected(Agent):
    """Uses the tools and the prompt of a server, by a model and by itself."""

    def __init__(self) -> None:
        server = scripted_mcp_server([add, photo, refuse], [ask])
        once = RetryPolicy(max_attempts=1)
        self.add_resource("server", ResourceType.MCP_SERVER, MCPServer(server=server, retry=once))
        model = ChatModel("fake", connection=Scripted("model", calls), tools=["server"])
        self.add_resource("model", ResourceType.CHAT_MODEL, model)

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        """Fetch the prompt, ask the model with it, and call a tool directly."""
        call = ctx.durable_execute_async
        server = ctx.get_resource("server", ResourceType.MCP_SERVER)
        prompt = ctx.get_resource("ask", ResourceType.PROMPT)
        messages = await call(prompt.fetch, topic=event.input)
        again = await call(server.get_prompt, "ask", {"topic": "snow"})
        answer = await chat(ctx, "model", messages)
        picture = await call(server.call_tool, "photo", {"city": "Rome"})
        try:
            await call(server.call_tool, "refuse", {"why": "no"})
        except Exception as error:
            refused = [type(error).__name__, str(error)]
        text = answer.response.text
        await call(fetch, f"{text} {refused}", 3)
        last = await call(server.call_tool, "add", {"a": 1, "b": 1})
        out(ctx, [messages, again, text, picture, refused, last])
