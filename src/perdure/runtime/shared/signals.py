"""Signals: what comes for a run from outside, kept until one of its actions takes it, once.

A signal that came is a record of the run. When an action waits for its name, a TAKEN settlement
hands it to that action, and to no other. What an action has taken and not used when it completes
goes back to the run in the commit of its completion: so a wait that lost a race loses nothing.
"""

from __future__ import annotations

import bisect
import collections
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from perdure.call import DurableCall
from perdure.journal.journal import ActionHistory
from perdure.journal.record import Record, RecordKind


class SignalBox:
    """The signals of a run that no action has taken, in the order in which they came.

    Owns: those signals. Lifecycle: that of the run's execution.

    Args:
        left: those that no action holds.
        known: the `at` of all that the journal has.
    """

    def __init__(self, left: Sequence[Record], known: Collection[int]) -> None:
        self._left = list(left)
        self._known = set(known)

    def add(self, signal: Record) -> bool:
        """Take in a signal; False when it is known already."""
        if signal.signal_id in self._known:
            return False
        self._known.add(signal.signal_id)
        bisect.insort(self._left, signal, key=lambda record: record.signal_id)
        return True

    def give_back(self, signals: Iterable[Record]) -> None:
        """Take back what an action has not used; it stands where it stood."""
        for signal in signals:
            bisect.insort(self._left, signal, key=lambda record: record.signal_id)

    def take(self, name: str, until: int | None) -> Record | None:
        """Hand over the first signal with this name, if there is one.

        Args:
            name: the name.
            until: one that came later stays; None for any.
        """
        for index, signal in enumerate(self._left):
            if signal.signal_name == name:
                is_late = until is not None and signal.signal_id > until
                return None if is_late else self._left.pop(index)
        return None

    def has(self, name: str) -> bool:
        """Say whether there is a signal with this name."""
        return any(signal.signal_name == name for signal in self._left)


class ActionSignals:
    """The waits of one action, and what it was handed.

    Owns: the waits, the signals on their way to the action and those that it has not used. What
    is here changes only with settlements and in turns, so it is the same on replay.

    Args:
        handed: the TAKEN settlements that the journal has of the action.
    """

    def __init__(self, handed: Iterable[Record]) -> None:
        self._waits: dict[str, collections.deque[DurableCall[Any]]] = {}
        # What the action is going to be handed, by signal: in a commit, or in the replay.
        self._coming = {taken.signal_id: taken.given_back for taken in handed}
        self._unused: list[Record] = []

    def wait(self, name: str, call: DurableCall[Any]) -> Record | None:
        """Take note of a wait; return the signal that answers it at once, if there is one."""
        waits = self._waits.setdefault(name, collections.deque())
        for index, signal in enumerate(self._unused):
            if signal.signal_name == name:
                return self._unused.pop(index)
        while waits and waits[0].done():
            waits.popleft()  # an action that polls makes many
        waits.append(call)
        return None

    def has_waited(self, name: str) -> bool:
        """Say whether the action ever waited for this name."""
        return name in self._waits

    def next_wait(self, name: str) -> DurableCall[Any] | None:
        """Return the wait for this name that the next signal is for, behind those on their way.

        None where there is none. Another one gets it, if that wait ends before it is delivered.
        """
        waits = self._waits.get(name)
        if not waits:
            return None
        coming = sum(signal.signal_name == name for signal in self._coming.values())
        is_open = (call for call in waits if not call.done())
        return next(itertools.islice(is_open, coming, None), None)

    def open_names(self) -> list[str]:
        """Return the names that are waited for now."""
        return [name for name, waits in self._waits.items() if any(not c.done() for c in waits)]

    @property
    def is_coming(self) -> bool:
        """True while a signal is on its way to the action."""
        return bool(self._coming)

    def cut(self) -> list[Record]:
        """Return, when replay is over, the signals that it has left out (`reexecute`)."""
        left_out = list(self._coming.values())
        self._coming.clear()
        return left_out

    def coming(self, signal: Record) -> None:
        """Take note that a signal is on its way to the action."""
        self._coming[signal.signal_id] = signal

    def deliver(self, taken: Record) -> DurableCall[Any] | None:
        """Return the wait that a TAKEN settlement answers; None where it lost a race, say."""
        self._coming.pop(taken.signal_id, None)
        waits = self._waits.get(taken.signal_name)
        while waits:
            call = waits.popleft()
            if not call.done():
                return call
        self._unused.append(taken)
        return None

    def goes_on(self, name: str, call: DurableCall[Any]) -> None:
        """Put back the wait that `deliver` gave: the signal was no answer to it."""
        self._waits[name].appendleft(call)

    def close(self) -> None:
        """Let go of the waits: the action has ended."""
        self._waits.clear()

    def left_over(self) -> list[Record]:
        """Return, as signals of the run, what the action was handed and has not used."""
        unused = [taken.given_back for taken in self._unused]
        return [*unused, *self._coming.values()]


def left_in_journal(
    records: Iterable[Record],
    completed: set[tuple[int, str]],
    unfinished: Mapping[tuple[int, str], ActionHistory],
) -> list[Record]:
    """Return the signals of a run that no action holds, in the order in which they came.

    Args:
        records: the run's journal in commit order.
        completed: its completed actions.
        unfinished: histories of the others; a retry or a cut has taken settlements out of them.
    """
    signals: dict[int, Record] = {}
    holders: dict[int, tuple[int, str]] = {}
    for record in records:
        if record.kind == RecordKind.SIGNAL:
            signals[record.signal_id] = record
            holders.pop(record.signal_id, None)
        elif record.kind == RecordKind.TAKEN:
            holders[record.signal_id] = (record.event, record.action)
    held = {
        record.signal_id
        for history in unfinished.values()
        for record in history.settlements
        if record.kind == RecordKind.TAKEN
    }
    return [
        signals[id_]
        for id_ in sorted(signals)
        if id_ not in held and holders.get(id_) not in completed
    ]
