"""The SQLite file: what it is, which version it has (G23), who owns it (G22)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.action_driver import on_host

from perdure.errors import ConfigurationError, StoreError, StoreFormatError, StoreLockedError
from perdure.store.base import CommandRow
from perdure.store.ownership import JobLock, is_owned, lock_path
from perdure.store.sqlite import file
from perdure.store.sqlite.file import APPLICATION_ID, connect, connect_reader
from perdure.store.sqlite.mark import log_path, mark_path
from perdure.store.sqlite.store import SqliteStore
from perdure.store.statements import load_script
from perdure.store.url import job_names, open_store, open_view
from perdure.testing.sample_rows import SampleRows

pytestmark = pytest.mark.usefixtures("no_blocking")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def made(path: Path) -> Path:
    """A store of this version."""
    connect(path).close()
    return path


def contents(path: Path) -> dict[str, bytes]:
    """Return every file beside the database, with its bytes."""
    return {file.name: file.read_bytes() for file in sorted(path.parent.iterdir())}


def change(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def value(path: Path, sql: str) -> object:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchone()[0]
    finally:
        connection.close()


MISSING = {
    "table": ("DROP TABLE wait", "table wait: it is missing"),
    "column": ("ALTER TABLE record DROP COLUMN codec", "column codec of table record: it is"),
    "index": ("DROP INDEX output_run", "index output_run: it is missing"),
}


@pytest.mark.parametrize("what", MISSING)
def test_g23_an_older_store_that_is_damaged_is_left_at_its_version(what: str, path: Path) -> None:
    scripts = [load_script("sqlite", script) for script in file.MIGRATIONS[:-1]]
    version = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(scripts)};"
    sql, said = MISSING[what]
    change(path, "\n".join([*scripts, version, sql]))
    with pytest.raises(StoreFormatError, match=said):
        connect(path)
    assert value(path, "PRAGMA user_version") == len(scripts)
    assert value(path, "SELECT count(*) FROM pragma_table_info('output')") == 6


# G23: what a file is


def test_g23_a_new_file_says_what_it_is(made: Path) -> None:
    assert value(made, "PRAGMA application_id") == APPLICATION_ID
    assert value(made, "PRAGMA user_version") == len(file.MIGRATIONS)
    assert value(made, "PRAGMA journal_mode") == "wal"


def test_g23_a_whole_store_is_known_by_its_digest(made: Path) -> None:
    with contextlib.closing(sqlite3.connect(made)) as connection:
        assert file.schema_digest(connection) == file.DIGEST
        connection.execute("DROP INDEX record_run")
        assert file.schema_digest(connection) != file.DIGEST


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    connect(path).close()
    connect_reader(path).close()


@pytest.mark.parametrize(("relaxed", "level"), [(False, 2), (True, 1)])
def test_durability_decides_about_fsync(path: Path, relaxed: bool, level: int) -> None:
    connection = connect(path, relaxed=relaxed)
    assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
    connection.close()


@pytest.mark.parametrize("opener", [connect, connect_reader])
def test_g23_a_newer_store_is_refused_and_left_untouched(made: Path, opener: object) -> None:
    change(made, "PRAGMA user_version = 99")
    before = contents(made)
    with pytest.raises(StoreFormatError, match="has schema version 99, but this perdure knows"):
        opener(made)  # type: ignore[operator]
    assert contents(made) == before


FOREIGN = {
    "with tables": "CREATE TABLE note (text); INSERT INTO note VALUES ('mine')",
    "with an id": "PRAGMA application_id = 252006674",
    "with a version": "PRAGMA user_version = 3",
    "in WAL mode": "PRAGMA journal_mode = WAL; CREATE TABLE note (text)",
}


@pytest.mark.parametrize("opener", [connect, connect_reader])
@pytest.mark.parametrize("kind", FOREIGN)
def test_g23_a_foreign_database_is_left_untouched(path: Path, kind: str, opener: object) -> None:
    change(path, FOREIGN[kind])
    before = contents(path)
    with pytest.raises(StoreFormatError, match="is an SQLite database of another program"):
        opener(path)  # type: ignore[operator]
    assert contents(path) == before


def test_g23_a_foreign_database_keeps_what_its_crashed_owner_left(tmp_path: Path) -> None:
    """Its write-ahead log is its own program's to recover."""
    source, path = tmp_path / "source.db", tmp_path / "copy" / "foreign.db"
    path.parent.mkdir()
    connection = sqlite3.connect(source, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE note (text)")
    shutil.copy(source, path)
    shutil.copy(f"{source}-wal", f"{path}-wal")
    connection.close()
    before = contents(path)
    with pytest.raises(StoreFormatError, match="of another program"):
        connect(path)
    after = contents(path)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize("opener", [connect, connect_reader])
@pytest.mark.parametrize(
    "content", [b"dear diary\n" * 500, b"SQLite format 3\x00" + b"\xff" * 4080]
)
def test_g23_what_is_no_database_is_left_untouched(
    path: Path, content: bytes, opener: object
) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreFormatError, match="is damaged or not an SQLite database"):
        opener(path)  # type: ignore[operator]
    assert contents(path) == {path.name: content}


