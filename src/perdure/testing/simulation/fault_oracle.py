"""What is right of a job in a bad world, by its program and by what happened to it.

It reads the journal itself: what an action has seen follows from its settlements, one for each of
its steps, and each settlement has to be one that the program, the crashes and the clock allow.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from perdure.codec.codec import Codec
from perdure.codec.failure import failure_summary
from perdure.config.configuration import Configuration
from perdure.journal.record import SETTLEMENTS, Record, RecordKind
from perdure.run import STATUS_BY_NUMBER, RunStatus, run_id
from perdure.store.base import OutputRow, RunRow, StatusRow
from perdure.testing.execution import CallKey
from perdure.testing.simulation.calls import Start
from perdure.testing.simulation.compare import Difference
from perdure.testing.simulation.fault_lives import CRON, Lived, Past, admitted_run, commands_in
from perdure.testing.simulation.fault_programs import FaultProgram
from perdure.testing.simulation.programs import SECONDS, ActionProgram, Step
from perdure.testing.simulation.random_agents import NEVER, UnluckyError, digest
from perdure.testing.simulation.random_faults import COUNT, first_seen, next_seen, tag_of, told

MINUTE = 60_000_000_000
GRAIN = 1_000  # ns that a deadline is rounded up by at most: an action has it in seconds
ENDED = "the process ended during attempt"


class Oracle:
    """Says what is wrong with what a job left behind.

    Args:
        program: what was simulated.
        lived: what came of it, in all its lives.
        codec: decodes its values.
    """

    def __init__(self, program: FaultProgram, lived: Lived, codec: Codec) -> None:
        self._program = program
        self._past: Past = lived.past
        self._tables = lived.tables
        self._problems = lived.problems
        self._codec = codec
        self._actions = {action.trigger: action for action in program.actions}
        self._executed: dict[CallKey, list[Start]] = defaultdict(list)
        for start in self._past.starts:
            if not start.reconciles:
                self._executed[start.attempt.call].append(start)
        self._sent = commands_in(self._past.batches)
        self._written: dict[int, int] = {}  # id of a record -> its batch
        for n, batch in enumerate(self._past.batches):
            for row in batch:
                if type(row) is Record:
                    self._written[id(row)] = n
                    if row.kind == RecordKind.SIGNAL:  # its commit may have had to wait
                        at = max(row.signal_id, self._past.moments[n].instant)
                        self._sent.setdefault((row.run, row.signal_name), at)

    def wrong(self) -> Iterator[Difference]:
        """Yield what is not right."""
        for problem in self._problems:
            yield Difference(problem)
        for run, row in self._tables.runs.items():
            if STATUS_BY_NUMBER[row.status].is_final:
                yield from self._run(row)
            elif not self._may_stay(row):
                status = STATUS_BY_NUMBER[row.status].value
                yield Difference(f"run {run_id(run)} has not ended: {status}", run)
        yield from self._inputs()
        yield from self._order()
        yield from self._memory()
        yield from self._file()
        yield from self._rates()
        for start in self._past.starts:
            if not start.writes:
                text = f"{start.attempt} began while the store did not write"
                yield Difference(text, start.attempt.call[0])
        if self._program.has_schedule:
            yield from self._ticks()

    def _may_stay(self, row: RunRow) -> bool:
        """Say whether a run may be left to the next process: one that is due later may."""
        # One that has come due meanwhile is queued when that is written.
        return bool(row.due) and (row.due > self._past.spans[-1][1] or self._program.troubles.any)

    # A run

    def _run(self, row: RunRow) -> Iterator[Difference]:
        records: dict[tuple[int, str], list[Record]] = defaultdict(list)
        for record in self._tables.records.get(row.run, ()):
            if record.action:
                records[record.event, record.action].append(record)
        where = f"run {run_id(row.run)}"
        completed = set()
        expected = []
        given: Any = self._codec.decode(row.value)
        for event, trigger in enumerate(("", "more")):
            action = self._actions.get(trigger)
            if action is None:
                break
            mine = next((found for key, found in records.items() if key[1] == action.name), [])
            replayed = _Replayed(self, action, given, mine)
            for text in replayed.wrong():
                yield Difference(
                    f"{where}, action {action.name!r} of event {event}: {text}", row.run
                )
            if not any(record.kind == RecordKind.COMPLETED for record in mine):
                break
            completed.add(action.name)
            expected.append([action.name, replayed.seen])
            given = replayed.seen
        outputs = [
            self._codec.decode(output.value)
            for output in sorted(self._tables.outputs.values(), key=lambda output: output.number)
            if output.run == row.run
        ]
        if outputs != expected:
            yield Difference(f"{where} has the outputs {outputs}, not {expected}", row.run)
        yield from self._status(row, records, len(completed) == len(self._actions))

    def _status(
        self, row: RunRow, records: dict[tuple[int, str], list[Record]], is_complete: bool
    ) -> Iterator[Difference]:
        status, where = STATUS_BY_NUMBER[row.status], f"run {run_id(row.run)}"
        error = failure_summary(self._codec, row.error) if row.error is not None else None
        name = error["type"].rsplit(".", 1)[-1] if error is not None else ""
        fails = any(step.op == "fail" for a in self._program.actions for step in a.steps)
        timeout = self._program.config.get("run-timeout")
        allowed = {""} | ({UnluckyError.__name__} if fails else set())
        if name == "TimeoutError" and timeout is not None:
            allowed.add(name)
        elif is_complete != (status is RunStatus.COMPLETED):
            text = f"{where} is {status.value}, with all its actions complete: {is_complete}"
            yield Difference(text, row.run)
        if name not in allowed:
            yield Difference(f"{where} failed with {error}", row.run)
        starts = [r.at for each in records.values() for r in each if r.kind == RecordKind.START]
        if timeout is not None and starts:
            settled = [r.at for each in records.values() for r in each if r.kind in SETTLEMENTS]
            deadline = min(starts) + int(timeout * 1e9)
            if text := self._too_late(name, deadline, [*settled, row.finished_at]):
                yield Difference(f"{where} {text}", row.run)

    def _too_late(self, error: str, deadline: int, times: Sequence[int]) -> str:
        """Return what is wrong with the times of a run that has a deadline, "" if nothing is."""
        last = max(times)
        if error == "TimeoutError" and last < deadline:
            return f"timed out {(deadline - last) / 1e9:.6f} s early"
        # A process that comes up when the time is over ends the run in that instant.
        began = max(begin for begin, _ in self._past.spans if begin <= last)
        if last > max(deadline, began) and not self._program.troubles.any:
            return f"went on {(last - max(deadline, began)) / 1e9:.6f} s after its run-timeout"
        return ""

    # What the steps of an action may come to

    def allows(self, step: Step, tag: str, seen: str, record: Record, before: int) -> str:
        """Return why a settlement of a step is wrong, "" where it is right.

        Args:
            step: the step.
            tag: what its call is told apart by.
            seen: what the action had seen before.
            record: the settlement.
            before: when the one before was, ns since the epoch.
        """
        if step.op == "sleep":
            due = before + round(step.args["units"] * SECONDS * 1e9)
            if record.kind != RecordKind.TIMER:
                return "a sleep was not settled by time"
            return (
                "" if record.at >= due else f"it slept {(due - record.at) / 1e9:.6f} s too little"
            )
        if step.op == "answer":
            return self._answer(step, record, before)
        if record.kind not in (RecordKind.RESULT, RecordKind.ERROR):
            return f"a call was settled by {RecordKind(record.kind).name}"
        outcome = self.outcome(record)
        returned = digest(tag, seen)
        if step.op == "counted":
            return self._counted(step, tag, returned, record, outcome)
        fails = NEVER if step.op == "fail" else step.args.get("fails", 0)
        attempts = step.args.get("attempts", 1)
        wanted = returned if fails < attempts else self.unlucky(tag, attempts)
        return "" if outcome == wanted else f"its call {tag} came to {outcome!r}, not {wanted!r}"

    @staticmethod
    def is_stale(step: Step, record: Record, before: int) -> bool:
        """Say whether a settlement came for a wait that something else has ended."""
        if record.kind == RecordKind.TAKEN:
            return step.args.get("name") != record.signal_name
        units = step.args["units"] if step.op in ("sleep", "answer") else math.inf
        return record.kind == RecordKind.TIMER and record.at < before + units * SECONDS * 1e9 - 1

    def outcome(self, record: Record) -> Any:
        """Return what an action sees of a settlement."""
        if record.kind == RecordKind.RESULT:
            return self._codec.decode(record.outcome)
        if record.kind == RecordKind.ERROR:
            summary = failure_summary(self._codec, record.outcome)
            return told(summary["type"].rsplit(".", 1)[-1], summary["message"])
        return self._codec.decode(record.signal_value) if record.kind == RecordKind.TAKEN else None

    @staticmethod
    def unlucky(tag: str, attempt: int) -> str:
        """Return what a call comes to whose attempt number `attempt` was the last and failed."""
        return told(UnluckyError.__name__, f"{tag}, attempt {attempt}")

    def _answer(self, step: Step, record: Record, before: int) -> str:
        deadline = before + round(step.args["units"] * SECONDS * 1e9)
        name = step.args["name"]
        sent = self._sent.get((record.run, name))
        if record.kind == RecordKind.TIMER:
            if record.at < deadline:
                return f"the wait for {name!r} was over before its time"
            if sent is not None and sent < deadline:
                early = (deadline - sent) / 1e9
                return f"the signal {name!r}, durable {early:.6f} s before the deadline, has lost"
            return ""
        if record.kind != RecordKind.TAKEN or record.signal_name != name:
            return f"the wait for {name!r} was settled by {record}"
        if sent is None or self.outcome(record) != name:
            return f"the wait for {name!r} was given {self.outcome(record)!r}"
        if sent > deadline + GRAIN and not self._program.troubles.any:
            return f"the signal {name!r} has won {(sent - deadline) / 1e9:.6f} s after the deadline"
        return ""

    def _counted(self, step: Step, tag: str, returned: str, record: Record, outcome: Any) -> str:
        """A crash takes an attempt: none is made again, and with the last one the call fails."""
        fails, most = step.args["fails"], step.args["attempts"]
        call = (record.run, record.event, record.action, record.call)
        numbers = [start.attempt.number for start in self._executed[call]]
        if len(numbers) != len(set(numbers)) and not self._program.troubles.any:
            return f"a call that counts crashes executed its attempts again: {numbers}"
        if max(numbers, default=0) > most:
            return f"a call was attempted {max(numbers)} times, not {most}"
        begun, crashed = self._attempts(call, self._written.get(id(record), 0))
        if len(begun) != len(set(begun)) and not self._program.troubles.any:
            return f"a call that counts crashes began its attempts again: {begun}"
        if outcome == returned:
            return "" if max(numbers, default=0) > fails else f"{tag} returned without an attempt"
        if begun[-1] != most:
            which = f"attempt {begun[-1]} of {most}"
            return f"a call that counts crashes came to {outcome!r} with {which}"
        if outcome == self.unlucky(tag, most) and fails >= most:
            return ""
        if outcome.startswith("RetryableError: " + ENDED) and crashed:
            return ""
        which = f"its last attempt crashed: {crashed}"
        return f"a call that counts crashes came to {outcome!r}; {which}"

    def _attempts(self, call: CallKey, before: int) -> tuple[list[int], bool]:
        """Return the numbers of the attempts that began, and whether the last has crashed."""
        begun, where = [0], 0
        for n, batch in enumerate(self._past.batches[: before + 1]):
            for row in batch:
                if type(row) is Record and (row.run, row.event, row.action, row.call) == call:
                    if row.is_beginning:
                        begun.append(row.attempts)
                        where = n
        return begun, any(where < crash <= before for crash in self._past.crashes)

    # The job

    def _inputs(self) -> Iterator[Difference]:
        """Each input is one run, and those of a key are in the order of the source."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for position, (key, _) in enumerate(self._program.inputs):
            run = admitted_run(self._tables, position)
            if run is None:
                yield Difference(f"input {position} was lost")
            else:
                numbers[key].append(self._tables.runs[run].sequence)
        for key, sequences in numbers.items():
            if sequences != sorted(set(sequences)):
                yield Difference(f"the inputs of key {key!r} are its runs number {sequences}")

    def _order(self) -> Iterator[Difference]:
        """The runs of a key begin when the one before has ended (G1)."""
        began: dict[int, int] = {}
        ended: dict[int, int] = {}
        for n, batch in enumerate(self._past.batches):
            for row in batch:
                if type(row) is Record and row.kind in (*SETTLEMENTS, RecordKind.START):
                    began.setdefault(row.run, n)
                elif type(row) is StatusRow and STATUS_BY_NUMBER[row.status].is_final:
                    ended.setdefault(row.run, n)
        by_key: dict[int, list[RunRow]] = defaultdict(list)
        for run in began:
            by_key[self._tables.runs[run].key].append(self._tables.runs[run])
        for rows in by_key.values():
            rows.sort(key=lambda row: row.place)
            for one, other in itertools.pairwise(rows):
                if ended.get(one.run, 1 << 62) >= began[other.run]:
                    text = f"run {run_id(other.run)} began before {run_id(one.run)} had ended"
                    yield Difference(text, other.run)

    def _memory(self) -> Iterator[Difference]:
        """Each completed action of a run that has ended has counted once."""
        updates = {
            action.name: sum(step.op == "update" for step in action.steps)
            for action in self._program.actions
        }
        counts: Counter[int] = Counter()
        for run, records in self._tables.records.items():
            if not STATUS_BY_NUMBER[self._tables.runs[run].status].is_final:
                continue  # it becomes the key's with the run's end
            done = {(r.event, r.action) for r in records if r.kind == RecordKind.COMPLETED}
            counts[self._tables.runs[run].key] += sum(updates[name] for _, name in done)
        for key in self._tables.keys:
            cell = self._tables.memory.get(key, {}).get(COUNT)
            found = self._codec.decode(cell.data) if cell is not None and cell.data else 0
            if found != counts[key]:
                yield Difference(f"key {key & 0xFFFF} has counted to {found}, not {counts[key]}")

    def _file(self) -> Iterator[Difference]:
        """The output file has each output once, those of a key in its order (G4)."""
        tables = self._tables
        text = self._past.files[-1].decode() if self._past.files else ""
        lines = [json.loads(line) for line in text.splitlines()]
        left = [row for row in tables.outputs.values() if self._is_left(row)]
        outputs = sorted(
            (row for row in tables.outputs.values() if row not in left),
            key=lambda row: (tables.runs[row.run].place, row.number),
        )
        wanted = [self._codec.decode(row.value) for row in outputs]
        needed = Counter(map(repr, wanted))
        allowed = needed + Counter(repr(self._codec.decode(row.value)) for row in left)
        if not needed <= Counter(map(repr, lines)) <= allowed:
            yield Difference(f"the output file has {lines}, not {wanted}")
        by_key: dict[int, list[Any]] = defaultdict(list)
        for row, value in zip(outputs, wanted, strict=True):
            by_key[tables.runs[row.run].key].append(value)
            if not row.delivered:
                yield Difference(f"an output of run {run_id(row.run)} is not marked delivered")
        for values in by_key.values():
            if [line for line in lines if line in values] != values:
                yield Difference(f"outputs of one key stand as {lines}, not as {values}")

    def _is_left(self, row: OutputRow) -> bool:
        """Say whether an output is the next life's to deliver.

        A job that ends while its store fails leaves the runs that it was to read again.
        """
        is_final = STATUS_BY_NUMBER[self._tables.runs[row.run].status].is_final
        return not (row.delivered or is_final) and self._program.troubles.any

    def _rates(self) -> Iterator[Difference]:
        """No more attempts begin within a limit's time than it allows, in any one process."""
        limit = Configuration(self._program.config).limits()["rated"]
        rate, per = limit.rate or 1, round(limit.per * 1e9)
        lives: dict[int, list[int]] = defaultdict(list)
        for start in self._past.starts:
            if "rated" in start.limits:
                life = sum(begin <= start.at for begin, _ in self._past.spans)
                lives[life].append(start.at)
        for times in lives.values():
            for first, last in zip(times, times[rate:], strict=False):
                if last - first < per:
                    within = f"{(last - first) / 1e9:.6f} s, not {per / 1e9} s"
                    yield Difference(f"{rate + 1} attempts began within {within}")

    def _ticks(self) -> Iterator[Difference]:
        """Each tick is one run; of those that passed while no process ran, the first."""
        found = Counter(
            self._codec.decode(row.value)
            for row in self._tables.runs.values()
            if self._codec.decode(self._tables.keys[row.key].value) == CRON
        )
        for value, count in found.items():
            if count > 1:
                yield Difference(f"the tick at {value} is {count} runs")
        if self._program.troubles.any:
            return  # when a schedule begins in a store that fails is a matter of luck
        certain, possible = _ticks_of(self._past.spans)
        if not certain <= set(found) <= certain | possible:
            yield Difference(f"the ticks {sorted(found)} are runs, not {sorted(certain)}")


