"""What a run is seen as from outside: its head, its status, and what belongs to it."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from perdure.errors import ConfigurationError, PerdureError, RunCancelledError
from perdure.run.html import shown_moment, table

__all__ = [
    "STATUS_BY_NUMBER", "STATUS_NUMBERS", "BadLine", "ChildInfo", "EventInfo", "MemoryWrite",
    "Output", "OutputInfo", "RunInfo", "RunStatus", "SignalInfo", "WaitInfo",
    "names_two", "run_id", "run_number", "run_title", "status_named", "wait_info", "which_run",
]  # fmt: skip


class RunStatus(enum.Enum):
    """Where a run stands.

    QUEUED: waits for earlier runs of its key. RUNNING: actions are executing. WAITING: only
    timers or signals can continue it, or it is due later. COMPLETED, FAILED and CANCELLED are
    final.
    """

    __journal_name__ = "perdure:RunStatus"

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    is_final: bool  # whether the run will not go on by itself from here

    def __init__(self, value: str) -> None:
        # Once, not at each look: it is asked many times a run.
        self.is_final = value in ("completed", "failed", "cancelled")


def status_named(name: str) -> RunStatus:
    """Return the status with a name, in any case.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return RunStatus(name.lower())
    except ValueError:
        names = ", ".join(each.value for each in RunStatus)
        raise ConfigurationError(f"status {name!r}: choose of {names}") from None


def run_cancelled(id: str) -> RunCancelledError:
    """Return what those who wait for a cancelled run get."""
    return RunCancelledError(f"run {id} was cancelled")


