"""Whether a journal can have been written so: what recovery and those who look ask of it. Pure.

A journal is written by one process at a time and in order, so its numbers follow each other. What
does not fit comes from a damaged store, and replaying it would do something else than was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from perdure.errors import DecodeError
from perdure.journal.record import OF_RUN, SETTLEMENTS, Completion, Record, RecordKind

__all__ = ["Problem", "contradiction", "described", "unreadable"]

LATEST = 2**62  # ns since the epoch, in the year 2116: no clock has shown it

_OUTCOMES = frozenset((RecordKind.RESULT, RecordKind.ERROR))
_FAILURES = frozenset((RecordKind.ERROR, RecordKind.ATTEMPT, RecordKind.PENDING))
_OF_CALLS = _OUTCOMES | {RecordKind.PENDING, RecordKind.ATTEMPT}
_WITHOUT_CALL = frozenset(
    (RecordKind.START, RecordKind.TIMER, RecordKind.CANCEL, RecordKind.TAKEN, RecordKind.COMPLETED)
)
_WITH_PAYLOAD = _OUTCOMES | {
    RecordKind.COMPLETED, RecordKind.SIGNAL, RecordKind.TAKEN, RecordKind.NOTE,
}  # fmt: skip

_NO_PAYLOAD = "it has no payload"

Problem = tuple[Record, str]


def described(record: Record) -> str:
    """Return which record of its run one is."""
    kind = RecordKind(record.kind).name
    call = f" of call {record.call}" if record.call else ""
    action = f" of action {record.action!r} on event {record.event}" if record.action else ""
    return f"{kind}{call}{action}"


def contradiction(records: Iterable[Record]) -> Problem | None:
    """Return the first record of a run that cannot follow those before it, and why.

    Args:
        records: the run's journal in commit order, of known kinds.

    Raises:
        DecodeError: a completion cannot be read.
    """
    run = _Run()
    for record in records:
        wrong = not run.goes_on(record) and (_misshapen(record) or run.take(record))
        if wrong:
            return record, wrong
    return None


def unreadable(
    records: Sequence[Record],
    read: Callable[[bytes], object],
    read_failure: Callable[[bytes], object],
) -> Problem | None:
    """Return the first record with a value that cannot be read, and why.

    Args:
        records: the run's journal.
        read: reads an encoded value, rebuilding no type.
        read_failure: likewise a failure.
    """
    for record in records:
        if record.kind in _WITH_PAYLOAD and record.payload is None:
            return record, _NO_PAYLOAD
        try:
            for data in _values(record):
                read(data)
            if record.kind in _FAILURES and record.failure is not None:
                read_failure(record.failure)
        except DecodeError as error:
            return record, str(error)
    return None


def _values(record: Record) -> list[bytes]:
    """Return the encoded values that a record holds."""
    if record.kind != RecordKind.COMPLETED:
        return [] if record.payload is None else [record.payload]
    did = record.completion
    values = [event.attributes for event in did.events]
    return values + [data for _, data in (*did.sensory, *did.short_term) if data is not None]


def _misshapen(record: Record) -> str:
    kind = record.kind
    if record.at > LATEST or record.started_at > LATEST:
        if kind not in (RecordKind.ATTEMPT, RecordKind.PENDING):  # they say when one is due
            return "its time is beyond all clocks"
    if kind in _WITH_PAYLOAD and record.payload is None:
        return _NO_PAYLOAD
    if kind in OF_RUN:
        return "it is the whole run's and names an action" if record.action else ""
    if not record.action:
        return "it names no action"
    if kind in _OF_CALLS:
        return "" if record.call else "it names no call"
    return f"it names call {record.call}" if record.call and kind in _WITHOUT_CALL else ""


class _Run:
    """What a run's journal says so far."""

    def __init__(self) -> None:
        self._completions = 0
        self._did: Completion | None = None
        self._events = {0}
        self._completed: set[tuple[int, str]] = set()
        self._actions: dict[tuple[int, str], _Action] = {}
        self._newest: tuple[int, str, _Action] | None = None  # whose record was the last

    def goes_on(self, record: Record) -> bool:
        """Take in an outcome of a call of the action whose record was the last, if it fits.

        That is what most records are: what `take` does, in fewer steps. False for all others.
        """
        if self._newest is None:
            return False
        _, event, action, n, kind, call, _, _, _, payload, started_at, at, _, _ = record
        newest_event, name, newest = self._newest
        if event != newest_event or action != name or kind not in _OUTCOMES:
            return False
        if not call or payload is None or at > LATEST or started_at > LATEST:
            return False
        return newest.settles(n, call)

    def take(self, record: Record) -> str:
        """Take in the next record; return what is wrong with it."""
        kind = record.kind
        self._newest = None
        if kind in OF_RUN:
            if kind == RecordKind.RETRY:
                for begun in self._actions.values():
                    begun.retried()
            return ""
        if record.event not in self._events:
            return f"there is no event {record.event}"
        key = (record.event, record.action)
        if kind == RecordKind.COMPLETED:
            self._actions.pop(key, None)
            return self._complete(record, key)
        action = self._actions.get(key)
        if action is None:
            action = self._actions[key] = _Action()
        if kind == RecordKind.START and record.version > self._completions:
            return f"it reads version {record.version} of a memory with {self._completions}"
        self._newest = (*key, action)
        return action.take(record)

    def _complete(self, record: Record, key: tuple[int, str]) -> str:
        if key in self._completed:
            return "the action completed before"
        if record.version != self._completions + 1:
            return f"it is completion {record.version} of the run, after {self._completions}"
        self._completed.add(key)
        self._completions += 1
        did = record.completion
        for event in did.events:
            if event.number in self._events:
                return f"event {event.number} was sent before"
            if event.source_event not in self._events:
                return f"there is no event {event.source_event}"
        self._events.update(event.number for event in did.events)
        before, self._did = self._did, did
        if before is not None and (did.outputs < before.outputs or did.created < before.created):
            return "the run had more outputs or events before"
        return ""


class _Action:
    """What the journal of an action says so far."""

    def __init__(self) -> None:
        self._has_start = False
        self._was_retried = False
        self._last = 0
        self._settled: set[int] = set()

    def retried(self) -> None:
        """The run was put back: a part of the journal no longer counts."""
        self._was_retried = True
        self._last = 0
        self._settled.clear()

    def settles(self, n: int, call: int) -> bool:
        """Take in a settlement, of a call where it is an outcome and else of 0.

        False, and nothing is done, where it does not fit.
        """
        if not (self._has_start or self._was_retried) or n <= self._last or call in self._settled:
            return False
        self._last = n
        if call:
            self._settled.add(call)
        return True

    def take(self, record: Record) -> str:
        """Take in the next record of the action; return what is wrong with it."""
        kind = record.kind
        if kind == RecordKind.START:
            self._has_start = True
        elif kind == RecordKind.CUT:
            self._last = min(self._last, max(record.void_from - 1, 0))
            self._settled = {call for call in self._settled if call < record.call}
        elif kind in SETTLEMENTS:
            call = record.call if kind in _OUTCOMES else 0
            if not self.settles(record.n, call):
                return self._misfit(record.n, call)
        return ""

    def _misfit(self, n: int, call: int) -> str:
        """Return why a settlement does not fit."""
        if not (self._has_start or self._was_retried):
            return "the action has no START"
        if n <= self._last:
            return f"it is settlement {n}, after settlement {self._last}"
        return f"call {call} has an outcome already"
