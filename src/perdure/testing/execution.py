"""The execution of a durable callable in a simulation, as the callable itself may ask for it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, NamedTuple

from perdure.checks import checked_bound

__all__ = ["Attempt", "CallKey", "Execution", "current", "takes", "this_attempt"]

CallKey = tuple[int, int, str, int]  # run, event, action, number of the call


class Attempt(NamedTuple):
    """One attempt of one call."""

    call: CallKey
    retries: int  # times that its run was put back
    number: int  # from 1
    function: str
    detail: str

    def __str__(self) -> str:
        run, event, action, call = self.call
        again = f", run put back {self.retries} times" if self.retries else ""
        return (
            f"attempt {self.number} of call {call}, {self.function}({self.detail}), of action"
            f" {action!r} (event {event} of run {run & ((1 << 40) - 1)}{again})"
        )


class Execution:
    """One execution of a callable; `takes` and `this_attempt` refer to the one that runs now."""

    __slots__ = ("again", "attempt", "seconds")

    def __init__(self, attempt: Attempt, *, again: bool) -> None:
        self.attempt = attempt
        self.again = again  # when it is over is settled, so it need not sleep until then
        self.seconds: float | None = None

    def enter(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a plain `func`."""
        token = current.set(self)
        try:
            return func(*args, **kwargs)
        finally:
            current.reset(token)


current: contextvars.ContextVar[Execution | None] = contextvars.ContextVar("current", default=None)


def takes(seconds: float) -> None:
    """Say, in a durable callable, how long this execution of it takes in simulated time.

    Outside a simulation it does nothing.

    Args:
        seconds: its duration, rounded up to the grid of the simulation; `math.inf` for a call that
            hangs.

    Raises:
        ConfigurationError: in a simulation: it is no duration.
    """
    execution = current.get()
    if execution is not None:
        execution.seconds = checked_bound("takes: seconds", seconds)


def this_attempt() -> Attempt | None:
    """Return, in a durable callable, which attempt of which call this is; None outside."""
    execution = current.get()
    return execution.attempt if execution is not None else None
