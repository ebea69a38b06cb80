"""What a job that crashed must have in common with one that did not."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from perdure.codec.codec import Codec
from perdure.codec.failure import failure_summary
from perdure.errors import DecodeError, NonDeterminismError
from perdure.journal.record import SETTLEMENTS, Completion, Record, RecordKind, decode_completion
from perdure.run import STATUS_BY_NUMBER, RunStatus, run_id
from perdure.store.base import OutputRow
from perdure.testing.simulation.calls import OUTCOMES
from perdure.testing.simulation.lives import Ended
from perdure.testing.simulation.store import Tables

FINAL = frozenset(status.value for status in RunStatus if status.is_final)
DIVERGENCE = f"{NonDeterminismError.__module__}.{NonDeterminismError.__qualname__}"
EVERYTHING = ("statuses", "outputs", "memory", "events")


class Difference(NamedTuple):
    """One thing that is not as it should be, and the run that it is about (0: none)."""

    text: str
    run: int = 0


class Result(NamedTuple):
    """What a job left, as far as it must not depend on crashes.

    Attributes:
        statuses: by run: status, times put back, error.
        outputs: by key, in order: run, number, id, encoded value.
        memory: by key and path: encoded value.
        documents: by collection and id: content, metadata, embedding.
        events: by run, event and action: number of its completion, encoded completion.
    """

    statuses: Mapping[Any, Any]
    outputs: Mapping[Any, Any]
    memory: Mapping[Any, Any]
    documents: Mapping[Any, Any]
    events: Mapping[Any, Any]


def result_of(tables: Tables, codec: Codec) -> Result:
    """Return what a job left in its store."""
    statuses = {
        run: (row.key, row.sequence, STATUS_BY_NUMBER[row.status].value, row.attempt,
              _error(codec, row.error))
        for run, row in tables.runs.items()
    }  # fmt: skip
    outputs: dict[int, list[OutputRow]] = {}
    for output in tables.outputs.values():
        outputs.setdefault(tables.runs[output.run].key, []).append(output)
    memory = {
        key: {path: cell.data for path, cell in cells.items() if cell.data is not None}
        for key, cells in tables.memory.items()
    }
    documents = {
        (collection, id_): (row.content, row.metadata, row.embedding)
        for (_, collection), rows in tables.documents.items()
        for id_, row in rows.items()
    }
    events = {
        (record.run, record.event, record.action): (record.version, record.payload)
        for records in tables.records.values()
        for record in records
        if record.kind == RecordKind.COMPLETED
    }
    return Result(statuses, outputs, memory, documents, events)


def _error(codec: Codec, data: bytes | None) -> str | None:
    if data is None:
        return None
    summary = failure_summary(codec, data)
    return f"{summary['type']}: {summary['message']}"


def differences(
    wanted: Result, found: Result, codec: Codec, compare: Collection[str]
) -> Iterator[Difference]:
    """Yield what of `found` is not as in `wanted`, in readable form."""
    if "statuses" in compare:
        for run in _changed(wanted.statuses, found.statuses):
            was, now = wanted.statuses.get(run), found.statuses.get(run)
            yield Difference(f"run {run_id(run)}: {_status(was)}, not {_status(now)}", run)
    if "events" in compare:
        for key in _changed(wanted.events, found.events):
            place = f"action {key[2]!r} of event {key[1]} of run {run_id(key[0])}"
            was, now = wanted.events.get(key), found.events.get(key)
            yield Difference(
                f"{place} did {_completion(codec, was)}, not {_completion(codec, now)}", key[0]
            )
    if "outputs" in compare:
        for key in _changed(wanted.outputs, found.outputs):
            was, now = wanted.outputs.get(key, []), found.outputs.get(key, [])
            run = next((a.run for a in [*was, *now] if a not in was or a not in now), 0)
            yield Difference(
                f"outputs of key {key & 0xFFFF}: {_outputs(codec, was)}, not"
                f" {_outputs(codec, now)}",
                run,
            )
    if "memory" in compare:
        for key in _changed(wanted.memory, found.memory):
            was, now = wanted.memory.get(key, {}), found.memory.get(key, {})
            for path in _changed(was, now):
                yield Difference(
                    f"memory {path!r} of key {key & 0xFFFF}: {_value(codec, was.get(path))}, not"
                    f" {_value(codec, now.get(path))}"
                )
        for collection, id_ in _changed(wanted.documents, found.documents):
            was = wanted.documents.get((collection, id_))
            now = found.documents.get((collection, id_))
            yield Difference(f"document {id_!r} of {collection!r}: {was}, not {now}")


def broken_promises(ended: Ended, result: Result, before: int) -> Iterator[Difference]:
    """Yield what must not be in any life, whatever another one did.

    Args:
        ended: the life.
        result: what it left.
        before: number of batches that were committed before it.
    """
    for problem in ended.problems:
        yield Difference(problem)
    for run, (_, _, status, _, error) in result.statuses.items():
        if status not in FINAL:
            yield Difference(f"run {run_id(run)} has not ended: {status}", run)
        if before == 0 and error is not None and error.startswith(DIVERGENCE):
            yield Difference(f"run {run_id(run)} failed without any crash: {error}", run)
    for run, records in ended.tables.records.items():
        for text in _doubled(records):
            yield Difference(f"run {run_id(run)}: {text}", run)
    committed = [
        (row.run, row.number, row.id)
        for batch in ended.batches[before:]
        for row in batch
        if isinstance(row, OutputRow)
    ]
    if list(ended.told) != committed:
        yield Difference(f"committed outputs {committed}, but listeners were told {ended.told}")


def unexpected(result: Result, expected: Collection[str]) -> Iterator[Difference]:
    """Yield the runs that failed with another exception than those expected."""
    for run, (_, _, _, _, error) in result.statuses.items():
        if error is not None and error.partition(":")[0] not in expected:
            yield Difference(f"run {run_id(run)} failed with {error}", run)


def _doubled(records: list[Record]) -> Iterator[str]:
    """Yield what a run's journal has twice."""
    seen: set[tuple[Any, ...]] = set()
    completions = 0
    for record in records:
        place = (record.event, record.action)
        if record.kind == RecordKind.RETRY or record.kind == RecordKind.CUT:
            # Numbers of what was cut are given again.
            seen = {entry for entry in seen if entry[0] == "completed"}
        elif record.kind == RecordKind.COMPLETED:
            completions += 1
            if record.version != completions:
                yield f"completion {completions} has number {record.version}"
            if ("completed", *place) in seen:
                yield f"action {record.action!r} of event {record.event} completed twice"
            seen.add(("completed", *place))
        elif record.kind in SETTLEMENTS:
            entries = [("settlement", *place, record.n)]
            if record.kind in OUTCOMES:
                entries.append(("call", *place, record.call))
            for entry in entries:
                if entry in seen:
                    yield (
                        f"{entry[0]} {entry[3]} of action {record.action!r} of event"
                        f" {record.event} is recorded twice"
                    )
                seen.add(entry)


