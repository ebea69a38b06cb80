"""Recovery: what the journal says of a run, as the state that its execution goes on from. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.agent.plan import AgentPlan
from perdure.errors import StoreError
from perdure.event import InputEvent
from perdure.journal.journal import NEW, ActionHistory, fold
from perdure.journal.record import OF_RUN, EventRecord, Record, RecordKind
from perdure.memory.cells import apply_delta, keep
from perdure.runtime.run.state import CANCELLED, Cells, RunState
from perdure.runtime.shared.signals import left_in_journal


def recover(records: Sequence[Record], short_term: Cells, plan: AgentPlan, run_id: str) -> RunState:
    """Fold a run's records into the state to go on from.

    Args:
        records: its journal, in commit order.
        short_term: the key's memory as the store has it: as it was when the run began, or was last
            put back by a retry.
        plan: the agent's actions now.
        run_id: for messages.

    Raises:
        StoreError: the journal names an unfinished action that the agent no longer has.
    """
    histories = fold(records)
    wanted = {key: h.start.version for key, h in histories.items() if h.start is not None}
    events: dict[int, EventRecord] = {}
    completed: set[tuple[int, str]] = set()
    sensory: Cells = {}
    current = dict(short_term)
    touched: dict[str, None] = {}
    completions = created = outputs = 0
    states: dict[int, tuple[Cells, Cells]] = {}
    versions = set(wanted.values())
    # A retry flushed the memory of the completions before it: the table has it already.
    flushed = max((i for i, r in enumerate(records) if r.kind == RecordKind.RETRY), default=-1)
    if 0 in versions:
        states[0] = ({}, dict(current))
    for index, record in enumerate(records):
        if record.kind != RecordKind.COMPLETED:
            continue
        completion = record.completion
        completed.add((record.event, record.action))
        events.update((event.number, event) for event in completion.events)
        apply_delta(sensory, completion.sensory, record.at)
        if index > flushed:
            apply_delta(current, completion.short_term, record.at)
            keep(current, completion.kept, record.at)
            touched.update(dict.fromkeys(path for path, _ in completion.short_term))
            touched.update(dict.fromkeys(completion.kept))
        completions, created, outputs = record.version, completion.created, completion.outputs
        if completions in versions:
            states[completions] = (dict(sensory), dict(current))
    reason = _cancel_reason(records)
    unfinished = _unfinished(events, completed, histories, plan, bool(reason))
    for event, name in histories:
        if (event, name) not in unfinished and (event, name) not in completed and not reason:
            raise StoreError(
                f"run {run_id} is in the middle of action {name!r}, which the agent no longer has:"
                " run it with the agent that has it, or cancel the run"
            )
    snapshots = {key: states[version] for key, version in wanted.items() if version in states}
    return RunState(
        events, sensory, current, touched, completions, created, outputs, unfinished, snapshots,
        reason, left_in_journal(records, completed, unfinished),
        frozenset(r.signal_id for r in records if r.kind == RecordKind.SIGNAL),
        _calls(records, completed), _began(records), _noted(records),
    )  # fmt: skip


def cancellations(records: Sequence[Record], run: int, at: int) -> list[Record] | None:
    """Return what asks the actions to stop that a run is in the middle of, behind what is recorded.

    Args:
        records: the run's journal; nobody goes on from it yet.
        run: its number.
        at: the time of now, ns since the epoch.

    Returns:
        A CANCEL each; none where the run has not begun; None where only its execution can tell.
    """
    if _cancel_reason(records):
        return None  # it was asked already
    histories = fold(records)
    if not histories:
        has_begun = any(record.kind not in OF_RUN for record in records)
        return None if has_begun else []
    asked = []
    for (event, action), history in histories.items():
        if history.start is None:
            return None
        last = history.settlements[-1] if history.settlements else history.start
        n = last.n + 1 if history.settlements else 1
        asked.append(Record.cancel(run, event, action, CANCELLED).settled(n, max(at, last.at)))
    return asked


def _cancel_reason(records: Sequence[Record]) -> str:
    """Return why the run was asked to stop; "" when it was not, or was put back since."""
    for record in reversed(records):
        if record.kind == RecordKind.RETRY:
            return ""
        if record.kind == RecordKind.CANCEL:
            return record.reason or CANCELLED
    return ""


def _calls(records: Sequence[Record], completed: set[tuple[int, str]]) -> int:
    """Return the number of calls of completed actions; the others make theirs again."""
    calls = {(r.event, r.action, r.call) for r in records if r.call}
    return sum((event, action) in completed for event, action, _ in calls)


def _began(records: Sequence[Record]) -> int:
    """Return when the run began, or was last put back, ns since the epoch; 0 if it did not yet."""
    began = put_back = 0
    for record in records:
        if record.kind == RecordKind.RETRY:
            began, put_back = 0, record.at
        elif record.kind == RecordKind.START and not began:
            began = max(record.at, put_back)
    return began


def _unfinished(
    events: dict[int, EventRecord],
    completed: set[tuple[int, str]],
    histories: dict[tuple[int, str], ActionHistory],
    plan: AgentPlan,
    cancelled: bool,
) -> dict[tuple[int, str], ActionHistory]:
    """Return the actions to go on with: those of every visible event that did not complete.

    One without a history that only a condition triggers may not be triggered at all.
    """
    types = {0: InputEvent.EVENT_TYPE, **{n: event.type for n, event in events.items()}}
    unfinished = {}
    for number in sorted(types):
        kind = types[number]
        # Those whose conditions were not asked yet are among them.
        for spec in (*plan.actions_for(kind), *(spec for spec, _ in plan.conditions_for(kind))):
            key = (number, spec.name)
            if key in completed or (cancelled and key not in histories):
                continue
            unfinished[key] = histories.get(key, NEW)
    return unfinished


def _noted(records: Sequence[Record]) -> Record | None:
    """Return what the run last said that it is doing."""
    notes = (record for record in reversed(records) if record.kind == RecordKind.NOTE)
    return next(notes, None)
