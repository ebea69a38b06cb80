"""BorderContext: a context of the core under their names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from perdure.call import DurableCall
from perdure.context import RunnerContext as CoreContext
from perdure.event import Event as CoreEvent
from perdure.flink_agents.api.events.event import Event
from perdure.flink_agents.api.memory.long_term_memory import BaseLongTermMemory, MemorySet
from perdure.flink_agents.api.memory_object import MemoryObject
from perdure.flink_agents.api.memory_type import MemoryType
from perdure.flink_agents.api.metric_group import MetricGroup
from perdure.flink_agents.api.resource import Resource, ResourceType
from perdure.flink_agents.api.runner_context import RunnerContext
from perdure.flink_agents.border.events import mark_sent, to_core
from perdure.flink_agents.border.long_term import BorderLongTermMemory, later
from perdure.flink_agents.border.memory import BorderMemory
from perdure.flink_agents.border.metrics import BorderMetrics
from perdure.flink_agents.border.resources import found_in
from perdure.flink_agents.border.straight_calls import name_of
from perdure.flink_agents.border.subagent_calls import SubagentCalls
from perdure.flink_agents.plan.configuration import AgentConfiguration

__all__ = ["BorderContext"]


class BorderContext(RunnerContext):
    """The runtime, as one action of theirs sees it; lives as long as the core's context.

    Args:
        core: The context of the core.
        config: The job's configuration.
        is_coroutine: Whether the action is a coroutine function.
        action: The action's name.
        event: The event that it handles.
        plain_outputs: Outputs leave as plain data.
    """

    def __init__(
        self,
        core: CoreContext,
        config: AgentConfiguration,
        *,
        is_coroutine: bool,
        action: str,
        event: CoreEvent,
        plain_outputs: bool = False,
    ) -> None:
        self._core = core
        self._config = config
        self._is_coroutine = is_coroutine
        self._action = action
        self._event = event
        self._subagent_calls: SubagentCalls | None = None
        self._plain_outputs = plain_outputs

    @property
    def core(self) -> CoreContext:
        """The context of the core, for what theirs has no name for."""
        return self._core

    @property
    def subagent_calls(self) -> SubagentCalls:
        """The calls of sub-agents that the action makes."""
        if self._subagent_calls is None:
            self._subagent_calls = SubagentCalls(self._event.id, self._action)
        return self._subagent_calls

    def check_ended(self) -> None:
        """Refuse to let the action end with calls of sub-agents that nobody has awaited.

        Raises:
            RuntimeError: There are such calls.
        """
        if self._subagent_calls is not None:
            self._subagent_calls.check_ended()

    @property
    def key(self) -> Any:
        return self._core.key

    def send_event(self, event: Event) -> None:
        if not isinstance(event, Event):
            raise TypeError(f"send_event takes an Event, not a {type(event).__name__}")
        core = to_core(event, plain_outputs=self._plain_outputs)
        self._core.send_event(core)
        mark_sent(event, core)

    def get_resource(
        self, name: str, type: ResourceType, metric_group: MetricGroup | None = None
    ) -> Any:
        found = found_in(self._core.get_resource, name, type)
        if isinstance(found, Resource):
            found.set_metric_group(metric_group or self.action_metric_group)
        return found

    @property
    def action_config(self) -> dict[str, Any]:
        return dict(self._core.action_config)

    def get_action_config_value(self, key: str) -> Any:
        return self._core.get_action_config_value(key)

    @property
    def sensory_memory(self) -> MemoryObject:
        return BorderMemory(self._core.sensory_memory, MemoryType.SENSORY)

    @property
    def short_term_memory(self) -> MemoryObject:
        return BorderMemory(self._core.short_term_memory, MemoryType.SHORT_TERM)

    @property
    def long_term_memory(self) -> BaseLongTermMemory:
        return BorderLongTermMemory(self._core.long_term_memory)

    @property
    def agent_metric_group(self) -> MetricGroup:
        return BorderMetrics(self._core.agent_metric_group)

    @property
    def action_metric_group(self) -> MetricGroup:
        return BorderMetrics(self._core.action_metric_group)

    def durable_execute(
        self,
        func: Callable[..., Any],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        if _is_of_memory(func):
            return func(*args, **kwargs)
        calling = self._calling(func, reconciler, durable_id)
        if self._is_coroutine:
            return calling.durable_execute(func, *args, **kwargs)
        # The action is parked, so that no other key waits for it.
        return calling.durable_execute_async(func, *args, **kwargs).result()

    def durable_execute_async(
        self,
        func: Callable[..., Any],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> DurableCall[Any]:
        if _is_of_memory(func):  # a durable call by itself
            return cast(DurableCall[Any], later(partial(func, *args, **kwargs)))
        return self._calling(func, reconciler, durable_id).durable_execute_async(
            func, *args, **kwargs
        )

    def _calling(
        self, func: Any, reconciler: Callable[[], Any] | None, durable_id: str | None
    ) -> CoreContext:
        owner = getattr(func, "__self__", None)
        if durable_id is None and isinstance(owner, Resource):
            durable_id = f"{name_of(owner)}.{func.__name__}"
        if reconciler is None and durable_id is None:
            return self._core
        asked = None if reconciler is None else _without_arguments(reconciler)
        return self._core.with_options(reconciler=asked, durable_id=durable_id)

    def gather(self, *futures: DurableCall[Any]) -> Any:
        return self._core.gather(*futures)

    @property
    def config(self) -> AgentConfiguration:
        return self._config


def _is_of_memory(func: Any) -> bool:
    owner = getattr(func, "__self__", None)
    memory = owner.ltm if isinstance(owner, MemorySet) else owner
    return isinstance(memory, BorderLongTermMemory)


def _without_arguments(reconciler: Callable[[], Any]) -> Callable[..., Any]:
    """Return a reconciler as the core asks it: theirs take no arguments."""
    if asyncio.iscoroutinefunction(reconciler):

        async def ask(*args: Any, **kwargs: Any) -> Any:
            return await reconciler()

        return ask
    return lambda *args, **kwargs: reconciler()
