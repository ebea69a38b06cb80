"""CallAttempts: one durable call while it executes: attempts, timeouts, back-offs.

Waiting costs no thread. The number of failed attempts and the next wake-up are journaled, so a
crash in a back-off of an hour does not start it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from perdure.call import CallOptions
from perdure.executor.pool import Invocation
from perdure.journal.failure import encode_failure
from perdure.journal.record import Record, RecordKind
from perdure.runtime.services import JobServices
from perdure.runtime.timers import Timer
from perdure.store.base import Row


class Callee(NamedTuple):
    """What is called."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    is_coroutine: bool
    inline: bool  # on the host loop's thread, without a task; not bounded by a timeout


class CallOwner(Protocol):
    """What attempts belong to."""

    def call_over(
        self, template: Record, started_at: int, value: Any, error: BaseException | None
    ) -> None:
        """Told what came of the call."""

    def write(self, rows: list[Row], written: Callable[[], None]) -> None:
        """Write rows of the action; `written` is called if it still runs then."""


class CallAttempts:
    """The attempts of one call.

    Owns: the invocation under way, the timer of its timeout or back-off. Lifecycle: `begin` until
    `CallOwner.call_over` is told, or `cancel`. On the host loop's thread.

    Args:
        template: the call's record without an outcome.
        options: timeout, retry policy, reconciler.
        made_at: durable time at which the action made the call, ns since the epoch.
        failed: the record of its last failed attempt, when it is taken up in a back-off.
    """

    __slots__ = (
        "_attempt", "_callee", "_deadline", "_invocation", "_options", "_owner", "_services",
        "_template", "_timer", "_wake_up",
    )  # fmt: skip

    def __init__(
        self,
        owner: CallOwner,
        services: JobServices,
        callee: Callee,
        template: Record,
        options: CallOptions,
        *,
        made_at: int,
        failed: Record | None,
    ) -> None:
        self._owner = owner
        self._services = services
        self._callee = callee
        self._template = template
        self._options = options
        self._attempt = failed.n if failed is not None else 0
        self._wake_up = failed.at if failed is not None else 0
        total = options.retry.total_timeout if options.retry is not None else None
        self._deadline = made_at + int(total * 1e9) if total is not None else None
        self._invocation: Invocation | None = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Start the first attempt, or go on waiting for the next."""
        if self._wake_up > self._services.now():
            self._timer = self._services.timers.arm(self._wake_up, self._attempt_again)
        else:
            self._attempt_again()

    def cancel(self) -> None:
        """Stop: a coroutine is cancelled, a thread's late result dropped, a back-off ended."""
        self._stop_timer()
        if self._invocation is not None:
            self._services.executor.drop(self._invocation)
            self._invocation = None

    def _attempt_again(self) -> None:
        self._timer = None
        if self._options.reconciler is None or self._callee.func is self._options.reconciler:
            self._start()
            return
        # In doubt from here on until its outcome is recorded (G11).
        pending = self._template._replace(kind=RecordKind.PENDING, at=self._services.now())
        self._owner.write([pending], self._start)

    def _start(self) -> None:
        callee = self._callee
        self._attempt += 1
        self._services.counters.calls_made += 1
        invocation = Invocation(callee.func, callee.args, callee.kwargs, self._over)
        self._invocation = invocation
        if callee.inline:
            self._services.executor.run_inline(invocation)
            return
        if self._options.timeout is not None or self._deadline is not None:
            invocation.on_start = self._bound
        self._services.executor.start(invocation, is_coroutine=callee.is_coroutine)

    def _bound(self, invocation: Invocation) -> None:
        """The attempt has begun to execute: its timeout runs from here."""
        if invocation is not self._invocation:
            return
        limits = [self._deadline] if self._deadline is not None else []
        if self._options.timeout is not None:
            limits.append(self._services.now() + int(self._options.timeout * 1e9))
        self._timer = self._services.timers.arm(min(limits), self._expired)

    def _expired(self) -> None:
        self._timer = None
        invocation = self._invocation
        if invocation is None:
            return
        self._services.executor.drop(invocation)
        seconds = (self._services.now() - invocation.started_at) / 1e9
        error = TimeoutError(
            f"call {self._template.call} ({self._template.function}), attempt {self._attempt}:"
            f" not done after {seconds:.3g} s"
        )
        self._over(invocation, None, error)

    def _over(self, invocation: Invocation, value: Any, error: BaseException | None) -> None:
        self._invocation = None
        self._stop_timer()
        if error is not None and (wake_up := self._next_wake_up(error)) is not None:
            self._back_off(invocation, error, wake_up)
            return
        self._owner.call_over(self._template, invocation.started_at, value, error)

    def _next_wake_up(self, error: BaseException) -> int | None:
        policy = self._options.retry
        if policy is None or not policy.allows(error, self._attempt):
            return None
        wait = policy.interval(error, self._attempt, self._services.world.chance())
        wake_up = self._services.now() + int(wait * 1e9)
        return None if self._deadline is not None and wake_up >= self._deadline else wake_up

    def _back_off(self, invocation: Invocation, error: BaseException, wake_up: int) -> None:
        attempt = self._template._replace(
            n=self._attempt,
            kind=RecordKind.ATTEMPT,
            payload=encode_failure(self._services.codec, error),
            started_at=invocation.started_at,
            at=wake_up,
        )
        self._services.counters.call_retries += 1
        self._wake_up = wake_up
        self._owner.write([attempt], self.begin)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
            self._timer = None
