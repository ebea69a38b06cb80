"""Noticing: actions that are told what others did to memory, and when a run begins."""

from __future__ import annotations

from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.core_options import AgentExecutionOptions, MemoryEventOptions
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.events.event_type import EventType
from flink_agents.api.events.memory_event import (
    LongTermUpdateEvent,
    MemoryEvent,
    ShortTermReadEvent,
    ShortTermWriteEvent,
)
from flink_agents.api.events.run_event import AgentRunBeginEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext


class NoticingAgent(Agent):
    """Keeps an account, and books what became of it."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def keep(event: Event, ctx: RunnerContext) -> None:
        amount = InputEvent.from_event(event).input
        account = ctx.short_term_memory.get("account.sum") or 0
        ctx.short_term_memory.set("account.sum", account)
        ctx.short_term_memory.set("account.sum", account + amount)  # the last value counts
        if amount > 5:
            ctx.long_term_memory.get_memory_set("large").add(f"{amount} came")

    @action(AgentRunBeginEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        began = AgentRunBeginEvent.from_event(event)
        ctx.send_event(OutputEvent(output=["begin", began.value]))

    @action(ShortTermWriteEvent.EVENT_TYPE)
    @staticmethod
    def book(event: Event, ctx: RunnerContext) -> None:
        written = ShortTermWriteEvent.from_event(event)
        entry = ", ".join(f"{path} is {value}" for path, value in written.value.items())
        ctx.short_term_memory.set("booked", len(entry))  # nobody is told of that
        ctx.send_event(OutputEvent(output=["write", written.key, entry]))

    @action(EventType.ShortTermReadEvent, LongTermUpdateEvent.EVENT_TYPE)
    @staticmethod
    def tell(event: Event, ctx: RunnerContext) -> None:
        told = MemoryEvent.from_event(event)
        is_read = isinstance(told, ShortTermReadEvent)
        assert is_read or isinstance(told, LongTermUpdateEvent)
        ctx.send_event(OutputEvent(output=["read" if is_read else "noted", sorted(told.value)]))


INPUTS: list[dict[str, Any]] = [{"key": "k", "value": 3}, {"key": "k", "value": 7}]
OUTPUTS: list[dict[Any, Any]] = [
    {"k": ["begin", {}]},
    {"k": ["write", "k", "account.sum is 3"]},
    {"k": ["begin", {"account.sum": 3, "booked": 16}]},
    {"k": ["write", "k", "account.sum is 10"]},
    {"k": ["read", ["account.sum"]]},
    {"k": ["noted", ["large"]]},
]
CALLS: list[str] = []


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    config = env.get_config()
    config.set(AgentExecutionOptions.AGENT_RUN_BEGIN_EVENT, True)
    config.set(MemoryEventOptions.SHORT_TERM_READ, True)
    outputs = env.from_list(INPUTS).apply(NoticingAgent()).to_list()
    env.execute("noticing")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
