"""Agents of theirs that go on after a crash with fewer tools: what is recorded of a call counts."""

from __future__ import annotations

from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action, tool
from flink_agents.api.events.event import Event, OutputEvent
from flink_agents.api.events.event_type import EventType
from flink_agents.api.events.tool_event import ToolRequestEvent, ToolResponseEvent
from flink_agents.api.runner_context import RunnerContext
from tests.promises.support import crash_and_resume, hold, reset

from perdure.flink_agents.border.compiled import compiled
from perdure.flink_agents.plan.configuration import AgentConfiguration


class Without(Agent):
    @action(EventType.InputEvent)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        calls = [
            {"id": name, "type": "function", "function": {"name": name, "arguments": {}}}
            for name in ("absent", "slow", "quick")
        ]
        ctx.send_event(ToolRequestEvent(model="none", tool_calls=calls))

    @action(EventType.ToolResponseEvent)
    @staticmethod
    def end(event: ToolResponseEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.responses))


class With(Without):
    @tool
    @staticmethod
    async def quick() -> str:
        """Return at once."""
        return "done"

    @tool
    @staticmethod
    async def slow() -> str:
        """Hang in the first life."""
        return await hold()


def test_g6_the_result_of_a_tool_that_is_gone_since_is_used(tmp_path: Any) -> None:
    reset()
    before, after = (compiled(made(), AgentConfiguration()) for made in (With, Without))
    store = f"sqlite:///{tmp_path}/tools.db"
    assert crash_and_resume(before, ["go"], store=store, key=str, resume_with=after) == [
        {
            "absent": "Tool `absent` does not exist.",
            "slow": "Tool `slow` does not exist.",
            "quick": "done",
        }
    ]
