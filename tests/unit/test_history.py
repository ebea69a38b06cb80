"""What a journal becomes when people look at it: calls made again, in doubt, cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.history import History
from perdure.journal.codec import Codec
from perdure.journal.failure import encode_failure
from perdure.journal.record import Completion, Record, RecordKind, encode_completion
from perdure.run import STATUS_NUMBERS, RunStatus
from perdure.run_detail import CallInfo, RunDetail
from perdure.store.base import NUMBER_BITS, KeyRow, RunRow
from perdure.store.reader import JobRow

CODEC = Codec()
JOB = JobRow(job=1, name="job", created_at=0)
RUN = (1 << NUMBER_BITS) + 1
DONE = Completion(events=[], sensory=[], short_term=[("a.b", None)], outputs=0, created=0)


class Reader:
    """A reader of one run."""

    def __init__(self, status: RunStatus, records: list[Record]) -> None:
        self.status, self.kept = STATUS_NUMBERS[status], records

    def runs(self, numbers: list[int]) -> dict[int, RunRow]:
        row = RunRow(
            run=RUN, job=1, key=1, sequence=1, label="", value=CODEC.encode("in"),
            status=self.status, place=RUN, attempt=0, error=None, admitted_at=5, finished_at=90,
        )  # fmt: skip
        return {RUN: row} if numbers == [RUN] else {}

    def keys(self, numbers: list[int]) -> dict[int, KeyRow]:
        return {1: KeyRow(key=1, job=1, digest=b"", value=CODEC.encode("k"), sequence=1)}

    def records(self, runs: list[int]) -> list[Record]:
        return self.kept if runs else []

    def outputs(self, runs: list[int]) -> list[Any]:
        return []


def record(kind: RecordKind, n: int = 0, call: int = 0, *, at: int, **more: Any) -> Record:
    payload = None
    if kind == RecordKind.RESULT:
        payload = CODEC.encode(n)
    elif kind == RecordKind.ERROR:
        payload = encode_failure(CODEC, ValueError("no"))
    elif kind == RecordKind.COMPLETED:
        payload = encode_completion(DONE)
    values = {"event": 0, "action": "act", "payload": payload, "started_at": at - 5, **more}
    return Record(run=RUN, n=n, kind=kind, call=call, at=at, **values)


def detail(status: RunStatus, *records: Record) -> RunDetail:
    return History(Reader(status, list(records))).detail(JOB, "r1")  # type: ignore[arg-type]


def calls(*records: Record) -> list[tuple[int, str, bool]]:
    found = detail(RunStatus.COMPLETED, record(RecordKind.START, at=10), *records).actions[0].calls
    return [(call.number, call.status, call.superseded) for call in found]


def test_calls_come_in_the_order_of_their_numbers() -> None:
    made = calls(
        record(RecordKind.RESULT, 1, 2, at=20), record(RecordKind.ERROR, 2, 1, at=30)
    )  # fmt: skip
    assert made == [(1, "raised", False), (2, "returned", False)]


def test_a_retried_call_is_there_twice() -> None:
    made = calls(
        record(RecordKind.ERROR, 1, 1, at=20),
        record(RecordKind.RETRY, 1, at=30, action=""),
        record(RecordKind.START, at=31),
        record(RecordKind.RESULT, 1, 1, at=40),
    )
    assert made == [(1, "raised", True), (1, "returned", False)]


def test_a_cut_supersedes_what_was_settled_from_there_on() -> None:
    made = calls(
        record(RecordKind.RESULT, 1, 1, at=20),
        record(RecordKind.RESULT, 2, 2, at=21),
        record(RecordKind.CUT, 2, at=30),
    )
    assert made == [(1, "returned", False), (2, "returned", True)]


def test_a_call_that_may_have_executed_is_in_doubt_until_its_outcome() -> None:
    pending = record(RecordKind.PENDING, 0, 1, at=20)
    assert calls(pending) == [(1, "in doubt", False)]
    assert calls(pending, record(RecordKind.RESULT, 1, 1, at=40)) == [(1, "returned", False)]


def test_a_call_has_its_times_and_outcome() -> None:
    settled = detail(
        RunStatus.COMPLETED,
        record(RecordKind.START, at=10),
        record(RecordKind.RESULT, 7, 1, at=40, function="m:f", detail="'x'"),
    )
    assert settled.actions[0].calls == (
        CallInfo(
            number=1, function="m:f", arguments="'x'", status="returned", attempts=1, outcome=7,
            error=None, started_at=35, settled_at=40, due_at=0, superseded=False,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("run", "records", "expected"),
    [
        (RunStatus.COMPLETED, [RecordKind.COMPLETED], "completed"),
        (RunStatus.QUEUED, [], "unfinished"),
        (RunStatus.FAILED, [], "failed"),
        (RunStatus.CANCELLED, [RecordKind.CANCEL, RecordKind.COMPLETED], "cancelled"),
        (RunStatus.CANCELLED, [RecordKind.CANCEL], "cancelled"),
    ],
)
def test_how_an_action_stands(run: RunStatus, records: list[RecordKind], expected: str) -> None:
    made = [record(kind, 1, at=50) for kind in records]
    assert detail(run, record(RecordKind.START, at=10), *made).actions[0].status == expected


def test_of_several_actions_of_a_failed_run_none_is_blamed_by_guess() -> None:
    both = detail(
        RunStatus.FAILED,
        record(RecordKind.START, at=10),
        record(RecordKind.START, at=11, action="other"),
    )
    assert [action.status for action in both.actions] == ["stopped", "stopped"]


def test_the_span_begins_with_the_first_action() -> None:
    found = detail(
        RunStatus.COMPLETED,
        record(RecordKind.START, at=10),
        record(RecordKind.TIMER, 1, at=95),
        record(RecordKind.COMPLETED, 1, at=80),
    )
    assert found.span == (10, 95)
    assert found.actions[0].timers == (95,)
    assert detail(RunStatus.QUEUED).span == (5, 90)


def test_a_deleted_path_is_a_write() -> None:
    found = detail(
        RunStatus.COMPLETED, record(RecordKind.START, at=10), record(RecordKind.COMPLETED, 1, at=80)
    )
    (write,) = found.memory
    assert (write.memory, write.path, write.deleted) == ("short-term", "a.b", True)
