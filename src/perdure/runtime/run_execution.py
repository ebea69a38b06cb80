"""RunExecution: one run while it executes: its events, its actions, its memory, its end."""

from __future__ import annotations

import asyncio
import collections
import functools
import hashlib
import logging
from typing import Any, NamedTuple

from perdure.agent import ActionSpec
from perdure.config import AgentExecutionOptions
from perdure.errors import PerdureError, RunCancelledError, StoreDataError, StoreError
from perdure.event import Event, InputEvent
from perdure.journal.brief import brief
from perdure.journal.failure import decode_failure, encode_failure
from perdure.journal.journal import NEW, ActionHistory
from perdure.journal.record import (
    Completion,
    EventRecord,
    Record,
    RecordKind,
    encode_completion,
)
from perdure.memory import Cell
from perdure.run import STATUS_NUMBERS, Output, RunStatus
from perdure.runtime.action_runner import ActionRunner
from perdure.runtime.mailbox import RunTicket
from perdure.runtime.runner_context import ActionContext, Sent
from perdure.runtime.services import JobServices
from perdure.store.base import MemoryRow, OutputRow, Row, StatusRow

logger = logging.getLogger("perdure")

Cells = dict[str, Cell]
Delta = list[tuple[str, bytes | None]]


class RunState(NamedTuple):
    """Where a run stands: new, or read back from its journal.

    Attributes:
        events: events that are visible, the input left out.
        sensory: sensory memory after the last completion.
        short_term: short-term memory after it.
        touched: paths of short-term memory that the run has written.
        completions: number of completions so far.
        created: number of events made so far, outputs included.
        outputs: number of outputs made so far.
        unfinished: (event number, action name) that have not completed, with their histories.
        snapshots: memory at the start of those that had started, by the same key.
        cancelled: the run was asked to stop.
    """

    events: dict[int, EventRecord]
    sensory: Cells
    short_term: Cells
    touched: dict[str, None]
    completions: int
    created: int
    outputs: int
    unfinished: dict[tuple[int, str], ActionHistory] | None
    snapshots: dict[tuple[int, str], tuple[Cells, Cells]]
    cancelled: bool


def new_state(short_term: Cells) -> RunState:
    """Return the state of a run that has not begun."""
    return RunState({}, {}, short_term, {}, 0, 0, 0, None, {}, False)