@dataclass(frozen=True, slots=True)
class Output:
    """One value that a run sent out.

    Attributes:
        value: What was given to the `OutputEvent`.
        key: The key of the run that sent it.
        run_id: The id of that run.
        id: The output's own id: the same however often the output is delivered.
    """

    __journal_name__ = "perdure:Output"

    value: Any
    key: Any
    run_id: str
    id: str

    def _repr_html_(self) -> str:
        rows = [("value", self.value), ("key", self.key), ("run", self.run_id), ("id", self.id)]
        return table("Output", rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitInfo:
    """What an action of a run waits for from outside.

    Attributes:
        run: the run's id.
        key: its key, in readable form; None where only the run was asked for.
        name: name of the signal that ends the wait.
        kind: "signal", or "approval" for one that takes a yes or a no alone.
        question: what a person is asked, if anything.
        since: when it was opened, ns since the epoch.
        action: name of the action.
        event: number of the event that it handles.
        input_id: the id that was given with the run's input, as text; None without.
    """

    __journal_name__ = "perdure:WaitInfo"

    run: str
    key: Any
    name: str
    kind: str
    question: str | None
    since: int
    action: str
    event: int
    input_id: str | None = None

    @property
    def title(self) -> str:
        """What people call the run, see `RunInfo.title`."""
        return run_title(self.run, self.input_id)


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
        due: of a run that was given a delay, when it is due, ns since the epoch; else 0.
        is_delayed: it is due later and has not joined its key's queue.
        activity: what it last said with `ctx.set_status`, in readable form, or None; listings have
            it of unfinished runs alone.
        waits: what its actions wait for from outside; of unfinished runs.
        outputs: what it has sent out by now; `engine.run_info` has it, listings do not.
        input_id: the id that was given with its input, as text; None without.
    """

    __journal_name__ = "perdure:RunInfo"

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
    due: int = 0
    is_delayed: bool = False
    activity: Any = None
    waits: tuple[WaitInfo, ...] = ()
    outputs: tuple[OutputInfo, ...] = ()
    input_id: str | None = None

    @property
    def title(self) -> str:
        """What people call it, and commands take: the id given with its input, or its own."""
        return run_title(self.id, self.input_id)

    def _repr_html_(self) -> str:
        error = self.error or {}
        failed = ": ".join(str(error[part]) for part in ("type", "message") if error.get(part))
        values = [output.value for output in self.outputs]
        return table(
            f"Run {self.title}",
            [
                ("id", self.id), ("key", self.key), ("sequence", self.sequence),
                ("given as", self.label),
                ("status", self.status.value), ("error", failed), ("activity", self.activity),
                ("waits for", ", ".join(f"{wait.kind} {wait.name}" for wait in self.waits)),
                ("due", shown_moment(self.due) if self.is_delayed else ""),
                ("input", self.input), ("outputs", tuple(values)),
                ("admitted", shown_moment(self.admitted_at)),
                ("finished", shown_moment(self.finished_at)),
            ],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """An input that a source passed over.

    Attributes:
        source: name of its source; where inputs have ids, path of the file.
        position: its position there, from 0.
        line: its line number from 1, None where the source has no lines.
        reason: what is wrong with it.
        at: when it was last found so, ns since the epoch.
    """

    __journal_name__ = "perdure:BadLine"

    source: str
    position: int
    line: int | None
    reason: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInfo:
    """An event of a run.

    Attributes:
        number: number in the run; 0 is the input.
        type: event type.
        id: its id, "" of the input.
        attributes: in readable form.
        source_event: number of the event that the sending action handled, None of the input.
        action: name of the action that sent it, "" of the input.
    """

    __journal_name__ = "perdure:EventInfo"

    number: int
    type: str
    id: str
    attributes: Any
    source_event: int | None
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWrite:
    """One path of "sensory" or "short-term" memory that an action wrote or deleted.

    Attributes:
        value: in readable form, None when deleted.
        event: number of the event that the action handled.
    """

    __journal_name__ = "perdure:MemoryWrite"

    memory: str
    path: str
    value: Any
    deleted: bool
    action: str
    event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputInfo:
    """An output of a run: its number from 1, id, value in readable form, and its delivery."""

    __journal_name__ = "perdure:OutputInfo"

    number: int
    id: str
    value: Any
    delivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalInfo:
    """A signal that came for a run.

    Attributes:
        name: its name.
        value: in readable form.
        came_at: ns since the epoch.
        action: name of the action that took it, "" while none has.
        event: number of the event that this action handles, None while none has.
        taken_at: ns since the epoch, 0 before.
    """

    __journal_name__ = "perdure:SignalInfo"

    name: str
    value: Any
    came_at: int
    action: str
    event: int | None
    taken_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInfo:
    """A run that an action of the run started.

    Attributes:
        id: the started run's id.
        run: its head, None where the store no longer has it.
        action: name of the action that started it.
        event: number of the event that the action handles.
        call: number of the call that did it.
    """

    __journal_name__ = "perdure:ChildInfo"

    id: str
    run: RunInfo | None
    action: str
    event: int
    call: int


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
_OWN_ID = re.compile(r"r[0-9a-fA-F]+")


def run_id(number: int) -> str:
    """Return the short id of a run, unique in its job, from its number in the store."""
    return f"r{number & ((1 << RUN_NUMBER_BITS) - 1):x}"


def which_run(job: int, id_: str, given: Iterable[int | None]) -> tuple[int | None, int | None]:
    """Return the numbers of the runs that an id may name.

    Args:
        job: the job's number.
        id_: the id.
        given: numbers of runs whose input was given with it, as text or as a number.

    Returns:
        The run whose input was given with it, and the one whose own id it is, if they may be.
    """
    given_run = next((each for each in given if each is not None), None)
    try:
        own: int | None = run_number(job, id_)
    except PerdureError:
        own = None
    if own is not None and own >> RUN_NUMBER_BITS != job:
        own = None  # it is longer than any
    if given_run is not None and not id_.startswith("r"):
        own = None  # `B01` is short for rB01 only where nobody's input has it
    return given_run, own


def run_title(id_: str, input_id: str | None) -> str:
    """Return what people call a run, and commands take for it alone.

    Args:
        id_: its own id.
        input_id: the id that was given with its input, None without.

    Returns:
        The id of its input; its own where that may be another run's, or is nothing to type.
    """
    if not input_id or not input_id.isprintable() or input_id.startswith("-"):
        return id_
    return id_ if _OWN_ID.fullmatch(input_id) else input_id


def names_two(id_: str, given: int, own: int) -> PerdureError:
    """Return the error of an id that was given with one run's input and is another run's own."""
    return PerdureError(
        f"{id_!r} names two runs: {run_id(given)}, whose input was given with it, and"
        f" {run_id(own)}, whose own id it is: give {run_id(given)} or {run_id(own)}"
    )


def run_number(job: int, id_: str) -> int:
    """Return the number in the store of the job's run with a short id.

    Raises:
        PerdureError: it is no run id.
    """
    try:
        return (job << RUN_NUMBER_BITS) | int(id_.removeprefix("r"), 16)
    except ValueError:
        raise PerdureError(f"{id_!r} is no run id (such as r1f): see `perdure runs`") from None


def wait_info(row: Any, key: Any, input_id: str | None = None) -> WaitInfo:
    """Return a wait as people see it, from the row that a store has of it."""
    return WaitInfo(
        run=run_id(row.run), key=key, name=row.name, kind=row.kind, question=row.question,
        since=row.since, action=row.action, event=row.event, input_id=input_id,
    )  # fmt: skip
