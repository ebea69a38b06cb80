"""RunRest: whether a run rests, what can continue it then, and its own timeout."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from perdure.runtime.run.state import RunState
from perdure.runtime.shared.mailbox import RunTicket
from perdure.runtime.shared.services import JobServices
from perdure.runtime.shared.signals import SignalBox
from perdure.runtime.shared.timers import Timer


class RunRest:
    """Whether a run rests, the signals that came for it, and when it has taken too long.

    Owns: the signals that no action has taken, the timer of `run-timeout`. Lifecycle: `start` and
    `close`, with the run's execution.
    """

    __slots__ = (
        "_services", "_signals", "_state", "_ticket", "_time_out", "_timer", "deadline", "resting",
    )  # fmt: skip

    def __init__(self, ticket: RunTicket, services: JobServices, state: RunState) -> None:
        self._ticket = ticket
        self._services = services
        self._state = state
        self._timer: Timer | None = None
        self._time_out: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.deadline: int | None = None  # when it has taken too long, ns; None for never
        self._signals: SignalBox | None = None
        self.resting = False

    @property
    def signals(self) -> SignalBox:
        """The signals that no action has taken; made when one comes or is asked for."""
        if self._signals is None:
            self._signals = SignalBox(self._state.signals, self._state.known)
        return self._signals

    def start(self, time_out: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        """Take in what came while the run was not in memory; watch its time.

        Args:
            time_out: asks the run to stop because it has taken too long; None for a run that was
                asked to stop already.
        """
        for signal in self._ticket.signals or ():
            self.signals.add(signal)
        self._time_out = time_out
        self.count_from(self._state.began or self._services.now())

    def count_from(self, began: int | None) -> None:
        """Watch the run's time from when it began, ns since the epoch; None: it has not yet."""
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
            self._timer = self.deadline = None
        if self._services.run_timeout and self._time_out is not None and began is not None:
            # Kept when it has passed: a run that begins to rest then must not leave memory before
            # it is stopped.
            self.deadline = began + self._services.run_timeout
            self._timer = self._services.timers.arm(self.deadline, self._too_late)

    def begin(self) -> None:
        """The run rests: only time or a signal can continue it."""
        if not self.resting:
            self.resting = True
            self._services.supervisor.rests(self._ticket)

    def end(self) -> None:
        """Something goes on."""
        if self.resting:
            self.resting = False
            self._services.supervisor.goes_on(self._ticket)

    def close(self) -> None:
        """The run has ended here, or leaves memory."""
        if self.resting:
            self.resting = False
            self._services.supervisor.goes_on(self._ticket, dropped=True)
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self._time_out is not None:
            self._services.supervisor.spawn(self._time_out())
