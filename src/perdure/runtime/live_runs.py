"""LiveRuns: the runs of an open job in this process, from their admission to their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from perdure.codec.failure import decode_failure
from perdure.config.configuration import AgentExecutionOptions
from perdure.errors import DecodeError, StoreError, StoreFormatError
from perdure.executor.running import later_task
from perdure.journal.record import Record, StoredPayload
from perdure.log_lines import place_fields
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
from perdure.runtime.backlog import Backlog
from perdure.runtime.listener import JobListener
from perdure.runtime.outbox import Outbox
from perdure.runtime.resting_runs import RestingRuns
from perdure.runtime.run.damage import check_journal, damaged_run
from perdure.runtime.run.execution import RunExecution
from perdure.runtime.run.recovery import recover
from perdure.runtime.run.state import Cells, new_state
from perdure.runtime.shared.admission import Admission, Admitted
from perdure.runtime.shared.backoff import BACKOFF_SECONDS, until_store_answers
from perdure.runtime.shared.collector import Collector
from perdure.runtime.shared.inputs import NewInput
from perdure.runtime.shared.kept_outputs import OutputKeeper
from perdure.runtime.shared.mailbox import Key, KeyedMailbox, RunTicket
from perdure.runtime.shared.numbers import Numbers
from perdure.runtime.shared.services import JobServices
from perdure.runtime.shared.supervisor import RunSupervisor
from perdure.runtime.stored_runs import StoredRuns
from perdure.store.base import ActionStateStore, RunRow, StoredOutput
from perdure.store.damage import damaged

logger = printable_logger("perdure")
T = TypeVar("T")


class LiveRuns:
    """The runs of a job that are not finished, and what supervises them: a `RunSupervisor`.

    Owns: admission, the mailbox, the runs in memory and at rest, the tasks beside them. Lifecycle:
    made when the job has been taken; `take_up` recovers, `stop_all` and `drop_all` end it. On the
    host loop.

    Args:
        store: where the journal is.
        job: the job's number.
        numbers: those of the job's runs and keys.
        listeners: told about outputs, rests and ends of runs.
        stop: asks the engine to stop the job.
        collector: told of the runs in flight.
        make_services: makes the parts that runs work with.
    """

    def __init__(
        self,
        store: ActionStateStore,
        job: int,
        numbers: Numbers,
        listeners: Sequence[JobListener],
        stop: Callable[[BaseException], None],
        collector: Collector,
        make_services: Callable[[RunSupervisor], JobServices],
    ) -> None:
        self._store = store
        self._job = job
        self.numbers = numbers
        self._listeners = listeners
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._looking = False
        self._stopping = False
        self._reloading: set[int] = set()
        self._restarting: set[int] = set()  # of these, those that were at work
        self._leaves_resting = False
        self._drained: asyncio.Future[None] | None = None
        self.executions: dict[int, RunExecution] = {}
        self.catch_up: Callable[[int], Awaitable[None]]
        self.services = make_services(self)
        self._codec, self._commits = self.services.codec, self.services.commits
        self.keeper = OutputKeeper(self._codec)
        self.outbox = Outbox(store, self._commits, self._codec, job)
        self.mailbox = KeyedMailbox(
            self._begin, store.keys, self._key_value, lambda ticket: self.backlog.takes(ticket),
            numbers.shard_of,
        )  # fmt: skip
        config = self.services.config
        limit = config.get(AgentExecutionOptions.MAX_RUNS_IN_FLIGHT)
        self.admission = self._new_admission(limit, collector)
        self.resting = RestingRuns(
            self.admission,
            self.mailbox,
            self._commits,
            self.services.timers,
            self.services.later,
            self.services.now,
            self.spawn,
            limit=limit,
            take_out=self._take_out,
            bring_back=lambda ticket: self._reload(ticket, 0.0),
            go_on=self.go_on,
            told=self._tell_resting,
        )
        self.backlog = self._new_backlog()
        self.admission.queues(self.backlog)
        self.stored = StoredRuns(
            store, self.admission, self.mailbox, self.backlog, self.resting, self.go_on
        )

    def _new_admission(self, limit: int, collector: Collector) -> Admission:
        return Admission(
            self._job,
            self.numbers,
            self._store,
            self._commits,
            self._codec,
            self.mailbox,
            adopt=lambda rows: self.stored.take_up(rows),
            delay=lambda ticket: self.resting.delay(ticket),
            doubt=self._look_for_lost_runs,
            limit=limit,
            now=self.services.now,
            collector=collector,
        )

    def _new_backlog(self) -> Backlog:
        return Backlog(
            self.admission,
            self._store,
            limit=self.services.config.get(AgentExecutionOptions.MAX_RUNS_QUEUED),
            load=lambda key, rows: self.stored.from_shelf(key, rows),
            emptied=self._shelf_is_empty,
            insist=lambda work: self.spawn(
                until_store_answers(self._commits, work, "queued runs cannot be read back")
            ),
        )

    def stop_all(self) -> None:
        """Start nothing more: the job closes. What is under way is no crash."""
        self._closing = True
        self.admission.close()
        for task in list(self._tasks):
            task.cancel()
        self.services.stop()
        for execution in self.executions.values():
            execution.process_ends()

    def drop_all(self) -> None:
        """Stop all runs where they are and write nothing more of them."""
        for execution in list(self.executions.values()):
            execution.drop()

    def drop(self, ticket: RunTicket) -> None:
        """Forget a run, where it is: it goes on from the store, perhaps in another process."""
        if (execution := self.executions.pop(ticket.number, None)) is not None:
            execution.drop()
        self.resting.drop(ticket)
        self.backlog.leaves(ticket)
        self.admission.finished(ticket)

    async def payload(self, left: StoredPayload) -> bytes:
        """Return a payload that recovery has left in the store."""
        return await self._store.payload(left)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the runs, until the job closes; what it raises stops the job."""
        task = later_task(asyncio.get_running_loop(), work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if self._closing:
            task.cancel()
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
        """Let runs that rest or are queued stay in the store: `drain` does not wait for them.

        A queued run begins from now on only if one that is in flight waits for its outputs.
        """
        self._leaves_resting = True
        self.admission.drains()
        self._tell_if_drained()

    def begin_nothing(self) -> None:
        """Let no queued run begin any more: the job is about to close."""
        self._stopping = True

    def _is_drained(self) -> bool:
        """Say whether all runs have ended but those that are due later, which always stay."""
        if self._leaves_resting:
            at_work = len(self.executions) - self.resting.in_memory
            return not (at_work or self._restarting)
        return len(self.admission.tickets) == self.resting.delayed and not self.backlog.on_shelves

    def _tell_if_drained(self) -> None:
        if self._drained is not None and self._is_drained():
            self._drained.set_result(None)
            self._drained = None

    # Recovery

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
        async def read() -> None:
            self._looking = False  # what fails from here on is another doubt
            await self.stored.look()

        await self._once_it_answers(read)

    def _begin(self, ticket: RunTicket) -> None:
        """The mailbox says that a run may execute."""
        if self._closing or self._stopping or ticket.is_held:
            return
        if self._leaves_resting and not self._is_wanted(ticket):
            return
        self.backlog.leaves(ticket)
        if ticket.key.shelf is not None:
            self.backlog.refill(ticket.key)
        if not ticket.has_history:
            self._execute(ticket, RunExecution(ticket, self.services, new_state(ticket.key.memory)))
        elif ticket.records is None:
            self._reload(ticket, 0.0)
        else:
            records, ticket.records = ticket.records, None
            self._resume(ticket, records)

    def _is_wanted(self, ticket: RunTicket) -> bool:
        """Say whether a queued run may begin: once the job drains, only for one that needs it."""
        return not self._leaves_resting or any(t.is_awaited for t in ticket.key.queue)

    def go_on(self, ticket: RunTicket) -> None:
        """Begin a run that was held, if it is its turn and nothing else begins it."""
        number = ticket.number
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
        self.executions.pop(ticket.number, None)
        self.spawn(self._name_damage(ticket, error))

    async def _name_damage(self, ticket: RunTicket, error: Exception) -> None:
        number = ticket.number
        records = (await self._store.records([number])).get(number, [])
        raise damaged_run(self._store.url, self._codec, ticket, records, error)

    def _execute(self, ticket: RunTicket, execution: RunExecution) -> None:
        ticket.has_history = True
        self.executions[ticket.number] = execution
        execution.start()

    # What runs tell

    def emit(self, ticket: RunTicket, number: int, output: Output, data: bytes) -> None:
        """Tell listeners of an output that is durable."""
        ticket.emitted = number
        if ticket.kept is not None and (kept := ticket.kept()) is not None:
            kept.add(output.id, data)
        for listener in self._listeners:
            listener.on_output(ticket, number, output)

    def finish(self, ticket: RunTicket, memory: Cells | None) -> None:
        """Take out a run that has ended; the next of its key begins."""
        self.executions.pop(ticket.number, None)
        counters = self.services.counters
        if ticket.status is RunStatus.COMPLETED:
            counters.completed += 1
        elif ticket.status is RunStatus.FAILED:
            counters.failed += 1
        else:
            counters.cancelled += 1
        self.backlog.leaves(ticket)
        self.admission.finished(ticket)
        self.mailbox.release(ticket, memory)
        if ticket.key.shelf is not None and not self._leaves_resting:
            self.backlog.refill(ticket.key)
        for listener in self._listeners:
            listener.on_finished(ticket)
        ticket.tell_waiters()
        if self._drained is not None:
            self._tell_if_drained()

    def rests(self, ticket: RunTicket) -> None:
        """Let a run rest; it may leave memory."""
        execution = self.executions[ticket.number]
        self.resting.begin(ticket, execution.wake_up, must_leave=execution.holds_lane)
        self.backlog.first_waits(ticket.key)

    def goes_on(self, ticket: RunTicket, *, dropped: bool = False) -> None:
        """Let a run that rested go on, or forget that it did."""
        self.resting.end(ticket, dropped=dropped)
        self.admission.look_again()

    def _tell_resting(self, ticket: RunTicket) -> None:
        for listener in self._listeners:
            listener.on_resting(ticket)
        self._tell_if_drained()

    def _take_out(self, ticket: RunTicket) -> None:
        """Drop a run that rests; its journal brings it back."""
        ticket.records = None
        self.executions.pop(ticket.number).drop()

    def _shelf_is_empty(self, key: Key) -> None:
        """All runs of a key are in memory, and may even have ended."""
        self.mailbox.forget_if_idle(key)
        self._tell_if_drained()

    def retry_later(self, ticket: RunTicket) -> None:
        """Begin a run again that was put back."""
        self.executions.pop(ticket.number, None)
        self._tell_if_drained()
        interval = self.services.config.get(AgentExecutionOptions.RETRY_WAIT_INTERVAL)
        self._reload(ticket, interval)

    # What runs ask for

    def submit(self, item: NewInput) -> asyncio.Future[Admitted]:
        """Admit an input; the future is done when its run is durable."""
        return self.admission.submit(item)

    async def signals_until_now(self, ticket: RunTicket) -> None:
        """Return when a run has got all signals that are durable now."""
        await self.catch_up(ticket.number)

    async def outputs(self, run: str) -> list[Output]:
        """Return a run's outputs when it has come to its end, by its id, to a run in flight."""
        number = run_number(self._job, run)
        ticket = self.admission.tickets.get(number)
        if ticket is not None and not ticket.is_awaited:
            ticket.is_awaited = True
            if self._leaves_resting and ticket.key.queue:
                self.go_on(ticket.key.queue[0])
        return await self.outputs_of(number)

    async def find(self, run: int) -> RunTicket | None:
        """Return the ticket of a run that is not finished, wherever it is queued."""
        ticket = self.admission.tickets.get(run)
        if ticket is None:
            ticket = next(iter(await self.backlog.find([run])), None)
        return ticket

    async def outputs_of(self, run: int) -> list[Output]:
        """Do what `outputs` does, by the run's number."""
        ticket = await self.find(run)
        if ticket is not None:
            kept = ticket.keep_outputs(self.keeper)
            ended = ticket.new_waiter()
            try:
                await ended
            finally:
                ticket.forget(ended)
            if (outputs := ticket.outputs_in(kept)) is not None:
                return outputs
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
        status = STATUS_BY_NUMBER[row.status]
        if row.error is not None or status is RunStatus.FAILED:  # which has one
            try:
                return decode_failure(self._codec, row.error or b"")
            except DecodeError as error:
                place = f"table run, run {run_id(row.run)}, error"
                raise damaged(self._store.url, place, error) from error
        return run_cancelled(run_id(row.run)) if status is RunStatus.CANCELLED else None

    # A store that failed (G25)

    def restart(self, ticket: RunTicket, error: StoreError) -> None:
        """A run's record could not be written: go on from the journal once the store answers."""
        self.executions.pop(ticket.number, None)
        if error.is_final or isinstance(error, StoreFormatError):
            self.stop(error)  # it would be so again
        elif not self._closing:
            fields = place_fields(self.services.job, ticket.id, ticket.key.value)
            said = "run %s: %s; it goes on when the store answers"
            logger.error(said, ticket.id, error, extra=fields)
            self._restarting.add(ticket.number)
            self._reload(ticket, BACKOFF_SECONDS[0])

    def _reload(self, ticket: RunTicket, delay: float) -> asyncio.Task[None]:
        """Read a run back from the journal and resume it; try until the store answers."""
        self._reloading.add(ticket.number)
        return self.spawn(self._reloaded(ticket, delay))

    async def _reloaded(self, ticket: RunTicket, delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            await self._read_back(ticket)
        finally:
            self._reloading.discard(ticket.number)
            self._restarting.discard(ticket.number)
            self._tell_if_drained()

    async def _read_back(self, ticket: RunTicket) -> None:
        number = ticket.number
        if self.admission.tickets.get(number) is not ticket:
            return  # it is not in this process any more

        async def read() -> tuple[RunRow, list[Record], list[StoredOutput]]:
            row = await self.row(number)
            records = (await self._store.records([number])).get(number, [])
            return row, records, await self._store.outputs([number])

        row, records, outputs = await self._once_it_answers(read)
        if self.admission.tickets.get(number) is not ticket:
            return  # it was cancelled meanwhile
        self._emit_missed(ticket, outputs)
        ticket.row, ticket.are_waits_stored = row, False
        if row.status >= STATUS_NUMBERS[RunStatus.COMPLETED]:
            await self._finish_from_store(ticket, row)
        elif self.mailbox.is_first(ticket) and not ticket.is_held:
            if ticket.status is not RunStatus.QUEUED or self._is_wanted(ticket):
                self._resume(ticket, records)

    async def _once_it_answers(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return what `read` gives once the store reads and writes again."""
        return await until_store_answers(self._commits, read, "the store does not answer")

    def _emit_missed(self, ticket: RunTicket, outputs: list[StoredOutput]) -> None:
        """Tell listeners of outputs whose commit looked failed but was not."""
        for output in outputs:
            if output.number > ticket.emitted:
                self.emit(ticket, *self.outbox.decoded(output)[1:], output.value)

    async def _finish_from_store(self, ticket: RunTicket, row: RunRow) -> None:
        ticket.status = STATUS_BY_NUMBER[row.status]
        ticket.error = self._error_of(row)
        state = (await self._store.keys_of([row.run]))[row.key]
        self.finish(ticket, Key(state.row, None, state).memory)
