"""A store that has lost its write-ahead log, or commits of it, says so (G5, G23)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, action
from perdure.cli.main import main
from perdure.errors import StoreError, StoreFormatError
from perdure.operate.history import History
from perdure.store.sqlite import file, mark
from perdure.store.sqlite.file import connect, job_names
from perdure.store.statements import load_script

NAME, JOB = "lost.db", "job"


class Echo(Agent):
    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(same, event.input)))


async def same(value: int) -> int:
    return value


KILLED = """
import asyncio, os, signal, sys
from tests.promises.test_lost_log import Echo, LocalEngine
async def main():
    engine = LocalEngine("sqlite:///" + sys.argv[1], job="job", config={"durability": sys.argv[2]})
    async with engine.open(Echo) as job:
        for n in range(int(sys.argv[3]), int(sys.argv[3]) + 30):
            await (await job.submit(n, key=n, id=str(n))).outputs()
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


# Killed between the first two commits of a life, the second of which is not made.
KILLED_AT_ONCE = """
from perdure.store.sqlite import mark
set_number, given = mark._set_number, []
def set_or_die(db, number):
    if given:
        os.kill(os.getpid(), signal.SIGKILL)
    given.append(number)
    set_number(db, number)
mark._set_number = set_or_die
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store whose process was killed right after commits."""
    folder = tmp_path_factory.mktemp("killed")
    _kill(folder, "strict")
    return folder


