"""What the contracts have in common."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["on_a_loop", "refusal"]


def on_a_loop(
    test: Callable[[Any], Coroutine[Any, Any, None]],
) -> Callable[[Any], None]:
    """Make a plain test method of a coroutine one: each has an event loop of its own."""

    @functools.wraps(test)
    def run(self: Any) -> None:
        asyncio.run(test(self))

    return run


async def refusal(work: Any) -> BaseException | None:
    """Return what awaiting `work` raised."""
    try:
        await work
    except Exception as error:
        return error
    return None
