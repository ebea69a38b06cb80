"""Pydantic AI agents inside an action: each model request and tool call is a durable call."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from perdure.context import RunnerContext
from perdure.errors import ConfigurationError, missing_extra
from perdure.integrations.agent_library import (
    CallSettings,
    check_context,
    checked_settings,
    know_types,
)

if TYPE_CHECKING:
    from pydantic_ai.agent import AbstractAgent, AgentRunResult
    from pydantic_ai.models import Model

    from perdure.integrations.pydantic_ai_durability import PerdureDurability

DepsT = TypeVar("DepsT")
OutputT = TypeVar("OutputT")

__all__ = ["DurableAgent", "PerdureDurability"]


def __getattr__(name: str) -> Any:
    # Its class is made of one of Pydantic AI's, which a `DurableAgent` needs only when it is made.
    if name != "PerdureDurability":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from perdure.integrations.pydantic_ai_durability import PerdureDurability
    except ImportError as error:
        raise missing_extra(name, "llm", error) from error
    return PerdureDurability


# What `agent.run` takes and an action cannot have, and what to do instead.
_REFUSED = {
    "cancellation_token": "cancel the run (`run.cancel()`) or bound it (`asyncio.timeout`)",
    "conversation": "keep `result.all_messages_json()` in memory and pass `message_history=`",
    "workspace": "use it inside a tool, which is a durable call",
}


class DurableAgent(Generic[DepsT, OutputT]):
    """Runs an unchanged Pydantic AI agent inside an `async def` action.

    Each model request, each call of a tool, of an output function and of an MCP server is one
    durable call of the action: what has finished is not made again after a crash. The agent's own
    loop runs on the action's event loop, again from its top after a crash, and so do instructions,
    `prepare` functions, output validators and event stream handlers: they may compute, no more.

    The types that it gives (`output_type`) and takes (`deps_type`) need no `register_type`.

    One instance serves any number of runs at once: it holds nothing of a run.

    Args:
        agent: the agent; it is not changed.
        name: the agent in the journal, where `agent.name` may change; "agent" if it has none.
        model_options: options of its model requests, as `ctx.with_options` takes them.
        tool_options: options of its tools by name; "*" for those without an entry.

    Raises:
        ConfigurationError: the extra `llm` is missing, or an option is none.
    """

    def __init__(
        self,
        agent: AbstractAgent[DepsT, OutputT],
        *,
        name: str | None = None,
        model_options: CallSettings | None = None,
        tool_options: Mapping[str, CallSettings] | None = None,
    ) -> None:
        try:
            from perdure.integrations import pydantic_ai_run
        except ImportError as error:
            raise missing_extra("DurableAgent", "llm", error) from error
        self._library = pydantic_ai_run
        know_types(pydantic_ai_run.types_of(agent.output_type, agent.deps_type))
        self.agent = agent
        self.name = name or agent.name or "agent"
        self._model_options = checked_settings("model_options", model_options)
        self._tool_options = {
            tool: checked_settings(f"tool_options[{tool!r}]", settings)
            for tool, settings in (tool_options or {}).items()
        }
        self._models: dict[str, Model] = {}  # built from names, once for all runs

    async def run(
        self, ctx: RunnerContext, user_prompt: Any = None, **options: Any
    ) -> AgentRunResult[OutputT]:
        """Run the agent to its end, in the action that `ctx` belongs to.

        Args:
            ctx: the action's context. Its options (`ctx.with_options`) hold where `model_options`
                and `tool_options` say nothing.
            user_prompt: as `agent.run` takes it.
            **options: keyword arguments of `agent.run`, such as `deps`, `message_history`,
                `output_type`, `usage_limits` and `toolsets`.

        Returns:
            The agent's result; its messages are the same on replay, times and ids included.

        Raises:
            TypeError: `ctx` is no context.
            ConfigurationError: an argument has no place here.
            NonDeterminismError: the agent makes other requests than the journal holds.
        """
        check_context("DurableAgent.run", ctx)
        for argument, instead in _REFUSED.items():
            if options.get(argument) is not None:
                raise ConfigurationError(
                    f"DurableAgent {self.name!r}: {argument}= cannot be used in an action;"
                    f" {instead}"
                )
        calls = self._library.AgentCalls(
            ctx,
            self.name,
            model_options=self._model_options,
            tool_options=self._tool_options,
            variables=contextvars.copy_context(),
        )
        model = self._model(options.pop("model", None))
        return await self._library.run(self.agent, calls, model, user_prompt, options)

    def _model(self, given: Any) -> Any:
        model = self.agent.model if given is None else given
        if not isinstance(model, str) or self.agent.root_capability.has_resolve_model_id:
            return model
        # The agent would build the model and its HTTP client for each run, on the action's loop.
        if model not in self._models:
            from pydantic_ai.models import infer_model

            self._models[model] = infer_model(model)
        return self._models[model]

    def __repr__(self) -> str:
        return f"DurableAgent({self.name!r})"
