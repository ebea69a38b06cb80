"""StoredRuns: takes up runs that are in the store and not in this process."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence

from perdure.run import STATUS_BY_NUMBER, run_id
from perdure.runtime.backlog import Backlog
from perdure.runtime.resting_runs import RestingRuns
from perdure.runtime.shared.admission import Admission
from perdure.runtime.shared.mailbox import NO_WAITS, Key, KeyedMailbox, RunTicket
from perdure.store.base import ActionStateStore, RunRow, WaitRow
from perdure.store.damage import damaged

PAGE = 1000  # rows read at once
BEGUN_PER_TURN = 64


class StoredRuns:
    """Puts stored runs into the queues of their keys, with their journals, and has them begin.

    Owns nothing. Lifecycle: made when the job opens. On the host loop.

    Args:
        begin: lets a run begin if it is its turn and it has not begun.
    """

    def __init__(
        self,
        store: ActionStateStore,
        admission: Admission,
        mailbox: KeyedMailbox,
        backlog: Backlog,
        resting: RestingRuns,
        begin: Callable[[RunTicket], None],
    ) -> None:
        self._store = store
        self._admission = admission
        self._mailbox = mailbox
        self._backlog = backlog
        self._resting = resting
        self._begin_first = begin
        self._taking = asyncio.Lock()
        # What has its say on the runs of a shard before they begin.
        self.before_beginning: Callable[[], Awaitable[None]]

    async def recover(self, shard: int = 0) -> None:
        """Take up a shard's unfinished runs, a page at a time; then those begin that are first.

        What is queued behind them counts as what is queued behind runs that wait, until it begins:
        of many the first are in memory.
        """
        self._backlog.keeps_all = True
        try:
            unfinished = functools.partial(self._store.unfinished_of, shard)
            await self._take_up_pages(unfinished, self.before_beginning)
        finally:
            self._backlog.keeps_all = False

    async def look(self) -> None:
        """Take up what an admission may have written that looked failed."""
        await self._take_up_pages(self._store.unfinished)

    async def _take_up_pages(
        self,
        unfinished: Callable[[int, int], Awaitable[list[RunRow]]],
        before_beginning: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        held: list[Key] = []
        found: list[RunTicket] = []
        async with self._taking:
            try:
                after = 0
                while rows := await unfinished(after, PAGE):
                    found += await self._taken_in(rows, held)
                    after = rows[-1].place
                if before_beginning is not None:
                    await before_beginning()
                await self._begin([each for each in found if not each.status.is_final])
            finally:
                self._mailbox.let_go(held)

    async def take_up(self, rows: Sequence[RunRow]) -> None:
        """Take up these runs, as far as they are unfinished and not here."""
        held: list[Key] = []
        async with self._taking:
            # Read again: another way may have taken a run up, and even finished it, meanwhile.
            now = (await self._store.runs([row.run for row in rows])).values()
            try:
                found = await self._taken_in(sorted(now, key=lambda row: row.place), held)
                await self._begin(found)
            finally:
                self._mailbox.let_go(held)

    async def from_shelf(self, key: Key, rows: Sequence[RunRow]) -> None:
        """Take up runs of a key that were on its shelf, behind those of its queue."""
        tickets = [self._backlog.ticket_of(row, key) for row in rows]
        await self._read_journals(tickets)
        for ticket in tickets:
            self._admission.tickets[ticket.number] = ticket
            self._backlog.is_back(ticket)
            self._mailbox.rejoin(ticket)

    async def _taken_in(self, rows: Sequence[RunRow], held: list[Key]) -> list[RunTicket]:
        """Make tickets of rows; return those that are to begin, or may be due later.

        Not one of them begins before all are known: runs that go on may wait for each other's
        outputs.

        Args:
            rows: in the order of their places.
            held: takes the keys that must not be forgotten before the runs have begun.
        """
        rows = [row for row in rows if self._is_to_be_taken(row)]
        keys = await self._store.keys_of([row.run for row in rows])
        digests = {number: state.row.digest for number, state in keys.items()}
        for row in rows:
            if row.key not in digests:
                place = f"table key, the key {row.key} of run {run_id(row.run)}"
                raise damaged(self._store.url, place, "the row is missing")
        held += await self._mailbox.hold(set(digests.values()))
        tickets = [RunTicket(r, self._mailbox.keys[digests[r.key]], has_history=True) for r in rows]
        if not self._backlog.keeps_all:
            await self._read_journals(tickets)  # others of its key may be at work
        for ticket in tickets:
            self._admission.tickets[ticket.number] = ticket
        joined = [each for each in tickets if each.is_delayed or self._mailbox.join(each)]
        if self._backlog.keeps_all:
            await self._read_journals(joined)
        return [each for each in joined if each.is_delayed or self._mailbox.is_first(each)]

    def _is_to_be_taken(self, row: RunRow) -> bool:
        is_final = STATUS_BY_NUMBER[row.status].is_final
        is_here = row.run in self._admission.tickets or self._backlog.shelf_of(row) is not None
        return not (is_final or is_here)

    async def _read_journals(self, tickets: Sequence[RunTicket]) -> None:
        numbers = [ticket.number for ticket in tickets]
        records = await self._store.records(numbers)
        emitted: dict[int, int] = {}
        for output in await self._store.outputs(numbers):
            emitted[output.run] = max(output.number, emitted.get(output.run, 0))
        waits = await self._store.waits_of(numbers)
        open_waits: dict[int, dict[tuple[int, str, int], WaitRow]] = {}
        for wait in waits or ():
            open_waits.setdefault(wait.run, {})[wait.event, wait.action, wait.call] = wait
        for ticket in tickets:
            ticket.has_history, ticket.records = True, records.get(ticket.number, [])
            ticket.emitted = emitted.get(ticket.number, 0)
            ticket.waits = open_waits.get(ticket.number, NO_WAITS)
            ticket.are_waits_stored = waits is not None
        if self._store.names_by_input:
            inputs = await self._store.inputs_of(numbers)
            for ticket in tickets:
                ticket.input = inputs.get(ticket.number)

    async def _begin(self, tickets: Sequence[RunTicket]) -> None:
        for count, ticket in enumerate(tickets, 1):
            if ticket.is_delayed:
                self._resting.delay(ticket)
            else:
                self._begin_first(ticket)
            if count % BEGUN_PER_TURN == 0:
                await asyncio.sleep(0)
