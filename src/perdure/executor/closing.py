"""Closing that comes to its end: what is left half closed stays locked in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["to_its_end"]


async def to_its_end(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Close to the end, also for one who is cancelled meanwhile.

    A loop that ends cancels all tasks, that of the closing as well: it is begun again then.

    Args:
        close: does the same again where it was cancelled on the way.

    Raises:
        CancelledError: it is closed, and whoever waited for it was cancelled.
    """
    cancelled: asyncio.CancelledError | None = None
    task = asyncio.ensure_future(close())
    while True:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        if task.cancelled() and task.cancelling():
            task = asyncio.ensure_future(close())
        elif task.done():
            break
    if cancelled is not None and not task.cancelled() and task.exception() is None:
        raise cancelled
    task.result()
