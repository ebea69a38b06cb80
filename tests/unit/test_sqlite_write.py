"""Rows go into SQLite by few statements, and statements for many rows only where they pay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from perdure.store.base import InputRow
from perdure.store.sqlite.write import MANY, PAYS, Written, commit_rows

FEW = MANY[-1]

TABLE = "CREATE TABLE input (job, source, id, run, digest)"


def inputs(numbers: range) -> list[InputRow]:
    return [InputRow(1, "", str(n), n, None) for n in numbers]


class Watched(sqlite3.Connection):
    """Remembers for how many rows each of its statements was."""

    sizes: list[int]

    def execute(self, sql: str, values: object = ()) -> sqlite3.Cursor:
        if sql.startswith("INSERT"):
            self.sizes.append(sql.count("(?"))
        return super().execute(sql, values)  # type: ignore[arg-type]


@pytest.fixture
def db() -> Iterator[Watched]:
    db = sqlite3.connect(":memory:", isolation_level=None, factory=Watched)
    db.sizes = []
    db.execute(TABLE)
    yield db
    db.close()


@pytest.mark.parametrize("before", [0, 10_000])
def test_every_number_of_rows_is_written_whole_and_in_order(db: Watched, before: int) -> None:
    written, at = Written(), before
    commit_rows(db, inputs(range(before)), written)
    for count in (1, 2, FEW, FEW + 1, 47, 256, 257, 1000):
        commit_rows(db, inputs(range(at, at + count)), written)
        at += count
    found = [run for (run,) in db.execute("SELECT run FROM input ORDER BY rowid")]
    assert found == list(range(at))


def test_a_statement_for_many_rows_is_prepared_once_it_would_have_paid(db: Watched) -> None:
    written = Written()
    commit_rows(db, inputs(range(300)), written)
    assert max(db.sizes) == 64  # 256 at once would take longer to prepare than they save
    db.sizes.clear()
    for n in range(30):
        commit_rows(db, inputs(range(300 * n + 300, 300 * n + 600)), written)
    assert max(db.sizes) == max(MANY)
    assert db.sizes[-3:] == [256, 32, 12]


def test_few_rows_are_one_statement_once_as_many_were_written_several_times(db: Watched) -> None:
    written = Written()
    for n in range(PAYS):
        assert db.sizes == []
        commit_rows(db, inputs(range(7 * n, 7 * n + 7)), written)
    assert db.sizes == [7]
