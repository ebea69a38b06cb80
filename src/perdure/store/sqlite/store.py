"""The SQLite store: WAL, one writer at a time, one transaction a batch.

The writer is a thread, so that a flush of the disk does not block the host loop. While it is idle
and the disk proves quicker than the way to it, small commits are made in place (`store.pace`).
"""

from __future__ import annotations

import asyncio
import itertools
import operator
import os
import queue
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from perdure.errors import PerdureError, StoreError
from perdure.journal.record import Record, StoredPayload
from perdure.store import switching
from perdure.store.base import (
    NUMBER_BITS,
    ActionStateStore,
    Command,
    JobAgent,
    JobInfo,
    KeyRow,
    KeyState,
    MemoryRow,
    Row,
    RunRow,
    SinkRow,
    StoredOutput,
    StoreView,
    WaitRow,
)
from perdure.store.batch import are_durable, begin, gather
from perdure.store.documents import DocumentReader
from perdure.store.files import FileRow
from perdure.store.ownership import PRIVATE, JobLock, Place, lock_path, real_path
from perdure.store.pace import CommitPace
from perdure.store.sqlite import rows as kinds
from perdure.store.sqlite.disk import NEVER_WRITTEN, check_kind, code_of, probe_room
from perdure.store.sqlite.documents import SqliteDocuments
from perdure.store.sqlite.ends import read_ends
from perdure.store.sqlite.file import (
    BUSY_SECONDS,
    CHECKPOINT_PAGES,
    READ,
    connect,
    select_many,
    translate,
)
from perdure.store.sqlite.in_place import InPlace
from perdure.store.sqlite.jobs import take_job
from perdure.store.sqlite.life import Life
from perdure.store.sqlite.mark import LogMark, close_whole, make_whole, mark_path
from perdure.store.sqlite.rows import R, Rows, records_in
from perdure.store.sqlite.view import SqliteView
from perdure.store.sqlite.write import Written, commit_rows, takes_time

T = TypeVar("T")


