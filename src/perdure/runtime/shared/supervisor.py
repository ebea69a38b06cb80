"""RunSupervisor: what a run and its parts ask of their job, and tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from perdure.errors import StoreError
from perdure.executor.shutdown import ends_process, what_ends
from perdure.journal.record import StoredPayload
from perdure.memory.cells import Cell
from perdure.run import Output
from perdure.runtime.shared.admission import Admitted
from perdure.runtime.shared.inputs import NewInput
from perdure.runtime.shared.mailbox import RunTicket


class RunSupervisor(Protocol):
    """What a run knows its job by. On the host loop.

    What is durable when the job is told is said at each method; nothing here waits for a commit.
    """

    # How a run fares

    def emit(self, ticket: RunTicket, number: int, output: Output, data: bytes) -> None:
        """An output of the run is durable, its `number`th: listeners are told, in commit order.

        `data` is its encoded value.
        """

    def rests(self, ticket: RunTicket) -> None:
        """Only time or a signal can continue the run: it no longer counts as in flight (G20).

        It may be dropped from memory before this returns.
        """

    def goes_on(self, ticket: RunTicket, *, dropped: bool = False) -> None:
        """A run that rested goes on.

        Args:
            ticket: the run.
            dropped: it does not go on from here: it has ended, leaves memory or is read back.
        """

    def finish(self, ticket: RunTicket, memory: dict[str, Cell] | None) -> None:
        """The run came to its end, which is durable; the next of its key begins (G1).

        Args:
            ticket: the run; its status and error say how it ended.
            memory: the key's memory after it, None if it is what it was.
        """

    def retry_later(self, ticket: RunTicket) -> None:
        """The run failed and was put back, durably: it begins again after a while."""

    def restart(self, ticket: RunTicket, error: StoreError) -> None:
        """A record of the run could not be written: it is read back once the store answers (G25).

        The run has dropped everything, and nothing more is written of it until then.
        """

    def damaged(self, ticket: RunTicket, error: Exception) -> None:
        """What the store has of a run is damaged: the job stops, with what is damaged as its cause.

        The run has dropped everything; nothing more is written of it.
        """

    # What a run asks for

    def submit(self, item: NewInput) -> asyncio.Future[Admitted]:
        """Admit an input; the future is done when its run is durable, see `Admission.submit`."""

    async def outputs(self, run: str) -> list[Output]:
        """Return another run's outputs when it has come to its end; by its id.

        Raises:
            BaseException: what made it fail.
            RunCancelledError: it was cancelled.
        """

    async def payload(self, left: StoredPayload) -> bytes:
        """Return a payload that recovery has left in the store.

        Raises:
            StoreError: it cannot be read now.
        """

    async def signals_until_now(self, ticket: RunTicket) -> None:
        """Return when the run has got all signals that were durable at this call.

        Asked before a deadline fires: what was durable before it wins (G6).
        """

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the runs, until the job closes; what it raises stops the job."""

    def stop(self, error: BaseException) -> None:
        """Ask the engine to stop the job and to raise `error`. The first error wins."""


def stopped_by(supervisor: RunSupervisor, error: BaseException) -> bool:
    """Stop the job where an error is none of its code but ends the process; say whether it is."""
    if not ends_process(error):
        return False
    supervisor.stop(what_ends(error))
    return True
