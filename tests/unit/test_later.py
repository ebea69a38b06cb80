"""What is written in a moment: once, unless it is over before; at once where a job closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.runtime.shared.later import MOMENT, Later


class Timers:
    """Timers that the test lets fire."""

    def __init__(self) -> None:
        self.armed: dict[Any, tuple[int, Callable[[], object]]] = {}

    def arm(self, deadline: int, callback: Callable[[], object]) -> Any:
        timer = object()
        self.armed[timer] = (deadline, callback)
        return timer

    def cancel(self, timer: Any) -> None:
        del self.armed[timer]

    def fire(self) -> None:
        ((_, callback),) = self.armed.values()
        callback()


def test_what_lasts_is_written_in_a_moment_and_once() -> None:
    timers, told = Timers(), []
    later = Later(timers, lambda: 5)  # type: ignore[arg-type]
    later.add("a", lambda: told.append("a"))
    later.add("b", lambda: told.append("b"))
    later.add("a", lambda: told.append("a again"))
    assert [deadline for deadline, _ in timers.armed.values()] == [5 + MOMENT]
    assert told == []
    timers.fire()
    assert told == ["a again", "b"]
    assert not timers.armed


def test_what_is_over_is_not_written() -> None:
    timers, told = Timers(), []
    later = Later(timers, lambda: 0)  # type: ignore[arg-type]
    later.add("a", lambda: told.append("a"))
    later.drop("a")
    later.drop("never added")
    timers.fire()
    later.add("b", lambda: told.append("b"))
    timers.fire()
    assert told == ["b"]


def test_nothing_waits_for_a_moment_any_more_once_the_job_closes() -> None:
    timers, told = Timers(), []
    later = Later(timers, lambda: 0)  # type: ignore[arg-type]
    later.add("a", lambda: told.append("a"))
    later.stop()
    later.add("b", lambda: told.append("b"))
    assert told == ["a", "b"]
    assert not timers.armed
