"""Random agents, crashed after every commit: whatever the crash, the result is the same.

The number of seeds is chosen so that this takes about a minute on two cores; `make soak`
runs more. Failures that were found and are not mended have tests of their own in
`test_found.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.simulation import broken

from perdure.engine import plan_of
from perdure.testing.simulation.campaign import SeedResult, run_chats, run_seed, run_seeds
from perdure.testing.simulation.chat_programs import make_chats
from perdure.testing.simulation.programs import make_program

SEEDS = int(os.environ.get("PERDURE_TEST_SIMULATION_SEEDS", "300"))
OF_FAULTS = max(1, SEEDS // 5)  # see test_faults.py
OF_RULES = max(1, SEEDS // 10)  # see test_rules.py
OF_CALLS = max(1, SEEDS - OF_FAULTS - OF_RULES)
OF_CHATS = max(1, SEEDS // 16)  # an agent with models takes several times as long
WITHIN = 60  # seeds in which a broken runtime must be noticed


def test_g6_random_agents_come_to_the_same_result_from_every_crash() -> None:
    check(list(run_seeds(0, OF_CALLS)))


def test_g6_random_agents_with_models_come_to_the_same_result_from_every_crash() -> None:
    check(list(run_seeds(0, OF_CHATS, kind="chats")))


def check(results: list[SeedResult]) -> None:
    failures = [result.failure for result in results if result.failure]
    assert not failures, f"{len(failures)} of {len(results)} seeds:\n\n" + "\n\n".join(failures[:3])
    assert sum(result.crashes for result in results) > 10 * len(results)


def first_failure(seed: int, run: Callable[[int], SeedResult] = run_seed) -> str:
    """Return what is noticed; `seed` is tried first, which noticed it when the test was written."""
    for each in (seed, *range(WITHIN)):
        if failure := run(each).failure:
            return failure
    return ""


def test_it_notices_a_lost_settle_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.action.runner.Journal", broken.SettlesInCallOrder)
    failure = first_failure(31)
    assert "crashed after commit" in failure
    assert "--first" in failure


def test_it_notices_lost_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.live_runs.recover", broken.without_attempts)
    failure = first_failure(36)
    assert "was executed before it was due" in failure or "was executed twice" in failure


def test_it_notices_ids_that_are_not_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.run.identity.RunIdentity.event", broken.drawn_event_id)
    assert "drawn-" in first_failure(31)


def test_it_notices_a_call_that_is_executed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest settlement of each action is lost, as if it had not been durable."""
    monkeypatch.setattr("perdure.runtime.live_runs.recover", broken.without_newest_settlement)
    assert "was executed though its outcome was recorded" in first_failure(31)


def test_it_notices_memory_that_is_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.runtime.run.recovery.apply_delta", broken.apply_nothing)
    assert "memory" in first_failure(17)


def test_it_notices_a_chat_that_is_kept_after_it_was_taken_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.actions.chat._taken_up", broken.taken_up_and_kept)
    assert "in sensory memory" in first_failure(30, run_chats)


def test_it_notices_tools_that_are_answered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_of, "BUILTIN", broken.builtin_that_answers_twice())
    failure = first_failure(30, run_chats)
    assert "was asked for twice" in failure or "outputs, not" in failure
    assert "--only chats" in failure


def test_it_notices_long_term_memory_that_is_written_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.actions.memory_sets._document_id", broken.drawn_document_id)
    assert "document 'drawn-" in first_failure(15, run_chats)


def test_it_notices_a_finished_request_that_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.runtime.live_runs.recover", broken.without_newest_settlement)
    failure = first_failure(23, run_chats)
    assert "chat:" in failure
    assert "was executed though its outcome was recorded" in failure


def test_a_seed_makes_the_same_program_and_the_same_history_again() -> None:
    assert str(make_program(7)) == str(make_program(7))
    assert run_seed(7) == run_seed(7)
    assert str(make_chats(7)) == str(make_chats(7))
    assert run_chats(7) == run_chats(7)


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


def test_every_kind_of_agent_with_models_occurs() -> None:
    programs = [make_chats(seed) for seed in range(400)]
    assert {program.shape for program in programs} == {"inside", "events", "react", "loose"}
    assert {step.op for program in programs for step in program.steps} == {
        "inside", "chat", "agent", "retrieve", "add", "search", "update", "drop", "compact",
        "size", "remember", "gather", "deadline", "race", "group", "memories", "retrieval",
    }  # fmt: skip
    assert {tool.does for program in programs for tool in program.tools} == {
        "text", "data", "fails", "terminal", "flaky", "unlucky", "hangs",
    }  # fmt: skip
    assert {model.output for program in programs for model in program.models} == {
        "", "native", "tool", "prompted",
    }  # fmt: skip
    for name in ("chat.async", "tool-call.async", "rag.async"):
        assert {program.config.get(name) for program in programs} == {None, True, False}
