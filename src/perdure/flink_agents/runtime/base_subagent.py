"""BaseSubagentSetup: a sub-agent whose calls have ids that are the same on replay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from pydantic import PrivateAttr

from perdure.flink_agents.api.runner_context import RunnerContext
from perdure.flink_agents.api.subagent import SubagentFuture, SubagentSetup
from perdure.flink_agents.runtime.subagent_handles import calls_of

__all__ = ["BaseSubagentSetup"]


class BaseSubagentSetup(SubagentSetup, ABC):
    """Gives calls the ids that they are not given; subclasses say how they are made."""

    __journal_name__ = "perdure:flink_agents.BaseSubagentSetup"

    _subagent_name: str | None = PrivateAttr(default=None)

    def set_subagent_name(self, name: str) -> None:
        """Say what the resource is called; done when it is opened."""
        self._subagent_name = name

    @property
    def subagent_name(self) -> str | None:
        """What the resource is called; None before it was opened."""
        return self._subagent_name

    async def submit(
        self,
        ctx: RunnerContext,
        prompt: Any,
        session_id: str | None = None,
        call_id: str | None = None,
    ) -> SubagentFuture:
        """Call the sub-agent.

        A conversation may go on in another action, by its `session_id`; ids of calls are counted in
        each action anew, so give a `call_id` there where the sub-agent tells calls apart by it.

        Raises:
            RuntimeError: An id is to be derived, and no action runs.
        """
        if session_id is None or call_id is None:
            calls = calls_of(ctx)
            if calls is None:
                raise RuntimeError(
                    "No prepared action task: submit derives ids in an action of a job, from its"
                    " ctx; elsewhere give session_id and call_id"
                )
            name = self._subagent_name or type(self).__name__
            session_id = calls.next_session(name) if session_id is None else session_id
            call_id = calls.next_call(name, session_id) if call_id is None else call_id
        return await self.submit_with_identity(ctx, prompt, session_id, call_id)

    @abstractmethod
    async def submit_with_identity(
        self, ctx: RunnerContext, prompt: Any, session_id: str, call_id: str
    ) -> SubagentFuture:
        """Call the sub-agent under these ids."""
