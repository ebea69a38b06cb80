"""RestingRuns: runs that only time or a signal can continue.

They do not count as in flight (G20), and where they are many, those that rest long leave memory:
what is left is a ticket and, for all of them, one timer of the host. Time or a signal brings a run
back from its journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from perdure.errors import StoreError, StoreFormatError
from perdure.log_lines import place_fields
from perdure.printable import printable_logger
from perdure.run import STATUS_NUMBERS, RunStatus
from perdure.runtime.run.rows import status_row
from perdure.runtime.shared.admission import QUEUED, WAITING, Admission
from perdure.runtime.shared.backoff import BACKOFF_SECONDS
from perdure.runtime.shared.later import Later
from perdure.runtime.shared.mailbox import KeyedMailbox, RunTicket
from perdure.runtime.shared.timers import Timer, TimerService
from perdure.store.group_commit import GroupCommit

logger = printable_logger("perdure")

LONG_NS = 5_000_000_000  # what rests longer may leave memory and is seen to wait from outside

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class RestingRuns:
    """The runs of a job that rest, and those that are not due yet.

    Owns: the timers of those out of memory and of those that are due later. Lifecycle: made when
    the job opens. On the host loop.

    Args:
        limit: resting runs in memory at most, as far as the others rest long.
        take_out: drops a run's execution.
        bring_back: reads a run back from its journal.
        go_on: begins a run that was held, if it is its turn.
        told: called when a run begins to rest.
    """

    def __init__(
        self,
        admission: Admission,
        mailbox: KeyedMailbox,
        commits: GroupCommit,
        timers: TimerService,
        later: Later,
        now: Callable[[], int],
        spawn: Spawn,
        *,
        limit: int,
        take_out: Callable[[RunTicket], None],
        bring_back: Callable[[RunTicket], asyncio.Task[None]],
        go_on: Callable[[RunTicket], None],
        told: Callable[[RunTicket], None],
    ) -> None:
        self._admission = admission
        self._mailbox = mailbox
        self._commits = commits
        self._timers = timers
        self._later = later
        self._now = now
        self._spawn = spawn
        self._limit = limit
        self._take_out = take_out
        self._bring_back = bring_back
        self._go_on = go_on
        self._told = told
        self._here: set[int] = set()  # resting in memory
        self._marked: set[int] = set()  # the store says that they wait
        self._out: dict[int, Timer | None] = {}
        self._back: dict[int, asyncio.Task[None]] = {}  # on their way into memory
        self._staying: set[int] = set()  # not to leave memory until they go on
        self._delayed: dict[int, Timer] = {}
        self._becoming: set[int] = set()  # of these, those that are due and not in a queue yet
        self._doubted: set[int] = set()  # in a queue, which the store may not know

    @property
    def in_memory(self) -> int:
        """Number of runs that rest in memory."""
        return len(self._here)

    # Runs that have begun

    def begin(self, ticket: RunTicket, wake_up: int | None, *, must_leave: bool) -> None:
        """A run rests from now on.

        Args:
            ticket: the run.
            wake_up: when time continues it, ns since the epoch; None for a signal alone.
            must_leave: it is in the way of others in memory.
        """
        ticket.status = RunStatus.WAITING
        self._here.add(ticket.number)
        self._admission.rests(ticket)
        if wake_up is None or wake_up > self._now() + LONG_NS:
            self._later.add(ticket, lambda: self._mark(ticket, RunStatus.WAITING))
            crowded = must_leave or len(self._here) > self._limit
            if crowded and ticket.number not in self._staying:
                self._put_out(ticket, wake_up)
        self._told(ticket)

    def end(self, ticket: RunTicket, *, dropped: bool = False) -> None:
        """A run goes on, or has ended.

        Args:
            ticket: the run.
            dropped: it does not go on from here: it leaves memory, or is read back.
        """
        run = ticket.number
        if run in self._here:
            self._here.discard(run)
            self._admission.goes_on(ticket)
        self._later.drop(ticket)  # of one that is put out, that is told
        if dropped:
            return
        self._staying.discard(run)
        if ticket.status is RunStatus.WAITING:
            ticket.status = RunStatus.RUNNING
        if run in self._marked or ticket.row.status == WAITING:
            # Stored alike with those that run: a run is running once its journal has begun.
            self._mark(ticket, RunStatus.QUEUED)

    def _mark(self, ticket: RunTicket, status: RunStatus) -> None:
        """Tell the store, for those who look from outside; nothing depends on it."""
        if status is RunStatus.WAITING:
            self._marked.add(ticket.number)
        else:
            self._marked.discard(ticket.number)
        number = STATUS_NUMBERS[status]
        if ticket.row.status != number:  # an earlier process may have left it so
            ticket.row = ticket.row._replace(status=number)
            self._commits.add([status_row(ticket.row, status)], lambda _error: None)

    def _put_out(self, ticket: RunTicket, wake_up: int | None) -> None:
        run = ticket.number
        self._later.write()  # what it waits for is known while it is here
        self._here.discard(run)
        timer = None
        if wake_up is not None:
            timer = self._timers.arm(wake_up, lambda: self.wake(ticket))
        self._out[run] = timer
        self._take_out(ticket)

    def wake(self, ticket: RunTicket, *, stay: bool = False) -> asyncio.Task[None] | None:
        """Bring a run back that is out of memory; None when it is not. Done when it is back.

        Args:
            ticket: the run.
            stay: it does not leave memory again before it has gone on.
        """
        run = ticket.number
        if run in self._out:
            timer = self._out.pop(run)
            if timer is not None:
                self._timers.cancel(timer)
            self._admission.goes_on(ticket)
            self._back[run] = back = self._bring_back(ticket)
            back.add_done_callback(lambda _: self._back.pop(run, None))
        coming = self._back.get(run)
        if stay and coming is not None:
            self._staying.add(run)
        return coming

    def drop(self, ticket: RunTicket) -> None:
        """Forget a run that is not in this process any more; one that executed has ended here."""
        run = ticket.number
        self.forget(ticket)
        self._later.drop(ticket)
        timer = self._out.pop(run, None)
        if timer is not None:
            self._timers.cancel(timer)
        for those in (self._here, self._marked, self._staying):
            those.discard(run)

    # Runs that are due later

    @property
    def delayed(self) -> int:
        """Number of runs that are not due yet."""
        return len(self._delayed) - len(self._becoming)

    def delay(self, ticket: RunTicket) -> None:
        """Let a run join its key's queue when it is due."""
        ticket.status = RunStatus.WAITING
        ticket.key.reserved += 1
        self._admission.rests(ticket)
        self._delayed[ticket.number] = self._timers.arm(
            ticket.row.due, lambda: self._becomes_due(ticket)
        )
        if ticket.row.due <= self._now():
            self._becoming.add(ticket.number)
        self._told(ticket)

    def forget(self, ticket: RunTicket) -> bool:
        """Forget a run that was not due yet; False when it was."""
        self._doubted.discard(ticket.number)
        timer = self._delayed.pop(ticket.number, None)
        if timer is None:
            return False
        self._timers.cancel(timer)
        self._becoming.discard(ticket.number)
        ticket.key.reserved -= 1
        return True

    def _becomes_due(self, ticket: RunTicket) -> None:
        """Give a run its place in the queue of its key, behind those that came before."""
        run = ticket.number
        if run not in self._delayed:
            return  # it is being cancelled
        self._becoming.add(run)
        row = ticket.row._replace(place=self._admission.next_number(ticket.shard), status=QUEUED)

        def written(error: StoreError | None) -> None:
            if not self.forget(ticket):
                return  # it is being cancelled
            ticket.row = row
            ticket.status = RunStatus.QUEUED
            self._admission.goes_on(ticket)
            # Its place may be durable though nobody knows: what comes later is behind it here too.
            ticket.is_held = error is not None
            self._mailbox.enqueue(ticket)
            if error is not None:
                self._doubted.add(run)
                self._cannot_be_queued(ticket, error)

        self._commits.add([status_row(row, RunStatus.QUEUED)], written)

    def _cannot_be_queued(self, ticket: RunTicket, error: StoreError) -> None:
        fields = place_fields("", ticket.id, ticket.key.value)
        logger.error("run %s is due and cannot be queued: %s", ticket.id, error, extra=fields)
        self._spawn(self._again(ticket, error))

    async def _again(self, ticket: RunTicket, error: StoreError) -> None:
        """Write again that a run is queued."""
        if isinstance(error, StoreFormatError):
            raise error  # it would be so again
        await asyncio.sleep(BACKOFF_SECONDS[0])
        await self._commits.writes()

        def written(error: StoreError | None) -> None:
            if ticket.number not in self._doubted:
                return  # it is being cancelled
            if error is not None:
                self._cannot_be_queued(ticket, error)
                return
            self._doubted.discard(ticket.number)
            ticket.is_held = False
            self._go_on(ticket)

        if ticket.number in self._doubted:
            self._commits.add([status_row(ticket.row, RunStatus.QUEUED)], written)
