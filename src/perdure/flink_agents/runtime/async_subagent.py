"""BaseAsyncSubagentSetup: a sub-agent that works elsewhere, and is asked how far it is."""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, Field

from perdure.actions.bounds import is_of_the_callee
from perdure.flink_agents.api.runner_context import RunnerContext
from perdure.flink_agents.api.subagent import SubagentFuture, SubagentResult
from perdure.flink_agents.border.context import BorderContext
from perdure.flink_agents.runtime.base_subagent import BaseSubagentSetup
from perdure.flink_agents.runtime.subagent_handles import CallHandle

__all__ = ["AsyncSubagentFuture", "BaseAsyncSubagentSetup", "RunStatus"]


class RunStatus:
    """How far a sub-agent is with a call.

    Args:
        state: How far.
        error: Why it failed.
    """

    class State(Enum):
        """How far a sub-agent can be."""

        __journal_name__ = "perdure:flink_agents.RunStatus.State"

        NOT_STARTED = "not_started"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"

    def __init__(self, state: State, error: str | None = None) -> None:
        self._state = state
        self._error = error

    @staticmethod
    def not_started() -> RunStatus:
        """Return that of a call that the sub-agent does not know."""
        return RunStatus(RunStatus.State.NOT_STARTED)

    @staticmethod
    def running() -> RunStatus:
        """Return that of one that it works on."""
        return RunStatus(RunStatus.State.RUNNING)

    @staticmethod
    def completed() -> RunStatus:
        """Return that of one whose result can be fetched."""
        return RunStatus(RunStatus.State.COMPLETED)

    @staticmethod
    def failed(error: str) -> RunStatus:
        """Return that of one that failed."""
        return RunStatus(RunStatus.State.FAILED, error)

    @property
    def state(self) -> State:
        """How far the sub-agent is."""
        return self._state

    @property
    def error(self) -> str | None:
        """Why it failed; None where it did not."""
        return self._error


_ENDED = (RunStatus.State.COMPLETED, RunStatus.State.FAILED)


class AsyncSubagentFuture(CallHandle):
    """A call that the sub-agent has got.

    Args:
        setup: The sub-agent.
        ctx: The action's context.
        session_id: The conversation that it belongs to.
        call_id: Its id in that.
    """

    def __init__(
        self, setup: BaseAsyncSubagentSetup, ctx: RunnerContext, session_id: str, call_id: str
    ) -> None:
        super().__init__(ctx, session_id, call_id)
        self._setup = setup

    def done(self) -> bool:
        """Ask the sub-agent whether it is done; in an action of a job the answer is recorded."""
        return super().done() or self._setup._asked(self._ctx, self).state in _ENDED

    def _give_up(self) -> None:
        self._setup.cancel_request(self._ctx, self.session_id, self.call_id)

    async def _outcome(self) -> SubagentResult:
        return await self._setup._ended(self._ctx, self)


