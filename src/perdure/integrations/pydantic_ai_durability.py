"""PerdureDurability: durability as a capability that a Pydantic AI agent declares itself."""

from __future__ import annotations

import contextvars
import copy
import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_ai._utils import disable_threads
from pydantic_ai.agent import AbstractAgent, AgentRunResult
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering, WrapRunHandler
from pydantic_ai.models import Model, ModelResolutionContext, infer_model
from pydantic_ai.tools import RunContext

from perdure.context import RunnerContext, current_context
from perdure.integrations import pydantic_ai_forms as forms
from perdure.integrations.agent_library import CallSettings, checked_settings, know_types
from perdure.integrations.pydantic_ai_run import RUNS, AgentCalls, DurableRun, conversation_of

__all__ = ["PerdureDurability"]


@dataclasses.dataclass(init=False)
class PerdureDurability(AbstractCapability[Any]):
    """Makes an agent durable wherever it is run inside an `async def` action: `await agent.run()`.

    What `DurableAgent(agent).run(ctx, ...)` does, in Pydantic AI's own form:
    `Agent(..., name="shop", capabilities=[PerdureDurability()])`. The journal is the same, so that
    one takes up what the other began. Outside of actions, and in a durable call, the agent runs as
    without it.

    Args:
        name: the agent in the journal, where `agent.name` may change; "agent" if it has none.
        model_options: options of its model requests, as `ctx.with_options` takes them.
        tool_options: options of its tools by name; "*" for those without an entry.

    Raises:
        ConfigurationError: an option is none.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        model_options: CallSettings | None = None,
        tool_options: Mapping[str, CallSettings] | None = None,
    ) -> None:
        self._name = name
        self._model_options = checked_settings("model_options", model_options)
        self._tool_options = {
            tool: checked_settings(f"tool_options[{tool!r}]", settings)
            for tool, settings in (tool_options or {}).items()
        }
        self._agent: AbstractAgent[Any, Any] | None = None
        self._models: dict[str, Model] = {}  # built from names, once for all runs

    @classmethod
    def get_serialization_name(cls) -> str | None:
        return None

    def get_ordering(self) -> CapabilityOrdering:
        return CapabilityOrdering(position="innermost")

    def for_agent(self, agent: AbstractAgent[Any, Any]) -> AbstractCapability[Any]:
        know_types(forms.types_of(agent.output_type, agent.deps_type))
        bound = copy.copy(self)
        bound._agent = agent
        return bound

    def _context(self) -> RunnerContext | None:
        """Return the action's context; None outside, and in a run that a `DurableAgent` began."""
        return None if RUNS.get() is self._agent else current_context()

    def get_default_run_id(self) -> str | None:
        context = self._context()
        return None if context is None else str(context.uuid4())

    def get_default_conversation_id(self, run_id: str) -> str | None:
        return None if self._context() is None else conversation_of(run_id)

    def get_run_clock(self) -> Callable[[], datetime.datetime] | None:
        context = self._context()
        return None if context is None else context.now

    async def get_run_start_time(self, run_id: str) -> datetime.datetime | None:
        context = self._context()
        return None if context is None else context.now()

    async def resolve_model_id(
        self, ctx: ModelResolutionContext[Any], *, model_id: str
    ) -> Model | None:
        # The agent would build the model and its HTTP client for each run, on the action's loop.
        if self._context() is None:
            return None
        if model_id not in self._models:
            self._models[model_id] = infer_model(model_id)
        return self._models[model_id]

    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        context, agent = self._context(), ctx.agent
        if context is None or agent is None:
            return self
        calls = AgentCalls(
            context,
            self._name or agent.name or "agent",
            model_options=self._model_options,
            tool_options=self._tool_options,
            variables=contextvars.copy_context(),
        )
        return _Run(calls, forms.functions_of(agent.output_type))


class _Run(DurableRun):
    """One run of an agent that has the capability."""

    async def wrap_run(
        self, ctx: RunContext[Any], *, handler: WrapRunHandler
    ) -> AgentRunResult[Any]:
        # Plain instructions and validators would go to threads: the action's loop has none.
        with disable_threads():
            result = await handler()
        self._calls.stamp(result.all_messages(), ctx.run_id)
        return result
