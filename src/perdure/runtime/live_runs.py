"""LiveRuns: the runs of an open job in this process, from their admission to their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from perdure.codec.failure import decode_failure
from perdure.config.configuration import AgentExecutionOptions
from perdure.errors import DecodeError, StoreError, StoreFormatError
from perdure.executor.running import later_task
from perdure.journal.record import Record
from perdure.printable import printable_logger
from perdure.run import (
    STATUS_BY_NUMBER,
    STATUS_NUMBERS,
    Output,
    RunStatus,
    run_cancelled,
    run_id,
    run_number,
)
from perdure.runtime.listener import JobListener
from perdure.runtime.outbox import Outbox
from perdure.runtime.resting_runs import RestingRuns
from perdure.runtime.run.damage import check_journal, damaged_run
from perdure.runtime.run.execution import RunExecution
from perdure.runtime.run.recovery import recover
from perdure.runtime.run.state import Cells, new_state
from perdure.runtime.shared.admission import Admission, Admitted, NewInput
from perdure.runtime.shared.backoff import BACKOFF_SECONDS, until_store_answers
from perdure.runtime.shared.collector import Collector
from perdure.runtime.shared.mailbox import Key, KeyedMailbox, RunTicket
from perdure.runtime.shared.numbers import Numbers
from perdure.runtime.shared.services import JobServices
from perdure.runtime.shared.supervisor import RunSupervisor
from perdure.store.base import ActionStateStore, JobInfo, RunRow, StoredOutput
from perdure.store.damage import damaged

logger = printable_logger("perdure")
T = TypeVar("T")

RECOVERED_PER_TURN = 64


class LiveRuns:
    """The runs of a job that are not finished, and what supervises them: a `RunSupervisor`.

    Owns: admission, the mailbox, the runs in memory and at rest, the tasks beside them. Lifecycle:
    made when the job has been taken; `take_up` recovers, `stop_all` and `drop_all` end it. On the
    host loop.

    Args:
        store: where the journal is.
        info: what the store says of the job.
        listeners: told about outputs, rests and ends of runs.
        stop: asks the engine to stop the job.
        collector: told of the runs in flight.
        make_services: makes the parts that runs work with.
    """

    def __init__(
        self,
        store: ActionStateStore,
        info: JobInfo,
        listeners: Sequence[JobListener],
        stop: Callable[[BaseException], None],
        collector: Collector,
        make_services: Callable[[RunSupervisor], JobServices],
    ) -> None:
        self._store = store
        self._job = info.job
        self._listeners = listeners
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._recovering = asyncio.Lock()
        self._looking = False
        self._reloading: set[int] = set()
        self._leaves_resting = False
        self._drained: asyncio.Future[None] | None = None
        self.executions: dict[int, RunExecution] = {}
        self.services = make_services(self)
        self._codec, self._commits = self.services.codec, self.services.commits
        self.outbox = Outbox(store, self._commits, self._codec, info.job)
        self.mailbox = KeyedMailbox(self._begin, store.keys, self._key_value)
        limit = self.services.config.get(AgentExecutionOptions.MAX_RUNS_IN_FLIGHT)
        self.admission = Admission(
            info.job,
            Numbers.of_job(info),
            store,
            self._commits,
            self._codec,
            self.mailbox,
            adopt=self.recover,
            delay=lambda ticket: self.resting.delay(ticket),
            doubt=self._look_for_lost_runs,
            limit=limit,
            now=self.services.now,
            collector=collector,
        )
        self.resting = RestingRuns(
            self.admission,
            self.mailbox,
            self._commits,
            self.services.timers,
            self.services.now,
            self.spawn,
            limit=limit,
            take_out=self._take_out,
            bring_back=lambda ticket: self.spawn(self._reload(ticket, 0.0)),
            told=self._tell_resting,
        )

    def stop_all(self) -> None:
        """Start nothing more: the job closes. What is under way is no crash."""
        self._closing = True
        self.admission.close()
        for task in list(self._tasks):
            task.cancel()
        self.services.timers.close()
        self.services.spans.close()
        for execution in self.executions.values():
            execution.process_ends()

    def drop_all(self) -> None:
        """Stop all runs where they are and write nothing more of them."""
        for execution in list(self.executions.values()):
            execution.drop()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the runs, until the job closes; what it raises stops the job."""
        task = later_task(asyncio.get_running_loop(), work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stop(error)

    def stop(self, error: BaseException) -> None:
        """Ask the engine to stop the job and to raise `error`."""
        self._stop(error)

    # Draining

    async def drain(self) -> None:
        """Return when no run is in flight or at rest, but for those that are to stay."""
        while not self._is_drained():
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def leave_resting(self) -> None:
        """Let runs that rest stay in the store: `drain` waits for them no longer."""
        self._leaves_resting = True
        self._tell_if_drained()

    def _is_drained(self) -> bool:
        """Say whether all runs have ended but those that are due later, which always stay."""
        if self._leaves_resting:
            return not self.admission.in_flight
        return len(self.admission.tickets) == self.resting.delayed

    def _tell_if_drained(self) -> None:
        if self._drained is not None and self._is_drained():
            self._drained.set_result(None)
            self._drained = None

    # Recovery

    async def recover(self, rows: list[RunRow]) -> None:
        """Put unfinished runs back into their keys' queues, with their journals."""
        async with self._recovering:
            # Read again: another way may have taken a run up, and even finished it, meanwhile.
            found = await self._store.runs([row.run for row in rows])
            await self.take_up(sorted(found.values(), key=lambda row: row.place))

    async def take_up(self, rows: list[RunRow]) -> None:
        """Do what `recover` does with rows as they are in the store now."""
        rows = [
            row
            for row in rows
            if row.run not in self.admission.tickets and not STATUS_BY_NUMBER[row.status].is_final
        ]
        numbers = [row.run for row in rows]
        digests = {k: state.row.digest for k, state in (await self._store.keys_of(numbers)).items()}
        records = await self._store.records(numbers)
        emitted = await self._count_outputs(numbers)
        held = await self.mailbox.hold(set(digests.values()))
        try:
            tickets = []
            for row in rows:
                if row.key not in digests:
                    place = f"table key, the key {row.key} of run {run_id(row.run)}"
                    raise damaged(self._store.url, place, "the row is missing")
                ticket = RunTicket(row, self.mailbox.keys[digests[row.key]], has_history=True)
                ticket.records = records.get(row.run, [])
                ticket.emitted = emitted.get(row.run, 0)
                self.admission.tickets[row.run] = ticket
                tickets.append(ticket)
            # Not before all are known: runs that go on may wait for each other's outputs.
            for count, ticket in enumerate(tickets, 1):
                if ticket.is_delayed:
                    self.resting.delay(ticket)
                else:
                    self.mailbox.enqueue(ticket)
                if count % RECOVERED_PER_TURN == 0:
                    await asyncio.sleep(0)
        finally:
            self.mailbox.let_go(held)

    def _key_value(self, data: bytes) -> Any:
        try:
            return self._codec.decode(data)
        except DecodeError as error:
            if error.is_damage:
                raise damaged(self._store.url, "table key, the value of a key", error) from error
            raise

    def _look_for_lost_runs(self) -> None:
        """An admission may have been written though it failed: such runs are taken up."""
        if not self._closing and not self._looking:
            self._looking = True
            self.spawn(self._take_up_lost_runs())

    async def _take_up_lost_runs(self) -> None:
        rows = await self._once_it_answers(self._store.unfinished)
        self._looking = False
        await self.recover(rows)

    async def _count_outputs(self, numbers: list[int]) -> dict[int, int]:
        counts: dict[int, int] = {}
        for output in await self._store.outputs(numbers):
            counts[output.run] = max(output.number, counts.get(output.run, 0))
        return counts

    def _begin(self, ticket: RunTicket) -> None:
        """The mailbox says that a run may execute."""
        if self._closing or ticket.is_held:
            return
        if not ticket.has_history:
            self._execute(ticket, RunExecution(ticket, self.services, new_state(ticket.key.memory)))
        elif ticket.records is None:
            self.spawn(self._reload(ticket, 0.0))
        else:
            records, ticket.records = ticket.records, None
            self._resume(ticket, records)

    def go_on(self, ticket: RunTicket) -> None:
        """Begin a run that was held, if it is its turn and nothing else begins it."""
        number = ticket.row.run
        if self.mailbox.is_first(ticket) and number not in self._reloading | self.executions.keys():
            self._begin(ticket)

    def _resume(self, ticket: RunTicket, records: list[Record]) -> None:
        try:
            check_journal(self._store.url, ticket, records)
            state = recover(records, ticket.key.memory, self.services.plan, ticket.id)
            execution = RunExecution(ticket, self.services, state)
        except StoreError as error:
            self.stop(error)
        except Exception as error:  # whatever it trips over was not written so
            self.stop(damaged_run(self._store.url, self._codec, ticket, records, error))
        else:
            self._execute(ticket, execution)

    def damaged(self, ticket: RunTicket, error: Exception) -> None:
        """What the store has of a run is damaged: the job stops. The run has dropped everything."""
        self.executions.pop(ticket.row.run, None)
        self.spawn(self._name_damage(ticket, error))

    async def _name_damage(self, ticket: RunTicket, error: Exception) -> None:
        number = ticket.row.run
        records = (await self._store.records([number])).get(number, [])
        raise damaged_run(self._store.url, self._codec, ticket, records, error)

    def _execute(self, ticket: RunTicket, execution: RunExecution) -> None:
        ticket.has_history = True
        self.executions[ticket.row.run] = execution
        execution.start()

    # What runs tell

    def emit(self, ticket: RunTicket, number: int, output: Output) -> None:
        """Tell listeners of an output that is durable."""
        ticket.emitted = number
        for listener in self._listeners:
            listener.on_output(ticket, number, output)

    def finish(self, ticket: RunTicket, memory: Cells | None) -> None:
        """Take out a run that has ended; the next of its key begins."""
        self.executions.pop(ticket.row.run, None)
        counters = self.services.counters
        if ticket.status is RunStatus.COMPLETED:
            counters.completed += 1
        elif ticket.status is RunStatus.FAILED:
            counters.failed += 1
        else:
            counters.cancelled += 1
        self.admission.finished(ticket)
        self.mailbox.release(ticket, memory)
        for listener in self._listeners:
            listener.on_finished(ticket)
        if ticket.finished is not None and not ticket.finished.done():
            ticket.finished.set_result(None)
        self._tell_if_drained()

    def rests(self, ticket: RunTicket) -> None:
        """Let a run rest; it may leave memory."""
        execution = self.executions[ticket.row.run]
        self.resting.begin(ticket, execution.wake_up, must_leave=execution.holds_lane)

    def goes_on(self, ticket: RunTicket, *, dropped: bool = False) -> None:
        """Let a run that rested go on, or forget that it did."""
        self.resting.end(ticket, dropped=dropped)

    def _tell_resting(self, ticket: RunTicket) -> None:
        for listener in self._listeners:
            listener.on_resting(ticket)
        self._tell_if_drained()

    def _take_out(self, ticket: RunTicket) -> None:
        """Drop a run that rests; its journal brings it back."""
        ticket.records = None
        self.executions.pop(ticket.row.run).drop()

    def retry_later(self, ticket: RunTicket) -> None:
        """Begin a run again that was put back."""
        self.executions.pop(ticket.row.run, None)
        interval = self.services.config.get(AgentExecutionOptions.RETRY_WAIT_INTERVAL)
        self.spawn(self._reload(ticket, interval))

    # What runs ask for

    def submit(self, item: NewInput) -> asyncio.Future[Admitted]:
        """Admit an input; the future is done when its run is durable."""
        return self.admission.submit(item)

    async def outputs(self, run: str) -> list[Output]:
        """Return a run's outputs when it has come to its end, by its id."""
        return await self.outputs_of(run_number(self._job, run))

    async def outputs_of(self, run: int) -> list[Output]:
        """Do what `outputs` does, by the run's number."""
        ticket = self.admission.tickets.get(run)
        if ticket is not None:
            await asyncio.shield(ticket.wait_finished())
        error = self._error_of(await self.row(run))
        if error is not None:
            raise error
        return [self.outbox.decoded(stored)[2] for stored in await self._store.outputs([run])]

    async def row(self, run: int) -> RunRow:
        """Return the row of a run that was admitted.

        Raises:
            StoreFormatError: the store is damaged: it does not have it.
        """
        row = (await self._store.runs([run])).get(run)
        if row is None:
            raise damaged(self._store.url, f"table run, run {run_id(run)}", "the row is missing")
        return row

    def _error_of(self, row: RunRow) -> BaseException | None:
        if row.error is not None:
            try:
                return decode_failure(self._codec, row.error)
            except DecodeError as error:
                place = f"table run, run {run_id(row.run)}, error"
                raise damaged(self._store.url, place, error) from error
        if STATUS_BY_NUMBER[row.status] is RunStatus.CANCELLED:
            return run_cancelled(run_id(row.run))
        return None

    # A store that failed (G25)

    def restart(self, ticket: RunTicket, error: StoreError) -> None:
        """A run's record could not be written: go on from the journal once the store answers."""
        self.executions.pop(ticket.row.run, None)
        if isinstance(error, StoreFormatError):
            self.stop(error)  # it would be so again
        elif not self._closing:
            logger.error("run %s: %s; it goes on when the store answers", ticket.id, error)
            self.spawn(self._reload(ticket, BACKOFF_SECONDS[0]))

    async def _reload(self, ticket: RunTicket, delay: float) -> None:
        """Read a run back from the journal and resume it; try until the store answers."""
        self._reloading.add(ticket.row.run)
        try:
            await asyncio.sleep(delay)
            await self._read_back(ticket)
        finally:
            self._reloading.discard(ticket.row.run)

    async def _read_back(self, ticket: RunTicket) -> None:
        number = ticket.row.run

        async def read() -> tuple[RunRow, list[Record], list[StoredOutput]]:
            row = await self.row(number)
            records = (await self._store.records([number])).get(number, [])
            return row, records, await self._store.outputs([number])

        row, records, outputs = await self._once_it_answers(read)
        if self.admission.tickets.get(number) is not ticket:
            return  # it was cancelled meanwhile
        self._emit_missed(ticket, outputs)
        ticket.row = row
        if row.status >= STATUS_NUMBERS[RunStatus.COMPLETED]:
            await self._finish_from_store(ticket, row)
        elif self.mailbox.is_first(ticket) and not ticket.is_held:
            self._resume(ticket, records)

    async def _once_it_answers(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return what `read` gives once the store reads and writes again."""
        return await until_store_answers(self._commits, read, "the store does not answer")

    def _emit_missed(self, ticket: RunTicket, outputs: list[StoredOutput]) -> None:
        """Tell listeners of outputs whose commit looked failed but was not."""
        for output in outputs:
            if output.number > ticket.emitted:
                self.emit(ticket, *self.outbox.decoded(output)[1:])

    async def _finish_from_store(self, ticket: RunTicket, row: RunRow) -> None:
        ticket.status = STATUS_BY_NUMBER[row.status]
        ticket.error = self._error_of(row)
        state = (await self._store.keys_of([row.run]))[row.key]
        self.finish(ticket, Key(state.row, None, state).memory)
