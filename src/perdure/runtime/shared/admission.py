"""Admission: an input becomes a run, once (G2), and gets its place in the order of its key (G1)."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from perdure.codec.codec import Codec
from perdure.errors import (
    EncodeError,
    InputError,
    ShardNotHeldError,
    StoreDataError,
    StoreError,
)
from perdure.executor.running import later_task
from perdure.journal.record import by_position
from perdure.run import STATUS_BY_NUMBER, STATUS_NUMBERS, RunStatus
from perdure.runtime.shared.collector import Collector
from perdure.runtime.shared.held_up import HeldUp, QueuedRuns
from perdure.runtime.shared.inputs import (
    NewInput,
    PreparedInput,
    changed,
    input_digests,
    prepared,
)
from perdure.runtime.shared.mailbox import Key, KeyedMailbox, RunTicket
from perdure.runtime.shared.numbers import Numbers
from perdure.runtime.shared.series import NotAdmittedError
from perdure.store.base import (
    ActionStateStore,
    InputRow,
    KeyRow,
    Row,
    RunRow,
)
from perdure.store.group_commit import GroupCommit, StallWatcher

QUEUED = STATUS_NUMBERS[RunStatus.QUEUED]
WAITING = STATUS_NUMBERS[RunStatus.WAITING]
LOOK = 64  # inputs that were held up looked at together


class Admitted(msgspec.Struct, frozen=True):
    """The run of an input: in flight, or known by number from before; `is_other`: not the same."""

    run: int
    ticket: RunTicket | None
    is_new: bool
    is_other: bool = False


class Admission:
    """Admits inputs in batches: everything submitted while one batch is written joins the next.

    Owns: the inputs waiting to be admitted, those of full keys apart, the bound on runs in flight
    (G20). Lifecycle: made when the job opens. On the host loop.

    Args:
        job: the job's number.
        numbers: what new runs and keys are numbered by, and which shards are held.
        adopt: puts stored runs into their keys' queues.
        delay: takes in a new run that is due later.
        doubt: told that an admission failed which may have been written all the same.
        limit: runs in flight at most.
        now: wall-clock time, ns since the epoch.
        collector: told of the runs in flight.
    """

    def __init__(
        self,
        job: int,
        numbers: Numbers,
        store: ActionStateStore,
        commits: GroupCommit,
        codec: Codec,
        mailbox: KeyedMailbox,
        *,
        adopt: Callable[[list[RunRow]], Awaitable[None]],
        delay: Callable[[RunTicket], None],
        doubt: Callable[[], None],
        limit: int,
        now: Callable[[], int],
        collector: Collector,
    ) -> None:
        self._host = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # not that of an action that submits
        self._job = job
        self._numbers = numbers
        self._store = store
        self._commits = commits
        self._codec = codec
        self._mailbox = mailbox
        self._adopt = adopt
        self._delay = delay
        self._doubt = doubt
        self._limit = limit
        self._now = now
        self._collector = collector
        self._waiting: list[tuple[NewInput, asyncio.Future[Admitted]]] = []
        self._ahead: list[tuple[NewInput, asyncio.Future[Admitted]]] = []  # need no room
        self._held_up = HeldUp()
        self._looks_again = False
        self._drains = False
        self._resting: set[int] = set()  # admitted, and not counted as in flight
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._backlog: QueuedRuns
        self.tickets: dict[int, RunTicket] = {}
        # What waits behind a child, which waits for the store, is not kept waiting with it.
        commits.watch(StallWatcher(self._fail_behind, lambda: None))

    def queues(self, backlog: QueuedRuns) -> None:
        """Take what knows of the runs that are queued behind runs that wait."""
        self._backlog = backlog

    def next_number(self, shard: int) -> int:
        """Return the next number for a run or a place in a queue of a shard."""
        return self._numbers.next_run(shard)

    def submit(self, item: NewInput) -> asyncio.Future[Admitted]:
        """Admit one input; the future is done when its run is durable.

        Raises (through the future):
            InputError: its id or position was admitted with another key or value.
            EncodeError: it cannot be journaled.
            Exception: what an input before it in its series was refused with.
            ShardNotHeldError: its key belongs to a shard that this process does not hold.
            StoreError: it is not durable, or nobody knows; submitting it again is safe with an id.
        """
        future: asyncio.Future[Admitted] = self._host.create_future()
        if self._needs_room(item):
            self._waiting.append((item, future))
        else:
            self._ahead.append((item, future))
            self._wake()
        self._go_to_work()
        return future

    def _needs_room(self, item: NewInput) -> bool:
        """Say whether an input waits for others to end: one due later takes no room till then."""
        return not (item.is_child or (item.due and item.due > self._now()))

    def _go_to_work(self) -> None:
        if self._task is None:
            self._task = later_task(self._host, self._work(), self._context.copy())

    async def wait_for_room(self) -> int:
        """Return how many runs may be admitted now, at least 1; waits while there is no room."""
        while (room := self._limit - self.in_flight) < 1:
            await self._woken()
        return room

    @property
    def in_flight(self) -> int:
        """Number of runs that are admitted, not finished, neither rest nor are behind one."""
        return len(self.tickets) - len(self._resting)

    def rests(self, ticket: RunTicket) -> None:
        """A run does not count as in flight from now on."""
        self._resting.add(ticket.number)
        self._wake()

    def goes_on(self, ticket: RunTicket) -> None:
        """A run counts again."""
        self._resting.discard(ticket.number)

    async def _woken(self) -> None:
        if self._room is None:
            self._room = self._host.create_future()
        await asyncio.shield(self._room)

    def _wake(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def finished(self, ticket: RunTicket) -> None:
        """A run has ended, or is in the store alone."""
        self.tickets.pop(ticket.number, None)
        self._resting.discard(ticket.number)
        if self._room is not None:
            self._wake()

    def close(self) -> None:
        """Admit nothing more; what waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
        for _, future in (*self._waiting, *self._held_up.take_all(), *self._ahead):
            future.cancel()
        self._waiting.clear()
        self._ahead.clear()

    async def _work(self) -> None:
        try:
            while self._waiting or self._ahead or self._looks_again:
                batch = await self._next_batch()
                try:
                    await self._admit(batch)
                except Exception as error:
                    for _, future in batch:
                        _fail(future, error)
        finally:
            self._task = None

    async def _next_batch(self) -> list[tuple[NewInput, asyncio.Future[Admitted]]]:
        while not self._ahead:
            room = self._limit - self.in_flight
            if room > 0:
                if self._looks_again:
                    batch = self._held_up.first(self._is_full_no_more, self._look(room))
                    self._looks_again = bool(batch)  # until none is found
                    if batch:
                        return batch
                batch, self._waiting = self._waiting[:room], self._waiting[room:]
                return batch
            await self._woken()
        batch, self._ahead = self._ahead, []
        return batch

    def _fail_behind(self, lost: StoreError) -> None:
        """Fail what waits behind an input that the store lost: it must not overtake it.

        In the same moment: whoever submits after hearing of the failure is not behind it.
        """
        if isinstance(lost, StoreDataError):
            return
        behind, self._waiting = [*self._held_up.take_all(), *self._waiting], []
        for item, future in behind:
            if not future.done():
                _lose(item, future, lost)  # what is on its way in its series comes behind it

    async def _admit(self, batch: Sequence[tuple[NewInput, asyncio.Future[Admitted]]]) -> None:
        ready: list[tuple[PreparedInput, asyncio.Future[Admitted]]] = []
        for item, future in batch:
            if (refused := item.refused_before()) is not None:
                _fail(future, refused)
                continue
            try:
                ready.append((prepared(item, self._codec), future))
            except (EncodeError, InputError) as error:
                _refuse(item, future, error)
        try:
            known = await self._known([p for p, _ in ready])
            away = await self._adopt_unfinished([run for run, _ in known.values()])
            held = await self._mailbox.hold({d for p, _ in ready for d in p.key_digests})
        except StoreError as error:
            for each, future in ready:
                _lose(each.item, future, error)
            self._fail_behind(error)
            return
        self._collector.expect(self.in_flight + len(ready))
        try:
            first = self._place(ready, known, away)
        finally:
            self._mailbox.let_go(held)
        if first:
            await asyncio.wait(first)

    def _place(
        self,
        prepared: Sequence[tuple[PreparedInput, asyncio.Future[Admitted]]],
        known: Mapping[tuple[str, str | int], tuple[int, bytes]],
        away: Mapping[int, RunTicket],
    ) -> list[asyncio.Future[Admitted]]:
        """Give every input its run; return the futures of those with an identity to wait for."""
        first: dict[tuple[str, str | int], asyncio.Future[Admitted]] = {}
        begun: dict[tuple[str, str | int], bytes] = {}  # digests of those in `first`
        for ready, future in prepared:
            if future.done() and not future.cancelled():
                continue  # it was held up, and failed with others meanwhile
            if not ready.identities:
                self._begin_or_hold_up(ready, future)
                continue
            ids = [(ready.source, id_) for id_ in ready.identities]
            identity = ids[0]
            admitted = next((known[id_] for id_ in ids if id_ in known), None)
            if (refused := ready.item.refused_before()) is not None:
                _fail(future, refused)
            elif admitted is not None:
                self._answer_known(ready, future, away, *admitted)
            elif begun.get(identity, ready.digest) != ready.digest:
                _refuse(ready.item, future, InputError(changed(ready)))
            elif identity in first:
                # The same id twice in one batch: answered when the first of them is durable.
                queue = self._waiting if self._needs_room(ready.item) else self._ahead
                queue.insert(0, (ready.item, future))
            elif self._begin_or_hold_up(ready, future):
                first[identity] = future
                begun[identity] = ready.digest
        return list(first.values())

    def _begin_or_hold_up(self, ready: PreparedInput, future: asyncio.Future[Admitted]) -> bool:
        """Give an input its run, unless one before it was refused or its key is full.

        Returns:
            Whether it has its run, which is not durable yet.
        """
        if (refused := ready.item.refused_before()) is not None:
            _fail(future, refused)
            return False
        try:
            self._numbers.check(self._numbers.shard_of(ready.key_digests[0]))
        except ShardNotHeldError as error:
            _refuse(ready.item, future, error)
            return False
        key = self._key_of(ready)
        if self._is_held_up(ready, key, future):
            self._hold_up(ready, key, future)
            return False
        if self._held_up.let_go(future) and ready.item.series is not None:
            ready.item.series.hold_up(future, False)
        self._begin(ready, key or self._new_key(ready), future)
        return True

    async def _known(
        self, prepared: list[PreparedInput]
    ) -> dict[tuple[str, str | int], tuple[int, bytes]]:
        by_source: dict[str, list[str | int]] = {}
        for item in prepared:
            if item.identities:
                by_source.setdefault(item.source, []).extend(item.identities)
        known = {}
        for source, ids in by_source.items():
            for id_, entry in (await self._store.inputs(source, ids)).items():
                known[source, id_] = entry
        return known

    async def _adopt_unfinished(self, runs: list[int]) -> Mapping[int, RunTicket]:
        """Take up admitted runs that are not in flight: their commit looked failed but was not.

        Returns:
            The tickets of those that stay out of memory.
        """
        missing = [run for run in runs if run not in self.tickets]
        rows = (await self._store.runs(missing)).values() if missing else ()
        unfinished = [row for row in rows if not STATUS_BY_NUMBER[row.status].is_final]
        if not unfinished:
            return {}
        away = {t.number: t for t in await self._backlog.find([row.run for row in unfinished])}
        lost = [row for row in unfinished if row.run not in away]
        if lost:
            await self._adopt(sorted(lost, key=lambda row: row.place))
        return away

    # Keys whose queues are full

    def _is_held_up(
        self, ready: PreparedInput, key: Key | None, future: asyncio.Future[Admitted]
    ) -> bool:
        """Say whether an input waits until runs before it in its key have begun."""
        if not self._needs_room(ready.item):
            return False
        if self._held_up and self._held_up.is_behind(ready.key_digests, future):
            return True
        return key is not None and self._backlog.refuses(key)

    def _hold_up(
        self, ready: PreparedInput, key: Key | None, future: asyncio.Future[Admitted]
    ) -> None:
        if self._drains:
            _fail(future, NotAdmittedError())
            return
        digest = ready.key_digests[0] if key is None else key.digest
        self._held_up.add(digest, ready.item, future)
        if ready.item.series is not None:
            ready.item.series.hold_up(future, True)

    def _is_full_no_more(self, key_digest: bytes) -> bool:
        key = self._mailbox.keys.get(key_digest)
        return key is None or not self._backlog.refuses(key)

    def _look(self, room: int) -> int:
        """Return how many to look at: more than may begin would be prepared for nothing."""
        queued = self._backlog.room
        return min(room, LOOK, queued) if queued > 0 else min(room, LOOK)

    def look_again(self) -> None:
        """Runs may be admitted that were held up."""
        if self._held_up and not self._looks_again:
            self._looks_again = True
            self._wake()
            self._go_to_work()

    def drains(self) -> None:
        """Admit nothing more that is held up."""
        self._drains = True
        for _, future in self._held_up.take_all():
            _fail(future, NotAdmittedError())

    def _answer_known(
        self,
        item: PreparedInput,
        future: asyncio.Future[Admitted],
        away: Mapping[int, RunTicket],
        run: int,
        digest_: bytes,
    ) -> None:
        is_other = digest_ != item.digest and digest_ not in input_digests(item.item)
        if is_other and not item.item.goes_by_id:
            _refuse(item.item, future, InputError(changed(item)))
        elif not future.done():
            ticket = self.tickets.get(run) or away.get(run)
            future.set_result(Admitted(run, ticket, is_new=False, is_other=is_other))

    def _begin(self, item: PreparedInput, key: Key, future: asyncio.Future[Admitted]) -> None:
        key.reserved += 1
        old = key.row
        sequence = old.sequence + 1
        key.row = by_position(KeyRow, (*old[:4], sequence))
        number, now = self._numbers.next_run(key.shard), self._now()
        due = item.item.due if item.item.due > now else 0
        values = (
            number, self._job, key.number, sequence, item.label, item.value,
            WAITING if due else QUEUED, number, 0, None, now, 0, due,
        )  # fmt: skip
        row = by_position(RunRow, values)
        rows: list[Row] = [key.row, row]
        if item.identities:
            rows.append(InputRow(self._job, item.source, item.identities[0], number, item.digest))
        ticket = RunTicket(row, key)
        if self._store.names_by_input and item.identities:
            ticket.input = (item.source, item.identities[0])
        self.tickets[number] = ticket
        came = None if due else self._backlog.expect(key)

        def done(error: StoreError | None) -> None:
            if came is not None:
                came()
            key.reserved -= 1
            if error is not None:
                self.finished(ticket)
                self._mailbox.forget_if_idle(key)
                if isinstance(error, StoreDataError):
                    _refuse(item.item, future, error)
                    return
                _lose(item.item, future, error)
                self._fail_behind(error)
                if not error.undone:
                    self._doubt()
                return
            if not future.done():
                future.set_result(Admitted(number, ticket, is_new=True))
            if due:
                self._delay(ticket)
            else:
                self._mailbox.enqueue(ticket)

        self._commits.add(rows, done, waits=item.item.is_child)

    def _key_of(self, item: PreparedInput) -> Key | None:
        for each in item.key_digests:  # one that was found under an older name keeps its digest
            key = self._mailbox.keys.get(each)
            if key is not None:
                return key
        return None

    def _new_key(self, item: PreparedInput) -> Key:
        digest = item.key_digests[0]
        number = self._numbers.next_key(self._numbers.shard_of(digest))
        row = by_position(KeyRow, (number, self._job, digest, item.key_value, 0))
        value = self._codec.read_back(item.item.key, item.key_value)
        return self._mailbox.add(Key(row, value, None))


def _fail(future: asyncio.Future[Admitted], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _lose(item: NewInput, future: asyncio.Future[Admitted], error: StoreError) -> None:
    """Fail an input that is not durable, or nobody knows, and what comes behind it in its series.

    In the same moment: what is submitted before its reader has heard of it must not overtake it.
    """
    if item.series is not None:
        item.series.lose(item.place_in_series, error)
    _fail(future, error)


def _refuse(item: NewInput, future: asyncio.Future[Admitted], error: Exception) -> None:
    """Refuse an input, and with it what is behind it in its series."""
    if item.series is not None:
        item.series.refuse(item.place_in_series, error)
    _fail(future, error)
