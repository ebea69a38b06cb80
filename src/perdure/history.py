"""A read-only view of a store: runs, and what each of them did."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from perdure.errors import PerdureError
from perdure.event import EventType
from perdure.journal.codec import Codec, digest
from perdure.journal.failure import failure_summary
from perdure.journal.record import Completion, Record, RecordKind, decode_completion
from perdure.run import STATUS_BY_NUMBER, STATUS_NUMBERS, RunStatus, run_id
from perdure.store.base import NUMBER_BITS, RunRow
from perdure.store.reader import JobRow, StoreReader
from perdure.store.sqlite_file import MIGRATIONS
from perdure.store.url import open_reader

__all__ = [
    "ALL",
    "SCHEMA_VERSION",
    "ActionTimeline",
    "CallInfo",
    "EventInfo",
    "History",
    "JobRow",
    "MemoryWrite",
    "OutputInfo",
    "RunDetail",
    "RunInfo",
    "run_number",
]

SCHEMA_VERSION = len(MIGRATIONS)  # of every store that can be read
ALL = 1_000_000  # runs of one listing at most


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
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

    number: int
    type: str
    id: str
    attributes: Any
    source_event: int | None
    action: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallInfo:
    """A durable call as the journal has it. One in flight is not there before its outcome is.

    Attributes:
        number: number in its action, from 1.
        function: identity of the callable.
        arguments: short text.
        status: "returned", "raised", or "in doubt": begun, with a reconciler, and without outcome.
        outcome: what it returned, in readable form.
        error: type, message, traceback and notes of what it raised, or None.
        started_at: when it began to execute, ns since the epoch.
        settled_at: when its outcome was journaled, ns since the epoch, 0 before.
        superseded: a retry or a re-execution made the call again.
    """

    number: int
    function: str
    arguments: str
    status: str
    outcome: Any
    error: dict[str, Any] | None
    started_at: int
    settled_at: int
    superseded: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ActionTimeline:
    """What one action did on one event.

    Attributes:
        name: the action's name.
        event: number of the event that triggered it.
        event_type: that event's type.
        status: "completed", "unfinished", "failed", "cancelled", or "stopped" because another
            action of the run failed.
        started_at: when it first began, ns since the epoch.
        finished_at: when its completion was journaled, ns since the epoch, 0 before.
        calls: in the order of their numbers.
        timers: when its timers came due, ns since the epoch.
        cancelled_at: when it was asked to stop, ns since the epoch, 0 if it was not.
    """

    name: str
    event: int
    event_type: str
    status: str
    started_at: int
    finished_at: int
    calls: tuple[CallInfo, ...]
    timers: tuple[int, ...]
    cancelled_at: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWrite:
    """One path of "sensory" or "short-term" memory that an action wrote or deleted.

    Attributes:
        value: in readable form, None when deleted.
        event: number of the event that the action handled.
    """

    memory: str
    path: str
    value: Any
    deleted: bool
    action: str
    event: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutputInfo:
    """An output of a run: its number from 1, id, value in readable form, and its delivery."""

    number: int
    id: str
    value: Any
    delivered: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail:
    """Everything that the store has of one run.

    Attributes:
        run: its head.
        events: the input first, then in the order of their numbers.
        actions: in the order in which they began.
        memory: writes in the order of the completions.
        outputs: in commit order.
        retried_at: when it was put back, ns since the epoch.
    """

    run: RunInfo
    events: tuple[EventInfo, ...]
    actions: tuple[ActionTimeline, ...]
    memory: tuple[MemoryWrite, ...]
    outputs: tuple[OutputInfo, ...]
    retried_at: tuple[int, ...]

    @property
    def span(self) -> tuple[int, int]:
        """From when its first action began to the last time known of it, ns since the epoch."""
        times = [action.started_at for action in self.actions] or [self.run.admitted_at]
        first = min(times)
        times.append(self.run.finished_at)
        for action in self.actions:
            times += (action.finished_at, action.cancelled_at, *action.timers)
            times += (call.settled_at for call in action.calls)
        return first, max(times)


def run_number(job: int, id_: str) -> int:
    """Return the number of the run with a short id.

    Raises:
        PerdureError: it is no run id.
    """
    try:
        return (job << NUMBER_BITS) | int(id_.removeprefix("r"), 16)
    except ValueError:
        raise PerdureError(f"{id_!r} is no run id (such as r1f): see `perdure runs`") from None


class History:
    """Reads a store. Values are shown in readable form; no type is rebuilt and nothing is run."""

    def __init__(self, reader: StoreReader) -> None:
        self.reader = reader
        self.codec = Codec()

    @classmethod
    def open(cls, url: str) -> History:
        """Open the store that `url` names, beside its owner if there is one; use with `with`.

        Raises:
            ConfigurationError: it names no store that another process could have written.
            StoreError: there is none, or it cannot be read.
        """
        return cls(open_reader(url))

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_error: object) -> None:
        self.reader.close()

    def jobs(self) -> list[JobRow]:
        """Return all jobs of the store by name."""
        return self.reader.jobs()

    def is_owned(self, job: JobRow) -> bool:
        """Say whether a live process runs the job now."""
        return self.reader.is_owned(job.name)

    def choose_job(self, name: str | None) -> JobRow:
        """Return the job with this name; without a name, the only one there is.

        Raises:
            PerdureError: there is none, or there are several to choose from.
        """
        if name is not None:
            return self.job(name)
        jobs = self.jobs()
        if len(jobs) == 1:
            return jobs[0]
        if not jobs:
            raise PerdureError("the store has no jobs yet: `perdure run` makes one")
        known = ", ".join(repr(job.name) for job in jobs)
        raise PerdureError(f"the store has {len(jobs)} jobs: choose one with --job, of {known}")

    def counts(self, job: JobRow) -> dict[str, int]:
        """Return the number of runs: completed, failed, cancelled, unfinished."""
        counts = {"completed": 0, "failed": 0, "cancelled": 0, "unfinished": 0}
        for number, count in self.reader.count_runs(job.job).items():
            status = STATUS_BY_NUMBER[number]
            counts[status.value if status.is_final else "unfinished"] += count
        return counts

    def job(self, name: str) -> JobRow:
        """Return a job by name.

        Raises:
            PerdureError: the store does not have it.
        """
        job = self.reader.job(name)
        if job is None:
            known = ", ".join(repr(job.name) for job in self.reader.jobs()) or "none"
            raise PerdureError(f"the store has no job {name!r}; it has {known} (see --job)")
        return job

    def runs(
        self,
        job: JobRow,
        *,
        status: RunStatus | None = None,
        key: Any = None,
        limit: int = 50,
    ) -> list[RunInfo]:
        """Return the newest runs, newest first."""
        if key is not None:
            row = self.reader.key(job.job, digest(key))
            rows = self.reader.list_runs_of_key(row.key, limit=limit) if row else []
            return [info for info in self._infos(rows) if status in (None, info.status)]
        if status is RunStatus.RUNNING or status is RunStatus.QUEUED:
            # Stored alike: a run is running once its journal has begun.
            rows = self.reader.list_runs(job.job, status=1, limit=ALL)
            infos = [info for info in self._infos(rows) if info.status is status]
            return infos[:limit]
        number = STATUS_NUMBERS[status] if status else None
        return list(self._infos(self.reader.list_runs(job.job, status=number, limit=limit)))

    def run(self, job: JobRow, id_: str) -> RunInfo:
        """Return one run.

        Raises:
            PerdureError: there is none with this id.
        """
        number = run_number(job.job, id_)
        row = self.reader.runs([number]).get(number)
        if row is None:
            raise PerdureError(f"job {job.name!r} has no run {id_!r}: `perdure runs` lists them")
        return next(self._infos([row]))

    def infos(self, numbers: list[int]) -> dict[int, RunInfo]:
        """Return these runs, by number."""
        return {info.number: info for info in self._infos(self.reader.runs(numbers).values())}

    def detail(self, job: JobRow, id_: str) -> RunDetail:
        """Return what a run did.

        Raises:
            PerdureError: there is none with this id.
        """
        info = self.run(job, id_)
        records = self.reader.records([info.number])
        completions = [
            (record, decode_completion(record.payload or b""))
            for record in records
            if record.kind == RecordKind.COMPLETED
        ]
        events = self._events(info, completions)
        outputs = self.reader.outputs([info.number])
        return RunDetail(
            run=info,
            events=events,
            actions=self._actions(info, records, {event.number: event.type for event in events}),
            memory=tuple(self._memory_writes(completions)),
            outputs=tuple(
                OutputInfo(
                    number=output.number,
                    id=output.id,
                    value=self.codec.to_json(output.value),
                    delivered=bool(output.delivered),
                )
                for output in outputs
            ),
            retried_at=tuple(r.at for r in records if r.kind == RecordKind.RETRY),
        )

    def _events(
        self, info: RunInfo, completions: Sequence[tuple[Record, Completion]]
    ) -> tuple[EventInfo, ...]:
        first = EventInfo(
            number=0,
            type=EventType.InputEvent,
            id="",
            attributes={"input": info.input},
            source_event=None,
            action="",
        )
        sent = [
            EventInfo(
                number=event.number,
                type=event.type,
                id=event.id,
                attributes=self.codec.to_json(event.attributes),
                source_event=event.source_event,
                action=event.action,
            )
            for _, completion in completions
            for event in completion.events
        ]
        return (first, *sorted(sent, key=lambda event: event.number))

    def _memory_writes(
        self, completions: Sequence[tuple[Record, Completion]]
    ) -> Iterator[MemoryWrite]:
        for record, completion in completions:
            kinds = {"sensory": completion.sensory, "short-term": completion.short_term}
            for memory, writes in kinds.items():
                for path, data in writes:
                    yield MemoryWrite(
                        memory=memory,
                        path=path,
                        value=None if data is None else self.codec.to_json(data),
                        deleted=data is None,
                        action=record.action,
                        event=record.event,
                    )

    def _actions(
        self, info: RunInfo, records: Sequence[Record], types: dict[int, str]
    ) -> tuple[ActionTimeline, ...]:
        journals: dict[tuple[int, str], list[Record]] = {}
        for record in records:
            if record.action:  # else it is about the whole run
                journals.setdefault((record.event, record.action), []).append(record)
        ended = {key for key, own in journals.items() if _first(own, RecordKind.COMPLETED)}
        alone = len(journals) - len(ended) == 1
        actions = []
        for (event, name), own in journals.items():
            cancelled_at = _first(own, RecordKind.CANCEL)
            actions.append(
                ActionTimeline(
                    name=name,
                    event=event,
                    event_type=types.get(event, ""),
                    status=_action_status(
                        info.status, (event, name) in ended, bool(cancelled_at), alone
                    ),
                    started_at=_first(own, RecordKind.START),
                    finished_at=_first(own, RecordKind.COMPLETED),
                    calls=self._calls(own),
                    timers=tuple(r.at for r in own if r.kind == RecordKind.TIMER),
                    cancelled_at=cancelled_at,
                )
            )
        return tuple(sorted(actions, key=lambda action: action.started_at))

    def _calls(self, records: Sequence[Record]) -> tuple[CallInfo, ...]:
        calls: list[CallInfo] = []
        current: dict[int, int] = {}  # call -> index of its newest record in `calls`
        settlements: list[tuple[int, int]] = []  # number of a settlement, its index in `calls`
        for record in records:
            if record.kind == RecordKind.CUT:
                for n, index in settlements:
                    if n >= record.n:
                        calls[index] = dataclasses.replace(calls[index], superseded=True)
                continue
            if record.kind not in (RecordKind.RESULT, RecordKind.ERROR, RecordKind.PENDING):
                continue
            before = current.get(record.call)
            if before is not None and calls[before].status == "in doubt":
                calls[before] = self._call(record)
                index = before
            else:
                if before is not None:
                    calls[before] = dataclasses.replace(calls[before], superseded=True)
                calls.append(self._call(record))
                index = len(calls) - 1
            current[record.call] = index
            settlements.append((record.n, index))
        return tuple(sorted(calls, key=lambda call: call.number))

    def _call(self, record: Record) -> CallInfo:
        payload = record.payload or b""
        returned, pending = record.kind == RecordKind.RESULT, record.kind == RecordKind.PENDING
        return CallInfo(
            number=record.call,
            function=record.function,
            arguments=record.detail,
            status="returned" if returned else "in doubt" if pending else "raised",
            outcome=self.codec.to_json(payload) if returned else None,
            error=None if returned or pending else failure_summary(self.codec, payload),
            started_at=record.at if pending else record.started_at,
            settled_at=0 if pending else record.at,
            superseded=False,
        )

    def _infos(self, rows: Iterable[RunRow]) -> Iterator[RunInfo]:
        rows = list(rows)
        keys = self.reader.keys(sorted({row.key for row in rows}))
        open_runs = [row.run for row in rows if row.status == 1]
        begun = {record.run for record in self.reader.records(open_runs)}
        for row in rows:
            status = RunStatus.RUNNING if row.run in begun else STATUS_BY_NUMBER[row.status]
            yield RunInfo(
                id=run_id(row.run),
                number=row.run,
                key=self.codec.to_json(keys[row.key].value),
                sequence=row.sequence,
                label=row.label,
                status=status,
                attempts=row.attempt,
                error=failure_summary(self.codec, row.error) if row.error else None,
                input=self.codec.to_json(row.value),
                admitted_at=row.admitted_at,
                finished_at=row.finished_at,
            )


def _first(records: Iterable[Record], kind: RecordKind) -> int:
    """Return the time of the first record of a kind, 0 without one."""
    return next((record.at for record in records if record.kind == kind), 0)


def _action_status(run: RunStatus, completed: bool, cancelled: bool, alone: bool) -> str:
    """Return how an action stands; `alone`: it is the only one that did not complete."""
    if completed:
        return "cancelled" if cancelled and run is RunStatus.CANCELLED else "completed"
    if run is RunStatus.CANCELLED:
        return "cancelled"
    if run is RunStatus.FAILED:
        return "failed" if alone else "stopped"
    return "unfinished"
