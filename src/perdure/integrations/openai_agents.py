"""Agents of the OpenAI Agents SDK inside an action: requests and tool calls are durable calls."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perdure.context import RunnerContext
from perdure.errors import ConfigurationError, missing_extra
from perdure.integrations.agent_library import CallSettings, check_context, checked_settings

if TYPE_CHECKING:
    from agents import Agent, RunResult
    from agents.models.interface import ModelProvider

__all__ = ["DurableRunner"]

# What `Runner.run` takes and an action cannot have, and what to do instead.
_REFUSED = {
    "session": "keep `result.to_input_list()` in memory and pass it as the input",
}


class DurableRunner:
    """Runs unchanged agents of the OpenAI Agents SDK inside an `async def` action.

    Each model request, each call of a function tool and each guardrail is one durable call of the
    action, in all agents that are handed off to. The SDK's own loop runs on the action's event
    loop, again from its top after a crash, and so do instructions, hooks, handoff callbacks,
    `is_enabled` functions and filters: they may compute, no more. Tracing is off, since it exports
    from threads, and traces a replay again.

    The types that the agents give (`output_type`) and take (`context`) need no `register_type`
    once they have run; where an output is read back by a process that has not run them, they do,
    unless the module that has the action defines them.

    One instance serves any number of runs at once: it holds nothing of a run.

    Args:
        name: the runner in the journal.
        model_provider: makes models of names, where the run's configuration gives none; the SDK's
            `MultiProvider` unless given.
        model_options: options of the model requests, as `ctx.with_options` takes them.
        tool_options: options of tools by name; "*" for those without an entry. Guardrails have
            theirs under their name.

    Raises:
        ConfigurationError: the SDK is missing, or an option is none.
    """

    def __init__(
        self,
        *,
        name: str = "agents",
        model_provider: ModelProvider | None = None,
        model_options: CallSettings | None = None,
        tool_options: Mapping[str, CallSettings] | None = None,
    ) -> None:
        try:
            from perdure.integrations import openai_agents_run
        except ImportError as error:
            raise missing_extra("DurableRunner", "openai-agents", error) from error
        self._library = openai_agents_run
        self.name = name
        self._provider = model_provider or openai_agents_run.default_provider()
        self._model_options = checked_settings("model_options", model_options)
        self._tool_options = {
            tool: checked_settings(f"tool_options[{tool!r}]", settings)
            for tool, settings in (tool_options or {}).items()
        }

    async def run(
        self, ctx: RunnerContext, starting_agent: Agent[Any], input: Any, **options: Any
    ) -> RunResult:
        """Run agents to their end, in the action that `ctx` belongs to.

        Args:
            ctx: the action's context. Its options (`ctx.with_options`) hold where `model_options`
                and `tool_options` say nothing.
            starting_agent: as `Runner.run` takes it; it is not changed.
            input: as `Runner.run` takes it.
            **options: keyword arguments of `Runner.run`, such as `context`, `max_turns`, `hooks`
                and `run_config`.

        Returns:
            The SDK's result. Its `last_agent` is a copy made for this run.

        Raises:
            TypeError: `ctx` is no context.
            ConfigurationError: an argument or a tool has no place here.
            NonDeterminismError: the agents make other requests than the journal holds.
        """
        check_context("DurableRunner.run", ctx)
        for argument, instead in _REFUSED.items():
            if options.get(argument) is not None:
                raise ConfigurationError(
                    f"DurableRunner {self.name!r}: {argument}= cannot be used in an action;"
                    f" {instead}"
                )
        calls = self._library.RunnerCalls(
            ctx,
            self.name,
            model_options=self._model_options,
            tool_options=self._tool_options,
            variables=contextvars.copy_context(),
        )
        return await self._library.run(calls, self._provider, starting_agent, input, options)

    def __repr__(self) -> str:
        return f"DurableRunner({self.name!r})"
