"""Agents of other libraries, and MCP servers; they are imported where they are used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from tests.replay.harness import Expected, Scenario, fetched, one, submits

from perdure.message import Attachment, ChatMessage


def _of(module: str, name: str) -> Callable[[], Any]:
    """Return what makes an agent of a module that is slow to import."""
    return lambda: getattr(importlib.import_module(f"tests.replay.library_{module}"), name)()


REASON = "Error executing tool refuse: refused:"  # as the package `mcp` says it
TOLD = f"5; Bonn\n[image/png]; Error: MCPToolError: {REASON} x"
PHOTO = Attachment(media_type="image/png", data=b"\x89PNG")
REFUSED = ["MCPToolError", f"{REASON} no"]

SCENARIOS: dict[str, Scenario] = {
    "mcp": one(
        "Tools and prompts of an MCP server, called by a model and by the action.",
        _of("mcp", "Connected"), submits(("rain", "m")), 3.5, first=3,
    ),
}  # fmt: skip

EXPECTED: dict[str, Expected] = {
    "mcp": Expected(
        begin=6,
        outputs={
            "r1": [
                [
                    [ChatMessage.user("Tell me about rain.")],
                    [ChatMessage.user("Tell me about snow.")],
                    TOLD,
                    ["Rome", PHOTO],
                    REFUSED,
                    "2",
                ],
            ],
        },
        executed=[*fetched(f"{TOLD} {REFUSED}"), ("add", 1, 1)],
        types=(ChatMessage,),
    ),
}
