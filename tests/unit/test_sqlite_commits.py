"""Commits are written on the loop's thread where that is soonest; the disk is waited for apart."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure.errors import StoreDataError, StoreError
from perdure.journal.record import Record, RecordKind
from perdure.store import pace
from perdure.store.base import MemoryRow, Row, SinkRow
from perdure.store.documents import DocumentRow
from perdure.store.pace import CommitPace
from perdure.store.sqlite import file, flush, log_size, write
from perdure.store.sqlite.store import SqliteStore
from perdure.testing.store_contract import StoreContract

LOOP, THREAD = "loop", "thread"


class Disk:
    """Stands in for the disk: counts its flushes, says where they were made, holds or fails one."""

    def __init__(self) -> None:
        self.flushes: list[str] = []
        self.error: OSError | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.asked = threading.Event()

    def flush(self, file: int) -> None:
        self.flushes.append(where())
        self.asked.set()
        assert self.goes_on.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        os.fsync(file)


class WatchedStore(SqliteStore):
    """Notes on which thread each commit was written; the disk is as quick as `seconds` says."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written: list[str] = []
        self.seconds = 0.0

    def _write(self, rows: Sequence[Row], patient: bool) -> None:
        super()._write(rows, patient)
        self.written.append(where())


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(flush, "flush_file", disk.flush)
    return disk


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk) -> WatchedStore:
    monkeypatch.setattr(pace, "PROVEN", 3)
    monkeypatch.setattr(pace, "SLOW_SECONDS", PATIENCE)  # however busy the machine is
    store = WatchedStore(tmp_path / "journal.db")
    took = CommitPace.took
    monkeypatch.setattr(
        CommitPace, "took", lambda self, rows, seconds: took(self, rows, store.seconds)
    )
    return store


def where() -> str:
    return LOOP if threading.current_thread() is threading.main_thread() else THREAD


def row(offset: int) -> Row:
    return SinkRow(job=1, name="sink", base=0, offset=offset)


def record(number: int) -> Row:
    return Record(1, 1, "a", number, RecordKind.RESULT)


async def commit(store: SqliteStore, *offsets: int) -> None:
    await store.commit([row(offset) for offset in offsets])


async def begun(store: WatchedStore, disk: Disk) -> None:
    """Open a store, and begin a life of its job: the first commit is the thread's."""
    await store.open("job")
    await commit(store, 0)
    assert store.written == [THREAD]
    store.written.clear()
    disk.flushes.clear()


async def proven(store: WatchedStore, disk: Disk) -> None:
    await begun(store, disk)
    for offset in range(pace.PROVEN):
        await commit(store, offset)
    assert disk.flushes == [THREAD] * pace.PROVEN
    store.written.clear()
    disk.flushes.clear()


async def offset_of(store: SqliteStore) -> int:
    sink = await store.sink("sink")
    assert sink is not None
    return sink.offset


def test_a_commit_is_written_on_the_loop_and_flushed_on_the_thread(
    store: WatchedStore, disk: Disk
) -> None:
    async def main() -> None:
        await begun(store, disk)
        await commit(store, *range(100))
        assert (store.written, disk.flushes) == ([LOOP], [THREAD])
        assert await offset_of(store) == 99
        await store.close()

    asyncio.run(main())


