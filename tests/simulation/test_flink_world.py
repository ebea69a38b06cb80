"""Scripted Flink: what it may do to a job, decided by seeds, loses and doubles nothing (G29).

`make soak` runs many more. What is broken on purpose must be noticed.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.flink_world import Attempt, run_seed

from perdure.engine.flink.operator import END, AgentOperator
from perdure.engine.flink.store import FlinkStore
from perdure.engine.flink.tables import Change

OF_STATE, OF_MEMORY, OF_IDS = 60, 10, 10


def wrong_of(seeds: range, store: str = "flink://", **options: Any) -> list[str]:
    return [each for seed in seeds for each in run_seed(seed, store, **options)]


def is_noticed(text: str) -> bool:
    """Say whether a job that is broken does something wrong, by one of some seeds."""
    return any(text in each for seed in range(40) for each in run_seed(seed))


def test_g29_no_output_is_lost_or_doubled_by_crashes_and_older_checkpoints() -> None:
    assert wrong_of(range(OF_STATE)) == []


def test_g29_in_memory_all_that_was_unfinished_is_run_again() -> None:
    assert wrong_of(range(1000, 1000 + OF_MEMORY), "memory://") == []


def test_g29_likewise_with_ids_that_are_kept() -> None:
    assert wrong_of(range(2000, 2000 + OF_IDS), ids_ttl=3600.0) == []


def test_g12_it_notices_names_that_come_from_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlinkStore, "names_by_input", False)
    assert is_noticed("was called")


def test_g6_it_notices_timers_that_are_believed_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    armed: set[int] = set()
    arm = AgentOperator._arm

    def arms_once(operator: Any, timers: Any) -> None:
        if operator._armed is None and id(timers.job) in armed:  # as if it were in the state
            operator._armed = END
        arm(operator, timers)
        if operator._armed is not None:
            armed.add(id(timers.job))

    monkeypatch.setattr(AgentOperator, "_arm", arms_once)
    monkeypatch.setattr(AgentOperator, "_drain", AgentOperator._pump)
    assert is_noticed("instead of")


def test_g4_it_notices_rows_that_are_written_without_their_outputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late: dict[Any, list[bytes]] = {}
    take = FlinkStore.take_change

    def takes_outputs_later(store: Any, shard: int) -> Change | None:
        change = take(store, shard)
        if change is None:
            return None
        before = late.pop((store, shard), [])
        late[store, shard] = change.outputs
        return change._replace(outputs=before)

    monkeypatch.setattr(FlinkStore, "take_change", takes_outputs_later)
    assert is_noticed("instead of")


def test_g6_it_notices_inputs_that_are_not_in_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Attempt.put

    def puts_no_inputs(attempt: Any, name: str, data: bytes) -> None:
        if name[0] != "i":
            put(attempt, name, data)

    monkeypatch.setattr(Attempt, "put", puts_no_inputs)
    monkeypatch.setattr("perdure.engine.flink.host.Host.has_room", True)
    assert is_noticed("instead of")
