"""FlinkStore: the journal in memory, for Flink's state to have it at the next checkpoint."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from perdure.engine.flink.tables import JOB, Change, Tables
from perdure.errors import StoreDataError, StoreError
from perdure.journal.record import Record, StoredPayload
from perdure.run import STATUS_BY_NUMBER
from perdure.store.base import (
    NUMBER_BITS,
    ActionStateStore,
    Command,
    InputRow,
    JobAgent,
    JobInfo,
    KeyRow,
    KeyState,
    MemoryRow,
    OutputRow,
    Row,
    RunRow,
    ShardInfo,
    SinkRow,
    StatusRow,
    StoredOutput,
    WaitRow,
)
from perdure.store.batch import are_written, begin
from perdure.store.files import FileRow
from perdure.store.row_types import ActionWaitsEndRow, WaitEndRow

__all__ = ["FlinkStore"]

_SHOWN = (WaitRow, WaitEndRow, ActionWaitsEndRow)  # for those who look from outside, of whom
# there are none


class FlinkStore(ActionStateStore):
    """Commits in place, and says shard by shard what has changed: all of a commit or nothing.

    What it is told survives from the next checkpoint on (see G29): whoever takes a change writes
    it to the state of its shard in the same callback in which the outputs leave.

    Owns: the rows of the shards that are held. The runtime's methods are called on the host loop;
    `load`, `drop` and `take_change` on any thread.

    Args:
        shards: how many shards the job has.
        keeps_rows: the state is to have its rows; see `Tables`.
        keeps_ids: ids of inputs are known after their runs have ended, until `forget_id`.
    """

    takes_commands = False
    names_by_input = True

    def __init__(
        self,
        shards: int,
        *,
        keeps_rows: bool = True,
        keeps_ids: bool = False,
    ) -> None:
        self.url = "flink://" if keeps_rows else "memory://"
        self._shards = shards
        self._lock = threading.Lock()
        self._tables = Tables(keeps_rows=keeps_rows, keeps_ids=keeps_ids)
        self._first = JOB << NUMBER_BITS

    # What the engine does with shards

    def load(
        self, shard: int, entries: Iterable[tuple[str, bytes]]
    ) -> tuple[ShardInfo, int, list[tuple[str, int]]]:
        """Take in a shard as its state has it.

        Returns:
            The newest numbers of its runs and keys, that of its inputs, and the ids that are kept
            of inputs whose runs have ended, with the time of that, ns.
        """
        with self._lock:
            kept = self._tables.load(shard, entries)
            at = self._tables.shards[shard]
        return ShardInfo(at.last_run, at.last_key), at.last_input, kept

    def drop(self, shard: int) -> None:
        """Forget a shard."""
        with self._lock:
            self._tables.drop(shard)

    def unfinished_in(self, shard: int) -> int:
        """Return how many runs of a shard go on."""
        with self._lock:
            runs = [self._tables.runs[run] for run in self._tables.shards[shard].runs]
        return sum(not STATUS_BY_NUMBER[row.status].is_final for row in runs)

    def changed(self) -> list[int]:
        """Return the shards in which something has changed since that was asked last."""
        if not self._tables.changed:
            return []
        with self._lock:
            return sorted(self._tables.changed)

    def take_change(self, shard: int) -> Change | None:
        """Return what has changed in a shard since this was asked last; None for nothing."""
        with self._lock:
            return self._tables.take_change(shard)

    def wait(self, shard: int, id_: str, number: int) -> None:
        """Take note of an input that is about to be admitted under an id; see `Tables.wait`."""
        with self._lock:
            at = self._tables.shards.get(shard)
            if at is not None:
                at.last_input = max(at.last_input, number)
                self._tables.wait(shard, id_, number)

    def becomes_none(
        self, shard: int, id_: str, failure: tuple[str | None, bytes, bytes, bytes] | None
    ) -> None:
        """Take note that an input becomes no run: it is known, or is refused.

        Args:
            shard: its shard.
            id_: its id.
            failure: what it was and what it was refused with; None for one that is known.
        """
        with self._lock:
            if shard not in self._tables.shards:
                return
            self._tables.refuse(shard, id_, failure)

    def forget_id(self, shard: int, id_: str) -> None:
        """Know an id no longer."""
        with self._lock:
            self._tables.forget_id(id_, shard)

    # The job

    async def open(
        self, job: str, agent: JobAgent | None = None, *, fresh: bool = False
    ) -> JobInfo:
        if fresh:
            raise StoreError(
                f"{self.url}: a job begins anew when Flink starts it without a savepoint"
            )
        return JobInfo(job=JOB, last_run=0, last_key=0)

    async def close(self) -> None:
        return None

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if begin(rows):
            try:
                with self._lock:
                    self._write(rows)
            except StoreDataError as error:
                future.set_exception(error)
                return future
            are_written(rows)
        future.set_result(None)
        return future

    def _write(self, rows: Sequence[Row]) -> None:
        for kind in set(map(type, rows)) - _RANK.keys():
            raise StoreDataError(f"{self.url} keeps no {kind.__name__}: nothing was done")
        tables, changed = self._tables, self._tables.changed
        for row in sorted(rows, key=_rank) if len(rows) > 1 else rows:
            found = _WRITERS.get(type(row))
            if found is not None:
                write, number_of = found
                shard = (number_of(row) - self._first) % self._shards
                write(tables, row, shard)
                changed.add(shard)

    # What the runtime reads

    async def keys(self, digests: Collection[bytes]) -> dict[bytes, KeyState]:
        known = self._tables.digests
        return {digest: self._key(known[digest]) for digest in digests if digest in known}

    async def keys_of(self, runs: Collection[int]) -> dict[int, KeyState]:
        found = (self._tables.runs[run].key for run in runs if run in self._tables.runs)
        return {key: self._key(key) for key in found}

    def _key(self, number: int) -> KeyState:
        memory = self._tables.memory.get(number, {})
        return KeyState(self._tables.keys[number], list(memory.values()))

    async def inputs(
        self, source: str, ids: Collection[str | int]
    ) -> dict[str | int, tuple[int, bytes]]:
        known = self._tables.inputs
        return {id_: known[source, id_] for id_ in ids if (source, id_) in known}

    async def inputs_of(self, runs: Collection[int]) -> dict[int, tuple[str, str | int]]:
        known = self._tables.input_of
        return {run: (known[run].source, known[run].id) for run in runs if run in known}

    async def unfinished(self, after: int = 0, limit: int | None = None) -> list[RunRow]:
        return _page(self._tables.runs.values(), after, limit)

    async def unfinished_of(
        self, shard: int, after: int = 0, limit: int | None = None
    ) -> list[RunRow]:
        runs = self._tables.shards[shard].runs
        return _page((self._tables.runs[run] for run in runs), after, limit)

    async def queued(self, key: int, first: int, last: int, limit: int) -> list[RunRow]:
        rows = [row for row in self._tables.runs.values() if row.key == key]
        is_delayed = [row for row in rows if row.due and row.place == row.run]
        waiting = [row for row in rows if first <= row.place <= last and row not in is_delayed]
        return _page(waiting, 0, limit)

    async def runs(self, numbers: Collection[int]) -> dict[int, RunRow]:
        known = self._tables.runs
        return {run: known[run] for run in numbers if run in known}

    async def records(self, runs: Collection[int]) -> dict[int, list[Record]]:
        known = self._tables.records
        return {run: list(known[run]) for run in runs if known.get(run)}

    async def payload(self, left: StoredPayload) -> bytes:
        raise NotImplementedError("payloads are never left in memory")

    async def outputs(self, runs: Collection[int]) -> list[StoredOutput]:
        tables = self._tables
        found = []
        for run in runs:
            for _, number, id_, value, _ in tables.outputs.get(run, ()):
                key = tables.keys[tables.runs[run].key].value
                found.append(StoredOutput(run, number, id_, value, key, delivered=1))
        return found

    async def undelivered(self) -> list[StoredOutput]:
        return []  # an output leaves with the rows that say so

    async def sink(self, name: str) -> SinkRow | None:
        return None

    async def commands(self) -> list[Command] | None:
        return None

    async def file(self, kind: str, name: str) -> FileRow | None:
        return None

    async def bad_positions(self, source: str) -> list[int]:
        return []


def _page(rows: Iterable[RunRow], after: int, limit: int | None) -> list[RunRow]:
    unfinished = (row for row in rows if not STATUS_BY_NUMBER[row.status].is_final)
    return sorted((r for r in unfinished if r.place > after), key=lambda r: r.place)[:limit]


_of_run, _of_key = operator.attrgetter("run"), operator.attrgetter("key")
# By kind: what takes a row in, and which of its fields has a number of its shard. In the order in
# which they are taken in: a run may end only when all that it has made is there.
_WRITERS: dict[type, tuple[Callable[..., None], Callable[[Any], int]]] = {
    KeyRow: (Tables.add_key, _of_key),
    RunRow: (Tables.add_run, _of_run),
    InputRow: (Tables.add_input, _of_run),
    Record: (Tables.add_record, _of_run),
    MemoryRow: (Tables.add_memory, _of_key),
    OutputRow: (Tables.add_output, _of_run),
    StatusRow: (Tables.add_status, _of_run),
}
_RANK = {kind: rank for rank, kind in enumerate((*_WRITERS, *_SHOWN))}


def _rank(row: Row) -> int:
    return _RANK[type(row)]
