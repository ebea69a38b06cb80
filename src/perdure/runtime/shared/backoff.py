"""Waiting for a store that failed (G25)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from perdure.errors import StoreError, StoreFormatError
from perdure.printable import printable_logger
from perdure.store.group_commit import GroupCommit

T = TypeVar("T")

logger = printable_logger("perdure")

BACKOFF_SECONDS = (0.05, 10.0)  # first and longest wait for a store that failed


async def until_store_answers(
    commits: GroupCommit, work: Callable[[], Awaitable[T]], failing: str
) -> T:
    """Return what `work` gives, trying again for as long as the store fails.

    While the store does not write nothing is tried: group commit finds out when it does.

    Args:
        commits: where the job's rows are written.
        work: what is asked of the store; may be done several times.
        failing: what does not succeed meanwhile, for the log.

    Raises:
        StoreFormatError: the store is damaged: trying again would not help.
    """
    wait, longest = BACKOFF_SECONDS
    while True:
        await commits.writes()
        try:
            return await work()
        except StoreFormatError:
            raise  # it would be so again
        except StoreError as error:
            if commits.stalled:
                logger.error("%s (%s)", failing, error)
                continue
            logger.error("%s (%s); trying again in %.2f s", failing, error, wait)
        await asyncio.sleep(wait)
        wait = min(2 * wait, longest)
