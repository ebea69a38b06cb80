"""RunState: where a run stands, which its execution goes on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from perdure.journal.journal import ActionHistory
from perdure.journal.record import EventRecord, Record
from perdure.memory.cells import Cell

Cells = dict[str, Cell]
NOTHING: Final[dict[Any, Any]] = {}  # what a run begins with; replaced, never changed
CANCELLED, TIMED_OUT = "cancelled", "timed out"  # why a run is cancelled


class RunMemory(NamedTuple):
    """The memory of a run as of one of its completions.

    Attributes:
        sensory: sensory memory.
        short_term: short-term memory of its key.
        touched: paths of short-term memory that the run has written.
    """

    sensory: Cells
    short_term: Cells
    touched: dict[str, None]


class RunState(msgspec.Struct, frozen=True):
    """Where a run stands: new, or read back from its journal.

    Attributes:
        events: events that are visible, the input left out.
        sensory: sensory memory after the last completion.
        short_term: short-term memory after it.
        touched: paths of short-term memory that the run has written.
        completions: number of completions so far.
        created: number of events made so far, outputs included.
        outputs: number of outputs made so far.
        unfinished: (event number, action name) that have not completed, with their histories.
        snapshots: memory at the start of those that had started, by the same key.
        cancel_reason: why its actions were asked to stop (`CANCELLED`, `TIMED_OUT`), or "".
        signals: signals that came and that no action holds.
        known: the `at` of all signals that the journal has.
        calls: number of durable calls of completed actions.
        noted: what it last said that it is doing.
        began: when it first began, ns since the epoch; 0 if it did not yet.
    """

    events: dict[int, EventRecord]
    sensory: Cells
    short_term: Cells
    touched: dict[str, None]
    completions: int
    created: int
    outputs: int
    unfinished: dict[tuple[int, str], ActionHistory] | None
    snapshots: dict[tuple[int, str], tuple[Cells, Cells]]
    cancel_reason: str
    signals: Sequence[Record]
    known: frozenset[int]
    calls: int
    began: int
    noted: Record | None = None


def new_state(short_term: Cells) -> RunState:
    """Return the state of a run that has not begun."""
    return RunState(
        {}, NOTHING, short_term, NOTHING, 0, 0, 0, None, NOTHING, "", (), frozenset(), 0, 0
    )  # fmt: skip
