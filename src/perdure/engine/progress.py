"""What an open job tells of its work."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from perdure.run import Output

if TYPE_CHECKING:
    from perdure.run import RunInfo


@dataclasses.dataclass(slots=True)
class Progress:
    """Live counts of an open job.

    Attributes:
        inputs: inputs admitted, or known from before.
        already_done: of these, finished in a process before.
        bad_lines: inputs that the source passed over.
        completed: runs completed in this process; `failed`, `cancelled` likewise.
        in_flight: runs admitted and not finished, but for those that wait or are queued.
        waiting: runs that only time or a signal can continue.
        delayed: of these, those that are due later.
        queued: runs queued behind runs of their keys that wait.
        outputs: outputs made in this process.
        retries: runs put back.
        calls_made: calls begun in this process.
        calls_replayed: outcomes given from the journal instead.
        late_results: results that came after their calls had timed out or been cancelled.
    """

    inputs: int = 0
    already_done: int = 0
    bad_lines: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    in_flight: int = 0
    waiting: int = 0
    delayed: int = 0
    queued: int = 0
    outputs: int = 0
    retries: int = 0
    calls_made: int = 0
    calls_replayed: int = 0
    late_results: int = 0


class DriveResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a source.

    Attributes:
        inputs: number of its inputs, one of an id that comes twice.
        outputs: their outputs, where they were collected.
        failed: what is known of runs that failed or were cancelled, of some where there are many.
        failures: number of failed runs.
        cancelled: number of cancelled runs.
    """

    inputs: int
    outputs: list[Output]
    failed: list[RunInfo]
    failures: int
    cancelled: int
