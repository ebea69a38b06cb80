"""Random agents whose journal was begun by the rules of before, and is gone on with since.

After some commits of a job whose actions begin by the old rules, one of now takes it up. An oracle
says what an action must have seen and done by the rules of its START record.
"""

from __future__ import annotations

import pytest
from tests.simulation import broken
from tests.simulation.test_simulation import OF_RULES, check, first_failure

from perdure.journal.journal import ActionHistory
from perdure.journal.record import RULES, RecordKind
from perdure.memory.memory import ActionMemory
from perdure.runtime.action.event_ids import EventIds
from perdure.testing.simulation.campaign import run_rules, run_seeds
from perdure.testing.simulation.rule_programs import BEFORE, TTL, make_rules, rules_script_of
from perdure.testing.simulation.simulate import Lives


def test_g6_actions_keep_the_rules_that_they_began_by_over_every_crash() -> None:
    check(list(run_seeds(0, OF_RULES, kind="rules")))


def first_by_rules(seed: int) -> str:
    failure = first_failure(seed, run_rules)
    assert not failure or "--only rules" in failure
    return failure


def test_it_notices_old_actions_that_are_replayed_by_the_new_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.runtime.live_runs.recover", broken.by_the_newest_rules)
    failure = first_by_rules(19)
    assert "NonDeterminismError" in failure or "begun by rules None" in failure


def test_it_notices_a_retry_that_goes_on_by_the_new_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ActionHistory, "rules", lambda history, new: new)
    failure = first_by_rules(18)
    assert "NonDeterminismError" in failure or "begun by rules" in failure


def test_it_notices_new_actions_that_go_by_the_old_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    made = EventIds.made
    monkeypatch.setattr(EventIds, "made", lambda ids: ("", None) if made(ids) else made(ids))
    assert f"begun by rules {RULES}, saw id ''" in first_by_rules(0)


def test_it_notices_memory_that_is_replaced_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    init = ActionMemory.__init__

    def replacing(memory: ActionMemory, *args: object, **options: object) -> None:
        init(memory, *args, **{**options, "replaces": True})  # type: ignore[arg-type]

    monkeypatch.setattr(ActionMemory, "__init__", replacing)
    assert "not ('refused'" in first_by_rules(20)


def test_a_seed_makes_the_same_program_and_the_same_history_again() -> None:
    assert str(make_rules(7)) == str(make_rules(7))
    assert run_rules(7) == run_rules(7)


def test_both_rules_are_in_one_journal() -> None:
    both = 0
    for seed in range(10):
        lives = Lives(rules_script_of(make_rules(seed)))
        old = lives.first()
        new = lives.upgrade(old, len(old.batches) // 2, RULES)
        rules = {
            record.rules
            for records in new.tables.records.values()
            for record in records
            if record.kind == RecordKind.START
        }
        assert rules <= {BEFORE, RULES}
        both += rules == {BEFORE, RULES}
    assert both > 3


def test_every_kind_of_step_occurs() -> None:
    programs = [make_rules(seed) for seed in range(200)]
    assert {program.kind for program in programs} == {"narrow", "wide", "loose"}
    assert {TTL in program.config for program in programs} == {True, False}
    steps = [step for p in programs for action in p.actions for step in action.steps]
    assert {"make_event", "send_made", "write_over"} <= {step.op for step in steps}
    ways = [step.args for step in steps if step.op == "write_over"]
    assert {(way["how"], way["overwrite"]) for way in ways} == {
        (how, overwrite)
        for how in ("set", "object", "below", "update")
        for overwrite in (True, False)
        if (how, overwrite) != ("update", True)
    }
