"""Writing a batch of rows to SQLite: one statement for many rows of a kind.

Each step of a statement gives the interpreter lock back and takes it again. Under load that costs
more than the row, and the more the busier the event loop is. So rows go in by as few steps as can
be, of statements for 256 rows, 64, 16 and 4.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from perdure.codec.compressed import LARGE, compressed
from perdure.journal.record import Record
from perdure.store.base import PAYLOAD_FIELDS, ROW_ORDER, Row, StatusRow
from perdure.store.documents import DocumentRow
from perdure.store.sqlite.starts import joined, wide
from perdure.store.statements import load_statements

WRITE = load_statements("sqlite", "write.sql")
STARTED = "RecordWithStart"  # the statement where records have a START inside
SLOW = 64 * 1024  # bytes of a payload that is not compressed on the loop's thread: a millisecond
MANY = (256, 64, 16, 4)  # rows of one statement; SQLite binds 32,766 values (999 before 3.32)
_MOST_VALUES = 32_766 if sqlite3.sqlite_version_info >= (3, 32) else 999
_RANK = {kind: rank for rank, kind in enumerate(ROW_ORDER)}
_PAYLOADS = [
    tuple(map(kind._fields.index, PAYLOAD_FIELDS.get(kind, ())))  # type: ignore[attr-defined]
    for kind in ROW_ORDER
]
_VALUES = re.compile(r"VALUES\s*(\((?:\?,\s*)*\?\))")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit what is written inside, or take all of it back where it, or the commit, fails."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def write_rows(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write rows, kind by kind in their fixed order; the caller holds the transaction."""
    groups: list[list[Any]] = [[] for _ in ROW_ORDER]
    records, starts = groups[_RANK[Record]], False
    for row in rows:
        rank = _RANK[type(row)]
        for index in _PAYLOADS[rank]:
            payload: Any = row[index]
            if type(payload) is bytes and len(payload) > LARGE:
                row = type(row)._make((*row[:index], compressed(payload), *row[index + 1 :]))
        group = groups[rank]
        if group and isinstance(row, Record) and (both := joined(group[-1], row)) is not None:
            group[-1], starts = both, True
        else:
            group.append(row)
    if starts:
        records[:] = map(wide, records)
    for kind, group in zip(ROW_ORDER, groups, strict=True):
        if group:
            name = STARTED if starts and group is records else kind.__name__
            if len(group) == 1:
                connection.execute(WRITE[name], group[0])
            else:
                _write_group(connection, name, group)


def takes_time(row: Row) -> bool:
    """Say whether a row takes longer than the disk: it is not written on the loop's thread.

    A document may have the index of words tidied up; of a large payload it is the compressing.
    """
    if type(row) is DocumentRow:
        return True
    values: tuple[Any, ...] = row
    for index in _PAYLOADS[_RANK[type(row)]]:
        payload = values[index]
        if type(payload) is bytes and len(payload) > SLOW:
            return True
    return False


def _write_group(connection: sqlite3.Connection, kind: str, rows: list[Any]) -> None:
    if kind == StatusRow.__name__:
        # A statement for many rows sets each run once, in any order: the newest counts.
        rows = list({row.run: row for row in rows}.values())
    start, left = 0, len(rows)
    for size in MANY if left >= MANY[-1] else ():
        while left >= size and (sql := _many(kind, size)):
            connection.execute(sql, list(itertools.chain.from_iterable(rows[start : start + size])))
            start, left = start + size, left - size
    if left:
        connection.executemany(WRITE[kind], rows[start:])


@functools.cache
def _many(kind: str, size: int) -> str:
    """Return the statement for `size` rows of a kind, "" where there is none."""
    sql = WRITE.get(f"{kind}_many", WRITE[kind])
    match = _VALUES.search(sql)
    if match is None or match[1].count("?") * size > _MOST_VALUES:
        return ""
    return sql.replace(match[1], ", ".join([match[1]] * size), 1)
