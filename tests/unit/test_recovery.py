"""recover(): a run's records as the state to go on from."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.agent.declaration import Agent
from perdure.agent.plan import AgentPlan
from perdure.errors import StoreError
from perdure.event import InputEvent
from perdure.journal.record import Completion, EventRecord, Record, RecordKind, encode_completion
from perdure.memory.cells import Cell
from perdure.runtime.run.execution import RunState
from perdure.runtime.run.recovery import cancellations, recover


def act(event: Any, ctx: Any) -> None:
    """Do nothing."""


PLAN = AgentPlan.from_agent(
    Agent()
    .add_action("first", [InputEvent], act)
    .add_action("second", [InputEvent], act)
    .add_action("next", ["Next"], act)
)


def record(
    kind: RecordKind, n: int = 0, *, action: str = "first", event: int = 0, **more: Any
) -> Record:
    return Record(run=1, event=event, action=action, n=n, kind=kind, **more)


def start(version: int, action: str = "first", event: int = 0) -> Record:
    """Return that the action started when the run had `version` completions."""
    return record(RecordKind.START, version, action=action, event=event, at=100 + version)


def completed(
    n: int, action: str = "first", event: int = 0, *, sends: list[int] | None = None,
    sensory: dict[str, bytes | None] | None = None, memory: dict[str, bytes | None] | None = None,
    outputs: int = 0, created: int = 0,
) -> Record:  # fmt: skip
    """Return the `n`-th completion of the run; `sends` are numbers of events."""
    events = [
        EventRecord(
            number=number, type="Next", id=f"event-{number}", attributes=b"", source_event=event,
            action=action,
        )
        for number in sends or ()
    ]  # fmt: skip
    completion = Completion(
        events=events, sensory=list((sensory or {}).items()),
        short_term=list((memory or {}).items()), outputs=outputs, created=created,
    )  # fmt: skip
    return record(
        RecordKind.COMPLETED, n, action=action, event=event,
        payload=encode_completion(completion), at=200 + n,
    )  # fmt: skip


RETRY = record(RecordKind.RETRY, 1, action="")


def back(
    *records: Record, memory: dict[str, bytes] | None = None, plan: AgentPlan = PLAN
) -> RunState:
    cells = {path: Cell(data, 1) for path, data in (memory or {}).items()}
    kept = dict(cells)
    state = recover(records, cells, plan, "r7")
    assert cells == kept, "the key's memory was changed in place"
    return state


def values(cells: dict[str, Cell]) -> dict[str, bytes]:
    return {path: cell.data for path, cell in cells.items()}


def test_a_run_without_records_begins_with_its_input() -> None:
    state = back(memory={"a": b"1"})
    assert state.unfinished is not None
    assert list(state.unfinished) == [(0, "first"), (0, "second")]
    assert values(state.short_term) == {"a": b"1"}
    assert (state.completions, state.created, state.outputs) == (0, 0, 0)
    assert state.snapshots == {}
    assert not state.cancel_reason


def test_g3_what_completed_is_visible_and_does_not_run_again() -> None:
    state = back(
        start(0), completed(1, sends=[1, 3], outputs=2, created=4), start(0, "second"),
        start(1, "next", 1),
    )  # fmt: skip
    assert state.unfinished is not None
    assert list(state.unfinished) == [(0, "second"), (1, "next"), (3, "next")]
    assert {number: event.id for number, event in state.events.items()} == {
        1: "event-1", 3: "event-3"
    }  # fmt: skip
    assert (state.completions, state.created, state.outputs) == (1, 4, 2)
    assert state.unfinished[1, "next"].start == start(1, "next", 1)
    assert state.unfinished[3, "next"].start is None


def test_a_finished_run_has_nothing_left() -> None:
    state = back(completed(1), completed(2, "second", sends=[1]), completed(3, "next", 1))
    assert state.unfinished == {}
    assert state.completions == 3


def test_g14_each_action_gets_the_memory_as_it_was_when_it_started() -> None:
    state = back(
        start(0), start(0, "second"),
        completed(1, "second", sends=[1, 2], sensory={"s": b"1"}, memory={"a": b"2", "b": b"1"}),
        start(1, "next", 1),
        completed(2, "next", 2, sensory={"s": None}, memory={"a": None, "c": b"3"}),
        memory={"a": b"1"},
    )  # fmt: skip
    sensory, short_term = state.snapshots[0, "first"]
    assert (values(sensory), values(short_term)) == ({}, {"a": b"1"})
    sensory, short_term = state.snapshots[1, "next"]
    assert (values(sensory), values(short_term)) == ({"s": b"1"}, {"a": b"2", "b": b"1"})
    assert values(state.sensory) == {}
    assert values(state.short_term) == {"b": b"1", "c": b"3"}
    assert set(state.touched) == {"a", "b", "c"}
    assert state.short_term["c"].written_at == 202


def test_g14_an_action_without_a_start_record_reads_what_is_now() -> None:
    state = back(start(0), completed(1, "second", memory={"a": b"2"}), memory={"a": b"1"})
    assert set(state.snapshots) == {(0, "first")}


def test_a_retry_has_put_the_memory_before_it_into_the_store_already() -> None:
    """The key's memory as read now holds those writes, and maybe later runs' over them."""
    state = back(
        completed(1, "second", sensory={"s": b"1"}, memory={"a": b"from this run"}), RETRY,
        start(1), completed(2, "first", sends=[1], memory={"b": b"after"}), start(2, "next", 1),
        memory={"a": b"of a later run"},
    )  # fmt: skip
    assert values(state.short_term) == {"a": b"of a later run", "b": b"after"}
    assert set(state.touched) == {"b"}
    assert values(state.sensory) == {"s": b"1"}
    sensory, short_term = state.snapshots[1, "next"]
    assert values(sensory) == {"s": b"1"}
    assert values(short_term) == {"a": b"of a later run", "b": b"after"}


def test_a_retried_action_starts_with_the_memory_at_its_retry() -> None:
    state = back(
        start(0), completed(1, "second", sensory={"s": b"1"}, memory={"a": b"1"}),
        record(RecordKind.ERROR, 1, call=1), RETRY, start(1),
        memory={"a": b"1"},
    )  # fmt: skip
    sensory, short_term = state.snapshots[0, "first"]
    assert (values(sensory), values(short_term)) == ({"s": b"1"}, {"a": b"1"})
    assert state.unfinished is not None
    assert state.unfinished[0, "first"].start == start(1)
    assert list(state.unfinished[0, "first"].settlements) == []


def test_a_retried_action_that_did_not_start_again_has_no_snapshot() -> None:
    state = back(start(0), record(RecordKind.ERROR, 1, call=1), RETRY)
    assert state.snapshots == {}
    assert state.unfinished is not None
    assert state.unfinished[0, "first"].start is None


def test_a_cancelled_run_begins_nothing_new() -> None:
    state = back(
        start(0), completed(1, "second", sends=[1]), record(RecordKind.CANCEL, 1)
    )  # fmt: skip
    assert state.cancel_reason
    assert state.unfinished is not None
    assert list(state.unfinished) == [(0, "first")]


def test_a_retry_takes_a_cancellation_back() -> None:
    state = back(start(0), record(RecordKind.CANCEL, 1), RETRY)
    assert not state.cancel_reason
    assert state.unfinished is not None
    assert list(state.unfinished) == [(0, "first"), (0, "second")]
    assert list(state.unfinished[0, "first"].settlements) == []


def test_an_action_that_the_agent_no_longer_has_is_named() -> None:
    with pytest.raises(StoreError, match="run r7 is in the middle of action 'gone'") as caught:
        back(start(0, "gone"))
    assert "run it with the agent that has it, or cancel the run" in str(caught.value)


def test_a_completed_action_that_is_gone_is_no_trouble() -> None:
    state = back(start(0, "gone"), completed(1, "gone", sends=[1]))
    assert state.unfinished is not None
    assert list(state.unfinished) == [(0, "first"), (0, "second"), (1, "next")]


def test_a_cancelled_run_may_be_in_the_middle_of_an_action_that_is_gone() -> None:
    state = back(start(0, "gone"), record(RecordKind.CANCEL, 1, action="gone"))
    assert state.cancel_reason
    assert state.unfinished == {}


def test_g10_of_a_cancelled_run_only_goes_on_what_was_asked_to_stop() -> None:
    """An action that failed first is put back to its beginning, where nothing is to clean up."""
    again = [
        start(0), record(RecordKind.ERROR, 1, call=1, payload=b""), RETRY, start(0, "second"),
    ]  # fmt: skip
    asked = cancellations(again, 1, 500)
    assert asked == [Record.cancel(1, 0, "second", "cancelled").settled(1, 500)]
    state = back(*again, *asked)
    assert state.unfinished is not None
    assert list(state.unfinished) == [(0, "second")]


def test_g10_an_action_that_is_put_back_to_its_middle_is_asked_to_stop_there() -> None:
    kept = [start(0), record(RecordKind.RESULT, 1, call=1, at=150), RETRY._replace(at=300)]
    assert cancellations(kept, 1, 500) == []  # it ends, as one that is queued does
    again = [*kept, completed(1, "second", sends=[1])]
    asked = cancellations(again, 1, 500)
    assert asked == [
        Record.start(1, 0, "first", version=1, at=100),
        Record.cancel(1, 0, "first", "cancelled").settled(2, 500),
    ]
    state = back(*again, *asked)
    assert state.unfinished is not None
    assert list(state.unfinished) == [(0, "first")]
    assert (0, "first") in state.snapshots
    assert cancellations([*again, *asked], 1, 600) is None
