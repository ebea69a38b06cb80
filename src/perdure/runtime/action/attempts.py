"""CallAttempts: one durable call while it executes: attempts, timeouts, back-offs.

Waiting costs no thread. The number of failed attempts and the next wake-up are journaled, so a
crash in a back-off of an hour does not start it again.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable
from typing import Any

import msgspec

from perdure.call import CallOptions
from perdure.checks import LONGEST_SECONDS, nanoseconds
from perdure.codec.copies import ArgumentsOf, own_arguments
from perdure.codec.error_texts import text_of
from perdure.codec.failure import encode_failure
from perdure.errors import RetryableError
from perdure.executor.executor import ContinuationActionExecutor
from perdure.executor.limits import Permit, PermitChain
from perdure.executor.pool import Finish, Invocation
from perdure.executor.shutdown import ends_process
from perdure.journal.record import Record
from perdure.journal.waited import SHORTEST, Waited, pack_waited
from perdure.runtime.action.sides import ActionOfParts, CallOver
from perdure.runtime.shared.timers import Timer

NOT_WAITED = Waited()


class Callee(msgspec.Struct, frozen=True):
    """What is called."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    is_coroutine: bool
    inline: bool  # on the host loop's thread, without a task; not bounded by a timeout
    is_mutable: bool = False  # its arguments can change: each attempt gets its own
    form: Any = None  # how its result is journaled; None for as it is


class LoneAttempt(Invocation):
    """A call whose only attempt nothing bounds and nothing else is known of: most are such.

    Owns: its execution, which it is. Lifecycle: from when it is given to the executor until
    `finish` is told, or `cancel`. On the host loop's thread.

    Attributes:
        template: the call's record without an outcome.
        inline: a plain function, to be run on the host loop's thread.
        over_at: when the whole call has taken too long: never.
    """

    __slots__ = ("_executor", "inline", "template")

    over_at: int | None = None

    def __init__(
        self,
        callee: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        finish: Finish,
        template: Record,
        executor: ContinuationActionExecutor,
        inline: bool,
    ) -> None:
        self.func = callee
        self.args = args
        self.kwargs = kwargs
        self.finish = finish
        self.on_start = self.on_wait = self.key = self.task = None
        self.context = contextvars.copy_context()  # the action's, which makes the call
        self.started_at = 0
        self.dropped = False
        self.template = template
        self._executor = executor
        self.inline = inline

    @property
    def now(self) -> tuple[str, int, int, int]:
        """What it does, as `CallAttempts.now` says it."""
        return "running" if self.started_at else "queued", self.started_at, 1, 0

    def cancel(self) -> None:
        """Stop it."""
        self._executor.drop(self)

    def process_ends(self) -> None:
        """The process ends in good order: nothing counts its crashes."""