def test_g5_nobody_is_told_of_a_commit_before_it_is_flushed(
    store: WatchedStore, disk: Disk
) -> None:
    async def main() -> None:
        await begun(store, disk)
        disk.goes_on.clear()
        disk.asked.clear()
        first = store.commit([row(1)])
        assert await asyncio.to_thread(disk.asked.wait, PATIENCE)
        others = [store.commit([row(n)]) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        assert store.written == [LOOP] * 4  # and no process that is killed loses them
        assert not any(each.done() for each in (first, *others))
        disk.goes_on.set()
        await asyncio.gather(first, *others)
        assert disk.flushes == [THREAD] * 2  # one for all that waited
        await store.close()

    asyncio.run(main())


def test_g5_the_mark_never_says_more_than_is_flushed(
    store: WatchedStore, disk: Disk, tmp_path: Path
) -> None:
    def said() -> int:
        (mark,) = tmp_path.glob("*.mark")
        return int(mark.read_text().split()[2])

    async def main() -> None:
        await begun(store, disk)
        await store.commit([record(1)])
        assert said() == 1
        disk.goes_on.clear()
        disk.asked.clear()
        writing = [store.commit([record(2)])]
        assert await asyncio.to_thread(disk.asked.wait, PATIENCE)
        writing.append(store.commit([record(3)]))
        assert store.written == [LOOP] * 3
        assert said() == 1
        disk.goes_on.set()
        await writing[0]
        assert said() in (2, 3)
        await writing[1]
        assert said() == 3
        await store.close()

    asyncio.run(main())


def test_lone_small_commits_are_flushed_on_the_loop_once_the_disk_has_proven_quick(
    store: WatchedStore, disk: Disk
) -> None:
    async def main() -> None:
        await proven(store, disk)
        await commit(store, 7)
        assert disk.flushes == [LOOP]
        await commit(store, *range(pace.SMALL + 1))
        assert disk.flushes == [LOOP, THREAD]
        assert store.written == [LOOP, LOOP]
        await store.close()

    asyncio.run(main())


def test_a_slow_flush_of_a_disk_just_proven_sends_them_back(
    store: WatchedStore, disk: Disk
) -> None:
    async def main() -> None:
        await proven(store, disk)
        store.seconds = pace.QUICK_SECONDS * 2
        await commit(store, 1)
        store.seconds = 0.0
        again = pace.PROVEN - pace.PROVEN // 2
        for offset in range(again + 1):
            await commit(store, offset)
        assert disk.flushes == [LOOP] + [THREAD] * again + [LOOP]
        await store.close()

    asyncio.run(main())


def test_one_slow_flush_among_many_leaves_them_on_the_loop(store: WatchedStore, disk: Disk) -> None:
    async def main() -> None:
        await proven(store, disk)
        for offset in range(4 * pace.PROVEN):
            await commit(store, offset)
        store.seconds = pace.QUICK_SECONDS * 2
        await commit(store, 1)
        await commit(store, 2)
        assert set(disk.flushes) == {LOOP}
        for _ in range(3):  # it is no moment any more
            await commit(store, 3)
        await commit(store, 4)
        assert disk.flushes[-1] == THREAD
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([row(n) for n in range(pace.MOST + 1)], id="many rows"),
        pytest.param([MemoryRow(1, "p", b"x" * (write.SLOW + 1), 0)], id="much to compress"),
        pytest.param([DocumentRow(1, "c", "d", "text", "{}", None)], id="a document"),
    ],
)
def test_what_may_take_long_is_written_on_the_thread(
    store: WatchedStore, disk: Disk, rows: list[Row]
) -> None:
    async def main() -> None:
        await begun(store, disk)
        await store.commit(rows)
        assert (store.written, disk.flushes) == ([THREAD], [THREAD])
        await store.close()

    asyncio.run(main())


def test_writing_that_was_slow_sends_some_commits_to_the_thread() -> None:
    watched = CommitPace()
    assert watched.writes_here(1)
    watched.wrote(pace.SLOW_SECONDS * 2)
    assert [watched.writes_here(1) for _ in range(pace.AWAY + 1)] == [False] * pace.AWAY + [True]


def test_a_commit_waits_until_the_thread_has_read(store: WatchedStore, disk: Disk) -> None:
    async def main() -> None:
        await begun(store, disk)
        read = asyncio.ensure_future(store.unfinished())
        await asyncio.sleep(0)  # the thread has it now
        await commit(store, 1)
        assert store.written == [LOOP]
        await read
        await store.close()

    asyncio.run(main())


def test_what_is_read_behind_a_commit_that_waits_has_what_it_wrote(
    store: WatchedStore, disk: Disk
) -> None:
    async def main() -> None:
        await begun(store, disk)
        first = asyncio.ensure_future(store.unfinished())
        await asyncio.sleep(0)
        writing = store.commit([row(8)])
        assert store.written == []
        assert await offset_of(store) == 8
        assert store.written == [THREAD]  # reads that follow one another do not keep it waiting
        await asyncio.gather(first, writing)
        await store.close()

    asyncio.run(main())


