"""Watch: tells all streams of a service that something in the job is new."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from perdure.errors import PerdureError
from perdure.operate.history import AsyncHistory, Changes, JobRow
from perdure.printable import printable_logger
from perdure.web.reading import Reader

__all__ = ["Watch"]

logger = printable_logger("perdure")

LOOK_SECONDS = 0.25  # between two looks, while somebody watches


class Watch:
    """Looks for changes of the job, once for all who watch, and only while somebody does.

    Owns: the task that looks. Lifecycle: `close` ends all streams. On one event loop.

    Args:
        reader: the store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._watching = 0
        self._looking: asyncio.Task[None] | None = None
        self._next: asyncio.Future[None] | None = None
        self._closed = False

    async def changes(self, since: str) -> Changes:
        """Return what is new since a position; see `StoreView.changes`."""

        async def read(history: AsyncHistory, job: JobRow) -> Changes:
            return await history.view.changes(job.job, since)

        return await self._reader.read(read)

    async def times(self) -> AsyncGenerator[None]:
        """Yield at once, and then whenever something is new; end when the service stops.

        What happens between two of them is told by the second: look anew at each.
        """
        self._watching += 1
        try:
            if self._looking is None and not self._closed:
                self._looking = asyncio.ensure_future(self._look())
            while not self._closed:
                told = self._told()
                yield
                if not self._closed:
                    await asyncio.shield(told)
        finally:
            self._watching -= 1
            if not self._watching and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def _told(self) -> asyncio.Future[None]:
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    def _tell(self) -> None:
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    async def _look(self) -> None:
        position = ""
        while True:
            try:
                new = await self.changes(position)
            except PerdureError as error:
                logger.warning("the store cannot be watched now: %s", error)
                self._tell()  # each stream finds out, and says so
            else:
                if new.runs or new.statuses or new.lost or not position:
                    self._tell()
                position = new.position
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._tell()
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None
