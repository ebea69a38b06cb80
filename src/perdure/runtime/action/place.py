"""Place: where an action is, for messages."""

from __future__ import annotations

from perdure.runtime.action.sides import RunOfAction


class Place:
    """Where an action is, as text when a message needs it."""

    __slots__ = ("_action", "_run")

    def __init__(self, run: RunOfAction, action: str) -> None:
        self._run = run
        self._action = action

    def __str__(self) -> str:
        return f"{self._run.where()}, action {self._action}"
