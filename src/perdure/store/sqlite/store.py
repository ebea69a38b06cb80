"""The SQLite store: WAL, one writer at a time, one transaction a batch.

A batch is written on the host loop's thread and flushed on the store's, which also reads: so the
loop waits for no disk (`store.pace`, `flush`). While the connection is in use there, or where a
batch may take long, it is written there too.
"""

from __future__ import annotations

import asyncio
import itertools
import operator
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from perdure.errors import PerdureError, StoreError
from perdure.journal.record import Record, StoredPayload
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
from perdure.store.batch import are_written, begin, until_done
from perdure.store.documents import DocumentReader
from perdure.store.files import FileRow
from perdure.store.ownership import PRIVATE, JobLock, Place, lock_path, real_path
from perdure.store.sqlite import rows as kinds
from perdure.store.sqlite.commits import SqliteCommits
from perdure.store.sqlite.disk import NEVER_WRITTEN, check_kind, code_of, probe_room
from perdure.store.sqlite.documents import SqliteDocuments
from perdure.store.sqlite.ends import read_ends
from perdure.store.sqlite.file import (
    BUSY_SECONDS,
    READ,
    connect,
    select_many,
    translate,
)
from perdure.store.sqlite.flush import LogFlush
from perdure.store.sqlite.in_place import InPlace
from perdure.store.sqlite.jobs import take_job
from perdure.store.sqlite.life import Life
from perdure.store.sqlite.log_size import LogSize
from perdure.store.sqlite.mark import LogMark, close_as_it_is, close_whole, make_whole, mark_path
from perdure.store.sqlite.rows import R, Rows, records_in
from perdure.store.sqlite.thread import StoreThread
from perdure.store.sqlite.view import SqliteView
from perdure.store.sqlite.write import Written, commit_rows

T = TypeVar("T")


