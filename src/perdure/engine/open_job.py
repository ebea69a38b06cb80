"""OpenJob: the machinery of an open job of the local engine: its runtime, inputs, sink, counts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from perdure.agent.plan import AgentPlan
from perdure.config.configuration import AgentExecutionOptions, Configuration
from perdure.connectors.base import Sink, Source, checked_policy
from perdure.engine.files import check_name, check_output, check_sink_name, check_source_names
from perdure.engine.inputs import Field
from perdure.engine.job_loop import JobLoop
from perdure.engine.own_runs import Origin
from perdure.engine.progress import DriveResult, Progress
from perdure.engine.reading import CHUNK, InputReader
from perdure.engine.run_set import RunSet
from perdure.engine.schedule import Schedule
from perdure.engine.sink_pump import SinkPump
from perdure.errors import (
    ConfigurationError,
    EncodeError,
    InputError,
    PerdureError,
    SinkError,
    StoreDataError,
    TooManyFailuresError,
)
from perdure.executor import closing
from perdure.log_lines import place_fields
from perdure.operate.selection import selection_of
from perdure.printable import printable_logger, quoted_key
from perdure.run import Output, RunStatus, own_name, run_id
from perdure.run.approval import Approval, answer_value
from perdure.runtime.job_runtime import (
    Admitted,
    JobRuntime,
    NumberedOutput,
    RunTicket,
    World,
)
from perdure.store.base import ActionStateStore

# Of a job that is only run nobody reads its store: what does is imported where it is asked for.
if TYPE_CHECKING:
    from perdure.operate.history import AsyncHistory, History
    from perdure.run import RunInfo

logger = printable_logger("perdure")

LISTED = 10  # failed runs that are looked up where their number is unbounded
UNSUCCESSFUL = (RunStatus.FAILED, RunStatus.CANCELLED)


class OpenJob:
    """What a `Job` works with; a listener of its runtime.

    Attributes:
        loop: refuses other event loops than the job's.
        before_close: what is to be let go of with the job, such as views of its store.

    Owns: the runtime, the pump of the sink, the schedules, what waits for the job. Lifecycle:
    `open`, `drain`, `close`, once each. On one event loop.

    Args:
        store: where the journal is; not open.
        name: the job's name.
        plan: the agent.
        config: its configuration.
        sink: where outputs go, if anywhere.
        world: time, chance and threads; the real ones by default.
        fresh: see JobRuntime; `holds` likewise.
    """

    def __init__(
        self,
        store: ActionStateStore,
        name: str,
        plan: AgentPlan,
        config: Configuration,
        sink: Sink | None,
        world: World | None = None,
        *,
        fresh: bool = False,
        holds: bool = False,
    ) -> None:
        self._store = store
        self._sink = sink
        self._holds = holds
        self._pump = SinkPump(sink) if sink is not None else None
        self._pumping: asyncio.Task[None] | None = None
        self.runtime = JobRuntime(
            store,
            name,
            plan,
            config,
            listeners=[self],
            outbox=sink is not None,
            before_recovery=self._open_sink,
            world=world,
            fresh=fresh,
            holds=holds,
        )
        self._progress = Progress()
        self._max_failures = self._failures_left = config.get(AgentExecutionOptions.MAX_FAILURES)
        self._schedules: dict[str, Schedule] = {}
        # By run: who answers an approval of it.
        self._answering: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._collected: list[NumberedOutput] | None = None
        # How those runs ended here that have failed, were cancelled or were put back.
        self._ends: dict[int, RunStatus] = {}
        # What ended here of the runs that are older than the first one admitted here.
        self._old_ended = RunSet()
        self._first_new: int | None = None
        self._reader: InputReader | None = None
        self._ending = False  # no more inputs are read
        self._is_closed = False  # nothing comes to its end any more
        self.loop = JobLoop(name)
        self._waiters: set[asyncio.Future[Any]] = set()
        self.before_close: list[Callable[[], Awaitable[object]]] = []

    # Life

    async def open(self) -> None:
        """Take the job; unfinished runs go on.

        Raises:
            SinkError: the output cannot be written, or is where the store is; nothing was begun.
        """
        check_output(self._sink, self._store, self.runtime.job)
        self.loop.begin()
        try:
            await self.runtime.open()
        except BaseException:
            await closing.to_its_end(self._close_sink)
            raise
        self.runtime.stopped.add_done_callback(self._stop_waiting)

    async def _open_sink(self) -> None:
        if self._holds and not await self._store.undelivered():
            return  # the sink has all: nobody asks whether its file is still there
        if self._pump is not None and self._sink is not None:
            await check_sink_name(self.runtime.files, self._sink)
            await self._pump.open(self.runtime.outbox)
            # While recovery goes on, which may take its time, outputs are delivered.
            self._pumping = asyncio.get_running_loop().create_task(self._pump.run())
            self._pumping.add_done_callback(self._pump_ended)

    async def _close_sink(self) -> None:
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.wait([self._pumping])
        if self._pump is not None:
            await self._pump.close()

    def _pump_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception()
        elif task.cancelling() or self._sink is None:
            return  # by the job, or by the end of its loop
        else:
            error = SinkError(
                f"sink {self._sink.name!r} ended as cancelled, and nobody has cancelled it:"
                " something that it awaits was: correct the sink and run again"
            )
        if error is not None:
            self.runtime.stop(error)

    async def drain(self) -> None:
        """Return when no run is in flight and every output is delivered.

        Raises:
            BaseException: what stopped the job.
        """
        await self.until_stopped(self._drained())

    async def _drained(self) -> None:
        await self.runtime.drain()
        if self._pump is not None:
            await self._pump.drain()

    async def deliver(self) -> None:
        """Return when the sink has every output that is durable by now.

        Raises:
            BaseException: what stopped the job.
        """
        if self._pump is not None:
            await self.until_stopped(self._pump.drain())

    async def close(self) -> None:
        """Stop what runs and give the job back; the next owner goes on.

        Whoever still waits for the job then is told that it was closed.
        """
        self.loop.end()
        try:
            for each in self.before_close:
                await each()
            await self._close_sink()
            await self.runtime.close()
        finally:
            self._is_closed = True
            self._stop_waiting()

    def drain_soon(self) -> None:
        """Read no more inputs; wait for the runs in flight only."""
        self._ending = True
        self.runtime.leave_resting()
        if self._reader is not None:
            self._reader.stop()

    async def until_stopped(self, work: Any) -> Any:
        """Await `work`, but raise what stops the job as soon as that happens.

        Raises:
            BaseException: what stopped the job.
            StoreError: it was closed before the work was done.
        """
        stopped = self.runtime.stopped
        waiter = work if isinstance(work, asyncio.Future) else asyncio.ensure_future(work)
        # Not a callback on `stopped` each: removing one of thousands looks through all of them.
        self._waiters.add(waiter)
        if stopped.done() or self._is_closed:
            waiter.cancel()
        try:
            return await waiter
        except asyncio.CancelledError:
            if stopped.done():
                stopped.result()
            self.loop.raise_if_closed()
            raise
        finally:
            self._waiters.discard(waiter)

    def _stop_waiting(self, _stopped: asyncio.Future[None] | None = None) -> None:
        for waiter in list(self._waiters):
            waiter.cancel()

    # What the runtime tells

    def on_output(self, ticket: RunTicket, number: int, output: Output) -> None:
        """Take an output that is durable."""
        self._progress.outputs += 1
        if self._pump is None and self._collected is None:
            return
        numbered = (ticket.number, number, output)
        if self._pump is not None:
            self._pump.add(numbered)
        if self._collected is not None:
            self._collected.append(numbered)

    def on_finished(self, ticket: RunTicket) -> None:
        """Take note that a run has ended."""
        if ticket.status is not RunStatus.COMPLETED:
            self._ends[ticket.number] = ticket.status
            if ticket.status is RunStatus.FAILED and self._max_failures:
                self._count_failure(ticket)
        elif ticket.row.attempt:
            self._ends[ticket.number] = ticket.status
        if self._first_new is None or ticket.number < self._first_new:
            self._old_ended.add(ticket.number)

    def standing(self, run: int, ticket: RunTicket | None, stored: RunStatus) -> RunStatus:
        """Return where a run stands now.

        Args:
            run: its number.
            ticket: one of it; its last retry, which has ended, may have had another.
            stored: what the store said of it once, for a run without a ticket.
        """
        status = stored if ticket is None else ticket.status
        return self._ends.get(run, status) if status in UNSUCCESSFUL else status

    def _count_failure(self, ticket: RunTicket) -> None:
        """Stop the job when as many runs have failed as it may have (max-failures)."""
        self._failures_left -= 1
        if self._failures_left == 0:
            self.runtime.stop(self._too_many_failures(ticket))

    def _too_many_failures(self, ticket: RunTicket) -> TooManyFailuresError:
        options = selection_of(self._store.url, self.runtime.job)
        retry = "" if options is None else f"`perdure retry --all-failed{options}` and "
        runs = "1 run" if self._max_failures == 1 else f"{self._max_failures:,} runs"
        last = f"{ticket.id} of key {quoted_key(ticket.key.value)}: {type(ticket.error).__name__}"
        return TooManyFailuresError(
            f"job {self.runtime.job!r} was stopped: {runs} failed, and max-failures ="
            f" {self._max_failures} (the last: {last}: {ticket.error}); nothing is lost: mend what"
            f" fails, then {retry}run the same again to go on"
        )

    def on_resting(self, ticket: RunTicket) -> None:
        """Nothing to note: the counters say how many rest."""

    @property
    def progress(self) -> Progress:
        """Live counts."""
        counters, progress = self.runtime.counters, self._progress
        progress.completed, progress.failed = counters.completed, counters.failed
        progress.cancelled, progress.retries = counters.cancelled, counters.retries
        progress.calls_made = counters.calls_made
        progress.calls_replayed = counters.calls_replayed
        progress.in_flight, progress.waiting = counters.in_flight, counters.waiting
        progress.delayed, progress.queued = counters.delayed, counters.queued
        progress.late_results = counters.late_results
        return progress

    # Runs

    @property
    def origin(self) -> Origin:
        """Where its runs are from."""
        return Origin(self._store, self.runtime.job, self.runtime.job_number)

    def count(self, admitted: Admitted) -> bool:
        """Take note of an input whose run is durable; True where it ended in a process before."""
        self._progress.inputs += 1
        run, first = admitted.run, self._first_new
        if admitted.is_new:
            self._first_new = run if first is None else min(run, first)
            return False
        is_old = first is None or run < first
        ended_before = admitted.ticket is None and is_old and run not in self._old_ended
        self._progress.already_done += ended_before
        return ended_before

    async def signal(self, run: int, name: str, value: Any) -> bool:
        """Send a run a signal; False when it is finished. Durable when this returns."""
        sent: bool = await self.until_stopped(self.runtime.signal(run, name, value))
        return sent

    async def cancel(self, run: int, why: str = "") -> bool:
        """Stop a run; see `Run.cancel`, and `JobRuntime.cancel` of `why`."""
        cancelled: bool = await self.until_stopped(self.runtime.cancel(run, why))
        return cancelled

    async def retry(self, run: int) -> bool:
        """Put a failed or cancelled run back into its key's queue; see `Job.retry`."""
        retried: bool = await self.until_stopped(self.runtime.retry(run))
        return retried

    def view(self) -> History:
        """Open the store for looking; blocks, on any thread."""
        from perdure.operate.history import History

        return History.of(self._store)

    def _history(self) -> AsyncHistory:
        """Return the store as seen from outside, not yet open."""
        from perdure.operate.history import AsyncHistory

        return AsyncHistory(self._store.view())

    def find(self, id_: str) -> tuple[int, Any, RunStatus]:
        """Return number, key in readable form and status of the run with an id; blocks."""
        with self.view() as history:
            info = history.run(history.job(self.runtime.job), id_)
        return info.number, info.key, info.status

    async def input_ids(self, runs: Collection[int]) -> dict[str, str]:
        """Return the ids that were given with the inputs of runs; see `Job.input_ids`."""
        async with self._history() as history:
            infos = await history.infos(runs)
        return {info.id: info.input_id for info in infos.values() if info.input_id is not None}

    async def approve(self, run: int, name: str | None, answer: Approval) -> str:
        """Answer an approval that a run waits for; return its name. See `Job.approve`."""
        from perdure.operate.answers import checked_answer, unawaited
        from perdure.run import wait_info

        # One after the other: an answer that has been checked is seen by whoever is checked next,
        # and is for what was waited for now, not for what the run asks after an answer before it.
        ticket = self.runtime.runs.get(run)
        asked = [wait_info(row, None) for row in ticket.waits.values()] if ticket else []
        async with self._answering.setdefault(run, asyncio.Lock()):
            # What is waited for is seen here before the store has it, and judged there.
            await self.until_stopped(self.runtime.caught_up())
            async with self._history() as history:
                job = await history.job(self.runtime.job)
                info = await history.run(job, own_name(run_id(run)))
                checked = await checked_answer(history, job, info, name, asked)
                info, name = checked.info, checked.name
            if not await self.signal(run, name, answer_value(answer)):
                raise PerdureError(
                    f"run {info.title} is finished already: nobody waits for an answer"
                )
        if warning := unawaited(info, name):
            logger.warning("%s", warning, extra=place_fields(self.runtime.job, info.id, info.key))
        return name

    async def schedule(self, schedule: Schedule) -> None:
        """Begin a schedule; the run of its next tick is durable when this returns."""
        if schedule.name in self._schedules:
            raise ConfigurationError(
                f"there is a schedule {schedule.name!r} already: choose another name"
            )
        self._schedules[schedule.name] = schedule
        try:
            await self.until_stopped(schedule.begin())
        except BaseException:
            schedule.is_stopped = True
            self.forget_schedule(schedule)
            raise

    def forget_schedule(self, schedule: Schedule) -> None:
        """Free the name of a schedule that was stopped or never began."""
        if self._schedules.get(schedule.name) is schedule:
            del self._schedules[schedule.name]

    async def drive(
        self, source: Source, key: Field, id_: Field | None, *, collect: bool
    ) -> DriveResult:
        """Run every input of `source` and wait for their ends; see `Job.drive`."""
        self._collected = [] if collect else None
        work = self._drive(source, key, id_, None if collect else LISTED)
        result: DriveResult = await self.until_stopped(work)
        return result

    async def _drive(
        self, source: Source, key: Field, id_: Field | None, listed: int | None
    ) -> DriveResult:
        check_name("source", source.name)
        checked_policy(source.on_bad_line)  # a source may be of anybody's making
        check_output(self._sink, self._store, self.runtime.job, source)
        if id_ is None:
            await check_source_names(self.runtime.files, source)
        self._reader = reader = InputReader(
            self.runtime, source, key=key, id=id_, progress=self._progress,
            sink_room=self._sink_room, count=self.count,
        )  # fmt: skip
        if self._ending:
            reader.stop()
        bad: Exception | None = None
        try:
            await reader.read()
        except (InputError, EncodeError, StoreDataError) as error:
            bad = error  # what was admitted before comes to its end first
        finally:
            self._reader = None
        await self._drained()
        if bad is not None:
            raise bad
        counters = self.runtime.counters
        ended_here = counters.completed + counters.failed + counters.cancelled
        if reader.finished_before and reader.finished_before == reader.inputs and not ended_here:
            from perdure.engine.resumed import nothing_was_run

            job = self.runtime.job
            said = await nothing_was_run(self._store, job, self._sink, reader.inputs)
            logger.warning("%s", said)
        failed = await self._failed(reader)
        return DriveResult(
            inputs=len(reader.runs),
            outputs=await self._outputs(reader),
            failed=await self._failures(sorted(failed)[:listed]),
            failures=sum(status is RunStatus.FAILED for status in failed.values()),
            cancelled=sum(status is RunStatus.CANCELLED for status in failed.values()),
        )

    async def _sink_room(self) -> None:
        if self._pump is not None:
            await self._pump.wait_for_room()

    # What came of them

    async def _outputs(self, reader: InputReader) -> list[Output]:
        if self._collected is None:
            return []
        live = {(run, number) for run, number, _ in self._collected}
        stored = [
            output
            for run, number, output in await self.runtime.recorded_outputs(list(reader.known))
            if (run, number) not in live
        ]
        return stored + [output for run, _, output in self._collected if run in reader.runs]

    async def _failed(self, reader: InputReader) -> dict[int, RunStatus]:
        """Return the status of those runs of the inputs that failed or were cancelled."""
        failed: dict[int, RunStatus] = {}
        known = iter(reader.known)
        while chunk := list(itertools.islice(known, CHUNK)):
            statuses = await self.runtime.statuses(chunk)
            failed |= {run: status for run, status in statuses.items() if status in UNSUCCESSFUL}
        failed |= {run: status for run, status in self._ends.items() if run in reader.runs}
        return {run: status for run, status in failed.items() if status in UNSUCCESSFUL}

    async def _failures(self, failed: list[int]) -> list[RunInfo]:
        if not failed:
            return []
        async with self._history() as history:
            infos = await history.infos(failed)
        return [infos[run] for run in failed]
