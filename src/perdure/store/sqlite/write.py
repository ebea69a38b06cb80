"""Writing a batch of rows to SQLite: one statement for many rows of a kind.

Each step of a statement gives the interpreter lock back and takes it again, which takes a third of
the time of a row. So rows go in by as few steps as can be, of statements for up to 16 rows, 32, 64,
128 and 256. A statement for many rows has to be prepared first, which takes as long as its steps
save in a few times: each is used from when that would have paid by then.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import math
import operator
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from perdure.codec.compressed import LARGE, compressed
from perdure.journal.record import Record
from perdure.store.base import PAYLOAD_FIELDS, ROW_ORDER, OutputRow, Row, StatusRow
from perdure.store.documents import DocumentRow
from perdure.store.sqlite.ends import Ends, take_ends, with_ends
from perdure.store.sqlite.starts import with_starts
from perdure.store.statements import load_statements

WRITE = load_statements("sqlite", "write.sql")
STARTED = "RecordWithStart"  # the statement where records have a START inside
ENDED = "OutputRowWithEnd"  # the statement where outputs have a COMPLETED inside
SLOW = 64 * 1024  # bytes of payloads that are not compressed on the loop's thread: a millisecond
MANY = (256, 128, 64, 32, 16)  # and any fewer; SQLite binds 32,766 values (999 before 3.32)
PAYS = 4  # times that a statement could have been used by when it would have paid, roughly
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
    try:
        db.execute("BEGIN IMMEDIATE")  # Ctrl-C may be raised as it returns
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


class TakesTime(Exception):
    """Rows take longer to write than the loop's thread should be kept from the loop."""


class Step(NamedTuple):
    """A statement of SQLite with what is bound to it; of `many` rows it is run for each."""

    sql: str
    values: Sequence[Any]
    many: bool = False


class Written:
    """What a connection has written of each kind; it keeps its statements prepared.

    Attributes:
        large: bytes of large payloads and documents among it, as they are on the disk.
    """

    def __init__(self) -> None:
        self._uses: dict[tuple[str, int], int] = {}
        self.large = 0

    def pays(self, kind: str, size: int, times: int = 1) -> bool:
        """Say whether a statement for `size` rows of a kind pays, that is of use `times` now."""
        uses = self._uses[kind, size] = self._uses.get((kind, size), 0) + times
        return uses >= PAYS


def write_rows(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write rows, kind by kind in their fixed order; the caller holds the transaction."""
    _run(connection, _steps_of(rows, Written(), patient=True))


def commit_rows(
    connection: sqlite3.Connection,
    rows: Sequence[Row],
    written: Written,
    also: Callable[[sqlite3.Connection], None] | None = None,
    *,
    patient: bool = True,
) -> None:
    """Do what `write_rows` does in a transaction of its own, and `also` what else belongs to it.

    Args:
        connection: the store, in no transaction.
        rows: what is written.
        written: what the connection has written before.
        also: writes what else there is.
        patient: write whatever takes time too.

    Raises:
        TakesTime: documents, whose index of words may be tidied up; or much is to be compressed.
    """
    steps = _steps_of(rows, written, patient=patient)
    if len(steps) == 1 and not steps[0].many and also is None:
        _run(connection, steps)  # a statement outside a transaction is one
        return
    with transaction(connection):
        _run(connection, steps)
        if also is not None:
            also(connection)


def _run(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    for sql, values, many in steps:
        if many:
            connection.executemany(sql, values)
        else:
            connection.execute(sql, values)


def _steps_of(rows: Sequence[Row], written: Written, *, patient: bool) -> list[Step]:
    # Every row of a job passes here: what can be done for all of a kind at once, is.
    groups: collections.defaultdict[type, list[Any]] = collections.defaultdict(list)
    for row in rows:
        groups[type(row)].append(row)
    steps: list[Step] = []
    ends: Ends = {}
    left: float = math.inf if patient else SLOW
    if DocumentRow in groups:
        if not patient:
            raise TakesTime
        for document in groups[DocumentRow]:
            written.large += len(document.content or "") + len(document.embedding or b"")
    for kind in sorted(groups, key=_RANK.__getitem__):
        group, name = groups[kind], kind.__name__
        left -= _compress(kind, group, left, written)
        if kind is Record:
            if (wide := with_starts(group)) is not None:
                group, name = wide, STARTED
            if OutputRow in groups and StatusRow in groups:
                group, ends = take_ends(group, groups[OutputRow], groups[StatusRow])
                if not group:
                    continue
        elif kind is OutputRow:
            group, name = with_ends(group, ends), ENDED if ends else name
        if len(group) == 1:
            steps.append(Step(WRITE[name], group[0]))
        else:
            _add_steps(steps, name, group, written)
    return steps


def _compress(kind: type, group: list[Any], most: float, written: Written) -> int:
    """Compress the large payloads of rows of a kind, in place; return how many bytes they had.

    Raises:
        TakesTime: they have more than `most`.
    """
    done = 0
    for index in _PAYLOADS[_RANK[kind]]:
        sizes = map(len, filter(None, map(operator.itemgetter(index), group)))
        if max(sizes, default=0) <= LARGE:
            continue
        for at, payload in enumerate(map(operator.itemgetter(index), group)):
            if type(payload) is bytes and len(payload) > LARGE:
                done += len(payload)
                if done > most:
                    raise TakesTime
                row, kept = group[at], compressed(payload)
                written.large += len(kept)
                group[at] = row._make((*row[:index], kept, *row[index + 1 :]))
    return done


def _add_steps(steps: list[Step], kind: str, rows: list[Any], written: Written) -> None:
    """Add what writes rows of one kind, in as few steps as pay."""
    if kind == StatusRow.__name__:
        # A statement for many rows sets each run once, in any order: the newest counts.
        rows = list({row.run: row for row in rows}.values())
    start, left = 0, len(rows)
    for size in (*MANY, left % MANY[-1]):
        if left >= size > 1 and written.pays(kind, size, left // size):
            sql = _many(kind, size)
            while sql and left >= size:
                chosen = rows[start : start + size]
                steps.append(Step(sql, list(itertools.chain.from_iterable(chosen))))
                start, left = start + size, left - size
    if left:
        steps.append(Step(WRITE[kind], rows[start:], many=True))


@functools.cache
def _many(kind: str, size: int) -> str:
    """Return the statement for `size` rows of a kind, "" where there is none."""
    sql = WRITE.get(f"{kind}_many", WRITE[kind])
    match = _VALUES.search(sql)
    if match is None or match[1].count("?") * size > _MOST_VALUES:
        return ""
    return sql.replace(match[1], ", ".join([match[1]] * size), 1)