@pytest.mark.parametrize("opener", [connect, connect_reader])
def test_what_a_crash_left_of_our_own_store_is_recovered(tmp_path: Path, opener: object) -> None:
    source, path = tmp_path / "source.db", tmp_path / "copy.db"
    connection = connect(source)
    connection.execute("INSERT INTO job (job, name, created_at) VALUES (1, 'job', 0)")
    shutil.copy(source, path)
    shutil.copy(f"{source}-wal", f"{path}-wal")
    connection.close()
    again = opener(path)  # type: ignore[operator]
    assert again.execute("SELECT name FROM job").fetchall() == [("job",)]
    again.close()


def test_g23_a_damaged_store_is_reported_by_name(made: Path) -> None:
    data = bytearray(made.read_bytes())
    data[100:4096] = b"\xee" * 3996
    made.write_bytes(data)
    with pytest.raises(StoreFormatError, match=r"journal\.db is damaged"):
        connect(made)
    assert made.read_bytes() == bytes(data)


@on_host
async def test_g23_damage_that_shows_up_later_is_reported_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    sample = SampleRows(await store.open("job"))
    await store.commit([sample.key(1), *(sample.run(n) for n in range(1, 200))])
    await store.close()
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:4096] + b"\xee" * (size - 4096))
    with pytest.raises(StoreFormatError, match=r"journal\.db is damaged"):
        await store.open("job")
    assert path.stat().st_size == size


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"folder of the store does not exist: .*nowhere"):
        connect(tmp_path / "nowhere" / "journal.db")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("url", ["sqlite:///a\0b.db", "a\0b.db", "sqlite:////\0"])
def test_a_name_that_no_file_can_have_is_refused_by_name(url: str) -> None:
    for take in (open_store, open_view, job_names):
        with pytest.raises(ConfigurationError, match="has a NUL character"):
            take(url)  # type: ignore[operator]


def test_a_name_with_half_of_a_character_is_refused_by_name() -> None:
    for take in (open_store, open_view, job_names):
        with pytest.raises(ConfigurationError, match=r"'sqlite:///\\ud800.db' has what no file"):
            take("sqlite:///\ud800.db")  # type: ignore[operator]


@pytest.mark.parametrize("url", [None, 5, Path("pp.db"), b"pp.db"])
def test_what_is_no_text_is_no_store(url: Any) -> None:
    for take in (open_store, open_view, job_names):
        such = "sqlite:///pp.db" if isinstance(url, Path) else "sqlite:///perdure.db"
        with pytest.raises(ConfigurationError, match=f"give its URL as a text, such as '{such}'"):
            take(url)  # type: ignore[operator]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "is not a regular file"),
        (lambda path: os.symlink("/dev/null", path), "is not a regular file"),
        (lambda path: os.symlink(path, path), "is a symbolic link that leads to itself"),
    ],
)
def test_what_is_no_file_is_no_store(make: Any, what: str, path: Path) -> None:
    make(path)
    for take in (connect, connect_reader):
        with pytest.raises(StoreError, match=f"the store {re.escape(str(path))} {what}"):
            take(path)
    with pytest.raises(StoreError, match=what):
        asyncio.run(SqliteStore(path).open("job"))
    assert os.listdir(path.parent) == [path.name]  # and nothing is left beside it


def test_what_means_something_else_to_sqlite_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("file:a.db", "file:b.db?mode=memory", ":memory:"):
        connect(Path(name)).close()
        connect_reader(Path(name)).close()
        assert (tmp_path / name).stat().st_size > 0
    assert len(os.listdir(tmp_path)) == 3


