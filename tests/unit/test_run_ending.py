"""RunEnding: what a run writes of its end, and what follows once that is durable."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from perdure import Configuration, RunStatus
from perdure.codec.codec import Codec
from perdure.memory.cells import Cell
from perdure.run import STATUS_BY_NUMBER
from perdure.runtime.run.ending import End, RunEnding
from perdure.runtime.run.state import CANCELLED, TIMED_OUT, RunMemory
from perdure.runtime.shared.failure_log import FailureLog
from perdure.runtime.shared.mailbox import Key, RunTicket
from perdure.store.base import KeyRow, MemoryRow, RunRow, StatusRow

NOW = 1_700_000_000_000_000_000
MEMORY = RunMemory({}, {"seen": Cell(b"1", NOW)}, {"seen": None})


class Ended:
    """A run that comes to its end, and what its job is told of that."""

    def __init__(self, reason: str = "", strategy: str = "retry") -> None:
        codec = Codec()
        key = Key(KeyRow(key=3, job=1, digest=b"k", value=codec.encode("k"), sequence=1), "k", None)
        row = RunRow(
            run=7, job=1, key=3, sequence=1, label="", value=codec.encode("in"), status=1, place=7,
            attempt=0, error=None, admitted_at=NOW, finished_at=0,
        )  # fmt: skip
        self.ticket = RunTicket(row, key)
        self.told: list[Any] = []
        config = Configuration({"error-handling-strategy": strategy})
        services: Any = SimpleNamespace(
            job="job",
            codec=codec,
            config=config,
            now=lambda: NOW,
            run_timeout=2_000_000_000,
            counters=SimpleNamespace(retries=0),
            failures=FailureLog("job", lambda: NOW),
            supervisor=SimpleNamespace(
                finish=lambda _, memory: self.told.append(("finish", memory)),
                retry_later=lambda _: self.told.append("retry"),
                stop=lambda error: self.told.append(("stop", str(error))),
            ),
        )
        self.ending = RunEnding(self.ticket, services, reason)

    def fails(self) -> End:
        action: Any = SimpleNamespace(name="go", where=lambda: "here")
        return self.ending.action_failed(action, ValueError("no"), MEMORY)


def status_of(end: End) -> RunStatus:
    (row,) = [row for row in end.rows if isinstance(row, StatusRow)]
    return STATUS_BY_NUMBER[row.status]


def test_g25_nothing_follows_from_an_end_before_it_is_durable() -> None:
    run = Ended()
    end = run.ending.reached(MEMORY, NOW)
    assert (run.ticket.status, run.told) == (RunStatus.QUEUED, [])
    end.durable()
    assert (run.ticket.status, run.told) == (RunStatus.COMPLETED, [("finish", MEMORY.short_term)])


@pytest.mark.parametrize("end", ["reached", "failed", "put back"])
def test_g14_every_end_writes_the_short_term_memory_of_the_completed_actions(end: str) -> None:
    run = Ended(strategy="retry" if end == "put back" else "dead-letter")
    rows = run.ending.reached(MEMORY, NOW).rows if end == "reached" else run.fails().rows
    assert MemoryRow(key=3, path="seen", data=b"1", written_at=NOW) in rows


def test_g10_the_first_reason_to_cancel_holds() -> None:
    run = Ended()
    assert run.ending.cancelled(TIMED_OUT) == TIMED_OUT
    assert run.ending.cancelled(CANCELLED) == TIMED_OUT
    assert run.ending.is_timed_out


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("", RunStatus.COMPLETED),
        (CANCELLED, RunStatus.CANCELLED),
        (TIMED_OUT, RunStatus.FAILED),
    ],
)
def test_g10_a_run_whose_actions_have_ended_ends_as_it_was_asked_to(
    reason: str, status: RunStatus
) -> None:
    run = Ended(reason)
    end = run.ending.all_ended("here", MEMORY)
    end.durable()
    assert status_of(end) is run.ticket.status is status
    assert ("not done after 2 s" in str(run.ticket.error)) is (reason == TIMED_OUT)


@pytest.mark.parametrize(("strategy", "told"), [("retry", ["retry"]), ("fail", [("stop", "no")])])
def test_a_failure_puts_the_run_back_as_the_strategy_says(strategy: str, told: list[Any]) -> None:
    run = Ended(strategy=strategy)
    end = run.fails()
    end.durable()
    assert status_of(end) is RunStatus.QUEUED
    assert (run.ticket.row.attempt, run.told) == (1, told)
    assert run.ticket.key.memory == MEMORY.short_term


@pytest.mark.parametrize("reason", [CANCELLED, TIMED_OUT])
@pytest.mark.parametrize("strategy", ["retry", "fail"])
def test_g10_a_run_that_was_to_stop_is_not_put_back(strategy: str, reason: str) -> None:
    assert status_of(Ended(reason, strategy).fails()) is RunStatus.FAILED
