"""SequentialRunner: one plain action without continuations, whose calls do not overlap (G19).

Its code runs on a thread, from one call to the next. So its replay goes at that thread's pace, and
hands it what it waits for, whatever was settled first when calls overlapped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from perdure.agent.plan import ActionSpec
from perdure.call import DurableCall
from perdure.errors import NonDeterminismError
from perdure.journal.journal import NEW, ActionHistory
from perdure.journal.record import Record, RecordKind
from perdure.runtime.action.runner import ActionRunner
from perdure.runtime.action.sides import RunOfAction
from perdure.runtime.action.waits import not_waited


class SequentialRunner(ActionRunner):
    """One action of a run that makes its calls one after another.

    Owns besides: the call that the action's thread waits for. What the journal has is handed to
    the thread call by call: first what settles that call. Where nothing does, the call was under
    way when calls still overlapped and the process ended. Then the action goes live for its sake,
    while outcomes are left for calls that it makes later.
    """

    _awaited_call = 0  # its number; 0 for a sleep or a signal
    _at_rest: asyncio.Future[None] | None = None  # somebody waits for the thread to wait, or to end

    def start(self, main: Callable[[], Any], started: Record) -> None:
        """Have the action's thread begin; what is recorded is replayed at its pace."""
        self.continuation.follower = self
        super().start(main, started)

    def code_begins(self) -> None:
        """Take the time at which the action begins: what it has waited for others is not its own.

        Where its START is recorded or written, that stands.
        """
        if self._history is NEW and self.start_row is not None:
            at = self.began_at = self.last_at = max(self._services.now(), self.last_at)
            self.start_row = self.start_row._replace(at=at)
            self.continuation.loop.advance(at)
            self.run.code_begins(at)
            self.run.tell_soon()
            self._after_turn()

    def call_made(self, call: DurableCall[Any]) -> None:
        """Go on, outside this turn, now that the action's thread waits for a call."""
        self._awaited_call = call.number
        if self._journal.replaying or not self.is_live:
            self._services.executor.soon(self._replay)
        elif not call.number or self._history is not NEW:
            self._services.executor.soon(self._after_turn)  # arms its timer, tells of its waits
        self._rests()

    def code_ended(self, broken: BaseException | None) -> None:
        """See to the end of the action."""
        if broken is not None:
            self._broken(broken)
        self._after_turn()

    @property
    def has_caught_up(self) -> bool:
        """True when the action's thread waits for what no record is handed to."""
        return self.continuation.is_suspended and not self._journal.replaying

    async def come_to_rest(self) -> bool:
        ran = False
        while not (self.ended or self._is_new or self.continuation.is_suspended):
            ran = True
            if self._at_rest is None:
                self._at_rest = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._at_rest)
        return ran

    @property
    def _is_new(self) -> bool:
        return self._history is NEW and self._waits is None

    def close(self) -> None:
        """Drop the action; its thread ends at its next call."""
        super().close()
        self._rests()

    def _rests(self) -> None:
        if self._at_rest is not None:
            self._at_rest.set_result(None)
            self._at_rest = None

    def release(self) -> None:
        """Let go of the parts that refer back to the action, which has ended for good."""
        super().release()
        self.continuation.follower = None

    def _replay(self) -> None:
        while not (self.ended or self.fetching):
            if self.continuation.finished or self.error is not None:
                self._after_turn()
                return
            if self._journal.replaying and not self.continuation.is_suspended:
                return  # its thread is on its way to the next call
            try:
                record = self._next()
            except NonDeterminismError as error:
                self._diverged(error)
                return
            if record is None:
                self._go_live()
                return
            if not self._feed(record):
                return

    def _next(self) -> Record | None:
        """Take what the thread is to be handed; None when nothing is recorded for it."""
        journal = self._journal
        upcoming = journal.upcoming()
        if upcoming is None or upcoming.kind == RecordKind.CANCEL:
            return journal.next()
        record = journal.take(self._is_awaited)
        if record is not None:
            return record
        if upcoming.kind == RecordKind.TAKEN and not self._awaited_call:
            return super()._next()  # of a wait that is over; of one that never was it is an error
        if 0 < upcoming.call <= journal.calls:
            return journal.next()  # of a call that was cancelled
        # What is next is for later, but a run that was asked to stop starts nothing more.
        return journal.take(lambda record: record.kind == RecordKind.CANCEL)

    def _check_end(self, then: str) -> None:
        if isinstance(self.continuation.error, asyncio.CancelledError):
            return  # asked to stop at a call that overlapped with later ones: those are not made
        super()._check_end(then)
        if (taken := self._journal.take(self._was_never_waited_for)) is not None:
            raise not_waited(self, taken, then)

    def _was_never_waited_for(self, record: Record) -> bool:
        return record.kind == RecordKind.TAKEN and not self.waits.has_waited(record.signal_name)

    def _is_awaited(self, record: Record) -> bool:
        if self._awaited_call:
            return record.call == self._awaited_call
        return self.waits.would_end(record)

    def _go_live(self) -> None:
        if not (self.is_live or self._journal.replaying):
            super()._go_live()
            return
        self.is_live = True
        self.calls.go_live()
        if self._waits is not None:
            self._waits.ask_live()  # what is recorded for a later wait is not given back
        self._after_turn()


def new_runner(
    run: RunOfAction, spec: ActionSpec, event: int, history: ActionHistory, seed: int
) -> ActionRunner:
    """Return what runs an action.

    Args:
        run: the run it belongs to.
        spec: the action.
        event: number of the event that triggered it.
        history: what the journal holds of it.
        seed: a digest of its identity.
    """
    executor = run.services.executor
    continuation = executor.continuation(spec.name, seed, is_coroutine=spec.is_coroutine)
    ticket = run.ticket
    continuation.loop.place = run.services.job, ticket.id, ticket.key.value, spec.name
    kind = SequentialRunner if continuation.is_sequential else ActionRunner
    return kind(run, spec, event, history, continuation)
