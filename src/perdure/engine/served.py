"""ServedJob: what a service in the job's own process asks of it, beside what users do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from perdure.engine.figures import Figures, figures_of
from perdure.engine.job import Job, Run
from perdure.operate.history import History
from perdure.run import Output, RunInfo


class ServedJob:
    """An open job as a service sees it.

    Lifecycle: that of the job. On the job's event loop, but for `history`.

    Attributes:
        job: the job, as its users have it.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._open = job.machinery

    def history(self) -> History:
        """Open the job's store for looking; blocks for some milliseconds, on any thread."""
        return self._open.view()

    def before_close(self, let_go: Callable[[], Awaitable[object]]) -> None:
        """Await `let_go` when the job closes, before its store does."""
        self._open.before_close.append(let_go)

    def measure(self) -> None:
        """Begin to count what only figures have: nobody who does not ask for them pays for it."""
        self._open.runtime.snapshots.measures()

    def figures(self) -> Figures:
        """Return the job's figures as of now."""
        return figures_of(self._open)

    def writes(self) -> bool:
        """Say whether the store writes, as far as is known."""
        asking = self._open.runtime.wait_for_store()
        try:
            asking.send(None)  # it returns at once where the store writes
        except StopIteration:
            return True
        asking.close()
        return False

    @property
    def stopped(self) -> asyncio.Future[None]:
        """What fails with what stops the job before it is closed."""
        return self._open.runtime.stopped

    @property
    def stopped_by(self) -> BaseException | None:
        """What stopped the job before it was closed; None while it goes on."""
        stopped = self.stopped
        return stopped.exception() if stopped.done() and not stopped.cancelled() else None

    async def outputs_of(self, run: int) -> list[Output]:
        """Return the outputs of a run that are durable by now, in commit order."""
        found = await self._open.runtime.recorded_outputs([run])
        return [output for _, _, output in found]

    def run_of(self, info: RunInfo) -> Run:
        """Return a run that was looked up in the store."""
        ticket = self._open.runtime.runs.get(info.number)
        return Run(self._open, info.number, info.key, ticket, info.status)
