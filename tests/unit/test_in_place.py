"""Files of an open store that are removed, moved or replaced: nothing goes on (G22, G25)."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.action_driver import on_host

from perdure.errors import StoreError, StoreLockedError
from perdure.store.ownership import has_open, is_since, lock_path
from perdure.store.sqlite import in_place
from perdure.store.sqlite.file import connect
from perdure.store.sqlite.mark import mark_path
from perdure.store.sqlite.store import SqliteStore
from perdure.testing.sample_rows import SampleRows

ROOT = Path(__file__).parents[2]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="tells of a process by /proc")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="an open file stays there")


@pytest.fixture(autouse=True)
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_place, "EVERY_SECONDS", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder / "journal.db"


def _remove(path: Path) -> None:
    path.unlink()


def _move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"another")
    other.replace(path)


def _cut_off(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("change", [_remove, _move_folder, _replace, _cut_off])
@on_host
async def test_g25_nothing_is_written_to_a_store_that_is_no_longer_there(
    path: Path, change: Callable[[Path], None]
) -> None:
    store = SqliteStore(path)
    sample = SampleRows(await store.open("job"))
    await store.commit([sample.key(1)])
    change(path)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"journal\.db was .* run the job again") as failed:
            await store.commit([sample.key(2)])
        assert failed.value.undone
        assert failed.value.is_final
        with pytest.raises(StoreError, match=r"journal\.db was "):
            await store.probe(1)
    await store.close()
    if change is _replace:
        assert path.read_bytes() == b"another"


@on_host
async def test_a_store_that_took_the_place_of_a_moved_one_keeps_its_files(path: Path) -> None:
    store = SqliteStore(path)
    sample = SampleRows(await store.open("job"))
    await store.commit([sample.key(1)])
    _move_folder(path)
    path.parent.mkdir()
    second = SqliteStore(path)
    with pytest.raises(StoreLockedError):
        await second.open("job")  # by its path: this process has it still
    mark = mark_path(lock_path(path, "job"))
    mark.write_text("another's")
    await store.close()
    assert mark.read_text() == "another's"


@on_host
async def test_what_others_do_with_a_store_in_good_order_is_no_alarm(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    store = SqliteStore(Path(path.name))
    sample = SampleRows(await store.open("job"))
    await store.commit([sample.key(1)])
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("VACUUM")
        with contextlib.closing(sqlite3.connect(path.with_name("copy.db"))) as copy:
            other.backup(copy)
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    monkeypatch.chdir("/")
    await store.commit([sample.key(2)])
    await store.close()


# The lock


OWNER = """
import asyncio, sys
from pathlib import Path
from perdure.store.sqlite.store import SqliteStore
from perdure.testing.sample_rows import SampleRows

async def hold():
    store = SqliteStore(Path(sys.argv[1]))
    sample = SampleRows(await store.open("job"))
    await store.commit([sample.key(1)])
    print("open", flush=True)
    await asyncio.sleep(600)

asyncio.run(hold())
"""


@pytest.fixture
def owner(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the job, and has committed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.communicate()


async def _reopen(path: Path) -> None:
    store = SqliteStore(path)
    await store.open("job")
    await store.close()


_open_and_close = on_host(_reopen)


@on_linux
@pytest.mark.parametrize("change", [_remove, _replace])
def test_g22_a_lock_file_that_was_removed_lets_nobody_in_beside_the_owner(
    path: Path, change: Callable[[Path], None], owner: subprocess.Popen[str]
) -> None:
    change(lock_path(path, "job"))

    @on_host
    async def second() -> None:
        for _ in range(2):
            with pytest.raises(StoreLockedError, match=rf"alive \(pid {owner.pid}\) though its l"):
                await SqliteStore(path).open("job")

    second()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    _open_and_close(path)


@pytest.mark.parametrize("change", [_remove, _replace])
def test_g22_a_restart_without_the_lock_file_is_not_refused(
    path: Path, change: Callable[[Path], None], owner: subprocess.Popen[str]
) -> None:
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    change(lock_path(path, "job"))
    _open_and_close(path)


@on_linux
@pytest.mark.parametrize("begun_at", [1, 0], ids=["began later", "has not got the store"])
def test_g22_a_process_that_was_given_the_number_of_the_last_owner_is_not_it(
    path: Path, begun_at: int
) -> None:
    _commit_and_close(path)
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            with contextlib.closing(connect(path)) as store:
                values = (other.pid, begun_at or time.time_ns())
                store.execute("UPDATE life SET pid = ?, begun_at = ?, ended_at = NULL", values)
            lock_path(path, "job").unlink()
            _open_and_close(path)
        finally:
            other.kill()


@on_host
async def _commit_and_close(path: Path) -> None:
    store = SqliteStore(path)
    sample = SampleRows(await store.open("job"))
    await store.commit([sample.key(1)])
    await store.close()


@on_linux
def test_whether_a_process_has_been_there_and_has_a_file_open(path: Path) -> None:
    assert is_since(os.getpid(), time.time_ns())
    assert not is_since(os.getpid(), 1)
    assert not is_since(1 << 22, time.time_ns())
    assert not has_open(os.getpid(), path)
    with path.open("w"):
        assert has_open(os.getpid(), path)
    assert not has_open(1 << 22, path)


@pytest.mark.parametrize("change", [_remove, _replace])
@on_host
async def test_g22_an_owner_that_has_lost_its_lock_file_writes_no_more(
    path: Path, change: Callable[[Path], None]
) -> None:
    store = SqliteStore(path)
    sample = SampleRows(await store.open("job"))
    await store.commit([sample.key(1)])
    lock = lock_path(path, "job")
    change(lock)
    with pytest.raises(StoreLockedError, match="open in this process already"):
        await SqliteStore(path).open("job")
    with pytest.raises(StoreError, match=rf"lock file {lock} was removed or replaced") as failed:
        await store.commit([sample.key(2)])
    assert failed.value.is_final
    await store.close()
    await _reopen(path)
