"""Group commit: everything that runs hand over in one turn of the host loop shares a commit.

While one batch is being written the next one gathers, so the disk sets the pace: one commit for
one sequential run, one for thousands of rows under load. No lock, no thread hop per item and no
wake-ups when idle.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from perdure.errors import StoreDataError, StoreError
from perdure.store.base import ActionStateStore, Row

logger = logging.getLogger("perdure")

# How long callbacks may run before the host loop gets a turn: a commit of 20,000 rows must not
# freeze it.
SLICE_SECONDS = 0.005

Done = Callable[[StoreError | None], None]


class Owner(Protocol):
    """What a batch item belongs to; when `dropped`, its items are neither written nor delivered."""

    dropped: bool


class Item(NamedTuple):
    """Rows that are written together, and who is told."""

    rows: Sequence[Row]
    done: Done
    owner: Owner | None


class GroupCommit:
    """Batches items into commits and calls each item back, in order, when it is durable.

    Owns: the pending items, the queue of callbacks. Lifecycle: made on the host loop; `drain`
    before the store is closed. All methods run on the host loop's thread.
    """

    def __init__(self, store: ActionStateStore) -> None:
        self._store = store
        self._host = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._pending: list[Item] = []
        self._finished: collections.deque[Item] = collections.deque()
        self._busy = False  # a flush is scheduled or a commit is under way
        self._delivering = False
        self._idle: list[asyncio.Future[None]] = []
        self.commits = 0

    @property
    def host(self) -> asyncio.AbstractEventLoop:
        """The event loop that its methods run on."""
        return self._host

    def add(self, rows: Sequence[Row], done: Done, owner: Owner | None = None) -> None:
        """Write `rows` in one transaction with what else is pending, then call `done`.

        Args:
            rows: what is written together or not at all.
            done: called with None when the rows are durable, else with the error.
            owner: whose rows they are; once dropped, nothing more of it is written or called back.
        """
        self._pending.append(Item(rows, done, owner))
        if not self._busy:
            self._busy = True
            # Not in the caller's context: a callable that writes would leave its variables, such
            # as a trace's span, to all that the commit sets going.
            self._host.call_soon(self._flush, context=self._context)

    async def write(self, rows: Sequence[Row]) -> None:
        """Write `rows`; return when they are durable.

        Raises:
            StoreError: they are not, or nobody knows.
        """
        future = self._host.create_future()

        def done(error: StoreError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self.add(rows, done)
        await future

    async def drain(self) -> None:
        """Return when nothing is pending, being written or undelivered."""
        while self._busy or self._finished:
            future = self._host.create_future()
            self._idle.append(future)
            await future

    def _flush(self) -> None:
        items = [item for item in self._pending if item.owner is None or not item.owner.dropped]
        self._pending = []
        if not items:
            self._settle_down()
            return
        self.commits += 1
        commit = self._store.commit([row for item in items for row in item.rows])
        if commit.done():
            self._committed(items, commit)
        else:
            commit.add_done_callback(lambda future: self._committed(items, future))

    def _committed(self, items: list[Item], commit: asyncio.Future[None]) -> None:
        error = commit.exception()
        if error is None:
            self._finished.extend(items)
            # The writer works on the next batch while the callbacks of this one run.
            if self._pending:
                self._flush()
            else:
                self._busy = False
            if not self._delivering:
                self._deliver()
        elif isinstance(error, StoreDataError) and len(items) > 1:
            self._host.create_task(self._one_by_one(items))
        else:
            self._failed(items, as_store_error(error))
            self._flush()

    def _failed(self, items: list[Item], error: StoreError) -> None:
        # All of them before anything else is written: later rows of the same runs must not be.
        for item in items:
            if item.owner is None or not item.owner.dropped:
                try:
                    item.done(error)
                except Exception:  # the items behind it must hear of it all the same
                    logger.exception("a commit's callback failed")

    async def _one_by_one(self, items: list[Item]) -> None:
        """Find the culprit of a refused batch: only its item fails (G25)."""
        for item in items:
            if item.owner is not None and item.owner.dropped:
                continue
            try:
                await self._store.commit(item.rows)
            except Exception as error:
                self._failed([item], as_store_error(error))
            else:
                self._finished.append(item)
                if not self._delivering:
                    self._deliver()
        self._flush()

    def _deliver(self) -> None:
        self._delivering = False
        finished = self._finished
        until = time.perf_counter() + SLICE_SECONDS
        while finished:
            _, done, owner = finished.popleft()
            if owner is None or not owner.dropped:
                try:
                    done(None)
                except BaseException:
                    # Not a store's matter, but the items behind it must not be forgotten.
                    self._delivering = True
                    self._host.call_soon(self._deliver)
                    raise
            if finished and time.perf_counter() > until:
                self._delivering = True
                self._host.call_soon(self._deliver)
                return
        if not self._busy:
            self._settle_down()

    def _settle_down(self) -> None:
        self._busy = False
        if self._pending or self._finished:
            return
        for future in self._idle:
            if not future.done():
                future.set_result(None)
        self._idle.clear()


def as_store_error(error: BaseException) -> StoreError:
    """Return `error` as a StoreError: a store may fail in ways of its own."""
    if isinstance(error, StoreError):
        return error
    wrapped = StoreError(f"the store failed: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
