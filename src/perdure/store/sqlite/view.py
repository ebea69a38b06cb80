"""StoreView of SQLite: a connection of its own, on a thread of its own, beside the job's owner."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import sqlite3
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from perdure.errors import PerdureError, StoreError, StoreFormatError, UnknownCursorError
from perdure.journal.record import Record, RecordKind
from perdure.printable import unstorable
from perdure.store.base import (
    NUMBER_BITS,
    Changes,
    CollectionInfo,
    Command,
    CommandRow,
    JobRow,
    KeyRow,
    LifeRow,
    MemoryRow,
    Page,
    RunHead,
    Settled,
    StoredOutput,
    StoreView,
    WaitRow,
)
from perdure.store.damage import damaged
from perdure.store.documents import DocumentRow
from perdure.store.files import BadLineRow, FileRow
from perdure.store.generations import asked_for, stored_name
from perdure.store.ownership import Place, is_owned
from perdure.store.sqlite.copy import StoreCopy, may_write
from perdure.store.sqlite.counting import RunCounts, settled
from perdure.store.sqlite.ends import read_ends
from perdure.store.sqlite.file import MIGRATIONS, PARTS, connect_reader, translate
from perdure.store.sqlite.file import READ as OWNERS_READ
from perdure.store.sqlite.mark import close_whole
from perdure.store.sqlite.opened import OpenedFile
from perdure.store.sqlite.position import Position
from perdure.store.sqlite.rows import (
    BAD_LINES,
    COLLECTIONS,
    COMMANDS,
    DOCUMENTS,
    FILES,
    FINAL,
    HEADS,
    INPUTS,
    JOBS,
    KEYS,
    LIVES,
    MEMORY,
    OUTPUTS,
    RECORDS,
    WAITS,
    R,
    Rows,
    records_in,
    short_id,
)
from perdure.store.sqlite.write import write_rows
from perdure.store.statements import load_statements, with_parts

T = TypeVar("T")

ANY_STATUS = 9
RECORDS_OF_A_RUN = 100  # that `changes` reads for each run it may name, before it gives up

READ = with_parts(load_statements("sqlite", "view.sql"), PARTS)


class _OthersCameError(PerdureError):
    """Takes back what was left after others had come; nobody else sees it."""


class SqliteView(StoreView):
    """An SQLite file as seen from outside: whatever store is at its path when it is read.

    Owns: a connection, and the thread that alone uses it. Lifecycle: that of every StoreView.

    Args:
        place: where the database file is; None: in memory.
    """

    def __init__(self, place: Place | None) -> None:
        self.url = "memory://" if place is None else str(place.given)
        self._place = place
        self._path = None if place is None else place.given
        self._connection: sqlite3.Connection | None = None
        self._copy: StoreCopy | None = None  # where the store itself cannot be opened
        self._file: OpenedFile | None = None  # else what was opened; None in memory
        self._thread: ThreadPoolExecutor | None = None
        self._idle: tuple[Any, ...] = ()  # what `changes` was last asked when nothing was new
        self._run_counts = RunCounts()

    async def open(self) -> None:
        if self._thread is not None:
            raise StoreError("this view of the store is open already: close it first")
        self._thread = ThreadPoolExecutor(1, "perdure-view")
        self._run_counts = RunCounts()
        try:
            await self._on_thread(self._open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._thread is not None:
            await self._on_thread(self._close)
            self._thread.shutdown(wait=False)
            self._thread = None

    @property
    def version(self) -> int:
        return len(MIGRATIONS)  # no other is opened

    async def jobs(self, *, after: str = "", limit: int = 1000) -> Page[JobRow]:
        values = {"after": _text(after), "limit": limit}
        rows = await self._rows(JOBS, "jobs", values)
        return _page(rows, limit, lambda row: _cursor(stored_name(row.name, row.generation)))

    async def job(self, name: str) -> JobRow | None:
        if unstorable(name):
            return None
        rows = await self._rows(JOBS, "job", {"name": name})
        if not rows and (asked := asked_for(name)) is not None:
            rows = await self._rows(JOBS, "generation", {"name": stored_name(*asked)})
        return next(iter(rows), None)

    async def is_owned(self, job: str) -> bool:
        return await self._on_thread(lambda: self._is_owned(job))

    async def counts(self, job: int) -> dict[int, int]:
        return await self._read(
            lambda: self._run_counts.by_status(self._db, self.url, READ, _bounds(job))
        )

    async def count_failed(self, job: int, since: int, *, limit: int) -> int:
        values = {"job": job, "since": since, "limit": limit}
        return await self._read(
            lambda: int(self._db.execute(READ["count_failed"], values).fetchone()[0])
        )

    async def settled(
        self, job: int, *, after: int = 0, until: int | None = None, limit: int = 500
    ) -> Settled:
        return await self._read(lambda: settled(self._db, READ, _bounds(job), after, until, limit))

    async def runs(
        self,
        job: int,
        *,
        status: int | None = None,
        key: bytes | None = None,
        after: str = "",
        limit: int = 50,
    ) -> Page[RunHead]:
        values = {**_bounds(job), "status": status, "key": key, "limit": limit}
        if after:
            number = _number(after)
            if not values["first"] <= number < values["before"]:
                raise _no_cursor(after)  # it is no run of this job
            values["before"] = number
        if key is not None:
            name = "find_of_key"
        elif status is not None:
            name = f"find_{status}" if status <= FINAL else "find_unsuccessful"
        else:
            name = "find"

        def read() -> list[RunHead]:
            numbers = [run for (run,) in self._db.execute(READ[name], values)]
            heads = self._heads(numbers, FINAL)
            if missing := [number for number in numbers if number not in heads]:
                lost = f"the row of run {short_id(missing[0])} is not found"
                raise damaged(self.url, "table run", lost)
            return [heads[number] for number in numbers]

        return _page(await self._read(read), limit, lambda head: str(head.row.run))

    async def heads(self, runs: Collection[int]) -> dict[int, RunHead]:
        return await self._read(lambda: self._heads(runs, ANY_STATUS))

    def _heads(self, runs: Collection[int], noted_below: int) -> dict[int, RunHead]:
        rows = HEADS.read_many(self._db, self._where, READ["heads"], runs, noted_below)
        return {row.run: RunHead(row, key, note) for row, (key, note) in rows}

    async def runs_of_inputs(self, job: int, ids: Collection[str]) -> dict[str, int]:
        sql = READ["runs_of_inputs"]
        rows = await self._read(lambda: INPUTS.read_many(self._db, self._where, sql, ids, job))
        return {str(row.id): row.run for row, _ in rows}

    async def records(self, run: int, *, after: int = 0, limit: int | None = None) -> list[Record]:
        return await self._read(lambda: self._records(run, after, limit))

    def _records(self, run: int, after: int, limit: int | None) -> list[Record]:
        """Read records, one of which may be in the row of an output."""
        ends = read_ends(self._db, self._where, OWNERS_READ["ends"], [run])
        if run not in ends:
            return self._in_rows(run, after, limit)
        end, before = ends[run]
        if after > before:
            return self._in_rows(run, after - 1, limit)
        records = self._in_rows(run, after, limit)
        if before - after <= len(records):
            records.insert(before - after, end)
        return records[:limit]

    def _in_rows(self, run: int, after: int, limit: int | None) -> list[Record]:
        """Read rows, some of which are two records, from the one that record `after` is in."""
        inside = READ["starts_inside"]
        first = passed = 0
        if after:
            (starts,) = self._db.execute(inside, (run, -1)).fetchone()
            first = max(0, after - starts)
            (starts,) = self._db.execute(inside, (run, first)).fetchone()
            passed = first + starts
        more = after - passed
        values = (run, -1 if limit is None else limit + more, first)
        found = RECORDS.values(self._db, self._where, READ["records"], values)
        records = list(records_in(self._where, found))
        return records[more:] if limit is None else records[more : more + limit]

    async def outputs(
        self, job: int, *, run: int | None = None, after: str = "", limit: int = 1000
    ) -> Page[StoredOutput]:
        values = {**_bounds(job), "run": run, "after": _number(after), "limit": limit}
        name = "outputs" if run is None else "outputs_of_run"
        rows = await self._read(lambda: OUTPUTS.read(self._db, self._where, READ[name], values))
        page = _page(rows, limit, lambda row: str(row[1][0]))
        return Page([output for output, _ in page.items], page.after)

    async def key(self, job: int, digest: bytes) -> KeyRow | None:
        return next(iter(await self._rows(KEYS, "key", (job, digest))), None)

    async def memory(self, key: int, *, after: str = "", limit: int = 1000) -> Page[MemoryRow]:
        values = {"key": key, "after": _text(after), "limit": limit}
        rows = await self._rows(MEMORY, "memory", values)
        return _page(rows, limit, lambda row: _cursor(row.path))

    async def collections(
        self, job: int, *, after: str = "", limit: int = 1000
    ) -> Page[CollectionInfo]:
        values = {"job": job, "after": _text(after), "limit": limit}
        rows = await self._rows(COLLECTIONS, "collections", values)
        return _page(rows, limit, lambda row: _cursor(row.name))

    async def documents(
        self, job: int, collection: str, *, after: str = "", limit: int = 50
    ) -> Page[DocumentRow]:
        values = (job, collection, _number(after), limit)
        rows = await self._read(
            lambda: DOCUMENTS.read(self._db, self._where, READ["documents"], values)
        )
        page = _page(rows, limit, lambda row: str(row[1][0]))
        return Page([document for document, _ in page.items], page.after)

    async def commands(
        self, job: int, *, run: int | None = None, after: str = "", limit: int = 1000
    ) -> Page[Command]:
        values = {"job": job, "run": run, "after": _number(after), "limit": limit}
        rows = await self._rows(COMMANDS, "commands", values)
        return _page(rows, limit, lambda row: str(row.number))

    async def waits(self, job: int, *, after: str = "", limit: int = 1000) -> Page[WaitRow]:
        run, event, call, action = (_text(after) or "-1:0:0:").split(":", 3)
        values = {
            **_bounds(job), "run": int(run), "event": int(event), "call": int(call),
            "action": action, "limit": limit,
        }  # fmt: skip
        rows = await self._rows(WAITS, "waits", values)
        return _page(
            rows, limit, lambda row: _cursor(f"{row.run}:{row.event}:{row.call}:{row.action}")
        )

    async def waits_of(self, runs: Collection[int]) -> list[WaitRow]:
        sql = OWNERS_READ["waits_of_runs"]
        found = await self._read(lambda: WAITS.read_many(self._db, self._where, sql, runs))
        return [row for row, _ in found]

    async def lives(self, job: int, *, after: str = "", limit: int = 1000) -> Page[LifeRow]:
        rows = await self._rows(LIVES, "lives", (job, _number(after), limit))
        return _page(rows, limit, lambda row: str(row.life))

    async def sink_files(self, job: int) -> list[FileRow]:
        return await self._rows(FILES, "sink_files", (job,))

    async def bad_lines(self, job: int, *, after: str = "", limit: int = 1000) -> Page[BadLineRow]:
        position, _, source = (_text(after) or "-1:").partition(":")
        values = {"job": job, "source": source, "position": int(position), "limit": limit}
        rows = await self._rows(BAD_LINES, "bad_lines", values)
        return _page(rows, limit, lambda row: _cursor(f"{row.position}:{row.source}"))

    async def count_bad_lines(self, job: int) -> int:
        def read() -> int:
            return int(self._db.execute(READ["count_bad_lines"], (job,)).fetchone()[0])

        return await self._read(read)

    async def leave_commands(self, commands: Sequence[CommandRow]) -> None:
        self._refuse_where_read_only()
        await self._read(lambda: write_rows(self._db, commands))

    async def leave_answer(self, answer: CommandRow, *, records: int, command: int) -> bool:
        self._refuse_where_read_only()
        known = (answer.job, answer.run, command)

        def leave() -> None:
            # Before it looks: from its first write on a transaction is the only one that writes.
            write_rows(self._db, [answer])
            (left,) = self._db.execute(READ["commands_since"], known).fetchone()
            came = self._records(answer.run, records, None)
            if left > 1 or any(record.kind == RecordKind.SIGNAL for record in came):
                raise _OthersCameError

        try:
            await self._read(leave)
        except _OthersCameError:
            return False
        return True

    def _refuse_where_read_only(self) -> None:
        if self._copy is not None:
            raise StoreError(
                f"{self._path} can be read and not written by this user, so that nothing can be"
                " asked of its runs: ask as a user who may write it"
            )

    async def changes(self, job: int, since: str = "", *, limit: int = 1000) -> Changes:
        return await self._read(lambda: self._changes(job, since, limit))

    def _changes(self, job: int, since: str, limit: int) -> Changes:
        db = self._db
        version = db.execute("PRAGMA data_version").fetchone()[0]
        asked = (job, since, version, db.total_changes)
        if since and asked == self._idle:
            return Changes(since, [])
        now = self._position(job)
        if not since:
            return Changes(str(now), [])
        then = Position.parse(since)
        too_much = limit * RECORDS_OF_A_RUN
        if then is None or not then.is_before(now) or now.record - then.record > too_much:
            return Changes(str(now), [], statuses=True, lost=True)
        values = {**_bounds(job), **then._asdict(), "limit": limit + 1}
        runs = [run for (run,) in db.execute(READ["changed"], values)]
        if len(runs) > limit:
            return Changes(str(now), [], statuses=True, lost=True)
        found = Changes(str(now), runs, statuses=then.statuses != now.statuses)
        if str(now) == since:
            self._idle = asked
        return found

    def _position(self, job: int) -> Position:
        row = self._db.execute(READ["position"], _bounds(job)).fetchone()
        if row is None:
            raise StoreError(f"the store has no job with number {job}")
        statuses = self._db.execute(READ["statuses"], (job,)).fetchone()[0]
        digest = hashlib.blake2b(statuses.encode(), digest_size=8)
        created_at, record, output, run, command = row
        return Position(created_at, record, output, run, command, digest.hexdigest())

    # On the view's thread

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("this view of the store is not open")
        return self._connection

    def _open(self) -> None:
        assert self._place is not None
        self._path = self._place.path
        if self._path.exists() and not may_write(self._path):
            self._copy = StoreCopy(self._path)
            self._connection = connect_reader(self._path, self._copy.path)
            return
        file = OpenedFile(self._place)
        self._connection = connect_reader(self._path)
        self._file = file
        self._connection.execute("PRAGMA synchronous = FULL")  # for commands
        if sys.platform == "darwin":
            self._connection.execute("PRAGMA fullfsync = ON")

    def _close(self) -> None:
        connection, self._connection, self._file = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(sqlite3.DatabaseError):  # it is no store any more
                close_whole(connection)
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def _is_owned(self, job: str) -> bool:
        assert self._place is not None
        return is_owned(self._place.path, job)

    @contextlib.contextmanager
    def _one_state(self) -> Iterator[None]:
        """Let what is done inside see one state of the store, and write all or nothing."""
        db = self._db
        db.execute("BEGIN")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    # The thread

    async def _rows(self, rows: Rows[R], name: str, values: Any) -> list[R]:
        return await self._read(lambda: rows.plain(self._db, self._where, READ[name], values))

    @property
    def _where(self) -> object:
        return self._path or self.url

    async def _read(self, work: Callable[[], T]) -> T:
        def perform() -> T:
            seen = self._copy or self._file
            if self._connection is None or (seen is not None and seen.is_old):
                self._close()
                self._open()
                self._idle, self._run_counts = (), RunCounts()
            with self._one_state():
                return work()

        try:
            return await self._on_thread(perform)
        except StoreFormatError:
            await self._on_thread(self._close)  # what is mended meanwhile is seen by the next look
            raise

    async def _on_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError("this view of the store is not open")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except PerdureError:
            raise
        except Exception as error:
            raise translate(error, self._where) from error


def _bounds(job: int) -> dict[str, Any]:
    first = job << NUMBER_BITS
    return {"job": job, "first": first, "before": first + (1 << NUMBER_BITS)}


# Cursors: the number, or the text, of the last item


def _page(items: list[T], limit: int, cursor: Callable[[T], str]) -> Page[T]:
    # A full page may be the last one: the next is empty then.
    return Page(items, cursor(items[-1]) if items and len(items) >= limit else "")


def _number(cursor: str) -> int:
    try:
        number = int(cursor or 0)
    except ValueError:
        raise _no_cursor(cursor) from None
    if not 0 <= number < 1 << 63:
        raise _no_cursor(cursor)
    return number


def _cursor(text: str) -> str:
    return "." + base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _text(cursor: str) -> str | None:
    if not cursor:
        return None
    try:
        return base64.urlsafe_b64decode(cursor[1:]).decode("utf-8", "surrogatepass")
    except ValueError:
        raise _no_cursor(cursor) from None


def _no_cursor(cursor: str) -> UnknownCursorError:
    return UnknownCursorError(
        f"{cursor!r:.40} is no cursor of this list: begin it anew with an empty one"
    )
