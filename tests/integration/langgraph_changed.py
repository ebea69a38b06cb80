"""The graph of `langgraph_graphs.py`, asked something else."""

from __future__ import annotations

from typing import Any

import tests.integration.langgraph_graphs as before

from perdure import Agent, InputEvent


async def plan(event: Any, ctx: Any) -> None:
    """The action."""
    await before.durable.ainvoke(ctx, {"messages": [("user", "something else")]})


agent = Agent().add_action("plan", [InputEvent], plan)
