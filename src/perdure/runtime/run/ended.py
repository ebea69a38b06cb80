"""EndedActions: the actions of a run that have ended, in the order in which they are completed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Protocol, TypeVar

__all__ = ["EndedActions"]


class Replayed(Protocol):
    """An action as its end needs it.

    Attributes:
        is_live: everything recorded has been replayed.
        fetching: how many recorded outcomes it is reading from the store.
    """

    is_live: bool
    fetching: int


ActionT = TypeVar("ActionT", bound=Replayed)


class EndedActions(list[ActionT]):
    """Actions that have ended, and are to be completed in this order.

    It is the order of their ends. In a replay an action may read from the store what a process
    that did not end has in memory; the end of one that began after it waits until it is through.

    Args:
        active: the actions of the run that are not completed, in the order in which they began.
        resumed: the run goes on from its journal.
    """

    __slots__ = ("_active", "_behind", "_resumed")

    def __init__(self, active: Mapping[tuple[int, str], ActionT], *, resumed: bool) -> None:
        super().__init__()
        self._active = active
        self._resumed = resumed
        self._behind: list[ActionT] = []

    def add(self, action: ActionT) -> None:
        """Take in an action that has ended."""
        if self._resumed and self._reads_before(action):
            self._behind.append(action)
        else:
            self.append(action)

    def has_read(self) -> None:
        """Take in those that waited for an action that has read an outcome."""
        behind, self._behind = self._behind, []
        for action in behind:
            self.add(action)

    def clear(self) -> None:
        """Forget all of them."""
        super().clear()
        self._behind.clear()

    def _reads_before(self, action: ActionT) -> bool:
        earlier = itertools.takewhile(lambda each: each is not action, self._active.values())
        return any(each.fetching and not each.is_live for each in earlier)
