"""Job and Run: an open job and its runs, as users see them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from perdure.checks import checked_seconds, nanoseconds
from perdure.codec.copies import own_value
from perdure.connectors.base import Source
from perdure.engine.inputs import Field, check_fields
from perdure.engine.open_job import OpenJob
from perdure.engine.own_runs import check_own
from perdure.engine.progress import DriveResult, Progress
from perdure.engine.schedule import Schedule
from perdure.errors import ConfigurationError, PerdureError
from perdure.executor import closing
from perdure.printable import quoted_key
from perdure.run import Output, RunStatus, run_id
from perdure.run.approval import Approval
from perdure.run.html import table
from perdure.runtime.job_runtime import NewInput, RunTicket

if TYPE_CHECKING:
    from perdure.run import WaitInfo
    from perdure.runtime.job_runtime import JobSnapshot

LOOK_SECONDS = 0.5  # between two looks at a run that is in the store alone


class Run:
    """A submitted run.

    Attributes:
        id: its short id.
        key: its key.
        is_new: submitting it made it; else it was there, or it was looked up.
    """

    def __init__(
        self,
        job: OpenJob,
        number: int,
        key: Any,
        ticket: RunTicket | None,
        stored: RunStatus,
        *,
        is_new: bool = False,
    ) -> None:
        self._job = job
        self._number = number
        self._ticket = ticket
        self._stored = stored
        self._kept = job.runtime.keep_outputs(ticket) if ticket is not None else None
        self.id = ticket.id if ticket is not None else run_id(number)
        self.key = own_value(key if ticket is None else ticket.key.value)
        self.is_new = is_new

    def __repr__(self) -> str:
        status = self._job.standing(self._number, self._newest, self._stored)
        return f"<Run {self.id} of key {quoted_key(self.key)}, {status.value}>"

    def _repr_html_(self) -> str:
        waits = ", ".join(f"{wait.kind} {wait.name}" for wait in self.waits)
        return table(
            f"Run {self.id}",
            [
                ("key", self.key), ("status", self.status.value), ("activity", self.activity),
                ("waits for", waits),
            ],
        )  # fmt: skip

    def number_in(self, job: OpenJob) -> int:
        """Return its number in the store of `job`: for a job that it is given to, not for users.

        Raises:
            RunNotFoundError: it is a run of another job; see `check_own`.
        """
        check_own(self.id, self._job.origin, job.origin)
        return self._number

    @property
    def _newest(self) -> RunTicket | None:
        """Its ticket: a run that had ended may have been put back, under another one."""
        if self._ticket is None or self._ticket.status.is_final:
            ticket = self._job.runtime.runs.get(self._number)
            if ticket is not None and ticket is not self._ticket:
                self._ticket, self._kept = ticket, self._job.runtime.keep_outputs(ticket)
        return self._ticket

    @property
    def status(self) -> RunStatus:
        """Where the run stands now."""
        self._job.loop.check_look("run.status")
        return self._job.standing(self._number, self._newest, self._stored)

    async def wait(self) -> RunStatus:
        """Return the run's final status when it has come to its end."""
        if not self.status.is_final:
            self._job.loop.check("run.wait()")
            while (ticket := self._newest) is None:
                # It is queued in the store alone, behind one that waits.
                self._stored = await self._job.runtime.status(self._number)
                if self._stored.is_final:
                    return self._stored
                await self._job.until_stopped(asyncio.sleep(LOOK_SECONDS))
            await self._ended(ticket)
        return self.status

    async def _ended(self, ticket: RunTicket) -> None:
        ended = ticket.new_waiter()
        try:
            await self._job.until_stopped(ended)
        except BaseException:
            ticket.forget(ended)
            raise

    async def outputs(self) -> list[Output]:
        """Return the run's outputs when it has come to its end.

        Raises:
            BaseException: what made the run fail.
            RunCancelledError: it was cancelled.
        """
        job = self._job
        job.loop.check("run.outputs()")
        outputs: list[Output] | None = None
        if (ticket := self._newest) is not None and (kept := self._kept) is not None:
            if not ticket.status.is_final:
                await self._ended(ticket)
            outputs = ticket.outputs_in(kept)
        if outputs is None:
            outputs = await job.until_stopped(job.runtime.outputs_of(self._number))
        return outputs

    async def cancel(self) -> bool:
        """Stop the run; False when it is finished, also by an end that it was about to come to.

        Durable when this returns: after True the run is never completed.
        """
        self._job.loop.check("run.cancel()")
        return await self._job.cancel(self._number)

    async def signal(self, name: str, value: Any = None) -> bool:
        """Send the run a signal; False when it is finished. Durable when this returns."""
        self._job.loop.check("run.signal(...)")
        return await self._job.signal(self._number, name, value)

    async def approve(
        self,
        name: str | None = None,
        *,
        approved: bool = True,
        by: str | None = None,
        comment: str | None = None,
    ) -> str:
        """Answer an approval that the run waits for; see `Job.approve`."""
        self._job.loop.check("run.approve(...)")
        answer = Approval(approved=approved, by=by, comment=comment)
        return await self._job.approve(self._number, name, answer)

    @property
    def waits(self) -> list[WaitInfo]:
        """What the run's actions wait for from outside now, in this process."""
        self._job.loop.check_look("run.waits")
        if (ticket := self._newest) is None:
            return []
        from perdure.run import wait_info  # here: few runs wait

        return [wait_info(row, self.key) for row in ticket.waits.values()]

    @property
    def activity(self) -> Any:
        """What the run last said with `ctx.set_status` in this process; None without."""
        self._job.loop.check_look("run.activity")
        ticket = self._newest
        return ticket.activity if ticket is not None else None


