"""What one run did, as its journal tells it: events, actions, calls, memory, outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perdure.codec.codec import Codec
from perdure.codec.failure import failure_summary
from perdure.event import EventType
from perdure.journal.journal import fold
from perdure.journal.record import (
    SETTLEMENTS,
    Completion,
    Record,
    RecordKind,
    decode_signal,
)
from perdure.journal.waited import unpack_waited
from perdure.run import (
    ChildInfo,
    EventInfo,
    MemoryWrite,
    OutputInfo,
    RunInfo,
    RunStatus,
    SignalInfo,
)
from perdure.store.base import StoredOutput

__all__ = [
    "ActionTimeline",
    "CallInfo",
    "ChildInfo",
    "EventInfo",
    "MemoryWrite",
    "OutputInfo",
    "RunDetail",
    "SignalInfo",
    "build",
    "children_of",
    "submitted",
]

SUBMIT = "perdure:submit"  # the call that starts another run; it returns that run's id


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallInfo:
    """A durable call as the journal has it. One in flight is not there before its outcome is.

    Attributes:
        number: number in its action, from 1.
        function: identity of the callable.
        arguments: short text.
        status: "returned", "raised", "in doubt": begun, with a reconciler, and without outcome,
            "retrying": its newest attempt known of failed, and another is due or under way,
            "begun": an attempt began, and is under way or ended with its process, or
            "interrupted": its process ended in good order while an attempt was under way, which
            does not count.
        attempts: 1 and as many as failed and were followed by another.
        outcome: what it returned, in readable form.
        error: type, message, traceback and notes of what it, or its last attempt, raised, or None.
        started_at: when its first attempt began to execute, ns since the epoch.
        settled_at: when its outcome was journaled, ns since the epoch, 0 before.
        due_at: of one that is "retrying", when the next attempt is due, ns since the epoch, else 0.
        superseded: a retry or a re-execution made the call again.
        waited_for_thread: how long its attempts waited for a thread of the pool, ns; known of one
            with an outcome, like what follows, and told from a millisecond on.
        waited_for_limit: how long for their places under its limits.
        waited_for_retries: how long from each that failed until the next.
    """

    number: int
    function: str
    arguments: str
    status: str
    attempts: int
    outcome: Any
    error: dict[str, Any] | None
    started_at: int
    settled_at: int
    due_at: int
    superseded: bool
    waited_for_thread: int = 0
    waited_for_limit: int = 0
    waited_for_retries: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ActionTimeline:
    """What one action did on one event.

    Attributes:
        name: the action's name.
        event: number of the event that triggered it.
        event_type: that event's type.
        status: "completed", "unfinished", "failed", "cancelled", "timed out", or "stopped" because
            another action of the run failed.
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
class RunDetail:
    """Everything that the store has of one run.

    Attributes:
        run: its head.
        events: the input first, then in the order of their numbers.
        actions: in the order in which they began.
        memory: writes in the order of the completions.
        outputs: in commit order.
        retried_at: when it was put back, ns since the epoch.
        signals: in the order in which they came.
        children: in the order in which they were started.
        stopped: why its actions were asked to stop since it was last put back: "cancelled" or
            "timed out"; "" when they were not.
        stopped_at: when, ns since the epoch, else 0.
        commands: what was asked of it and is not carried out yet: "cancel", "retry" or
            "signal NAME".
        records: number of the journal's records that all this was read from.
    """

    run: RunInfo
    events: tuple[EventInfo, ...]
    actions: tuple[ActionTimeline, ...]
    memory: tuple[MemoryWrite, ...]
    outputs: tuple[OutputInfo, ...]
    retried_at: tuple[int, ...]
    signals: tuple[SignalInfo, ...]
    children: tuple[ChildInfo, ...]
    stopped: str
    stopped_at: int
    commands: tuple[str, ...]
    records: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """From when its first action began to the last time known of it, ns since the epoch."""
        times = [action.started_at for action in self.actions] or [self.run.admitted_at]
        first = min(times)
        times.append(self.run.finished_at)
        times += (max(signal.came_at, signal.taken_at) for signal in self.signals)
        for action in self.actions:
            times += (action.finished_at, action.cancelled_at, *action.timers)
            times += (call.settled_at for call in action.calls)
            if not self.run.status.is_final:  # else there will be no further attempt
                times += (call.due_at for call in action.calls)
        return first, max(times)


