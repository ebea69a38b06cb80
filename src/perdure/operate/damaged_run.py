"""Damage that those who look at a run meet, as the error that names file, table and row (G23)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from perdure.codec.codec import Codec
from perdure.codec.failure import failure_summary
from perdure.errors import DecodeError, PerdureError, StoreFormatError
from perdure.journal.check import Problem, contradiction, described, unreadable
from perdure.journal.record import Record, decode_signal
from perdure.operate.run_detail import submitted
from perdure.run import RunInfo, run_id, run_number
from perdure.store.base import NUMBER_BITS, Command, StoredOutput
from perdure.store.damage import damaged

__all__ = ["DAMAGE", "damaged_output", "damaged_run"]

# What reading rows ends in that nobody has written so: all are of the right types.
DAMAGE = (DecodeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


def damaged_output(store: str, output: StoredOutput, error: Exception) -> StoreFormatError:
    """Return the error that names an output which cannot be read, or whose run's key cannot."""
    place = f"table output, output {output.number} of run {run_id(output.run)}, or the run's key"
    return damaged(store, place, error)


def damaged_run(
    store: str,
    codec: Codec,
    info: RunInfo,
    records: Sequence[Record],
    error: Exception,
    outputs: Sequence[StoredOutput] = (),
    commands: Sequence[Command] = (),
) -> StoreFormatError:
    """Return the error that names which row of a run is damaged.

    Args:
        store: its URL.
        codec: makes values readable.
        info: the run's head, which is sound.
        records: its journal in commit order.
        error: what came of reading all this.
        outputs: its outputs.
        commands: what is left for it.
    """
    read_failure = functools.partial(failure_summary, codec)
    problem = unreadable(records, codec.to_json, read_failure) or contradiction(records)
    if problem := problem or _wrong_child(codec, info.number >> NUMBER_BITS, records):
        record, wrong = problem
        return damaged(store, f"table record, {described(record)} of run {info.id}", wrong)
    for output in outputs:
        try:
            codec.to_json(output.value)
        except DAMAGE as wrong_value:
            return damaged_output(store, output, wrong_value)
    for command in (each for each in commands if each.command == "signal"):
        try:
            codec.to_json(decode_signal(command.payload or b"")[1])
        except DAMAGE as wrong_payload:
            return damaged(store, f"table command, row {command.number}", wrong_payload)
    return damaged(store, f"tables record, output and command, run {info.id}", error)


def _wrong_child(codec: Codec, job: int, records: Sequence[Record]) -> Problem | None:
    """Return the first outcome that should be the id of a run and is none."""
    for record in submitted(records):
        try:
            run_number(job, str(codec.to_json(record.outcome)))
        except (*DAMAGE, PerdureError) as error:
            return record, str(error)
    return None
