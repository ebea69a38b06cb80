"""Random agents, crashed after every commit: whatever the crash, the result is the same.

The number of seeds is chosen so that this takes about a minute on two cores; `make simulate` runs
more. Failures that were found and are not mended have tests of their own in `test_found.py`.
"""

from __future__ import annotations

import os

import pytest
from tests.simulation import broken

from perdure.testing.simulation.campaign import run_seed, run_seeds
from perdure.testing.simulation.programs import make_program

SEEDS = int(os.environ.get("PERDURE_TEST_SIMULATION_SEEDS", "1000"))
WITHIN = 60  # seeds in which a broken runtime must be noticed


def test_g6_random_agents_come_to_the_same_result_from_every_crash() -> None:
    results = list(run_seeds(0, SEEDS))
    failures = [result.failure for result in results if result.failure]
    assert not failures, f"{len(failures)} of {SEEDS} seeds:\n\n" + "\n\n".join(failures[:3])
    assert sum(result.crashes for result in results) > 10 * SEEDS


def first_failure() -> str:
    for seed in range(WITHIN):
        if failure := run_seed(seed).failure:
            return failure
    return ""


def test_it_notices_a_lost_settle_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.action_runner.Journal", broken.SettlesInCallOrder)
    failure = first_failure()
    assert "crashed after commit" in failure
    assert "--first" in failure


def test_it_notices_lost_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.job.recover", broken.without_attempts)
    failure = first_failure()
    assert "was executed before it was due" in failure or "was executed twice" in failure


def test_it_notices_ids_that_are_not_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.run_identity.RunIdentity.event", broken.drawn_event_id)
    assert "drawn-" in first_failure()


def test_it_notices_a_call_that_is_executed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest settlement of each action is lost, as if it had not been durable."""
    monkeypatch.setattr("perdure.runtime.job.recover", broken.without_newest_settlement)
    assert "was executed though its outcome was recorded" in first_failure()


def test_it_notices_memory_that_is_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.recovery.apply_delta", broken.apply_nothing)
    assert "memory" in first_failure()


def test_a_seed_makes_the_same_program_and_the_same_history_again() -> None:
    assert str(make_program(7)) == str(make_program(7))
    assert run_seed(7) == run_seed(7)


def test_every_kind_of_agent_and_step_occurs() -> None:
    programs = [make_program(seed) for seed in range(400)]
    assert {program.kind for program in programs} == {"narrow", "wide", "loose"}
    steps = {step.op for program in programs for action in program.actions for step in action.steps}
    assert steps == {
        "call", "retry", "gather", "race", "reconcile", "as_completed", "group", "queue",
        "pool_race", "sleep", "deadline", "total", "inline", "update", "remember", "recall",
        "forget", "dice", "clock", "hang", "fail", "signal", "maybe",
        "child", "limited",
    }  # fmt: skip
