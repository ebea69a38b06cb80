"""Messages that help: what went wrong, where, and what to do next, in one line."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio.to_thread
import pytest
from tests.patience import PATIENCE

from perdure import Agent, EncodeError, InputEvent, LocalEngine, RunsFailedError
from perdure.cli.main import main
from perdure.errors import StoreError
from perdure.store.sqlite.file import connect, connect_reader

RAN: list[int] = []


def agent_of(func: Any) -> Agent:
    return Agent().add_action("go", [InputEvent], func)


async def nothing(event: Any, ctx: Any) -> None: ...


async def on_a_thread_of_anyio(event: Any, ctx: Any) -> None:
    await anyio.to_thread.run_sync(RAN.append, 1)


async def connects_itself(event: Any, ctx: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.open_connection("127.0.0.1", 9))


def said_of(func: Any) -> str:
    """Return what is said of a run that fails."""
    with pytest.raises(RunsFailedError) as failed:
        LocalEngine("memory://").run(agent_of(func), [1], key=str)
    return str(failed.value)


def test_anyio_to_thread_is_named_and_leaves_no_traceback_of_its_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    RAN.clear()
    printed: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # pytest's has all
    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=printed.append, flush=lambda: None))
    said = said_of(on_a_thread_of_anyio)
    assert "ActionLoopError: go: anyio.to_thread was used in the action: its function ran" in said
    assert "ctx.durable_execute_async(function, ...)" in said
    assert RAN == [1]
    for thread in threading.enumerate():  # one that lives on would keep the process from its end
        if thread.name == "AnyIO worker thread":
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert "Traceback" not in "".join(printed)


def test_what_is_in_a_group_is_said() -> None:
    said = said_of(connects_itself)
    assert "ActionLoopError: go: loop.create_connection() is I/O" in said
    assert "ctx.durable_execute_async" in said


def test_an_input_that_is_too_deep_is_said_with_the_reason_first() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(EncodeError, match=r"journaled: nested more than 100 levels .*\(at value\["):
        LocalEngine("memory://").run(agent_of(nothing), [deep], key=lambda _: "k")


def test_an_input_of_a_class_that_is_not_known_is_told_what_it_can_do() -> None:
    made = dataclasses.make_dataclass("Made", ["x"], namespace={"__module__": "elsewhere"})
    with pytest.raises(EncodeError) as refused:
        LocalEngine("memory://").run(agent_of(nothing), [made(1)], key=lambda _: "k")
    assert "call perdure.register_type on it" in str(refused.value)
    assert "or pass plain data" in str(refused.value)


def test_a_store_that_is_being_made_is_no_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    path.touch()
    with pytest.raises(StoreError, match="if a job is making it now, look again in a moment"):
        connect_reader(path)
    with sqlite3.connect(path) as making:
        making.execute("PRAGMA journal_mode = WAL")
        making.execute("BEGIN IMMEDIATE")
        making.execute("CREATE TABLE job (job)")
        with pytest.raises(StoreError, match="if a job is making it now"):
            connect_reader(path)
        making.execute("ROLLBACK")
    making.close()


@pytest.mark.parametrize("command", [["runs"], ["show", "r1"], ["inbox"]])
def test_a_folder_is_no_store(command: list[str], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "sub").mkdir()
    assert main([*command, "--store", f"sqlite:///{tmp_path}"]) == 1
    said = capsys.readouterr().err
    assert f"the store {tmp_path} is a folder: name a file in it, such as" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("opens", [connect, connect_reader])
def test_what_cannot_be_opened_is_said_with_folder_and_right(
    opens: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    connect(path).close()

    def refuses(*_: Any, **__: Any) -> Any:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    monkeypatch.setattr(sqlite3, "connect", refuses)
    with pytest.raises(StoreError, match=f"{path} cannot be opened: .*{tmp_path}"):
        opens(path)


def test_a_store_that_is_refused_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "no.db"
    path.write_text("no database")
    with pytest.raises(StoreError, match="damaged or not an SQLite database"):
        LocalEngine(f"sqlite:///{path}").run(agent_of(nothing), [1], key=str)
    assert [each.name for each in tmp_path.iterdir()] == ["no.db"]


def test_attempts_are_counted_in_one_way(tmp_path: Path, capsys: Any) -> None:
    store = f"sqlite:///{tmp_path}/a.db"
    LocalEngine(store).run(agent_of(nothing), [1], key=str)
    assert main(["runs", "--store", store]) == 0
    table = capsys.readouterr().out.splitlines()
    shown = dict(zip(table[0].split(), table[1].split(), strict=False))
    assert main(["runs", "--json", "--store", store]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert main(["show", "r1", "--json", "--store", store]) == 0
    detail = json.loads(capsys.readouterr().out)["run"]
    assert (shown["attempts"], runs[0]["attempts"], detail["attempts"]) == ("1", 1, 1)
