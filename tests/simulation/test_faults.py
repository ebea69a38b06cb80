"""Random jobs in a bad world: what is right is said by an oracle, not by another life.

Their store fails, or is full for a while; others leave them signals; a schedule starts runs; their
output is a file. Each runtime with one promise broken must be noticed.
"""

from __future__ import annotations

import pytest
from tests.simulation import broken
from tests.simulation.test_simulation import OF_FAULTS, check, first_failure

from perdure.runtime.action.attempts import CallAttempts
from perdure.runtime.live_runs import LiveRuns
from perdure.runtime.shared.services import JobServices
from perdure.testing.simulation.campaign import run_faults, run_seeds
from perdure.testing.simulation.fault_programs import WEIGHTS, make_faults


def test_g6_g25_random_jobs_come_to_a_right_end_in_a_bad_world() -> None:
    check(list(run_seeds(0, OF_FAULTS, kind="faults")))


@pytest.mark.parametrize("seed", [111, 224, 316, 360, 574, 961, 1057, 7025, 7499])
def test_g6_g25_jobs_that_once_went_wrong_come_to_a_right_end(seed: int) -> None:
    check([run_faults(seed)])


def first_fault(seed: int) -> str:
    failure = first_failure(seed, run_faults)
    assert not failure or "--only faults" in failure
    return failure


@pytest.mark.parametrize("how", ["never counted", "not recovered"])
def test_g10_it_notices_crashes_that_do_not_count(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "never counted":
        monkeypatch.setattr(CallAttempts, "_crashed", lambda attempts, before: None)
    else:
        monkeypatch.setattr("perdure.runtime.live_runs.recover", broken.without_beginnings)
    assert "a call that counts crashes" in first_fault(18 if how == "never counted" else 28)


def test_g10_it_notices_a_rate_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.executor.limits._Gate._may_start", broken.only_by_number)
    assert "attempts began within" in first_fault(19)


def test_g10_it_notices_a_run_whose_time_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.live_runs.recover", broken.beginning_anew)
    assert "after its run-timeout" in first_fault(26)


def test_g6_it_notices_an_inbox_that_is_not_read_before_a_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LiveRuns, "signals_until_now", broken.reads_no_inbox)
    assert "before the deadline, has lost" in first_fault(5)


def test_g2_it_notices_a_tick_that_is_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.engine.schedule.NewInput", broken.drawn_tick)
    assert "the tick at" in first_fault(17)


def test_g25_it_notices_a_failed_commit_that_is_taken_for_an_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "perdure.store.group_commit.GroupCommit._failed", broken.outcome_all_the_same
    )
    assert first_fault(0)


def test_g25_it_notices_a_call_that_begins_while_the_store_does_not_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(JobServices, "hold_calls", lambda services, error: None)
    assert "began while the store did not write" in first_fault(19)


def test_g1_it_notices_an_input_that_overtakes_one_that_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.runtime.shared.admission._lose", broken.not_in_its_series)
    monkeypatch.setattr("perdure.engine.reading.InputReader._heed", broken.heeds_no_loss)
    assert "are its runs number" in first_fault(38)


def test_g4_it_notices_an_output_that_is_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.connectors.output_file.OutputFile._adopt", broken.cuts_nothing)
    assert "the output file has" in first_fault(0)


def test_g4_it_notices_an_output_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.engine.sink_pump.SinkPump.run", broken.marks_first)
    assert "the output file has" in first_fault(9)


def test_a_seed_makes_the_same_program_and_the_same_history_again() -> None:
    assert str(make_faults(7)) == str(make_faults(7))
    assert run_faults(7) == run_faults(7)


def test_every_kind_of_fault_occurs() -> None:
    programs = [make_faults(seed) for seed in range(200)]
    assert {step.op for p in programs for a in p.actions for step in a.steps} == {*WEIGHTS, "fail"}
    assert {p.has_schedule for p in programs} == {True, False}
    assert {bool(p.troubles.full) for p in programs} == {True, False}
    assert {p.troubles.unknown for p in programs if p.troubles.failing} == {0.0, 0.5, 1.0}
    assert {sending.from_outside for p in programs for sending in p.sendings} == {True, False}
    assert {"run-timeout" in p.config for p in programs} == {True, False}
