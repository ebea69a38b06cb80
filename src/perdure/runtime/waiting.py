"""WaitingRuns: runs that only time or a signal can continue.

They do not count as in flight (G20), and where they are many, those that wait long leave memory:
what is left is a ticket and, for all of them, one timer of the host. Time or a signal brings a run
back from its journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from perdure.run import RunStatus
from perdure.runtime.admission import Admission
from perdure.runtime.backoff import until_store_answers
from perdure.runtime.mailbox import KeyedMailbox, RunTicket
from perdure.runtime.run_rows import status_row
from perdure.runtime.timers import Timer, TimerService
from perdure.store.group_commit import GroupCommit

LONG_NS = 5_000_000_000  # what waits longer may leave memory and is seen to wait from outside

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class WaitingRuns:
    """The runs of a job that only wait.

    Owns: the timers of those out of memory and of those that are due later. Lifecycle: made when
    the job opens. On the host loop.

    Args:
        limit: waiting runs in memory at most, as far as the others wait long.
        take_out: drops a run's execution.
        bring_back: reads a run back from its journal.
        told: called when a run begins to wait.
    """

    def __init__(
        self,
        admission: Admission,
        mailbox: KeyedMailbox,
        commits: GroupCommit,
        timers: TimerService,
        now: Callable[[], int],
        spawn: Spawn,
        *,
        limit: int,
        take_out: Callable[[RunTicket], None],
        bring_back: Callable[[RunTicket], asyncio.Task[None]],
        told: Callable[[RunTicket], None],
    ) -> None:
        self._admission = admission
        self._mailbox = mailbox
        self._commits = commits
        self._timers = timers
        self._now = now
        self._spawn = spawn
        self._limit = limit
        self._take_out = take_out
        self._bring_back = bring_back
        self._told = told
        self._here: set[int] = set()  # waiting in memory
        self._marked: set[int] = set()  # the store says that they wait
        self._out: dict[int, Timer | None] = {}
        self._delayed: dict[int, Timer] = {}

    # Runs that have begun

    def begin(self, ticket: RunTicket, wake_up: int | None) -> None:
        """A run waits from now on, until `wake_up` (ns since the epoch) or for a signal."""
        ticket.status = RunStatus.WAITING
        self._here.add(ticket.row.run)
        self._admission.rests(ticket)
        if wake_up is None or wake_up > self._now() + LONG_NS:
            self._mark(ticket, RunStatus.WAITING)
            if len(self._here) > self._limit:
                self._put_out(ticket, wake_up)
        self._told(ticket)

    def end(self, ticket: RunTicket) -> None:
        """A run goes on, or has ended."""
        run = ticket.row.run
        if run not in self._here:
            return  # it is being taken out
        self._here.discard(run)
        self._admission.goes_on(ticket)
        if ticket.status is RunStatus.WAITING:
            ticket.status = RunStatus.RUNNING
            if run in self._marked:
                self._mark(ticket, RunStatus.RUNNING)
        self._marked.discard(run)

    def _mark(self, ticket: RunTicket, status: RunStatus) -> None:
        """Tell the store, for those who look from outside; nothing depends on it."""
        self._marked.add(ticket.row.run)
        self._commits.add([status_row(ticket.row, status)], lambda _error: None)

    def _put_out(self, ticket: RunTicket, wake_up: int | None) -> None:
        run = ticket.row.run
        self._here.discard(run)
        timer = None
        if wake_up is not None:
            timer = self._timers.arm(wake_up, lambda: self.wake(ticket))
        self._out[run] = timer
        self._take_out(ticket)

    def wake(self, ticket: RunTicket) -> asyncio.Task[None] | None:
        """Bring a run back that is out of memory; None when it is not. Done when it goes on."""
        run = ticket.row.run
        if run not in self._out:
            return None
        timer = self._out.pop(run)
        if timer is not None:
            self._timers.cancel(timer)
        self._marked.discard(run)
        self._admission.goes_on(ticket)
        return self._bring_back(ticket)

    # Runs that are due later

    @property
    def delayed(self) -> int:
        """Number of runs that are not due yet."""
        return len(self._delayed)

    def delay(self, ticket: RunTicket) -> None:
        """Let a run join its key's queue when it is due."""
        ticket.status = RunStatus.WAITING
        ticket.key.reserved += 1
        self._admission.rests(ticket)
        self._delayed[ticket.row.run] = self._timers.arm(
            ticket.row.due, lambda: self._spawn(self._due(ticket))
        )
        self._told(ticket)

    def forget(self, ticket: RunTicket) -> bool:
        """Forget a run that was not due yet; False when it was."""
        timer = self._delayed.pop(ticket.row.run, None)
        if timer is None:
            return False
        self._timers.cancel(timer)
        ticket.key.reserved -= 1
        return True

    async def _due(self, ticket: RunTicket) -> None:
        """Give a run its place in the queue of its key, behind those that came before."""
        place = self._admission.next_number()
        row = ticket.row._replace(place=place)
        await until_store_answers(
            lambda: self._commits.write([status_row(row, RunStatus.QUEUED)]),
            f"run {ticket.id} is due and cannot be queued",
        )
        if self.forget(ticket):  # not cancelled meanwhile
            ticket.row = row
            ticket.status = RunStatus.QUEUED
            self._admission.goes_on(ticket)
            self._mailbox.enqueue(ticket)
