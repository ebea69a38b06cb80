"""RunEnding: the ends that a run may come to: completed, cancelled, failed, or put back."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from perdure.codec.failure import decode_failure, encode_failure, failure_summary
from perdure.config.configuration import AgentExecutionOptions
from perdure.errors import PerdureError
from perdure.log_lines import place_fields
from perdure.run import RunStatus, run_cancelled
from perdure.runtime.run.rows import memory_rows, retry_rows, status_row
from perdure.runtime.run.state import TIMED_OUT, RunMemory
from perdure.runtime.shared.mailbox import RunTicket
from perdure.runtime.shared.services import JobServices
from perdure.store.base import Row, RunRow


class End(msgspec.Struct, frozen=True):
    """An end that a run comes to once it is durable.

    Attributes:
        rows: what says so, to be written in one transaction.
        durable: to be called when they are, and the run has let go of its actions.
        is_final: the run does not go on, unless somebody asks it to.
    """

    rows: list[Row]
    durable: Callable[[], None]
    is_final: bool = True


class Failed(Protocol):
    """What failed: an action, which has a `name`, or the run itself."""

    def where(self) -> str:
        """Return it with its run and key, for messages."""


class RunEnding:
    """How a run ends: what is written of its end, and what follows when that is durable.

    Owns: why the run is cancelled. Lifecycle: that of the run's execution, which commits the one
    end that the run comes to. On the host loop's thread.

    Args:
        ticket: the run.
        services: those of its job.
        cancel_reason: why it is cancelled as its journal says, "" if it is not.

    Attributes:
        cancel_reason: `CANCELLED`, `TIMED_OUT`, or "" while nobody has asked its actions to stop.
    """

    __slots__ = ("_action", "_services", "_ticket", "cancel_reason")

    def __init__(self, ticket: RunTicket, services: JobServices, cancel_reason: str) -> None:
        self._ticket = ticket
        self._services = services
        self._action = ""  # the name of the one that failed
        self.cancel_reason = cancel_reason

    def cancelled(self, reason: str) -> str:
        """Take note that the run is cancelled; return why it is: the first reason holds."""
        self.cancel_reason = self.cancel_reason or reason
        return self.cancel_reason

    @property
    def is_timed_out(self) -> bool:
        """True for a run that fails when its actions have ended, since it has taken too long."""
        return self.cancel_reason == TIMED_OUT

    def all_ended(self, where: str, memory: RunMemory) -> End:
        """Return the end of a run whose actions have all ended.

        Args:
            where: the run, for messages.
            memory: that of the run as of its last completion.
        """
        if self.is_timed_out:
            seconds = self._services.run_timeout / 1e9
            error = TimeoutError(f"the run was not done after {seconds:g} s (run-timeout)")
            return self.failed(where, error, memory)
        return self.reached(memory, self._services.now())

    def reached(self, memory: RunMemory, at: int) -> End:
        """Return the end of a run that has not failed: completed, or cancelled.

        Args:
            memory: that of the run after its last action.
            at: time of the end, ns since the epoch.
        """
        status = RunStatus.CANCELLED if self.cancel_reason else RunStatus.COMPLETED
        return self._final(status, None, memory, at)

    def action_failed(
        self, failed: Failed, error: BaseException, memory: RunMemory, rows: Sequence[Row] = ()
    ) -> End:
        """Return the end by an action's failure, as the error handling strategy says.

        Args:
            failed: the action, or the run.
            error: what made it fail.
            memory: that of the run as of its last completion.
            rows: what the action has not written yet; for a run that fails with it.
        """
        where, self._action = failed.where(), getattr(failed, "name", "")
        if issubclass(type(error), asyncio.CancelledError):  # not asking the error itself
            error = PerdureError(f"{where} cancelled itself; nobody asked it to")
        config = self._services.config
        strategy = config.get(AgentExecutionOptions.ERROR_HANDLING_STRATEGY)
        retries = config.get(AgentExecutionOptions.MAX_RETRIES)
        again = strategy == "fail" or (strategy == "retry" and self._ticket.row.attempt < retries)
        if again and not self.cancel_reason:  # a run that was to stop has had its end
            return self._put_back(where, error, memory, stop=strategy == "fail")
        return self.failed(where, error, memory, rows)

    def failed(
        self, where: str, error: BaseException, memory: RunMemory, rows: Sequence[Row] = ()
    ) -> End:
        """Return the end of a run that has failed and is not tried again; see `action_failed`."""
        failure = encode_failure(self._services.codec, error)
        self._tell(where, failure, is_final=True)
        return self._final(RunStatus.FAILED, failure, memory, self._services.now(), rows)

    def _final(
        self,
        status: RunStatus,
        failure: bytes | None,
        memory: RunMemory,
        at: int,
        rows: Sequence[Row] = (),
    ) -> End:
        ticket = self._ticket
        ended = [*rows, status_row(ticket.row, status, error=failure, finished_at=at)]
        if memory.touched:
            ended += memory_rows(ticket.key.number, memory.short_term, memory.touched)
        return End(ended, functools.partial(self._finish, status, failure, memory))

    def _finish(self, status: RunStatus, failure: bytes | None, memory: RunMemory) -> None:
        ticket = self._ticket
        ticket.status = status
        ticket.error = None if failure is None else decode_failure(self._services.codec, failure)
        if status is RunStatus.CANCELLED:
            ticket.error = run_cancelled(ticket.id)
        self._services.supervisor.finish(ticket, memory.short_term if memory.touched else None)

    def _tell(self, where: str, failure: bytes, *, is_final: bool) -> None:
        told = failure_summary(self._services.codec, failure)
        ticket = self._ticket
        fields = place_fields(self._services.job, ticket.id, ticket.key.value, self._action)
        self._services.failures.tell(where, told, is_final=is_final, fields=fields)

    def _put_back(self, where: str, error: BaseException, memory: RunMemory, *, stop: bool) -> End:
        row = self._ticket.row
        row = row._replace(attempt=row.attempt + 1)
        rows = memory_rows(row.key, memory.short_term, memory.touched)
        rows += retry_rows(row, self._services.now())

        def durable() -> None:
            self._requeue(row, memory)
            if stop:
                self._services.supervisor.stop(error)
                return
            self._tell(where, encode_failure(self._services.codec, error), is_final=False)
            self._services.supervisor.retry_later(self._ticket)

        return End(rows, durable, is_final=False)

    def _requeue(self, row: RunRow, memory: RunMemory) -> None:
        ticket = self._ticket
        ticket.row = row
        ticket.has_history, ticket.records = True, None
        ticket.status = RunStatus.QUEUED
        ticket.key.memory = memory.short_term
        self._services.counters.retries += 1
