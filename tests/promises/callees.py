"""Callables of the tests of attempts, and what came of their calls."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.promises.support import State, hold

LONG = 600.0


def told(outcome: Any) -> Any:
    """Return what came of a call: the value, or the type of the error."""
    return outcome.value if outcome.ok else type(outcome.error).__name__


def fails(name: str, times: int = 99) -> int:
    State.calls.append(name)
    count = State.calls.count(name)
    if count <= times:
        raise OSError(f"attempt {count}")
    return count


async def never(name: str) -> None:
    State.calls.append(name)
    State.late()
    await asyncio.Event().wait()


async def held_for_long() -> str:
    """Hang in the first leg, take 0.3 s in the second."""
    await hold()
    await asyncio.sleep(0.3)
    return "in time"
