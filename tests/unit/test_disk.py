"""What SQLite says of its disk, as a person can use it; and the probe of a store that failed."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from pathlib import Path

import pytest
from tests.unit.action_driver import on_host

from perdure import JsonlSink
from perdure.cli.main import _one_line
from perdure.errors import SinkError, StoreError
from perdure.store.sqlite.disk import code_of, disk_fault, make_file
from perdure.store.sqlite.file import connect, translate
from perdure.store.sqlite.memory_store import MemoryStore
from perdure.store.sqlite.store import SqliteStore
from perdure.testing.sample_rows import SampleRows

resource = pytest.importorskip("resource")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def fault(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = getattr(sqlite3, name)
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SQLITE_FULL", r"journal\.db cannot grow: the disk is full; free space in /"),
        ("SQLITE_IOERR_WRITE", r"journal\.db cannot be read or written \(SQLITE_IOERR_WRITE\)"),
        ("SQLITE_READONLY_DBMOVED", r"journal\.db cannot be written: is / on a disk"),
        ("SQLITE_CANTOPEN", r"journal\.db cannot be opened: is / on a disk that is there"),
    ],
)
def test_a_fault_of_the_disk_says_what_to_do(name: str, said: str) -> None:
    found = disk_fault(fault(name), Path("/journal.db"))
    assert found is not None
    with pytest.raises(StoreError, match=said):
        raise StoreError(found)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_files_that_no_more_may_be_opened_are_no_fault_of_the_path(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(number, os.strerror(number), str(path))

    def refuses(*_arguments: object) -> int:
        raise error

    output = JsonlSink(path.with_suffix(".jsonl"))
    monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(SinkError, match="raise how many files"):
        asyncio.run(output.open(None))
    with pytest.raises(StoreError, match="raise how many files"):
        make_file(path)
    assert "raise how many files" in (disk_fault(fault("SQLITE_CANTOPEN"), path) or "")
    assert "raise how many files" in str(translate(error, path))
    assert "raise how many files" in _one_line(error, debug=False)


def test_what_is_no_fault_of_the_disk_is_not_explained() -> None:
    assert disk_fault(fault("SQLITE_ERROR"), Path("journal.db")) is None
    assert code_of(ValueError()) == 0


@pytest.mark.skipif(not os.geteuid(), reason="root may write everywhere")
@pytest.mark.parametrize(("what", "mode"), [("file", 0o400), ("folder", 0o500)])
def test_a_missing_right_is_named(path: Path, what: str, mode: int) -> None:
    connect(path).close()
    named = path if what == "file" else path.parent
    named.chmod(mode)
    try:
        with pytest.raises(StoreError, match=rf"{named.name}.*right"):
            asyncio.run(SqliteStore(path).open("job"))
    finally:
        named.chmod(0o700)


@on_host
async def test_g25_a_commit_that_a_full_disk_refused_is_known_to_be_undone(path: Path) -> None:
    store = SqliteStore(path)
    sample = SampleRows(await store.open("job"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = path.with_name("journal.db-wal").stat().st_size
    for rows in ([sample.key(1), sample.run(1)], [sample.key(1)]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(StoreError, match=r"ulimit -f") as failed:
                await store.commit(rows)
            assert failed.value.undone
            with pytest.raises(StoreError, match=r"ulimit -f"):
                await store.probe(1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert await store.unfinished() == []
    await store.probe(1)
    await store.commit([sample.key(1), sample.run(1)])
    assert len(await store.unfinished()) == 1
    await store.close()


@on_host
async def test_g25_a_probe_needs_the_room_that_it_is_asked_for_and_leaves_it(path: Path) -> None:
    store = SqliteStore(path)
    sample = SampleRows(await store.open("job"))
    log = path.with_name("journal.db-wal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 1_000_000, before[1]))
    try:
        with pytest.raises(StoreError):
            await store.probe(2_000_000)
        await store.probe(500_000)
        size = log.stat().st_size
        await store.commit([sample.key(1), sample.run(1)])
        assert log.stat().st_size == size, "the commit has the room that was proved"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE '%probe%'")
        assert names.fetchall() == []
    connection.close()


@on_host
async def test_g25_a_store_in_memory_can_be_probed(path: Path) -> None:
    store = MemoryStore()
    await store.open("job")
    await store.probe(100_000)
    await store.close()