class SqliteStore(ActionStateStore):
    """A job in an SQLite file.

    Owns: the connection, the thread that uses it unless the loop's thread commits, the lock of the
    job. Lifecycle: `open` starts the thread, `close` ends it; it may be opened again.

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
        self._flush: LogFlush | None = None  # once open, where there is a file
        self._in_place: InPlace | None = None
        self._written = Written()
        self._log_size = LogSize()
        self._life: Life | None = None
        self._thread: StoreThread | None = None
        self._commits: SqliteCommits | None = None  # once open
        self._seen_version = -1
        self._patient = True  # the connection waits for locks by itself
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
        self._thread = self._new_thread()
        self._commits = SqliteCommits(
            self._thread, lambda *commit: self._write(*commit), self._log_size, self._known
        )
        try:
            return await self._call(lambda: self._open(job, agent, fresh))
        except BaseException:
            await self.close()
            raise

    def _new_thread(self) -> StoreThread:
        return StoreThread(self._known)  # a store in simulated time has another

    async def close(self) -> None:
        if (thread := self._thread) is None:
            return
        try:
            await until_done(self._call(self._close))
        finally:
            thread.end()
            self._thread = self._commits = None

    def close_now(self, loop: asyncio.AbstractEventLoop) -> None:
        if (thread := self._thread) is not None and thread.host is loop:
            self._thread = self._commits = None
            thread.end_with(self._close)

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        return self._commits.commit(rows) if self._commits is not None else self._refused()

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

    # On the store's thread, but for commits on the loop's

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
            if self._flush is not None:
                self._flush.close()
            self._thread = self._commits = self._lock = self._mark = self._life = None
            self._in_place = self._flush = None

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
            # Where the file system knows no log of this kind, SQLite flushes what it has instead.
            has_log = db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            self._mark = LogMark(
                real, lock, relaxed=self._relaxed, has_log=has_log, mode=self._mode
            )
            if self._lock is not None:
                self._in_place = InPlace(real, self._lock)
            self._flush_apart(db, real, self._mark, has_log=has_log)
        return info

    def _flush_apart(
        self, db: sqlite3.Connection, real: Path, mark: LogMark, *, has_log: bool
    ) -> None:
        if self._thread is None or self._commits is None:
            return
        waits = has_log and not self._relaxed
        self._flush = LogFlush(real, mark, waits=waits, ask=self._thread.ask)
        self._flush.now()  # a process that was killed may have left commits that no disk has
        if waits:
            db.execute("PRAGMA synchronous = NORMAL")
        if has_log:
            db.execute("PRAGMA wal_autocheckpoint = 0")
        self._commits.begin(db, self._flush, has_log=has_log)

    def _close(self) -> None:
        try:
            if (db := self._connection) is None:
                return
            if db.in_transaction:
                db.execute("ROLLBACK")  # it was interrupted
            if self._path is not None:
                self._close_file(db, self._path)
                self._connection = None
            elif self._life is not None:
                self._life.end(db)
        finally:
            self._mark = self._in_place = self._flush = self._life = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _close_file(self, db: sqlite3.Connection, path: Path) -> None:
        flush = self._flush
        has_failed = flush is not None and flush.failed is not None
        if not has_failed:
            self._be_patient(True)  # others may be writing
            if flush is not None and flush.waits:
                db.execute("PRAGMA synchronous = FULL")
            if self._life is not None:
                self._life.end(db)
        if self._mark is not None:
            self._mark.end(in_order=not has_failed)
        if flush is not None:
            flush.close()
        if has_failed:
            close_as_it_is(db, path)
        else:
            close_whole(db)

    def _write(self, rows: Sequence[Row], patient: bool) -> None:
        """Write rows, which are durable once the log is flushed.

        Args:
            rows: one commit.
            patient: wait for locks, and for whatever takes time.

        Raises:
            TakesTime: it would take time, and nothing was written.
            StoreError: nothing was written, or nobody knows.
        """
        if not begin(rows):
            return
        if self._flush is not None and self._flush.failed is not None:
            raise self._flush.failed
        now = time.perf_counter()
        if self._in_place is not None:
            self._in_place.check(now)
        if self._patient is not patient:
            self._be_patient(patient)
        if self._mark is not None:
            self._mark.begin(self._db)
        large = self._written.large
        try:
            self._write_rows(rows, patient)
        except sqlite3.Error as error:
            failed = translate(error, self._path)
            failed.undone = code_of(error) in NEVER_WRITTEN and not self._db.in_transaction
            raise failed from error
        are_written(rows)
        self._log_size.wrote(len(rows), self._written.large - large)
        self._documents.forget(rows)
        if self._mark is not None:
            self._mark.note(self._db, now)

    def _be_patient(self, patient: bool) -> None:
        milliseconds = int(BUSY_SECONDS * 1000) if patient else 0
        self._db.execute(f"PRAGMA busy_timeout = {milliseconds}")
        self._patient = patient

    def _write_rows(self, rows: Sequence[Row], patient: bool) -> None:
        life = self._life
        if life is None or not life.is_due:
            commit_rows(self._db, rows, self._written, patient=patient)
            return
        commit_rows(self._db, rows, self._written, life.write, patient=patient)
        life.wrote()

    def _probe(self, size: int) -> None:
        if self._in_place is not None:
            self._in_place.check(time.perf_counter())
        self._be_patient(True)
        probe_room(self._db, size)
        if self._flush is not None:
            self._flush.now()

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
        return self._commits.call(work) if self._commits is not None else self._refused()

    def _refused(self) -> asyncio.Future[Any]:
        refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        refused.set_exception(self._not_open())
        return refused

    def _known(self, error: Exception) -> PerdureError:
        return error if isinstance(error, PerdureError) else translate(error, self._path)


_STORES: weakref.WeakSet[SqliteStore] = weakref.WeakSet()  # those that have been opened


def _forked() -> None:
    for store in _STORES:
        store._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
