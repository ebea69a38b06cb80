"""The agents of `openai_agents_team.py` after the second one's instructions have changed."""

from __future__ import annotations

import tests.integration.openai_agents_team as before

agent = before.agent
before.booking.instructions = "Booked again"
