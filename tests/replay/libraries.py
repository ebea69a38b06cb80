"""Agents of other libraries, and MCP servers; they are imported where they are used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from tests.replay.harness import Expected, Scenario, fetched, one, submits

from perdure.llm.message import Attachment, ChatMessage


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
    "pydantic_ai": one(
        "A Pydantic AI agent: requests, tools, an output function still to come.",
        _of("pydantic_ai", "Planner"), submits(("a trip", "p")), 5.5, first=3,
        pinned=_of("pydantic_ai", "pinned"),
    ),
    "openai_agents": one(
        "Agents of the OpenAI Agents SDK: a guardrail, requests, tools, a handoff.",
        _of("openai_agents", "Reception"), submits(("a trip", "o")), 4.5, first=3,
    ),
    "langgraph": one(
        "A LangGraph graph: nodes with messages, commands and types of one's own.",
        _of("langgraph", "Traveller"), submits(("a trip", "l")), 2.5, first=3,
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
    "pydantic_ai": Expected(
        begin=10,
        outputs={
            "r1": [
                ["BONN", 2],
                [4, 100, 10],
                [
                    "user-prompt", "text", "tool-call", "tool-call",
                    "tool-return", "tool-return", "user-prompt",
                    "tool-call", "tool-return", "tool-call", "tool-return", "tool-call",
                    "tool-return",
                ],
            ],
        },
        executed=[("book", 2), ("model", 4), ("planned", "Bonn")],
    ),
    "openai_agents": Expected(
        begin=10,
        outputs={
            "r1": [
                ["2 days are booked", "booking", 4, 20],
                [
                    "user", *["function_call"] * 2, *["function_call_output"] * 2,
                    *["function_call", "function_call_output"] * 2, "message",
                ],
            ],
        },
        executed=[("book", 2), ("back", 1)],
    ),
    "langgraph": Expected(
        begin=10,
        outputs={
            "r1": [
                [
                    ["human", "a trip", "asked"], ["ai", "let me see", "asks"],
                    ["tool", "99.5", "priced"], ["ai", "99.5; sun", "answer"],
                ],
                ["99.5", "sun"],
            ],
        },
        executed=[("pause",), ("model", 1), ("tidy",)],
    ),
}  # fmt: skip
