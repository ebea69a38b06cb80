"""A chat model's own `chat` is what chats call: it redacts, caches, or stands in for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.promises.support import State, run

from perdure import (
    Agent,
    BaseChatModelConnection,
    BaseChatModelSetup,
    ChatMessage,
    ChatRequestEvent,
    ChatResponseEvent,
    ConfigurationError,
    InputEvent,
    MessageRole,
    OutputEvent,
    Prompt,
    ReActAgent,
    ResourceType,
    ToolCall,
    ToolRequestEvent,
    chat,
)


class Echo(BaseChatModelConnection):
    """Says what it was sent, and with what."""

    def chat(self, messages: Sequence[ChatMessage], tools: Any = None, **kwargs: Any) -> Any:
        names = [tool.name for tool in tools or ()]
        State.calls.append((names, {k: v for k, v in kwargs.items() if k != "output_schema"}))
        said = " / ".join(message.content for message in messages)
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"RAW: {said}")


def clean(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    return [
        ChatMessage(role=each.role, content=each.content.replace("secret", "***"))
        for each in messages
    ]


class Redacting(BaseChatModelSetup):
    """Takes secrets out, and asks the model with one option more."""

    async def chat(self, messages: Any, prompt_args: Any = None, **kwargs: Any) -> ChatMessage:
        return await super().chat(clean(messages), prompt_args, extra=1, **kwargs)


class RedactingPlain(BaseChatModelSetup):
    """The same as a plain method, which hands on a coroutine."""

    def chat(self, messages: Any, prompt_args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().chat(clean(messages), prompt_args, extra=1, **kwargs)


class Stub(BaseChatModelSetup):
    """Never asks anybody."""

    def chat(self, messages: Any) -> ChatMessage:  # type: ignore[override]
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"stub of {len(messages)}")


def lookup(city: str) -> str:
    """Look a city up.

    Args:
        city: Its name.
    """
    return city


def setup(cls: Any) -> BaseChatModelSetup:
    found: BaseChatModelSetup = cls(
        connection=Echo(), model="m", tools=[lookup], prompt=Prompt("be brief"), temperature=0
    )
    return found


class ByEvents(Agent):
    """Asks by an event."""

    @staticmethod
    def ask(event: Any, ctx: Any) -> None:
        message = ChatMessage(role=MessageRole.USER, content="my secret")
        ctx.send_event(ChatRequestEvent(model="m", messages=[message]))

    @staticmethod
    def got(event: Any, ctx: Any) -> None:
        said = ChatResponseEvent.from_event(event).response.content
        ctx.send_event(OutputEvent(output=said))


def by_events(cls: Any) -> Agent:
    agent = ByEvents().add_action("ask", [InputEvent], ByEvents.ask)
    agent.add_action("got", [ChatResponseEvent], ByEvents.got)
    return agent.add_resource("m", ResourceType.CHAT_MODEL, setup(cls))


def inside(cls: Any) -> Agent:
    async def go(event: Any, ctx: Any) -> None:
        message = ChatMessage(role=MessageRole.USER, content="my secret")
        response = await chat(ctx, "m", [message])
        ctx.send_event(OutputEvent(output=response.response.content))

    agent = Agent().add_action("go", [InputEvent], go)
    return agent.add_resource("m", ResourceType.CHAT_MODEL, setup(cls))


def react(cls: Any) -> Agent:
    return ReActAgent(chat_model=setup(cls))


@pytest.mark.parametrize("way", [by_events, inside, react])
@pytest.mark.parametrize("cls", [Redacting, RedactingPlain])
def test_what_chats_call_is_the_models_own_chat(cls: Any, way: Any, store: str) -> None:
    [said] = run(way(cls), ["my secret"], store=store, key=str)
    assert said.startswith("RAW: be brief")
    assert said.count("be brief") == 1  # the prompt is there once
    assert "***" in said
    assert "secret" not in said
    # It goes out with the tools and the settings of the chat, and what it adds.
    assert State.calls == [(["lookup"], {"model": "m", "temperature": 0, "extra": 1})]


@pytest.mark.parametrize("way", [by_events, inside])
def test_an_own_chat_that_asks_nobody_is_the_answer(way: Any, store: str) -> None:
    assert run(way(Stub), ["x"], store=store, key=str) == ["stub of 2"]
    assert State.calls == []


def test_a_tool_call_may_be_a_mapping_where_it_is_made() -> None:
    plain = {"id": 7, "name": "lookup", "arguments": {"city": "Bonn"}}
    nested = {"id": "8", "type": "function", "function": {"name": "lookup", "arguments": {}}}
    message = ChatMessage(role=MessageRole.ASSISTANT, tool_calls=[plain, nested])  # type: ignore[list-item]
    wanted = [
        ToolCall(id="7", name="lookup", arguments={"city": "Bonn"}),
        ToolCall(id="8", name="lookup", arguments={}),
    ]
    assert message.tool_calls == wanted
    assert ToolRequestEvent([plain, nested]).tool_calls == wanted
    for wrong in ({"name": "lookup"}, {"id": 1, "function": "lookup"}, "lookup", 7, {}):
        with pytest.raises(ConfigurationError, match="is no tool call"):
            ChatMessage(role=MessageRole.ASSISTANT, tool_calls=[wrong])  # type: ignore[list-item]
        with pytest.raises(ConfigurationError, match="is no tool call"):
            ToolRequestEvent([wrong])  # type: ignore[list-item]
