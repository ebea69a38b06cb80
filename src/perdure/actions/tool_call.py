"""Tool calls: each one durable, several at the same time, with a person's approval where needed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final

from perdure.actions.approval import approval
from perdure.actions.bounds import bounded, is_of_the_callee
from perdure.actions.plain import refuse_tasks
from perdure.actions.tool_results import ToolResultForm
from perdure.call import NO_OPTIONS, CallOptions, RetryPolicy
from perdure.callables import attribute
from perdure.config.configuration import AgentExecutionOptions
from perdure.context import RunnerContext
from perdure.errors import (
    AgentDefinitionError,
    ChatLimitError,
    ConfigurationError,
    OutputSchemaError,
    ToolArgumentsError,
)
from perdure.llm.chat_model import BaseChatModelSetup
from perdure.llm.events import ToolRequestEvent, ToolResponseEvent
from perdure.llm.message import ToolCall, ToolResponse
from perdure.llm.tool import Tool, checked_tool_name
from perdure.resource import Resource, ResourceType

__all__ = ["call_tools", "keeps_refused", "refuse", "tool_call_action"]

_OF_A_CHAT: Final = (ChatLimitError, OutputSchemaError)  # what a sub-agent's own chat may raise
_ONCE: Final = CallOptions(retry=RetryPolicy(max_attempts=1))
_RAISES: Final = "_perdure_raises"  # set on what a tool with on_error="raise" raised


async def tool_call_action(event: ToolRequestEvent, ctx: RunnerContext) -> None:
    """Call the tools that an event asks for and answer it."""
    calls = [ToolCall.of(each) for each in event.tool_calls]  # a plain Event may have mappings
    _refuse_shared_ids(calls)
    responses = await call_tools(ctx, _tools_of(event.model, calls, ctx), calls)
    ctx.send_event(ToolResponseEvent(request_id=event.id, responses=responses))


def _refuse_shared_ids(calls: list[ToolCall]) -> None:
    """Refuse calls whose results could not be told apart; those of a chat have ids of their own."""
    seen: set[str] = set()
    for each in calls:
        if each.id in seen:
            raise ConfigurationError(
                f"ToolRequestEvent: two of its tool_calls have the id {each.id!r}: give each an id"
                " of its own, under which its result comes"
            )
        seen.add(each.id)


def _tools_of(model: str, calls: Iterable[ToolCall], ctx: RunnerContext) -> Mapping[str, Resource]:
    if model:
        setup: BaseChatModelSetup = ctx.get_resource(model, ResourceType.CHAT_MODEL)
        return {each.name: each for each in setup.tool_list()}
    found = {}
    for each in calls:
        with contextlib.suppress(ConfigurationError):  # an unknown one is answered as such
            found[each.name] = ctx.get_resource(each.name, ResourceType.TOOL)
    return found


async def call_tools(
    ctx: RunnerContext, tools: Mapping[str, Resource], calls: Iterable[ToolCall]
) -> dict[str, ToolResponse]:
    """Call tools, `tool-call.parallelism` at a time, and return what came of each call.

    Args:
        ctx: The context of the action.
        tools: Tools and sub-agents by name.
        calls: What shall be called.

    Raises:
        BaseException: What a tool with `on_error="raise"` raised.
    """
    refuse_tasks()
    calls = list(calls)
    form = ToolResultForm(ctx, len(calls))
    places = asyncio.Semaphore(ctx.config.get(AgentExecutionOptions.TOOL_CALL_PARALLELISM))

    keeps = keeps_refused(ctx)

    async def answered(call: ToolCall) -> ToolResponse:
        tool, arguments = tools.get(call.name), call.arguments
        if tool is None:
            known = ", ".join(tools) or "none"
            why = f"there is no tool {call.name!r}; there are: {known}"
            if not keeps:
                return _failed(call, why)
            tool = _NoTool(call.name, why)
        if isinstance(arguments, str):
            return _failed(call, f"the arguments are no JSON object: {arguments[:200]}")
        if isinstance(tool, Tool) and tool.requires_approval:
            try:
                tool.checked(dict(arguments))  # nobody is asked about what cannot be called
            except ToolArgumentsError as error:
                if not keeps:
                    return _failed(call, str(error))
            else:
                verdict = await approval(ctx, call)
                if verdict.denied is not None:
                    return _failed(call, verdict.denied)
                arguments = verdict.arguments
        async with places:
            return await _called(ctx, tool, call, arguments, form)

    tasks = [asyncio.create_task(answered(call)) for call in calls]
    try:
        responses = await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    return {each.id: each for each in responses}


class _NoTool(Tool):
    """Stands for a tool that there is not, or not any more: it takes no arguments."""

    def __init__(self, name: str, why: str) -> None:
        try:
            checked_tool_name(name)
        except AgentDefinitionError:  # of a model's own making: no tool can ever have it
            name = "unknown"
        super().__init__(self.checked, name=name)
        self._why = why

    def checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        raise ToolArgumentsError(self._why)


def _failed(call: ToolCall, error: str) -> ToolResponse:
    return ToolResponse(id=call.id, name=call.name, error=error)


async def _called(
    ctx: RunnerContext,
    tool: Resource,
    call: ToolCall,
    arguments: dict[str, Any],
    form: ToolResultForm,
) -> ToolResponse:
    try:
        if isinstance(tool, Tool):
            result = await _call(ctx, tool, arguments, form)
        else:
            agent: Any = tool
            result = await agent.run(ctx, arguments)
    except ToolArgumentsError as error:
        return _failed(call, str(error))
    except Exception as error:
        if getattr(tool, "on_error", "return") == "raise":
            vars(error)[_RAISES] = True  # through the sub-agents that asked for it, too
        if _RAISES in vars(error) or not is_of_the_callee(error, *_OF_A_CHAT):
            raise
        return _failed(call, f"{type(error).__name__}: {error}")
    return ToolResponse(id=call.id, name=call.name, result=result)


async def _call(
    ctx: RunnerContext, tool: Tool, arguments: dict[str, Any], form: ToolResultForm
) -> Any:
    refusal: str | None = None
    try:
        checked = tool.checked(arguments)
    except ToolArgumentsError as error:
        if not keeps_refused(ctx):
            raise
        refusal = str(error)
    if refusal is not None:
        return await refuse(ctx, tool.name, arguments, refusal)
    checked.update(tool.injected(lambda kind, name: _injected(ctx, kind, name)))
    calling = bounded(
        ctx,
        f"tool:{tool.name}",
        AgentExecutionOptions.TOOL_CALL_ASYNC,
        timeout=tool.timeout,
        retry=tool.retry,
        limit=tool.limit,
    )
    call: Any = functools.partial(tool.func)
    call.__perdure_options__ = attribute(tool.func, "__perdure_options__", NO_OPTIONS)
    call.journal_form = form
    call.recorded_with = (arguments,)  # by `refuse`, when the tool did not take them
    return await calling.durable_execute_async(call, **checked)


def keeps_refused(ctx: RunnerContext) -> bool:
    """Say whether an action makes a durable call of what no tool takes: those of before do not."""
    return attribute(ctx, "keeps_refused_calls", False) is True


async def refuse(ctx: RunnerContext, name: str, arguments: dict[str, Any], why: str) -> Any:
    """Make the durable call of a tool that does not take the arguments now: it fails.

    Tools of servers, and code, change between the lives of a run. So each call that a model asked
    for has its number in the journal whether a tool takes it or not, and what came of one that was
    carried out is its outcome still.

    Args:
        ctx: The context of the action.
        name: The tool's name.
        arguments: As the model gave them.
        why: What the model is told.

    Raises:
        ToolArgumentsError: Nothing else is recorded.
    """

    async def refused(arguments: dict[str, Any]) -> None:
        raise ToolArgumentsError(why)

    call: Any = refused
    call.__perdure_options__ = _ONCE
    call.recorded_with = None  # in the form that the tool took them in, and with what it was given
    calling = bounded(ctx, f"tool:{name}", AgentExecutionOptions.TOOL_CALL_ASYNC)
    return await calling.durable_execute_async(call, arguments)


def _injected(ctx: RunnerContext, kind: str, name: str) -> Any:
    """Return a value that a tool gets without the model knowing."""
    match kind:
        case "short_term_memory":
            return ctx.short_term_memory.get(name)
        case "sensory_memory":
            return ctx.sensory_memory.get(name)
        case "config":
            return ctx.config.agent.get(name.removeprefix("agent."))
        case "action_config":
            return ctx.get_action_config_value(name)
        case "key":
            return ctx.key
        case "run_id":
            return ctx.run_id
    raise AssertionError(f"unknown source of an injected argument: {kind}")
