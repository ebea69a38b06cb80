"""What actions must have done by the rules of their START records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from perdure.codec.codec import Codec
from perdure.journal.record import Completion, Record, RecordKind
from perdure.run import run_id
from perdure.runtime.run.identity import RunIdentity
from perdure.store.base import OutputRow
from perdure.testing.simulation.compare import Difference
from perdure.testing.simulation.lives import JOB
from perdure.testing.simulation.programs import ActionProgram, Program
from perdure.testing.simulation.store import Tables

AFTER = {"set": "value", "object": "object", "below": "object", "update": "object"}


def rule_invariant(program: Program) -> Callable[[Tables], Iterator[Difference]]:
    """Return what yields what of the actions of `program` is not by the rules of their START."""
    codec = Codec()
    actions = {action.name: action for action in program.actions}

    def invariant(tables: Tables) -> Iterator[Difference]:
        for run, records in tables.records.items():
            for text in _Run(tables, run, actions, codec).wrong(records):
                yield Difference(f"run {run_id(run)}: {text}", run)

    return invariant


class _Run:
    """The completed actions of one run."""

    def __init__(
        self, tables: Tables, run: int, actions: Mapping[str, ActionProgram], codec: Codec
    ) -> None:
        row = tables.runs[run]
        self._tables = tables
        self._run = run
        self._actions = actions
        self._codec = codec
        self._identity = RunIdentity(JOB, tables.keys[row.key].digest, row.sequence)
        self._is_child = isinstance(codec.decode(row.value), list)

    def wrong(self, records: Sequence[Record]) -> Iterator[str]:
        """Yield what is not right."""
        rules: dict[tuple[int, str], int | None] = {}
        outputs = 0
        for record in records:
            place = (record.event, record.action)
            if record.kind == RecordKind.START:
                rules[place] = record.rules
            elif record.kind == RecordKind.COMPLETED:
                done = record.completion
                rows = [
                    self._tables.outputs[self._run, n] for n in range(outputs + 1, done.outputs + 1)
                ]
                outputs = done.outputs
                for text in self._action(record, rules[place], done, rows):
                    yield (
                        f"action {record.action!r} of event {record.event}, begun by rules"
                        f" {rules[place]}, {text}"
                    )

    def _action(
        self, record: Record, rules: int | None, done: Completion, rows: Sequence[OutputRow]
    ) -> Iterator[str]:
        ids = _Ids(rules, lambda n: self._identity.event(record.event, record.action, n))
        noted = self._codec.decode(rows[-1].value)[2:]
        for what, *saw in noted[0] if noted else ():
            if what == "write":
                yield from _write(rules, *saw)
                continue
            wanted = ids.make(output=saw[0]) if what == "make" else ids.send(saw[0])
            if saw[1] != wanted:
                yield f"saw id {saw[1]!r}, not {wanted!r}, when it {what}s event {saw[0]}"
        for _ in range(0 if self._is_child else self._actions[record.action].sends_count):
            ids.make_and_send(output=False)
        ids.make_and_send(output=True)
        for kind, found in (("events", done.events), ("outputs", rows)):
            sent = [each.id for each in found]
            right = [id_ for is_output, id_ in ids.sent if is_output is (kind == "outputs")]
            if sent != right:
                yield f"sent {kind} {sent}, not {right}"


class _Ids:
    """The ids of the events that one action makes and sends, by its rules."""

    def __init__(self, rules: int | None, derive: Callable[[int], str]) -> None:
        self.sent: list[tuple[bool, str]] = []  # whether it is an output, its id
        self._rules = rules
        self._derive = derive
        self._given = 0
        self._made: list[tuple[bool, str]] = []

    def make(self, *, output: bool) -> str:
        """Return the id of an event that is made."""
        self._made.append((output, "" if self._rules is None else self._next()))
        return self._made[-1][1]

    def send(self, place: int) -> str:
        """Return the id by which an event goes: its place among those made, or -1."""
        output, id_ = (False, "") if place < 0 else self._made[place]
        if self._rules is None or not id_ or (output, id_) in self.sent:
            id_ = self._next()
        if place >= 0:
            self._made[place] = (output, id_)
        self.sent.append((output, id_))
        return id_

    def make_and_send(self, *, output: bool) -> None:
        """An event is made to be sent at once."""
        self.make(output=output)
        self.send(len(self._made) - 1)

    def _next(self) -> str:
        self._given += 1
        return self._derive(self._given)


def _write(
    rules: int | None, how: str, overwrite: bool, there: str, outcome: str, after: str
) -> Iterator[str]:
    conflicts = there == ("object" if how == "set" else "value")
    refused = conflicts and rules is not None and not overwrite
    wanted = ("refused", there) if refused else ("written", AFTER[how])
    if (outcome, after) != wanted:
        yield f"saw {how!r} over {there!r} come to {outcome, after}, not {wanted}"


__all__: Sequence[Any] = ["rule_invariant"]