def test_the_log_is_written_back_on_the_thread(
    store: WatchedStore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_size, "CHECKPOINT_PAGES", 50)
    made: list[str] = []
    checkpoint = log_size.LogSize.checkpoint

    def noting(self: log_size.LogSize, db: sqlite3.Connection) -> None:
        made.append(where())
        checkpoint(self, db)

    monkeypatch.setattr(log_size.LogSize, "checkpoint", noting)

    async def main() -> None:
        await begun(store, disk)
        for offset in range(1000):
            await commit(store, offset)
        assert made
        assert set(made) == {THREAD}
        log = Path(store.url.removeprefix("sqlite:///") + "-wal")
        assert log.stat().st_size < 4096 * 500  # 1,000 commits of a page and more
        await store.close()

    asyncio.run(main())


def test_a_lock_of_another_program_is_waited_for_on_the_thread(
    store: WatchedStore, disk: Disk
) -> None:
    async def main() -> None:
        await proven(store, disk)
        other = sqlite3.connect(store.url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = store.commit([row(9)])
        ticks = 0
        while ticks < 5:  # the loop goes on meanwhile
            await asyncio.sleep(0.005)
            ticks += 1
        assert not writing.done()
        other.execute("COMMIT")
        other.close()
        await writing
        assert store.written == [THREAD]
        assert await offset_of(store) == 9
        await store.close()

    asyncio.run(main())


def test_a_refused_row_on_the_loop_writes_nothing(store: WatchedStore, disk: Disk) -> None:
    async def main() -> None:
        await proven(store, disk)
        bad = SinkRow(job=1, name="other", base=1 << 70, offset=0)
        with pytest.raises(StoreDataError):
            await store.commit([row(5), bad])
        assert await offset_of(store) == pace.PROVEN - 1
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("flushed", [THREAD, LOOP])
def test_g25_a_flush_that_fails_is_the_last(
    store: WatchedStore, disk: Disk, flushed: str, tmp_path: Path
) -> None:
    async def main() -> None:
        await (proven if flushed == LOOP else begun)(store, disk)
        disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
        with pytest.raises(StoreError, match="the disk failed to keep what was written") as failed:
            await commit(store, 1)
        assert failed.value.is_final
        assert disk.flushes == [flushed]
        disk.error = None  # the system says only once that it threw something away
        with pytest.raises(StoreError, match="nobody knows what of it is lost") as again:
            await commit(store, 2)
        assert again.value.is_final
        assert disk.flushes == [flushed]
        await store.close()
        assert list(tmp_path.glob("*.mark"))  # says to the next process what there was

    asyncio.run(main())


def test_g25_a_store_that_is_gone_after_a_failed_flush_is_closed(
    store: WatchedStore, disk: Disk
) -> None:
    path = Path(store.url.removeprefix("sqlite:///"))
    log = Path(f"{path}-wal")

    async def main() -> None:
        await begun(store, disk)
        disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
        with pytest.raises(StoreError, match="the disk failed to keep what was written"):
            await commit(store, 1)
        path.unlink()
        before = log.read_bytes()
        await store.close()
        assert log.read_bytes() == before

    asyncio.run(main())


def test_g25_what_a_failed_flush_has_lost_is_not_written_back(
    store: WatchedStore, disk: Disk, tmp_path: Path
) -> None:
    """The last to close would write all of the log back that it knows of, whatever is there."""
    log = Path(store.url.removeprefix("sqlite:///") + "-wal")

    async def main() -> None:
        await begun(store, disk)
        await commit(store, 1)
        durable = log.read_bytes()
        disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
        with pytest.raises(StoreError, match="the disk failed to keep what was written"):
            await store.commit([row(2), *(record(n) for n in range(200))])
        with log.open("r+b") as file:  # what was written over is as it was, or nothing
            lost = len(file.read()) - len(durable)
            file.seek(0)
            file.write(durable + bytes(lost))
        await store.close()
        disk.error = None
        again = SqliteStore(Path(store.url.removeprefix("sqlite:///")))
        await again.open("job")
        assert await offset_of(again) == 1
        await again.close()

    asyncio.run(main())


def test_a_job_that_is_closed_while_another_program_writes_says_so(
    store: WatchedStore, disk: Disk
) -> None:
    async def main() -> None:
        await begun(store, disk)
        await commit(store, 1)
        other = sqlite3.connect(
            store.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.1, other.execute, ["COMMIT"]).start()
        await store.close()
        assert other.execute("SELECT ended_at IS NOT NULL FROM life").fetchall() == [(1,)]
        other.close()

    asyncio.run(main())


def test_a_transaction_that_is_interrupted_as_it_begins_is_taken_back() -> None:
    class Interrupted(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            cursor = super().execute(sql, *values)
            if sql.startswith("BEGIN"):
                raise KeyboardInterrupt
            return cursor

    db = sqlite3.connect(":memory:", factory=Interrupted, isolation_level=None)
    with pytest.raises(KeyboardInterrupt), write.transaction(db):
        pass
    assert not db.in_transaction
    db.close()


def test_the_log_is_written_back_by_the_size_of_what_it_has(
    store: WatchedStore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_size, "CHECKPOINT_PAGES", 400)

    async def main() -> None:
        await begun(store, disk)
        for offset in range(400):
            await commit(store, offset)  # small rows, of which many go into the log
        for n in range(40):
            await store.commit([MemoryRow(1, f"p{n}", os.urandom(200_000), 0)])
        log = Path(store.url.removeprefix("sqlite:///") + "-wal")
        assert log.stat().st_size < 4096 * 400 * 3
        await store.close()

    asyncio.run(main())


def test_what_a_killed_process_has_left_is_flushed_before_anything_is_told_of_it(
    store: WatchedStore, disk: Disk
) -> None:
    path = store.url.removeprefix("sqlite:///")
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)

    async def main() -> None:
        await store.open("job")
        assert len(disk.flushes) == 1
        assert await offset_of(store) == 7
        await store.close()

    asyncio.run(main())


_KILLED = """
import asyncio, sys, time
from pathlib import Path
from perdure.store.base import SinkRow
from perdure.store.sqlite import flush
from perdure.store.sqlite.store import SqliteStore

def never(file):
    print("written", flush=True)
    time.sleep(3600)

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open("job")
    await store.commit([SinkRow(job=1, name="sink", base=0, offset=1)])
    flush.flush_file = never
    await store.commit([SinkRow(job=1, name="sink", base=0, offset=7)])

asyncio.run(main())
"""


def test_without_a_log_all_is_written_on_the_thread_and_flushed_by_sqlite(
    store: WatchedStore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has none on file systems without shared memory, such as some of a network."""

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        db = file.connect(*args, **kwargs)
        db.execute("PRAGMA journal_mode = DELETE")
        return db

    monkeypatch.setattr("perdure.store.sqlite.store.connect", connect)

    async def main() -> None:
        await begun(store, disk)
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
        await commit(store, 1)
        assert (store.written, disk.flushes) == ([THREAD], [])
        assert await offset_of(store) == 1
        await store.close()

    asyncio.run(main())


def test_pace_counts_only_small_commits_as_slow() -> None:
    watched = CommitPace()
    for _ in range(pace.PROVEN):
        watched.took(1, 0.0)
    watched.took(10_000, 1.0)
    assert watched.flushes_here(1)
    watched.took(1, 1.0)
    assert not watched.flushes_here(1)


class _OfAFile(StoreContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "journal.db"

    def make_store(self) -> Any:
        return SqliteStore(self.path)

    def reopen(self, store: Any) -> Any:
        return self.make_store()


class TestFlushedOnTheLoop(_OfAFile):
    @pytest.fixture(autouse=True)
    def _here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(CommitPace, "flushes_here", lambda self, rows: True)


class TestWrittenOnTheThread(_OfAFile):
    @pytest.fixture(autouse=True)
    def _there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(CommitPace, "writes_here", lambda self, rows: False)
