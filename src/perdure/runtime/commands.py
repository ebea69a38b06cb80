"""RunCommands: what people and programs ask of runs: cancel, retry, signal (G22)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

from perdure.codec.failure import encode_failure
from perdure.errors import (
    DecodeError,
    RunCancelledError,
    StoreDataError,
    StoreError,
    StoreFormatError,
)
from perdure.journal.record import Record, RecordKind, decode_signal
from perdure.log_lines import place_fields
from perdure.printable import printable_logger
from perdure.run import STATUS_BY_NUMBER, STATUS_NUMBERS, RunStatus, run_cancelled, run_id
from perdure.runtime.live_runs import LiveRuns
from perdure.runtime.run.recovery import cancellations, recover
from perdure.runtime.run.rows import memory_rows, retry_rows, status_row
from perdure.runtime.run.state import CANCELLED, Cells
from perdure.runtime.shared.backoff import until_store_answers
from perdure.runtime.shared.mailbox import RunTicket
from perdure.store.base import ActionStateStore, Command, CommandDoneRow, Row, RunRow
from perdure.store.damage import damaged

logger = printable_logger("perdure")

INBOX_SECONDS = 0.5  # how often the owner asks whether another process left a command
_UNSUCCESSFUL = (STATUS_NUMBERS[RunStatus.FAILED], STATUS_NUMBERS[RunStatus.CANCELLED])


class RunCommands:
    """Carries out commands, whether they come from this process or through the inbox.

    Lifecycle: made when the job opens; `watch` runs until the job closes. On the host loop.

    Args:
        store: where the inbox is.
        runs: those of the job.
    """

    def __init__(self, store: ActionStateStore, runs: LiveRuns) -> None:
        self._store = store
        self._runs = runs
        self._services = runs.services
        self._admission = runs.admission
        self._resting = runs.resting
        self._backlog = runs.backlog
        self._last_signal = 0
        # By run: the signals, and the cancellation, of which it is not known yet what became.
        self._sending: dict[int, dict[int, asyncio.Future[None]]] = {}  # and by their ids
        self._cancelling: dict[int, asyncio.Future[None]] = {}  # where it does not execute
        self._retrying: dict[int, asyncio.Future[bool]] = {}  # by run: whether it was put back
        self._inbox = asyncio.Lock()
        self._next_look: asyncio.Task[None] | None = None  # one that has not begun
        self._left: list[Command] = []  # read before runs began, and not carried out then
        runs.catch_up = self.caught_up
        runs.stored.before_beginning = self._cancel_first

    async def cancel(self, run: int, more: list[Row] | None = None, *, why: str = "") -> bool:
        """Ask a run to stop; False when it has ended, also in the meantime.

        Durable when this returns: the run stops now, or had its end before. True is never followed
        by a run that completes. `why` is kept in the error of one that had not begun.
        """
        rows: list[Row] = more or []
        await self._know(run)
        while True:
            if (other := self._cancelling.get(run)) is not None:
                await asyncio.wait([other])
                continue
            ticket = self._admission.tickets.get(run)
            if ticket is None:
                break
            back = self._resting.wake(ticket, stay=True)
            if back is not None:
                await asyncio.wait([back])
                continue
            execution = self._runs.executions.get(run)
            if execution is None:
                await self._cancel_queued(ticket, rows, why)
                return ticket.status is RunStatus.CANCELLED
            ticket.is_held = True  # if it is put back now, it does not begin again
            try:
                await execution.cancel(CANCELLED, rows)
            finally:
                ticket.is_held = False
            rows = []  # they are durable
            if ticket.status.is_final:  # by an end that was on its way before
                return ticket.status is RunStatus.CANCELLED
            if not execution.dropped:
                return True
        async with self._backlog.reading:
            # Meanwhile it may have been read back.
            if run not in self._admission.tickets and run not in self._cancelling:
                for ticket in await self._backlog.find([run]):
                    await self._cancel_queued(ticket, rows, why)
                    return ticket.status is RunStatus.CANCELLED
                return await self._nothing_to_do(rows)
        return await self.cancel(run, rows, why=why)

    async def _cancel_queued(
        self, ticket: RunTicket, rows: list[Row], why: str = "", memory: Cells | None = None
    ) -> None:
        """End a run that does not execute; it does not begin meanwhile.

        `memory` is that of its key, where what the run has written there is among `rows`.
        """
        run, told = ticket.number, run_cancelled(ticket.id, why)
        error = encode_failure(self._services.codec, told) if why else None
        at = self._services.now()
        end = status_row(ticket.row, RunStatus.CANCELLED, error=error, finished_at=at)
        was_delayed = self._resting.forget(ticket)  # or it might become due meanwhile
        ticket.is_held = True
        known = self._cancelling[run] = asyncio.get_running_loop().create_future()

        async def is_kept() -> bool:
            return STATUS_BY_NUMBER[(await self._runs.row(run)).status].is_final

        def written(kept: bool) -> None:
            del self._cancelling[run]
            known.set_result(None)
            if kept:
                self._cancelled(ticket, told, memory)
                return
            ticket.is_held = False
            if was_delayed:
                self._resting.delay(ticket)
            else:
                self._runs.go_on(ticket)

        await self._write([*rows, end], is_kept, written)

    def _cancelled(self, ticket: RunTicket, told: RunCancelledError, memory: Cells | None) -> None:
        is_shelved = self._backlog.shelf_of(ticket.row) is not None
        if is_shelved:
            self._backlog.ended(ticket)
        if is_shelved or ticket.number in self._admission.tickets:
            ticket.status = RunStatus.CANCELLED
            ticket.error = told
            self._runs.finish(ticket, memory)

    async def _write(
        self,
        rows: list[Row],
        is_kept: Callable[[], Awaitable[bool]],
        written: Callable[[bool], None],
    ) -> None:
        """Write the rows of a command; durable when this returns.

        A commit that fails may have been written all the same (G25), and whoever asked may wait no
        longer: what follows does so nevertheless, when it is known what became of them.

        Args:
            rows: what is written together or not at all.
            is_kept: reads from the store whether they are there; may be called several times.
            written: told whether they are durable, once, unless the job closes first.

        Raises:
            StoreError: they are not, or nobody knows yet.
        """
        told: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()

        def done(error: StoreError | None) -> None:
            if error is None or error.undone or isinstance(error, StoreDataError):
                written(error is None)
            else:
                self._runs.spawn(self._find_out(is_kept, written))
            if not told.done():
                told.set_result(error)

        self._services.commits.add(rows, done, waits=False)
        if (error := await told) is not None:
            raise error

    async def _find_out(
        self, is_kept: Callable[[], Awaitable[bool]], written: Callable[[bool], None]
    ) -> None:
        failing = "whether a command was written cannot be read"
        written(await until_store_answers(self._services.commits, is_kept, failing))

    async def _know(self, run: int) -> None:
        """Take up a run that is in the store though its admission looked failed (G25)."""
        if run in self._admission.tickets:
            return
        row = (await self._store.runs([run])).get(run)
        if row is None or STATUS_BY_NUMBER[row.status].is_final:
            return
        if self._backlog.shelf_of(row) is None and run not in self._admission.tickets:
            await self._runs.stored.look()  # with those before it in its key

    async def _nothing_to_do(self, rows: list[Row]) -> bool:
        if rows:
            await self._services.commits.write(rows)
        return False

    async def retry(self, run: int, more: list[Row] | None = None) -> bool:
        """Put a failed or cancelled run at the end of its key's queue; False when it is neither.

        Of several at a time one does it, and the others find it done.
        """
        rows: list[Row] = more or []
        while (other := self._retrying.get(run)) is not None:
            # One in flight is not waited for: what takes it up may be what asks this.
            if not (is_back := run in self._admission.tickets):
                await asyncio.wait([other])
            if is_back or other.result():
                return await self._nothing_to_do(rows)
        known = self._retrying[run] = asyncio.get_running_loop().create_future()

        def over(is_back: bool) -> None:
            del self._retrying[run]
            known.set_result(is_back)

        try:
            row = (await self._store.runs([run])).get(run)
        except BaseException:
            over(False)
            raise
        if row is None or row.status not in _UNSUCCESSFUL or run in self._admission.tickets:
            over(False)
            return await self._nothing_to_do(rows)
        row = row._replace(
            status=STATUS_NUMBERS[RunStatus.QUEUED], place=self._next_place(run),
            attempt=row.attempt + 1, error=None, finished_at=0,
        )  # fmt: skip
        await self._put_back(row, rows, over)
        return True

    async def _put_back(self, row: RunRow, more: list[Row], over: Callable[[bool], None]) -> None:
        """Write that a run is queued as `row` says, and take it up; `over` is told what became."""
        taking_up: list[asyncio.Task[None]] = []

        async def is_kept() -> bool:
            return (await self._runs.row(row.run)).attempt >= row.attempt

        def written(kept: bool) -> None:
            if not kept:
                over(False)
                return
            self._services.counters.retries += 1
            taking_up.append(self._runs.spawn(self._take_up(row)))
            taking_up[0].add_done_callback(lambda _: over(True))

        await self._write([*retry_rows(row, self._services.now()), *more], is_kept, written)
        await asyncio.wait(taking_up)

    def _next_place(self, run: int) -> int:
        return self._admission.next_number(self._runs.numbers.shard_of_run(run))

    async def _take_up(self, row: RunRow) -> None:
        take_up = functools.partial(self._runs.stored.take_up, [row])
        failing = "a run that is tried again cannot be read"
        await until_store_answers(self._services.commits, take_up, failing)

    async def signal(
        self, run: int, name: str, value: bytes, more: list[Row] | None = None, *, at: int = 0
    ) -> bool:
        """Send a signal to a run; False when it is not in flight. Durable when this returns.

        Args:
            run: the run's number.
            name: the signal's name.
            value: its encoded value.
            more: rows to commit with it.
            at: when it came, ns since the epoch; 0 for now.
        """
        rows: list[Row] = more or []
        await self._know(run)
        if run in self._admission.tickets:
            await self._send(run, name, value, rows, at)
            return True
        async with self._backlog.reading:
            # Meanwhile it may have been read back.
            if run not in self._admission.tickets and not await self._backlog.find([run]):
                return await self._nothing_to_do(rows)
            await self._send(run, name, value, rows, at)
            return True

    async def _send(self, run: int, name: str, value: bytes, rows: list[Row], at: int) -> None:
        signal = await self._new_signal(run, name, value, at)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sending = self._sending.setdefault(run, {})
        sending[signal.signal_id] = sent

        async def is_kept() -> bool:
            records = (await self._store.records([run])).get(run, ())
            kept = (record for record in records if record.kind == RecordKind.SIGNAL)
            return any(record.signal_id == signal.signal_id for record in kept)

        def written(kept: bool) -> None:
            if kept:
                self._deliver(signal)
            sent.set_result(None)
            del sending[signal.signal_id]
            if not sending:
                del self._sending[run]

        await self._write([signal, *rows], is_kept, written)

    def _deliver(self, signal: Record) -> None:
        """Let a run have a signal that is durable; it has it once, however often it is told."""
        ticket = self._admission.tickets.get(signal.run)
        if ticket is None:
            return  # it has ended, or has it in its journal when it is read back
        ticket.signals = [*(ticket.signals or ()), signal]
        execution = self._runs.executions.get(signal.run)
        if execution is not None:
            execution.signal(signal)
        else:
            self._resting.wake(ticket)  # it finds the signal in its journal

    async def _new_signal(self, run: int, name: str, value: bytes, at: int) -> Record:
        """Return the record of a signal. Its time identifies it in its run, so it must be new."""
        if at:
            records = (await self._store.records([run])).get(run, ())
            known = {r.signal_id for r in records if r.kind == RecordKind.SIGNAL}
            at = _beside(at, {*known, *self._sending.get(run, ())})
        else:
            at = max(self._last_signal + 1, self._services.now())
            self._last_signal = at = _beside(at, self._sending.get(run, ()))
        return Record.signal(run, name, value, at)

    # The inbox

    async def watch(self) -> None:
        """Carry out what other processes ask, until cancelled."""
        while True:
            await asyncio.sleep(INBOX_SECONDS)
            await self.empty_inbox()

    async def empty_inbox(self) -> None:
        """Carry out what the inbox holds."""
        async with self._logged():
            await self._look()

    async def caught_up(self, run: int) -> None:
        """Return when a run has got the signals that were durable, or being sent, at this call.

        One look into the inbox serves all who ask before it begins.
        """
        if self._next_look is None:
            self._next_look = self._runs.spawn(
                until_store_answers(
                    self._services.commits, self._begin_look, "commands cannot be read"
                )
            )
        await asyncio.shield(self._next_look)
        if sending := self._sending.get(run):
            await asyncio.wait(list(sending.values()))

    async def _begin_look(self) -> None:
        async with self._inbox:
            self._next_look = None  # who asks from here on needs another
            await self._carry_all_out()

    async def _look(self) -> None:
        async with self._inbox:
            await self._carry_all_out()

    async def _carry_all_out(self) -> None:
        numbers = self._runs.numbers
        found = await self._store.commands()
        left, self._left = self._left, []
        for command in left if found is None else found:
            if numbers.shard_of_run(command.run) in numbers.held:  # else another's, who holds it
                await self._carry_out(command)

    async def _cancel_first(self) -> None:
        """Cancel what is to be, before runs that were taken up begin: no timer of theirs is first.

        What was asked of such a run before that is carried out before it. What cannot be cancelled
        like that is when it has begun.
        """
        tickets = self._admission.tickets
        async with self._logged():
            if (found := await self._store.commands()) is not None:
                self._left = list(found)
            asked: dict[int, list[Command]] = {}
            for each in self._left:
                if each.run in tickets:
                    asked.setdefault(each.run, []).append(each)
            runs = [run for run, of in asked.items() if any(c.command == "cancel" for c in of)]
            # The last of a key first: where one is gone the next begins.
            for run in sorted(runs, key=lambda run: -tickets[run].row.place):
                await self._carry_out_first(asked[run])

    async def _carry_out_first(self, asked: Sequence[Command]) -> None:
        """Carry out what was asked of a run that was taken up, as far as its first cancellation."""
        for command in asked:
            if (ticket := self._admission.tickets.get(command.run)) is None:
                return  # gone with its shard: it would be looked for, behind what waits for this
            if command.command == "cancel":
                if await self._cancel_stored(command, ticket):
                    self._left.remove(command)
                return
            self._left.remove(command)  # not again, where it is not known to be written
            await self._carry_out(command)

    async def _cancel_stored(self, command: Command, ticket: RunTicket) -> bool:
        """Cancel a run that is in the store and has not begun here; False where that cannot be."""
        if ticket.records is None or command.run in self._runs.executions:
            return False
        asked = cancellations(ticket.records, command.run, self._services.now())
        if asked is None:
            return False
        done = CommandDoneRow(number=command.number)
        if not asked:
            # Nothing of it is at work: it leaves the memory of its completed actions.
            plan, key = self._services.plan, ticket.key
            try:
                state = recover(ticket.records, key.memory, plan, ticket.id, CANCELLED)
            except Exception:
                return False  # it is damaged: said as it begins
            rows = memory_rows(key.number, state.short_term, state.touched)
            memory = state.short_term if state.touched else None
            await self._cancel_queued(ticket, [*rows, done], memory=memory)
            return True
        records, ticket.records = ticket.records, None  # to be read anew, unless this is known
        await self._services.commits.write([*asked, done])
        ticket.records = [*records, *asked]
        return True

    @contextlib.asynccontextmanager
    async def _logged(self) -> AsyncIterator[None]:
        """Have what the store fails by inside be said, where it may answer another time."""
        try:
            yield
        except StoreFormatError:
            raise  # it would be so again
        except StoreError as error:
            logger.error("commands cannot be read: %s", error)

    async def _carry_out(self, command: Command) -> None:
        done: list[Row] = [CommandDoneRow(number=command.number)]
        run = command.run
        if command.command == "cancel":
            carried_out = await self.cancel(run, done)
        elif command.command == "retry":
            carried_out = await self.retry(run, done)
        elif command.command == "signal":
            try:
                signal = decode_signal(command.payload or b"")
            except DecodeError as error:
                place = f"table command, row {command.number}"
                why = f"cannot be read: {damaged(self._store.url, place, error)}"
                await self._pass_over(command, done, why)
                return
            carried_out = await self.signal(run, *signal, done, at=command.at)
        else:
            await self._pass_over(command, done, "is not known")
            return
        if not carried_out:
            fields = place_fields(self._services.job, run_id(run), None)
            logger.warning(
                "%s of run %s has nothing to do", command.command, run_id(run), extra=fields
            )

    async def _pass_over(self, command: Command, done: list[Row], why: str) -> None:
        id_ = run_id(command.run)
        logger.error(
            "the command %r of run %s is passed over: it %s",
            command.command, id_, why,
            extra=place_fields(self._services.job, id_, None),
        )  # fmt: skip
        await self._services.commits.write(done)


def _beside(at: int, known: Collection[int]) -> int:
    """Return the first time from `at` on that is not known."""
    while at in known:
        at += 1
    return at
