"""G22: one owner, by whatever path, in whatever process; and whose the files of a store are."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE
from tests.unit.action_driver import on_host

from perdure import Agent, InputEvent, action
from perdure.config.configuration import AgentExecutionOptions
from perdure.engine.local import LocalEngine
from perdure.errors import ConfigurationError, StoreError, StoreFormatError, StoreLockedError
from perdure.store import ownership
from perdure.store.ownership import JobLock, is_owned, lock_path
from perdure.store.sqlite import disk
from perdure.store.sqlite.disk import is_mounted
from perdure.store.sqlite.file import connect, connect_reader
from perdure.store.sqlite.memory_store import MemoryStore
from perdure.store.sqlite.store import SqliteStore
from perdure.testing.sample_rows import SampleRows

ROOT = Path(__file__).parents[2]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a process that prints what to wait for."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


# Paths


def _file_link(folder: Path, real: Path) -> Path:
    link = folder / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(real)
    return link


def _folder_link(folder: Path, real: Path) -> Path:
    (folder / "shortcut").symlink_to(real.parent, target_is_directory=True)
    return folder / "shortcut" / real.name


def _link_to_link(folder: Path, real: Path) -> Path:
    _file_link(folder, real)
    (folder / "again").symlink_to(folder / "elsewhere", target_is_directory=True)
    return folder / "again" / "link.db"


def _dots(folder: Path, real: Path) -> Path:
    return real.parent / ".." / real.parent.name / real.name


@pytest.mark.parametrize("exists", [True, False], ids=["there", "new"])
@pytest.mark.parametrize("other", [_file_link, _folder_link, _link_to_link, _dots])
@on_host
async def test_g22_a_store_has_one_owner_by_every_path(
    other: object, exists: bool, tmp_path: Path
) -> None:
    real = tmp_path / "real" / "journal.db"
    real.parent.mkdir()
    if exists:
        connect(real).close()
    link = other(tmp_path, real)  # type: ignore[operator]
    stores = [SqliteStore(real), SqliteStore(link)]
    for first, second in (stores, stores[::-1]):
        await first.open("job")
        with pytest.raises(StoreLockedError, match="is open in this process already"):
            await second.open("job")
        await second.open("another")
        await second.close()
        await first.close()
    assert not (tmp_path / "elsewhere" / f"{link.name}-job.lock").exists()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


@pytest.mark.parametrize("opener", [connect, connect_reader])
def test_g22_a_store_with_hard_links_is_refused_by_name(path: Path, opener: object) -> None:
    connect(path).close()
    second = path.with_name("second.db")
    os.link(path, second)
    for each in (path, second):
        with pytest.raises(
            StoreError, match=rf"the store .*{each.name} has 2 names \(hard links\)"
        ):
            opener(each)  # type: ignore[operator]
    second.unlink()
    opener(path).close()  # type: ignore[operator]


MOUNTS = rb"""
22 27 0:21 / /sys rw,nosuid shared:7 - sysfs sysfs rw
97 27 8:1 /home/a/s.db /app/s.db rw,relatime - ext4 /dev/sda1 rw
98 27 8:1 /home/a/b /app/a\040b\134.db rw - ext4 /dev/sda1 rw
cut off
"""


@pytest.mark.parametrize(
    ("file", "is_so"),
    [
        (b"/app/s.db", True),
        (rb"/app/a b\.db", True),
        (b"/app", False),
        (b"/home/a/s.db", False),
        (b"/app/s.db-wal", False),
        (b"off", False),
    ],
)
def test_what_linux_says_of_its_mounts_is_read(file: bytes, is_so: bool) -> None:
    assert is_mounted(file, MOUNTS) is is_so


@pytest.mark.parametrize("opener", [connect, connect_reader])
def test_g22_a_store_file_that_is_mounted_is_refused_by_name(
    path: Path, opener: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(path).close()
    link = path.with_name("link.db")
    link.symlink_to(path)
    monkeypatch.setattr(disk, "_mounts", lambda: b"9 2 8:1 /s.db %b rw - x x" % os.fsencode(path))
    for each in (path, link):
        with pytest.raises(StoreError, match=r"is a file that is mounted there.*mount the folder"):
            opener(each)  # type: ignore[operator]


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("mount"), reason="tells of mounts by /proc"
)
@on_host
async def test_g22_a_file_that_is_mounted_elsewhere_has_one_owner(tmp_path: Path) -> None:
    real, elsewhere = tmp_path / "s.db", tmp_path / "else where"
    elsewhere.mkdir()
    point = elsewhere / "s.db"
    point.touch()
    store = SqliteStore(real)
    await store.open("job")
    try:
        if subprocess.run(["mount", "--bind", real, point], check=False).returncode:
            pytest.skip("this user may mount nothing here")
        try:
            with pytest.raises(StoreError, match="is a file that is mounted there"):
                await SqliteStore(point).open("job")
        finally:
            subprocess.run(["umount", point], check=True)
    finally:
        await store.close()
    assert [each.name for each in elsewhere.iterdir()] == ["s.db"]


# Refusals


@on_host
async def test_g22_a_refusal_tells_two_threads_of_one_process(path: Path) -> None:
    store = SqliteStore(path)
    await store.open("job")
    said: list[str] = []

    def second() -> None:
        with pytest.raises(StoreLockedError) as refused:
            asyncio.run(SqliteStore(path).open("job"))
        said.append(str(refused.value))

    thread = threading.Thread(target=second)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "open in this process already, by another engine or thread" in said[0]
    assert f"(pid {os.getpid()})" in said[0]
    await store.close()


OWNER = """
import sys
from pathlib import Path
from perdure.store.ownership import JobLock
lock = JobLock(Path(sys.argv[1]), "job")
print("locked", flush=True)
sys.stdin.read()
"""


def test_g22_a_refusal_says_that_the_holder_lives(path: Path) -> None:
    owner = start(OWNER, str(path))
    try:
        assert line_of(owner) == "locked"
        with pytest.raises(StoreLockedError, match=rf"which is alive \(pid {owner.pid}\)"):
            JobLock(path, "job")
    finally:
        kill(owner.pid)
        owner.communicate()
    JobLock(path, "job").release()


def test_g22_who_comes_after_a_killed_holder_is_named_in_its_place(path: Path) -> None:
    for _ in range(2):
        owner = start(OWNER, str(path))
        try:
            assert line_of(owner) == "locked"
            assert lock_path(path, "job").read_bytes().startswith(b"%d\n" % owner.pid)
            with pytest.raises(StoreLockedError, match=rf"which is alive \(pid {owner.pid}\)"):
                JobLock(path, "job")
        finally:
            kill(owner.pid)
            owner.communicate()


KEPT = """
import subprocess, sys
from pathlib import Path
from perdure.store.ownership import JobLock
lock = JobLock(Path(sys.argv[1]), "job")
child = subprocess.Popen(["sleep", "600"], pass_fds=[lock._descriptor], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("pid", ["0", "-1", "9" * 23, str(1 << 31), "x", ""])
def test_g22_a_holder_whose_number_no_system_gave_is_unknown(pid: str, path: Path) -> None:
    owner = start(OWNER, str(path))
    try:
        assert line_of(owner) == "locked"
        ownership.lock_path(path, "job").write_text(f"{pid}\n1\n\n")
        with pytest.raises(StoreLockedError, match=r"by another process \(pid unknown\)"):
            JobLock(path, "job")
    finally:
        kill(owner.pid)
        owner.communicate()


def test_g22_a_holder_elsewhere_is_named_in_text_that_only_shows(path: Path) -> None:
    owner = start(OWNER, str(path))
    try:
        assert line_of(owner) == "locked"
        ownership.lock_path(path, "job").write_text("7\n1\nfar\x1b[2Jaway\n")
        with pytest.raises(StoreLockedError, match=r"a process of far\\x1b\[2Jaway \(pid 7\)"):
            JobLock(path, "job")
    finally:
        kill(owner.pid)
        owner.communicate()


@needs_fork
def test_g22_a_refusal_says_that_the_holder_has_ended_and_what_keeps_its_lock(path: Path) -> None:
    """What passes every descriptor on to a program cannot be kept from passing this one."""
    owner = start(KEPT, str(path))
    child = int(line_of(owner))
    try:
        kill(owner.pid)
        owner.communicate()
        with pytest.raises(StoreLockedError, match=rf"has ended \(pid {owner.pid}\), but one that"):
            JobLock(path, "job")
    finally:
        kill(child)


def test_g22_a_holder_whose_number_is_anothers_now_has_ended(path: Path) -> None:
    holder = ownership._Holder.this_process()
    assert holder.is_alive
    if holder.started:
        assert not ownership._Holder(holder.pid, "1").is_alive
    assert ownership._Holder(holder.pid, "", "elsewhere").is_elsewhere


@on_host
async def test_a_refused_store_leaves_no_lock_file(path: Path) -> None:
    path.write_bytes(b"dear diary\n" * 500)
    with pytest.raises(StoreFormatError):
        await SqliteStore(path).open("job")
    assert os.listdir(path.parent) == [path.name]
    path.unlink()
    store = SqliteStore(path)
    await store.open("job")
    await store.close()
    assert lock_path(path, "job").exists(), "it stays for the next owner"


def test_g22_a_lock_file_that_was_removed_meanwhile_is_no_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = JobLock(path, "job")
    locks = []

    def while_waiting(descriptor: int) -> None:
        monkeypatch.undo()
        failed.discard()  # its opening has failed, and its file is gone
        ownership._lock_soon(descriptor)
        locks.append(descriptor)

    monkeypatch.setattr(ownership, "_lock_soon", while_waiting)
    second = JobLock(path, "job")
    assert locks
    with pytest.raises(StoreLockedError):
        JobLock(path, "job")
    assert is_owned(path, "job")
    second.release()
    assert not is_owned(path, "job")


# Children


CHILDREN = {
    "fork": """
def child():
    pid = os.fork()
    if not pid:
        time.sleep(600)
    return pid
""",
    "multiprocessing": """
def child():
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=[600])
    process.start()
    return process.pid
""",
    "pool": """
def child():
    global pool
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    return pool.submit(os.getpid).result()
""",
    "thread": """
def child():
    global pool
    pool, pids = ProcessPoolExecutor(1, multiprocessing.get_context("fork")), []
    thread = threading.Thread(target=lambda: pids.append(pool.submit(os.getpid).result()))
    thread.start()
    thread.join()
    return pids[0]
""",
}
PARENT = """
import asyncio, multiprocessing, os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from perdure.store.sqlite.store import SqliteStore
{child}
async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open("job")
    print(child(), flush=True)
    if sys.argv[2] == "close":
        sys.stdin.readline()
        await store.close()
        print("closed", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@needs_fork
@pytest.mark.parametrize("end", ["kill", "close"])
@pytest.mark.parametrize("kind", CHILDREN)
def test_g22_a_forked_child_never_keeps_the_job(kind: str, end: str, path: Path) -> None:
    owner = start(PARENT.format(child=CHILDREN[kind]), str(path), end)
    child = int(line_of(owner))
    try:
        with pytest.raises(StoreLockedError, match="which is alive"):
            JobLock(path, "job")  # the parent has it still
        if end == "kill":
            kill(owner.pid)
            owner.wait(PATIENCE)
        else:
            assert owner.stdin is not None
            owner.stdin.write("\n")
            owner.stdin.flush()
            assert line_of(owner) == "closed"
        os.kill(child, 0)  # alive

        async def again() -> None:
            store = SqliteStore(path)
            await store.open("job")
            await store.close()

        asyncio.run(again())
    finally:
        kill(child)
        owner.kill()
        owner.communicate()


def in_child(work: object) -> str:
    """Return what `work` gives in a forked child of this process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            text = work()  # type: ignore[operator]
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("use", ["commit", "read", "open"])
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_g22_a_forked_child_cannot_use_an_open_store(kind: str, use: str, path: Path) -> None:
    store = SqliteStore(path) if kind == "sqlite" else MemoryStore()

    async def in_the_child() -> str:
        if use == "commit":
            await store.commit([])
        elif use == "read":
            await store.unfinished()
        else:
            await store.open("job")
        return "used it"

    async def main() -> None:
        sample = SampleRows(await store.open("job"))
        text = in_child(lambda: asyncio.run(asyncio.wait_for(in_the_child(), PATIENCE)))
        assert text.startswith("StoreError: ")
        assert "is open in the process that this one (pid" in text
        await store.commit([sample.key(1), sample.run(1)])  # the parent goes on
        assert len(await store.unfinished()) == 1
        await store.close()

    asyncio.run(main())


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_g22_a_forked_child_may_open_what_its_parent_has_closed(path: Path) -> None:
    store = SqliteStore(path)

    async def use() -> str:
        await store.open("job")
        await store.close()
        return "used it"

    asyncio.run(use())
    assert in_child(lambda: asyncio.run(use())) == "used it"
    asyncio.run(use())


@needs_fork
def test_g22_whoever_only_looks_leaves_no_child_the_lock(path: Path) -> None:
    """A fork waits until the look is over: a child of it would keep the lock for good."""
    JobLock(path, "job").release()
    children = []
    looking = threading.Event()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_owned(path, "job")
            looking.set()

    thread = threading.Thread(target=look)
    thread.start()
    looking.wait()
    try:
        for _ in range(20):
            pid = os.fork()
            if not pid:
                signal.pause()
            children.append(pid)
    finally:
        over.set()
        thread.join()
    try:
        JobLock(path, "job").release()
    finally:
        kill(*children)
        for pid in children:
            os.waitpid(pid, 0)


# Permissions


class Nothing(Agent):
    @action(InputEvent)
    async def nothing(self, event, ctx):
        pass


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mode", [None, "0640", "0660"])
def test_new_store_files_are_their_owners_alone_unless_asked_otherwise(
    mode: str | None, tmp_path: Path
) -> None:
    config = {} if mode is None else {AgentExecutionOptions.STORE_FILE_MODE: mode}
    engine = LocalEngine(f"sqlite:///{tmp_path}/journal.db", job="job", config=config)

    async def main() -> dict[str, int]:
        async with engine.open(Nothing()):
            return modes(tmp_path)

    found = asyncio.run(main())
    assert set(found) == {f"journal.db{end}" for end in ("", "-wal", "-shm", "-job.lock")}
    assert set(found.values()) == {int(mode or "0600", 8)}


@pytest.mark.usefixtures("umask")
@on_host
async def test_files_of_a_store_that_exist_keep_their_permissions(path: Path) -> None:
    connect(path, mode=0o644).close()
    store = SqliteStore(path)
    await store.open("job")
    assert modes(path.parent)["journal.db"] == 0o644
    assert modes(path.parent)["journal.db-wal"] == 0o644, "SQLite makes it as the store is"
    lock_path(path, "job").chmod(0o664)
    await store.close()
    await store.open("job")
    assert modes(path.parent)["journal.db-job.lock"] == 0o664
    await store.close()


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="store-file-mode must be one of 0600, 0640"):
        LocalEngine("memory://", config={"store-file-mode": "rw"})


def test_a_memory_store_that_refused_a_job_closes_what_it_opened() -> None:
    async def refused() -> MemoryStore:
        store = MemoryStore()
        with pytest.raises(ConfigurationError, match="half of a character"):
            await store.open("caf\udce9")
        return store

    others = set(threading.enumerate())
    store = asyncio.run(refused())
    connection = store._connection
    assert connection is not None
    for thread in set(threading.enumerate()) - others:  # it has what it did last until it ends
        thread.join(PATIENCE)
    del store
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
