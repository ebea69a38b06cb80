"""One run of agents of the OpenAI Agents SDK in an action; loaded on a runner's first run.

The SDK gets copies of the agents, made for this run alone, whose models, function tools and
guardrails make durable calls, and a model provider that wraps what it makes of names.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    GuardrailFunctionOutput,
    Handoff,
    ModelProvider,
    ModelResponse,
    MultiProvider,
    RunConfig,
    Runner,
    RunResult,
    handoff,
)
from agents.models.interface import Model
from agents.usage import Usage

from perdure.context import RunnerContext
from perdure.errors import ConfigurationError
from perdure.integrations import openai_agents_forms as forms
from perdure.integrations.agent_library import LibraryCalls, know_types, settings_of
from perdure.llm.sendable import sendable

_ORIGINAL = "_perdure_original"

# Tools that the model's provider runs, as part of the request.
_HOSTED = frozenset(
    {
        "CodeInterpreterTool", "FileSearchTool", "HostedMCPTool", "ImageGenerationTool",
        "ToolSearchTool", "WebSearchTool",
    }
)  # fmt: skip


def default_provider() -> ModelProvider:
    """Return the SDK's own provider; one for all runs, so that its HTTP clients are shared."""
    return MultiProvider()


class RunnerCalls(LibraryCalls):
    """The durable calls of one `DurableRunner.run`.

    Owns: the copies of its agents.
    """

    LIBRARY = "openai_agents"

    def __init__(self, ctx: RunnerContext, name: str, **options: Any) -> None:
        super().__init__(ctx, name, **options)
        self._agents: dict[int, Agent[Any]] = {}

    async def request(
        self,
        body: Callable[[], Coroutine[Any, Any, Any]],
        *args: Any,
        parts: Mapping[str, Any],
    ) -> Any:
        """Make a durable model request; `parts` is what the digest in `args` was made of."""
        return await self._make("model", self._model_options, self.on_host(body, parts), args)

    async def call(
        self, kind: str, name: str, body: Callable[[], Coroutine[Any, Any, Any]], *args: Any
    ) -> Any:
        """Make a durable call of a tool or guardrail."""
        settings = settings_of(self._tool_options, name)
        return await self._make(f"{kind}:{name}", settings, self.on_host(body), args)

    # Copies of agents

    def agent(self, agent: Agent[Any]) -> Agent[Any]:
        """Return the copy of `agent` for this run, with those that it hands off to."""
        agent = getattr(agent, _ORIGINAL, agent)
        known = self._agents.get(id(agent))
        if known is not None:
            return known
        self._refuse(agent)
        schema = agent.output_type
        know_types([getattr(schema, "output_type", schema)])
        # No `clone`: it takes a model that is replaced for another model, with other settings.
        made = self._agents[id(agent)] = copy.copy(agent)
        setattr(made, _ORIGINAL, agent)
        if isinstance(agent.model, Model):
            made.model = self.model(agent.model)
        made.tools = [
            self._tool(tool) if isinstance(tool, FunctionTool) else tool for tool in agent.tools
        ]
        made.handoffs = [self._handoff(target) for target in agent.handoffs]
        made.input_guardrails = [self._guardrail(guard) for guard in agent.input_guardrails]
        made.output_guardrails = [self._guardrail(guard) for guard in agent.output_guardrails]
        return made

    def _refuse(self, agent: Agent[Any]) -> None:
        where = f"DurableRunner {self.name!r}, agent {agent.name!r}"
        if not isinstance(agent, Agent) or type(agent).__name__ == "SandboxAgent":
            raise ConfigurationError(
                f"{where}: a {type(agent).__name__} cannot run in an action; run it in a durable"
                " call of its own, as a whole"
            )
        if agent.mcp_servers:
            raise ConfigurationError(
                f"{where}: mcp_servers cannot be used in an action; use HostedMCPTool, or function"
                " tools that call the server"
            )
        for tool in agent.tools:
            if not isinstance(tool, FunctionTool) and type(tool).__name__ not in _HOSTED:
                raise ConfigurationError(
                    f"{where}: a {type(tool).__name__} runs on this machine and is not durable;"
                    " use a function tool"
                )

    def model(self, model: Model) -> DurableModel:
        """Return the model whose requests are durable calls."""
        return model if isinstance(model, DurableModel) else DurableModel(model, self)

    def _tool(self, tool: FunctionTool) -> FunctionTool:
        invoke = tool.on_invoke_tool

        async def durable(context: Any, arguments: str) -> Any:
            if not self.inside:
                return await invoke(context, arguments)

            async def body() -> dict[str, Any]:
                inner = copy.copy(context)
                inner.usage = Usage()
                result = await invoke(inner, arguments)
                return forms.dump_result(result, inner.usage)

            kept = await self.call("tool", tool.name, body, arguments, context.tool_call_id)
            result, used = forms.load_result(kept)
            if used is not None:
                context.usage.add(used)
            return result

        made = copy.copy(tool)
        made.on_invoke_tool = durable
        return made

    def _handoff(self, target: Any) -> Handoff[Any, Any]:
        made: Handoff[Any, Any] = copy.copy(
            target if isinstance(target, Handoff) else handoff(target)
        )
        invoke = made.on_invoke_handoff

        async def to_copy(context: Any, arguments: str) -> Any:
            return self.agent(await invoke(context, arguments))

        made.on_invoke_handoff = to_copy
        return made

    def _guardrail(self, guardrail: Any) -> Any:
        function, name = guardrail.guardrail_function, guardrail.get_name()

        async def durable(context: Any, agent: Any, checked: Any) -> GuardrailFunctionOutput:
            async def body() -> list[Any]:
                found = function(context, getattr(agent, _ORIGINAL, agent), checked)
                found = await found if inspect.isawaitable(found) else found
                return [forms.plain(found.output_info), bool(found.tripwire_triggered)]

            args = (agent.name, forms.digest(checked))
            info, triggered = await self.call("guardrail", name, body, *args)
            return GuardrailFunctionOutput(output_info=info, tripwire_triggered=triggered)

        return dataclasses.replace(guardrail, guardrail_function=durable, name=name)

    def guardrails(self, guardrails: list[Any] | None) -> list[Any] | None:
        """Return guardrails of the run's configuration as durable calls."""
        return guardrails and [self._guardrail(guard) for guard in guardrails]


