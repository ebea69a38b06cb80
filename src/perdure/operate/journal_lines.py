"""The journal of a run as it is: a line a record, for those who watch it or read it."""

from __future__ import annotations

import dataclasses

from perdure.journal.record import SETTLEMENTS, Record, RecordKind
from perdure.operate.history import AsyncHistory

__all__ = ["JournalLine", "journal_lines"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """One record of a run's journal.

    Attributes:
        number: its place in the journal, from 1.
        kind: what it says, such as "start", "result" or "completed".
        event: number of the event that its action handles.
        action: the action's name; "" where it is about the whole run.
        settlement: number of the settlement in its action; 0 where it is none.
        call: number of the call in its action, 0 where there is none.
        function: identity of the callable, "" where there is none.
        detail: short text of the arguments, or the signal's name.
        size: bytes of the value that it holds, as it is kept.
        started_at: when a call's execution began, ns since the epoch, else 0.
        at: its time, ns since the epoch.
    """

    __journal_name__ = "perdure:JournalLine"

    number: int
    kind: str
    event: int
    action: str
    settlement: int
    call: int
    function: str
    detail: str
    size: int
    started_at: int
    at: int


async def journal_lines(
    history: AsyncHistory, run: int, *, after: int = 0, limit: int = 1000
) -> list[JournalLine]:
    """Return the journal of a run from behind its first `after` records, at most `limit`."""
    records = await history.view.records(run, after=after, limit=limit)
    return [_line(record, number) for number, record in enumerate(records, after + 1)]


def _line(record: Record, number: int) -> JournalLine:
    is_call = bool(record.function)
    return JournalLine(
        number=number,
        kind=RecordKind(record.kind).name.lower(),
        event=record.event,
        action=record.action,
        settlement=record.n if record.kind in SETTLEMENTS else 0,
        call=record.call,
        function=record.function,
        detail=record.detail,
        size=len(record.payload or b""),
        started_at=record.started_at if is_call else 0,
        at=record.at,
    )