class SqliteStore(ActionStateStore):
    """A job in an SQLite file.

    Owns: the connection, the thread that uses it unless a small commit is made in place, the lock
    of the job. Lifecycle: `open` starts the thread, `close` ends it; it may be opened again.

    Args:
        path: the database file; None: in memory.
        relaxed: commit without fsync (`durability: relaxed`).
        mode: the permissions of the files that are made for it.
    """

    takes_late = True

    def __init__(self, path: Path | None, *, relaxed: bool = False, mode: int = PRIVATE) -> None:
        self.url = "memory://" if path is None else f"sqlite:///{path}"
        self._place = None if path is None else Place(path)
        self._path = path
        self._relaxed = relaxed
        self._mode = mode
        self._connection: sqlite3.Connection | None = None
        self._lock: JobLock | None = None
        self._mark: LogMark | None = None
        self._in_place: InPlace | None = None
        self._written = Written()
        self._life: Life | None = None
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._host: asyncio.AbstractEventLoop | None = None
        self._seen_version = -1
        self._pace = CommitPace()
        self._asked = 0  # of the thread, and not answered yet
        self._patient = True  # the connection waits for locks and checkpoints by itself
        self._left: sqlite3.Connection | None = None  # in a forked child: its parent's
        self._documents = SqliteDocuments(self._call, lambda: self._db, lambda: self.job)
        self.job = 0

    @property
    def documents(self) -> DocumentReader:
        return self._documents

    def view(self) -> StoreView:
        return SqliteView(self._place)

    async def open(
        self, job: str, agent: JobAgent | None = None, *, fresh: bool = False
    ) -> JobInfo:
        if self._left is not None:
            raise self._not_open()
        if self._thread is not None:
            raise StoreError(f"{self.url} is open already in this engine: close that job first")
        _STORES.add(self)
        self._host = asyncio.get_running_loop()
        self._asked = 0
        self._work = queue.SimpleQueue()  # a forked child could not use its parent's
        self._thread = threading.Thread(
            target=_serve, args=[self._work], name="perdure-store", daemon=True
        )
        self._thread.start()
        switching.quicken()
        try:
            return await self._call(lambda: self._open(job, agent, fresh))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._thread is None:
            return
        await self._call(self._close)
        self._work.put(None)
        self._thread = None
        switching.slow_down()

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        if not self._asked and self._thread is not None and self._pace.allows(len(rows)):
            if any(map(takes_time, rows)):
                return self._call(lambda: self._commit(rows))
            return self._commit_in_place(rows)
        return self._call(lambda: self._commit(rows))

    def _commit_in_place(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._commit(rows, in_place=True)
        except Exception as error:
            self._pace.failed()
            if code_of(error.__cause__ or error) == sqlite3.SQLITE_BUSY:
                return self.commit(rows)  # nothing was written; the thread waits for the lock
            known = isinstance(error, PerdureError)
            future.set_exception(error if known else translate(error, self._path))
        else:
            future.set_result(None)
        return future

    async def probe(self, size: int) -> None:
        await self._call(lambda: self._probe(size))

    async def keys(self, digests: Collection[bytes]) -> dict[bytes, KeyState]:
        def read() -> dict[bytes, KeyState]:
            rows = self._many(kinds.KEYS, "keys_by_digest", digests, self.job)
            return {state.row.digest: state for state in self._with_memory(rows)}

        return await self._call(read)

    async def keys_of(self, runs: Collection[int]) -> dict[int, KeyState]:
        def read() -> dict[int, KeyState]:
            keys = {row[0] for row in select_many(self._db, "keys_of_runs", runs)}
            rows = self._many(kinds.KEYS, "keys", keys)
            return {state.row.key: state for state in self._with_memory(rows)}

        return await self._call(read)

    async def inputs(
        self, source: str, ids: Collection[str | int]
    ) -> dict[str | int, tuple[int, bytes]]:
        def read() -> dict[str | int, tuple[int, bytes]]:
            rows = self._many(kinds.INPUTS, "inputs", ids, self.job, source)
            return {row.id: (row.run, row.digest) for row in rows}

        return await self._call(read)

    async def unfinished(self, after: int = 0, limit: int | None = None) -> list[RunRow]:
        values = (self.job, after, -1 if limit is None else limit)
        return await self._call(lambda: self._rows(kinds.RUNS, "unfinished", *values))

    async def queued(self, key: int, first: int, last: int, limit: int) -> list[RunRow]:
        values = (self.job, first, last, key, limit)
        return await self._call(lambda: self._rows(kinds.RUNS, "queued", *values))

    async def runs(self, numbers: Collection[int]) -> dict[int, RunRow]:
        rows = await self._call(lambda: self._many(kinds.RUNS, "runs", numbers))
        return {row.run: row for row in rows}

    async def records(self, runs: Collection[int]) -> dict[int, list[Record]]:
        def read() -> dict[int, list[Record]]:
            found = kinds.RECORDS_WITH_LEFT.values_many(
                self._db, self._where, READ["records"], runs
            )
            by_run = itertools.groupby(records_in(self._where, found), operator.itemgetter(0))
            records = {run: list(records) for run, records in by_run}
            ends = read_ends(self._db, self._where, READ["ends"], runs)
            for run, (end, before) in ends.items():
                records.setdefault(run, []).insert(before, end)
            return records

        return await self._call(read)

    async def payload(self, left: StoredPayload) -> bytes:
        def read() -> bytes:
            rows = kinds.PAYLOADS.plain(self._db, self._where, READ["payload"], (int(left),))
            if not rows:
                raise StoreError(f"{self.url} has lost record {int(left)} since it was read")
            return rows[0].payload

        return await self._call(read)

    async def outputs(self, runs: Collection[int]) -> list[StoredOutput]:
        def read() -> list[StoredOutput]:
            rows = kinds.OUTPUTS.read_many(self._db, self._where, READ["outputs"], runs)
            rows.sort(key=lambda row: row[1])  # by position
            return [output for output, _ in rows]

        return await self._call(read)

    async def waits_of(self, runs: Collection[int]) -> list[WaitRow]:
        return await self._call(lambda: self._many(kinds.WAITS, "waits_of_runs", runs))

    async def undelivered(self) -> list[StoredOutput]:
        def read() -> list[StoredOutput]:
            first = self.job << NUMBER_BITS
            return self._rows(kinds.OUTPUTS, "undelivered", first, first + (1 << NUMBER_BITS))

        return await self._call(read)

    async def sink(self, name: str) -> SinkRow | None:
        def read() -> SinkRow | None:
            return next(iter(self._rows(kinds.SINKS, "sink", self.job, name)), None)

        return await self._call(read)

    async def file(self, kind: str, name: str) -> FileRow | None:
        def read() -> FileRow | None:
            return next(iter(self._rows(kinds.FILES, "file", self.job, kind, name)), None)

        return await self._call(read)

    async def bad_positions(self, source: str) -> list[int]:
        def read() -> list[int]:
            rows = self._rows(kinds.BAD_POSITIONS, "bad_positions", self.job, source)
            return [row.position for row in rows]

        return await self._call(read)

    def paths(self, job: str) -> tuple[Path, ...]:
        if self._place is None:
            return ()
        path = self._place.path
        real, lock = real_path(path), lock_path(path, job)
        beside = [real.with_name(real.name + end) for end in ("-wal", "-shm")]
        files = [*beside, lock, mark_path(lock)]
        if real == path.absolute():  # no link leads there: people know them by this path
            files = [path.with_name(each.name) for each in files]
        return (path, *files)

    async def commands(self) -> list[Command] | None:
        def read() -> list[Command] | None:
            # Changes only when another connection has written, so asking costs next to nothing.
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if version == self._seen_version and self._path is not None:
                return None  # (memory:// has one connection only)
            self._seen_version = version
            return self._rows(kinds.COMMANDS, "commands", self.job)

        return await self._call(read)

    # On the store's thread, but for small commits in place

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise self._not_open()
        return self._connection

    def _not_open(self) -> StoreError:
        if self._left is None:
            return StoreError(f"{self.url} is not open")
        return StoreError(
            f"{self.url} is open in the process that this one (pid {os.getpid()}) was forked from,"
            " and it alone can use it: return values to that process, or make an engine of another"
            " job or store here"
        )

    def _forked(self) -> None:
        """In a forked child: the thread is not here, and the connection is not to be used here.

        Not even closed: what SQLite does then is the parent's to do.
        """
        if self._thread is not None:
            self._left, self._connection = self._connection, None
            self._thread = self._host = self._lock = self._mark = self._life = None
            self._in_place = None

    def _open(self, job: str, agent: JobAgent | None, fresh: bool) -> JobInfo:
        if self._place is not None:
            self._path = path = self._place.path
            if os.path.isdir(path.parent):
                check_kind(path)
                self._lock = JobLock(path, job, mode=self._mode)
        try:
            return self._open_owned(job, agent, fresh)
        except BaseException:
            if self._lock is not None:
                self._lock.discard()
            raise

    def _open_owned(self, job: str, agent: JobAgent | None, fresh: bool) -> JobInfo:
        if self._connection is None:
            self._connection = connect(self._path, relaxed=self._relaxed, mode=self._mode)
            self._written = Written()
        db = self._db
        self._documents.forget()
        self._seen_version = -1
        info = take_job(db, self._where, job, agent, self._lock, fresh=fresh)
        self.job = info.job
        self._life = Life(info.job, agent.source if agent is not None else "")
        if self._path is not None:
            make_whole(db)
            real = real_path(self._path)  # the process may go to another folder
            lock = lock_path(real, job)
            self._mark = LogMark(real, lock, relaxed=self._relaxed, mode=self._mode)
            if self._lock is not None:
                self._in_place = InPlace(real, self._lock)
        return info

    def _close(self) -> None:
        if self._life is not None and self._connection is not None:
            self._life.end(self._connection)
            self._life = None
        if self._connection is not None and self._path is not None:
            if self._mark is not None:
                self._mark.end()
            self._mark = self._in_place = None
            close_whole(self._connection)
            self._connection = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _commit(self, rows: Sequence[Row], *, in_place: bool = False) -> None:
        if not in_place:
            gather(rows)
        began = time.perf_counter()
        if not begin(rows):
            return
        if self._in_place is not None:
            self._in_place.check(began)
        if self._patient is in_place:
            self._be_patient(not in_place)
        if self._mark is not None:
            self._mark.begin(self._db)
        try:
            self._write(rows)
        except sqlite3.Error as error:
            failed = translate(error, self._path)
            failed.undone = code_of(error) in NEVER_WRITTEN and not self._db.in_transaction
            raise failed from error
        are_durable(rows)
        self._documents.forget(rows)
        ended = time.perf_counter()
        self._pace.took(len(rows), ended - began, in_place=in_place)
        if self._mark is not None:
            self._mark.written(self._db, ended)

    def _be_patient(self, patient: bool) -> None:
        milliseconds = int(BUSY_SECONDS * 1000) if patient else 0
        self._db.execute(f"PRAGMA busy_timeout = {milliseconds}")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if patient else 0}")
        self._patient = patient

    def _write(self, rows: Sequence[Row]) -> None:
        life = self._life
        if life is None or not life.is_due:
            commit_rows(self._db, rows, self._written)
            return
        commit_rows(self._db, rows, self._written, life.write)
        life.wrote()

    def _probe(self, size: int) -> None:
        if self._in_place is not None:
            self._in_place.check(time.perf_counter())
        self._be_patient(True)
        probe_room(self._db, size)

    @property
    def _where(self) -> object:
        return self._path or self.url

    def _rows(self, rows: Rows[R], statement: str, *values: Any) -> list[R]:
        return rows.plain(self._db, self._where, READ[statement], values)

    def _many(
        self, rows: Rows[R], statement: str, values: Collection[Any], *before: Any
    ) -> list[R]:
        found = rows.read_many(self._db, self._where, READ[statement], values, *before)
        return [row for row, _ in found]

    def _with_memory(self, keys: Sequence[KeyRow]) -> list[KeyState]:
        memory: dict[int, list[MemoryRow]] = {row.key: [] for row in keys}
        for cell in self._many(kinds.MEMORY, "memory", memory):
            memory[cell.key].append(cell)
        return [KeyState(row, memory[row.key]) for row in keys]

    # The thread

    def _call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run `work` on the store's thread, after all that was asked before."""
        host = self._host
        if host is None or self._thread is None:
            refused: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            refused.set_exception(self._not_open())
            return refused
        future: asyncio.Future[T] = host.create_future()

        def perform() -> None:
            value, failed = None, None
            try:
                value = work()
            except PerdureError as error:
                failed = error
            except Exception as error:
                failed = translate(error, self._path)
            try:
                host.call_soon_threadsafe(settle, value, failed)
            except RuntimeError:
                pass  # the host loop is closed: nobody waits

        def settle(value: Any, error: PerdureError | None) -> None:
            self._asked -= 1
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self._asked += 1
        self._work.put(perform)
        return future


def _serve(asked: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (work := asked.get()) is not None:
        work()
        del work  # what it was for is free while the thread rests


_STORES: weakref.WeakSet[SqliteStore] = weakref.WeakSet()  # those that have been opened


def _forked() -> None:
    for store in _STORES:
        store._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
