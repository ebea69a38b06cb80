"""ActionRunner: one action of a run, from its start through its calls to its end.

It joins what the others keep apart: the continuation executes the action, the journal says what is
recorded, the executor runs its calls, group commit makes their outcomes durable.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from perdure.agent.plan import ActionSpec
from perdure.errors import ContextAccessError, NonDeterminismError, StoreError
from perdure.executor.continuation import ContinuationContext
from perdure.executor.running import running_loop
from perdure.journal.journal import NEW, ActionHistory, CallStep, Decision, Journal
from perdure.journal.record import Record, RecordKind, StoredPayload
from perdure.runtime.action.calls import ActionCalls
from perdure.runtime.action.chance import ActionRandom
from perdure.runtime.action.divergence import warn, way_left
from perdure.runtime.action.log import ActionLog, Line, emit_all
from perdure.runtime.action.sides import RunOfAction
from perdure.runtime.action.waits import ActionWaits, not_waited
from perdure.runtime.shared.supervisor import stopped_by
from perdure.store.base import Row

TOGETHER = 16  # settlements of an action at most that are delivered in one step of the host loop


class ActionRunner:
    """One action of a run.

    Owns: the action's continuation, its journal cursor, its calls, its START record until that is
    written. Lifecycle: `start`, then settlements, each with a turn, until
    `RunOfAction.action_ended` is told; `close` drops it. On the host loop's thread.

    Attributes:
        is_live: everything recorded has been replayed.
        fetching: how many large outcomes it is reading from the store.
        began_at: when its code began, as its START record says, ns since the epoch.
        took_event: its code got its event; else it fails by why not.
        last_at: its time, which never goes back (G12): that of its newest settlement, written or
            on its way.

    Args:
        run: the run it belongs to.
        spec: the action.
        event: number of the event that triggered it.
        history: what the journal holds of it.
        continuation: what executes it.
    """

    took_event = True

    def __init__(
        self,
        run: RunOfAction,
        spec: ActionSpec,
        event: int,
        history: ActionHistory,
        continuation: ContinuationContext,
    ) -> None:
        self.spec, self.name, self.event = spec, spec.name, event
        self.run_number = run.number
        self.error: BaseException | None = None
        self.ended = False
        self.start_row: Record | None = None
        self.run, self._services = run, run.services
        self._history = history
        self._journal = Journal(history, self)
        self.continuation = continuation
        self.is_live, self.fetching = False, 0
        self._note = False  # it said something while it was replayed
        self._held = False  # it has ended, but a run that it started is not durable yet
        self._settled: list[Record] = []  # newest settlements, which one commit makes durable
        self._settled_rows: list[Row] = []  # what is written of these
        self._writing = 0  # batches of rows that are not durable yet
        self._undelivered: Collection[Record] = ()  # that are
        self.began_at = self.last_at = 0
        self.calls = ActionCalls(self, self._journal)
        self._waits: ActionWaits | None = None  # made when it first waits: many actions never do
        self._log: ActionLog | None = None  # likewise, when it first logs

    def where(self) -> str:
        """Return the action's place, for messages."""
        return f"{self.run.where()}, action {self.name}"

    __str__ = where

    @property
    def waits(self) -> ActionWaits:
        """What it waits for besides its calls; made on the host loop's thread alone."""
        if self._waits is None:
            settled, resumed = self._history.settlements, self._history is not NEW
            self._waits = ActionWaits(self, settled, resumed=resumed)
        return self._waits

    @property
    def wake_up(self) -> int | None:
        """When its armed timer comes due, ns since the epoch."""
        return self._waits.wake_up if self._waits is not None else None

    @property
    def awaits_signals(self) -> bool:
        """True while the action waits for a signal."""
        return not self.ended and self._waits is not None and self._waits.for_signals

    def is_due(self, until: int) -> bool:
        """Say whether a signal is on its way to it, or a timer before `until` (ns), or its end."""
        return self.ended or (self._waits is not None and self._waits.is_due(until))

    async def come_to_rest(self) -> bool:
        """Return when no thread runs code of an action that had begun before; True if one did."""
        return False

    @property
    def has_caught_up(self) -> bool:
        """True when the code of a live action has been as far as before: its waits are made."""
        return True  # turn by turn, in the replay

    def ask(self) -> None:
        """Take what has come for the action: the run has got a signal."""
        if self._waits is not None:
            self._waits.ask()

    def left_over(self) -> list[Record]:
        """Return the signals that it was handed and has not used."""
        is_used = self._waits is not None or self._history is not NEW
        return self.waits.left_over() if is_used else []

    @property
    def log(self) -> ActionLog:
        """What it logs."""
        if self._log is None:
            self._log = ActionLog(self, self._history.marked_lines)
        return self._log

    @property
    def has_lines(self) -> bool:
        """True while lines that it has logged are held back."""
        return self._log is not None and not self._log.is_empty

    def cut_log(self, rows: list[Row]) -> list[Line]:
        """Put marks of the lines held back before `rows`; return these, to emit with them."""
        if self._log is None:
            return []
        marks, lines = self._log.cut(self._services.now())
        rows[:0] = marks
        return lines

    @functools.cached_property
    def random(self) -> ActionRandom:
        """The action's generator, derived from its identity."""
        return ActionRandom(self.continuation.loop.seed)

    # Start and replay

    def start(self, main: Callable[[], Any], started: Record) -> None:
        """Run the action's first turn and replay what is recorded.

        Args:
            main: the action with its event and context bound.
            started: its START record; written with the first thing of the action that is.
        """
        if self._history.start is None:
            self.start_row = started
        self.began_at = self.last_at = started.at
        self.continuation.loop.on_violation = self._violated
        try:
            self.continuation.start(started.at, main)
        except BaseException as error:
            self._broken(error)
        is_over = self.ended or self.error is not None or self.continuation.finished
        if self._history is NEW and not is_over:
            self._go_live()
        else:
            self._replay()

    def _replay(self) -> None:
        """Feed recorded settlements, one a turn, until none is left."""
        while not (self.ended or self.is_live or self.fetching):
            if self.continuation.finished or self.error is not None:
                self._after_turn()
                return
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

    def _feed(self, record: Record) -> bool:
        """Hand over a recorded settlement; False where it is read from the store first."""
        if isinstance(record.payload, StoredPayload):
            self.fetch(record.payload, lambda payload: self._feed_on(record, payload))
            return False
        self.last_at = max(self.last_at, record.at)
        if record.call:
            self._services.counters.calls_replayed += 1
        self._deliver(record)
        return True

    def _feed_on(self, record: Record, payload: bytes) -> None:
        self._feed(record._replace(payload=payload))
        self._replay()

    def fetch(self, left: StoredPayload, then: Callable[[bytes], None]) -> None:
        """Read what recovery has left in the store; `then` is told if the action still runs."""
        self.fetching += 1
        self._services.supervisor.spawn(self._fetch(left, then))

    async def _fetch(self, left: StoredPayload, then: Callable[[bytes], None]) -> None:
        try:
            payload = await self._services.supervisor.payload(left)
        except StoreError as error:
            if not (self.ended or self.run.dropped):
                self.run.store_failed(error)
            return
        self.fetching -= 1
        if not (self.ended or self.run.dropped):
            then(payload)
        self.run.has_read()

    def _next(self) -> Record | None:
        record = self._journal.next()
        if record is not None and record.kind == RecordKind.TAKEN:
            if not self.waits.has_waited(record.signal_name):
                raise not_waited(self, record)
        return record

    def _go_live(self) -> None:
        self.is_live = True
        self.calls.go_live()
        if self._waits is not None or self._history is not NEW:
            self.waits.go_live()
        self._after_turn()

    def note(self) -> None:
        """Publish what the run is doing; what is said during a replay after it, once."""
        self._note = not self.is_live
        if self.is_live:
            self.run.note()

    def _tell_note(self) -> None:
        self._note = False
        self.run.note()

    def reexecute(self, error: NonDeterminismError) -> CallStep:
        """Go on without the journal from the newest call on (`on-divergence: reexecute`)."""
        number = self._journal.calls
        void_from = self._journal.cut_from(number)
        warn(error, "the call and all after it are made", self.continuation.loop.log_fields)
        cut = Record.cut(
            self.run.number, self.event, self.name, void_from=void_from, call=number,
            at=self._services.now(),
        )  # fmt: skip
        self.write([cut], lambda: None)
        return CallStep(number, Decision.RUN)

    # Settlements

    def settle(self, outcome: Record, at: int | None = None, also: Sequence[Row] = ()) -> None:
        """Give a settlement its number and its time; deliver it when it is durable.

        Where that time passes a deadline of an action that waits for a signal, the inbox is read
        before: a signal that was durable earlier wins (G6).
        """
        if self.ended or self.run.dropped:
            return
        if at is None:
            if self._waits is not None and self._waits.looks_first(outcome):
                return
            at = self._services.now()
        if self._waits is not None:  # else the run has not rested
            self.run.stir()
        if at < self.last_at:  # of a signal that came before, or the clock was set back
            outcome, at = outcome.begun_later(self.last_at - at), self.last_at
        self.last_at = at
        record = outcome.settled(self._journal.settle(), at)
        if 0 < len(self._settled) < TOGETHER and self._log is None and not also:
            if self._services.commits.join(self._settled_rows, record):
                self._settled.append(record)
                return
        self._settled, self._settled_rows = [record], [record, *also]
        self.write(self._settled_rows, self._deliver_all, self._settled, settles=True)

    def submitted(self) -> None:
        """A run that this action started is durable, and no other is on its way."""
        if self._held and not self.run.dropped:
            self._held = False
            self.run.action_ended(self.event, self.name)

    def write(
        self, rows: list[Row], written: Callable[..., None], *given: Any, settles: bool = False
    ) -> None:
        """Write rows of the action; `written(*given)` is called if it still runs then."""
        lines = self.cut_log(rows) if self._log is not None else None
        if self.start_row is not None:
            rows.insert(0, self.start_row)
            self.start_row = None
        self._writing += 1
        done = functools.partial(self._written, lines, written, given)
        self._services.commits.add(rows, done, self.run, settles=settles)

    def _written(
        self,
        lines: list[Line] | None,
        then: Callable[..., None],
        given: tuple[Any, ...],
        error: StoreError | None,
    ) -> None:
        self._writing -= 1
        if error is not None:
            self.run.store_failed(error)
            return
        if lines:
            emit_all(lines)
        if not self.ended:
            then(*given)

    def _deliver_all(self, settled: list[Record]) -> None:
        """Hand settlements that one commit made durable to the action, each with its own turn."""
        self._undelivered = left = collections.deque(settled)
        while left and not (self.ended or self.run.dropped):
            if len(left) == 1 or self.continuation.is_sequential:
                self._deliver(left.popleft())
                continue
            try:
                self.continuation.turns(left, self._take, self._goes_on)
            except BaseException as error:
                self._broken(error)
            self._after_turn()

    def _goes_on(self) -> bool:
        """Say whether another turn may follow: there is nothing to see to after this one."""
        loop = self.continuation.loop
        if loop.closed or loop.violation or self.error is not None or self.run.dropped:
            return False
        return self._waits is None and self._log is None and not (loop.timers or self._note)

    def _deliver(self, record: Record) -> None:
        """Hand one durable settlement to the action and run one turn."""
        try:
            self.continuation.turn(record.at, self._take, record)
        except BaseException as error:
            self._broken(error)
        self._after_turn()

    def _take(self, record: Record) -> None:
        self.continuation.loop.turn = record.n
        if record.call:
            self.calls.apply(record)
        elif record.kind == RecordKind.CANCEL:
            self.continuation.cancel()
        else:  # TIMER, TAKEN
            self.waits.apply(record)

    def cancel_record(self, reason: str) -> Record:
        """Return the record of a new CANCEL settlement."""
        self.last_at = max(self.last_at, self._services.now())
        asked = Record.cancel(self.run.number, self.event, self.name, reason)
        return asked.settled(self._journal.settle(), self.last_at)

    def cancel(self, record: Record) -> None:
        """Deliver a CANCEL settlement that is durable; in a replay, after what it is behind."""
        if self.is_live:
            self._deliver(record)
        else:
            self._journal.add(record)
            self._replay()

    def _broken(self, error: BaseException) -> None:
        """A turn raised: not the action's own failure, which its main task holds."""
        if not stopped_by(self._services.supervisor, error):
            # Against a rule of the loop, or a `sys.exit` that would end each process in turn.
            self.continuation.fail(error)

    def _after_turn(self) -> None:
        if self.ended or self.run.dropped:
            return
        continuation = self.continuation
        violation = continuation.loop.violation
        if self.error is not None or violation is not None:
            # It left its journal, or its loop was used from outside: it must not go on.
            self._end(self.error or violation)
        elif continuation.finished:
            if self._note:
                self._tell_note()
            early = self._ended_early() if self._history is not NEW else None
            self._end(early or continuation.error)
        elif self.is_live:
            if self._note and continuation.is_suspended:
                self._tell_note()
            if self._waits is not None and self._waits.put_off:
                self._waits.ask()
            idles = (self._waits is not None or bool(continuation.loop.timers)) and self._arm()
            is_unsaid = self.start_row is not None or (self._log is not None and self.has_lines)
            counts = self._services.run_timeout and not continuation.is_queued
            if is_unsaid and (idles or (counts and self.start_row is not None)):
                # A deadline counts from the start, which must survive a crash as well; and what
                # it has logged does not wait as long as it does.
                self.write([], self.tell_if_idle)
            elif idles:
                self.tell_if_idle()

    def _arm(self) -> bool:
        """Arm the next timer; say whether time or a signal can continue the action."""
        if self._waits is None and self.continuation.loop.next_deadline() is None:
            return False
        waits = self.waits
        waits.arm()
        return waits.is_open

    def _violated(self) -> None:
        """Told, on any thread, that the loop was used from outside: nothing else may wake it."""
        self._services.executor.soon_threadsafe(self._after_turn)

    def tell_if_idle(self) -> None:
        """Tell the run that only time or a signal can continue the action, if that is so."""
        if self.is_idle:
            self.run.action_idles()

    @property
    def is_idle(self) -> bool:
        """True while only time or a signal can continue the action."""
        return (
            self.is_live
            and not (self.ended or self._writing or self._undelivered)
            and not (self.fetching or self.calls.running)
            and (self._waits is not None and self._waits.is_open)
            and self.continuation.is_suspended
        )

    def _ended_early(self) -> NonDeterminismError | None:
        failed = self.continuation.error
        error = way_left(failed, self._check_end) if self.took_event else None
        if error is not None:
            self._services.counters.divergences += 1
            if not self._services.reexecute:
                return error
            warn(error, "the action ends without it", self.continuation.loop.log_fields)
        return None

    def _check_end(self, then: str) -> None:
        self._journal.check_end(then)

    def _diverged(self, error: NonDeterminismError) -> None:
        self._services.counters.divergences += 1
        if self._services.reexecute:
            self.reexecute(error)
            self._go_live()
            return
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        if error is None:
            self.calls.begin_submissions()
        self.close()
        if error is not None and stopped_by(self._services.supervisor, error):
            return  # out of an inline call that the fallback's thread waited for; never an outcome
        self.end_waits()
        if error is None and self.calls.submitting:
            self._held = True
        else:
            self.run.action_ended(self.event, self.name)

    def end_waits(self) -> None:
        """Take back what those outside were told of waits: the action ends here."""
        if self._waits is not None or self._history is not NEW:
            self.waits.end()

    def close(self) -> None:
        """Drop the action: no more turns, its calls in flight are cancelled."""
        self.ended = True
        if "random" in self.__dict__:  # many actions never draw
            self.random.end(self.where())
        if self._waits is not None:
            self._waits.close()
        self.calls.close()
        if not self.continuation.loop.closed:
            self.continuation.close()

    def release(self) -> None:
        """Let go of the parts that refer back to the action, which has ended for good."""
        del self.calls, self._waits, self._journal

    def check_turn(self, what: str) -> None:
        """Refuse what is asked outside a turn of this action (G8)."""
        if running_loop() is not self.continuation.loop or self.ended:
            raise ContextAccessError(
                f"{self.where()}: {what} works only in the action's own code, while it runs; a"
                " durable callable, a thread or a task outside it takes values and returns values"
            )
