"""START in the row of the record that follows it: one row less for each action.

A row of the table may so stand for two records. Nobody but this store knows: what is written is
joined here, and what is read comes apart again.
"""

from __future__ import annotations

from typing import Any

from perdure.journal.record import SETTLEMENTS, Record, RecordKind

CARRIES_START = SETTLEMENTS | {RecordKind.COMPLETED}

_WIDTH = len(Record._fields)
_RULES = Record._fields.index("rules")
_NONE_INSIDE = (None, None)


def joined(start: tuple[Any, ...], record: Record) -> tuple[Any, ...] | None:
    """Return the row of a START and what follows it; None where they are no such two records."""
    if type(start) is not Record or start.kind != RecordKind.START:
        return None
    if start[:3] != record[:3] or record.kind not in CARRIES_START:
        return None
    return (*record[:_RULES], start.rules, record.waited, start.at, start.version)


def wide(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row with the columns of a START inside, whether it has one or not."""
    return row if len(row) > _WIDTH else (*row, *_NONE_INSIDE)


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
