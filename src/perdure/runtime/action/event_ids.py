"""EventIds: the ids of the events that one action makes and sends."""

from __future__ import annotations

from collections.abc import Callable

from perdure.event import Event, MadeId, set_id_source
from perdure.executor.loop import ActionLoop
from perdure.executor.running import running_loop


class EventIds:
    """Gives the events of one action ids that are the same on replay (G3).

    An event that is made in a turn of the action has its id from then on, and keeps it when it is
    sent. One that was made elsewhere, or was sent before, gets one when it is sent. Under the rules
    of before, events had none until they were sent, and sends were numbered.

    Owns: the number of ids given, which of them were sent. Lifecycle: that of the action's context.

    Args:
        derive: returns the `n`-th id of the action.
        from_making: the action goes by the rules of now.
    """

    __slots__ = ("_derive", "_from_making", "_given", "_mark", "_sent")

    def __init__(self, derive: Callable[[int], str], *, from_making: bool) -> None:
        self._derive = derive
        self._from_making = from_making
        self._given = 0
        self._mark = object()  # on the events of this action, which may outlive it
        self._sent: set[str] | None = None

    def made(self) -> MadeId:
        """Return the id of an event that is made in a turn of the action."""
        return (self._next(), self._mark) if self._from_making else ("", None)

    def sent(self, event: Event) -> None:
        """Give an event that is being sent the id that it goes by."""
        sent = self._sent
        if event._made_by is not self._mark or (sent is not None and event.id in sent):
            event.id = self._next()
            event._made_by = self._mark if self._from_making else None
        if self._from_making:
            if sent is None:
                sent = self._sent = set()  # which most actions need for one event at their end
            sent.add(event.id)

    def _next(self) -> str:
        self._given += 1
        return self._derive(self._given)


def _id_in_turn() -> MadeId | None:
    loop = running_loop()
    if not isinstance(loop, ActionLoop) or loop.new_event_id is None:
        return None
    return loop.new_event_id()


set_id_source(_id_in_turn)