class BaseAsyncSubagentSetup(BaseSubagentSetup, ABC):
    """A sub-agent that takes a call, works on it elsewhere, and is asked for status and result.

    A call is submitted once: where a crash leaves it open whether the sub-agent got it,
    `reconcile_submit_request` asks. Then its status is asked for, on journaled timers in between,
    until it has ended. What was asked and answered is recorded.

    Attributes:
        status_poll_interval_millis: Milliseconds between two questions for the status.
    """

    __journal_name__ = "perdure:flink_agents.BaseAsyncSubagentSetup"

    status_poll_interval_millis: int = Field(
        default=500,
        validation_alias=AliasChoices("status_poll_interval_millis", "statusPollIntervalMillis"),
    )

    if TYPE_CHECKING:  # pydantic makes one; subclasses hand on what is theirs

        def __init__(self, **data: Any) -> None: ...

    async def submit_with_identity(
        self, ctx: RunnerContext, prompt: Any, session_id: str, call_id: str
    ) -> SubagentFuture:
        """Submit a call; what fails there fails the action."""
        await self.submit_request(ctx, session_id, call_id, prompt)
        return AsyncSubagentFuture(self, ctx, session_id, call_id)

    async def submit_request(
        self, ctx: RunnerContext, session_id: str, call_id: str, prompt: Any
    ) -> None:
        """Submit a call by a durable call."""
        attempts = itertools.count()

        def submit(session_id: str, call_id: str, prompt: Any) -> None:
            # An attempt that failed may have reached the sub-agent all the same.
            again = next(attempts) > 0
            made = self.reconcile_submit_request if again else self.call_submit_request
            made(session_id, call_id, prompt)

        def asked() -> None:
            self.reconcile_submit_request(session_id, call_id, prompt)

        await ctx.durable_execute_async(
            submit,
            session_id,
            call_id,
            prompt,
            durable_id=f"{session_id}#{call_id}",
            reconciler=asked,
        )

    def query_status(self, session_id: str, call_id: str) -> RunStatus:
        """Ask for the status, without a record."""
        return self.call_query_status(session_id, call_id)

    def cancel_request(self, ctx: RunnerContext, session_id: str, call_id: str) -> None:
        """Tell the sub-agent that a call is given up; in an action of a job, once."""
        if isinstance(ctx, BorderContext):
            named = f"{session_id}#{call_id}#cancel"
            ctx.durable_execute(self.call_cancel_request, session_id, call_id, durable_id=named)
        else:
            self.call_cancel_request(session_id, call_id)

    def reconcile_submit_request(self, session_id: str, call_id: str, prompt: Any) -> None:
        """Submit a call that the sub-agent does not know; asked after a crash."""
        status = self._checked(self.call_query_status(session_id, call_id))
        if status.state is RunStatus.State.NOT_STARTED:
            self.call_submit_request(session_id, call_id, prompt)

    # Waiting

    def _checked(self, status: Any) -> RunStatus:
        if not isinstance(status, RunStatus):
            raise ValueError(
                f"{type(self).__name__}.call_query_status returned {status!r:.80}: return a"
                " RunStatus, such as RunStatus.running()"
            )
        return status

    def _status_row(self, session_id: str, call_id: str) -> list[str | None]:
        status = self._checked(self.query_status(session_id, call_id))
        return [status.state.value, status.error]

    def _result(self, session_id: str, call_id: str) -> SubagentResult:
        found: Any = self.call_fetch_result(session_id, call_id)
        return found if isinstance(found, SubagentResult) else SubagentResult.ok(found)

    def _asked(self, ctx: RunnerContext, call: SubagentFuture) -> RunStatus:
        """Return the status, by a durable call that runs inline."""
        if not isinstance(ctx, BorderContext):
            return self.query_status(call.session_id, call.call_id)
        state, error = ctx.durable_execute(
            self._status_row, call.session_id, call.call_id, durable_id=f"{call.identity}#status"
        )
        return RunStatus(RunStatus.State(state), error)

    async def _ended(self, ctx: RunnerContext, call: SubagentFuture) -> SubagentResult:
        """Return what came of a call, once it has ended."""
        ids = call.session_id, call.call_id
        try:
            if isinstance(ctx, BorderContext):
                return await self._polled(ctx, call)
            # Another's context has no timers: one call waits for all of it.
            found: SubagentResult = await ctx.durable_execute_async(
                self._await_until_terminal, *ids, durable_id=f"{call.identity}#await"
            )
            return found
        except Exception as error:
            if not is_of_the_callee(error):
                raise
            return SubagentResult.error(error)

    async def _polled(self, ctx: BorderContext, call: SubagentFuture) -> SubagentResult:
        ids = call.session_id, call.call_id
        while True:
            state, error = await ctx.durable_execute_async(
                self._status_row, *ids, durable_id=f"{call.identity}#status"
            )
            if state == RunStatus.State.FAILED.value:
                return SubagentResult.error(error or "run failed")
            if state == RunStatus.State.COMPLETED.value:
                found: SubagentResult = await ctx.durable_execute_async(
                    self._result, *ids, durable_id=f"{call.identity}#fetch"
                )
                return found
            if self.status_poll_interval_millis > 0:
                await ctx.core.sleep(self.status_poll_interval_millis / 1000)

    def _await_until_terminal(self, session_id: str, call_id: str) -> SubagentResult:
        while True:
            status = self.call_query_status(session_id, call_id)
            if status.state is RunStatus.State.COMPLETED:
                return self._result(session_id, call_id)
            if status.state is RunStatus.State.FAILED:
                return SubagentResult.error(status.error or "run failed")
            time.sleep(self.status_poll_interval_millis / 1000)

    # What a subclass says

    @abstractmethod
    def call_submit_request(self, session_id: str, call_id: str, prompt: Any) -> None:
        """Give the sub-agent a call; raise where it does not take it."""

    @abstractmethod
    def call_query_status(self, session_id: str, call_id: str) -> RunStatus:
        """Ask how far a call is, and change nothing by that."""

    @abstractmethod
    def call_fetch_result(self, session_id: str, call_id: str) -> SubagentResult:
        """Return what came of a call that has ended; asked again, it is the same."""

    def call_cancel_request(self, session_id: str, call_id: str) -> None:
        """Give a call up; nothing by default."""
