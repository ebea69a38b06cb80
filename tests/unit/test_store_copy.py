"""A store that may be read and not written is looked at whole, with its log, or says why not."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.cli.main import main
from perdure.errors import StoreError
from perdure.store.base import CommandRow
from perdure.store.ownership import Place
from perdure.store.sqlite import copy, view
from perdure.store.sqlite.copy import StoreCopy, may_write
from perdure.store.sqlite.file import connect
from perdure.store.sqlite.view import SqliteView


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """A store whose last commits are in its log alone."""
    path = tmp_path / "live" / "store.db"
    path.parent.mkdir()
    connection = connect(path)
    connection.execute("INSERT INTO job (name, created_at) VALUES ('in-the-log', 1)")
    yield path
    connection.close()


def write_job(path: Path, name: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO job (name, created_at) VALUES (?, 2)", (name,))
    connection.commit()
    connection.close()


def test_a_copy_has_what_is_in_the_log(live: Path) -> None:
    made = StoreCopy(live)
    with sqlite3.connect(made.path) as connection:
        assert connection.execute("SELECT name FROM job").fetchall() == [("in-the-log",)]
    connection.close()
    folder = made.path.parent
    made.close()
    assert not folder.exists()


def test_a_read_only_store_is_looked_at_and_followed(
    live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "may_write", lambda _path: False)
    before = {each.name for each in live.parent.iterdir()}

    async def look() -> None:
        async with SqliteView(Place(live)) as found:
            assert [job.name for job in (await found.jobs()).items] == ["in-the-log"]
            write_job(live, "later")
            assert [job.name for job in (await found.jobs()).items] == ["in-the-log", "later"]
            assert not await found.is_owned("later")
            command = CommandRow(job=1, run=1, command="cancel", payload=None, at=1)
            with pytest.raises(StoreError, match="can be read and not written"):
                await found.leave_commands([command])

    asyncio.run(look())
    assert {each.name for each in live.parent.iterdir()} == before


def test_a_store_without_a_log_is_copied_too(live: Path, tmp_path: Path) -> None:
    write_job(live, "second")
    whole = tmp_path / "whole.db"
    connection = sqlite3.connect(live)
    connection.execute("VACUUM INTO ?", (str(whole),))
    connection.close()
    made = StoreCopy(whole)
    connection = sqlite3.connect(made.path)
    assert connection.execute("SELECT count(*) FROM job").fetchone() == (2,)
    connection.close()
    made.close()


def test_a_log_that_begins_anew_meanwhile_is_not_mixed_with_another(
    live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = iter(range(1000))
    monkeypatch.setattr(copy, "_head", lambda _log: str(next(heads)).encode())
    with pytest.raises(StoreError, match="changes while it is copied"):
        StoreCopy(live)


def test_no_room_for_a_copy_is_said(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device", "copy.db")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StoreError, match="No space left on device; it takes the right to read"):
        StoreCopy(live)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="takes another user")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_another_user_looks_at_a_store(
    what: str, live: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in live.parents:
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o055)
    for each in live.parent.iterdir():
        each.chmod(0o644 if what == "file" else 0o666)
    live.parent.chmod(0o777 if what == "file" else 0o755)
    before = {each.name: each.stat().st_uid for each in live.parent.iterdir()}
    arguments = ["runs", "--store", f"sqlite:///{live}"]
    assert main(arguments) == 0  # imports what the other user may not read
    capsys.readouterr()
    os.setegid(65534)
    os.seteuid(65534)
    try:
        code = main(arguments)
    finally:
        os.seteuid(0)
        os.setegid(0)
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert "job in-the-log: no runs yet" in shown.out
    assert {each.name: each.stat().st_uid for each in live.parent.iterdir()} == before


def test_who_may_write_is_known(live: Path) -> None:
    assert may_write(live)
    assert not may_write(live.parent / "none.db")


def test_a_store_that_is_being_made_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.db"
    path.touch()
    assert main(["runs", "--store", f"sqlite:///{path}"]) == 1
    assert "look again in a moment" in capsys.readouterr().err