def _changed(was: Mapping[Any, Any], now: Mapping[Any, Any]) -> list[Any]:
    return [key for key in dict.fromkeys([*was, *now]) if was.get(key) != now.get(key)]


def _status(status: Any) -> str:
    if status is None:
        return "absent"
    _, _, name, attempt, error = status
    put_back = f" put back {attempt} times" if attempt else ""
    return f"{name}{put_back}" + (f" ({error})" if error else "")


def _completion(codec: Codec, entry: Any) -> str:
    if entry is None:
        return "nothing"
    number, data = entry
    completion: Completion = decode_completion(data)
    events = [(event.number, event.type, event.id[:8], _value(codec, event.attributes))
              for event in completion.events]  # fmt: skip
    writes = {
        name: [(path, _value(codec, value)) for path, value in delta]
        for name, delta in (("sensory", completion.sensory), ("memory", completion.short_term))
        if delta
    }
    return (
        f"(completion {number}: events {events}, writes {writes}, outputs so far"
        f" {completion.outputs}, events so far {completion.created})"
    )


def _outputs(codec: Codec, rows: list[OutputRow]) -> str:
    return "[" + ", ".join(f"{_value(codec, row.value)} ({row.id[:8]})" for row in rows) + "]"


def _value(codec: Codec, data: bytes | None) -> str:
    if data is None:
        return "nothing"
    with contextlib.suppress(DecodeError):
        return repr(codec.decode(data))
    return repr(data)
