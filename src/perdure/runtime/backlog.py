"""Backlog: the runs queued behind runs that wait.

A key that waits holds up its own key only (G20): what is queued behind its first run takes no room
among the runs in flight, and of many only the first are in memory. The others are where every run
is, in the store, and are read back a page at a time when their turn comes near.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Awaitable, Callable, Collection

from perdure.codec.brief import brief
from perdure.printable import printable_logger
from perdure.run import STATUS_BY_NUMBER, RunStatus
from perdure.runtime.shared.admission import Admission
from perdure.runtime.shared.mailbox import Key, RunTicket, Shelf
from perdure.store.base import ActionStateStore, RunRow

logger = printable_logger("perdure")

IN_MEMORY = 10_000  # queued runs of a job in memory at most
PAGE = 64  # read back at once
LOW = 8  # of a key in memory, at which more are read back


class Backlog:
    """The queued runs that do not count as in flight.

    A run is in it from when the first run of its key waits, or one before it is in it, until it
    begins. Of each key those in memory come first in the queue; the others are its shelf.

    Owns: which runs are in it, the shelves. Lifecycle: made when the job opens. On the host loop.

    Args:
        admission: counts the runs in flight.
        store: where queued runs are read back.
        limit: runs in it at most; children and what was admitted before come on top.
        load: puts runs that were read back into their keys' queues.
        emptied: told of a key whose shelf is empty now.
        insist: does work beside the runs, again while the store fails.

    Attributes:
        reading: held while a page of a shelf is read, and by who changes a run that is on one.
        on_shelves: number of runs that are not in memory.
        keeps_all: every run that is not the first of its key is in it: the job recovers.
    """

    def __init__(
        self,
        admission: Admission,
        store: ActionStateStore,
        *,
        limit: int,
        load: Callable[[Key, list[RunRow]], Awaitable[None]],
        emptied: Callable[[Key], None],
        insist: Callable[[Callable[[], Awaitable[None]]], object],
    ) -> None:
        self._admission = admission
        self._store = store
        self._limit = limit
        self._load = load
        self._emptied = emptied
        self._insist = insist
        self._queued: set[int] = set()  # those in memory
        self._coming = 0  # admissions under way that will be in it
        self._keys: dict[int, Key] = {}  # with a shelf, by their numbers
        self._away: weakref.WeakValueDictionary[int, RunTicket] = weakref.WeakValueDictionary()
        self._told: set[bytes] = set()  # keys that the log says are full
        self.reading = asyncio.Lock()
        self.on_shelves = 0
        self.keeps_all = False

    def __len__(self) -> int:
        return len(self._queued) + self.on_shelves

    @property
    def in_memory(self) -> int:
        """Number of its runs that are in memory."""
        return len(self._queued)

    # Into it

    def first_waits(self, key: Key) -> None:
        """The first run of a key rests: those behind it do not count from now on."""
        queue = key.queue
        if len(queue) < 2 or queue[-1].number in self._queued:
            return
        behind = [t for t in itertools.islice(queue, 1, None) if t.number not in self._queued]
        for ticket in behind:
            self._add(ticket)
        shelved: list[RunTicket] = []
        while len(self._queued) > IN_MEMORY and len(queue) > 1 and not queue[-1].is_held:
            shelved.append(queue.pop())
            self._queued.discard(shelved[-1].number)
        for ticket in reversed(shelved):
            self._shelve(ticket)

    def takes(self, ticket: RunTicket) -> bool:
        """Take note of a run that joins a queue behind others; True: it is on the shelf now."""
        key = ticket.key
        if key.shelf is None:
            if not self._will_take(key):
                return False
            if len(self._queued) < IN_MEMORY:
                self._add(ticket)
                return False
        self._shelve(ticket)
        return True

    def _will_take(self, key: Key) -> bool:
        if key.shelf is not None or self.keeps_all:
            return True
        queue = key.queue
        if not queue:
            return False
        return queue[0].status is RunStatus.WAITING or queue[-1].number in self._queued

    def _add(self, ticket: RunTicket) -> None:
        self._queued.add(ticket.number)
        self._admission.rests(ticket)

    def _shelve(self, ticket: RunTicket) -> None:
        key, place = ticket.key, ticket.row.place
        if key.shelf is None:
            key.shelf = Shelf(place)
            self._keys[key.number] = key
        key.shelf.put(place)
        self.on_shelves += 1
        ticket.has_history, ticket.records, ticket.signals = True, None, None
        self._away[ticket.number] = ticket
        self._admission.finished(ticket)

    # The bound

    @property
    def room(self) -> int:
        """How many more runs may be in it; below 1 where there is no room."""
        return self._limit - len(self) - self._coming

    def refuses(self, key: Key) -> bool:
        """Say whether no more runs of a key may be admitted for now; the log names the key once."""
        if self.room > 0 or not self._will_take(key):
            return False
        if key.digest not in self._told:
            self._told.add(key.digest)
            logger.warning(
                "key %s waits, and %s runs are queued behind runs that wait (max-runs-queued):"
                " further inputs of this key wait until some of them begin; other keys go on",
                brief((key.value,), {}, 60), f"{self._limit:,}",
            )  # fmt: skip
        return True

    def expect(self, key: Key) -> Callable[[], None] | None:
        """Count an admission under way; return what says that it is over, None if it counts not."""
        if not self._will_take(key):
            return None
        self._coming += 1
        return self._came

    def _came(self) -> None:
        self._coming -= 1

    # Out of it

    def leaves(self, ticket: RunTicket) -> None:
        """A run that is in memory begins, or has ended before."""
        if ticket.number in self._queued:
            self._queued.discard(ticket.number)
            self._admission.goes_on(ticket)
            self._admission.look_again()
            if not len(self):
                self._told.clear()

    def refill(self, key: Key) -> None:
        """Read more of a key's runs back, where few are left in memory."""
        shelf = key.shelf
        if shelf is not None and not shelf.is_loading and len(key.queue) <= LOW:
            shelf.is_loading = True
            self._insist(lambda: self._read_page(key))

    async def _read_page(self, key: Key) -> None:
        shelf = key.shelf
        assert shelf is not None
        async with self.reading:
            last = shelf.last
            rows = await self._store.queued(key.number, shelf.first, last, PAGE)
            await self._load(key, [r for r in rows if r.run not in self._admission.tickets])
            self._taken_down(key, rows, is_end=len(rows) < PAGE and shelf.last == last)
        shelf.is_loading = False
        if key.shelf is None:
            self._emptied(key)
        else:
            self.refill(key)

    def _taken_down(self, key: Key, rows: list[RunRow], *, is_end: bool) -> None:
        shelf = key.shelf
        assert shelf is not None
        before = shelf.size
        if rows:
            shelf.first = rows[-1].place + 1
            shelf.size = max(shelf.size - len(rows), 1)
        if is_end:
            shelf.size = 0
            key.shelf = None
            self._keys.pop(key.number)
        self.on_shelves -= before - shelf.size
        self._admission.look_again()

    def is_back(self, ticket: RunTicket) -> None:
        """Take note of a run that was read back from a shelf."""
        self._add(ticket)

    def shelves_of(self, shard: int) -> list[Key]:
        """Return the keys of a shard that have a shelf."""
        return [key for key in self._keys.values() if key.shard == shard]

    def drop_shard(self, shard: int) -> None:
        """Forget the shelves of a shard."""
        for key in self.shelves_of(shard):
            self.on_shelves -= 0 if key.shelf is None else key.shelf.size
            del self._keys[key.number]
        self._admission.look_again()

    # Runs that are on a shelf

    def shelf_of(self, row: RunRow) -> Key | None:
        """Return the key on whose shelf a run is, None where it is on none."""
        key = self._keys.get(row.key)
        if key is None or key.shelf is None or STATUS_BY_NUMBER[row.status].is_final:
            return None
        is_there = key.shelf.first <= row.place <= key.shelf.last and not _is_delayed(row)
        return key if is_there and row.run not in self._admission.tickets else None

    def ticket_of(self, row: RunRow, key: Key) -> RunTicket:
        """Return the ticket of a run that is or was on a shelf: the one that others hold."""
        ticket = self._away.get(row.run)
        if ticket is None:
            ticket = RunTicket(row, key, has_history=True)
            self._away[row.run] = ticket
        ticket.row = row
        return ticket

    async def find(self, runs: Collection[int]) -> list[RunTicket]:
        """Return tickets of those of these runs that are on shelves.

        Raises:
            StoreError: they cannot be read.
        """
        if not self._keys:
            return []
        rows = (await self._store.runs(runs)).values()
        found = ((row, self.shelf_of(row)) for row in rows)
        return [self.ticket_of(row, key) for row, key in found if key is not None]

    def ended(self, ticket: RunTicket) -> None:
        """A run that was on a shelf has ended there."""
        shelf = ticket.key.shelf
        if shelf is not None and shelf.size > 1:
            shelf.size -= 1
            self.on_shelves -= 1


def _is_delayed(row: RunRow) -> bool:
    return bool(row.due) and row.place == row.run
