"""SubagentCalls: the ids of the sub-agents' calls of one action, and which it has not awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

if TYPE_CHECKING:
    from perdure.flink_agents.api.subagent import SubagentFuture

__all__ = ["SubagentCalls"]


class SubagentCalls:
    """The calls of sub-agents that one action makes.

    Their ids derive from the action's event, so a replay makes the same ones.

    Args:
        event: Id of the event that the action handles.
        action: The action's name.
    """

    def __init__(self, event: str, action: str) -> None:
        self._event = event
        self._action = action
        self._sessions: dict[str, int] = {}  # how many by sub-agent
        self._calls: dict[tuple[str, str], int] = {}  # how many by sub-agent and session
        self._open: dict[SubagentFuture, None] = {}  # in the order of the calls

    def next_session(self, subagent: str) -> str:
        """Return the id of a conversation of its own."""
        number = self._sessions.get(subagent, 0)
        self._sessions[subagent] = number + 1
        return f"{uuid5(NAMESPACE_OID, f'{self._event} {self._action} {subagent}')}-{number}"

    def next_call(self, subagent: str, session_id: str) -> str:
        """Return the id of the next call in a conversation; in this action no other has it."""
        number = self._calls.get((subagent, session_id), 0) + 1
        self._calls[subagent, session_id] = number
        return f"{session_id}-{number}"

    def opened(self, call: SubagentFuture) -> None:
        """Take note of a call that has to be awaited or cancelled."""
        self._open[call] = None

    def ended(self, call: SubagentFuture) -> None:
        """Take note that it was."""
        self._open.pop(call, None)

    def check_ended(self) -> None:
        """Refuse to let the action end with calls that nobody has awaited.

        Raises:
            RuntimeError: There are such calls.
        """
        if self._open:
            left = ", ".join(each.identity for each in self._open)
            raise RuntimeError(
                f"the action {self._action} finished without resolving its calls of sub-agents"
                f" ({left}): await what submit returns, or cancel() it"
            )