def _kill(folder: Path, durability: str, first: int = 0, before: str = "") -> None:
    script = KILLED.replace("async def main", f"{before}\nasync def main", 1)
    ended = subprocess.run(
        [sys.executable, "-c", script, str(folder / NAME), durability, str(first)],
        cwd=Path(__file__).parents[2], timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL


@pytest.fixture
def store(killed: Path, tmp_path: Path) -> Path:
    """A copy of all that the killed process has left."""
    shutil.copytree(killed, tmp_path / "store")
    return tmp_path / "store" / NAME


def beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def contents(path: Path) -> dict[str, bytes]:
    return {
        each.name: each.read_bytes()
        for each in sorted(path.parent.iterdir())
        if not each.name.endswith("-shm")  # what readers share
    }


def outputs(path: Path, count: int = 30) -> list[Any]:
    async def run() -> list[Any]:
        engine = LocalEngine(f"sqlite:///{path}", job=JOB)
        async with engine.open(Echo) as job:
            runs = [await job.submit(n, key=n, id=str(n)) for n in range(count)]
            found = [output.value for run in runs for output in await run.outputs()]
            assert job.progress.calls_made == 0  # nothing was lost
            return found

    return asyncio.run(run())


def refused(path: Path, kind: type[StoreError] = StoreFormatError) -> str:
    """Say how a store is refused, run or looked at; it is left as it was."""
    before = contents(path)
    with pytest.raises(kind) as run:
        outputs(path)
    with pytest.raises(kind) as looked, History.open(f"sqlite:///{path}"):
        pass
    assert main(["runs", "--store", f"sqlite:///{path}"]) == 1
    assert str(run.value) == str(looked.value)
    after = contents(path)
    for files in (before, after):
        files.pop(f"{NAME}-{JOB}.lock", None)  # says who holds it
    assert after == before
    return str(run.value)


def test_g23_after_a_crash_nothing_is_missing(store: Path) -> None:
    assert outputs(store) == list(range(30))
    LocalEngine(f"sqlite:///{store}", job=JOB).run(Echo, [1], key=int)
    assert outputs(store) == list(range(30))  # and after a clean end
    assert not beside(store, f"-{JOB}.mark").exists()


@pytest.mark.parametrize("with_mark", [True, False])
def test_g23_a_log_that_is_missing_is_noticed(store: Path, with_mark: bool) -> None:
    beside(store, "-wal").unlink()
    beside(store, "-shm").unlink()
    if not with_mark:  # as in a copy of the database file alone
        beside(store, f"-{JOB}.mark").unlink()
    said = refused(store)
    assert f"{store}-wal is missing" in said
    assert "\n" not in said


def test_g23_a_log_with_fewer_commits_is_noticed(store: Path) -> None:
    log = beside(store, "-wal")
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size // 2)
    assert "has lost commits" in refused(store)


def test_g23_a_log_without_its_last_commit_is_noticed(tmp_path: Path) -> None:
    # That commit has the end of a run with its output, and no row of a record.
    each_commit = "from perdure.store.sqlite import mark\nmark.FIRST = 1000"
    _kill(tmp_path, "strict", before=each_commit)
    log = beside(tmp_path / NAME, "-wal")
    frames = log.read_bytes()
    size = 24 + int.from_bytes(frames[8:12], "big")  # of a frame, behind the 32 bytes of the head
    starts = range(32, len(frames) - size + 1, size)
    commits = [at for at in starts if frames[at + 4 : at + 8] != bytes(4)]
    with log.open("r+b") as file:
        file.truncate(commits[-2] + size)
    assert "has lost commits" in refused(tmp_path / NAME)


def test_g23_an_empty_log_is_noticed_by_the_mark(store: Path) -> None:
    beside(store, "-wal").write_bytes(b"")
    mark_file = beside(store, f"-{JOB}.mark")
    assert f"delete {mark_file}" in refused(store)
    mark_file.unlink()  # who is told so may go on without
    with History.open(f"sqlite:///{store}") as history:
        history.jobs()


def _empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("change", [_empty, Path.unlink])
@pytest.mark.parametrize("left", ["-wal", f"-{JOB}.mark", "both"])
def test_g23_a_store_that_was_emptied_beside_its_log_is_noticed(
    change: Callable[[Path], None], left: str, store: Path
) -> None:
    change(store)
    beside(store, "-shm").unlink()
    for end in ("-wal", f"-{JOB}.mark"):
        if left not in (end, "both"):
            beside(store, end).unlink()
    assert job_names(store) == frozenset()
    said = refused(store, StoreFormatError if store.exists() else StoreError)
    assert f"{store} is {'empty' if store.exists() else 'missing'}" in said
    assert "\n" not in said
    removed = said.partition("begin anew, remove ")[2].removesuffix(" first").split(" and ")
    for each in removed:
        Path(each).unlink()
    LocalEngine(f"sqlite:///{store}", job=JOB).run(Echo, [1], key=int)  # who is told so may


def test_g23_a_store_that_is_made_just_now_is_not_taken_for_an_emptied_one(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, size = [0], mark._size
    monkeypatch.setattr(mark, "_size", lambda path: sizes.pop() if sizes else size(path))
    mark.check_not_emptied(store)
    assert not sizes


def test_g23_a_look_after_a_crash_is_no_loss(store: Path) -> None:
    with History.open(f"sqlite:///{store}") as history:
        assert history.counts(history.job(JOB))["completed"] == 30
    assert outputs(store) == list(range(30))


def test_g23_another_programs_look_after_a_crash_is_no_loss(store: Path) -> None:
    db = sqlite3.connect(store)
    assert db.execute("SELECT count(*) FROM run").fetchone() == (30,)
    db.close()  # takes the log into the database file, and removes it
    assert not beside(store, "-wal").exists()
    assert outputs(store) == list(range(30))


@pytest.mark.parametrize("looker", ["history", "runs", "signal", "names"])
def test_g23_a_look_after_a_crash_at_the_beginning_of_a_life_is_no_loss(
    looker: str, store: Path
) -> None:
    assert outputs(store) == list(range(30))
    _kill(store.parent, "strict", 30, KILLED_AT_ONCE)
    url = f"sqlite:///{store}"
    for _ in range(2):  # the one who looked closed it last, and so did away with the log
        if looker == "history":
            with History.open(url) as history:
                assert history.counts(history.job(JOB))["completed"] == 30
        elif looker == "names":
            assert job_names(store) == {JOB}
        else:
            asked = ["runs"] if looker == "runs" else ["signal", "r31", "go", "1"]
            main([*asked, "--store", url])
    assert outputs(store) == list(range(30))


def test_g23_another_jobs_life_after_a_crash_is_no_loss(store: Path) -> None:
    LocalEngine(f"sqlite:///{store}", job="other").run(Echo, [1], key=int)
    assert outputs(store) == list(range(30))


@pytest.mark.parametrize("last", ["job", "history"])
def test_g23_a_crash_at_the_beginning_of_a_life_beside_one_who_closes_later_is_no_loss(
    last: str, store: Path
) -> None:
    assert outputs(store) == list(range(30))
    url = f"sqlite:///{store}"

    async def another_job() -> None:
        async with LocalEngine(url, job="other").open(Echo) as job:
            await (await job.submit(1, key=1)).outputs()
            _kill(store.parent, "strict", 30, KILLED_AT_ONCE)

    if last == "job":
        asyncio.run(another_job())
    else:
        with History.open(url):
            _kill(store.parent, "strict", 30, KILLED_AT_ONCE)
    assert not beside(store, "-wal").exists()  # whoever closes last has SQLite do away with it
    with History.open(url) as history:
        assert history.counts(history.job(JOB))["completed"] == 30
    assert outputs(store) == list(range(30))


# Beside a job, another has a life from beginning to end. The log of then is kept.
BESIDE = """
import asyncio, os, shutil, signal, sys
from tests.promises.test_lost_log import Echo, LocalEngine
async def main():
    url = "sqlite:///" + sys.argv[1]
    async with LocalEngine(url, job="job").open(Echo) as job:
        await (await job.submit(0, key=0, id="0")).outputs()
        async with LocalEngine(url, job="other").open(Echo) as other:
            await (await other.submit(0, key=0)).outputs()
        shutil.copy(sys.argv[1] + "-wal", sys.argv[1] + ".early")
        for n in range(1, 30):
            await (await job.submit(n, key=n, id=str(n))).outputs()
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


@pytest.mark.parametrize("is_missing", [True, False])
def test_g23_a_log_that_lost_commits_of_a_job_beside_another_is_noticed(
    is_missing: bool, tmp_path: Path
) -> None:
    store = tmp_path / NAME
    ended = subprocess.run(
        [sys.executable, "-c", BESIDE, str(store)],
        cwd=Path(__file__).parents[2], timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    early = tmp_path / f"{NAME}.early"
    if is_missing:
        early.unlink()
        beside(store, "-wal").unlink()
    else:
        early.replace(beside(store, "-wal"))
    beside(store, "-shm").unlink()
    assert "is missing" in refused(store)


def test_g23_a_job_that_was_killed_keeps_its_mark_while_another_has_its_life(store: Path) -> None:
    mark_file = beside(store, f"-{JOB}.mark")
    before, counted = mark_file.read_text("ascii").split()[1:3]
    LocalEngine(f"sqlite:///{store}", job="other").run(Echo, [1], key=int)
    with sqlite3.connect(store) as db:
        life = db.execute("PRAGMA schema_version").fetchone()[0]
    db.close()
    assert mark_file.read_text("ascii").split()[1:3] == [str(life), counted]
    assert before != str(life)
    assert outputs(store) == list(range(30))


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A store of version 5 that a killed process left with two records and an output, all whole."""
    path = tmp_path / "older" / NAME
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        for script in file.MIGRATIONS[:5]:
            db.executescript(load_script("sqlite", script))
        db.execute(f"PRAGMA application_id = {file.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 5")
        db.execute("INSERT INTO job VALUES (1, ?, 0)", [JOB])
        db.executemany(
            "INSERT INTO record (run, event, action, n, kind, call, function, detail, started_at,"
            " at) VALUES (?, 0, '', 0, 13, 0, '', '', 0, 1)", [[1 << 40], [1 << 40]],
        )  # fmt: skip
        db.execute("INSERT INTO output VALUES (1, ?, 1, 'id', x'01', 1)", [1 << 40])
        db.execute("PRAGMA schema_version = 77")
    db.close()
    return path


def test_g23_an_older_store_that_lost_its_log_is_refused_before_it_is_migrated(
    older: Path,
) -> None:
    with sqlite3.connect(older) as db:
        db.execute(f"PRAGMA schema_version = {mark.HALF + 77}")
    db.close()
    assert f"{older}-wal is missing" in refused(older)


@pytest.mark.parametrize("records", [2, 3])
def test_g23_an_older_store_that_lost_commits_is_refused_before_it_is_migrated(
    records: int, older: Path
) -> None:
    mark_file = beside(older, f"-{JOB}.mark")
    mark_file.write_text(f"perdure-mark-1 77 {records} any\n", "ascii")
    if records == 3:  # outputs do not make up for a record: such a mark counts none
        assert "it has 2 records" in refused(older)
        return
    with contextlib.closing(connect(older)) as db:
        life = db.execute("PRAGMA schema_version").fetchone()[0]
    assert life != 77
    assert mark_file.read_text("ascii").split()[1:3] == [str(life), "2"]


@pytest.mark.parametrize("with_mark", [True, False])
def test_g23_a_backup_after_a_clean_end_is_put_back(
    store: Path, tmp_path: Path, with_mark: bool
) -> None:
    backup = tmp_path / NAME
    outputs(store)
    shutil.copy(store, backup)
    _kill(store.parent, "strict", 30)  # another life, whose mark stays
    for end in ("", "-wal", "-shm"):
        beside(store, end).unlink(missing_ok=True)
    if not with_mark:
        beside(store, f"-{JOB}.mark").unlink()
    shutil.copy(backup, store)
    assert outputs(store) == list(range(30))


@pytest.mark.parametrize("way", ["backup", "VACUUM INTO"])
def test_g23_a_backup_that_sqlite_makes_of_a_running_store_is_whole(
    store: Path, tmp_path: Path, way: str
) -> None:
    copied = tmp_path / NAME
    db = sqlite3.connect(store)
    if way == "backup":
        other = sqlite3.connect(copied)
        db.backup(other)
        other.close()
    else:
        db.execute("VACUUM INTO ?", (str(copied),))
    db.close()
    assert outputs(copied) == list(range(30))


def test_g23_a_relaxed_store_after_a_crash_of_the_machine_is_no_alarm(tmp_path: Path) -> None:
    path = tmp_path / NAME
    _kill(tmp_path, "relaxed")
    mark_file = beside(path, f"-{JOB}.mark")
    told = mark_file.read_text("ascii")
    with beside(path, "-wal").open("r+b") as file:  # what had not reached the disk
        file.truncate(beside(path, "-wal").stat().st_size // 2)
    boot = told.split()[-1]
    mark_file.write_text(told.replace(boot, "an-earlier-start"), "ascii")
    with History.open(f"sqlite:///{path}") as history:
        history.jobs()
    mark_file.write_text(told, "ascii")
    if boot != "unknown":
        with pytest.raises(StoreFormatError, match="lost commits"):
            History.open(f"sqlite:///{path}")


def test_the_mark_is_never_ahead_and_written_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / NAME
    monkeypatch.setattr(mark, "EVERY_SECONDS", 0.0)
    seen = []

    async def run() -> None:
        async with LocalEngine(f"sqlite:///{path}", job=JOB).open(Echo) as job:
            for n in range(5):
                await (await job.submit(n, key=n)).outputs()
                seen.append(int(beside(path, f"-{JOB}.mark").read_text("ascii").split()[2]))

    asyncio.run(run())
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_a_mark_that_is_a_pipe_says_nothing_and_is_not_waited_for(store: Path) -> None:
    mark = beside(store, f"-{JOB}.mark")
    mark.unlink()
    os.mkfifo(mark)
    assert outputs(store) == list(range(30))


def test_a_mark_that_is_half_written_says_nothing(store: Path) -> None:
    beside(store, f"-{JOB}.mark").write_bytes(b"perdure-mark-1 1 1")
    assert outputs(store) == list(range(30))
    assert os.path.exists(store)
