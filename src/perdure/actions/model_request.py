"""One request to a chat model, as a durable call; fallbacks where it fails."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from perdure.actions.bounds import bounded, is_of_the_callee
from perdure.annotations import signature_of
from perdure.call import DurableCall, RetryPolicy
from perdure.callables import attribute, innermost, is_coroutine_function
from perdure.config.configuration import AgentExecutionOptions
from perdure.context import RunnerContext
from perdure.llm.chat_model import (
    FINAL_RESULT,
    REQUEST,
    BaseChatModelSetup,
    answered,
)
from perdure.llm.message import ChatDelta, ChatMessage, MessageRole
from perdure.llm.output_schema import OutputSchema
from perdure.llm.response import checked_response
from perdure.llm.sendable import sendable_messages
from perdure.llm.skills.told import told
from perdure.llm.tool import Tool
from perdure.printable import printable_logger

__all__ = ["FINAL_RESULT", "Emit", "ask", "emitter"]

logger = printable_logger("perdure")

DEFAULT_RETRY: Final = RetryPolicy(max_attempts=4, retry_on=(TimeoutError, ConnectionError))

NO_OPTIONS: Final[Mapping[str, Any]] = {}
Emit = Callable[[ChatDelta], None]


class ModelRequest:
    """What the durable call of a request calls; the journal keeps its arguments, not it.

    Args:
        setup: the model that is asked.
        tools: what it may ask for.
        schema: what the provider shall enforce; None: nothing.
        emit: told the pieces of the response; None: it is not streamed.
        skills: what the model is told about skills; "": nothing.
        is_own: nobody but the chat has its messages.
    """

    __slots__ = ("_emit", "_is_own", "_schema", "_skills", "_tools", "setup")

    def __init__(
        self,
        setup: BaseChatModelSetup,
        tools: Sequence[Tool],
        schema: OutputSchema | None,
        emit: Emit | None,
        skills: str = "",
        *,
        is_own: bool = False,
    ) -> None:
        self.setup = setup
        self._tools = tools
        self._schema = schema
        self._emit = emit
        self._skills = skills
        self._is_own = is_own

    @property
    def call(self) -> Callable[[list[ChatMessage]], Any]:
        """What to call.

        That is `send`, `send_kept` where the connection says that it changes no message,
        `send_shared` where nobody does, or `send_plain` where its `chat` is plain; for a model with
        a `chat` of its own `send_own` or `send_own_plain`.
        """
        own = self.setup.chat
        if getattr(own, "__func__", None) is not BaseChatModelSetup.chat:
            return self.send_own if is_coroutine_function(own) else self.send_own_plain
        connection = self.setup.opened_connection
        if self._emit is None:
            chat: Any = connection.chat
            if not _is_coroutine_function(chat):
                return self.send_plain
        else:
            chat = connection.chat_stream
        if not attribute(chat, "keeps_arguments", False):
            return self.send
        return self.send_shared if self._is_own else self.send_kept

    async def send_own(self, messages: list[ChatMessage]) -> ChatMessage:
        """Have the model's own `chat` make the request, on the host loop."""
        return checked_response(await self._own(messages), self.setup)

    def send_own_plain(self, messages: list[ChatMessage]) -> Any:
        """Have the model's own `chat` make it, on a thread; what it hands on is awaited then."""
        found = self._own(messages)
        if inspect.isawaitable(found):
            return self._checked(found)
        return checked_response(found, self.setup)

    def _own(self, messages: list[ChatMessage]) -> Any:
        REQUEST.set(self)  # in the context of this attempt alone
        chat = self.setup.chat
        takes = signature_of(chat).parameters
        several = len(takes) > 1 or any(each.kind is each.VAR_POSITIONAL for each in takes.values())
        return chat(messages, {}) if several else chat(messages)

    async def _checked(self, found: Awaitable[Any]) -> ChatMessage:
        REQUEST.set(self)
        return checked_response(await found, self.setup)

    async def pass_on(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> ChatMessage:
        """Ask the connection: told by the model's own `chat`."""
        return await self.send(list(messages), options)

    async def send(
        self, messages: list[ChatMessage], more: Mapping[str, Any] = NO_OPTIONS
    ) -> ChatMessage:
        """Make the request, on the host loop."""
        connection, options = self.setup.opened_connection, {**self._options(), **more}
        sent, tools = self._sent(messages), self._tools or None
        if self._emit is None:
            return await answered(connection.chat, sent, tools, **options)
        response = await connection.chat_stream(sent, tools, emit=self._emit, **options)
        self._emit(ChatDelta(done=True))
        return checked_response(response, connection)

    async def send_kept(self, messages: list[ChatMessage]) -> ChatMessage:
        """Do what `send` does; the messages stay as they are, so that attempts may share them."""
        return await self.send(messages)

    send_kept.keeps_arguments = True  # type: ignore[attr-defined]

    async def send_shared(self, messages: list[ChatMessage]) -> ChatMessage:
        """Do what `send_kept` does; the messages are not even copied for it."""
        return await self.send(messages)

    send_shared.shares_arguments = True  # type: ignore[attr-defined]

    def send_plain(self, messages: list[ChatMessage]) -> ChatMessage:
        """Make the request, on a thread of the job's pool."""
        chat = self.setup.opened_connection.chat
        found = chat(self._sent(messages), self._tools or None, **self._options())
        if inspect.isawaitable(found):  # of a plain function around a coroutine function
            found = asyncio.run(_awaited(found))
        return checked_response(found, self.setup.opened_connection)

    def _sent(self, messages: list[ChatMessage]) -> Sequence[ChatMessage]:
        return sendable_messages(told(messages, self._skills) if self._skills else messages)

    def _options(self) -> dict[str, Any]:
        options = self.setup.model_kwargs
        return options if self._schema is None else {**options, "output_schema": self._schema}


def _is_coroutine_function(chat: Callable[..., Any]) -> bool:
    """Say whether a connection's `chat` is one; asked for each request, so remembered."""
    if type(chat) is not types.MethodType:
        return is_coroutine_function(innermost(chat))
    function = chat.__func__
    found = _COROUTINE_FUNCTIONS.get(function)
    if found is None:
        found = is_coroutine_function(innermost(function))
        _COROUTINE_FUNCTIONS[function] = found
    return found


_COROUTINE_FUNCTIONS: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


async def _awaited(found: Awaitable[Any]) -> Any:
    return await found


async def ask(
    ctx: RunnerContext,
    setup: BaseChatModelSetup,
    messages: list[ChatMessage],
    tools: Sequence[Tool],
    schema: OutputSchema | None,
    emit: Emit | None,
    *,
    is_own: bool,
) -> ChatMessage:
    """Return a chat model's response; where it fails, that of the first fallback that does not.

    Each model that is asked is one durable call, with its own attempts. `is_own` says that nobody
    else has the messages.
    """
    fallbacks = setup.fallback_list()
    skills = setup.skill_discovery_prompt  # a fallback has this one's tools, and so its skills
    for candidate in (setup, *fallbacks):
        try:
            return await _request(ctx, candidate, messages, tools, schema, emit, skills, is_own)
        except Exception as error:
            if not is_of_the_callee(error) or candidate is (fallbacks or [setup])[-1]:
                raise
            ctx.logger.warning("chat model %s failed, asking the next: %s", candidate.name, error)
    raise AssertionError("unreachable: the last candidate returns or raises")


def _request(
    ctx: RunnerContext,
    setup: BaseChatModelSetup,
    messages: list[ChatMessage],
    tools: Sequence[Tool],
    schema: OutputSchema | None,
    emit: Emit | None,
    skills: str,
    is_own: bool,
) -> DurableCall[ChatMessage]:
    """Make the durable call of one request.

    Its name is `chat:NAME` and its arguments are the messages: what else the setup says may change
    while a run is under way.
    """
    enforced = None
    if schema is not None:
        mode = _mode_of(setup)
        if mode == "native":
            enforced = schema
        elif mode == "tool":
            tools = [*tools, _final_tool(schema)]
        else:
            messages = _instructed(messages, schema)
    request = ModelRequest(setup, tools, enforced, emit, skills, is_own=is_own)
    asking = bounded(
        ctx,
        f"chat:{setup.name}",
        AgentExecutionOptions.CHAT_ASYNC,
        timeout=setup.timeout,
        retry=setup.retry or ctx.config.retry_policy() or DEFAULT_RETRY,
        limit=setup.limit,
    )
    return asking.durable_execute_async(request.call, messages)


def _mode_of(setup: BaseChatModelSetup) -> str:
    if setup.output_mode != "auto":
        return setup.output_mode
    return setup.opened_connection.output_mode(setup.model)


async def _not_called(**arguments: Any) -> None:
    raise AssertionError("the call of this tool is the answer")


@functools.lru_cache(maxsize=256)  # one object for a schema: connections know a tool again by it
def _final_tool(schema: OutputSchema) -> Tool:
    return Tool(
        _not_called,
        name=FINAL_RESULT,
        description="Give the final answer. Call it once, when nothing else is left to do.",
        parameters=schema.json_schema,
    )


def _instructed(messages: list[ChatMessage], schema: OutputSchema) -> list[ChatMessage]:
    """Return the messages with an instruction after the system messages at their beginning."""
    index = 0
    while index < len(messages) and messages[index].role is MessageRole.SYSTEM:
        index += 1
    return [*messages[:index], ChatMessage.system(schema.instruction()), *messages[index:]]


def emitter(ctx: RunnerContext, setup: BaseChatModelSetup, request_id: str) -> Emit | None:
    """Return what tells the setup's listener the pieces of a response; None without a listener.

    What the listener raises is logged: it changes no outcome.
    """
    listener = setup.stream
    if listener is None:
        return None
    run_id, key, name = ctx.run_id, ctx.key, setup.name

    def emit(delta: ChatDelta) -> None:
        whole = ChatDelta(
            model=name, run_id=run_id, key=key, request_id=request_id, text=delta.text,
            reasoning=delta.reasoning, done=delta.done,
        )  # fmt: skip
        try:
            listener(whole)
        except Exception:
            logger.exception("the stream listener of chat model %r failed", name)

    return emit
