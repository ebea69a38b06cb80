"""One run of a Pydantic AI agent in an action; loaded on the first run of a `DurableAgent`.

The agent loop gets three things that are ours, all of them for this run alone: a model that makes
its requests through durable calls, toolsets that make their calls so, and a capability that brings
both in and gives times and ids that are the same on replay.
"""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, cast

from pydantic_ai._utils import disable_threads
from pydantic_ai.agent import AbstractAgent, AgentRunResult
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestContext,
    ModelRequestParameters,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.output import OutputContext
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import (
    AbstractToolset,
    DynamicToolset,
    FunctionToolset,
    ToolsetTool,
    WrapperToolset,
)
from pydantic_ai.usage import RequestUsage

from perdure.context import RunnerContext
from perdure.errors import ConfigurationError
from perdure.integrations import pydantic_ai_forms as forms
from perdure.integrations.agent_library import (
    HostCall,
    LibraryCalls,
    know_types,
    settings_of,
)
from perdure.integrations.pydantic_ai_forms import types_of as types_of

_CONVERSATIONS = uuid.UUID("6e0f4a52-3b0c-4b53-9a2e-0d6f2a0a9a51")
RUNS: ContextVar[AbstractAgent[Any, Any] | None] = ContextVar("perdure_durable_agent", default=None)
"""The agent that a `DurableAgent` runs here: a capability of it has nothing to add."""


def conversation_of(run_id: str) -> str:
    """Return the id of the conversation that a run begins."""
    return str(uuid.uuid5(_CONVERSATIONS, run_id))


