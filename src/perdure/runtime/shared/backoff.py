"""Waiting for a store that failed (G25)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from perdure.errors import StoreError
from perdure.printable import printable_logger

T = TypeVar("T")

logger = printable_logger("perdure")

BACKOFF_SECONDS = (0.05, 5.0)  # first and longest wait for a store that failed


async def until_store_answers(work: Callable[[], Awaitable[T]], failing: str) -> T:
    """Return what `work` gives, trying again for as long as the store fails.

    Args:
        work: what is asked of the store; may be done several times.
        failing: what does not succeed meanwhile, for the log.
    """
    wait, longest = BACKOFF_SECONDS
    while True:
        try:
            return await work()
        except StoreError as error:
            logger.error("%s (%s); trying again in %.2f s", failing, error, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, longest)
