"""KeyedMailbox: the runs of one key execute one at a time, in the order of their places (G1)."""

from __future__ import annotations

import asyncio
import collections
import weakref
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from perdure.journal.record import Record
from perdure.memory.cells import Cell
from perdure.run import STATUS_BY_NUMBER, Output, RunStatus, run_id
from perdure.runtime.shared.kept_outputs import KeptOutputs, OutputKeeper
from perdure.store.base import KeyRow, KeyState, RunRow, WaitRow


class Shelf:
    """The end of a key's queue that is in the store alone.

    Attributes:
        first: no place on it is before this one.
        last: none is behind this one.
        size: how many runs it has.
        is_loading: some of them are being read back.
    """

    __slots__ = ("first", "is_loading", "last", "size")

    def __init__(self, place: int) -> None:
        self.first = self.last = place
        self.size = 0
        self.is_loading = False

    def put(self, place: int) -> None:
        """Put a run on it."""
        self.first, self.last = min(self.first, place), max(self.last, place)
        self.size += 1


class Key:
    """A key with runs in flight: its memory and the queue of its runs, whose end is its shelf.

    `memory` is replaced, never changed, when a run ends.

    Attributes:
        row: the key with the sequence of its newest run.
        number: that of the key in the store.
        digest: that of the key: the same in every process and on every machine.
    """

    __slots__ = (
        "digest", "memory", "number", "queue", "reserved", "row", "shard", "shelf", "value",
    )  # fmt: skip

    def __init__(self, row: KeyRow, value: Any, state: KeyState | None) -> None:
        self.row = row
        self.number, self.digest = row.key, row.digest
        self.value = value
        self.shard = 0
        self.reserved = 0  # admissions under way: the key must not be forgotten meanwhile
        self.memory: dict[str, Cell] = {}
        self.queue: collections.deque[RunTicket] = collections.deque()
        self.shelf: Shelf | None = None
        if state is not None:
            self.memory = {
                m.path: Cell(m.data, m.written_at) for m in state.memory if m.data is not None
            }


NO_WAITS: Mapping[tuple[int, str, int], WaitRow] = {}  # of most runs, at all times


class RunTicket:
    """A run in flight, from its admission to its end, over any number of restarts of it.

    Attributes:
        row: the run as admitted; `place` and `attempt` as of now.
        number: that of the run in the store.
        records: its journal where it is known to have one and is loaded.
        has_history: the store may hold records of it.
        emitted: number of outputs told to the listeners.
        status: as of now.
        error: why it failed.
        signals: those that came for it in this process.
        activity: what it last said that it is doing.
        waits: what its actions wait for from outside, by (event, action, number).
        are_waits_stored: those are what the store has, no more and no less.
        is_awaited: an action of another run waits for its outputs.
        is_held: it is being cancelled, so it does not begin.
        kept: its outputs in memory, while somebody holds its `Run`.
        input: source and id of its input, where what it makes is named by them.
    """

    __slots__ = (
        "__weakref__", "_waiters", "activity", "are_waits_stored", "emitted", "error",
        "has_history", "id", "input", "is_awaited", "is_held", "kept", "key", "number", "records",
        "row", "signals", "status", "waits",
    )  # fmt: skip

    def __init__(self, row: RunRow, key: Key, *, has_history: bool = False) -> None:
        self.row = row
        self.number = row.run
        self.key = key
        self.id = run_id(row.run)
        self.has_history = has_history
        self.records: list[Record] | None = None
        self.emitted = 0
        self.status = STATUS_BY_NUMBER[row.status]
        self.error: BaseException | None = None
        self.signals: list[Record] | None = None
        self.activity: Any = None
        self.waits: Mapping[tuple[int, str, int], WaitRow] = NO_WAITS
        self.are_waits_stored = False
        self.is_awaited = False
        self.is_held = False
        self.kept: weakref.ref[KeptOutputs] | None = None
        self.input: tuple[str, str | int] | None = None
        self._waiters: set[asyncio.Future[None]] | None = None  # for its end

    @property
    def key_digest(self) -> bytes:
        """The digest of the run's key: the same in every process and on every machine."""
        return self.key.digest

    @property
    def shard(self) -> int:
        """The shard that the run's key belongs to; 0 where the job has one."""
        return self.key.shard

    @property
    def is_delayed(self) -> bool:
        """True as long as the run has not got its place in the queue, since it is due later."""
        return bool(self.row.due) and self.row.place == self.number

    def keep_outputs(self, keeper: OutputKeeper) -> KeptOutputs:
        """Keep the outputs that the run sends from now on, while the caller holds the result."""
        kept = self.kept() if self.kept is not None else None
        if kept is None:
            kept = KeptOutputs(keeper)
            self.kept = weakref.ref(kept)
        return kept

    def outputs_in(self, kept: KeptOutputs) -> list[Output] | None:
        """Return the run's outputs when it has completed; None where only the store has them."""
        if self.status is not RunStatus.COMPLETED:
            return None
        return kept.read(self.id, self.key.value, self.key.row.value, self.emitted)

    def new_waiter(self) -> asyncio.Future[None]:
        """Return a future of the caller's own that is done when the run came to its end.

        Whoever waits no longer says so with `forget`.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.status.is_final:
            waiter.set_result(None)
        elif self._waiters is None:
            self._waiters = {waiter}
        else:
            self._waiters.add(waiter)
        return waiter

    def forget(self, waiter: asyncio.Future[None]) -> None:
        """Let go of a future that nobody waits for."""
        if self._waiters is not None:
            self._waiters.discard(waiter)

    def tell_waiters(self) -> None:
        """Wake those who wait for the run's end, which it has come to."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)


