"""JobRuntime: a job while it is open. Driven by an engine; owns no source and no sink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from perdure.agent_plan import AgentPlan
from perdure.config import AgentExecutionOptions, Configuration
from perdure.errors import DecodeError, StoreError
from perdure.journal.codec import Codec
from perdure.journal.failure import decode_failure
from perdure.journal.record import Record
from perdure.memory import MemoryRef
from perdure.run import (
    STATUS_BY_NUMBER,
    STATUS_NUMBERS,
    Output,
    RunStatus,
    run_cancelled,
    run_id,
    run_number,
)
from perdure.runtime.admission import Admission
from perdure.runtime.backoff import BACKOFF_SECONDS, until_store_answers
from perdure.runtime.collector import Collector
from perdure.runtime.commands import RunCommands
from perdure.runtime.documents import JobDocuments
from perdure.runtime.listener import JobListener
from perdure.runtime.mailbox import Key, KeyedMailbox, RunTicket
from perdure.runtime.numbers import Numbers
from perdure.runtime.recovery import recover
from perdure.runtime.resources import JobResources
from perdure.runtime.resting_runs import RestingRuns
from perdure.runtime.run_execution import RunExecution
from perdure.runtime.run_state import Cells, new_state
from perdure.runtime.services import JobServices
from perdure.runtime.world import World
from perdure.store.base import (
    ActionStateStore,
    JobInfo,
    RunRow,
    StoredOutput,
)
from perdure.store.group_commit import GroupCommit

logger = logging.getLogger("perdure")
T = TypeVar("T")

RECOVERED_PER_TURN = 64


class JobRuntime:
    """A job while it is open.

    Owns: ownership of the job in its store, group commit, the executor, the mailbox, the runs in
    flight. Lifecycle: `open` recovers and begins what is unfinished; `close` stops it, after
    which another process may go on. On one event loop.

    Args:
        store: where the journal is.
        job: the job's name.
        plan: the agent.
        config: its configuration.
        listeners: told about outputs and ends of runs.
        before_recovery: outputs wait in the outbox for a sink; called with those undelivered
            before any run goes on.
        world: time, chance and threads; the real ones by default.
    """

    def __init__(
        self,
        store: ActionStateStore,
        job: str,
        plan: AgentPlan,
        config: Configuration,
        *,
        listeners: Iterable[JobListener] = (),
        before_recovery: Callable[[list[StoredOutput]], Awaitable[None]] | None = None,
        world: World | None = None,
    ) -> None:
        self.store = store
        self.job = job
        self.plan = plan
        self.config = config
        self.listeners = list(listeners)
        self.codec = Codec(max_bytes=config.get(AgentExecutionOptions.MAX_PAYLOAD_BYTES))
        self._before_recovery = before_recovery
        self._world = world or World()
        tuned = config.get(AgentExecutionOptions.GARBAGE_COLLECTOR) == "tuned"
        self._collector = Collector(tuned=tuned)
        self._executions: dict[int, RunExecution] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._recovering = asyncio.Lock()
        self._looking = False
        self.job_number = 0
        self.stopped: asyncio.Future[None]
        self.services: JobServices
        self.resources: JobResources
        self.mailbox: KeyedMailbox
        self.admission: Admission
        self.commits: GroupCommit
        self.resting: RestingRuns
        self.commands: RunCommands

    # Opening and closing

    async def open(self) -> None:
        """Take the job and go on with its unfinished runs.

        Raises:
            StoreError: the store cannot be opened, or another process owns the job.
        """
        host = asyncio.get_running_loop()
        for annotated in (*self.plan.annotated_types, MemoryRef, Output):
            self.codec.registry.register_annotation(annotated)
        info = await self.store.open(self.job)
        self._collector.relax()
        self.job_number = info.job
        self.stopped = host.create_future()
        self.commits = GroupCommit(self.store)
        self._make_services()
        self._make_queues(info)
        self._make_commands()
        try:
            await self.resources.open()
            for annotated in self.resources.journaled_types():
                self.codec.registry.register_annotation(annotated)
            if self._before_recovery is not None:
                await self._before_recovery(await self.store.undelivered())
            await self._take_up(await self.store.unfinished())
            await self.commands.empty_inbox()  # what was left for a job that was not open
        except BaseException:
            await self.close()
            raise
        self._spawn(self.commands.watch())

    def _make_services(self) -> None:
        executor = self._world.make_executor(
            num_async_threads=self.config.get(AgentExecutionOptions.NUM_ASYNC_THREADS),
            continuations=self.config.get(AgentExecutionOptions.CONTINUATIONS) != "off",
            on_shutdown=self.stop,
            now=self._world.now,
        )
        self.resources = JobResources(
            self.plan.resources, lambda: JobDocuments(self.store, self.commits, self.codec)
        )
        self.services = JobServices(
            job=self.job,
            plan=self.plan,
            config=self.config,
            codec=self.codec,
            commits=self.commits,
            executor=executor,
            has_sink=self._before_recovery is not None,
            world=self._world,
            resources=self.resources,
        )
        self.services.restart = self._restart
        self.services.finish = self._finish
        self.services.emit = self._emit
        self.services.stop = self.stop
        self.services.retry_later = self._retry_later
        self.services.spawn = self._spawn
        self.services.rests = self._rests
        self.services.outputs = self._outputs_by_id

    def _make_queues(self, info: JobInfo) -> None:
        self.mailbox = KeyedMailbox(self._begin, self.store.keys, self.codec.decode)
        self.admission = Admission(
            info.job,
            Numbers.of_job(info),
            self.store,
            self.commits,
            self.codec,
            self.mailbox,
            adopt=self._recover,
            delay=lambda ticket: self.resting.delay(ticket),
            doubt=self._look_for_lost_runs,
            limit=self.config.get(AgentExecutionOptions.MAX_RUNS_IN_FLIGHT),
            now=self._world.now,
            collector=self._collector,
        )
        self.services.submit = self.admission.submit
        self.resting = RestingRuns(
            self.admission,
            self.mailbox,
            self.commits,
            self.services.timers,
            self._world.now,
            self._spawn,
            limit=self.config.get(AgentExecutionOptions.MAX_RUNS_IN_FLIGHT),
            take_out=self._take_out,
            bring_back=lambda ticket: self._spawn(self._reload(ticket, 0.0)),
            told=self._tell_resting,
        )
        self.services.goes_on = self.resting.end

    def _make_commands(self) -> None:
        self.commands = RunCommands(
            self.store,
            self.services,
            self.admission,
            self.resting,
            self._executions,
            finish=self._finish,
            recover=self._recover,
        )

    def stop(self, error: BaseException) -> None:
        """Ask the engine to stop the job and raise `error`."""
        if not self.stopped.done():
            self.stopped.set_exception(error)
            self.stopped.exception()  # an engine that closes anyway need not look at it

    async def close(self) -> None:
        """Stop everything, write what is pending and give the job back."""
        self._closing = True
        self.admission.close()
        for task in list(self._tasks):
            task.cancel()
        self.services.timers.close()
        for execution in self._executions.values():
            execution.process_ends()
        # Nothing new starts from here on; what is finished is written, so that it is not repeated.
        await self.services.executor.close()
        await self.commits.drain()
        for execution in list(self._executions.values()):
            execution.drop()
        try:
            await self.resources.close()
        finally:
            await self.store.close()
            self._collector.restore()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stop(error)

    # Recovery

    async def _recover(self, rows: list[RunRow]) -> None:
        """Put unfinished runs back into their keys' queues, with their journals."""
        async with self._recovering:
            # Read again: another way may have taken a run up, and even finished it, meanwhile.
            found = await self.store.runs([row.run for row in rows])
            await self._take_up(sorted(found.values(), key=lambda row: row.place))

    async def _take_up(self, rows: list[RunRow]) -> None:
        rows = [
            row
            for row in rows
            if row.run not in self.admission.tickets and not STATUS_BY_NUMBER[row.status].is_final
        ]
        numbers = [row.run for row in rows]
        digests = {k: state.row.digest for k, state in (await self.store.keys_of(numbers)).items()}
        records = await self.store.records(numbers)
        emitted = await self._count_outputs(numbers)
        held = await self.mailbox.hold(set(digests.values()))
        try:
            tickets = []
            for row in rows:
                ticket = RunTicket(row, self.mailbox.keys[digests[row.key]], has_history=True)
                ticket.records = records.get(row.run, [])
                ticket.emitted = emitted.get(row.run, 0)
                self.admission.tickets[row.run] = ticket
                tickets.append(ticket)
            # Not before all are known: runs that go on may wait for each other's outputs.
            for count, ticket in enumerate(tickets, 1):
                row = ticket.row
                if row.due and row.place == row.run:  # it has not got its place in the queue yet
                    self.resting.delay(ticket)
                else:
                    self.mailbox.enqueue(ticket)
                if count % RECOVERED_PER_TURN == 0:
                    await asyncio.sleep(0)
        finally:
            self.mailbox.let_go(held)

    def _look_for_lost_runs(self) -> None:
        """An admission may have been written though it failed: such runs are taken up."""
        if not self._closing and not self._looking:
            self._looking = True
            self._spawn(self._take_up_lost_runs())

    async def _take_up_lost_runs(self) -> None:
        rows = await self._once_it_answers(self.store.unfinished)
        self._looking = False
        await self._recover(rows)

    async def _count_outputs(self, numbers: list[int]) -> dict[int, int]:
        counts: dict[int, int] = {}
        for output in await self.store.outputs(numbers):
            counts[output.run] = max(output.number, counts.get(output.run, 0))
        return counts

    def _begin(self, ticket: RunTicket) -> None:
        """The mailbox says that a run may execute."""
        if self._closing:
            return
        if not ticket.has_history:
            self._execute(ticket, RunExecution(ticket, self.services, new_state(ticket.key.memory)))
        elif ticket.records is None:
            self._spawn(self._reload(ticket, 0.0))
        else:
            records, ticket.records = ticket.records, None
            self._resume(ticket, records)

    def _resume(self, ticket: RunTicket, records: list[Record]) -> None:
        try:
            state = recover(records, ticket.key.memory, self.plan, ticket.id)
        except (StoreError, DecodeError) as error:
            self.stop(error)
            return
        self._execute(ticket, RunExecution(ticket, self.services, state))

    def _execute(self, ticket: RunTicket, execution: RunExecution) -> None:
        ticket.has_history = True
        self._executions[ticket.row.run] = execution
        execution.start()

    # What runs tell the job

    def _emit(self, ticket: RunTicket, number: int, output: Output) -> None:
        ticket.emitted = number
        for listener in self.listeners:
            listener.on_output(ticket, number, output)

    def _finish(self, ticket: RunTicket, memory: Cells | None) -> None:
        self._executions.pop(ticket.row.run, None)
        counters = self.services.counters
        if ticket.status is RunStatus.COMPLETED:
            counters.completed += 1
        elif ticket.status is RunStatus.FAILED:
            counters.failed += 1
        else:
            counters.cancelled += 1
        self.admission.finished(ticket)
        self.mailbox.release(ticket, memory)
        for listener in self.listeners:
            listener.on_finished(ticket)
        if ticket.finished is not None and not ticket.finished.done():
            ticket.finished.set_result(None)

    def _rests(self, ticket: RunTicket) -> None:
        execution = self._executions[ticket.row.run]
        self.resting.begin(ticket, execution.wake_up, must_leave=execution.holds_lane)

    def _tell_resting(self, ticket: RunTicket) -> None:
        for listener in self.listeners:
            listener.on_resting(ticket)

    def _take_out(self, ticket: RunTicket) -> None:
        """Drop a run that rests; its journal brings it back."""
        ticket.records = None
        self._executions.pop(ticket.row.run).drop()

    async def outputs_of(self, run: int) -> list[Output]:
        """Return a run's outputs when it has come to its end.

        Raises:
            BaseException: what made it fail.
            RunCancelledError: it was cancelled.
        """
        ticket = self.admission.tickets.get(run)
        if ticket is not None:
            await asyncio.shield(ticket.wait_finished())
        row = (await self.store.runs([run]))[run]
        error = self._error_of(row)
        if error is not None:
            raise error
        return [self.output(stored) for stored in await self.store.outputs([run])]

    def output(self, stored: StoredOutput) -> Output:
        """Return a stored output as users see it."""
        decode = self.codec.decode
        return Output(decode(stored.value), decode(stored.key), run_id(stored.run), stored.id)

    async def _outputs_by_id(self, id_: str) -> list[Output]:
        return await self.outputs_of(run_number(self.job_number, id_))

    def _error_of(self, row: RunRow) -> BaseException | None:
        if row.error is not None:
            return decode_failure(self.codec, row.error)
        if STATUS_BY_NUMBER[row.status] is RunStatus.CANCELLED:
            return run_cancelled(run_id(row.run))
        return None

    def _retry_later(self, ticket: RunTicket) -> None:
        self._executions.pop(ticket.row.run, None)
        interval = self.config.get(AgentExecutionOptions.RETRY_WAIT_INTERVAL)
        self._spawn(self._reload(ticket, interval))

    # A store that failed (G25)

    def _restart(self, ticket: RunTicket, error: StoreError) -> None:
        """A run's record could not be written: go on from the journal once the store answers."""
        self._executions.pop(ticket.row.run, None)
        if not self._closing:
            logger.error("run %s: %s; it goes on when the store answers", ticket.id, error)
            self._spawn(self._reload(ticket, BACKOFF_SECONDS[0]))

    async def _reload(self, ticket: RunTicket, delay: float) -> None:
        """Read a run back from the journal and resume it; try until the store answers."""
        await asyncio.sleep(delay)
        number = ticket.row.run

        async def read() -> tuple[RunRow, list[Record], list[StoredOutput]]:
            row = (await self.store.runs([number]))[number]
            records = (await self.store.records([number])).get(number, [])
            return row, records, await self.store.outputs([number])

        row, records, outputs = await self._once_it_answers(read)
        if self.admission.tickets.get(number) is not ticket:
            return  # it was cancelled meanwhile
        self._emit_missed(ticket, outputs)
        ticket.row = row
        if row.status >= STATUS_NUMBERS[RunStatus.COMPLETED]:
            await self._finish_from_store(ticket, row)
        elif self.mailbox.is_first(ticket):
            self._resume(ticket, records)

    async def _once_it_answers(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return what `read` gives once the store reads and writes again."""

        async def work() -> T:
            found = await read()
            # A store that reads is up: writing is what has to work again.
            await self.commits.write([])
            return found

        return await until_store_answers(work, "the store does not answer")

    def _emit_missed(self, ticket: RunTicket, outputs: list[StoredOutput]) -> None:
        """Tell listeners of outputs whose commit looked failed but was not."""
        for output in outputs:
            if output.number > ticket.emitted:
                value = self.codec.decode(output.value)
                told = Output(
                    value=value, key=ticket.key.value, run_id=ticket.id, id=output.id
                )  # fmt: skip
                self._emit(ticket, output.number, told)

    async def _finish_from_store(self, ticket: RunTicket, row: RunRow) -> None:
        ticket.status = STATUS_BY_NUMBER[row.status]
        ticket.error = self._error_of(row)
        state = (await self.store.keys_of([row.run]))[row.key]
        self._finish(ticket, Key(state.row, None, state).memory)
