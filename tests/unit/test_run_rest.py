"""RunRest: whether a run rests, and when it has taken too long."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from perdure.runtime.run.rest import RunRest


def test_a_deadline_that_has_passed_is_kept_until_the_run_is_stopped() -> None:
    armed: list[Callable[[], object]] = []
    spawned: list[Any] = []

    def arm(deadline: int, callback: Callable[[], object]) -> Any:
        armed.append(callback)
        return SimpleNamespace(deadline=deadline)

    services: Any = SimpleNamespace(
        run_timeout=200,
        now=lambda: 1000,
        timers=SimpleNamespace(arm=arm, cancel=lambda timer: None),
        supervisor=SimpleNamespace(spawn=spawned.append),
    )
    ticket: Any = SimpleNamespace(signals=None)
    rest = RunRest(ticket, services, SimpleNamespace(began=0))  # type: ignore[arg-type]
    rest.start(lambda: "stop")  # type: ignore[arg-type,return-value]
    assert rest.deadline == 1200
    armed[0]()
    # What asks the run to stop has not run yet: one that begins to rest now must know that its
    # time is over, or it would leave memory and be woken by nobody.
    assert spawned == ["stop"]
    assert rest.deadline == 1200
