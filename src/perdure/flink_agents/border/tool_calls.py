"""Tool calls as theirs are made: what a tool gives, or that it failed, by the id of the call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from perdure.actions.bounds import bounded, is_of_the_callee
from perdure.actions.tool_call import keeps_refused, refuse
from perdure.config.configuration import AgentExecutionOptions as CoreOptions
from perdure.errors import ToolArgumentsError
from perdure.flink_agents.api.core_options import AgentExecutionOptions
from perdure.flink_agents.api.events.event import Event
from perdure.flink_agents.api.events.tool_event import ToolRequestEvent, ToolResponseEvent
from perdure.flink_agents.api.memory_object import MemoryObject
from perdure.flink_agents.api.resource import ResourceType
from perdure.flink_agents.api.skills import BASH_TOOL, LOAD_SKILL_TOOL
from perdure.flink_agents.api.tools.function_tool import FunctionTool
from perdure.flink_agents.api.tools.tool import Tool
from perdure.flink_agents.api.tools.tool_parameter_injection import (
    InjectedArg,
    ToolParameterSource,
)
from perdure.flink_agents.api.tools.tool_response import ToolResponse
from perdure.flink_agents.border.context import BorderContext
from perdure.flink_agents.border.delegations import Delegations, is_delegation
from perdure.flink_agents.border.skills import SkillTool
from perdure.llm.sendable import sendable

__all__ = ["call_tools"]


async def call_tools(event: Event, ctx: BorderContext) -> None:
    """Call the tools that an event asks for, `tool-call.parallelism` at a time, and answer it."""
    assert isinstance(event, ToolRequestEvent)
    answer, delegations = _Answer(event), Delegations(ctx)
    places = asyncio.Semaphore(_parallelism(ctx))

    async def called(call: dict[str, Any]) -> None:
        async with places:
            if is_delegation(_name(call)):
                await _delegate(call, delegations, answer)
            else:
                await _call(call, ctx, answer)

    tasks = [asyncio.create_task(called(each)) for each in event.tool_calls]
    milliseconds = ctx.config.get(AgentExecutionOptions.TOOL_CALL_BATCH_TIMEOUT_MS)
    try:
        async with asyncio.timeout(milliseconds / 1000 if milliseconds > 0 else None):
            await asyncio.gather(*tasks)
    except TimeoutError:
        for each in event.tool_calls:
            if each["id"] not in answer.success:
                said = f"the tool calls took longer than {milliseconds} ms"
                kind = "Sub-agent" if is_delegation(_name(each)) else "Tool"
                answer.failed(each, f"{kind} `{_name(each)}` execute failed.", said)
                delegations.give_up(each["id"])
    ctx.send_event(answer.event())


class _Answer:
    def __init__(self, request: ToolRequestEvent) -> None:
        self._request = request
        self.model: str = request.model
        self.responses: dict[str, Any] = {}
        self.success: dict[str, bool] = {}
        self.error: dict[str, str] = {}

    def failed(self, call: dict[str, Any], told: str, error: str) -> None:
        self.responses[call["id"]] = told
        self.success[call["id"]] = False
        self.error[call["id"]] = error

    def event(self) -> ToolResponseEvent:
        calls = self._request.tool_calls
        order = [each["id"] for each in calls]
        return ToolResponseEvent(
            request_id=self._request.id,
            responses={each: self.responses[each] for each in order},
            external_ids={each["id"]: each.get("original_id") for each in calls},
            success={each: self.success[each] for each in order},
            error={each: self.error[each] for each in order if each in self.error},
        )


def _name(call: dict[str, Any]) -> str:
    return str(call["function"]["name"])


def _parallelism(ctx: BorderContext) -> int:
    values = ctx.config
    one_by_one = not values.get(AgentExecutionOptions.TOOL_CALL_PARALLEL)
    if one_by_one or not values.get(AgentExecutionOptions.TOOL_CALL_ASYNC):
        return 1
    several = values.get(AgentExecutionOptions.TOOL_CALL_NUM_ASYNC_THREADS)
    return max(1, int(several or values.get(AgentExecutionOptions.TOOL_CALL_PARALLELISM)))


async def _call(call: dict[str, Any], ctx: BorderContext, answer: _Answer) -> None:
    name, call_id = _name(call), call["id"]
    missing = f"Tool `{name}` does not exist."
    tool: Tool | None = None
    with contextlib.suppress(KeyError):
        tool = _tool(name, answer.model, ctx)
    if tool is None and not keeps_refused(ctx.core):
        answer.failed(call, missing, missing)
        return
    try:
        arguments = dict(call["function"]["arguments"] or {})
        if tool is None:
            # It may have been there in an earlier life of the run, and its result be recorded.
            result = await refuse(ctx.core, sendable(name), arguments, missing)
        else:
            if isinstance(tool, FunctionTool):
                # What is injected wins: no model can say for whom a tool works.
                for parameter, each in tool.injected_args.items():
                    arguments[parameter] = _injected(each, ctx)
            calling = bounded(ctx.core, f"tool:{name}", CoreOptions.TOOL_CALL_ASYNC)
            result = await calling.durable_execute_async(_durable(tool), **arguments)
    except ToolArgumentsError:
        if tool is not None:
            raise
        answer.failed(call, missing, missing)
        return
    except Exception as error:
        if not is_of_the_callee(error):
            raise
        answer.failed(call, f"Tool `{name}` execute failed.", str(error))
        return
    if isinstance(result, ToolResponse):
        if result.is_error():
            answer.failed(call, str(result), str(result))
            return
        result = result.result
    answer.responses[call_id] = result
    answer.success[call_id] = True


def _tool(name: str, model: str, ctx: BorderContext) -> Tool:
    """Return a tool; `load_skill` and `bash` are those of the chat model that asks.

    Raises:
        KeyError: There is none.
    """
    if name in (LOAD_SKILL_TOOL, BASH_TOOL):
        with contextlib.suppress(KeyError):  # the model is whatever an action wrote
            setup = ctx.get_resource(model, ResourceType.CHAT_MODEL)
            for each in setup.tools:
                if isinstance(each, SkillTool) and each.name == name:
                    return each
    tool: Tool = ctx.get_resource(name, ResourceType.TOOL)
    return tool


def _durable(tool: Tool) -> Callable[..., Any]:
    if isinstance(tool, FunctionTool):
        func: Callable[..., Any] = tool.func.as_callable()
        return func
    # What can be cancelled says how; another tool's `call` has its thread to itself.
    durable: Callable[..., Any] = getattr(tool, "durable", tool.call)
    return durable


async def _delegate(call: dict[str, Any], delegations: Delegations, answer: _Answer) -> None:
    name, call_id = _name(call), call["id"]
    try:
        arguments = dict(call["function"]["arguments"] or {})
        result = await delegations.made(call_id, name, arguments)
    except Exception as error:
        if not is_of_the_callee(error):
            raise
        # Told why, the model can ask otherwise.
        reason = str(error.args[0]) if isinstance(error, KeyError) else str(error)
        told = f"Sub-agent `{name}` execute failed"
        answer.failed(call, f"{told}: {reason}" if reason else f"{told}.", reason)
        return
    answer.responses[call_id] = result
    answer.success[call_id] = True


def _injected(each: InjectedArg, ctx: BorderContext) -> Any:
    if not each.key:
        raise ValueError("Injected tool parameter is missing key")
    if each.source == ToolParameterSource.CONFIG:
        values = ctx.config.conf_data
        if each.key not in values:
            raise ValueError(f"Missing config for injected tool parameter: {each.key}")
        return values[each.key]
    is_sensory = each.source == ToolParameterSource.SENSORY_MEMORY
    memory = ctx.sensory_memory if is_sensory else ctx.short_term_memory
    if not memory.is_exist(each.key):
        raise ValueError(f"Missing memory path for injected tool parameter: {each.key}")
    value = memory.get(each.key)
    if isinstance(value, MemoryObject):
        raise TypeError(
            f"Memory path for injected tool parameter must reference a value: {each.key}"
        )
    return value
