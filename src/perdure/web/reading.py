"""Reader: the store of a service, read on a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from perdure.connectors.json_text import to_json
from perdure.errors import StoreError
from perdure.operate.history import AsyncHistory, History, JobRow

__all__ = ["Reader"]

T = TypeVar("T")


class Reader:
    """Looks into a store, and makes JSON of it, off the event loop that the job's runs need.

    Owns: the view of the store, opened when it is first needed. Lifecycle: `close`. On one event
    loop; what it is given to do is done on the view's.

    Args:
        open_history: opens the store; blocks.
        job: name of the job; None for the only one of the store.
    """

    def __init__(self, open_history: Callable[[], History], job: str | None) -> None:
        self._open_history = open_history
        self._job = job
        self._opening: asyncio.Task[History] | None = None
        self._reading: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def read(self, work: Callable[[AsyncHistory, JobRow], Awaitable[T]]) -> T:
        """Return what `work` returns, which gets the store and the job's row.

        Raises:
            StoreError: it cannot be read, or was closed.
            PerdureError: the store does not have the job.
        """
        history = await self._history()

        async def read() -> T:
            return await work(history.awaited, await history.awaited.choose_job(self._job))

        reading = asyncio.wrap_future(history.begin(read()))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        return await reading

    async def read_json(self, work: Callable[[AsyncHistory, JobRow], Awaitable[Any]]) -> bytes:
        """Return what `work` returns as JSON."""

        async def read(history: AsyncHistory, job: JobRow) -> bytes:
            return to_json(await work(history, job))

        return await self.read(read)

    async def _history(self) -> History:
        self._check_open()
        if self._opening is None:
            self._opening = asyncio.ensure_future(asyncio.to_thread(self._open_history))
        opening = self._opening
        try:
            history = await asyncio.shield(opening)
        except BaseException:
            if opening.done() and self._opening is opening:
                self._opening = None  # the next request tries again
            raise
        self._check_open()
        return history

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the service was closed: start it again")

    async def close(self) -> None:
        """Let go of the store once what is being read is; closing again does nothing."""
        self._closed = True
        opening, self._opening = self._opening, None
        if opening is not None:
            try:
                history = await opening
            except Exception:
                return  # it was never open
            if self._reading:
                await asyncio.wait(set(self._reading))
            await asyncio.to_thread(history.close)