class _Replayed:
    """One action, replayed by its program.

    Attributes:
        seen: what it has seen at the end.
    """

    def __init__(
        self, oracle: Oracle, action: ActionProgram, given: Any, records: Sequence[Record]
    ) -> None:
        self._oracle = oracle
        self._action = action
        self._records = records
        self.seen = first_seen(action, given)

    def wrong(self) -> Iterator[str]:
        """Yield what is not right, and see what the action has seen."""
        records = self._records
        settled = sorted((r for r in records if r.kind in SETTLEMENTS), key=lambda r: r.n)
        completions = sum(record.kind == RecordKind.COMPLETED for record in records)
        numbers = [record.n for record in settled]
        if len(set(numbers)) != len(numbers):
            yield f"its settlements have the numbers {numbers}"
        if completions > 1:
            yield f"it completed {completions} times"
        before = next((r.at for r in records if r.kind == RecordKind.START), 0)
        left = list(settled)
        for n, step in enumerate(self._action.steps):
            if step.op == "update":
                continue
            while left and self._oracle.is_stale(step, left[0], before):
                del left[0]
            if not left or left[0].kind == RecordKind.CANCEL:
                if completions:
                    yield f"it completed without its step {n}, {step}"
                return
            record, tag = left.pop(0), tag_of(self._action, n)
            if text := self._oracle.allows(step, tag, self.seen, record, before):
                yield text
            is_late = step.op == "answer" and record.kind == RecordKind.TIMER
            outcome = "TimeoutError" if is_late else self._oracle.outcome(record)
            self.seen = next_seen(self.seen, outcome)
            before = record.at
        if any(record.kind in (RecordKind.RESULT, RecordKind.ERROR) for record in left):
            yield f"it has settlements that none of its steps waits for: {left}"


def _ticks_of(spans: Sequence[tuple[int, int]]) -> tuple[set[str], set[str]]:
    """Return the ticks that are runs when processes live from and to these instants.

    Returns:
        Those that are, and those that may be: a crash at the very instant may have come before.
    """
    certain: set[int] = set()
    possible: set[int] = set()
    for begin, end in spans:
        tick = begin - begin % MINUTE + MINUTE
        before = begin  # from then on the tick is in the store
        while True:
            (certain if before < end else possible).add(tick)
            if tick > end:
                break
            before, tick = tick, tick + MINUTE
    return set(map(_text_of, certain)), set(map(_text_of, possible))


def _text_of(tick: int) -> str:
    return datetime.datetime.fromtimestamp(tick / 1e9, datetime.UTC).isoformat()
