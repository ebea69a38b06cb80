"""The rows that a run writes when it ends or is put back."""

from __future__ import annotations

from collections.abc import Iterable

from perdure.journal.record import Record, by_position
from perdure.run import STATUS_NUMBERS, RunStatus
from perdure.runtime.run.state import Cells
from perdure.store.base import MemoryRow, Row, RunRow, StatusRow


def status_row(
    row: RunRow, status: RunStatus, *, error: bytes | None = None, finished_at: int = 0
) -> StatusRow:
    """Return what gives a run another status; place and attempt are those of `row`."""
    values = (STATUS_NUMBERS[status], row.place, row.attempt, error, finished_at, row.run)
    return by_position(StatusRow, values)


def memory_rows(key: int, short_term: Cells, touched: Iterable[str]) -> list[Row]:
    """Return the paths of short-term memory that a run has written.

    They reach their table when the run ends: until then the table holds what the run started
    from, and the completions what it wrote (G14).
    """
    rows: list[Row] = []
    for path in touched:
        cell = short_term.get(path)
        data, written_at = (cell.data, cell.written_at) if cell else (None, 0)
        rows.append(MemoryRow(key=key, path=path, data=data, written_at=written_at))
    return rows


def retry_rows(row: RunRow, at: int) -> list[Row]:
    """Return what puts a run back into its queue, as `row` says."""
    return [Record.retry(row.run, attempt=row.attempt, at=at), status_row(row, RunStatus.QUEUED)]
