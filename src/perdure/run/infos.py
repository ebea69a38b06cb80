"""What the store has of runs, as people see it. It is loaded by whoever looks, not with a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perdure.run.html import shown_moment, table
from perdure.run.ids import RunStatus, run_id, run_title

__all__ = [
    "BadLine", "ChildInfo", "EventInfo", "MemoryWrite", "OutputInfo", "RunInfo", "SignalInfo",
    "WaitInfo", "wait_info",
]  # fmt: skip


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


def wait_info(row: Any, key: Any, input_id: str | None = None) -> WaitInfo:
    """Return a wait as people see it, from the row that a store has of it."""
    return WaitInfo(
        run=run_id(row.run), key=key, name=row.name, kind=row.kind, question=row.question,
        since=row.since, action=row.action, event=row.event, input_id=input_id,
    )  # fmt: skip
