"""COMPLETED in the row of the output that it came with: one row less for each run.

That is so of a run's last action, so that its time is that of the run's end, and few records come
behind it, such as a signal that was on its way. Nobody but this store knows: see `starts`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from perdure.journal.record import Record, RecordKind
from perdure.store.row_types import OutputRow, StatusRow
from perdure.store.sqlite import rows as kinds

__all__ = ["read_ends", "take_ends", "with_ends"]

# That an action did nothing but one output, the first of its run; not to be changed.
ONE_OUTPUT = b"\x96\x90\x90\x90\x01\x01\x90"

_RUN, _N, _KIND, _PAYLOAD, _AT = map(Record._fields.index, ("run", "n", "kind", "payload", "at"))
_WIDTH = len(Record._fields)
_COMPLETED = int(RecordKind.COMPLETED)
_NO_END = (None, None, None, None)
_ID_BYTES = 16  # of an output's id

Ends = dict[int, Sequence[Any]]  # rows of records, by the index of the output that each goes to


def take_ends(
    records: list[Any], outputs: Sequence[OutputRow], statuses: Sequence[StatusRow]
) -> tuple[list[Any], Ends]:
    """Return the rows of records that stay such, and those that go with outputs of their commit.

    Args:
        records: as they are written, in their order; what has a START inside is wider, and stays.
        outputs: those of the same commit.
        statuses: the same.
    """
    ended = {row.run: row.finished_at for row in statuses if row.status == kinds.COMPLETED}
    last = {row.run: at for at, row in enumerate(outputs) if row.run in ended}
    if not last:
        return records, {}
    kept, ends = [], {}
    for record in reversed(records):
        at = ended.pop(record[_RUN], None)  # so the last of each run alone is looked at
        if at is not None and record[_KIND] == _COMPLETED and record[_AT] == at:
            output = last.get(record[_RUN])
            if output is not None and record[_WIDTH:] in ((), (None, None)):
                ends[output] = record
                continue
        kept.append(record)
    kept.reverse()
    return kept, ends


def with_ends(outputs: Sequence[OutputRow], ends: Ends) -> list[tuple[Any, ...]]:
    """Return rows of outputs as they are written, with what `take_ends` found for them, if any."""
    rows: list[tuple[Any, ...]] = [
        (run, number, _packed(id_), value, delivered)
        for run, number, id_, value, delivered in outputs
    ]
    if not ends:
        return rows
    return [(*row, *_end(row, ends.get(at))) for at, row in enumerate(rows)]


def _end(row: tuple[Any, ...], record: Sequence[Any] | None) -> tuple[Any, ...]:
    if record is None:
        return _NO_END
    payload = record[_PAYLOAD]
    if payload == ONE_OUTPUT and row[1] == 1:
        payload = b""
    return (record[1], record[2], record[_N], payload)


def _packed(id_: str) -> str | bytes:
    """Return the id of an output as its column holds it; the statements that read it know."""
    if len(id_) == 2 * _ID_BYTES:
        try:
            packed = bytes.fromhex(id_)
        except ValueError:
            return id_
        if packed.hex() == id_:
            return packed
    return id_


def _record(end: kinds.End) -> Record:
    payload = end.end_payload or ONE_OUTPUT
    return Record.completion_of(
        end.run, end.end_event, end.end_action, end.end_n, payload, end.finished_at
    )


def read_ends(
    db: sqlite3.Connection, store: object, sql: str, runs: Collection[int]
) -> dict[int, tuple[Record, int]]:
    """Return the COMPLETED records that are in rows of outputs, by run.

    Each with how many of the other records of its run came before it.

    Args:
        db: the store.
        store: the same, for messages.
        sql: the statement `ends`.
        runs: numbers of the runs.

    Raises:
        StoreFormatError: one is damaged.
        StoreError: they cannot be read.
    """
    ends = kinds.ENDS.read_many(db, store, sql, runs)
    return {end.run: (_record(end), end.before) for end, _ in ends}