def build(
    info: RunInfo,
    records: Sequence[Record],
    outputs: Sequence[StoredOutput],
    codec: Codec,
    children: Mapping[str, RunInfo] | None = None,
    commands: Iterable[tuple[str, bytes | None]] = (),
) -> RunDetail:
    """Return what a run did.

    Args:
        info: its head.
        records: its journal in commit order.
        outputs: its outputs in commit order.
        codec: makes values readable.
        children: heads of the runs that it started, by id.
        commands: those left for it and not carried out, each with its payload.
    """
    completions = [
        (record, record.completion) for record in records if record.kind == RecordKind.COMPLETED
    ]
    events = _events(info, completions, codec)
    stop = _stop(records)
    return RunDetail(
        run=info,
        events=events,
        actions=_actions(info, records, {event.number: event.type for event in events}, codec),
        memory=tuple(_memory_writes(completions, codec)),
        outputs=tuple(output_info(output, codec) for output in outputs),
        retried_at=tuple(r.at for r in records if r.kind == RecordKind.RETRY),
        signals=tuple(_signals(records, codec)),
        children=tuple(_children(records, codec, children or {})),
        stopped=_reason(stop),
        stopped_at=stop.at if stop is not None else 0,
        commands=tuple(
            f"signal {decode_signal(payload or b'')[0]}" if command == "signal" else command
            for command, payload in commands
        ),
        records=len(records),
    )


def output_info(output: StoredOutput, codec: Codec) -> OutputInfo:
    """Return an output as people see it."""
    return OutputInfo(
        number=output.number, id=output.id, value=codec.to_json(output.value),
        delivered=bool(output.delivered),
    )  # fmt: skip


def children_of(records: Iterable[Record]) -> list[str]:
    """Return the ids of the runs that a run started, in the order of its journal."""
    codec = Codec()
    return [str(codec.to_json(record.outcome)) for record in submitted(records)]


def submitted(records: Iterable[Record]) -> Iterator[Record]:
    """Return the outcomes of calls that started a run; one made again started the same run."""
    seen = set()
    for record in records:
        call = (record.event, record.action, record.call)
        if record.kind == RecordKind.RESULT and record.function == SUBMIT and call not in seen:
            seen.add(call)
            yield record


def _children(
    records: Iterable[Record], codec: Codec, heads: Mapping[str, RunInfo]
) -> Iterator[ChildInfo]:
    for record in submitted(records):
        id_ = str(codec.to_json(record.outcome))
        yield ChildInfo(
            id=id_, run=heads.get(id_), action=record.action, event=record.event, call=record.call
        )


def _signals(records: Sequence[Record], codec: Codec) -> Iterator[SignalInfo]:
    """Return the signals; one that was given back, or whose action starts anew, is not taken."""
    came: dict[int, Record] = {}
    takers: dict[int, Record] = {}
    for record in records:
        if record.kind == RecordKind.SIGNAL:
            came[record.signal_id] = record
            takers.pop(record.signal_id, None)
        elif record.kind == RecordKind.TAKEN:
            takers[record.signal_id] = record
    held = {
        record.signal_id
        for history in fold(records).values()
        for record in history.settlements
        if record.kind == RecordKind.TAKEN
    }
    completed = {(r.event, r.action) for r in records if r.kind == RecordKind.COMPLETED}
    for id_, signal in sorted(came.items()):
        taken = takers.get(id_)
        if taken is not None and id_ not in held and (taken.event, taken.action) not in completed:
            taken = None
        yield SignalInfo(
            name=signal.signal_name,
            value=codec.to_json(signal.signal_value),
            came_at=signal.at,
            action=taken.action if taken is not None else "",
            event=taken.event if taken is not None else None,
            taken_at=taken.at if taken is not None else 0,
        )