class RunExecution:
    """One run while it executes.

    Owns: the visible events, the running actions, the memory as of the last completion.
    Lifecycle: `start` begins or resumes its actions; it ends by a commit that says so, or is
    `dropped` when the store failed, and another one reads the journal back.
    """

    def __init__(self, ticket: RunTicket, services: JobServices, state: RunState) -> None:
        self.ticket = ticket
        self.services = services
        self.number = ticket.row.run
        self.dropped = False
        self._state = state
        identity = f"{services.job}\0{ticket.row.sequence}\0".encode("utf-8", "surrogatepass")
        self._identity = hashlib.blake2b(ticket.key.row.digest + identity, digest_size=16)
        self._events = state.events
        self._sensory = state.sensory
        self._short_term = state.short_term
        self._touched = state.touched
        self._completions = state.completions
        self._created = state.created
        self._outputs = state.outputs
        self._cancelling = state.cancelled
        self._active: list[ActionRunner] = []
        self._ending: collections.deque[ActionRunner] = collections.deque()
        self._committing = False
        self._refused = False
        self._contexts: dict[ActionRunner, ActionContext] = {}

    def where(self) -> str:
        """Return the run and its key, for messages."""
        return f"run {self.ticket.id} of key {brief((self.ticket.key.value,), {}, 60)}"

    # Beginning

    def start(self) -> None:
        """Begin a new run, or resume one where its journal ends."""
        self.ticket.status = RunStatus.RUNNING
        if self._state.unfinished is None:
            self._trigger([(0, spec) for spec in self._actions_of(InputEvent.EVENT_TYPE)])
        else:
            # The events' order is the order in which their actions first began.
            specs = {spec.name: spec for spec in self.services.plan.actions}
            pending = [(event, specs[name]) for event, name in self._state.unfinished]
            self._trigger(pending)
        if not self._active and not self._ending and not self._committing and not self.dropped:
            self._commit_end(RunStatus.CANCELLED if self._cancelling else RunStatus.COMPLETED)

    def _actions_of(self, event_type: str) -> tuple[ActionSpec, ...]:
        return self.services.plan.actions_for(event_type)

    def _trigger(self, pending: list[tuple[int, ActionSpec]]) -> None:
        histories = self._state.unfinished or {}
        begun = []
        for event, spec in pending:
            key = (event, spec.name)
            history = histories.get(key, NEW)
            runner = ActionRunner(self, spec, event, history, self._seed(event, spec.name))
            self._active.append(runner)
            begun.append((runner, history, key))
        for runner, history, key in begun:
            if runner.ended or self.dropped:
                continue
            started = history.start or Record(
                run=self.number, event=runner.event, action=runner.name, n=self._completions,
                kind=RecordKind.START, at=self.services.now(),
            )  # fmt: skip
            sensory, short_term = self._state.snapshots.get(key, (self._sensory, self._short_term))
            context = ActionContext(self, runner, sensory, short_term, started.at)
            self._contexts[runner] = context
            main = functools.partial(runner.spec.func, self._event_for(runner), context)
            runner.start(main, started)

    def _event_for(self, runner: ActionRunner) -> Event:
        """Return the action's own copy of its event, decoded from the journal form."""
        codec = self.services.codec
        spec = runner.spec
        if runner.event == 0:
            event: Event = InputEvent(input=codec.decode(self.ticket.row.value))
            event.id = self.event_id(0, "", 0)
        else:
            record = self._events[runner.event]
            event = Event(
                type=record.type, attributes=codec.decode(record.attributes), id=record.id
            )
            event.upstream_event_id = self._event_id(record.source_event)
            event.upstream_action_name = record.action
        wanted = spec.event_class or self.services.plan.event_class_for(event.type)
        return event if type(event) is wanted else wanted.from_event(event)

    def _event_id(self, number: int) -> str:
        return self._events[number].id if number else self.event_id(0, "", 0)

    def event_id(self, event: int, action: str, n: int) -> str:
        """Return the id of the `n`-th event that `action` made of `event`: derived, never drawn."""
        return self._digest("event", event, action, n).hex()

    def _seed(self, event: int, action: str) -> int:
        return int.from_bytes(self._digest("seed", event, action, 0)[:8], "big")

    def _digest(self, *parts: str | int) -> bytes:
        hasher = self._identity.copy()
        hasher.update("\0".join(map(str, parts)).encode("utf-8", "surrogatepass"))
        return hasher.digest()

    # Ends of actions: one commit at a time, in the order in which they ended

    def action_ended(self, runner: ActionRunner) -> None:
        """Told by an action that it has ended."""
        if self.dropped:
            return
        self._ending.append(runner)
        if not self._committing:
            self._commit_next()

    def _commit_next(self) -> None:
        runner = self._ending.popleft()
        error = runner.error
        if self._cancelling and isinstance(error, asyncio.CancelledError):
            self._leave_cancelled(runner)
            return
        if error is None:
            try:
                self._commit_completion(runner)
                return
            except Exception as raised:
                error = raised
        self._commit_failure(runner, error)

    def _leave_cancelled(self, runner: ActionRunner) -> None:
        """An action stopped as asked: nothing it did becomes visible; a retry repeats it."""
        self._active.remove(runner)
        del self._contexts[runner]
        if not self._active and not self._ending:
            self._commit_end(RunStatus.CANCELLED)
        self._go_on()

    def _commit_completion(self, runner: ActionRunner) -> None:
        context = self._contexts[runner]
        at = self.services.now()
        sensory, short_term = self._sensory, self._short_term
        sensory_delta: Delta = []
        short_delta: Delta = []
        if context.sensory.pending():
            sensory, sensory_delta = context.sensory.apply(sensory, at)
        if context.short_term.pending():
            short_term, short_delta = context.short_term.apply(short_term, at)
        sent = context.sent
        events, outputs, rows = self._number_events(runner, sent)
        created, made = self._created + len(sent), self._outputs + len(outputs)
        completion = Completion(
            events=events, sensory=sensory_delta, short_term=short_delta, outputs=made,
            created=created,
        )  # fmt: skip
        rows.insert(
            0,
            Record(
                run=self.number, event=runner.event, action=runner.name, n=self._completions + 1,
                kind=RecordKind.COMPLETED, payload=encode_completion(completion), at=at,
            ),
        )  # fmt: skip
        if runner.start_row is not None:
            rows.insert(0, runner.start_row)
        touched = self._touched | dict.fromkeys(path for path, _ in short_delta)
        triggered = [] if self._cancelling else self._triggered(events)
        is_last = len(self._active) == 1 and not self._ending and not triggered
        if is_last:
            end = RunStatus.CANCELLED if self._cancelling else RunStatus.COMPLETED
            rows += self._end_rows(end, None, short_term, touched, at)

        def committed(error: StoreError | None) -> None:
            if error is not None:
                self.store_failed(error)
                return
            self._committing = False
            self._completions += 1
            self._created, self._outputs = created, made
            self._sensory, self._short_term, self._touched = sensory, short_term, touched
            self._events.update((event.number, event) for event in events)
            self._active.remove(runner)
            del self._contexts[runner]
            for number, output in outputs:
                self.services.emit(self.ticket, number, output)
            if is_last:
                self._finish(end, None)
                return
            if not self._cancelling:  # it may have been asked to stop since
                self._trigger(triggered)
            elif not self._active and not self._ending:
                self._commit_end(RunStatus.CANCELLED)
            self._go_on()

        self._committing = True
        self.services.commits.add(rows, committed, self)

    def _go_on(self) -> None:
        if self._ending and not self._committing and not self.dropped:
            self._commit_next()

    def _number_events(
        self, runner: ActionRunner, sent: list[Sent]
    ) -> tuple[list[EventRecord], list[tuple[int, Output]], list[Row]]:
        events: list[EventRecord] = []
        outputs: list[tuple[int, Output]] = []
        rows: list[Row] = []
        for n, item in enumerate(sent, 1):
            id_ = self.event_id(runner.event, runner.name, n)
            if item.is_output:
                number = self._outputs + len(outputs) + 1
                value = self.services.codec.decode(item.data)
                outputs.append((number, self.output(value, id_)))
                rows.append(
                    OutputRow(
                        run=self.number, number=number, id=id_, value=item.data,
                        delivered=self.services.undelivered,
                    )
                )  # fmt: skip
            else:
                events.append(
                    EventRecord(
                        number=self._created + n, type=item.type, id=id_, attributes=item.data,
                        source_event=runner.event, action=runner.name,
                    )
                )  # fmt: skip
        return events, outputs, rows

    def output(self, value: Any, id_: str) -> Output:
        """Return an output of this run as users see it."""
        return Output(value=value, key=self.ticket.key.value, run_id=self.ticket.id, id=id_)

    def _triggered(self, events: list[EventRecord]) -> list[tuple[int, ActionSpec]]:
        return [(event.number, spec) for event in events for spec in self._actions_of(event.type)]

    # The end of the run

    def _commit_failure(self, runner: ActionRunner, error: BaseException) -> None:
        """An action failed: its run's other actions stop, and the run fails or is put back."""
        self._stop_actions()
        config = self.services.config
        strategy = config.get(AgentExecutionOptions.ERROR_HANDLING_STRATEGY)
        retries = config.get(AgentExecutionOptions.MAX_RETRIES)
        if isinstance(error, asyncio.CancelledError):
            error = PerdureError(f"{runner.where()} cancelled itself; nobody asked it to")
        if strategy == "fail" or (strategy == "retry" and self.ticket.row.attempt < retries):
            self._commit_retry(runner, error, stop=strategy == "fail")
            return
        self._commit_failed(
            runner.where(), error, [runner.start_row] if runner.start_row is not None else []
        )

    def _commit_failed(self, where: str, error: BaseException, rows: list[Row]) -> None:
        logger.error("%s failed: %s: %s", where, type(error).__name__, error)
        failure = encode_failure(self.services.codec, error)
        rows += self._end_rows(RunStatus.FAILED, failure, self._short_term, self._touched, self.services.now())
        shown = decode_failure(self.services.codec, failure)
        self._write_end(rows, lambda: self._finish(RunStatus.FAILED, shown))

    def _commit_retry(self, runner: ActionRunner, error: BaseException, *, stop: bool) -> None:
        row = self.ticket.row
        row = row._replace(attempt=row.attempt + 1)
        retry = Record(
            run=self.number, event=0, action="", n=row.attempt, kind=RecordKind.RETRY, at=self.services.now()
        )
        status = StatusRow(
            status=STATUS_NUMBERS[RunStatus.QUEUED], place=row.place, attempt=row.attempt,
            error=None, finished_at=0, run=self.number,
        )  # fmt: skip
        rows = [*self._memory_rows(self._short_term, self._touched), retry, status]
        memory = self._short_term

        def written() -> None:
            self.dropped = True
            self.ticket.row = row
            self.ticket.has_history, self.ticket.records = True, None
            self.ticket.status = RunStatus.QUEUED
            self.ticket.key.memory = memory
            self.services.counters.retries += 1
            if stop:
                self.services.stop(error)
                return
            logger.warning("%s failed, trying again: %s", runner.where(), error)
            self.services.retry_later(self.ticket)

        self._write_end(rows, written)

    async def cancel(self, more: list[Row]) -> None:
        """Ask every action to stop: a CANCEL settlement each, committed with `more`.

        Durable when it returns.

        Raises:
            StoreError: it is not, or nobody knows; the run goes on from its journal.
        """
        self._cancelling = True
        runners = [runner for runner in self._active if not runner.ended]
        records = [(runner, runner.cancel_record()) for runner in runners]
        rows: list[Row] = [*more]
        for runner, record in records:
            if runner.start_row is not None:
                rows.append(runner.start_row)
                runner.start_row = None
            rows.append(record)
        try:
            await self.services.commits.write(rows)
        except StoreError as error:
            self.store_failed(error)
            raise
        for runner, record in records:
            if not runner.ended and not self.dropped:
                runner.cancel(record)

    def _commit_end(self, status: RunStatus) -> None:
        rows = self._end_rows(status, None, self._short_term, self._touched, self.services.now())
        self._write_end(rows, lambda: self._finish(status, None))

    def _write_end(self, rows: list[Row], written: Any) -> None:
        def committed(error: StoreError | None) -> None:
            if error is not None:
                self.store_failed(error)
            else:
                written()

        self._committing = True
        self.services.commits.add(rows, committed, self)

    def _end_rows(
        self,
        status: RunStatus,
        failure: bytes | None,
        short_term: Cells,
        touched: dict[str, None],
        at: int,
    ) -> list[Row]:
        row = self.ticket.row
        end = StatusRow(
            status=STATUS_NUMBERS[status], place=row.place, attempt=row.attempt, error=failure,
            finished_at=at, run=self.number,
        )  # fmt: skip
        return [end, *self._memory_rows(short_term, touched)]

    def _memory_rows(self, short_term: Cells, touched: dict[str, None]) -> list[Row]:
        # Short-term memory reaches its table when the run ends: until then the table holds what
        # the run started from, and the completions what it wrote (G14).
        rows: list[Row] = []
        for path in touched:
            cell = short_term.get(path)
            data, written_at = (cell.data, cell.written_at) if cell else (None, 0)
            rows.append(
                MemoryRow(
                    key=self.ticket.row.key, path=path, data=data, written_at=written_at
                )
            )  # fmt: skip
        return rows

    def _finish(self, status: RunStatus, error: BaseException | None) -> None:
        self.dropped = True  # nothing of it is written any more
        self._active.clear()  # no cycles are left: reference counting frees the run at once
        self._contexts.clear()
        ticket = self.ticket
        ticket.status = status
        ticket.error = error
        if status is RunStatus.CANCELLED:
            ticket.error = RunCancelledError(f"run {ticket.id} was cancelled")
        self.services.finish(ticket, self._short_term if self._touched else None)

    def store_failed(self, error: StoreError) -> None:
        """A record could not be written: drop everything and go on from the journal (G25)."""
        if self.dropped:
            return
        if isinstance(error, StoreDataError) and not self._refused:
            # Writing it again would fail again: this run has a row that no store takes.
            self._refused = True
            self._stop_actions()
            self._commit_failed(self.where(), error, [])
            return
        self.drop()
        self.services.restart(self.ticket, error)

    def drop(self) -> None:
        """Stop all actions and write nothing more."""
        self.dropped = True
        self._stop_actions()

    def _stop_actions(self) -> None:
        for runner in self._active:
            if not runner.ended:
                runner.close()
        self._ending.clear()