class KeyedMailbox:
    """The keys with runs in flight; starts the next run of a key when one has ended.

    Owns: keys, their queues and memory, from the first run of a key in flight to the last.

    A key that is not here has no run in flight, so what the store has of it is current. Keys are
    read one batch at a time, and held meanwhile, so that this stays true over the wait.

    Args:
        begin: called with the run that may execute now.
        read: reads keys from the store, by digest.
        decode: gives a key's value back.
        shelves: told of a run that joins a queue behind others; True where it leaves memory.
        shard_of: gives the shard of a key, by its digest.
    """

    def __init__(
        self,
        begin: Callable[[RunTicket], None],
        read: Callable[[Collection[bytes]], Awaitable[dict[bytes, KeyState]]],
        decode: Callable[[bytes], Any],
        shelves: Callable[[RunTicket], bool] = lambda ticket: False,
        shard_of: Callable[[bytes], int] = lambda digest: 0,
    ) -> None:
        self._begin = begin
        self._shard_of = shard_of
        self._shelves = shelves
        self._read = read
        self._decode = decode
        self._reading = asyncio.Lock()
        self.keys: dict[bytes, Key] = {}

    async def hold(self, digests: Collection[bytes]) -> list[Key]:
        """Have these keys here, as far as they exist, until `let_go` is called with them.

        Raises:
            StoreError: they could not be read; nothing is held.
        """
        held = []
        async with self._reading:
            for digest in digests:
                if (key := self.keys.get(digest)) is not None:
                    key.reserved += 1
                    held.append(key)
            missing = [digest for digest in digests if digest not in self.keys]
            try:
                states = await self._read(missing) if missing else {}
            except BaseException:
                self.let_go(held)
                raise
            for state in states.values():
                key = self.add(Key(state.row, self._decode(state.row.value), state))
                key.reserved += 1
                held.append(key)
        return held

    def let_go(self, held: Collection[Key]) -> None:
        """Hold these keys no longer."""
        for key in held:
            key.reserved -= 1
            self.forget_if_idle(key)

    def add(self, key: Key) -> Key:
        """Take in a key that is not here."""
        key.shard = self._shard_of(key.digest)
        self.keys[key.digest] = key
        return key

    def enqueue(self, ticket: RunTicket) -> None:
        """Put a run at the end of its key's queue; it begins when it is the first."""
        queue = ticket.key.queue
        if not queue and ticket.key.shelf is None:
            queue.append(ticket)  # nobody is before it
            self._begin(ticket)
        elif self.join(ticket) and queue[0] is ticket:
            self._begin(ticket)

    def join(self, ticket: RunTicket) -> bool:
        """Put a run at the end of its key's queue; False where it is not kept in memory."""
        key = ticket.key
        if (key.queue or key.shelf is not None) and self._shelves(ticket):
            return False
        key.queue.append(ticket)
        return True

    def rejoin(self, ticket: RunTicket) -> None:
        """Put a run behind those of its key in memory that was read back; likewise it begins."""
        ticket.key.queue.append(ticket)
        if self.is_first(ticket):
            self._begin(ticket)

    def is_first(self, ticket: RunTicket) -> bool:
        """Say whether the run is the one of its key that executes."""
        queue = ticket.key.queue
        return bool(queue) and queue[0] is ticket

    def release(self, ticket: RunTicket, memory: dict[str, Cell] | None = None) -> None:
        """Take an ended run out; the next of its key begins.

        Args:
            ticket: the run.
            memory: the key's memory after it, if it changed.
        """
        key = ticket.key
        if memory is not None:
            key.memory = memory
        was_first = bool(key.queue) and key.queue[0] is ticket
        if was_first:
            key.queue.popleft()
        elif ticket in key.queue:  # not one that was cancelled before it was due
            key.queue.remove(ticket)
        if key.queue:
            if was_first:
                self._begin(key.queue[0])
        else:
            self.forget_if_idle(key)

    def drop_shard(self, shard: int) -> None:
        """Drop the keys of a shard, whatever is queued in them."""
        for digest in [digest for digest, key in self.keys.items() if key.shard == shard]:
            key = self.keys.pop(digest)
            key.queue.clear()
            key.shelf = None

    def forget_if_idle(self, key: Key) -> None:
        """Drop a key that nothing refers to; it is read again when it comes up."""
        if not (key.queue or key.reserved or key.shelf):
            self.keys.pop(key.digest, None)