def _stop(records: Iterable[Record]) -> Record | None:
    """Return the first CANCEL record since the run was last put back, if there is one."""
    stop = None
    for record in records:
        if record.kind == RecordKind.RETRY:
            stop = None
        elif record.kind == RecordKind.CANCEL and stop is None:
            stop = record
    return stop


def _reason(stop: Record | None) -> str:
    # Journals of the first version have none: then there was no other.
    return "" if stop is None else stop.reason or "cancelled"


def _events(
    info: RunInfo, completions: Sequence[tuple[Record, Completion]], codec: Codec
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
            attributes=codec.to_json(event.attributes),
            source_event=event.source_event,
            action=event.action,
        )
        for _, completion in completions
        for event in completion.events
    ]
    return (first, *sorted(sent, key=lambda event: event.number))


def _memory_writes(
    completions: Sequence[tuple[Record, Completion]], codec: Codec
) -> Iterator[MemoryWrite]:
    for record, completion in completions:
        kinds = {"sensory": completion.sensory, "short-term": completion.short_term}
        for memory, writes in kinds.items():
            for path, data in writes:
                yield MemoryWrite(
                    memory=memory,
                    path=path,
                    value=None if data is None else codec.to_json(data),
                    deleted=data is None,
                    action=record.action,
                    event=record.event,
                )


def _actions(
    info: RunInfo, records: Sequence[Record], types: dict[int, str], codec: Codec
) -> tuple[ActionTimeline, ...]:
    journals: dict[tuple[int, str], list[Record]] = {}
    for record in records:
        if record.action:  # else it is about the whole run
            journals.setdefault((record.event, record.action), []).append(record)
    ended = {key for key, own in journals.items() if _first(own, RecordKind.COMPLETED)}
    alone = len(journals) - len(ended) == 1
    stopped = _reason(_stop(records))
    actions = []
    for (event, name), own in journals.items():
        cancelled_at = _first(own, RecordKind.CANCEL)
        started_at, ended_at = _first(own, RecordKind.START), _first(own, RecordKind.COMPLETED)
        actions.append(
            ActionTimeline(
                name=name,
                event=event,
                event_type=types.get(event, ""),
                status=_action_status(
                    info.status, (event, name) in ended, stopped if cancelled_at else "", alone
                ),
                started_at=started_at,
                # The clock may have been set back in between.
                finished_at=ended_at and max(ended_at, started_at),
                calls=_Calls(codec).of(own),
                timers=tuple(r.at for r in own if r.kind == RecordKind.TIMER),
                cancelled_at=cancelled_at,
            )
        )
    return tuple(sorted(actions, key=lambda action: action.started_at))


_STATUSES = {
    RecordKind.RESULT: "returned",
    RecordKind.ERROR: "raised",
    RecordKind.PENDING: "in doubt",
    RecordKind.ATTEMPT: "retrying",
}
_ATTEMPTED = ("retrying", "begun", "interrupted")
_OPEN = ("in doubt", *_ATTEMPTED)  # without an outcome: the next record is of the same call


