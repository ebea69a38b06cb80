"""SimulatedStore: a store of dicts and lists, whose state after any commit can be had again."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Collection, Sequence
from typing import Any

from perdure.errors import StoreDataError, StoreError
from perdure.journal.record import Record, RecordKind, StoredPayload
from perdure.run import STATUS_BY_NUMBER
from perdure.store.base import (
    NUMBER_BITS,
    ROW_ORDER,
    ActionStateStore,
    Command,
    CommandDoneRow,
    CommandRow,
    DeliveredRow,
    InputRow,
    JobAgent,
    JobInfo,
    KeyRow,
    KeyState,
    MemoryRow,
    OutputRow,
    Row,
    RunRow,
    SinkRow,
    StatusRow,
    StoredOutput,
    WaitRow,
)
from perdure.store.batch import are_written, begin, settle
from perdure.store.documents import DocumentReader, DocumentRow
from perdure.store.files import BadLineRow, FileRow, MendedLineRow
from perdure.store.row_types import ActionWaitsEndRow, WaitEndRow
from perdure.testing.simulation.documents import Rows, SimulatedDocuments, write_document

_RANK = {kind: rank for rank, kind in enumerate(ROW_ORDER)}
_LARGEST = 1 << 63
_LEFT_ABOVE = 24  # bytes of an outcome that is read when it is fed, so that this is simulated too

Later = Callable[[Callable[[], None]], object]


class Fate(enum.Enum):
    """What becomes of a commit."""

    WRITTEN = "written"
    LOST = "not written"
    UNKNOWN = "written, but its writer is told that it failed"


class Tables:
    """What a store holds: rows as they were committed, their values encoded. Pure."""

    def __init__(self) -> None:
        self.jobs: dict[str, int] = {}
        self.keys: dict[int, KeyRow] = {}
        self.key_numbers: dict[tuple[int, bytes], int] = {}
        self.runs: dict[int, RunRow] = {}
        self.inputs: dict[tuple[int, str, type, str | int], tuple[int, bytes]] = {}
        self.records: dict[int, list[Record]] = {}
        self.memory: dict[int, dict[str, MemoryRow]] = {}
        self.outputs: dict[tuple[int, int], OutputRow] = {}
        self.sinks: dict[tuple[int, str], SinkRow] = {}
        self.commands: dict[int, CommandRow] = {}
        self.documents: Rows = {}
        self.files: dict[tuple[int, str, str], FileRow] = {}
        self.bad_lines: dict[tuple[int, str, int], BadLineRow] = {}
        self.waits: dict[tuple[int, int, str, int], WaitRow] = {}
        self._last_command = 0

    def write(self, rows: Sequence[Row]) -> None:
        """Write `rows`, or nothing.

        Raises:
            StoreDataError: one of them is refused.
        """
        self._check(rows)
        for row in sorted(rows, key=lambda row: _RANK[type(row)]) if len(rows) > 1 else rows:
            self._write_row(row)

    def _check(self, rows: Sequence[Row]) -> None:
        new: set[Any] = set()
        for row in rows:
            for value in row:
                if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
                    raise StoreDataError(f"simulated store refused a row: {value} is out of range")
            identity: Any
            if isinstance(row, RunRow):
                identity, known = ("run", row.run), row.run in self.runs
            elif isinstance(row, InputRow):
                identity = (row.job, row.source, type(row.id), row.id)
                known = identity in self.inputs
            elif isinstance(row, OutputRow):
                identity, known = (row.run, row.number), (row.run, row.number) in self.outputs
            else:
                continue
            if known or identity in new:
                raise StoreDataError(f"simulated store refused a row: {identity} is there already")
            new.add(identity)

    def _write_row(self, row: Row) -> None:
        if isinstance(row, Record):
            self.records.setdefault(row.run, []).append(row)
        elif isinstance(row, StatusRow):
            if (old := self.runs.get(row.run)) is not None:
                self.runs[row.run] = old.as_now(row)
        elif isinstance(row, RunRow):
            self.runs[row.run] = row
        elif isinstance(row, KeyRow):
            known = self.keys.get(row.key)
            self.keys[row.key] = known._replace(sequence=row.sequence) if known else row
            self.key_numbers[row.job, row.digest] = row.key
        elif isinstance(row, MemoryRow):
            self.memory.setdefault(row.key, {})[row.path] = row
        else:
            self._write_rarer(row)

    def _write_rarer(self, row: Row) -> None:
        if isinstance(row, InputRow):
            self.inputs[row.job, row.source, type(row.id), row.id] = (row.run, row.digest)
        elif isinstance(row, OutputRow):
            self.outputs[row.run, row.number] = row
        elif isinstance(row, DeliveredRow):
            place = (row.run, row.number)
            if (output := self.outputs.get(place)) is not None:
                self.outputs[place] = output._replace(delivered=1)
        elif isinstance(row, SinkRow):
            self.sinks[row.job, row.name] = row
        elif isinstance(row, CommandRow):
            self._last_command += 1
            self.commands[self._last_command] = row
        elif isinstance(row, DocumentRow):
            write_document(self.documents, row)
        elif isinstance(row, CommandDoneRow):
            self.commands.pop(row.number, None)
        elif isinstance(row, FileRow):
            self.files[row.job, row.kind, row.name] = row
        elif isinstance(row, BadLineRow):
            self.bad_lines[row.job, row.source, row.position] = row
        elif isinstance(row, MendedLineRow):
            self.bad_lines.pop((row.job, row.source, row.position), None)
        elif isinstance(row, WaitRow):
            self.waits[row[:4]] = row
        elif isinstance(row, WaitEndRow):
            self.waits.pop(row, None)
        elif isinstance(row, ActionWaitsEndRow):
            self.waits = {place: wait for place, wait in self.waits.items() if place[:3] != row}

    def key_state(self, number: int) -> KeyState:
        """Return a key with its memory."""
        cells = self.memory.get(number, {}).values()
        return KeyState(self.keys[number], [cell for cell in cells if cell.data is not None])

    def stored(self, row: OutputRow) -> StoredOutput:
        """Return an output with its key."""
        key = self.keys[self.runs[row.run].key].value
        return StoredOutput(row.run, row.number, row.id, row.value, key, row.delivered)


def _left(record: Record, index: int) -> Record:
    """Return a record as recovery reads it: a large outcome stays in the store."""
    if record.kind not in (RecordKind.RESULT, RecordKind.ERROR) or record.payload is None:
        return record
    if len(record.payload) <= _LEFT_ABOVE:
        return record
    return record._replace(payload=StoredPayload(b"%d/%d" % (record.run, index)))


class SimulatedStore(ActionStateStore):
    """Keeps a journal in this object. Each commit is durable some time after it was asked for.

    Owns: its tables, the batches committed in order. Lifecycle: like any store; on one event loop
    while it is open.

    Args:
        batches: what was committed before.
        later: calls back when the next commit is durable; at once by default.
        committed: told of each batch when it is durable and nobody else has been told.
        fate: says what becomes of the next commit; all are written by default.
        failed: told of each batch whose writer is about to be told that it failed.
    """

    takes_late = True

    def __init__(
        self,
        batches: Sequence[Sequence[Row]] = (),
        *,
        later: Later | None = None,
        committed: Callable[[Sequence[Row]], None] | None = None,
        fate: Callable[[], Fate] = lambda: Fate.WRITTEN,
        failed: Callable[[Sequence[Row]], None] = lambda rows: None,
    ) -> None:
        self.url = "simulated://"
        self.tables = Tables()
        self.batches: list[Sequence[Row]] = []
        self._later = later
        self._committed = committed
        self._fate = fate
        self._failed = failed
        self._job = 0
        self._open = False
        self._documents = SimulatedDocuments(self._document_rows, lambda: self._job)
        self._asked: list[tuple[Sequence[Row], asyncio.Future[None]]] = []
        for batch in batches:
            self.tables.write(batch)
            self.batches.append(batch)

    async def open(
        self, job: str, agent: JobAgent | None = None, *, fresh: bool = False
    ) -> JobInfo:
        if fresh:
            raise StoreError(f"{self.url} keeps one generation of a job")
        if self._open:
            raise StoreError(f"{self.url} is open already: close that job first")
        self._open = True
        tables = self.tables
        # Jobs are numbered when first opened, so a store made from batches numbers them alike.
        self._job = tables.jobs.setdefault(job, len(tables.jobs) + 1)
        first = self._job << NUMBER_BITS
        mine = [row for row in tables.runs.values() if row.job == self._job]
        keys = [row.key for row in tables.keys.values() if row.job == self._job]
        last_run = max((max(row.run, row.place) for row in mine), default=first)
        return JobInfo(self._job, last_run, max(keys, default=first))

    async def close(self) -> None:
        if self._open:
            await self._caught_up()
            self._open = False

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self._open:
            future.set_exception(StoreError(f"{self.url} is not open"))
            return future
        self._asked.append((rows, future))
        if len(self._asked) == 1:
            self._begin()
        return future

    def _begin(self) -> None:
        """Begin to write what was asked for first: from here on its rows are what they are."""
        begin(self._asked[0][0])
        (self._later or asyncio.get_running_loop().call_soon)(self._commit_next)

    def _commit_next(self) -> None:
        rows, future = self._asked[0]
        error = self._write(rows)
        del self._asked[0]
        settle(future, None, error)
        if self._asked:
            self._begin()

    def _write(self, rows: Sequence[Row]) -> StoreError | None:
        """Let a batch meet its fate; return what its writer is told."""
        if not begin(rows):
            return None
        fate = self._fate()
        if fate is not Fate.LOST:
            try:
                self.leave(list(rows))
            except StoreDataError as error:
                return error
        if fate is Fate.WRITTEN:
            are_written(rows)
            return None
        self._failed(rows)
        return StoreError(f"{self.url}: a commit failed: {fate.value}")

    def leave(self, rows: Sequence[Row]) -> None:
        """Write rows at once, as another process does that leaves a command."""
        self.tables.write(rows)
        self.batches.append(rows)
        if self._committed is not None:
            self._committed(rows)

    async def _caught_up(self) -> Tables:
        """Return the tables with all in them that was asked for before."""
        if not self._open:
            raise StoreError(f"{self.url} is not open")
        if self._asked:
            await asyncio.wait([self._asked[-1][1]])
        return self.tables

    @property
    def documents(self) -> DocumentReader:
        return self._documents

    async def _document_rows(self) -> Rows:
        return (await self._caught_up()).documents

    async def keys(self, digests: Collection[bytes]) -> dict[bytes, KeyState]:
        tables = await self._caught_up()
        numbers = {digest: tables.key_numbers.get((self._job, digest)) for digest in digests}
        return {d: tables.key_state(n) for d, n in numbers.items() if n is not None}

    async def keys_of(self, runs: Collection[int]) -> dict[int, KeyState]:
        tables = await self._caught_up()
        keys = dict.fromkeys(tables.runs[run].key for run in runs if run in tables.runs)
        return {key: tables.key_state(key) for key in keys if key in tables.keys}

    async def inputs(
        self, source: str, ids: Collection[str | int]
    ) -> dict[str | int, tuple[int, bytes]]:
        tables = await self._caught_up()
        found = {id_: tables.inputs.get((self._job, source, type(id_), id_)) for id_ in ids}
        return {id_: entry for id_, entry in found.items() if entry is not None}

    async def unfinished(self, after: int = 0, limit: int | None = None) -> list[RunRow]:
        tables = await self._caught_up()
        rows = [
            row
            for row in tables.runs.values()
            if row.job == self._job and not STATUS_BY_NUMBER[row.status].is_final
        ]
        return sorted((r for r in rows if r.place > after), key=lambda row: row.place)[:limit]

    async def queued(self, key: int, first: int, last: int, limit: int) -> list[RunRow]:
        rows = await self.unfinished(first - 1)
        mine = (row for row in rows if row.key == key and row.place <= last)
        return [row for row in mine if not row.due or row.place != row.run][:limit]

    async def runs(self, numbers: Collection[int]) -> dict[int, RunRow]:
        tables = await self._caught_up()
        return {run: tables.runs[run] for run in numbers if run in tables.runs}

    async def records(self, runs: Collection[int]) -> dict[int, list[Record]]:
        tables = await self._caught_up()
        return {
            run: [_left(record, n) for n, record in enumerate(tables.records[run])]
            for run in runs
            if run in tables.records
        }

    async def payload(self, left: StoredPayload) -> bytes:
        tables = await self._caught_up()
        run, index = map(int, left.split(b"/"))
        payload = tables.records[run][index].payload
        assert payload is not None
        return payload

    async def outputs(self, runs: Collection[int]) -> list[StoredOutput]:
        tables = await self._caught_up()
        wanted = set(runs)
        return [tables.stored(row) for row in tables.outputs.values() if row.run in wanted]

    async def undelivered(self) -> list[StoredOutput]:
        tables = await self._caught_up()
        return [
            tables.stored(row)
            for row in tables.outputs.values()
            if not row.delivered and row.run >> NUMBER_BITS == self._job
        ]

    async def sink(self, name: str) -> SinkRow | None:
        return (await self._caught_up()).sinks.get((self._job, name))

    async def file(self, kind: str, name: str) -> FileRow | None:
        return (await self._caught_up()).files.get((self._job, kind, name))

    async def bad_positions(self, source: str) -> list[int]:
        bad = (await self._caught_up()).bad_lines
        return [at for job, name, at in bad if (job, name) == (self._job, source)]

    async def commands(self) -> list[Command] | None:
        tables = await self._caught_up()
        return [
            Command(number, row.run, row.command, row.payload, row.at)
            for number, row in tables.commands.items()
            if row.job == self._job
        ]