class CallAttempts:
    """The attempts of one call.

    Owns: the invocation under way, its place under a limit, the timers of its timeout, its
    back-off and the whole call. Lifecycle: made in the turn that makes the call; `begin` until
    `over` is told, or `cancel`. On the host loop's thread.

    Args:
        action: what makes the call.
        callee: what is called.
        template: the call's record without an outcome.
        options: timeout, retry policy, reconciler, limit.
        over: told what came of the call.
        before: the record of its last attempt by an earlier process, which had no outcome.

    Attributes:
        template: the call's record without an outcome.
        over_at: when the whole call has taken too long, ns since the epoch; None for never.
    """

    __slots__ = (
        "_action", "_attempt", "_before", "_begins", "_bound", "_call_over", "_callee", "_closed",
        "_context", "_deadline", "_ended", "_error", "_failure", "_invocation", "_key", "_options",
        "_permit", "_services", "_since", "_timer", "_waited", "_waits", "_wake_up", "over_at",
        "template",
    )  # fmt: skip

    def __init__(
        self,
        action: ActionOfParts,
        callee: Callee,
        template: Record,
        options: CallOptions,
        *,
        over: CallOver,
        before: Record | None,
    ) -> None:
        self._action = action
        self._services = action.run.services
        self._callee = callee
        self.template = template
        self._options = options
        # The action's, which makes the call. What starts an attempt is another's end, or a timer.
        self._context = contextvars.copy_context()
        self._key = action.run.key_number  # for fairness between keys
        self._call_over = over
        self._before = before
        self._attempt = before.attempts if before is not None else 0
        self._wake_up = before.due_at if before is not None else 0
        total = options.retry.total_timeout if options.retry is not None else None
        made_at = action.continuation.loop.now
        self.over_at = made_at + nanoseconds(total) if total is not None else None
        self._ended = 0  # attempts that are over
        self._closed = False  # the call is over
        self._begins = False  # an attempt has its record and has not begun to execute
        self._error: BaseException | None = None  # of the last attempt
        self._failure = before.failure if before is not None else None  # its journal form
        self._invocation: Invocation | None = None
        self._permit: Permit | PermitChain | None = None
        self._bound: Timer | None = None  # of the attempt's timeout
        self._waits = False  # the run says that it waits for a thread that nobody knows to come
        self._timer: Timer | None = None  # of the back-off
        self._deadline: Timer | None = None  # of the whole call
        self._since = 0  # when it began to wait for its limit or a thread, or the last failed
        self._waited = NOT_WAITED

    def begin(self) -> None:
        """Start the first attempt, or go on waiting for the next."""
        if self.over_at is not None:
            self._deadline = self._services.timers.arm(self.over_at, self._too_late)
        before, options = self._before, self._options
        if before is None:
            if options.limit is None and options.reconciler is None and options.retry is None:
                self._start()
            else:
                self._queue()
        elif (crashed := self._crashed(before)) is not None:
            self._failed(crashed, before.started_at)
        else:
            self._since = self._services.now()
            self._wait()

    def _crashed(self, before: Record) -> Exception | None:
        """Return what the last attempt comes to if it ended with its process and that counts."""
        policy = self._options.retry
        if not before.is_beginning:
            return None
        if policy is None or not policy.count_crashes or not self._attempt:
            return None
        if before.at >= self._services.opened_at:  # by this process: its run was read back since
            self._attempt -= 1
            return None
        return RetryableError(f"the process ended during attempt {self._attempt} of {self._name}")

    @property
    def _name(self) -> str:
        return f"call {self.template.call} ({self.template.function})"

    def cancel(self) -> None:
        """Stop: a coroutine is cancelled, a thread's late result dropped, a back-off ended."""
        if self._invocation is not None:
            self._drop()
        self._close()

    def _close(self) -> None:
        self._closed = True
        if self._waits:
            self._fed()
        if self._bound is not None or self._timer is not None or self._deadline is not None:
            self._stop_timers()
        if self._permit is not None:
            self._release()

    def process_ends(self) -> None:
        """The process ends in good order: an attempt under way is no crash."""
        if self._closed or not self._counts_crashes():
            return
        if self._begins or self._invocation is not None:
            over = self._attempt if self._begins else self._attempt - 1
            # As it was before the attempt: the last one failed, or there was none.
            failure = self._failure if over else None
            before = self.template.attempt(over, failure=failure, at=self._services.now())
            self._action.write([before], lambda: None)

    @property
    def now(self) -> tuple[str, int, int, int]:
        """What it does, since when, by which attempt, and when the next is due; for snapshots."""
        attempt = self._attempt + (self._invocation is None)
        if self._timer is not None:
            return "backing off", self._since, attempt, self._wake_up
        invocation = self._invocation
        if invocation is not None:
            began = invocation.started_at
            return "running" if began else "queued", began or self._since, attempt, 0
        if self._permit is not None and self._permit.waiting:
            return "limited", self._since, attempt, 0
        return "recording", self._since, attempt, 0

    # One attempt: its turn under a limit, its record, its execution

    def _wait(self) -> None:
        if self._closed:
            return  # while its failed attempt was written
        if self._wake_up > self._services.now():
            self._timer = self._services.timers.arm(self._wake_up, self._queue)
        else:
            self._queue()

    def _queue(self) -> None:
        self._timer = None
        if self._since:
            self._note(retries=self._services.now() - self._since)
        if self._options.limit is None:
            self._record()
            return
        ended, self._since = self._ended, self._services.now()
        permit: Permit | PermitChain
        limit, limits = self._options.limit, self._services.limits
        if isinstance(limit, str):
            permit = limits.acquire(limit, self._key, self._record)
        else:
            permit = limits.acquire_all(limit, self._key, self._record)
        if self._ended == ended:
            self._permit = permit
        else:  # an inline attempt began and ended meanwhile
            permit.began()
            permit.release()

    def _record(self) -> None:
        """Write what has to be durable before the attempt starts."""
        if self._options.limit is not None:
            self._note(limit=self._services.now() - self._since)
        if self._options.reconciler is not None:
            if not self._reconciles:
                # In doubt from here on until its outcome is recorded (G11).
                pending = self.template.pending(self._attempt, at=self._services.now())
                self._action.write([pending], self._start)
                return
        elif self._options.retry is not None and self._counts_crashes():
            self._begins = True
            begins = self.template.attempt(self._attempt + 1, at=self._services.now())
            self._action.write([begins], self._start)
            return
        self._start()

    @property
    def _reconciles(self) -> bool:
        """True where the attempts ask the reconciler: an earlier process left the call in doubt."""
        return self._callee.func is self._options.reconciler

    def _counts_crashes(self) -> bool:
        policy = self._options.retry
        return policy is not None and policy.count_crashes and self._options.reconciler is None

    def _start(self) -> None:
        self._begins = False
        if self._closed:
            return  # while what had to be durable was written
        callee = self._callee
        self._attempt += 1
        self._services.counters.calls_made += 1
        given: ArgumentsOf | Callee = callee
        if callee.is_mutable and self._options.retry is not None:
            given = own_arguments(callee.func, callee.args, callee.kwargs) or callee
        context = self._context.copy()  # of the attempt alone: an earlier one may still execute
        invocation = Invocation(given.func, given.args, given.kwargs, self._over, context)
        invocation.key = self._key
        self._invocation = invocation
        limit = self._options.limit
        if callee.inline:
            if self._permit is not None:
                self._permit.began()
            self._services.executor.run_inline(invocation)
            return
        if self._options.timeout is not None or (
            limit is not None and self._services.limits.has_rate(limit)
        ):
            invocation.on_start = self._began
        if not callee.is_coroutine:
            self._since = self._services.now()
            invocation.on_wait = self._starves
        # Under a limit another's end starts it, which may be that of the whole run: not in there.
        self._services.executor.start(
            invocation, is_coroutine=callee.is_coroutine, at_once=limit is None
        )

    def _starves(self, why: str) -> None:
        """No thread is left for the attempt: whoever looks at the run is to see that."""
        self._waits = True
        self._say(f"{self._name} waits for {why}")
        if self._invocation is not None:
            self._invocation.on_start = self._began

    def _say(self, what: str | None) -> None:
        action = self._action
        place = ("calls that wait", f"{self.template.event} {action.name} {self.template.call}")
        action.run.set_status(what, place)
        action.run.note()

    def _fed(self) -> None:
        if self._waits:
            self._waits = False
            self._say(None)

    def _began(self, invocation: Invocation) -> None:
        """The attempt has begun to execute: its timeout runs from here, and its time in a rate."""
        if invocation.started_at:
            self._fed()
            if invocation is self._invocation:
                self._count(invocation)
        if invocation is self._invocation and self._options.timeout and self._bound is None:
            # On the clock that nobody sets: a healthy attempt does not fail by a change of time.
            expires_at = self._services.world.monotonic() + nanoseconds(self._options.timeout)
            self._bound = self._services.spans.arm(expires_at, self._expired)

    def _count(self, invocation: Invocation) -> None:
        """Count the attempt under way in the rates of its limits, if it has begun."""
        if self._permit is not None and invocation.started_at:
            self._permit.began()

    def _expired(self) -> None:
        self._bound = None
        if self._invocation is not None:
            self._over(self._drop(), None, self._timeout())

    def _too_late(self) -> None:
        """The whole call has taken too long, whatever it is doing now."""
        self._deadline = None
        if self._invocation is not None:
            self._end(self._drop().started_at, None, self._timeout())
        else:  # what failed last says more than that no attempt has followed
            self._end(0, None, self._error or self._timeout())

    def _drop(self) -> Invocation:
        invocation = self._invocation
        assert invocation is not None
        self._services.executor.drop(invocation)
        self._count(invocation)  # a thread may have taken it since anybody was told
        self._invocation = None
        self._note_thread(invocation)
        return invocation

    # What it waits for

    def _note_thread(self, invocation: Invocation) -> None:
        """An attempt is over: note how long it waited for a thread, to its end if none came."""
        if not (self._callee.is_coroutine or self._callee.inline):
            begun = invocation.started_at or self._services.now()
            if begun - self._since >= SHORTEST:
                self._note(thread=begun - self._since)

    def _note(self, *, thread: int = 0, limit: int = 0, retries: int = 0) -> None:
        if thread + limit + retries >= SHORTEST:
            before = self._waited
            self._waited = Waited(
                before.thread + thread, before.limit + limit, before.retries + retries
            )

    def _timeout(self) -> TimeoutError:
        options = self._options
        total = options.retry.total_timeout if options.retry is not None else None
        if self.over_at is not None and self._services.now() >= self.over_at:
            return TimeoutError(f"{self._name}: not done after {total:g} s in all its attempts")
        return TimeoutError(
            f"{self._name}, attempt {self._attempt}: not done after {options.timeout:g} s"
        )

    # Its end

    def _over(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        if self._invocation is not None:
            self._count(invocation)
            self._invocation = None
            self._note_thread(invocation)
        self._ended += 1
        if self._bound is not None:
            self._stop_bound()
        if self._permit is not None:
            self._release()
        if error is None:
            self._end(invocation.started_at, value, None)
            return
        self._failed(error, invocation.started_at)

    def _end(self, started_at: int, value: Any, error: BaseException | None) -> None:
        self._close()
        template = self.template
        if self._waited is not NOT_WAITED:
            template = template._replace(waited=pack_waited(*self._waited))
        self._call_over(template, started_at, value, error)

    def _failed(self, error: BaseException, started_at: int) -> None:
        """An attempt failed: there is another, or the call has."""
        self._error = error
        wake_up = self._next_wake_up(error)
        if wake_up is None:
            self._end(started_at, None, error)
            return
        self._failure = encode_failure(self._services.codec, error)
        # That its reconciler failed leaves the call in doubt (G11).
        made = self.template.pending if self._reconciles else self.template.attempt
        self._since = now = self._services.now()
        begun = started_at and started_at + max(self._action.last_at - now, 0)
        attempt = made(self._attempt, failure=self._failure, started_at=begun, at=wake_up)
        self._services.counters.call_retries += 1
        self._wake_up = wake_up
        self._action.write([attempt], self._wait)

    def _next_wake_up(self, error: BaseException) -> int | None:
        policy = self._options.retry
        if policy is None:
            return None
        try:
            if not policy.allows(error, self._attempt):
                return None
            wait = policy.interval(error, self._attempt, self._services.world.chance())
            wake_up = self._services.now() + nanoseconds(min(wait, LONGEST_SECONDS))
        except BaseException as refused:  # a policy of the user's own, or a class that it asks
            if ends_process(refused):
                raise
            with contextlib.suppress(BaseException):  # of an error that takes no notes
                said = f"{type(refused).__name__}: {text_of(refused)}"
                error.add_note(f"not attempted again: the retry policy raised {said}")
            return None
        return None if self.over_at is not None and wake_up >= self.over_at else wake_up

    def _release(self) -> None:
        permit, self._permit = self._permit, None
        if permit is not None:
            permit.release()

    def _stop_bound(self) -> None:
        if self._bound is not None:
            self._services.spans.cancel(self._bound)
            self._bound = None

    def _stop_timers(self) -> None:
        if self._bound is not None:
            self._stop_bound()
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
            self._timer = None
        if self._deadline is not None:
            self._services.timers.cancel(self._deadline)
            self._deadline = None
