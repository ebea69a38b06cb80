"""RunExecution: one run while it executes: its events, its actions, its memory."""

from __future__ import annotations

import asyncio
import functools
from asyncio import FIRST_COMPLETED
from collections.abc import Callable
from typing import Any, cast

from perdure.agent.plan import ActionSpec
from perdure.errors import DecodeError, StoreDataError, StoreError
from perdure.journal.journal import NEW
from perdure.journal.record import Completion, Record
from perdure.printable import quoted_key
from perdure.run import RunStatus
from perdure.runtime.action.context import ActionContext
from perdure.runtime.action.log import Line, emit_all
from perdure.runtime.action.runner import ActionRunner
from perdure.runtime.action.sequential_runner import new_runner
from perdure.runtime.action.timed_out import void_by_timeout
from perdure.runtime.run.activity import RunActivity
from perdure.runtime.run.ended import EndedActions
from perdure.runtime.run.ending import End, RunEnding
from perdure.runtime.run.events import RunEvents
from perdure.runtime.run.identity import RunIdentity
from perdure.runtime.run.rest import RunRest
from perdure.runtime.run.state import RunMemory, RunState
from perdure.runtime.run.time_out import time_out
from perdure.runtime.run.triggers import to_begin, triggered_by
from perdure.runtime.run.written import written
from perdure.runtime.shared.mailbox import RunTicket
from perdure.runtime.shared.services import JobServices
from perdure.runtime.shared.supervisor import stopped_by
from perdure.store.base import Row


