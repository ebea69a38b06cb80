"""Tools and prompts of the MCP server that the tests start in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys

print("the server says hello", file=sys.stderr, flush=True)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def pid() -> str:
    """Tell the process."""
    return str(os.getpid())


def refuse(why: str) -> str:
    """Fail."""
    raise ValueError(f"refused: {why}")


def die() -> str:
    """End the process in the middle of the call."""
    print("dying on purpose", file=sys.stderr, flush=True)
    os._exit(3)


async def forever() -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return "never"


def _greet() -> str:
    return "Be kind."


def _ask(topic: str) -> str:
    return f"Tell me about {topic}."


PROMPTS = ("_greet", "_ask")
