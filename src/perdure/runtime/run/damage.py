"""Damage in what the store has of a run: found before anything is made of it, named by row."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from perdure.codec.codec import Codec
from perdure.codec.failure import failure_summary
from perdure.errors import DecodeError, StoreFormatError
from perdure.journal.check import contradiction, described, unreadable
from perdure.journal.record import Record, RecordKind
from perdure.runtime.shared.mailbox import RunTicket
from perdure.store.damage import damaged

__all__ = ["check_journal", "damaged_run"]


def check_journal(store: str, ticket: RunTicket, records: Sequence[Record]) -> None:
    """Refuse a journal that nothing can have written.

    Args:
        store: its URL.
        ticket: the run; it knows how many outputs the store has of it.
        records: the run's journal in commit order.

    Raises:
        StoreFormatError: names the record, or the table.
        DecodeError: a completion cannot be read.
    """
    problem = contradiction(records)
    if problem is not None:
        raise _damaged_record(store, ticket, *problem)
    completed = [record for record in records if record.kind == RecordKind.COMPLETED]
    made = completed[-1].completion.outputs if completed else 0
    if made != ticket.emitted:
        what = f"it has {ticket.emitted} outputs, and its journal says {made}"
        raise damaged(store, f"table output, run {ticket.id}", what)


def damaged_run(
    store: str, codec: Codec, ticket: RunTicket, records: Sequence[Record], error: Exception
) -> StoreFormatError:
    """Return the error that names which row of a run is damaged.

    Args:
        store: its URL.
        codec: the job's.
        ticket: the run.
        records: its journal in commit order.
        error: what came of it.
    """
    if isinstance(error, StoreFormatError):
        return error
    found = _named(store, codec, ticket, records)
    if found is None:
        found = damaged(store, f"tables run, record and output, run {ticket.id}", error)
    found.__cause__ = error
    return found


def _named(
    store: str, codec: Codec, ticket: RunTicket, records: Sequence[Record]
) -> StoreFormatError | None:
    values = {f"table run, run {ticket.id}, value": ticket.row.value}
    key = ticket.key.number
    for path, cell in ticket.key.memory.items():
        values[f"table memory, path {path!r} of key {key}"] = cell.data
    for place, data in values.items():
        try:
            codec.to_json(data)
        except DecodeError as error:
            return damaged(store, place, error)
    problem = unreadable(records, codec.to_json, functools.partial(failure_summary, codec))
    return None if problem is None else _damaged_record(store, ticket, *problem)


def _damaged_record(store: str, ticket: RunTicket, record: Record, wrong: str) -> StoreFormatError:
    return damaged(store, f"table record, {described(record)} of run {ticket.id}", wrong)