class _Calls:
    """Makes the calls of one action from its records, taken in commit order."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._calls: list[CallInfo] = []
        self._current: dict[int, int] = {}  # call -> its newest index in `_calls`
        self._settlements: list[tuple[int, int]] = []  # number of a settlement, index in `_calls`

    def of(self, records: Iterable[Record]) -> tuple[CallInfo, ...]:
        """Return the calls in the order of their numbers."""
        for record in records:
            if record.kind == RecordKind.CUT:
                if not record.is_of_timeout:
                    self._cut(record)
            elif record.kind == RecordKind.START:
                # Once more: the run was put back, and attempts are counted anew.
                for status in _ATTEMPTED:
                    self._supersede_open(status, 0)
            elif record.kind in _STATUSES:
                self._take(record)
        return tuple(sorted(self._calls, key=lambda call: call.number))

    def _take(self, record: Record) -> None:
        index = self._current.get(record.call)
        before = self._calls[index] if index is not None else None
        if index is not None and before is not None and before.status in _OPEN:
            self._calls[index] = self._call(record, before)
        else:
            if index is not None:
                self._supersede(index)
            index = len(self._calls)
            self._calls.append(self._call(record, None))
        self._current[record.call] = index
        if record.kind in SETTLEMENTS:
            self._settlements.append((record.n, index))

    def _call(self, record: Record, before: CallInfo | None) -> CallInfo:
        """Return a call as of its newest record; `before`: what it was, without an outcome."""
        if record.is_beginning:
            return self._begun_call(record, before)
        kind = RecordKind(record.kind)
        failed = kind in (RecordKind.ERROR, RecordKind.ATTEMPT)
        attempts = before.attempts if before else 1
        started_at = record.at if kind == RecordKind.PENDING else record.started_at
        started_at = before.started_at if before and before.attempts > 1 else started_at
        waited = unpack_waited(record.waited)
        return CallInfo(
            number=record.call,
            function=record.function,
            arguments=record.detail,
            status=_STATUSES[kind],
            attempts=record.attempts + 1 if kind == RecordKind.ATTEMPT else attempts,
            outcome=self._codec.to_json(record.outcome) if kind == RecordKind.RESULT else None,
            error=failure_summary(self._codec, record.failure or b"") if failed else None,
            started_at=started_at,
            settled_at=max(record.at, started_at) if kind in SETTLEMENTS else 0,
            due_at=record.due_at if kind == RecordKind.ATTEMPT else 0,
            superseded=False,
            waited_for_thread=waited.thread,
            waited_for_limit=waited.limit,
            waited_for_retries=waited.retries,
        )

    def _begun_call(self, record: Record, before: CallInfo | None) -> CallInfo:
        """Return a call of which an attempt began, or, once it is taken back, did not count."""
        number = record.attempts
        taken_back = before is not None and before.status == "begun" and number < before.attempts
        return CallInfo(
            number=record.call,
            function=record.function,
            arguments=record.detail,
            status="interrupted" if taken_back else "begun",
            attempts=before.attempts if before is not None and taken_back else max(number, 1),
            outcome=None,
            error=before.error if before is not None else None,
            started_at=before.started_at if before is not None else record.at,
            settled_at=0,
            due_at=0,
            superseded=False,
        )

    def _cut(self, cut: Record) -> None:
        for n, index in self._settlements:
            if n >= cut.void_from:
                self._supersede(index)
        for status in _OPEN:
            self._supersede_open(status, cut.call)

    def _supersede_open(self, status: str, first: int) -> None:
        """Leave calls from number `first` on behind as they stand: they are made again."""
        for number, index in list(self._current.items()):
            if number >= first and self._calls[index].status == status:
                self._supersede(index)
                del self._current[number]

    def _supersede(self, index: int) -> None:
        self._calls[index] = dataclasses.replace(self._calls[index], superseded=True)


def _first(records: Iterable[Record], kind: RecordKind) -> int:
    """Return the time of the first record of a kind, 0 without one."""
    return next((record.at for record in records if record.kind == kind), 0)


def _action_status(run: RunStatus, completed: bool, stopped: str, alone: bool) -> str:
    """Return how an action stands.

    Args:
        run: how its run stands.
        completed: it completed.
        stopped: why it was asked to stop, "" if it was not.
        alone: it is the only one that did not complete.
    """
    if run is RunStatus.CANCELLED and (stopped or not completed):
        return "cancelled"
    if run is RunStatus.FAILED and stopped == "timed out":
        return stopped
    if completed:
        return "completed"
    if run is RunStatus.FAILED:
        return "failed" if alone else "stopped"
    return "unfinished"
