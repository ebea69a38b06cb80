"""START in the row of the record that follows it: one row less for each action.

A row of the table may so stand for two records. Nobody but this store knows: what is written is
joined here, and what is read comes apart again.
"""

from __future__ import annotations

from typing import Any

from perdure.journal.record import SETTLEMENTS, Record, RecordKind

CARRIES_START = SETTLEMENTS | {RecordKind.COMPLETED}

_WIDTH = len(Record._fields)
_KIND = Record._fields.index("kind")
_STARTED_AT = Record._fields.index("started_at")
_START = int(RecordKind.START)
_NONE_INSIDE = (None, None)


def with_starts(records: list[Record]) -> list[tuple[Any, ...]] | None:
    """Return rows in which each START is inside of the record that follows it, as far as it can be.

    Args:
        records: as they are written, in their order.

    Returns:
        Rows with the columns of a START; None where none is inside of another record.
    """
    found: list[tuple[Any, ...]] = []
    start: Record | None = None  # where the last row is one
    inside = False
    for record in records:
        kind = record[_KIND]
        if start is not None and kind in CARRIES_START and start[:3] == record[:3]:
            inside = True
            found[-1] = _row(start, record)
            start = None
        else:
            start = record if kind == _START else None
            found.append(record)
    if not inside:
        return None
    return [row if len(row) > _WIDTH else (*row, *_NONE_INSIDE) for row in found]


def _row(start: Record, record: Record) -> tuple[Any, ...]:
    """Return the row of a record with a START inside; times in it are less than `at` as a rule."""
    at, started_at, start_at = record.at, record.started_at, start.at
    if 0 < started_at < at:
        started_at -= at
    if 0 < start_at < at:
        start_at -= at
    values = (started_at, at, start.rules, record.waited, start_at, start.version)
    return (*record[:_STARTED_AT], *values)


def apart(record: Record, start_at: int | None, start_n: int | None) -> list[Record]:
    """Return the records that a row stands for, as it is read.

    Raises:
        ValueError: no such row can have been written.
    """
    if start_at is None and start_n is None:
        if record.started_at < 0:
            raise ValueError(f"started_at is {record.started_at}")
        return [record]
    if start_at is None or start_n is None or record.kind not in CARRIES_START:
        raise ValueError("it has a START inside that is none")
    if start_n < 0:
        raise ValueError(f"the START inside says {start_n}")
    start_at, started_at = _time(start_at, record.at), _time(record.started_at, record.at)
    run, event, action = record[:3]
    start = Record.start(run, event, action, version=start_n, at=start_at, rules=record.rules)
    return [start, record._replace(started_at=started_at, rules=None)]


def _time(stored: int, at: int) -> int:
    """Return a time of a row whose own is `at`, which 0 is where it was lost."""
    if stored >= 0:
        return stored
    time = at + stored
    if at and time <= 0:
        raise ValueError(f"the START inside says {stored}")
    return max(time, 0)