def test_memory_is_named_by_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for take in (open_store, open_view, job_names):
        with pytest.raises(ConfigurationError, match="use memory:// for a store in memory"):
            take("sqlite:///:memory:")  # type: ignore[operator]
    assert os.listdir(tmp_path) == []


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=tmp_path.name):
        connect(tmp_path)


def test_a_reader_makes_nothing(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        connect_reader(path)
    assert contents(path) == {}


# G23: migrations


NEXT = "CREATE TABLE extra (x INTEGER);\nUPDATE job SET name = name || '!';\n"


@pytest.fixture
def migration(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A version after this one; its script can be replaced in what this gives."""
    scripts = {"next.sql": NEXT}

    def script(backend: str, file: str) -> str:
        return scripts[file] if file in scripts else load_script(backend, file)

    monkeypatch.setattr(file, "MIGRATIONS", (*file.MIGRATIONS, "next.sql"))
    monkeypatch.setattr(file, "load_script", script)
    return scripts  # type: ignore[return-value]


@pytest.fixture
def older(made: Path) -> Path:
    """A store of the version before, with a job in it."""
    change(made, "INSERT INTO job (job, name, created_at) VALUES (1, 'old', 0)")
    return made


def test_g23_an_older_store_is_migrated(older: Path, migration: dict[str, str]) -> None:
    version = len(file.MIGRATIONS)
    connect(older).close()
    assert value(older, "PRAGMA user_version") == version
    assert value(older, "SELECT count(*) FROM extra") == 0
    assert value(older, "SELECT name FROM job") == "old!"
    connect(older).close()
    assert value(older, "SELECT name FROM job") == "old!", "it was migrated twice"


def test_g23_a_new_store_gets_every_migration(path: Path, migration: dict[str, str]) -> None:
    connect(path).close()
    assert value(path, "PRAGMA user_version") == len(file.MIGRATIONS)
    assert value(path, "SELECT count(*) FROM extra") == 0


@pytest.mark.parametrize("broken", ["UPDATE nothing SET x = 1;", "INSERT INTO job VALUES (1, 1);"])
def test_g23_a_failed_migration_is_undone(
    older: Path, migration: dict[str, str], broken: str
) -> None:
    version = value(older, "PRAGMA user_version")
    migration["next.sql"] = NEXT + broken
    with pytest.raises(StoreFormatError, match=r"journal\.db: the migration failed and was undone"):
        connect(older)
    assert value(older, "PRAGMA user_version") == version
    assert value(older, "SELECT name FROM job") == "old"
    assert value(older, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'") == 0
    migration["next.sql"] = NEXT
    connect(older).close()
    assert value(older, "SELECT name FROM job") == "old!"


def test_g23_a_reader_does_not_migrate(older: Path, migration: dict[str, str]) -> None:
    before = contents(older)
    with pytest.raises(StoreFormatError, match="is of an older version: run its job once"):
        connect_reader(older)
    assert contents(older) == before


# G22: one owner


HOLDER = """
import asyncio, sys
from pathlib import Path
from typing import Any
from perdure.store.sqlite.mark import log_path, mark_path
from perdure.store.sqlite.store import SqliteStore

async def hold():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open(sys.argv[2])
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(hold())
"""


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns job "job"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), "job"], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_g22_another_process_is_refused_until_the_owner_is_killed(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    async def second() -> None:
        store = SqliteStore(path)
        with pytest.raises(StoreLockedError, match=rf"job 'job' in .*\(pid {holder.pid}\)"):
            await store.open("job")
        other = SqliteStore(path)
        sample = SampleRows(await other.open("another job"))
        await other.commit([sample.key(1)])
        await other.close()
        assert await asyncio.to_thread(is_owned, path, "job")
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert not await asyncio.to_thread(is_owned, path, "job")
        await store.open("job")
        assert await asyncio.to_thread(is_owned, path, "job")
        await store.close()

    asyncio.run(second())
    assert not is_owned(path, "job")


@on_host
async def test_g22_a_second_store_of_this_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    first, second = SqliteStore(path), SqliteStore(path)
    await first.open("job")
    with pytest.raises(StoreLockedError, match=rf"\(pid {os.getpid()}\): stop that one first"):
        await second.open("job")
    await first.close()
    await second.open("job")
    await second.close()


@on_host
async def test_g22_two_jobs_of_one_file_run_side_by_side(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "journal.db") for _ in range(2)]
    samples = [SampleRows(await store.open(f"job {n}")) for n, store in enumerate(stores)]
    commits = [
        store.commit([sample.key(n), sample.run(n, key=n)])
        for n in range(1, 20)
        for store, sample in zip(stores, samples, strict=True)
    ]
    await asyncio.gather(*commits)
    for store, sample in zip(stores, samples, strict=True):
        assert [run.run for run in await store.unfinished()] == [
            sample.run_number(n) for n in range(1, 20)
        ]
        await store.close()


@on_host
async def test_g22_a_failed_opening_gives_the_job_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"dear diary\n" * 500)
    store = SqliteStore(path)
    with pytest.raises(StoreFormatError):
        await store.open("job")
    assert not await asyncio.to_thread(is_owned, path, "job")
    path.unlink()
    await store.open("job")
    await store.close()


@on_host
async def test_g22_commands_come_through_the_inbox(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    sample = SampleRows(await store.open("job"))
    assert await store.commands() == []
    assert await store.commands() is None
    await store.commit([sample.key(1), sample.run(1)])
    assert await store.commands() is None, "the owner's own writes are no news"

    async with open_view(f"sqlite:///{path}") as view:
        assert await view.is_owned("job")
        cancel = CommandRow(
            job=sample.job, run=sample.run_number(1), command="cancel", payload=None, at=1
        )
        await view.leave_commands([cancel])
    commands = await store.commands()
    assert commands is not None
    assert [(c.run, c.command) for c in commands] == [(sample.run_number(1), "cancel")]
    assert await store.commands() is None
    await store.close()


NAMES = [
    "a-b",
    "a/b",
    "a b",
    "a:b",
    "",
    "ä",
    "ö",
    "x" * 60,
    "x" * 61,
    "x" * 62,
    "../../up",
    "\udcff",
]


def test_names_of_jobs_do_not_meet_in_one_lock_file(path: Path) -> None:
    paths = [lock_path(path, name) for name in NAMES]
    # A job may even be called what another one's file is called.
    called = {found.name[len("journal.db-") : -len(".lock")] for found in paths}.difference(NAMES)
    paths += [lock_path(path, name) for name in called]
    assert called
    assert len(set(paths)) == len(paths)
    assert {found.parent for found in paths} == {path.parent}
    locks = [JobLock(path, name) for name in NAMES]
    for lock in locks:
        lock.release()
        lock.release()


def test_a_lock_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open the lock file .*nowhere"):
        JobLock(tmp_path / "nowhere" / "journal.db", "job")


def _link(path: Path, other: Path) -> None:
    path.symlink_to(other)


def _hard_link(path: Path, other: Path) -> None:
    path.hardlink_to(other)


def _dangling_link(path: Path, other: Path) -> None:
    path.symlink_to(other.with_name("nowhere"))


def _pipe(path: Path, other: Path) -> None:
    os.mkfifo(path)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize("make", [_link, _hard_link, _dangling_link, _pipe])
def test_a_lock_or_a_mark_that_leads_elsewhere_is_not_written_through(
    path: Path, make: Callable[[Path, Path], None]
) -> None:
    other = path.with_name("other")
    other.write_text("precious")
    lock = lock_path(path, "job")
    make(lock, other)
    with pytest.raises(StoreError, match=r"lock file .*is a link to another file, or no regular"):
        JobLock(path, "job")
    assert not is_owned(path, "job")
    lock.unlink()
    make(mark_path(lock), other)

    @on_host
    async def commit() -> None:
        store = SqliteStore(path)
        sample = SampleRows(await store.open("job"))
        await store.commit([sample.key(1)])
        await store.close()

    commit()
    assert other.read_text() == "precious"
    assert not other.with_name("nowhere").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such links")
def test_a_log_that_is_a_link_is_named(made: Path) -> None:
    log = log_path(made)
    log.symlink_to(made.with_name("elsewhere"))
    for opener in (connect, connect_reader):
        with pytest.raises(StoreError, match=rf"{log.name} is a symbolic link, which SQLite does"):
            opener(made)


def test_a_store_that_is_a_folder_is_named_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "stores"
    folder.mkdir()
    with pytest.raises(StoreError, match=r"stores is a folder: name a file in it, such as .*\.db"):
        asyncio.run(SqliteStore(folder).open("job"))
    assert [path.name for path in tmp_path.iterdir()] == ["stores"]