class AgentCalls(LibraryCalls):
    """The durable calls of one `DurableAgent.run`.

    Owns: the messages that have got their times.
    """

    LIBRARY = "pydantic_ai"

    def __init__(self, ctx: RunnerContext, name: str, **options: Any) -> None:
        super().__init__(ctx, name, **options)
        self._stamped: dict[int, ModelMessage] = {}

    async def request(
        self,
        what: str,
        body: Callable[[], Coroutine[Any, Any, Any]],
        *args: Any,
        parts: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make a durable call to the model; `parts` is what a digest in `args` was made of."""
        return await self._make(what, self._model_options, self.on_host(body, parts), args)

    async def tool(
        self,
        name: str,
        call: Callable[..., Any],
        *args: Any,
    ) -> Any:
        """Make a durable call of a tool."""
        return await self._make(f"tool:{name}", settings_of(self._tool_options, name), call, args)

    async def server(
        self, what: str, body: Callable[[], Coroutine[Any, Any, Any]], *args: Any
    ) -> Any:
        """Make a durable call that asks a toolset's server what it has."""
        settings = settings_of(self._tool_options, "*")
        return await self._make(what, settings, self.on_host(body), args)

    async def output(
        self, name: str, body: Callable[[], Coroutine[Any, Any, Any]], types: Any, *args: Any
    ) -> Any:
        """Make a durable call of an output function; its result goes through the codec."""
        settings = settings_of(self._tool_options, name)
        call = HostCall(body, self._variables, types)
        return await self._make(f"output:{name}", settings, call, args)

    def stamp(self, messages: list[ModelMessage], run_id: str | None) -> None:
        """Give new messages of this run the durable time: the agent loop read the clock."""
        now = self.ctx.now()
        for message in messages:
            if message.run_id != run_id or id(message) in self._stamped:
                continue
            self._stamped[id(message)] = message
            if isinstance(message, ModelRequest):
                message.timestamp = now
                for part in message.parts:
                    if hasattr(part, "timestamp"):
                        part.timestamp = now


class DurableModel(WrapperModel):
    """A model whose requests are durable calls; everything else is the wrapped model's answer."""

    def __init__(self, wrapped: Model, calls: AgentCalls) -> None:
        super().__init__(wrapped)
        self._calls = calls

    # The HTTP client belongs to the host loop: the action's loop must not open or close it.

    async def __aenter__(self) -> DurableModel:
        return self

    async def __aexit__(self, *_args: object) -> None:
        return None

    def _run_scope(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def _refresh_http_client(self) -> None:
        pass

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        wrapped, calls = self.wrapped, self._calls
        if not calls.inside:
            return await wrapped.request(messages, model_settings, model_request_parameters)
        messages, digest = forms.signed(messages, model_settings, model_request_parameters)

        async def request() -> str:
            wrapped._refresh_http_client()
            response = await wrapped.request(messages, model_settings, model_request_parameters)
            return forms.dump_messages([response])

        journaled = await calls.request(
            "model", request, self.model_id, forms.last_text(messages), digest,
            parts=forms.parts(messages, model_settings, model_request_parameters),
        )  # fmt: skip
        return cast(ModelResponse, forms.load_messages(journaled)[0])

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[Any]:
        if not self._calls.inside:
            async with self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as stream:
                yield stream
            return
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            response, model_request_parameters=model_request_parameters, replay_events=True
        )

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        wrapped, calls = self.wrapped, self._calls
        if not calls.inside:
            return await wrapped.count_tokens(messages, model_settings, model_request_parameters)
        messages, digest = forms.signed(messages, model_settings, model_request_parameters)

        async def count() -> str:
            usage = await wrapped.count_tokens(messages, model_settings, model_request_parameters)
            return forms.dump_usage(usage)

        return forms.load_request_usage(
            await calls.request("count_tokens", count, self.model_id, digest)
        )

    async def compact_messages(
        self, request_context: ModelRequestContext, *, instructions: str | None = None
    ) -> ModelResponse:
        if not self._calls.inside:
            return await self.wrapped.compact_messages(request_context, instructions=instructions)
        raise self._unsupported("compaction by the model")

    async def cancel_suspended_response(self, response: ModelResponse) -> None:
        wrapped = self.wrapped
        if not self._calls.inside:
            await wrapped.cancel_suspended_response(response)
            return

        async def cancel() -> None:
            await wrapped.cancel_suspended_response(response)

        await self._calls.request(
            "cancel_suspended_response", cancel, str(response.provider_response_id)
        )

    def _unsupported(self, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"DurableAgent {self._calls.name!r}: {what} is not durable yet; run the agent in a"
            " durable call of its own, as a whole"
        )


@dataclasses.dataclass
class DurableToolset(WrapperToolset[Any]):
    """A toolset whose calls are durable; it is entered where it is called, on the host loop."""

    calls: AgentCalls

    @property
    def id(self) -> str | None:
        return self.wrapped.id

    async def __aenter__(self) -> DurableToolset:
        if not self.calls.inside:
            await self.wrapped.__aenter__()
        return self

    async def __aexit__(self, *args: Any) -> bool | None:
        return None if self.calls.inside else await self.wrapped.__aexit__(*args)

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        wrapped, calls = self.wrapped, self.calls
        if not calls.inside:
            return await wrapped.call_tool(name, tool_args, ctx, tool)

        async def body() -> dict[str, Any]:
            # Tools that run beside it add to the run's usage: what it was is kept, too.
            usage, before = forms.copy_of(ctx.usage), forms.copy_of(ctx.usage)
            inner = dataclasses.replace(ctx, usage=usage)
            outcome = await forms.outcome_of(wrapped.call_tool(name, tool_args, inner, tool))
            return forms.with_usage(outcome, usage - before)

        async def entered() -> dict[str, Any]:
            async with wrapped:
                return await body()

        shown = ctx.tool_name or name
        call: Callable[..., Any]
        if isinstance(wrapped, FunctionToolset):
            threaded = _is_plain(wrapped, tool)
            call = PlainTool(body) if threaded else calls.on_host(body)
        else:
            call = calls.on_host(entered)
        arguments = forms.plain(tool_args)
        outcome = await calls.tool(shown, call, arguments, ctx.tool_call_id)
        forms.add_usage(ctx.usage, outcome)
        return forms.result_of(outcome)


def _is_plain(toolset: FunctionToolset[Any], tool: ToolsetTool[Any]) -> bool:
    """Say whether a tool is a plain function that nothing but a thread is needed for."""
    bounded = tool.tool_def.timeout is not None or toolset.timeout is not None
    as_usual = type(toolset).call_tool is FunctionToolset.call_tool
    return as_usual and not bounded and not getattr(tool, "is_async", True)


class PlainTool:
    """A durable callable that runs a tool's plain function on a thread of perdure's pool.

    The library's coroutine around it has nothing to wait for once it may use no threads of its
    own, so one step takes it to its end.
    """

    def __init__(self, body: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> None:
        self._body = body

    def __call__(self, *_args: Any) -> dict[str, Any]:
        """Run one attempt; the arguments are only there for the journal."""
        with disable_threads():
            coroutine = self._body()
            try:
                coroutine.send(None)
            except StopIteration as stop:
                return cast(dict[str, Any], stop.value)
            coroutine.close()
        raise ConfigurationError(
            "a plain tool function waited for an event loop: write the tool as `async def`"
        )


@dataclasses.dataclass
class DurableServerToolset(DurableToolset):
    """An MCP toolset: the lists of its tools and its instructions are durable calls as well."""

    listed: str | None = None  # in this run, where the toolset would keep it too

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        wrapped: Any = self.wrapped
        if not self.calls.inside:
            return cast(dict[str, ToolsetTool[Any]], await wrapped.get_tools(ctx))

        async def list_tools() -> str:
            async with wrapped:
                tools = await wrapped.get_tools(ctx)
            return forms.dump_definitions({name: tool.tool_def for name, tool in tools.items()})

        listed = self.listed
        if listed is None:
            listed = await self.calls.server("list_tools", list_tools, self.wrapped.id)
            if getattr(wrapped, "cache_tools", False):
                self.listed = listed
        definitions = forms.load_definitions(listed)
        return {
            name: wrapped.tool_for_tool_def(definition, ctx=ctx)
            for name, definition in definitions.items()
        }

    async def get_instructions(self, ctx: RunContext[Any]) -> Any:
        wrapped: Any = self.wrapped
        if not self.calls.inside or not getattr(wrapped, "include_instructions", False):
            return await wrapped.get_instructions(ctx)

        async def ask() -> str:
            async with wrapped:
                return forms.dump_instructions(await wrapped.get_instructions(ctx))

        return forms.load_instructions(
            await self.calls.server("instructions", ask, self.wrapped.id)
        )


def durable_toolset(toolset: AbstractToolset[Any], calls: AgentCalls) -> AbstractToolset[Any]:
    """Return `toolset` with everything in it that calls to the outside replaced."""

    def replaced(leaf: AbstractToolset[Any]) -> AbstractToolset[Any]:
        if isinstance(leaf, DurableToolset):
            return leaf
        if isinstance(leaf, FunctionToolset):
            return DurableToolset(leaf, calls)
        if isinstance(leaf, DynamicToolset):
            return _durable_dynamic(leaf, calls)
        if hasattr(leaf, "tool_for_tool_def"):
            return DurableServerToolset(leaf, calls)
        # The library's own other toolsets work on the run's state, which a replay builds anew.
        own = type(leaf).__module__.partition(".")[0] == "pydantic_ai"
        return leaf if own else DurableToolset(leaf, calls)

    return toolset.visit_and_replace(replaced)


def _durable_dynamic(dynamic: DynamicToolset[Any], calls: AgentCalls) -> DynamicToolset[Any]:
    async def make(ctx: RunContext[Any]) -> AbstractToolset[Any] | None:
        made = dynamic.toolset_func(ctx)
        made = await made if isinstance(made, Coroutine) else made
        return None if made is None else durable_toolset(cast(AbstractToolset[Any], made), calls)

    return DynamicToolset(make, per_run_step=dynamic.per_run_step, id=dynamic.id)


@dataclasses.dataclass(init=False)
class DurableRun(AbstractCapability[Any]):
    """What this run of the agent does otherwise than a run outside of an action."""

    def __init__(self, calls: AgentCalls, types: Mapping[str, Any]) -> None:
        self._calls = calls
        self._types = types

    @classmethod
    def get_serialization_name(cls) -> str | None:
        return None

    def get_ordering(self) -> CapabilityOrdering:
        return CapabilityOrdering(position="innermost")

    def get_default_run_id(self) -> str:
        return str(self._calls.ctx.uuid4())

    def get_default_conversation_id(self, run_id: str) -> str:
        return conversation_of(run_id)

    def get_run_clock(self) -> Callable[[], datetime.datetime]:
        return self._calls.ctx.now

    async def get_run_start_time(self, run_id: str) -> datetime.datetime:
        return self._calls.ctx.now()

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        return durable_toolset(toolset, self._calls)

    def get_wrapper_model(self, model: Model) -> Model | None:
        inner: Model = model
        while isinstance(inner, WrapperModel):
            if isinstance(inner, DurableModel):
                return None
            inner = inner.wrapped
        return DurableModel(model, self._calls)

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        self._calls.stamp(ctx.messages, ctx.run_id)
        return request_context

    async def wrap_output_process(
        self,
        ctx: RunContext[Any],
        *,
        output_context: OutputContext,
        output: Any,
        handler: Callable[[Any], Awaitable[Any]],
    ) -> Any:
        if not output_context.has_function or ctx.partial_output or not self._calls.inside:
            return await handler(output)
        name = output_context.function_name or "function"

        async def process() -> dict[str, Any]:
            return await forms.outcome_of(handler(output), raw=True)

        types = self._types.get(name)
        outcome = await self._calls.output(name, process, types, forms.plain(output))
        return forms.result_of(outcome)


async def run(
    agent: AbstractAgent[Any, Any],
    calls: AgentCalls,
    model: Any,
    user_prompt: Any,
    options: dict[str, Any],
) -> AgentRunResult[Any]:
    """Run the agent on the action's loop, with its requests and calls made through `calls`."""
    output_type = options.get("output_type")
    know_types(types_of(output_type, type(options.get("deps"))))
    types = forms.functions_of(agent.output_type if output_type is None else output_type)
    capabilities = [*(options.pop("capabilities", None) or ()), DurableRun(calls, types)]
    options.setdefault("infer_name", False)
    # Plain instructions and validators would go to threads, which the action's loop has none of.
    running = RUNS.set(agent)
    try:
        with disable_threads():
            result = await agent.run(
                user_prompt,
                model=DurableModel(model, calls) if isinstance(model, Model) else model,
                capabilities=capabilities,
                **options,
            )
    finally:
        RUNS.reset(running)
    messages = result.all_messages()
    calls.stamp(messages, messages[-1].run_id if messages else None)
    return result