class RunExecution:
    """One run while it executes.

    Owns: the visible events, the running actions, the memory as of the last completion.
    Lifecycle: `start` begins or resumes its actions; it ends by a commit that says so, or is
    `dropped` when the store failed, and another one reads the journal back.
    """

    def __init__(self, ticket: RunTicket, services: JobServices, state: RunState) -> None:
        self.ticket = ticket
        self.services = services
        self.number = ticket.number
        self.dropped = False
        self._state = state
        key, sequence = ticket.key.digest, ticket.row.sequence
        self._identity = RunIdentity(services.job, key, sequence, ticket.input, services.generation)
        self._events = RunEvents(ticket, services, self._identity, state)
        self._memory = RunMemory(state.sensory, state.short_term, state.touched)
        self._ending = RunEnding(ticket, services, state.cancel_reason)
        self._completions = state.completions
        self._calls = state.calls
        self._activity: RunActivity | None = None  # made when it says what it does: few runs do
        self._noted = None if state.noted is None else state.noted.said
        if ticket.activity is None and self._noted is not None:
            ticket.activity = services.codec.decode(self._noted)
        self.rest = RunRest(ticket, services, state)
        self.key_digest = ticket.key.digest
        self.key_number = ticket.key.number
        self.active: dict[tuple[int, str], ActionRunner] = {}  # by event number and name
        self._ended = EndedActions(self.active, resumed=state.unfinished is not None)
        self._due: list[tuple[int, ActionSpec]] = []  # to begin; an empty deque takes 600 bytes
        self._committing = False
        self._refused = False  # the store does not take a row of it
        self._left: asyncio.Future[None] | None = None  # done when nothing of it goes on here
        self._contexts: dict[ActionRunner, ActionContext] = {}
        self._said: list[Line] = []  # by actions that were cancelled; emitted with the next commit

    def where(self) -> str:
        """Return the run and its key, for messages."""
        return f"run {self.ticket.id} of key {quoted_key(self.ticket.key.value)}"

    def event_ids(self, event: int, action: str) -> Callable[[int], str]:
        """Return what gives the id of the nth event that an action sends while it handles one."""
        return functools.partial(self._identity.event, event, action)

    # Beginning

    def start(self) -> None:
        """Begin a new run, or resume one where its journal ends."""
        self.ticket.status = RunStatus.RUNNING
        if self.ticket.signals or self.services.run_timeout:
            was_asked = bool(self._ending.cancel_reason)
            self.rest.start(None if was_asked else functools.partial(time_out, self))
        resumed = self._state.unfinished is not None
        try:
            pending = to_begin(self.services, self._state, self._events.decoded)
        except BaseException as error:  # of a condition, or of a value that was read for it
            if resumed:
                self.services.supervisor.goes_on(self.ticket)
            self._action_failed(None, error)
            return
        self._trigger(pending)
        if not self._state.began:
            self.tell_soon()
            if all(each.continuation.is_queued for each in self.active.values()):
                self.rest.count_from(None)
        if resumed and not (self.rest.resting or self.dropped or self._committing):
            self.services.supervisor.goes_on(self.ticket)
        self._end_if_done()

    def code_begins(self, at: int) -> None:
        """Told by an action that has waited for others: where it is the first, so did the run."""
        if self.rest.deadline is None:
            self.rest.count_from(at)

    def _trigger(self, pending: list[tuple[int, ActionSpec]]) -> None:
        self._due += pending
        self._begin_due()

    def _begin_due(self) -> None:
        """Begin what was triggered; where actions go in turn, what ended before is written first.

        What began before a crash goes on at once.
        """
        histories = self._state.unfinished or {}
        while self._due and not self.dropped:
            event, spec = self._due[0]
            key = event, spec.name
            history = histories.get(key, NEW)
            if history is NEW and self.services.plan.in_turn and self._is_at_work:
                return
            del self._due[0]
            seed = self._identity.seed(event, spec.name)
            runner = self.active[key] = new_runner(self, spec, event, history, seed)
            started = history.start or Record.start(
                self.number, event, spec.name, version=self._completions,
                at=history.began or self.services.now(),
                rules=history.rules(self.services.rules),
            )  # fmt: skip
            bases = self._state.snapshots.get(key) or self._memory[:2]
            context = self._contexts[runner] = ActionContext(runner, bases, started)
            runner.start(self._events.main(runner, context), started)

    @property
    def _is_at_work(self) -> bool:
        return self._committing or bool(self._ended) or self.holds_lane

    # Ends of actions: one commit at a time, in the order in which they ended

    def action_ended(self, event: int, action: str) -> None:
        """Told by an action that it has ended."""
        if not self.dropped:
            self._ended.add(self.active[event, action])
            self._go_on()

    def has_read(self) -> None:
        """Told by an action that it has read an outcome to replay, and is as far as that goes."""
        self._ended.has_read()
        self._go_on()

    def _commit_next(self) -> None:
        runner = self._ended.pop(0)
        error = runner.error
        if self._ending.cancel_reason and issubclass(type(error), asyncio.CancelledError):
            self._leave_cancelled(runner)
            return
        if error is None:
            try:
                self._commit_completion(runner)
                return
            except BaseException as raised:  # of a function given to `memory.update`, say
                error = raised
        self._action_failed(runner, error)

    def _leave_cancelled(self, runner: ActionRunner) -> None:
        """An action stopped as asked: nothing it did becomes visible; a retry repeats it."""
        self._said += runner.cut_log([])
        self._forget(runner)
        self._end_if_done()
        self._go_on()

    def _forget(self, runner: ActionRunner) -> None:
        # No cycles are left, so that reference counting frees the action at once.
        del self.active[runner.event, runner.name]
        self._contexts.pop(runner, None)
        runner.release()

    def _commit_completion(self, runner: ActionRunner) -> None:
        context = self._contexts[runner]
        at = self.services.now()
        memory, sensory, short_term, kept = did = written(context.memories, self._memory, at)
        sent = self._events.number(runner.event, runner.name, context, did)
        completion = Completion(
            events=sent.events, sensory=sensory, short_term=short_term, outputs=sent.made,
            created=sent.created, kept=kept,
        )  # fmt: skip
        lines, self._said = [*self._said, *runner.cut_log([])], []
        ended_at = max(at, runner.last_at)
        unused = runner.left_over()
        rows: list[Row] = [*self._completed_rows(runner, completion, ended_at), *unused, *sent.rows]
        triggered = []
        if sent.events and not self._ending.cancel_reason:
            triggered = triggered_by(self.services, sent.events, self._events.decoded)
        is_last = len(self.active) == 1 and not (self._ended or triggered or self._due)
        end = None
        if is_last and not self._ending.is_timed_out:
            end = self._ending.reached(memory, ended_at)
            rows += end.rows

        def committed(error: StoreError | None) -> None:
            if error is not None:
                self.store_failed(error)
                return
            if lines:
                emit_all(lines)
            self._committing = False
            self._completions += 1
            self._memory = memory
            self._events.show(sent)
            self._forget(runner)
            for (number, output), row in zip(sent.outputs, sent.rows, strict=True):
                self.services.supervisor.emit(self.ticket, number, output, row.value)
            if end is not None:
                self._leave()
                end.durable()
                return
            if unused:
                self.give_back(unused)
            if not self._ending.cancel_reason:  # it may have been asked to stop since
                self._trigger(triggered)
            else:
                self._end_if_done()
            self._go_on()
            self.action_idles()  # what has idled since before this was written

        self._committing = True
        self.services.commits.add(rows, committed, self)

    def _completed_rows(self, runner: ActionRunner, completion: Completion, at: int) -> list[Row]:
        completed = Record.completed(
            self.number, runner.event, runner.name, version=self._completions + 1, did=completion,
            at=at,
        )  # fmt: skip
        return [completed] if runner.start_row is None else [runner.start_row, completed]

    def _go_on(self) -> None:
        if self._ended and not self._committing and not self.dropped:
            self._commit_next()

    # Rest

    def action_idles(self) -> None:
        """Told that only time or a signal can continue an action: perhaps the run rests."""
        if not self.active or self.rest.resting:
            return
        # One that was asked to stop stays: that is not durable yet, perhaps.
        unsettled = self._committing or self._ended or self._due or self.dropped
        if not (unsettled or self._ending.cancel_reason):
            if all(runner.is_idle for runner in self.active.values()):
                self.rest.begin()

    def stir(self) -> None:
        """Told that something is about to go on."""
        if self.rest.resting:
            self.rest.end()

    @property
    def holds_lane(self) -> bool:
        """True when, without continuations, an action of it keeps all other plain ones waiting."""
        return any(runner.continuation.is_sequential for runner in self.active.values())

    @property
    def wake_up(self) -> int | None:
        """When time continues the run, ns since the epoch; None when only a signal can."""
        times = [runner.wake_up for runner in self.active.values()]
        return min((t for t in (*times, self.rest.deadline) if t is not None), default=None)

    def signal(self, signal: Record) -> None:
        """Take in a signal that is durable; an action that waits for it gets it."""
        if self.rest.signals.add(signal):
            self._offer()

    def _offer(self) -> None:
        for runner in self.active.values():
            if not runner.ended and runner.is_live:
                runner.ask()

    def take_signal(self, name: str, until: int | None) -> Record | None:
        """Take the first signal with this name, if it came before the run's own deadline too."""
        deadlines = [each for each in (until, self.rest.deadline) if each is not None]
        return self.rest.signals.take(name, min(deadlines, default=None))

    def is_late(self, deadline: int | None) -> bool:
        """Say whether the run's own timeout came before a deadline: it is to stop first."""
        own = self.rest.deadline
        if own is None or self._ending.cancel_reason:
            return False
        return own <= self.services.now() and (deadline is None or own < deadline)

    def has_signal(self, name: str) -> bool:
        """Say whether a signal with this name is there to be taken."""
        return self.rest.signals.has(name)

    def give_back(self, signals: list[Record]) -> None:
        """Take back what an action was handed and has not used."""
        self.rest.signals.give_back(signals)
        self._offer()

    # What actions count and tell

    def count_call(self) -> bool:
        """Count one more call; False when it is one too many for the run."""
        self._calls += 1
        return not self.services.max_calls or self._calls <= self.services.max_calls

    def derived_id(self, call: Record) -> str:
        """Return the id that a run started by this call has for ever."""
        return self._identity.child(call.event, call.action, call.call, call.digest or b"")

    @property
    def activity(self) -> RunActivity:
        """What it says that it is doing."""
        if self._activity is None:
            note = self._state.noted
            said = None if note is None else self.services.codec.decode(note.said)
            self._activity = RunActivity(said, has_lists=note is not None and note.has_lists)
        return self._activity

    def set_status(self, value: Any, entry: tuple[str, str] | None) -> None:
        """Say what the run is doing; `note` publishes it."""
        self.activity.set(value, entry)
        self.ticket.activity = self.activity.shown()

    def note(self) -> None:
        """Publish what the run is doing, for those who look from outside."""
        data = self.services.codec.encode(self.activity.shown())
        if data == self._noted:
            return  # it says so already
        self._noted = data
        has_lists, at = self.activity.has_lists, self.services.now()
        note = Record.note(self.number, data, has_lists=has_lists, at=at)

        def written(error: StoreError | None) -> None:
            if error is not None:
                self.store_failed(error)

        # Without an owner: it is written though the run leaves memory right after it.
        self.services.commits.add([note], written)

    def tell_soon(self) -> None:
        """Have it told in a moment that the run is running, and what its actions have logged."""
        self.services.soon.add(self)

    def tell(self) -> None:
        """Write that the run is running, which a START of an action says, and emit what is held."""
        began = self._state.began or self._completions > self._state.completions
        # The START of one that waits for other actions is not known yet; it has it told anew.
        runners = [each for each in self.active.values() if not each.continuation.is_queued]
        is_seen = began or any(runner.start_row is None for runner in runners)
        for runner in runners:
            if not runner.ended and (not is_seen or runner.has_lines):
                runner.write([], runner.tell_if_idle)
                is_seen = True

    def process_ends(self) -> None:
        """The process ends in good order: what is under way is no crash, what was said is told."""
        for runner in self.active.values():
            if not runner.ended:
                runner.calls.process_ends()
                if runner.has_lines:
                    runner.write([], lambda: None)

    # Cancellation

    async def cancel(self, reason: str, more: list[Row]) -> None:
        """Ask every action to stop, once: a CANCEL settlement each, committed with `more`.

        When it returns that is durable; asked again, they are left to their cleanup. Where no
        action was left to ask, the run has ended by then, or was put back, as it was about to.

        Args:
            reason: `CANCELLED`, or `TIMED_OUT` for a run that fails in the end.
            more: rows to commit with them.

        Raises:
            StoreError: it is not, or nobody knows; the run goes on from its journal.
        """
        self.stir()
        self._due.clear()
        at_work = [runner for runner in self.active.values() if not runner.ended]
        runners = [] if self._ending.cancel_reason else at_work
        reason = self._ending.cancelled(reason)
        records = [(runner, runner.cancel_record(reason)) for runner in runners]
        rows: list[Row] = []
        lines = [line for runner in runners for line in runner.cut_log(rows)]
        rows = [*more, *rows]
        for runner, record in records:
            if runner.start_row is not None:
                rows.append(runner.start_row)
                runner.start_row = None
            rows.append(record)

        def written(error: StoreError | None) -> None:
            # Here, not when the future wakes somebody: what was settled later is delivered later.
            if error is not None:
                self.store_failed(error)
            else:
                emit_all(lines)
                for runner, record in records:
                    if not runner.ended and not self.dropped:
                        runner.cancel(record)
            durable.set_result(error)

        loop = asyncio.get_running_loop()
        durable: asyncio.Future[StoreError | None] = loop.create_future()
        left = self._left = self._left or loop.create_future()
        # They are nothing without what is on its way before them, such as a START.
        self.services.commits.add(rows, written, self if records else None)
        await asyncio.wait([durable, left] if records else [durable], return_when=FIRST_COMPLETED)
        error = durable.result() if durable.done() else None
        if not (durable.done() or self.ticket.status.is_final):
            error = StoreError(f"{self.where()} goes on from its journal: it was not asked to stop")
        if error is not None:
            raise error
        if not at_work and not self.dropped:
            await asyncio.shield(left)

    # The end of the run

    def _end_if_done(self) -> None:
        """End the run when all its actions have, and what they did is written."""
        if not (self.active or self._ended or self._due or self._committing or self.dropped):
            self._commit_end(self._ending.all_ended(self.where(), self._memory))

    def _action_failed(self, runner: ActionRunner | None, error: BaseException) -> None:
        """An action failed, or none could begin: the others stop; the run fails or is put back."""
        if stopped_by(self.services.supervisor, error):  # in code that runs in no turn of an action
            return
        if issubclass(type(error), DecodeError) and cast("DecodeError", error).is_damage:
            self.drop()  # not the action's doing: it is no outcome, and would be so again
            self.services.supervisor.damaged(self.ticket, cast("DecodeError", error))
            return
        self._close_actions(are_ended=True)
        rows = [runner.start_row] if runner is not None and runner.start_row is not None else []
        end = self._ending.action_failed(runner or self, error, self._memory, rows)
        if runner is not None:  # before what puts the run back, if it is
            end.rows[:0] = void_by_timeout(runner, error, self.services.now())
        self._commit_end(end)

    def _commit_end(self, end: End) -> None:
        # Before what puts the run back, if it is: a retry goes on from what came before that.
        lines, self._said = self._said, []
        lines += [line for each in self.active.values() for line in each.cut_log(end.rows)]

        def committed(error: StoreError | None) -> None:
            if error is not None:
                self.store_failed(error)
                return
            emit_all(lines)
            for runner in self.active.values() if end.is_final else ():
                runner.log.tell_parting()
            self._leave()
            end.durable()

        self._committing = True
        self.services.commits.add(end.rows, committed, self)

    def store_failed(self, error: StoreError) -> None:
        """A record could not be written: drop everything and go on from the journal (G25)."""
        if self.dropped:
            return
        if isinstance(error, StoreDataError) and not self._refused:
            # Writing it again would fail again: this run has a row that no store takes.
            self._refused = True
            self._close_actions(are_ended=True)
            self._commit_end(self._ending.failed(self.where(), error, self._memory))
            return
        self.drop()
        self.services.supervisor.restart(self.ticket, error)

    def drop(self) -> None:
        """Stop all actions and write nothing more."""
        self.dropped = True
        self._close_actions()
        self._leave()

    def _leave(self) -> None:
        self.dropped = True  # nothing of it is written any more
        self.rest.close()
        for runner in list(self.active.values()):
            self._forget(runner)
        if self._left is not None and not self._left.done():
            self._left.set_result(None)

    def _close_actions(self, *, are_ended: bool = False) -> None:
        for runner in self.active.values():
            if are_ended:
                runner.end_waits()
            if not runner.ended:
                runner.close()
        self._ended.clear()
        self._due.clear()
