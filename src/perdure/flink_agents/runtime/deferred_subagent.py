"""DeferredSubagentSetup: a sub-agent that one durable call asks, when its handle is awaited."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from perdure.actions.bounds import is_of_the_callee
from perdure.flink_agents.api.runner_context import RunnerContext
from perdure.flink_agents.api.subagent import SubagentFuture, SubagentResult
from perdure.flink_agents.runtime.base_subagent import BaseSubagentSetup
from perdure.flink_agents.runtime.subagent_handles import CallHandle

__all__ = ["DeferredSubagentFuture", "DeferredSubagentSetup", "PreparedTriple"]

# Durable id, what is called, and what is asked whether it was called before a crash.
PreparedTriple = tuple[str, Callable[[], Any], Callable[[], Any] | None]


class DeferredSubagentFuture(CallHandle):
    """A call that is prepared and made once it is awaited; cancelled before, it never is.

    Args:
        session_id: The conversation that it belongs to.
        call_id: Its id in that.
        ctx: The action's context.
        prepared_factory: Prepares the call.
    """

    def __init__(
        self,
        session_id: str,
        call_id: str,
        ctx: RunnerContext,
        prepared_factory: Callable[[], PreparedTriple],
    ) -> None:
        super().__init__(ctx, session_id, call_id)
        self._prepare = prepared_factory

    async def _outcome(self) -> SubagentResult:
        try:
            durable_id, call, reconcile = self._prepare()
            found = await self._ctx.durable_execute_async(
                call, reconciler=reconcile, durable_id=durable_id
            )
        except Exception as error:
            if not is_of_the_callee(error):
                raise
            return SubagentResult.error(error)
        return found if isinstance(found, SubagentResult) else SubagentResult.ok(found)


class DeferredSubagentSetup(BaseSubagentSetup, ABC):
    """A sub-agent that is asked by one durable call."""

    __journal_name__ = "perdure:flink_agents.DeferredSubagentSetup"

    async def submit_with_identity(
        self, ctx: RunnerContext, prompt: Any, session_id: str, call_id: str
    ) -> SubagentFuture:
        """Return a call that is made once it is awaited."""
        return DeferredSubagentFuture(
            session_id, call_id, ctx, lambda: self.prepare(ctx, prompt, session_id, call_id)
        )

    @abstractmethod
    def prepare(
        self, ctx: RunnerContext, prompt: Any, session_id: str, call_id: str
    ) -> PreparedTriple:
        """Return how a call is made: its durable id, the function, and its reconciler or None.

        It is called once a call, in the action, when the call is first awaited.

        Args:
            ctx: The action's context.
            prompt: What the sub-agent shall do.
            session_id: The conversation.
            call_id: The call in it; the durable id is made of both alone.
        """
