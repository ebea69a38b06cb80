"""Group commit: everything that runs hand over in one turn of the host loop shares a commit.

While one batch is being made durable the next one gathers, so the disk sets the pace: one commit
for one sequential run, one for thousands of rows under load. Where the outcomes of many calls have
gathered, the next one is written in the step that brings the last of them, however busy the host
loop is: a killed process loses little of what calls came to, and else nothing that is not read or
worked out again. A store that cannot write just then takes what is pending when it begins. No
thread hop per item, and no wake-ups when idle.

A store that does not write **stalls** it (G25): nothing is tried but one probe at a time, each
later than the one before, and whoever watches starts nothing. What was not written, for certain,
waits and is written when the store does so again; an item whose fate nobody knows fails. Where the
store says that it never writes again, everything fails, and whoever watches stops the job.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import functools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from perdure.errors import StoreDataError, StoreError
from perdure.journal.record import by_position
from perdure.printable import printable_logger
from perdure.store.base import ActionStateStore, Row
from perdure.store.batch import Answer, Batch, Done, Item, Owner, begin, interrupted, settle

logger = printable_logger("perdure")

# How long callbacks may run before the host loop gets a turn: a commit of 20,000 rows must not
# freeze it.
SLICE_SECONDS = 0.005
# Outcomes that the host loop gathers while it has not heard of the end of the commit before: a
# quick disk would write each alone else, which costs more than what is called.
GATHERED = 32
FIRST_WAIT, LONGEST_WAIT = 0.05, 10.0  # seconds until a store that failed is tried again
ROW_BYTES = 500  # what a row takes besides its texts: numbers, indexes


class StallWatcher(NamedTuple):
    """Who is told on the host loop, each time that it is found out, whether the store writes.

    Before anyone who has asked for rows to be written; `writes` only after `stalled`.
    """

    stalled: Callable[[StoreError], None]
    writes: Callable[[], None]


class GroupCommit:
    """Batches items into commits and calls each item back, in order, when it is durable.

    Owns: the pending items, the batches that the store was given, the queue of callbacks; while the
    store does not write, the timer or the task of the next probe. Lifecycle: made on the host loop;
    `end` before the store is closed. All methods run on the host loop's thread; a batch may take
    its items on the store's.

    Args:
        store: what writes.
        as_host: runs what the store is asked with the host loop as the running one, whatever runs:
            a turn of an action may be what hands rows over.
        monotonic: time that nobody sets, ns since some moment.
    """

    def __init__(
        self,
        store: ActionStateStore,
        as_host: Callable[[Callable[[], None]], None] = lambda work: work(),
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._store = store
        self._monotonic = monotonic
        self._as_host = as_host
        self._host = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._pending: collections.deque[Item] = collections.deque()
        self._taking = threading.Lock()
        self._asked: collections.deque[Batch] = collections.deque()  # of the store, in order
        self._newest: Batch | None = None  # of these, where another may be asked for behind it
        self._finished: collections.deque[Item] = collections.deque()
        self._outcomes = 0  # added since a commit was asked for
        self._busy = False  # a flush is scheduled, a commit is under way, or the store is stalled
        self._halted = False  # the store is stalled, or a culprit is looked for
        self._is_ahead = False  # whoever adds goes on, perhaps a turn: nobody is called back yet
        self._delivering = False
        self._idle: list[asyncio.Future[None]] = []
        self._stall: StoreError | None = None  # why the store does not write
        self._lost = 0  # bytes of the largest batch that failed since one as large was written
        self._wait = FIRST_WAIT
        self._probe: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self._draining = 0
        self._watchers: list[StallWatcher] = []
        self._answer: asyncio.Future[None] | None = None
        self.commits = 0
        # Told of each commit its rows and seconds, once somebody wants to know.
        self.measure: Callable[[int, float], None] | None = None

    @property
    def host(self) -> asyncio.AbstractEventLoop:
        """The event loop that its methods run on."""
        return self._host

    @property
    def stalled(self) -> bool:
        """True from when a commit failed until the store writes again."""
        return self._stall is not None

    def waiting_rows(self) -> list[Row]:
        """Return the rows that are not known to be durable, in their order; for snapshots."""
        with self._taking:
            asked = [item for batch in self._asked if not batch.is_written for item in batch.items]
            return [row for item in (*asked, *self._pending) for row in item.rows]

    def watch(self, watcher: StallWatcher) -> None:
        """Tell `watcher` of every stall and of its end."""
        self._watchers.append(watcher)

    async def writes(self) -> None:
        """Return when the store writes, as far as is known."""
        while self._stall is not None:
            if self._answer is None:
                self._answer = self._host.create_future()
            await asyncio.shield(self._answer)

    def add(
        self,
        rows: Sequence[Row],
        done: Done,
        owner: Owner | None = None,
        *,
        waits: bool = True,
        settles: bool = False,
    ) -> None:
        """Write `rows` in one transaction with what else is pending, then call `done`.

        Args:
            rows: what is written together or not at all.
            done: called with None when the rows are durable, else with the error.
            owner: whose rows they are; once dropped, nothing more of it is written or called back.
            waits: while the store does not write they wait until it does; else they fail when it
                has been tried once more.
            settles: they say what calls came to, which would be made again without them.
        """
        self._pending.append(by_position(Item, (rows, done, owner, waits)))
        self._outcomes += settles
        if not self._busy:
            self._busy = True
            # Not in the caller's context: a callable that writes would leave its variables, such
            # as a trace's span, to all that the commit sets going.
            self._host.call_soon(self._as_host, self._flush, context=self._context)
        elif self._outcomes >= GATHERED:
            if (newest := self._newest) is not None and newest.items:
                # The writer goes on with it, without a turn of the host loop.
                self._is_ahead = True
                try:
                    self._context.copy().run(self._as_host, self._flush)
                finally:
                    self._is_ahead = False

    def join(self, rows: list[Row], row: Row) -> bool:
        """Write a row with `rows`, and be called back once for all; False where that is too late.

        That is, where `rows` are not those that were added last, or are being written.
        """
        with self._taking:
            pending = self._pending
            if not pending or pending[-1].rows is not rows:
                return False
            rows.append(row)
            return True

    async def write(self, rows: Sequence[Row], *, waits: bool = False) -> None:
        """Write `rows`; return when they are durable.

        Args:
            rows: what is written together or not at all.
            waits: see `add`.

        Raises:
            StoreError: they are not, or nobody knows.
        """
        future = self._host.create_future()

        self.add(rows, functools.partial(settle, future, None), waits=waits)
        await future

    async def caught_up(self) -> None:
        """Return when what has been added until now is durable.

        Raises:
            StoreError: the store does not write.
        """
        if self._busy or self._finished:
            await self.write(())

    async def drain(self) -> None:
        """Return when nothing is pending, being written or undelivered.

        A store that does not write is tried once more, and what waits for it fails.
        """
        self._draining += 1
        try:
            # A timer's handle is of the loop's own kind, which need not be asyncio's.
            if self._probe is not None and not isinstance(self._probe, asyncio.Task):
                self._probe.cancel()
                self._probe = None
                self._flush()
            while self._busy or self._finished:
                future = self._host.create_future()
                self._idle.append(future)
                await future
        finally:
            self._draining -= 1

    async def end(self) -> None:
        """Do what `drain` does, for good: from here on nothing waits for the store."""
        self._draining += 1
        await self.drain()

    def _flush(self) -> None:
        """Ask the store to write what is pending."""
        self._halted = False
        self._outcomes = 0
        pending = self._pending
        with self._taking:
            while pending and pending[0].is_dropped:
                pending.popleft()
        if not pending:
            if not self._asked:
                if not self._draining:  # where nothing has proved it
                    self._end_stall()
                self._settle_down()
            return
        batch = Batch(pending, self._taking, self._newest)
        if not self._is_ahead:
            begin(batch)  # nothing is being written, so this is
        self._asked.append(batch)
        self._newest = batch if self._store.takes_late else None
        try:
            commit = self._store.commit(batch)
        except BaseException as error:
            # While a store was writing on this thread.
            commit = self._host.create_future()
            commit.set_exception(interrupted(error))
            commit.add_done_callback(lambda future: self._over(batch, future))
            raise
        if commit.done() and not self._is_ahead:
            self._over(batch, commit)
        else:
            commit.add_done_callback(lambda future: self._over(batch, future))

    def _over(self, batch: Batch, commit: asyncio.Future[None]) -> None:
        """A commit is over: see to it, unless one before it is not, as far as anyone has said."""
        batch.answer = Answer(commit.exception())
        asked = self._asked
        while asked and (answer := asked[0].answer) is not None:
            first = asked.popleft()
            if first is self._newest:
                self._newest = None
            items = first.close()
            if self.measure is not None and items and answer.error is None:
                self.measure(len(first), time.perf_counter() - first.began)
            self._committed(items, answer.error)

    def _committed(self, items: list[Item], error: BaseException | None) -> None:
        if error is None:
            if items:
                self.commits += 1
                if self._lost:
                    self._went_well(items)
                self._finished.extend(items)
            # The writer works on the next batch while the callbacks of this one run.
            if not (self._asked or self._halted):
                if self._pending:
                    self._flush()
                else:
                    self._busy = False
            if not self._delivering:
                self._deliver()
            return
        self._halt()
        if not isinstance(error, StoreDataError):
            self._does_not_write(items, as_store_error(error))
        elif len(items) > 1:
            self._host.create_task(self._one_by_one(items))
        else:
            self._failed(items, as_store_error(error))
            self._flush()

    def _halt(self) -> None:
        """A commit failed: nothing is written that was not yet, before that has been seen to."""
        self._halted = True
        self._newest = None
        for batch in self._asked:
            batch.void()

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
        for number, item in enumerate(items):
            if item.owner is not None and item.owner.dropped:
                continue
            try:
                await self._store.commit(item.rows)
            except StoreDataError as error:
                self._failed([item], error)
            except Exception as error:
                failed = as_store_error(error)
                if failed.undone:
                    self._does_not_write(items[number:], failed)
                else:
                    self._pending.extendleft(reversed(items[number + 1 :]))
                    self._does_not_write([item], failed)
                return
            else:
                self._finished.append(item)
                if not self._delivering:
                    self._deliver()
        self._flush()

    def _deliver(self) -> None:
        self._delivering = False
        finished = self._finished
        until = self._monotonic() + int(SLICE_SECONDS * 1e9)
        while finished:
            _, done, owner, _ = finished.popleft()
            if owner is None or not owner.dropped:
                try:
                    done(None)
                except BaseException:
                    # Not a store's matter, but the items behind it must not be forgotten.
                    self._delivering = True
                    self._host.call_soon(self._deliver)
                    raise
            if finished and self._monotonic() > until:
                self._delivering = True
                self._host.call_soon(self._deliver)
                return
        if not self._busy:
            self._settle_down()

    # A store that does not write (G25)

    def _does_not_write(self, items: list[Item], error: StoreError) -> None:
        """Stall: keep what may be written again, fail the rest, and probe later.

        Args:
            items: what failed, which may be nothing.
            error: with what; of `undone` items it is known that they were not written.
        """
        self._lost = max(self._lost, size_of(items), 1)
        self._stall = error
        for watcher in self._watchers:
            watcher.stalled(error)
        if error.is_final:
            self._draining += 1  # from here on nothing waits for the store
        keep = error.undone and not self._draining
        if keep:
            self._pending.extendleft(item for item in reversed(items) if item.waits)
        self._failed([item for item in items if not (keep and item.waits)], error)
        self._fail_impatient()
        if self._draining:
            while self._pending:  # added by those that were told
                self._fail_impatient()
            self._settle_down()
            return
        wait, self._wait = self._wait, min(2 * self._wait, LONGEST_WAIT)
        logger.error(
            "the store does not write (%s): nothing starts until it does; trying again in %.2f s",
            error, wait,
        )  # fmt: skip
        self._probe = self._host.call_later(wait, self._begin_probe, context=self._context)

    def _fail_impatient(self) -> None:
        """Fail what does not wait for the store: while draining, everything."""
        if self._stall is None:
            return
        waiting = list(self._pending)
        self._pending.clear()
        refused: list[Item] = []
        for item in waiting:
            patient = item.waits and not self._draining
            (self._pending if patient else refused).append(item)
        error = StoreError(f"the store does not write, so nothing was written: {self._stall}")
        error.undone, error.is_final = True, self._stall.is_final
        self._failed(refused, error)

    def _begin_probe(self) -> None:
        size = self._lost + size_of(self._pending)
        self._probe = self._host.create_task(self._try_again(size))

    async def _try_again(self, size: int) -> None:
        try:
            await self._store.probe(size)
        except Exception as error:
            self._probe = None
            self._does_not_write([], as_store_error(error))
        else:
            self._probe = None
            self._flush()  # what waits proves it, before anything starts

    def _went_well(self, items: list[Item]) -> None:
        if size_of(items) >= self._lost:
            self._lost, self._wait = 0, FIRST_WAIT
        self._end_stall()

    def _end_stall(self) -> None:
        if self._stall is None:
            return
        self._stall = None
        logger.warning("the store writes again")
        for watcher in self._watchers:
            watcher.writes()
        if self._answer is not None:
            self._answer.set_result(None)
            self._answer = None

    def _settle_down(self) -> None:
        self._busy = False
        if self._pending or self._finished:
            return
        for future in self._idle:
            if not future.done():
                future.set_result(None)
        self._idle.clear()


def size_of(items: Iterable[Item]) -> int:
    """Return about how many bytes items take in a store."""
    return sum(
        ROW_BYTES + sum(len(value) for value in row if isinstance(value, bytes | str))
        for item in items
        for row in item.rows
    )


def as_store_error(error: BaseException) -> StoreError:
    """Return `error` as a StoreError: a store may fail in ways of its own."""
    if isinstance(error, StoreError):
        return error
    wrapped = StoreError(f"the store failed: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
