"""Recovery: what the journal says of a run, as the state that its execution goes on from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from perdure.agent.plan import AgentPlan
from perdure.errors import StoreError
from perdure.event import InputEvent
from perdure.journal.journal import NEW, ActionHistory, fold
from perdure.journal.record import OF_RUN, EventRecord, Record, RecordKind
from perdure.memory.cells import apply_delta, keep
from perdure.runtime.run.state import CANCELLED, Cells, RunState
from perdure.runtime.shared.signals import left_in_journal


def recover(
    records: Sequence[Record],
    short_term: Cells,
    plan: AgentPlan,
    run_id: str,
    cancel_reason: str = "",
) -> RunState:
    """Fold a run's records into the state to go on from.

    Args:
        records: its journal, in commit order.
        short_term: the key's memory as the store has it: as it was when the run began, or was last
            put back by a retry.
        plan: the agent's actions now.
        run_id: for messages.
        cancel_reason: why the run is to stop, where its journal does not say so.

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
    reason = _cancel_reason(records) or cancel_reason
    unfinished = _unfinished(events, completed, histories, plan, bool(reason))
    if not reason:
        _check_actions(histories.keys() - unfinished.keys() - completed, run_id)
    snapshots = {key: states[version] for key, version in wanted.items() if version in states}
    return RunState(
        events, sensory, current, touched, completions, created, outputs, unfinished, snapshots,
        reason, left_in_journal(records, completed, unfinished),
        frozenset(r.signal_id for r in records if r.kind == RecordKind.SIGNAL),
        _calls(records, completed), _began(records), _noted(records),
    )  # fmt: skip


def _check_actions(unknown: Collection[tuple[int, str]], run_id: str) -> None:
    """Refuse a run that is in the middle of actions that the agent does not know."""
    if unknown:
        _, name = min(unknown)
        raise StoreError(
            f"run {run_id} is in the middle of action {name!r}, which the agent no longer has:"
            " run it with the agent that has it, or cancel the run"
        )


def cancellations(records: Sequence[Record], run: int, at: int) -> list[Record] | None:
    """Return what asks the actions to stop that a run is in the middle of, behind what is recorded.

    Args:
        records: the run's journal; nobody goes on from it yet.
        run: its number.
        at: the time of now, ns since the epoch.

    Returns:
        A CANCEL each; none where no action is in the middle, so that the run can end as it is: it
        has not begun, or was put back and did not begin again, or all that began has completed.
        None where the actions were asked before.
    """
    if _cancel_reason(records):
        return None
    if not _has_begun(records):
        return []
    asked = []
    for (event, action), history in fold(records).items():
        start, settled = history.start, history.settlements
        if start is None:
            if not settled:
                continue  # it begins anew, and does not after this
            # A retry cut it, and it began again: its calls before the cut may be to be cleaned up.
            start = Record.start(
                run, event, action, version=sum(r.kind == RecordKind.COMPLETED for r in records),
                at=history.began, rules=history.kept_rules,
            )  # fmt: skip
            asked.append(start)
        n, last = (settled[-1].n + 1, settled[-1].at) if settled else (1, start.at)
        asked.append(Record.cancel(run, event, action, CANCELLED).settled(n, max(at, last)))
    return asked


def _has_begun(records: Sequence[Record]) -> bool:
    """Say whether the journal shows an action at work since the run was last put back."""
    for record in reversed(records):
        if record.kind == RecordKind.RETRY:
            return False
        if record.kind not in OF_RUN:
            return True
    return False


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

    One without a history that only a condition triggers may not be triggered at all. Of a cancelled
    run those that had not started were not asked to stop: they do not begin any more.
    """
    types = {0: InputEvent.EVENT_TYPE, **{n: event.type for n, event in events.items()}}
    unfinished = {}
    for number in sorted(types):
        kind = types[number]
        # Those whose conditions were not asked yet are among them.
        for spec in (*plan.actions_for(kind), *(spec for spec, _ in plan.conditions_for(kind))):
            key = (number, spec.name)
            history = histories.get(key, NEW)
            if key in completed or (cancelled and history.start is None):
                continue
            unfinished[key] = history
    return unfinished


def _noted(records: Sequence[Record]) -> Record | None:
    """Return what the run last said that it is doing."""
    notes = (record for record in reversed(records) if record.kind == RecordKind.NOTE)
    return next(notes, None)
