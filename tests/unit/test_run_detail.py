"""Calls that were attempted more than once, as `perdure show` and `perdure trace` have them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine, RetryPolicy, RunsFailedError, action
from perdure.cli import timeline as picture
from perdure.cli.report import print_detail
from perdure.codec.codec import Codec
from perdure.codec.failure import encode_failure
from perdure.journal.record import Completion, Record, RecordKind, encode_completion
from perdure.operate.history import History
from perdure.operate.run_detail import CallInfo, RunDetail, build
from perdure.run import RunInfo, RunStatus

CODEC = Codec()


# Real runs


class Flaky(Agent):
    """Calls a function that fails as often as the input says, then one that does not."""

    def __init__(self, interval: float) -> None:
        self.policy = RetryPolicy(max_attempts=3, initial_interval=interval)
        self.made = 0

    def fails(self, times: int) -> str:
        self.made += 1
        if self.made <= times:
            raise OSError(f"attempt {self.made}")
        return "done"

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        retried = ctx.with_options(retry=self.policy)
        await retried.durable_execute_async(self.fails, event.input["fails"])
        await retried.durable_execute_async(self.fails, 0)


def detail_of(engine: LocalEngine, id_: str = "r1") -> RunDetail:
    with History.of(engine._store) as history:
        return history.detail(history.job("default"), id_)


def run(fails: int) -> RunDetail:
    engine = LocalEngine("memory://")
    with contextlib.suppress(RunsFailedError):
        engine.run(Flaky(0.01), [{"id": 1, "fails": fails}], key="id")
    return detail_of(engine)


async def in_back_off() -> RunDetail:
    """A run whose call failed once and waits for about a minute."""
    engine = LocalEngine("memory://")
    with contextlib.suppress(asyncio.CancelledError):
        async with engine.open(Flaky(60)) as job:
            await job.submit({"id": 1, "fails": 9}, key=1)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                found = detail_of(engine)
                if any(action.calls for action in found.actions):
                    break
                await asyncio.sleep(0.005)
            raise asyncio.CancelledError  # leaves the run as it is
    return found


def text_of(detail: RunDetail, capsys: pytest.CaptureFixture[str]) -> str:
    print_detail(detail, "default")
    return capsys.readouterr().out


def row_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def drawn(detail: RunDetail, marks: dict[str, str]) -> str:
    return "\n".join(line.plain for line in picture.timeline(detail, "default", 120, marks))


def test_a_retried_call_counts_its_attempts(capsys: pytest.CaptureFixture[str]) -> None:
    detail = run(fails=2)
    retried, once = detail.actions[0].calls
    assert (retried.status, retried.attempts, retried.outcome) == ("returned", 3, "done")
    assert (retried.error, retried.due_at, retried.superseded) == (None, 0, False)
    # From its first attempt on: two back-offs lie between, of 9 ms and 18 ms at least.
    assert retried.settled_at - retried.started_at >= 27e6
    assert (once.status, once.attempts) == ("returned", 1)
    text = text_of(detail, capsys)
    assert "returned, 3 attempts" in row_of(text.partition("action go")[2], "1 ")
    assert "attempt" not in row_of(text.partition("action go")[2], "2 ")


def test_a_call_whose_last_attempt_failed_has_its_error() -> None:
    (call,) = run(fails=9).actions[0].calls
    assert (call.status, call.attempts) == ("raised", 3)
    assert call.error is not None
    assert call.error["message"] == "attempt 3"


def test_a_call_in_a_back_off_is_retrying(capsys: pytest.CaptureFixture[str]) -> None:
    detail = asyncio.run(in_back_off())
    (call,) = detail.actions[0].calls
    assert (call.status, call.attempts, call.outcome, call.settled_at) == ("retrying", 2, None, 0)
    assert call.error is not None
    assert call.error["message"] == "attempt 1"
    assert call.due_at - call.started_at >= 50e9
    assert detail.span[1] == call.due_at
    row = row_of(text_of(detail, capsys).partition("action go")[2], "1 ")
    assert "retrying, attempt 2 of call 1 due in " in row
    assert "OSError: attempt 1" in row
    assert "▒" in row_of(drawn(detail, picture._BLOCKS), "1 ×2 ")


@pytest.mark.parametrize(("marks", "times"), [(picture._BLOCKS, "×3"), (picture._ASCII, "x3")])
def test_trace_marks_a_retried_call(marks: dict[str, str], times: str) -> None:
    text = drawn(run(fails=2), marks)
    assert row_of(text, "1 ").split()[1] == times
    assert times not in row_of(text, "2 ")
    other = picture._BLOCKS if marks is picture._ASCII else picture._ASCII
    assert other["times"] + "3" not in text


# What takes a crash, or a run put back


def record(kind: RecordKind, n: int = 0, *, at: int, call: int = 1) -> Record:
    payload = b""
    if kind == RecordKind.RESULT:
        payload = CODEC.encode(n)
    elif kind in (RecordKind.ERROR, RecordKind.ATTEMPT):
        payload = encode_failure(CODEC, ValueError(f"no {n}"))
    return Record(
        run=1, event=0, action="act", n=n, kind=kind, call=call, payload=payload,
        started_at=at - 5, at=at,
    )  # fmt: skip


def of_records(*records: Record) -> RunDetail:
    head = RunInfo(
        id="r1", number=1, key="k", sequence=1, label="", status=RunStatus.RUNNING, attempts=0,
        error=None, input=None, admitted_at=1, finished_at=0,
    )  # fmt: skip
    started = record(RecordKind.START, at=10, call=0)
    return build(head, [started, *records], [], CODEC)


def calls(*records: Record) -> list[CallInfo]:
    return list(of_records(*records).actions[0].calls)


def test_what_ended_before_it_began_by_the_clock_ended_then() -> None:
    returned = record(RecordKind.RESULT, 1, at=20)._replace(started_at=30)
    ended = record(RecordKind.COMPLETED, at=5, call=0)
    ended = ended._replace(payload=encode_completion(Completion(
        events=[], sensory=[], short_term=[], outputs=0, created=0
    )))  # fmt: skip
    (action,) = of_records(returned, ended).actions
    (call,) = action.calls
    assert (call.started_at, call.settled_at) == (30, 30)
    assert (action.started_at, action.finished_at) == (10, 10)


def test_an_attempt_of_a_reconciled_call_is_in_doubt_again() -> None:
    in_doubt = [
        record(RecordKind.PENDING, at=20),
        record(RecordKind.ATTEMPT, 1, at=40),
        record(RecordKind.PENDING, at=41),
    ]
    (call,) = calls(*in_doubt)
    assert (call.status, call.attempts, call.error, call.due_at) == ("in doubt", 2, None, 0)
    (call,) = calls(*in_doubt, record(RecordKind.RESULT, 7, at=60))
    assert (call.status, call.attempts, call.outcome) == ("returned", 2, 7)
    assert (call.started_at, call.settled_at) == (35, 60)  # from its first attempt


def test_attempts_are_counted_anew_when_the_run_is_put_back() -> None:
    found = calls(
        record(RecordKind.ATTEMPT, 1, at=20),
        record(RecordKind.START, at=30, call=0),
        record(RecordKind.ATTEMPT, 1, at=40),
        record(RecordKind.RESULT, 1, at=50),
    )
    assert [(call.status, call.attempts, call.superseded) for call in found] == [
        ("retrying", 2, True),
        ("returned", 2, False),
    ]


@pytest.mark.parametrize("kind", [RecordKind.PENDING, RecordKind.ATTEMPT])
def test_a_cut_leaves_begun_calls_behind(kind: RecordKind) -> None:
    found = calls(
        record(RecordKind.ATTEMPT, 1, at=20, call=1),
        record(kind, 1, at=21, call=2),
        record(RecordKind.CUT, 1, at=30, call=2),
        record(RecordKind.RESULT, 1, at=50, call=2),
    )
    assert [(call.number, call.superseded) for call in found] == [(1, False), (2, True), (2, False)]
    assert found[2].attempts == 1


# Attempts that are recorded when they begin


def begun(n: int, *, at: int) -> Record:
    return record(RecordKind.ATTEMPT, n, at=at)._replace(payload=None, started_at=0)


def test_an_attempt_that_began_is_there_before_its_outcome() -> None:
    (call,) = calls(begun(1, at=20))
    assert (call.status, call.attempts, call.error, call.due_at) == ("begun", 1, None, 0)
    assert (call.started_at, call.settled_at) == (20, 0)
    (call,) = calls(begun(1, at=20), record(RecordKind.RESULT, 7, at=60))
    assert (call.status, call.attempts, call.outcome, call.started_at) == ("returned", 1, 7, 55)


def test_an_attempt_after_a_failed_one_keeps_its_error() -> None:
    failed = [begun(1, at=20), record(RecordKind.ATTEMPT, 1, at=40)]
    (call,) = calls(*failed)
    assert (call.status, call.attempts, call.due_at) == ("retrying", 2, 40)
    (call,) = calls(*failed, begun(2, at=41))
    assert (call.status, call.attempts, call.due_at, call.started_at) == ("begun", 2, 0, 35)
    assert call.error is not None
    assert call.error["message"] == "no 1"


def test_an_attempt_whose_process_ended_in_good_order_does_not_count() -> None:
    stopped = [begun(1, at=20), begun(0, at=30)]
    (call,) = calls(*stopped)
    assert (call.status, call.attempts) == ("interrupted", 1)
    (call,) = calls(*stopped, begun(1, at=50))
    assert (call.status, call.attempts, call.superseded) == ("begun", 1, False)
    second = [begun(1, at=20), record(RecordKind.ATTEMPT, 1, at=40), begun(2, at=41)]
    (call,) = calls(*second, begun(1, at=45))
    assert (call.status, call.attempts) == ("interrupted", 2)


def test_show_and_trace_tell_of_an_attempt_that_began(capsys: pytest.CaptureFixture[str]) -> None:
    detail = of_records(begun(1, at=20), record(RecordKind.RESULT, 1, at=90, call=2))
    row = row_of(text_of(detail, capsys).partition("action act")[2], "1 ")
    assert "begun: attempt 1 is under way, or ended with its process" in row
    assert "▒" in row_of(drawn(detail, picture._BLOCKS), "1 ")
    assert "~" in row_of(drawn(detail, picture._ASCII), "1 ")