class Job:
    """An open job, from `LocalEngine.open`.

    It works on the event loop that opened it alone: elsewhere what is asked of it, or of its runs,
    is refused with PerdureError before anything is done. Another thread uses
    `asyncio.run_coroutine_threadsafe(job.submit(...), loop)`.

    Attributes:
        name: its name in the store.
    """

    def __init__(self, job: OpenJob) -> None:
        self._job = job
        self._closing: asyncio.Future[None] | None = None
        self.name = job.runtime.job

    def __repr__(self) -> str:
        return f"<Job {self.name!r}{', closed' if self._closing else ''}>"

    @property
    def machinery(self) -> OpenJob:
        """What it works with: for what serves it in this process, not for users."""
        return self._job

    # Runs

    async def submit(self, value: Any, *, key: Any, id: Any = None, delay: float = 0.0) -> Run:
        """Submit one input; its run is durable when this returns.

        Args:
            value: the input.
            key: its key, as a value.
            id: its idempotency id: submitting it again gives the same run.
            delay: seconds after which the run joins its key's queue, a restart included.

        Raises:
            ConfigurationError: the delay is no number of seconds, or more than two hundred years.
            InputError: the id was submitted before with another key or value.
            EncodeError: the input cannot be journaled.
            StoreError: it is not durable, or nobody knows; with an id, submit it again.
        """
        self._job.loop.check("job.submit(...)")
        runtime = self._job.runtime
        delay = checked_seconds(delay, "delay=")
        due = runtime.now() + nanoseconds(delay) if delay > 0 else 0
        admitted = await self._job.until_stopped(runtime.admit(NewInput(value, key, id, due=due)))
        self._job.count(admitted)
        status = RunStatus.QUEUED
        if admitted.ticket is None:  # finished before
            status = await runtime.status(admitted.run)
        ticket, is_new = admitted.ticket, admitted.is_new
        return Run(self._job, admitted.run, key, ticket, status, is_new=is_new)

    async def signal(self, run: Run | str, name: str, value: Any = None) -> bool:
        """Send a run a signal, which an action gets from `ctx.wait_for_signal(name)`.

        It is delivered once, also when it is sent before the action waits for it. Durable when
        this returns.

        Args:
            run: the run, or its id.
            name: the signal's name.
            value: its value.

        Returns:
            False when the run is finished, so that nobody can wait for it.

        Raises:
            RunNotFoundError: there is no such run in this job.
            PerdureError: the id names two.
            EncodeError: the value cannot be journaled.
            StoreError: it is not durable, or nobody knows.
        """
        self._job.loop.check("job.signal(...)")
        return await self._job.signal(await self._number(run), name, value)

    async def approve(
        self,
        run: Run | str,
        name: str | None = None,
        *,
        approved: bool = True,
        by: str | None = None,
        comment: str | None = None,
    ) -> str:
        """Answer a run that waits in `ctx.wait_for_approval`, or for the approval of a tool call.

        Durable when this returns. The first answer counts. One under a name that the run does not
        wait for is kept until it does; a warning names what it waits for.

        Args:
            run: the run, or its id.
            name: name of the approval; None for the only one that the run waits for.
            approved: yes or no.
            by: who answers.
            comment: what the agent is told with it.

        Returns:
            The name of the approval that was answered.

        Raises:
            ConfigurationError: no name is given, and the run waits for several.
            PerdureError: there is no such run, it waits for none, or somebody has answered: the
                message says who.
            StoreError: it is not durable, or nobody knows.
        """
        self._job.loop.check("job.approve(...)")
        answer = Approval(approved=approved, by=by, comment=comment)
        return await self._job.approve(await self._number(run), name, answer)

    async def cancel(self, run: Run | str) -> bool:
        """Stop a run, as `Run.cancel` does.

        Raises:
            RunNotFoundError: there is no such run in this job.
            PerdureError: the id names two.
            StoreError: it is not durable, or nobody knows.
        """
        self._job.loop.check("job.cancel(...)")
        return await self._job.cancel(await self._number(run))

    async def retry(self, run: Run | str) -> bool:
        """Put a failed or cancelled run back into its key's queue; False when it is neither.

        What succeeded before the failure is not done again. Durable when this returns. Of several
        calls at a time one puts it back and returns True.

        Args:
            run: the run, or its id.

        Raises:
            RunNotFoundError: there is no such run in this job.
            PerdureError: the id names two.
            StoreError: it is not durable, or nobody knows.
        """
        self._job.loop.check("job.retry(...)")
        return await self._job.retry(await self._number(run))

    async def _number(self, run: Run | str) -> int:
        if isinstance(run, Run):
            return run.number_in(self._job)
        if not isinstance(run, str):
            raise _no_run(run)
        number: int = await self._job.until_stopped(self._job.runtime.number_of(run))
        return number

    def run(self, id: str) -> Run:
        """Return a run of the job, whether it has come to its end or not.

        A look into the store, for some milliseconds, where it is not in flight.

        Args:
            id: the id that was given with its input, or its own.

        Raises:
            RunNotFoundError: there is none.
            PerdureError: the id names two: one run by what was given with it, and another's own.
        """
        self._job.loop.check("job.run(...)")
        if not isinstance(id, str):
            raise _no_run(id)
        number, key, status = self._job.find(id)
        ticket = self._job.runtime.runs.get(number)
        return Run(self._job, number, key, ticket, status)

    async def close(self) -> None:
        """Stop what runs and give the job back; the next one who opens it goes on.

        For a job from `engine.start`; closing again does nothing, but returns when the job is
        closed. `await job.drain()` before it waits for the runs in flight; whoever waits for one
        of them when the job is closed gets StoreError.
        """
        if self._closing is None:
            self._job.loop.check("job.close()")
            self._closing = asyncio.get_running_loop().create_future()
            try:
                await closing.to_its_end(self._job.close)
            finally:
                self._closing.set_result(None)
        elif not self._closing.done():
            await asyncio.shield(self._closing)

    async def drain(self) -> None:
        """Return when no run is in flight, and every output is delivered.

        Raises:
            BaseException: what stopped the job.
        """
        self._job.loop.check("job.drain()")
        await self._job.drain()

    async def schedule(
        self, name: str, cron: str, value: Any, *, key: Any, timezone: str | ZoneInfo = "UTC"
    ) -> Schedule:
        """Start a run whenever a cron expression says so, while the job is open.

        Declare it again whenever the job is opened. Each tick is one run, over crashes and
        restarts; of the ticks that pass while no process runs the job, the first runs when one
        does. The run of the next tick is durable when this returns.

        Args:
            name: its name, unique in the job.
            cron: five fields, minute hour day month weekday, such as "0 6 * * 1-5".
            value: the input of its runs, or a function of the tick's time that makes it.
            key: the key of its runs.
            timezone: the time zone that the expression is meant in.

        Raises:
            ConfigurationError: the expression or the time zone is not known, the name is none or
                taken, or the extra `schedules` is not installed.
            EncodeError: value or key cannot be journaled.
        """
        self._job.loop.check("job.schedule(...)")
        schedule = Schedule(
            self._job.runtime, name, cron, value, key, timezone,
            check_loop=self._job.loop.check, cancel=self._job.cancel,
            forget=self._job.forget_schedule,
        )  # fmt: skip
        await self._job.schedule(schedule)
        return schedule

    # A source to its end

    async def drive(
        self, source: Source, *, key: Field, id: Field | None = None, collect: bool = True
    ) -> DriveResult:
        """Run every input of `source` and wait for their ends.

        Args:
            source: the inputs, read from the start; those run before are recognised.
            key: the key of an input: a field name or a function.
            id: its idempotency id, likewise.
            collect: return the outputs and all failed runs; else memory is bounded, and the
                result has no outputs and the first 10 failed runs.

        Raises:
            InputError: an input is bad or has changed; the runs before it have ended, and those
                behind it were not begun.
            SinkError: the output file is one of the inputs.
            BaseException: what stopped the job.
        """
        self._job.loop.check("job.drive(...)")
        check_fields(key, id)
        return await self._job.drive(source, key, id, collect=collect)

    def drain_soon(self) -> None:
        """Read no more inputs; `drive` returns when the runs in flight have ended."""
        self._job.loop.check_thread("job.drain_soon()")
        self._job.drain_soon()

    def stop_now(self) -> None:
        """Stop at once; `drive` raises. What is unfinished goes on when the job is next run."""
        self._job.loop.check_thread("job.stop_now()")
        error = PerdureError(f"job {self.name!r} was stopped; run it again to go on")
        self._job.runtime.stop(error)

    # Looking

    @property
    def progress(self) -> Progress:
        """Live counts."""
        self._job.loop.check_look("job.progress")
        return self._job.progress

    def snapshot(self) -> JobSnapshot:
        """Return what the job does at this moment, or did less than a second ago.

        Calls with what each of them waits for, the threads, the limits and their queues, what was
        executed and is not durable yet: what no store has, so only this process can tell it.
        """
        self._job.loop.check_look("job.snapshot()")
        return self._job.runtime.snapshots.take()

    def waiting_runs(self) -> Iterator[Run]:
        """Yield the runs that only time or a signal can continue; not those that are due later."""
        self._job.loop.check_look("job.waiting_runs()")
        for number, ticket in self._job.runtime.runs.items():
            if ticket.status is RunStatus.WAITING and not ticket.is_delayed:
                yield Run(self._job, number, ticket.key.value, ticket, ticket.status)

    async def input_ids(self, runs: Iterable[Run]) -> dict[str, str]:
        """Return the ids that were given with the inputs of runs, as text, by their own ids.

        Raises:
            RunNotFoundError: one of them is a run of another job.
            StoreError: the store cannot be read.
        """
        self._job.loop.check("job.input_ids(...)")
        return await self._job.input_ids({run.number_in(self._job) for run in runs})


def _no_run(given: object) -> ConfigurationError:
    return ConfigurationError(f"{given!r:.60} is no run: give a Run, or the id of one")