class DurableModel(Model):
    """A model whose requests are durable calls of the action."""

    def __init__(self, wrapped: Model, calls: RunnerCalls) -> None:
        self.wrapped = wrapped
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        if name == "wrapped":  # a copy in the making has none
            raise AttributeError(name)
        return getattr(self.wrapped, name)  # what the SDK asks some models and not others

    def get_retry_advice(self, request: Any) -> Any:
        return self.wrapped.get_retry_advice(request)

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: Any,
        tools: list[Any],
        output_schema: Any,
        handoffs: list[Any],
        *more: Any,
        **options: Any,
    ) -> ModelResponse:
        instructions, said = sendable((system_instructions, input))

        async def ask() -> ModelResponse:
            return await self.wrapped.get_response(
                instructions, said, model_settings, tools, output_schema, handoffs,
                *more, **options,
            )  # fmt: skip

        async def body() -> dict[str, Any]:
            return forms.dump_response(await ask())

        if not self._calls.inside:
            return await ask()
        parts = {
            "instructions": instructions,
            "input": said,
            "settings": forms.settings_of(model_settings),
            "tools": [forms.tool_of(tool) for tool in tools],
            "output_schema": forms.schema_of(output_schema),
            "handoffs": [forms.handoff_of(target) for target in handoffs],
            "options": {name: value for name, value in options.items() if name != "tracing"},
        }
        digest = forms.digest(list(parts.values()))
        model = getattr(self.wrapped, "model", type(self.wrapped).__name__)
        kept = await self._calls.request(
            body, str(model), forms.last_text(said), digest, parts=forms.plain(parts)
        )
        return forms.load_response(kept)

    def stream_response(self, *_args: Any, **_options: Any) -> AsyncIterator[Any]:
        raise ConfigurationError(
            f"DurableRunner {self._calls.name!r}: streamed runs are not durable; use run()"
        )


class DurableProvider(ModelProvider):
    """Makes models of names, as durable models."""

    def __init__(self, wrapped: ModelProvider, calls: RunnerCalls) -> None:
        self._wrapped = wrapped
        self._calls = calls

    def get_model(self, model_name: str | None) -> Model:
        return self._calls.model(self._wrapped.get_model(model_name))


async def run(
    calls: RunnerCalls,
    provider: ModelProvider,
    agent: Agent[Any],
    input: Any,
    options: dict[str, Any],
) -> RunResult:
    """Run the agents on the action's loop, with their requests and calls made through `calls`."""
    given = options.pop("run_config", None)
    if isinstance(given, dict):
        given = RunConfig(**given)
    config = given or RunConfig(model_provider=provider)
    if getattr(config, "sandbox", None) is not None:
        raise ConfigurationError(
            f"DurableRunner {calls.name!r}: a sandbox cannot be used in an action; use it inside a"
            " function tool"
        )
    know_types([type(options.get("context"))])
    own = config.model
    config = dataclasses.replace(
        config,
        model=calls.model(own) if isinstance(own, Model) else own,
        model_provider=DurableProvider(config.model_provider, calls),
        input_guardrails=calls.guardrails(config.input_guardrails),
        output_guardrails=calls.guardrails(config.output_guardrails),
        tracing_disabled=True,
        # Else the SDK draws one for the cache of prompts, and another one on replay.
        group_id=config.group_id or str(calls.ctx.uuid4()),
    )
    return await Runner.run(calls.agent(agent), input, run_config=config, **options)
