"""What a journal becomes when people look at it: calls, signals, runs started, cancellation."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.codec.codec import Codec
from perdure.codec.failure import encode_failure
from perdure.journal.record import (
    Completion,
    Record,
    RecordKind,
    encode_completion,
    encode_signal,
)
from perdure.operate.history import History
from perdure.operate.run_detail import CallInfo, RunDetail
from perdure.run import STATUS_NUMBERS, RunStatus
from perdure.store.base import (
    NUMBER_BITS,
    Command,
    JobRow,
    Page,
    RunHead,
    RunRow,
    StoredOutput,
    WaitRow,
)

CODEC = Codec()
JOB = JobRow(job=1, name="job", created_at=0)
RUN = (1 << NUMBER_BITS) + 1
DONE = Completion(events=[], sensory=[], short_term=[("a.b", None)], outputs=0, created=0)


class View:
    """A view of one run."""

    def __init__(self, status: RunStatus, records: list[Record]) -> None:
        self.status, self.kept = STATUS_NUMBERS[status], records

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def heads(self, runs: list[int]) -> dict[int, RunHead]:
        row = RunRow(
            run=RUN, job=1, key=1, sequence=1, label="", value=CODEC.encode("in"),
            status=self.status, place=RUN, attempt=0, error=None, admitted_at=5, finished_at=90,
        )  # fmt: skip
        return {RUN: RunHead(row, CODEC.encode("k"), None)} if list(runs) == [RUN] else {}

    async def waits_of(self, runs: list[int]) -> list[WaitRow]:
        return []

    async def runs_of_inputs(self, job: int, ids: list[str]) -> dict[str, int]:
        return {}

    async def records(self, run: int) -> list[Record]:
        return self.kept

    async def outputs(self, job: int, *, run: int, after: str) -> Page[StoredOutput]:
        return Page([], "")

    async def commands(self, job: int, *, run: int, after: str) -> Page[Command]:
        if not after:
            return Page([Command(1, run, "cancel", None)], "1")
        return Page([Command(2, run, "signal", encode_signal("go", CODEC.encode(1)))], "")


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
    with History(View(status, list(records))) as history:  # type: ignore[arg-type]
        return history.detail(JOB, "r1")


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
        (RunStatus.FAILED, [RecordKind.CANCEL], "failed"),
        (RunStatus.RUNNING, [RecordKind.CANCEL], "unfinished"),
        (RunStatus.COMPLETED, [RecordKind.CANCEL, RecordKind.COMPLETED], "completed"),
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


# Why it was stopped


def test_a_run_that_timed_out_says_so() -> None:
    found = detail(
        RunStatus.FAILED,
        record(RecordKind.START, at=10),
        record(RecordKind.START, at=11, action="other"),
        record(RecordKind.CANCEL, 1, at=50, detail="timed out"),
    )
    assert (found.stopped, found.stopped_at) == ("timed out", 50)
    assert [action.status for action in found.actions] == ["timed out", "stopped"]


def test_what_stopped_a_run_before_it_was_put_back_is_past() -> None:
    before = [record(RecordKind.START, at=10), record(RecordKind.CANCEL, 1, at=50)]
    assert detail(RunStatus.CANCELLED, *before).stopped == "cancelled"
    again = detail(RunStatus.RUNNING, *before, record(RecordKind.RETRY, 1, at=60, action=""))
    assert (again.stopped, again.stopped_at) == ("", 0)


def test_what_was_asked_and_not_done_yet_is_told() -> None:
    assert detail(RunStatus.RUNNING).commands == ("cancel", "signal go")


# Signals


def signal(at: int, name: str = "go") -> Record:
    payload = CODEC.encode({"at": at})
    return record(RecordKind.SIGNAL, at=at, action="", detail=name, payload=payload)


def taken(signal_at: int, n: int, *, at: int) -> Record:
    return record(RecordKind.TAKEN, n, at=at, detail="go", started_at=signal_at)


def signals(*records: Record) -> list[tuple[int, str, int | None, int]]:
    found = detail(RunStatus.RUNNING, record(RecordKind.START, at=10), *records).signals
    return [(each.came_at, each.action, each.event, each.taken_at) for each in found]


def test_signals_come_with_who_took_them() -> None:
    found = detail(
        RunStatus.RUNNING,
        signal(8),
        record(RecordKind.START, at=10),
        signal(20),
        taken(8, 1, at=21),
    )
    assert [(each.name, each.value) for each in found.signals] == [
        ("go", {"at": 8}),
        ("go", {"at": 20}),
    ]
    assert signals(signal(8), signal(20), taken(8, 1, at=21)) == [
        (8, "act", 0, 21),
        (20, "", None, 0),
    ]
    assert found.actions[0].calls == ()
    assert [action.name for action in found.actions] == ["act"]


def test_a_signal_that_was_given_back_is_taken_by_nobody() -> None:
    before = [signal(8), taken(8, 1, at=21), record(RecordKind.COMPLETED, 1, at=30)]
    assert signals(*before) == [(8, "act", 0, 21)]
    assert signals(*before, signal(8)) == [(8, "", None, 0)]
    other = taken(8, 1, at=50)._replace(event=3, action="other")
    assert signals(*before, signal(8), other) == [(8, "other", 3, 50)]


def test_a_signal_behind_the_failure_of_a_run_that_was_put_back_is_free_again() -> None:
    before = [signal(8), taken(8, 1, at=21), record(RecordKind.ERROR, 2, 1, at=22), signal(30)]
    found = signals(*before, taken(30, 3, at=31), record(RecordKind.RETRY, 1, at=40, action=""))
    assert found == [(8, "act", 0, 21), (30, "", None, 0)]


def test_signals_lengthen_the_span() -> None:
    found = detail(RunStatus.RUNNING, record(RecordKind.START, at=10), signal(120))
    assert found.span == (10, 120)


# Runs that it started


def test_runs_that_it_started_are_named_once() -> None:
    def submit(n: int, at: int) -> Record:
        return record(
            RecordKind.RESULT, n, 2, at=at, function="perdure:submit", payload=CODEC.encode("r1")
        )

    (child,) = detail(
        RunStatus.RUNNING,
        record(RecordKind.START, at=10),
        record(RecordKind.RESULT, 1, 1, at=15),
        submit(2, 20),
        record(RecordKind.RETRY, 1, at=30, action=""),
        submit(1, 40),
    ).children
    assert (child.id, child.action, child.event, child.call) == ("r1", "act", 0, 2)
    assert child.run is not None
    assert child.run.id == "r1"  # the only run that this store has


def test_a_started_run_that_is_gone_has_no_head() -> None:
    gone = record(
        RecordKind.RESULT, 1, 1, at=20, function="perdure:submit", payload=CODEC.encode("rff")
    )
    (child,) = detail(RunStatus.RUNNING, record(RecordKind.START, at=10), gone).children
    assert (child.id, child.run) == ("rff", None)
