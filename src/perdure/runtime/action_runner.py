"""ActionRunner: one action of a run, from its start through its calls to its end.

It joins what the others keep apart: the continuation executes the action, the journal says what is
recorded, the executor runs its calls, group commit makes their outcomes durable.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Callable
from typing import Any, Protocol

from perdure.agent import ActionSpec
from perdure.call import CallOptions, DurableCall
from perdure.errors import (
    ContextAccessError,
    EncodeError,
    NonDeterminismError,
    StoreError,
)
from perdure.executor.fallback import ThreadedContinuation
from perdure.journal.codec import brief, digest_call
from perdure.journal.failure import decode_failure, encode_failure
from perdure.journal.journal import ActionHistory, CallStep, Decision, Journal
from perdure.journal.record import Record, RecordKind
from perdure.runtime.call_attempts import CallAttempts, Callee
from perdure.runtime.services import JobServices
from perdure.runtime.timers import Timer
from perdure.store.base import Row

logger = logging.getLogger("perdure")


class RunOfAction(Protocol):
    """What an action needs of its run."""

    dropped: bool
    number: int
    services: JobServices

    def where(self) -> str:
        """Return the run and its key, for messages."""

    def action_ended(self, runner: ActionRunner) -> None:
        """Told when the action has ended; `runner.error` says how."""

    def store_failed(self, error: StoreError) -> None:
        """Told when a record of the run could not be written."""


class Place:
    """Where an action is, as text when a message needs it."""

    __slots__ = ("_action", "_run")

    def __init__(self, run: RunOfAction, action: str) -> None:
        self._run = run
        self._action = action

    def __str__(self) -> str:
        return f"{self._run.where()}, action {self._action}"


class ActionRunner:
    """One action of a run.

    Owns: the action's continuation, its journal cursor, its calls, its START record until that is
    written. Lifecycle: `start`, then settlements, each with a turn, until
    `RunOfAction.action_ended` is told; `close` drops it. On the host loop's thread.

    Args:
        run: the run it belongs to.
        spec: the action.
        event: number of the event that triggered it.
        history: what the journal holds of it.
        seed: a digest of its identity.
    """

    def __init__(
        self, run: RunOfAction, spec: ActionSpec, event: int, history: ActionHistory, seed: int
    ) -> None:
        self.spec = spec
        self.event = event
        self.name = spec.name
        self.error: BaseException | None = None
        self.ended = False
        self.start_row: Record | None = None
        self._run = run
        self._services = run.services
        self._history = history
        self._place = Place(run, spec.name)
        self._journal = Journal(history, self._place)
        self.continuation = self._services.executor.continuation(
            spec.name, seed, is_coroutine=spec.is_coroutine
        )
        self._live = False
        self._sequential = False
        self._calls: dict[int, DurableCall[Any]] = {}
        self._waiting: dict[int, Callable[[], None]] = {}  # starts put off until replay is over
        self._running: dict[int, CallAttempts] = {}
        self._last_at = 0  # time of the newest settlement handed to the store
        self._armed: Timer | None = None

    def where(self) -> str:
        """Return the action's place, for messages."""
        return str(self._place)

    @property
    def is_live(self) -> bool:
        """True when everything recorded has been replayed."""
        return self._live

    @functools.cached_property
    def random(self) -> random.Random:
        """The action's generator, derived from its identity."""
        return random.Random(self.continuation.loop.seed)

    # Start and replay

    def start(self, main: Callable[[], Any], started: Record) -> None:
        """Run the action's first turn and replay what is recorded.

        Args:
            main: the action with its event and context bound.
            started: its START record; written with the first thing of the action that is.
        """
        if self._history.start is None:
            self.start_row = started
        self._last_at = started.at
        if isinstance(self.continuation, ThreadedContinuation):
            self._sequential = True
            self.continuation.on_end(self._after_turn)
        self._guarded(lambda: self.continuation.start(started.at, main))
        self._replay()

    def catch_up(self) -> None:
        """Go on after the fallback's thread made a call or set a timer."""
        if self._live:
            self._after_turn()
        else:
            self._replay()

    def _replay(self) -> None:
        """Feed recorded settlements until none is left or the fallback's thread must catch up."""
        while not self.ended and not self._live:
            if self.continuation.finished or self.error is not None:
                self._after_turn()
                return
            if self._sequential and self._must_wait_for_thread():
                return
            try:
                record = self._journal.next()
            except NonDeterminismError as error:
                self._diverged(error)
                return
            if record is None:
                self._go_live()
                return
            self._last_at = max(self._last_at, record.at)
            if record.call:
                self._services.counters.calls_replayed += 1
            self._deliver(record)

    def _must_wait_for_thread(self) -> bool:
        upcoming = self._journal.upcoming()
        if upcoming is None:
            return False
        if upcoming.kind == RecordKind.CANCEL:
            continuation = self.continuation
            return isinstance(continuation, ThreadedContinuation) and not continuation.expecting
        if upcoming.kind == RecordKind.TIMER:
            return self.continuation.loop.next_deadline() is None
        return upcoming.call > self._journal.calls

    def _go_live(self) -> None:
        self._live = True
        waiting, self._waiting = self._waiting, {}
        for number, begin in waiting.items():
            if not self._calls[number].done():
                begin()
        self._after_turn()

    # Calls

    def call(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
        *,
        inline: bool = False,
    ) -> DurableCall[Any]:
        """Make a durable call: number it, check it against the journal, start it if it is new.

        Raises:
            NonDeterminismError: the journal holds another call under its number.
            EncodeError: its arguments or its callable have no stable identity.
        """
        info = self._services.function(func)
        options = options.over(info.options)
        function = options.durable_id or info.identity
        digest = digest_call(args, kwargs)
        detail = brief(args, kwargs)
        try:
            step = self._journal.call(
                function, digest, detail, reconciled=options.reconciler is not None
            )
        except NonDeterminismError as error:
            if not self._services.reexecute:
                self.error = error
                raise
            step = self._reexecute(error)
        call: DurableCall[Any] = DurableCall(
            self.continuation.loop,
            self.continuation.loop.next_identity(),
            number=step.number,
            function=function,
            parker=self.continuation.parker,
            on_cancel=self._cancelled,
        )
        self._calls[step.number] = call
        template = Record(
            run=self._run.number, event=self.event, action=self.name, n=0, kind=RecordKind.RESULT,
            call=step.number, function=function, digest=digest, detail=detail,
        )  # fmt: skip
        if step.decision is Decision.REPLAY:
            if self._sequential:
                # Its maker waits for it now, whatever was settled first when calls overlapped.
                self._services.executor.soon(lambda: self._deliver_early(step.number))
            return call
        callee = Callee(func, args, kwargs, info.is_coroutine, inline and not info.is_coroutine)
        begin = self._beginning(step, template, callee, options)
        if self._live:
            begin()
        else:
            self._waiting[step.number] = begin
            if self._sequential:
                self._services.executor.soon(self._replay)
        return call

    def sleep(self, seconds: float) -> DurableCall[None]:
        """Make a call that a durable timer settles."""
        loop = self.continuation.loop
        call: DurableCall[None] = DurableCall(
            loop,
            loop.next_identity(),
            number=0,
            function="sleep",
            parker=self.continuation.parker,
            on_cancel=lambda _: timer.cancel(),
        )

        def wake() -> None:
            if not call.done():
                call.set_result(None)

        timer = loop.set_timer(loop.time() + seconds, wake)
        if self._sequential:
            self._services.executor.soon(self.catch_up)
        return call

    def _deliver_early(self, number: int) -> None:
        upcoming = self._journal.upcoming()
        if upcoming is not None and upcoming.kind == RecordKind.CANCEL:
            self._replay()  # that came before its outcome
            return
        record = self._journal.take(number)
        if record is not None and not self.ended:
            self._services.counters.calls_replayed += 1
            self._deliver(record)
            self._replay()

    def _beginning(
        self, step: CallStep, template: Record, callee: Callee, options: CallOptions
    ) -> Callable[[], None]:
        """Return what starts the call, once the action is live and still wants it."""
        if step.decision is Decision.ANSWER:
            answer = step.answer
            assert answer is not None
            return lambda: self._settle(template, answer.kind, answer.payload, answer.started_at)
        if step.decision is Decision.RECONCILE:
            assert options.reconciler is not None
            func, info = options.reconciler, self._services.function(options.reconciler)
            callee = Callee(func, callee.args, callee.kwargs, info.is_coroutine, inline=False)
        attempts = CallAttempts(
            self,
            self._services,
            callee,
            template,
            options,
            made_at=self.continuation.loop.now,
            failed=step.failed,
        )

        def begin() -> None:
            self._running[template.call] = attempts
            attempts.begin()

        return begin

    def _reexecute(self, error: NonDeterminismError) -> CallStep:
        number = self._journal.calls
        void_from = self._journal.cut_from(number)
        logger.warning("%s; on-divergence is reexecute: the call and all after it are made", error)
        cut = Record(
            run=self._run.number, event=self.event, action=self.name, n=void_from,
            kind=RecordKind.CUT, call=number, at=self._services.now(),
        )  # fmt: skip
        self.write([cut], lambda: None)
        return CallStep(number, Decision.RUN)

    def _cancelled(self, call: DurableCall[Any]) -> None:
        attempts = self._running.pop(call.number, None)
        if attempts is not None:
            attempts.cancel()

    # Outcomes

    def call_over(
        self, template: Record, started_at: int, value: Any, error: BaseException | None
    ) -> None:
        """A call of this process is over: journal what came of it."""
        self._running.pop(template.call, None)
        if self.ended or self._run.dropped:
            return
        codec = self._services.codec
        kind, payload = RecordKind.RESULT, b""
        if error is None:
            try:
                payload = codec.encode(value)
            except EncodeError as refused:
                error = EncodeError(
                    f"the result of {template.function} cannot be journaled: {refused}"
                )
        if error is not None:
            kind, payload = RecordKind.ERROR, encode_failure(codec, error)
        self._settle(template, kind, payload, started_at)

    def _settle(self, template: Record, kind: int, payload: bytes | None, started_at: int) -> None:
        """Give a settlement its number and its time; deliver it when it is durable."""
        self._last_at = max(self._last_at, self._services.now())
        # By position: _replace would take longer than all the rest here.
        run, event, action, _, _, call, function, digest, detail, _, _, _ = template
        record = Record(
            run, event, action, self._journal.settle(), kind, call, function, digest, detail,
            payload, started_at, self._last_at,
        )  # fmt: skip
        self.write([record], lambda: self._deliver(record))

    def write(self, rows: list[Row], written: Callable[[], None]) -> None:
        """Write rows of the action; `written` is called if it still runs then."""
        if self.start_row is not None:
            rows.insert(0, self.start_row)
            self.start_row = None

        def done(error: StoreError | None) -> None:
            if error is not None:
                self._run.store_failed(error)
            elif not self.ended:
                written()

        self._services.commits.add(rows, done, self._run)

    def _deliver(self, record: Record) -> None:
        """Hand one durable settlement to the action and run one turn."""
        self._guarded(lambda: self.continuation.turn(record.at, lambda: self._apply(record)))
        self._after_turn()

    def _apply(self, record: Record) -> None:
        if record.kind == RecordKind.CANCEL:
            self.continuation.cancel()
            return
        if record.kind == RecordKind.TIMER:
            self._armed = None
            return
        call = self._calls.get(record.call)
        if call is None or call.done():
            return  # cancelled in the meantime; the same happens on replay
        payload = record.payload or b""
        if record.kind == RecordKind.RESULT:
            call.set_result(self._services.codec.decode(payload))
        else:
            call.set_exception(decode_failure(self._services.codec, payload))
            call._log_traceback = False  # an unread failure is no news

    # Timers and cancellation

    def timer_due(self) -> None:
        """A durable timer came due: that is a settlement."""
        if self.ended or self._run.dropped:
            return
        template = Record(
            run=self._run.number, event=self.event, action=self.name, n=0, kind=RecordKind.TIMER
        )
        self._settle(template, RecordKind.TIMER, None, 0)

    def cancel_record(self) -> Record:
        """Return the record of a new CANCEL settlement."""
        self._last_at = max(self._last_at, self._services.now())
        return Record(
            run=self._run.number, event=self.event, action=self.name, n=self._journal.settle(),
            kind=RecordKind.CANCEL, at=self._last_at,
        )  # fmt: skip

    def cancel(self, record: Record) -> None:
        """Deliver a CANCEL settlement that is durable."""
        self._deliver(record)

    # Turns and the end

    def _guarded(self, turn: Callable[[], None]) -> None:
        try:
            turn()
        except Exception as error:
            # Not the action's own failure, which its main task holds: it broke a rule of the loop.
            self.continuation.fail(error)
        except (KeyboardInterrupt, SystemExit) as stop:
            self._services.stop(stop)

    def _after_turn(self) -> None:
        if self.ended or self._run.dropped:
            return
        continuation = self.continuation
        violation = continuation.loop.violation
        if self.error is not None or violation is not None:
            # It left its journal or its loop was used from outside: whatever it made of that, the
            # action must not go on.
            self._end(self.error or violation)
        elif continuation.finished:
            self._end(self._ended_early() or continuation.error)
        elif self._live:
            deadline = continuation.loop.next_deadline()
            armed = self._armed
            if armed is not None and armed.deadline != deadline:
                self._services.timers.cancel(armed)
                self._armed = armed = None
            if armed is None and deadline is not None:
                self._armed = self._services.timers.arm(deadline, self.timer_due)

    def _ended_early(self) -> NonDeterminismError | None:
        try:
            self._journal.check_end()
        except NonDeterminismError as error:
            if not self._services.reexecute:
                return error
            logger.warning("%s; on-divergence is reexecute: the action ends without it", error)
        return None

    def _diverged(self, error: NonDeterminismError) -> None:
        if self._services.reexecute:
            self._reexecute(error)
            self._go_live()
            return
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        self.close()
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._services.stop(error)  # it came from the fallback's thread; never an outcome
            return
        self._run.action_ended(self)

    def close(self) -> None:
        """Drop the action: no more turns, its calls in flight are cancelled."""
        self.ended = True
        if self._armed is not None:
            self._services.timers.cancel(self._armed)
        for attempts in list(self._running.values()):
            attempts.cancel()
        self._running.clear()
        self._waiting.clear()
        self._calls.clear()
        self.continuation.close()

    def check_turn(self, what: str) -> None:
        """Refuse what is asked outside a turn of this action (G8)."""
        if asyncio._get_running_loop() is not self.continuation.loop or self.ended:
            raise ContextAccessError(
                f"{self.where()}: {what} works only in the action's own code, while it runs; a"
                " durable callable, a thread or a task outside it takes values and returns values"
            )
