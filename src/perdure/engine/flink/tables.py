"""Tables: the rows of the shards that this process holds, and what of them has changed."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import Any, NamedTuple

from perdure.engine.flink.rows import Newest, hex_of, load, newest_of
from perdure.journal.record import Record, RecordKind
from perdure.operate.run_detail import children_of
from perdure.run import STATUS_BY_NUMBER, STATUS_NUMBERS, RunStatus, run_number
from perdure.runtime.job_runtime import CHILD_SOURCE
from perdure.store.base import InputRow, KeyRow, MemoryRow, OutputRow, RunRow, StatusRow

JOB = 1  # its number: state has one job
FAILED = STATUS_NUMBERS[RunStatus.FAILED]
CANCELLED = STATUS_NUMBERS[RunStatus.CANCELLED]

__all__ = ["JOB", "Change", "Failure", "Shard", "Tables"]

Identity = tuple[str, str | int]  # source and id of an input


class Failure(NamedTuple):
    """A run that has failed, or an input that became none; what is encoded is so still."""

    run: int
    id: str | None
    key: bytes
    value: bytes
    error: bytes


class Leaving(NamedTuple):
    """An output that leaves, with whose it is; key and value are encoded still."""

    run: int
    id: str | None
    key: bytes
    value: bytes


class Change(NamedTuple):
    """What has happened in a shard since it was asked last: all of it, or nothing of it.

    Attributes:
        outputs: what leaves, in the order in which it was committed.
        failures: what failed.
        entries: what the state is to have: a value to be encoded, None where the entry goes, if
            it is there.
        begun: how many runs began without an input of the stream.
        ended: how many runs have ended, with the inputs that became none.
    """

    outputs: list[Leaving]
    failures: list[Failure]
    entries: dict[str, Any]
    begun: int
    ended: int


class Shard:
    """What belongs to a shard beside its rows: its newest numbers, and what has changed."""

    __slots__ = (
        "begun", "changed", "ended", "entries", "failures", "grown", "ids", "keys", "last_input",
        "last_key", "last_run", "outputs", "runs", "written",
    )  # fmt: skip

    def __init__(self, newest: Newest) -> None:
        self.last_run, self.last_key, self.last_input = newest
        self.keys: set[int] = set()
        self.runs: set[int] = set()
        self.ids: set[str] = set()  # kept, of inputs whose runs have ended
        self.written: dict[int, tuple[int, int]] = {}  # of a run: records and outputs in the state
        self.clear()

    def clear(self) -> None:
        """Forget what has changed."""
        self.outputs: list[Leaving] = []
        self.failures: list[Failure] = []
        self.entries: dict[str, Any] = {}  # but for those of runs
        self.changed: set[int] = set()  # runs whose rows are not as the state has them
        self.grown: set[int] = set()  # runs with records or outputs that it has not
        self.begun = self.ended = 0


class Tables:
    """The rows of all shards that are held, in memory.

    Rows of a run go when it ends; of a run that another started, when that one has. Not for
    several threads at once.

    Args:
        keeps_rows: the state is to have them; else it has inputs alone, until their runs end.
        keeps_ids: ids of inputs are known after their runs have ended.
    """

    def __init__(self, *, keeps_rows: bool = True, keeps_ids: bool = False) -> None:
        self._keeps_rows = keeps_rows
        self._keeps_ids = keeps_ids
        self.shards: dict[int, Shard] = {}
        self.keys: dict[int, KeyRow] = {}
        self.digests: dict[bytes, int] = {}
        self.memory: dict[int, dict[str, MemoryRow]] = {}
        self.runs: dict[int, RunRow] = {}
        self.inputs: dict[Identity, tuple[int, bytes]] = {}
        self.input_of: dict[int, InputRow] = {}
        self.records: dict[int, list[Record]] = {}
        self.outputs: dict[int, list[OutputRow]] = {}
        self._waiting: dict[tuple[int, str], collections.deque[int]] = {}  # numbers of inputs
        self._children: dict[int, set[int]] = {}  # by the run that started them
        self._orphans: set[int] = set()  # whose starter has ended
        self.changed: set[int] = set()  # shards

    # Rows, in the order of their kinds

    def add_key(self, row: KeyRow, shard: int) -> None:
        """Take in a key, or its newest sequence."""
        at = self.shards[shard]
        self.keys[row.key] = row
        self.digests[row.digest] = row.key
        at.keys.add(row.key)
        at.last_key = max(at.last_key, row.key)
        at.entries[f"k:{row.digest.hex()}"] = row

    def add_run(self, row: RunRow, shard: int) -> None:
        """Take in a run that was admitted."""
        at = self.shards[shard]
        self.runs[row.run] = row
        at.runs.add(row.run)
        at.changed.add(row.run)
        at.last_run = max(at.last_run, row.run)

    def add_input(self, row: InputRow, shard: int) -> None:
        """Take in what the input of a run was given with; it waits no longer."""
        self.inputs[row.source, row.id] = (row.run, row.digest)
        self.input_of[row.run] = row
        at = self.shards[shard]
        at.changed.add(row.run)
        if row.source == CHILD_SOURCE:
            at.begun += 1
        elif self._keeps_rows:
            self.take_waiting(shard, str(row.id))

    def add_record(self, record: Record, shard: int) -> None:
        """Take in a record of a run's journal."""
        records = self.records.get(record.run)
        if records is None:
            self.records[record.run] = [record]
        else:
            records.append(record)
        self.shards[shard].grown.add(record.run)
        if record.function == CHILD_SOURCE:
            self._link(record)

    def _link(self, record: Record) -> None:
        """Take note of a run that another has started, once that one knows it."""
        if record.kind == RecordKind.RESULT and record.function == CHILD_SOURCE:
            started = {run_number(JOB, child) for child in children_of([record])}
            self._children.setdefault(record.run, set()).update(started & self.runs.keys())

    def add_memory(self, row: MemoryRow, shard: int) -> None:
        """Take in a path of a key's memory; one that is written as nothing goes."""
        cells = self.memory.setdefault(row.key, {})
        name = f"m:{self.keys[row.key].digest.hex()}:{row.path}"
        if row.data is None:
            cells.pop(row.path, None)
            self.shards[shard].entries[name] = None
        else:
            cells[row.path] = row
            self.shards[shard].entries[name] = row

    def add_output(self, row: OutputRow, shard: int) -> None:
        """Take in an output: it leaves with the next change of its shard."""
        at = self.shards[shard]
        run, number, id_, value, delivered = row
        at.outputs.append(
            Leaving(run, self._given_id(run), self.keys[self.runs[run].key].value, value)
        )
        if not self._is_child(run):
            value = b""
        self.outputs.setdefault(run, []).append(OutputRow(run, number, id_, value, delivered))
        at.grown.add(run)

    def add_status(self, row: StatusRow, shard: int) -> None:
        """Take in how a run stands now."""
        old = self.runs.get(row.run)
        if old is None:
            return
        at = self.shards[shard]
        at.last_run = max(at.last_run, row.place)
        new = self.runs[row.run] = old.as_now(row)
        if STATUS_BY_NUMBER[row.status].is_final:
            self._ended(new, shard)
        else:
            at.changed.add(row.run)

    # Ends

    def _is_child(self, run: int) -> bool:
        given = self.input_of.get(run)
        return given is not None and given.source == CHILD_SOURCE

    def _given_id(self, run: int) -> str | None:
        """Return the id that the input of a run came with; None for one that another started."""
        given = self.input_of.get(run)
        return None if given is None or given.source == CHILD_SOURCE else str(given.id)

    def _ended(self, row: RunRow, shard: int) -> None:
        at = self.shards[shard]
        at.ended += 1
        id_ = self._given_id(row.run)
        if id_ is not None and not self._keeps_rows:
            self.take_waiting(shard, id_)
        if row.status in (FAILED, CANCELLED):
            key = self.keys[row.key].value
            at.failures.append(Failure(row.run, id_, key, row.value, row.error or b""))
        for child in self._children.pop(row.run, ()):
            if STATUS_BY_NUMBER[self.runs[child].status].is_final:
                self._forget(child, shard)
            else:
                self._orphans.add(child)
                at.changed.add(child)
        if self._is_child(row.run) and row.run not in self._orphans:
            self._drop_journal(row.run, at)
            at.changed.add(row.run)
        else:
            self._forget(row.run, shard)

    def _drop_journal(self, run: int, at: Shard) -> None:
        self.records.pop(run, None)
        written, outputs = at.written.get(run, (0, 0))
        if written:
            hexed = hex_of(run)
            at.entries.update((f"j:{hexed}:{n + 1:08x}", None) for n in range(written))
            at.written[run] = (0, outputs)

    def _forget(self, run: int, shard: int) -> None:
        """Drop the rows of a run that has ended, and that nobody can ask for."""
        at = self.shards[shard]
        self._drop_journal(run, at)
        outputs = self.outputs.pop(run, ())
        if run in at.written:
            hexed, (_, written) = hex_of(run), at.written.pop(run)
            at.entries.update((f"o:{hexed}:{o.number:08x}", None) for o in outputs[:written])
            at.entries[f"r:{hexed}"] = None
        at.runs.discard(run)
        at.changed.discard(run)
        at.grown.discard(run)
        self._orphans.discard(run)
        row = self.runs.pop(run)
        given = self.input_of.pop(run, None)
        if given is not None:
            if self._keeps_ids and given.source != CHILD_SOURCE:
                at.entries[f"d:{given.id}"] = (run, given.digest, row.finished_at)
                at.ids.add(str(given.id))
            else:
                del self.inputs[given.source, given.id]

    def forget_id(self, id_: str, shard: int) -> None:
        """Know the id of an input no longer whose run has ended."""
        self.inputs.pop(("", id_), None)
        at = self.shards[shard]
        at.ids.discard(id_)
        at.entries[f"d:{id_}"] = None
        self.changed.add(shard)

    # Inputs that are no runs yet

    def wait(self, shard: int, id_: str, number: int) -> None:
        """Take note of an input that is about to be admitted."""
        self._waiting.setdefault((shard, id_), collections.deque()).append(number)

    def take_waiting(self, shard: int, id_: str) -> None:
        """An input is a run now, or will be none: it waits no longer."""
        numbers = self._waiting.get((shard, id_))
        if numbers:
            self.shards[shard].entries[f"i:{hex_of(numbers.popleft())}"] = None
            if not numbers:
                del self._waiting[shard, id_]

    def refuse(
        self, shard: int, id_: str, failure: tuple[str | None, bytes, bytes, bytes] | None
    ) -> None:
        """An input becomes no run: it is known, or is refused with a failure."""
        self.take_waiting(shard, id_)
        at = self.shards[shard]
        at.ended += 1
        self.changed.add(shard)
        if failure is not None:
            at.failures.append(Failure(0, *failure))

    # Whole shards

    def take_change(self, shard: int) -> Change | None:
        """Return what has changed in a shard since this was asked last; None for nothing."""
        if shard not in self.changed:
            return None
        self.changed.discard(shard)
        at = self.shards[shard]
        entries = at.entries
        if self._keeps_rows:
            self._write_runs(at)
        else:
            entries = {name: row for name, row in entries.items() if name.startswith("i:")}
        if entries:
            entries["n"] = (at.last_run, at.last_key, at.last_input)
        change = Change(at.outputs, at.failures, entries, at.begun, at.ended)
        at.clear()
        return change

    def _write_runs(self, at: Shard) -> None:
        """Add the entries of runs that go on: those of others that began since are never made."""
        entries = at.entries
        for run in at.changed:
            given, is_orphan = self.input_of.get(run), run in self._orphans
            entries[f"r:{hex_of(run)}"] = (self.runs[run], given, is_orphan)
            at.written.setdefault(run, (0, 0))
        for run in at.grown:
            hexed, (first, first_output) = hex_of(run), at.written.get(run, (0, 0))
            records, outputs = self.records.get(run, ()), self.outputs.get(run, ())
            for n in range(first, len(records)):
                entries[f"j:{hexed}:{n + 1:08x}"] = records[n]
            for output in outputs[first_output:]:
                entries[f"o:{hexed}:{output.number:08x}"] = output
            at.written[run] = (len(records), len(outputs))

    def load(self, shard: int, entries: Iterable[tuple[str, bytes]]) -> list[tuple[str, int]]:
        """Take in a shard as its state has it.

        Returns:
            The ids that are kept of inputs whose runs have ended, and since when, ns.
        """
        found = dict(entries)
        at = self.shards[shard] = Shard(newest_of(found.get("n")))
        kept = []
        for name in sorted(found):  # j, k, m, o, r: each of its kind in order
            kind, _, rest = name.partition(":")
            if kind == "k":
                self.add_key(KeyRow(*load(found[name])), shard)
            elif kind == "d":
                run, digest, ended_at = load(found[name])
                self.inputs["", rest] = (run, digest)
                at.ids.add(rest)
                kept.append((rest, ended_at))
            elif kind == "j":
                record = Record(*load(found[name]))
                self.records.setdefault(record.run, []).append(record)
            elif kind == "o":
                output = OutputRow(*load(found[name]))
                self.outputs.setdefault(output.run, []).append(output)
            elif kind == "m":
                row = MemoryRow(*load(found[name]))
                self.memory.setdefault(row.key, {})[row.path] = row
            elif kind == "r":
                row, given, is_orphan = load(found[name])
                self._load_run(row, given, is_orphan, shard)
        for run in at.runs:
            records, outputs = self.records.get(run, ()), self.outputs.get(run, ())
            at.written[run] = (len(records), len(outputs))
            for record in records:
                self._link(record)
        at.clear()
        return kept

    def _load_run(
        self, row: list[Any], given: list[Any] | None, is_orphan: bool, shard: int
    ) -> None:
        run = RunRow(*row)
        if is_orphan:
            self._orphans.add(run.run)
        self.runs[run.run] = run
        self.shards[shard].runs.add(run.run)
        if given is not None:
            of = self.input_of[run.run] = InputRow(*given)
            self.inputs[of.source, of.id] = (of.run, of.digest)

    def drop(self, shard: int) -> None:
        """Forget a shard, which another process holds from now on."""
        at = self.shards.pop(shard)
        self.changed.discard(shard)
        for run in at.runs:
            self.runs.pop(run, None)
            self.records.pop(run, None)
            self.outputs.pop(run, None)
            self._children.pop(run, None)
            self._orphans.discard(run)
            given = self.input_of.pop(run, None)
            if given is not None:
                self.inputs.pop((given.source, given.id), None)
        for id_ in at.ids:
            self.inputs.pop(("", id_), None)
        for key in at.keys:
            self.memory.pop(key, None)
            self.digests.pop(self.keys.pop(key).digest, None)
        for waiting in [each for each in self._waiting if each[0] == shard]:
            del self._waiting[waiting]
