"""What is void of an action that a timeout has ended, so that a retry begins the timeout anew."""

from __future__ import annotations

from perdure.journal.record import Record
from perdure.runtime.action.runner import ActionRunner

__all__ = ["void_by_timeout"]


def void_by_timeout(action: ActionRunner, error: BaseException, at: int) -> list[Record]:
    """Return what voids the settlements behind the turn in which that timeout was set.

    A timer is no failed call, at which a retry would cut the journal: it would be replayed, and the
    action would fail by it again and again. So it is said with the failure. None for an action that
    failed in another way, or that made of a timeout what it failed by later on.

    Args:
        action: the action, which has failed.
        error: what it failed by.
        at: now, ns since the epoch.
    """
    loop = action.continuation.loop
    came_due, set_in = loop.came_due
    if came_due != loop.turn or not issubclass(type(error), TimeoutError):
        return []
    return [
        Record.timed_out(
            action.run_number, action.event, action.name, void_from=set_in + 1,
            call=action.calls.made + 1, at=at,
        )
    ]  # fmt: skip
