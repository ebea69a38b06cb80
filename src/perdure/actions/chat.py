"""Chats: the built-in chat action, and a chat inside an action of one's own."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar, overload

from perdure.actions.conversation import Conversation
from perdure.actions.plain import finished
from perdure.actions.tool_call import call_tools
from perdure.callables import attribute
from perdure.context import RunnerContext
from perdure.llm.chat_model import BaseChatModelSetup
from perdure.llm.events import (
    ChatRequestEvent,
    ChatResponseEvent,
    ToolRequestEvent,
    ToolResponseEvent,
    messages_of,
)
from perdure.llm.message import ChatMessage
from perdure.resource import ResourceType

__all__ = ["ask", "chat", "chat_model_action"]

V = TypeVar("V")

_STATES = "_chat"  # in sensory memory: chats that wait for tools, by the id of the tool request


async def chat_model_action(
    event: ChatRequestEvent | ToolResponseEvent, ctx: RunnerContext
) -> None:
    """Begin the chat that an event asks for, or go on with one when its tools have answered."""
    if isinstance(event, ChatRequestEvent):
        conversation = Conversation.begin(
            ctx.get_resource(event.model, ResourceType.CHAT_MODEL),
            event.messages,
            request_id=event.id,
            prompt_args=event.prompt_args,
            output_schema=event.output_schema,
            is_own=True,  # the action's own copy of the event
        )
    else:
        found = _taken_up(event, ctx)
        if found is None:
            return  # somebody else asked for these tools
        conversation = found
    response = await conversation.ask(ctx)
    if not response.tool_calls:
        ctx.send_event(conversation.answered(response))
        return
    request = ToolRequestEvent(tool_calls=response.tool_calls, model=conversation.setup.name)
    ctx.send_event(request)
    ctx.sensory_memory.set(f"{_STATES}.{request.id}", conversation.state())


def _taken_up(event: ToolResponseEvent, ctx: RunnerContext) -> Conversation | None:
    path = f"{_STATES}.{event.request_id}"
    state = ctx.sensory_memory.get(path)
    if state is None:
        return None
    ctx.sensory_memory.delete(path)
    setup = ctx.get_resource(state["model"], ResourceType.CHAT_MODEL)
    conversation = Conversation.of_state(setup, state)
    conversation.take(event.responses)
    return conversation


def chat(
    ctx: RunnerContext,
    model: str | BaseChatModelSetup,
    messages: str | ChatMessage | Sequence[ChatMessage | str] = (),
    *,
    prompt_args: Mapping[str, Any] | None = None,
    output_schema: Any = None,
) -> Coroutine[Any, Any, ChatResponseEvent]:
    """Chat inside an action, tools included, and return the final answer.

    The same as a ChatRequestEvent, without events in between: each request and each tool call is a
    durable call of this action. In an `async def` action it is awaited, and several overlap with
    `asyncio.gather`; in a plain `def` action it returns the answer itself, and suspends the action
    until there is one.

    Args:
        ctx: The context of the action.
        model: A chat model resource, or its name.
        messages: The conversation; a str is one user message.
        prompt_args: What the places of the chat model's prompt are filled with.
        output_schema: What the answer shall fit; None: as the chat model says.

    Returns:
        The answer: `.text`, `.output` (the structured output) and `.response`, the message itself.

    Raises:
        ConfigurationError: no job has opened the chat model.
        TypeError: a message is neither a ChatMessage nor a str.
        ChatLimitError: it took more rounds or tokens than the chat model allows.
        OutputSchemaError: the answers did not fit the schema.
        BaseException: what the chat model's last attempt raised.
    """
    found: Coroutine[Any, Any, ChatResponseEvent]
    found = finished(ctx, _chat(ctx, model, messages, prompt_args, output_schema))
    return found


async def _chat(
    ctx: RunnerContext,
    model: str | BaseChatModelSetup,
    messages: str | ChatMessage | Sequence[ChatMessage | str],
    prompt_args: Mapping[str, Any] | None,
    output_schema: Any,
) -> ChatResponseEvent:
    setup = _opened(ctx, model)
    if attribute(ctx, "chats_make_events", True):
        asked = ChatRequestEvent(setup.name, messages).messages
    else:
        asked = messages_of(messages)
    conversation = Conversation.begin(
        setup,
        asked,
        prompt_args=prompt_args,
        output_schema=output_schema,
        is_own=isinstance(messages, str),
    )
    while True:
        response = await conversation.ask(ctx)
        if not response.tool_calls:
            return conversation.answered(response)
        conversation.take(await call_tools(ctx, conversation.callable_tools, response.tool_calls))


@overload
async def ask(
    ctx: RunnerContext,
    model: str | BaseChatModelSetup,
    messages: str | ChatMessage | Sequence[ChatMessage | str] = ...,
    *,
    output_schema: type[V],
    prompt_args: Mapping[str, Any] | None = ...,
) -> V: ...


@overload
async def ask(
    ctx: RunnerContext,
    model: str | BaseChatModelSetup,
    messages: str | ChatMessage | Sequence[ChatMessage | str] = ...,
    *,
    output_schema: Any = ...,
    prompt_args: Mapping[str, Any] | None = ...,
) -> Any: ...


def ask(
    ctx: RunnerContext,
    model: str | BaseChatModelSetup,
    messages: str | ChatMessage | Sequence[ChatMessage | str] = (),
    *,
    output_schema: Any = None,
    prompt_args: Mapping[str, Any] | None = None,
) -> Any:
    """Ask a chat model inside an action, tools included, and return what it answers.

    `chat` for those who want the answer and nothing about it; arguments and errors are its own, and
    a plain `def` action gets the answer itself, without `await`, as from `chat`.

    Returns:
        The structured output where `output_schema`, or the chat model, asks for one; else the text.
    """
    return finished(ctx, _ask(ctx, model, messages, output_schema, prompt_args))


async def _ask(
    ctx: RunnerContext,
    model: str | BaseChatModelSetup,
    messages: str | ChatMessage | Sequence[ChatMessage | str],
    output_schema: Any,
    prompt_args: Mapping[str, Any] | None,
) -> Any:
    setup = _opened(ctx, model)
    answer = await _chat(ctx, setup, messages, prompt_args, output_schema)
    is_text = output_schema is None and setup.output_schema is None
    return answer.text if is_text else answer.output


def _opened(ctx: RunnerContext, model: str | BaseChatModelSetup) -> BaseChatModelSetup:
    setup: BaseChatModelSetup
    setup = ctx.get_resource(model, ResourceType.CHAT_MODEL) if isinstance(model, str) else model
    _ = setup.context  # says so where no job has opened it
    return setup
