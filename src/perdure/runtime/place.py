"""Place: where an action is, for messages."""

from __future__ import annotations

from typing import Protocol


class PlacedRun(Protocol):
    """What a place needs of its run."""

    def where(self) -> str:
        """Return the run and its key."""


class Place:
    """Where an action is, as text when a message needs it."""

    __slots__ = ("_action", "_run")

    def __init__(self, run: PlacedRun, action: str) -> None:
        self._run = run
        self._action = action

    def __str__(self) -> str:
        return f"{self._run.where()}, action {self._action}"
