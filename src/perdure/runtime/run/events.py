"""RunEvents: the events of a run, from what an action sent to what the next one receives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from perdure.agent.memory_events import BEGIN_ACTION, MEMORY_EVENTS
from perdure.agent.plan import ActionSpec
from perdure.errors import DecodeError
from perdure.event import Event, InputEvent
from perdure.journal.record import EventRecord, by_position
from perdure.run import Output
from perdure.runtime.action.context import ActionContext, Sent
from perdure.runtime.action.runner import ActionRunner
from perdure.runtime.run.identity import RunIdentity
from perdure.runtime.run.memory_events import memory_events
from perdure.runtime.run.state import RunState
from perdure.runtime.run.written import Written
from perdure.runtime.shared.mailbox import RunTicket
from perdure.runtime.shared.services import JobServices
from perdure.store.base import OutputRow


class Numbered(msgspec.Struct, frozen=True):
    """What an action sent, numbered in its run.

    Attributes:
        events: events for actions of the run.
        outputs: outputs with their numbers.
        rows: the rows of the outputs.
        created: events that the run has made with these, outputs included.
        made: outputs that it has made with these.
    """

    events: list[EventRecord]
    outputs: list[tuple[int, Output]]
    rows: list[OutputRow]
    created: int
    made: int


class RunEvents:
    """The events of a run.

    Owns: the visible events and the numbers given so far. Lifecycle: that of the run's execution.
    """

    __slots__ = (
        "_created", "_identity", "_outputs", "_services", "_ticket", "_visible",
    )  # fmt: skip

    def __init__(
        self, ticket: RunTicket, services: JobServices, identity: RunIdentity, state: RunState
    ) -> None:
        self._ticket = ticket
        self._services = services
        self._identity = identity
        self._visible = state.events
        self._created = state.created
        self._outputs = state.outputs

    def received(self, number: int, spec: ActionSpec) -> Event:
        """Return an action's own copy of an event, decoded from the journal form."""
        event = self.decoded(self._visible[number] if number else None)
        wanted = spec.event_class or self._services.plan.event_class_for(event.type)
        return event if type(event) is wanted else wanted.from_event(event)

    def main(self, runner: ActionRunner, context: ActionContext) -> Callable[[], Any]:
        """Return what an action does; where it cannot take its event, it fails by that."""
        try:
            event = self.received(runner.event, runner.spec)
        except BaseException as error:  # raised in the action's turn, which knows them all
            runner.took_event = False
            return functools.partial(_fail, error)
        return functools.partial(runner.spec.func, event, context)

    def decoded(self, record: EventRecord | None) -> Event:
        """Return an event anew from its journal form; None: the input."""
        codec = self._services.codec
        if record is None:
            value = codec.decode(self._ticket.row.value)
            return InputEvent.rebuilt(InputEvent.EVENT_TYPE, {"input": value}, self._id(0))
        attributes = codec.decode(record.attributes)
        if not isinstance(attributes, dict):
            raise DecodeError.of_damage(f"the attributes of event {record.number} are no mapping")
        event = Event.rebuilt(record.type, attributes, record.id)
        event.upstream_event_id = self._id(record.source_event)
        event.upstream_action_name = record.action
        return event

    def _id(self, number: int) -> str:
        return self._visible[number].id if number else self._identity.event(0, "", 0)

    def number(self, event: int, action: str, context: ActionContext, did: Written) -> Numbered:
        """Number what an action sent, and the events of what it did to memory.

        It counts once `show` is told.
        """
        sent = context.sent
        if self._services.memory_events:
            sent = [*sent, *self._of_memory(event, action, context, did)]
        events: list[EventRecord] = []
        outputs: list[tuple[int, Output]] = []
        rows: list[OutputRow] = []
        ticket, services = self._ticket, self._services
        for n, item in enumerate(sent, 1):
            if item.is_output:
                number = self._outputs + len(outputs) + 1
                value = services.codec.decode(item.data)
                key = services.codec.read_back(ticket.key.value, ticket.key.row.value)
                outputs.append((number, Output(value, key, ticket.id, item.id)))
                values = (ticket.number, number, item.id, item.data, services.undelivered)
                rows.append(by_position(OutputRow, values))
            else:
                events.append(
                    EventRecord(
                        number=self._created + n, type=item.type, id=item.id, attributes=item.data,
                        source_event=event, action=action,
                    )
                )  # fmt: skip
        created, made = self._created + len(sent), self._outputs + len(outputs)
        return Numbered(events, outputs, rows, created, made)

    def _of_memory(
        self, event: int, action: str, context: ActionContext, did: Written
    ) -> list[Sent]:
        """Return the events of what an action did to memory; none for one that takes them."""
        kind = self._visible[event].type if event else InputEvent.EVENT_TYPE
        if kind in MEMORY_EVENTS or action == BEGIN_ACTION:
            return []
        return memory_events(
            self._services, self._ticket.key.value, context, did,
            derive=functools.partial(self._identity.event, event, action),
        )  # fmt: skip

    def show(self, numbered: Numbered) -> None:
        """What was numbered is durable, and so visible."""
        self._created, self._outputs = numbered.created, numbered.made
        for event in numbered.events:
            self._visible[event.number] = event


def _fail(error: BaseException) -> None:
    raise error
