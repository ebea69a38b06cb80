"""Admission: an input becomes a run, once (G2), and gets its place in the order of its key (G1)."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from perdure.codec.codec import Codec
from perdure.codec.digests import digest, digests
from perdure.errors import EncodeError, InputError, StoreDataError, StoreError
from perdure.executor.running import later_task
from perdure.run import STATUS_BY_NUMBER, STATUS_NUMBERS, RunStatus
from perdure.runtime.shared.collector import Collector
from perdure.runtime.shared.mailbox import Key, KeyedMailbox, RunTicket
from perdure.runtime.shared.numbers import Numbers
from perdure.runtime.shared.series import Series
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


class NewInput(NamedTuple):
    """An input to admit.

    Attributes:
        value: the input.
        key: its key.
        id: its idempotency id, or None.
        source: name of its source, where it has a position instead of an id.
        position: its position there, from 0; -1 without.
        place: where it stands, for messages ("line 3 of reviews.jsonl").
        origin: whose ids `id` belongs to; "" for those of the user.
        due: when it may begin, ns since the epoch; 0 at once.
        is_child: a run in flight waits for its admission, so it does not wait for room.
        older_ids: ids under which the same input may have been admitted before.
        series: what it keeps its order in, if anything.
        place_in_series: from 1.
    """

    value: Any
    key: Any
    id: Any = None
    source: str = ""
    position: int = -1
    place: str = ""
    origin: str = ""
    due: int = 0
    is_child: bool = False
    older_ids: tuple[str, ...] = ()
    series: Series | None = None
    place_in_series: int = 0


class Admitted(NamedTuple):
    """The run of an input: in flight, or known by number from before."""

    run: int
    ticket: RunTicket | None
    is_new: bool


class _Prepared(NamedTuple):
    """An input in journal form.

    A class in it may have had other names when it, or its key, was admitted before: `identities`
    and `key_digests` are those of each generation of names, the newest first.
    """

    source: str
    identities: tuple[str | int, ...]  # none: each time it is given it is another input
    digest: bytes
    value: bytes
    key_digests: tuple[bytes, ...]
    key_value: bytes
    item: NewInput


class Admission:
    """Admits inputs in batches: everything submitted while one batch is written joins the next.

    Owns: the inputs waiting to be admitted, the bound on runs in flight (G20). Lifecycle: made when
    the job opens. On the host loop.

    Args:
        job: the job's number.
        numbers: what new runs and keys are numbered by.
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
        self._children: list[tuple[NewInput, asyncio.Future[Admitted]]] = []
        self._resting: set[int] = set()  # admitted, and not counted as in flight
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.tickets: dict[int, RunTicket] = {}
        # What waits behind a child, which waits for the store, is not kept waiting with it.
        commits.watch(StallWatcher(self._fail_behind, lambda: None))

    def next_number(self) -> int:
        """Return the next number for a run or a place in a queue."""
        return self._numbers.next_run()

    def submit(self, item: NewInput) -> asyncio.Future[Admitted]:
        """Admit one input; the future is done when its run is durable.

        Raises (through the future):
            InputError: its id or position was admitted with another key or value.
            EncodeError: it cannot be journaled.
            Exception: what an input before it in its series was refused with.
            StoreError: it is not durable, or nobody knows; submitting it again is safe with an id.
        """
        future: asyncio.Future[Admitted] = self._host.create_future()
        if item.is_child:
            self._children.append((item, future))
            self._wake()
        else:
            self._waiting.append((item, future))
        if self._task is None:
            self._task = later_task(self._host, self._work(), self._context.copy())
        return future

    async def wait_for_room(self) -> int:
        """Return how many runs may be admitted now, at least 1; waits while there is no room."""
        while (room := self._limit - self.in_flight) < 1:
            await self._woken()
        return room

    @property
    def in_flight(self) -> int:
        """Number of runs that are admitted, not finished, and do not rest."""
        return len(self.tickets) - len(self._resting)

    def rests(self, ticket: RunTicket) -> None:
        """A run rests from now on."""
        self._resting.add(ticket.row.run)
        self._wake()

    def goes_on(self, ticket: RunTicket) -> None:
        """A run rests no longer."""
        self._resting.discard(ticket.row.run)

    async def _woken(self) -> None:
        if self._room is None:
            self._room = self._host.create_future()
        await asyncio.shield(self._room)

    def _wake(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def finished(self, ticket: RunTicket) -> None:
        """A run is no longer in flight."""
        self.tickets.pop(ticket.row.run, None)
        self._resting.discard(ticket.row.run)
        self._wake()

    def close(self) -> None:
        """Admit nothing more; what waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
        for _, future in (*self._waiting, *self._children):
            future.cancel()
        self._waiting.clear()
        self._children.clear()

    async def _work(self) -> None:
        try:
            while self._waiting or self._children:
                batch = await self._next_batch()
                try:
                    await self._admit(batch)
                except Exception as error:
                    for _, future in batch:
                        _fail(future, error)
        finally:
            self._task = None

    async def _next_batch(self) -> list[tuple[NewInput, asyncio.Future[Admitted]]]:
        while not self._children:
            room = self._limit - self.in_flight
            if room > 0:
                batch, self._waiting = self._waiting[:room], self._waiting[room:]
                return batch
            await self._woken()
        batch, self._children = self._children, []
        return batch

    def _fail_behind(self, lost: StoreError) -> None:
        """Fail what waits behind an input that the store lost: it must not overtake it.

        In the same moment: whoever submits after hearing of the failure is not behind it.
        """
        if isinstance(lost, StoreDataError):
            return
        behind, self._waiting = self._waiting, []
        for _, future in behind:
            _fail(future, lost)

    async def _admit(self, batch: Sequence[tuple[NewInput, asyncio.Future[Admitted]]]) -> None:
        prepared: list[tuple[_Prepared, asyncio.Future[Admitted]]] = []
        for item, future in batch:
            if (refused := _refused_before(item)) is not None:
                _fail(future, refused)
                continue
            try:
                prepared.append((self._prepare(item), future))
            except (EncodeError, InputError) as error:
                _refuse(item, future, error)
        try:
            known = await self._known([p for p, _ in prepared])
            await self._adopt_unfinished([run for run, _ in known.values()])
            held = await self._mailbox.hold({d for p, _ in prepared for d in p.key_digests})
        except StoreError as error:
            for ready, future in prepared:
                _lose(ready.item, future, error)
            self._fail_behind(error)
            return
        try:
            first = self._place(prepared, known)
        finally:
            self._mailbox.let_go(held)
        if first:
            await asyncio.wait(first)

    def _place(
        self,
        prepared: Sequence[tuple[_Prepared, asyncio.Future[Admitted]]],
        known: Mapping[tuple[str, str | int], tuple[int, bytes]],
    ) -> list[asyncio.Future[Admitted]]:
        """Give every input its run; return the futures of those with an identity to wait for."""
        first: dict[tuple[str, str | int], asyncio.Future[Admitted]] = {}
        begun: dict[tuple[str, str | int], bytes] = {}  # digests of those in `first`
        for ready, future in prepared:
            ids = [(ready.source, id_) for id_ in ready.identities]
            identity = ids[0] if ids else None
            admitted = next((known[id_] for id_ in ids if id_ in known), None)
            if (refused := _refused_before(ready.item)) is not None:
                _fail(future, refused)
            elif admitted is not None:
                self._answer_known(ready, future, *admitted)
            elif identity is not None and begun.get(identity, ready.digest) != ready.digest:
                _refuse(ready.item, future, InputError(_changed(ready)))
            elif identity is not None and identity in first:
                # The same id twice in one batch: answered when the first of them is durable.
                queue = self._children if ready.item.is_child else self._waiting
                queue.insert(0, (ready.item, future))
            else:
                if identity is not None:
                    first[identity] = future
                    begun[identity] = ready.digest
                self._begin(ready, future)
        return list(first.values())

    def _prepare(self, item: NewInput) -> _Prepared:
        try:
            value, key = self._codec.encode(item.value), self._codec.encode(item.key)
            key_digests = tuple(digests(item.key))
            value_digest = digest(item.value)
        except EncodeError as error:
            where = f" ({item.place})" if item.place else ""
            raise EncodeError(f"an input{where} cannot be journaled: {error}") from error
        both = _input_digest(key_digests[0], value_digest)
        identities: tuple[str | int, ...] = ()
        source = ""
        if item.id is not None:
            identities, source = (*_storable_ids(item.id), *item.older_ids), item.origin
        elif item.source:
            identities, source = (item.position,), item.source
        return _Prepared(source, identities, both, value, key_digests, key, item)

    async def _known(
        self, prepared: list[_Prepared]
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

    async def _adopt_unfinished(self, runs: list[int]) -> None:
        """Take up admitted runs that are not in flight: their commit looked failed but was not."""
        missing = [run for run in runs if run not in self.tickets]
        rows = (await self._store.runs(missing)).values() if missing else ()
        unfinished = [row for row in rows if not STATUS_BY_NUMBER[row.status].is_final]
        if unfinished:
            await self._adopt(sorted(unfinished, key=lambda row: row.place))

    def _answer_known(
        self, item: _Prepared, future: asyncio.Future[Admitted], run: int, digest_: bytes
    ) -> None:
        if digest_ != item.digest and digest_ not in _input_digests(item.item):
            _refuse(item.item, future, InputError(_changed(item)))
        elif not future.done():
            future.set_result(Admitted(run, self.tickets.get(run), is_new=False))

    def _begin(self, item: _Prepared, future: asyncio.Future[Admitted]) -> None:
        key = self._key(item)
        key.reserved += 1
        key.row = key.row._replace(sequence=key.row.sequence + 1)
        number = self._numbers.next_run()
        due = item.item.due if item.item.due > self._now() else 0
        label = str(item.item.id if item.item.id is not None else max(item.item.position, 0))
        label = label if item.identities else ""
        row = RunRow(
            run=number, job=self._job, key=key.row.key, sequence=key.row.sequence,
            label=label.encode("utf-8", "backslashreplace").decode()[:200], value=item.value,
            status=WAITING if due else QUEUED, place=number, attempt=0, error=None,
            admitted_at=self._now(), finished_at=0, due=due,
        )  # fmt: skip
        rows: list[Row] = [key.row, row]
        if item.identities:
            rows.append(
                InputRow(
                    job=self._job, source=item.source, id=item.identities[0], run=number,
                    digest=item.digest,
                )
            )  # fmt: skip
        ticket = RunTicket(row, key)
        self.tickets[number] = ticket
        self._collector.expect(self.in_flight)

        def done(error: StoreError | None) -> None:
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

    def _key(self, item: _Prepared) -> Key:
        for each in item.key_digests:  # one that was found under an older name keeps its digest
            key = self._mailbox.keys.get(each)
            if key is not None:
                return key
        row = KeyRow(
            key=self._numbers.next_key(), job=self._job, digest=item.key_digests[0],
            value=item.key_value, sequence=0,
        )  # fmt: skip
        return self._mailbox.add(Key(row, self._codec.decode(item.key_value), None))


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


def _refused_before(item: NewInput) -> Exception | None:
    """Return why an input before this one in its series was refused or lost, None if none was."""
    return item.series.refused_before(item.place_in_series) if item.series is not None else None


def _storable_ids(id_: Any) -> tuple[str, ...]:
    """Return an id as text that every store takes; what is no plain text stands as its digest.

    The newest form first; what comes after it was made under older names of its types.
    """
    if type(id_) is str and id_.isprintable() and not id_.startswith("~") and len(id_) <= 500:
        return (id_,)
    return tuple(f"~{each.hex()}" for each in digests(id_))


def _input_digest(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(key + value, digest_size=16).digest()


def _input_digests(item: NewInput) -> Iterator[bytes]:
    """Return the digests of an input for each generation of names of its types."""
    keys, values = list(digests(item.key)), list(digests(item.value))
    for n in range(max(len(keys), len(values))):
        yield _input_digest(keys[min(n, len(keys) - 1)], values[min(n, len(values) - 1)])


def _changed(item: _Prepared) -> str:
    if item.item.id is None:
        place = item.item.place or f"input {item.item.position}"
        return (
            f"{place} is not what this job read there before (source {item.source!r}): restore it,"
            " give the new inputs another name (--source-name, name=) or job (--job, job=), or"
            " give inputs ids (--id, id=)"
        )
    return (
        f"id {item.item.id!r} was submitted before with another key or value: an id is one input"
        " for ever; give this one another id"
    )
