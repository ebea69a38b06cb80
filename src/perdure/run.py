"""What a run is seen as from outside: its head, its status and its outputs."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

__all__ = [
    "STATUS_BY_NUMBER", "STATUS_NUMBERS", "Output", "RunInfo", "RunStatus", "run_id", "run_number",
]  # fmt: skip


class RunStatus(enum.Enum):
    """Where a run stands.

    QUEUED: waits for earlier runs of its key. RUNNING: actions are executing. WAITING: only
    timers or signals can continue it. COMPLETED, FAILED and CANCELLED are final.
    """

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the run will not go on by itself from here."""
        return self in _FINAL


_FINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Output:
    """One value that a run sent out.

    Attributes:
        value: What was given to the `OutputEvent`.
        key: The key of the run that sent it.
        run_id: The id of that run.
        id: The output's own id: the same however often the output is delivered.
    """

    value: Any
    key: Any
    run_id: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """One run as the store has it.

    Attributes:
        id: short id, unique in its job.
        number: number in the store.
        key: its key, in readable form.
        sequence: its number in its key, from 1.
        label: the id or source position it was given with.
        status: where it stands.
        attempts: times it was put back.
        error: type, message, traceback and notes of its failure, or None.
        input: the input, in readable form.
        admitted_at: ns since the epoch.
        finished_at: ns since the epoch, 0 before.
    """

    id: str
    number: int
    key: Any
    sequence: int
    label: str
    status: RunStatus
    attempts: int
    error: dict[str, Any] | None
    input: Any
    admitted_at: int
    finished_at: int


# How stores keep a status. From COMPLETED on they are final; indexes know these numbers.
STATUS_NUMBERS = {
    RunStatus.QUEUED: 1,
    RunStatus.RUNNING: 2,
    RunStatus.WAITING: 3,
    RunStatus.COMPLETED: 4,
    RunStatus.FAILED: 5,
    RunStatus.CANCELLED: 6,
}
STATUS_BY_NUMBER = {number: status for status, number in STATUS_NUMBERS.items()}
RUN_NUMBER_BITS = 40  # a job's runs are numbered from job << 40


def run_id(number: int) -> str:
    """Return the short id of a run, unique in its job, from its number in the store."""
    return f"r{number & ((1 << RUN_NUMBER_BITS) - 1):x}"


def run_number(job: int, id_: str) -> int:
    """Return the number in the store of the job's run with a short id.

    Raises:
        ValueError: it is no run id.
    """
    return (job << RUN_NUMBER_BITS) | int(id_.removeprefix("r"), 16)
