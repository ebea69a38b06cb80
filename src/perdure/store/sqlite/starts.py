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
_RULES = Record._fields.index("rules")
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
            found[-1] = (*record[:_RULES], start.rules, record.waited, start.at, start.version)
            start = None
        else:
            start = record if kind == _START else None
            found.append(record)
    if not inside:
        return None
    return [row if len(row) > _WIDTH else (*row, *_NONE_INSIDE) for row in found]


def apart(record: Record, start_at: int | None, start_n: int | None) -> list[Record]:
    """Return the records that a row stands for, as it is read.

    Raises:
        ValueError: no such row can have been written.
    """
    if start_at is None and start_n is None:
        return [record]
    if start_at is None or start_n is None or record.kind not in CARRIES_START:
        raise ValueError("it has a START inside that is none")
    if start_at < 0 or start_n < 0:
        raise ValueError(f"the START inside says {start_at} and {start_n}")
    run, event, action = record[:3]
    start = Record.start(run, event, action, version=start_n, at=start_at, rules=record.rules)
    return [start, record._replace(rules=None)]
