"""The last COMPLETED of a run in the row of its output, and numbers of fewer bytes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, OutputEvent
from perdure.errors import StoreFormatError
from perdure.journal.record import Completion, Record, RecordKind, encode_completion
from perdure.operate.history import History
from perdure.store.base import OutputRow, Row, RunRow, StatusRow
from perdure.store.sqlite.ends import ONE_OUTPUT
from perdure.store.sqlite.file import connect
from perdure.store.sqlite.rows import COMPLETED, FINAL
from perdure.store.sqlite.view import SqliteView
from perdure.store.sqlite.write import Written, commit_rows
from perdure.store.url import open_store

RUN, AT, ID = (1 << 40) + 1, 1_767_225_600_000_000_000, "0123456789abcdef" * 2
DONE = Record.completion_of(RUN, 0, "go", 1, b"\x96did", AT)
ENDED = StatusRow(COMPLETED, 0, 0, None, AT, RUN)


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(connect(None)) as db:
        run = RunRow(RUN, 1, RUN, 1, "", b"", 1, RUN, 0, None, AT - 5, 0)
        commit_rows(db, [run], Written())
        yield db


def output(number: int = 1, id: str = ID, run: int = RUN) -> OutputRow:
    return OutputRow(run=run, number=number, id=id, value=b"v", delivered=0)


def written(db: sqlite3.Connection, *rows: Row) -> tuple[list[Any], list[Any]]:
    commit_rows(db, rows, Written())
    kinds = [kind for (kind,) in db.execute("SELECT kind FROM record ORDER BY number")]
    return kinds, [row for (row,) in db.execute("SELECT end_payload FROM output ORDER BY position")]


def test_the_last_completion_of_a_run_is_in_the_row_of_its_last_output(
    db: sqlite3.Connection,
) -> None:
    rows = [output(1), output(2), DONE, ENDED]
    assert written(db, *rows) == ([], [None, b"\x96did"])


def test_nothing_but_a_first_output_takes_no_bytes(db: sqlite3.Connection) -> None:
    did = Completion(events=[], sensory=[], short_term=[], outputs=1, created=1)
    assert encode_completion(did) == ONE_OUTPUT
    assert written(db, DONE._replace(payload=ONE_OUTPUT), output(1), ENDED) == ([], [b""])


START = Record.start(RUN, 0, "go", version=0, at=AT, rules=2)
OTHER = Record.signal(RUN, "s", b"v", AT)
STAY: dict[str, list[Row]] = {
    "the run goes on": [DONE, output(), ENDED._replace(status=2)],
    "it failed": [DONE, output(), ENDED._replace(status=FINAL + 1)],
    "no output": [DONE, ENDED],
    "another run's output": [DONE, output(run=RUN + 1), ENDED],
    "another run's end": [DONE, output(), ENDED._replace(run=RUN + 1)],
    "an end later than the record": [DONE, output(), ENDED._replace(finished_at=AT + 1)],
    "a START inside": [START, DONE, output(), ENDED],
    "a record behind it": [DONE, OTHER, output(), ENDED],
    "an outcome is the last": [DONE._replace(kind=RecordKind.RESULT), output(), ENDED],
}


@pytest.mark.parametrize("rows", STAY.values(), ids=STAY)
def test_any_other_completion_has_its_own_row(db: sqlite3.Connection, rows: list[Row]) -> None:
    assert [each for each in written(db, *rows)[1] if each is not None] == []
    wanted = [row for row in rows if isinstance(row, Record) and row.kind != RecordKind.START]
    assert len(wanted) == db.execute("SELECT count(*) FROM record").fetchone()[0]


@pytest.mark.parametrize(
    ("id_", "kept"),
    [
        (ID, bytes.fromhex(ID)),
        *(
            (each, each)
            for each in (ID.upper(), ID[:-1] + "g", ID[:-2], "é" * 32, " " + ID[1:], "")
        ),
    ],
)
def test_an_id_is_kept_as_bytes_where_it_is_these_in_hexadecimal(
    id_: str, kept: str | bytes, db: sqlite3.Connection
) -> None:
    written(db, output(id=id_))
    assert db.execute("SELECT id FROM output").fetchall() == [(kept,)]


@pytest.mark.parametrize(("since", "kept"), [(5, -5), (0, AT), (-5, AT)])
def test_the_end_of_a_run_is_kept_as_a_difference_where_it_is_later(
    since: int, kept: int, db: sqlite3.Connection
) -> None:
    db.execute("UPDATE run SET admitted_at = ?", [AT - since])
    written(db, ENDED)
    assert db.execute("SELECT finished_at FROM run").fetchall() == [(kept,)]
    more = [ENDED, ENDED._replace(run=RUN + 1)]  # a statement for several
    db.execute("UPDATE run SET finished_at = 0")
    written(db, *more)
    assert db.execute("SELECT finished_at FROM run").fetchall() == [(kept,)]


@pytest.mark.parametrize(
    ("times", "kept"),
    [((3, 2), (-2, -3)), ((0, 0), (AT, AT)), ((-1, -1), (AT + 1, AT + 1)), ((3, None), (0, -3))],
)
def test_times_of_a_row_with_a_start_inside_are_differences_where_they_are_earlier(
    times: tuple[int, int | None], kept: tuple[int, int], db: sqlite3.Connection
) -> None:
    start, began = times
    call = Record.of_call(RUN, 0, "go", 1, "f", b"d", "").returned(
        b"v", 0 if began is None else AT - began
    )
    written(db, START._replace(at=AT - start), call.settled(1, AT))
    assert db.execute("SELECT started_at, start_at FROM record").fetchall() == [kept]


# From a job to its journal


async def go(event: Any, ctx: Any) -> None:
    found = await ctx.durable_execute_async(len, "four")
    ctx.send_event(OutputEvent(output=found))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    agent = Agent().add_action("go", [InputEvent], go)
    LocalEngine(f"sqlite:///{path}", job="job").run(agent, ["x"], key=len)
    return path


async def journal(path: Path) -> list[Record]:
    view = open_store(f"sqlite:///{path}").view()
    assert isinstance(view, SqliteView)
    await view.open()
    try:
        return await view.records(RUN)
    finally:
        await view.close()


def test_a_run_that_ended_has_one_row_of_a_record_and_three_records(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as db:
        assert db.execute("SELECT count(*) FROM record").fetchone() == (1,)
        assert db.execute("SELECT place FROM run").fetchone() == (0,)
    start, result, done = asyncio.run(journal(store))
    assert [start.kind, result.kind, done.kind] == [1, 2, 7]
    assert start.at <= result.started_at <= result.at <= done.at
    assert done.completion.outputs == done.version == 1


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE output SET end_event = 'x'", "end_event is text, not a number"),
        ("UPDATE output SET end_action = x'ff'", "end_action is bytes, not text"),
        ("UPDATE output SET end_action = CAST(x'ff' AS TEXT)", "end_action is no UTF-8 text"),
        ("UPDATE output SET end_action = NULL", "end_action is NULL, not text"),
        ("UPDATE output SET end_action = ''", "end_action is empty"),
        ("UPDATE output SET end_n = -1", "end_n is -1"),
        ("UPDATE output SET end_n = NULL", "end_n is NULL, not a number"),
        ("UPDATE output SET end_payload = NULL", "end_payload is NULL, not bytes"),
        ("UPDATE output SET end_behind = NULL", "end_behind is NULL, not a number"),
        ("UPDATE output SET number = 2", "end_payload is empty"),
        ("UPDATE record SET started_at = -1, start_at = NULL, start_n = NULL", "started_at is -1"),
        ("UPDATE record SET start_at = -at", "the START inside says"),
        ("UPDATE record SET started_at = -at - 5", "the START inside says"),
    ],
)
def test_g23_an_end_that_is_damaged_is_named(sql: str, said: str, store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute(sql)
        db.commit()
    with pytest.raises(StoreFormatError, match=f"output . of run r1: {said}|run r1, act.*{said}"):
        asyncio.run(journal(store))


def test_g23_an_end_before_its_run_began_is_named(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("UPDATE run SET status = 5, finished_at = -5")
        db.commit()
    with (
        History.open(f"sqlite:///{store}") as history,
        pytest.raises(StoreFormatError, match="run r1: finished_at is -5"),
    ):
        history.run(history.job("job"), "r1")
