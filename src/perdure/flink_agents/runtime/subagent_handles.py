"""What `submit` of a sub-agent returns."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Generator
from concurrent.futures import CancelledError
from typing import Any

from perdure.flink_agents.api.runner_context import RunnerContext
from perdure.flink_agents.api.subagent import SubagentFuture, SubagentFutures, SubagentResult
from perdure.flink_agents.border.subagent_calls import SubagentCalls

__all__ = ["CallHandle", "CompletedSubagentFuture", "SubagentFutureGroup", "calls_of"]


def calls_of(ctx: RunnerContext | None) -> SubagentCalls | None:
    """Return the sub-agents' calls of an action; None where it is no action of a job."""
    found: SubagentCalls | None = getattr(ctx, "subagent_calls", None)
    return found


class CallHandle(SubagentFuture):
    """A call that has not ended yet; its action has to await or cancel it.

    Args:
        ctx: The action's context.
        session_id: The conversation that it belongs to.
        call_id: Its id in that.
    """

    def __init__(self, ctx: RunnerContext, session_id: str, call_id: str) -> None:
        super().__init__(session_id, call_id)
        self._ctx = ctx
        self._result: SubagentResult | None = None
        self._cancelled = False
        self._one_by_one = asyncio.Lock()  # awaited twice at once, it is called once
        if (calls := calls_of(ctx)) is not None:
            calls.opened(self)

    def done(self) -> bool:
        return self._result is not None or self._cancelled

    def cancel(self) -> None:
        if not (self._result is not None or self._cancelled):
            self._give_up()
            self._cancelled = True
            self._ended()

    def combine(self, *others: SubagentFuture) -> SubagentFutures:
        return SubagentFutureGroup((self, *others))

    def __await__(self) -> Generator[Any, Any, SubagentResult]:
        return self._resolved().__await__()

    async def _resolved(self) -> SubagentResult:
        async with self._one_by_one:
            if self._cancelled:
                raise CancelledError(f"Sub-agent call cancelled: {self.identity}")
            if self._result is None:
                self._result = await self._outcome()
                self._ended()
            return self._result

    def _ended(self) -> None:
        if (calls := calls_of(self._ctx)) is not None:
            calls.ended(self)

    def _give_up(self) -> None:
        """Tell the sub-agent that nobody waits any more."""

    @abstractmethod
    async def _outcome(self) -> SubagentResult:
        """Return what came of the call."""


class CompletedSubagentFuture(SubagentFuture):
    """A call that has ended already.

    Args:
        session_id: The conversation that it belongs to.
        call_id: Its id in that.
        value: What came of it.
    """

    def __init__(self, session_id: str, call_id: str, value: SubagentResult) -> None:
        super().__init__(session_id, call_id)
        self._value = value

    def done(self) -> bool:
        return True

    def combine(self, *others: SubagentFuture) -> SubagentFutures:
        return SubagentFutureGroup((self, *others))

    def __await__(self) -> Generator[Any, Any, SubagentResult]:
        return self._given().__await__()

    async def _given(self) -> SubagentResult:
        return self._value


class SubagentFutureGroup(SubagentFutures):
    """Calls that are awaited together, at the same time where an event loop runs.

    Args:
        futures: The calls.
    """

    def __init__(self, futures: tuple[SubagentFuture, ...]) -> None:
        self._futures = tuple(futures)

    def done(self) -> bool:
        return all(each.done() for each in self._futures)

    def cancel(self) -> None:
        for each in self._futures:
            each.cancel()

    def combine(self, *others: SubagentFuture) -> SubagentFutures:
        return SubagentFutureGroup((*self._futures, *others))

    def __await__(self) -> Generator[Any, Any, list[SubagentResult]]:
        return self._resolved().__await__()

    async def _resolved(self) -> list[SubagentResult]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return [await each for each in self._futures]
        found = await asyncio.gather(*self._futures, return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return found  # type: ignore[return-value]  # no exception is in it
