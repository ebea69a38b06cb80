"""The agent of `pydantic_ai_agents.py` after its instructions have changed."""

from __future__ import annotations

import tests.integration.pydantic_ai_agents as before

agent = before.agent


@before.planner.instructions
def more() -> str:
    """Return what was not there before."""
    return "Mind the rain."
