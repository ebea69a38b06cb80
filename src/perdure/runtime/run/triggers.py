"""What an event triggers: actions by its type, and by conditions on it.

A condition is asked when its event becomes visible, before that is durable, and again when a run
resumes; on the event as the journal has it, both times, so that the answers agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from perdure.agent.plan import ActionSpec
from perdure.conditions.condition import Condition
from perdure.config.configuration import AgentExecutionOptions
from perdure.errors import ConditionError
from perdure.event import Event, InputEvent
from perdure.journal.journal import NEW
from perdure.journal.record import EventRecord
from perdure.printable import printable_logger
from perdure.runtime.run.state import RunState
from perdure.runtime.shared.services import JobServices

logger = printable_logger("perdure")

Decoded = Callable[[EventRecord | None], Event]


def triggered_by(
    services: JobServices, events: Iterable[EventRecord], decoded: Decoded
) -> list[tuple[int, ActionSpec]]:
    """Return the actions that events trigger, each with its event's number.

    Args:
        services: those of the job.
        events: what an action sent.
        decoded: returns it as an event.

    Raises:
        ConditionError: a condition failed, and such a failure is the run's.
    """
    plan = services.plan
    if not plan.has_conditions:
        return [(event.number, spec) for event in events for spec in plan.actions_for(event.type)]
    return [
        (event.number, spec) for event in events for spec in _triggered(services, event, decoded)
    ]


def _triggered(
    services: JobServices, record: EventRecord | None, decoded: Decoded
) -> tuple[ActionSpec, ...]:
    """Return the actions that an event triggers, None for the input; by its type alone first."""
    kind = InputEvent.EVENT_TYPE if record is None else record.type
    specs = services.plan.actions_for(kind)
    if not (asked := services.plan.conditions_for(kind)):
        return specs
    event = decoded(record)
    met = (spec for spec, conditions in asked if _is_any_met(services, conditions, event))
    return (*specs, *met)


def to_begin(
    services: JobServices, state: RunState, decoded: Decoded
) -> list[tuple[int, ActionSpec]]:
    """Return the actions that a run begins or goes on with, each with its event's number.

    Raises:
        ConditionError: a condition failed, and such a failure is the run's.
    """
    unfinished = state.unfinished
    if unfinished is None:
        if not services.plan.has_conditions:
            return [(0, spec) for spec in services.plan.actions_for(InputEvent.EVENT_TYPE)]
        return [(0, spec) for spec in _triggered(services, None, decoded)]
    # The events' order is the order in which their actions first began.
    pending = [(number, services.plan.action(name)) for number, name in unfinished]
    if services.plan.in_turn:  # what began before goes on, and waits for none that did not
        pending.sort(key=lambda each: unfinished[each[0], each[1].name] is NEW)
    if not services.plan.has_conditions:
        return pending
    names: dict[int, set[str]] = {}
    found = []
    for number, spec in pending:
        # One that has begun was triggered, whatever its condition says by now.
        if unfinished[number, spec.name] is NEW:
            if number not in names:
                record = state.events[number] if number else None
                names[number] = {each.name for each in _triggered(services, record, decoded)}
            if spec.name not in names[number]:
                continue
        found.append((number, spec))
    return found


def _is_any_met(services: JobServices, conditions: tuple[Condition, ...], event: Event) -> bool:
    for condition in conditions:
        try:
            if condition.matches(event):
                return True
        except ConditionError as error:
            option = AgentExecutionOptions.ACTION_TRIGGER_CONDITION_EVALUATE_FAILURE_STRATEGY
            if services.config.get(option) == "FAIL":
                raise
            logger.warning("%s: it counts as not met", error)
    return False
