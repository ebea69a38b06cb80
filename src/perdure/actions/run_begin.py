"""The action that tells of the beginning of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from perdure.agent.declaration import Agent
from perdure.agent.memory_events import BEGIN_ACTION, AgentRunBeginEvent
from perdure.agent.plan import AgentPlan
from perdure.config.configuration import AgentExecutionOptions, Configuration
from perdure.context import RunnerContext
from perdure.event import EventType, InputEvent
from perdure.memory.memory import MemoryObject

__all__ = ["with_run_begin"]


def with_run_begin(plan: AgentPlan, config: Configuration) -> AgentPlan:
    """Return the plan with the action that sends AgentRunBeginEvents, if that is on and taken."""
    is_on = config.get(AgentExecutionOptions.AGENT_RUN_BEGIN_EVENT)
    if not is_on or not plan.names_type(EventType.AgentRunBeginEvent):
        return plan
    return plan.begun_by(Agent().add_action(BEGIN_ACTION, InputEvent, _begin))


async def _begin(event: InputEvent, ctx: RunnerContext) -> None:
    # It begins with the other actions of the input, and so reads what was there before them.
    values = dict(_values(ctx.short_term_memory, ""))
    ctx.send_event(AgentRunBeginEvent(key=ctx.key, value=values))


def _values(memory: MemoryObject, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in memory.get_fields().items():
        if isinstance(value, MemoryObject):
            yield from _values(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
