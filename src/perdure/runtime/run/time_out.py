"""What a run does whose time is over (`run-timeout`): it stops, behind what came in time."""

from __future__ import annotations

import contextlib
from typing import Protocol

from perdure.errors import StoreError
from perdure.runtime.action.runner import ActionRunner
from perdure.runtime.run.rest import RunRest
from perdure.runtime.run.state import TIMED_OUT
from perdure.runtime.shared.mailbox import RunTicket
from perdure.runtime.shared.services import JobServices
from perdure.store.base import Row

__all__ = ["time_out"]

MOST_TURNS = 1000  # of what came in time: an action whose time stands still ends all the same


class Overdue(Protocol):
    """A run whose time is over, as its execution says it."""

    active: dict[tuple[int, str], ActionRunner]
    ticket: RunTicket
    services: JobServices
    rest: RunRest
    dropped: bool

    async def cancel(self, reason: str, more: list[Row]) -> None:
        """Ask every action to stop."""


async def time_out(run: Overdue) -> None:
    """Stop a run, once what was durable before its deadline has had its turns."""
    try:
        await _come_to_rest(run)
        if any(runner.awaits_signals for runner in run.active.values()):
            await run.services.supervisor.signals_until_now(run.ticket)
            await _catch_up(run)
        if not run.dropped:
            await run.cancel(TIMED_OUT, [])
    except StoreError:
        pass  # it goes on from its journal, and is too late there as well


async def _catch_up(run: Overdue) -> None:
    """Return when what came in time has had its turns, and what ended by it is written.

    An action may wait for a signal in slices: each of its deadlines has its turn before the next.
    """
    deadline = run.rest.deadline or 0
    for _ in range(MOST_TURNS):
        with contextlib.suppress(StoreError):  # with rows of others: its own tell it
            await run.services.commits.write([], waits=True)
        await _come_to_rest(run)
        if run.dropped or not any(runner.is_due(deadline) for runner in run.active.values()):
            return


async def _come_to_rest(run: Overdue) -> None:
    """Return when threads of actions that had begun before wait, or have ended (G19)."""
    while any([await each.come_to_rest() for each in [*run.active.values()]]):
        pass  # meanwhile another may have gone on
