"""Job: an open job of the local engine: submissions, a source to the end, progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from perdure.agent_plan import AgentPlan
from perdure.call import checked_name, checked_seconds
from perdure.config import Configuration
from perdure.connectors.base import Sink, Source
from perdure.engine.inputs import Field, new_input
from perdure.engine.progress import DriveResult, Progress
from perdure.engine.schedule import Schedule
from perdure.engine.sink_pump import SinkPump
from perdure.errors import ConfigurationError, EncodeError, InputError, PerdureError, StoreError
from perdure.history import History
from perdure.run import (
    STATUS_BY_NUMBER,
    STATUS_NUMBERS,
    Output,
    RunInfo,
    RunStatus,
    run_id,
    run_number,
)
from perdure.runtime.admission import Admitted, NewInput
from perdure.runtime.backoff import BACKOFF_SECONDS
from perdure.runtime.job import JobRuntime
from perdure.runtime.mailbox import RunTicket
from perdure.store.base import ActionStateStore, StoredOutput
from perdure.store.url import reader_of

logger = logging.getLogger("perdure")

CHUNK = 512  # inputs admitted together at most


class Run:
    """A submitted run.

    Attributes:
        id: its short id.
    """

    def __init__(self, job: Job, number: int, ticket: RunTicket | None, stored: RunStatus) -> None:
        self._job = job
        self._number = number
        self._ticket = ticket
        self._stored = stored
        self.id = run_id(number)

    @property
    def status(self) -> RunStatus:
        """Where the run stands now."""
        return self._ticket.status if self._ticket is not None else self._stored

    async def wait(self) -> RunStatus:
        """Return the run's final status when it has come to its end."""
        if self._ticket is not None:
            await self._job.wait_for(self._ticket)
        return self.status

    async def outputs(self) -> list[Output]:
        """Return the run's outputs when it has come to its end.

        Raises:
            BaseException: what made the run fail.
            RunCancelledError: it was cancelled.
        """
        await self.wait()
        return await self._job.outputs_of(self._number)

    async def cancel(self) -> bool:
        """Ask the run to stop; False when it is finished already."""
        return await self._job.runtime.commands.cancel(self._number)

    async def signal(self, name: str, value: Any = None) -> bool:
        """Send the run a signal; False when it is finished. Durable when this returns."""
        return await self._job.signal(self, name, value)

    @property
    def activity(self) -> Any:
        """What the run last said with `ctx.set_status` in this process; None without."""
        return self._ticket.activity if self._ticket is not None else None


