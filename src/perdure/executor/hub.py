"""The hub: where the turns of a thread's actions run, so that one can park in the midst of them."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

from perdure.executor import running
from perdure.executor.loop import ActionLoop

try:
    import greenlet
except ImportError:  # no build for this platform: the fallback runs plain actions on a thread
    greenlet = None  # type: ignore[assignment]


class TurnHub:
    """Runs turns in one reused greenlet, so that a turn can park without blocking the host loop.

    A greenlet for each turn would cost 10 times as much (9.7 µs against 1.0 µs). When a
    turn parks, its greenlet stays with the action and the next turn gets another. One hub a thread.
    """

    def __init__(self) -> None:
        self._idle: list[greenlet.greenlet] = []
        self.variables = contextvars.copy_context()

    def run(self, loop: ActionLoop | None, turn: Callable[..., None], *given: Any) -> None:
        """Run `turn` with `loop` as the running loop; return when it ended or parked."""
        idle = self._idle.pop() if self._idle else greenlet.greenlet(self._work)
        idle.parent = greenlet.getcurrent()
        running.within(loop, idle.switch, turn, given)

    def resume(self, loop: ActionLoop | None, parked: greenlet.greenlet) -> None:
        """Continue a turn that parked; return when it ended or parked again."""
        parked.parent = greenlet.getcurrent()
        running.within(loop, parked.switch)

    @staticmethod
    def park() -> None:
        """Suspend the turn that runs in the current greenlet, until `resume`."""
        parent = greenlet.getcurrent().parent
        assert parent is not None
        task = running.put_task_aside()
        parent.switch()
        running.take_task_up(task)

    def close(self) -> None:
        """Let the idle greenlets end: the collector cannot see what their frames hold."""
        while self._idle:
            leave(self._idle.pop())

    def _work(self, turn: Callable[..., None], given: tuple[Any, ...]) -> None:
        current = greenlet.getcurrent()
        while True:
            turn(*given)
            del turn, given  # what it was for is free while this greenlet rests
            self._idle.append(current)
            parent = current.parent
            assert parent is not None
            turn, given = parent.switch()


class DirectHub:
    """Runs turns on the host's own stack, where there are no greenlets."""

    def __init__(self) -> None:
        self.variables = contextvars.copy_context()

    def run(self, loop: ActionLoop | None, turn: Callable[..., None], *given: Any) -> None:
        """Run `turn` with `loop` as the running loop."""
        running.within(loop, turn, *given)

    def close(self) -> None:
        """Nothing to end."""


def new_hub() -> TurnHub | DirectHub:
    """Return a new hub: the thread that runs turns keeps one for all of them."""
    return TurnHub() if greenlet is not None else DirectHub()


def leave(parked: greenlet.greenlet) -> None:
    """Make a parked greenlet leave through its finally blocks."""
    parked.parent = greenlet.getcurrent()
    try:
        parked.throw(greenlet.GreenletExit)
    except Exception:
        # A finally block asked for something that a closed action cannot have.
        pass