class Job:
    """An open job.

    Owns: the runtime of the job and the pump of its sink. Lifecycle: made and opened by
    `LocalEngine.open`. On one event loop.
    """

    def __init__(
        self,
        store: ActionStateStore,
        name: str,
        plan: AgentPlan,
        config: Configuration,
        sink: Sink | None,
    ) -> None:
        self.name = name
        self._store = store
        self._pump = SinkPump(sink) if sink is not None else None
        self._pumping: asyncio.Task[None] | None = None
        self.runtime = JobRuntime(
            store,
            name,
            plan,
            config,
            listeners=[self],
            before_recovery=self._open_sink if sink is not None else None,
        )
        self._progress = Progress()
        self._schedules: dict[str, Schedule] = {}
        self._collected: list[tuple[int, int, Output]] | None = None
        self._unsuccessful: set[int] = set()
        self._draining = False
        self._reading: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._waiters: set[asyncio.Future[Any]] = set()

    # Life

    async def open(self) -> None:
        """Take the job; unfinished runs go on."""
        await self.runtime.open()
        self.runtime.stopped.add_done_callback(self._stop_waiting)
        if self._pump is not None:
            self._pumping = asyncio.get_running_loop().create_task(self._pump.run())
            self._pumping.add_done_callback(self._pump_ended)

    async def _open_sink(self, undelivered: list[StoredOutput]) -> None:
        assert self._pump is not None
        await self._pump.open(self.runtime, undelivered)

    def _pump_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.runtime.stop(error)

    async def drain(self) -> None:
        """Return when no run is in flight and every output is delivered.

        Raises:
            BaseException: what stopped the job.
        """
        await self._until_stopped(self._drained())

    async def _drained(self) -> None:
        while not self._is_drained():
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        if self._pump is not None:
            await self._pump.drain()

    def _is_drained(self) -> bool:
        """Say whether no run is in flight.

        Runs that are due later stay for the next time that the job is open; so does what waits for
        time or a signal, once the job was asked to end.
        """
        tickets = len(self.runtime.admission.tickets)
        if self._draining:
            return not self.runtime.admission.in_flight
        return tickets == self.runtime.resting.delayed

    async def close(self) -> None:
        """Stop what runs and give the job back; the next owner goes on."""
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.wait([self._pumping])
        if self._pump is not None:
            await self._pump.close()
        await self.runtime.close()

    def drain_soon(self) -> None:
        """Read no more inputs; `drive` returns when the runs in flight have ended."""
        self._draining = True
        self._wake_drain()
        if self._reading is not None:
            self._reading.cancel()  # it may be waiting for a slow source

    def stop_now(self) -> None:
        """Stop at once; `drive` raises. What is unfinished goes on when the job is next run."""
        self.runtime.stop(PerdureError(f"job {self.name!r} was stopped; run it again to go on"))

    @property
    def progress(self) -> Progress:
        """Live counts."""
        counters = self.runtime.services.counters
        progress = self._progress
        progress.completed, progress.failed = counters.completed, counters.failed
        progress.cancelled, progress.retries = counters.cancelled, counters.retries
        progress.calls_made = counters.calls_made
        progress.calls_replayed = counters.calls_replayed
        tickets = len(self.runtime.admission.tickets)
        progress.in_flight = self.runtime.admission.in_flight
        progress.waiting = tickets - progress.in_flight
        progress.late_results = self.runtime.services.executor.late_results
        return progress

    # What the runtime tells

    def on_output(self, ticket: RunTicket, number: int, output: Output) -> None:
        """Take an output that is durable."""
        self._progress.outputs += 1
        if self._pump is not None:
            self._pump.add(ticket.row.run, number, output)
        if self._collected is not None:
            self._collected.append((ticket.row.run, number, output))

    def on_finished(self, ticket: RunTicket) -> None:
        """Take note that a run has ended."""
        if ticket.status is not RunStatus.COMPLETED:
            self._unsuccessful.add(ticket.row.run)
        else:
            self._unsuccessful.discard(ticket.row.run)
        self._wake_drain()

    def on_resting(self, ticket: RunTicket) -> None:
        """Take note that a run rests."""
        self._wake_drain()

    def _wake_drain(self) -> None:
        if self._idle is not None and not self._idle.done() and self._is_drained():
            self._idle.set_result(None)

    # Single submissions

    async def submit(self, value: Any, *, key: Any, id: Any = None, delay: float = 0.0) -> Run:
        """Submit one input; its run is durable when this returns.

        Args:
            value: the input.
            key: its key, as a value.
            id: its idempotency id: submitting it again gives the same run.
            delay: seconds after which the run joins its key's queue, a restart included.

        Raises:
            InputError: the id was submitted before with another key or value.
            EncodeError: the input cannot be journaled.
            StoreError: it is not durable, or nobody knows; with an id, submit it again.
        """
        admitted = await self._until_stopped(
            self.runtime.admission.submit(NewInput(value, key, id, due=self._due(delay)))
        )
        self._count(admitted)
        status = RunStatus.QUEUED
        if admitted.ticket is None:  # finished before
            row = (await self._store.runs([admitted.run]))[admitted.run]
            status = STATUS_BY_NUMBER[row.status]
        return Run(self, admitted.run, admitted.ticket, status)

    async def schedule(
        self, name: str, cron: str, value: Any, *, key: Any, timezone: str = "UTC"
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
            ConfigurationError: the expression or the time zone is not known, the name is taken, or
                the extra `schedules` is not installed.
            EncodeError: value or key cannot be journaled.
        """
        if name in self._schedules:
            raise ConfigurationError(f"there is a schedule {name!r} already: choose another name")
        schedule = Schedule(self.runtime, name, cron, value, key, timezone)
        await self._until_stopped(schedule.begin())
        self._schedules[name] = schedule
        return schedule

    def _due(self, delay: float) -> int:
        return self.runtime.services.now() + int(checked_seconds(delay) * 1e9) if delay > 0 else 0

    async def wait_for(self, ticket: RunTicket) -> None:
        """Return when a run has ended; raise what stopped the job."""
        await self._until_stopped(asyncio.shield(ticket.wait_finished()))

    async def outputs_of(self, number: int) -> list[Output]:
        """Return a finished run's outputs, or raise its error."""
        outputs: list[Output] = await self._until_stopped(self.runtime.outputs_of(number))
        return outputs

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
            PerdureError: there is no such run.
            EncodeError: the value cannot be journaled.
            StoreError: it is not durable, or nobody knows.
        """
        data = self.runtime.codec.encode(value)
        checked_name(name)
        number = run_number(self.runtime.job_number, run if isinstance(run, str) else run.id)
        sent = await self._until_stopped(self.runtime.commands.signal(number, name, data))
        if not sent and not await self._store.runs([number]):
            raise PerdureError(f"job {self.name!r} has no run {run_id(number)!r}")
        return bool(sent)

    # A source to its end

    async def drive(
        self, source: Source, *, key: Field, id: Field | None = None, collect: bool = True
    ) -> DriveResult:
        """Run every input of `source` and wait for their ends.

        Args:
            source: the inputs, read from the start; those run before are recognised.
            key: the key of an input: a field name or a function.
            id: its idempotency id, likewise.
            collect: return the outputs (else the list is empty).

        Raises:
            InputError: an input is bad or has changed; the runs before it have ended.
            BaseException: what stopped the job.
        """
        self._collected = [] if collect else None
        result: DriveResult = await self._until_stopped(self._drive(source, key, id))
        return result

    async def _drive(self, source: Source, key: Field, id_: Field | None) -> DriveResult:
        numbers: dict[int, bool] = {}  # run -> is it new
        bad: Exception | None = None
        reading = self._read(source, key, id_, numbers)
        self._reading = asyncio.get_running_loop().create_task(reading)
        try:
            await self._reading
        except (InputError, EncodeError) as error:
            bad = error  # what was admitted before comes to its end first
        finally:
            self._reading = None
        await self._drained()
        if bad is not None:
            raise bad
        return DriveResult(
            inputs=len(numbers),
            outputs=await self._outputs(numbers),
            failed=await self._failures(numbers),
        )

    async def _read(
        self, source: Source, key: Field, id_: Field | None, numbers: dict[int, bool]
    ) -> None:
        waiting: list[tuple[NewInput, asyncio.Future[Admitted]]] = []
        admission = self.runtime.admission
        records = source.open()
        bad: InputError | None = None
        try:
            room = min(CHUNK, await admission.wait_for_room())
            async for record in records:
                item = new_input(record, source.name, key, id_)
                waiting.append((item, admission.submit(item)))
                if len(waiting) >= room:
                    await self._settle(waiting, numbers)
                    if self._pump is not None:
                        await self._pump.wait_for_room()
                    room = min(CHUNK, await admission.wait_for_room())
                if self._draining:
                    break
        except asyncio.CancelledError:
            if not self._draining:
                raise
        except InputError as error:
            bad = error  # what was read before it is admitted all the same
        finally:
            await records.aclose()
        await self._settle(waiting, numbers)
        if bad is not None:
            raise bad

    async def _settle(
        self,
        waiting: list[tuple[NewInput, asyncio.Future[Admitted]]],
        numbers: dict[int, bool],
    ) -> None:
        """Wait until the inputs read so far are durable; admit again what the store lost."""
        pause, longest = BACKOFF_SECONDS
        bad: Exception | None = None
        while waiting:
            await asyncio.wait([future for _, future in waiting])
            lost = []
            for item, future in waiting:
                error = future.exception()
                if isinstance(error, StoreError):
                    lost.append(item)
                    reason = error
                elif error is not None:
                    bad = bad or _as_exception(error)
                else:
                    admitted = future.result()
                    numbers.setdefault(admitted.run, admitted.is_new)
                    self._count(admitted)
            waiting.clear()
            if lost:
                logger.error("inputs cannot be admitted (%s); trying again", reason)
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
                submit = self.runtime.admission.submit
                waiting.extend((item, submit(item)) for item in lost)
        if bad is not None:
            raise bad

    def _count(self, admitted: Admitted) -> None:
        self._progress.inputs += 1
        if admitted.ticket is None:
            self._progress.already_done += 1

    async def _outputs(self, numbers: Mapping[int, bool]) -> list[Output]:
        if self._collected is None:
            return []
        live = {(run, number) for run, number, _ in self._collected}
        known = [run for run, is_new in numbers.items() if not is_new]
        stored = [
            self.runtime.output(output)
            for output in await self._store.outputs(known)
            if (output.run, output.number) not in live
        ]
        return stored + [output for run, _, output in self._collected if run in numbers]

    async def _failures(self, numbers: Mapping[int, bool]) -> list[RunInfo]:
        bad = (STATUS_NUMBERS[RunStatus.FAILED], STATUS_NUMBERS[RunStatus.CANCELLED])
        known = await self._store.runs([run for run, is_new in numbers.items() if not is_new])
        failed = self._unsuccessful | {run for run, row in known.items() if row.status in bad}
        failed &= numbers.keys()
        if not failed:
            return []
        infos = await asyncio.to_thread(self._infos, sorted(failed))
        return [infos[run] for run in numbers if run in failed]

    def _infos(self, numbers: list[int]) -> dict[int, RunInfo]:
        with reader_of(self._store) as reader:
            return History(reader).infos(numbers)

    async def _until_stopped(self, work: Any) -> Any:
        """Await `work`, but raise what stops the job as soon as that happens."""
        stopped = self.runtime.stopped
        waiter = asyncio.ensure_future(work)
        # Not a callback on `stopped` each: removing one of thousands looks through all of them.
        self._waiters.add(waiter)
        if stopped.done():
            waiter.cancel()
        try:
            return await waiter
        except asyncio.CancelledError:
            if stopped.done():
                stopped.result()
            raise
        finally:
            self._waiters.discard(waiter)

    def _stop_waiting(self, _stopped: asyncio.Future[None]) -> None:
        for waiter in list(self._waiters):
            waiter.cancel()


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else PerdureError(str(error))
