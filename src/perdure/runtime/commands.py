"""RunCommands: what people and programs ask of runs: cancel, retry, signal (G22)."""

from __future__ import annotations

import asyncio

from perdure.errors import DecodeError, StoreDataError, StoreError, StoreFormatError
from perdure.journal.record import Record, RecordKind, decode_signal
from perdure.printable import printable_logger
from perdure.run import STATUS_NUMBERS, RunStatus, run_cancelled, run_id
from perdure.runtime.live_runs import LiveRuns
from perdure.runtime.run.rows import retry_rows, status_row
from perdure.runtime.run.state import CANCELLED
from perdure.runtime.shared.backoff import until_store_answers
from perdure.runtime.shared.mailbox import RunTicket
from perdure.store.base import ActionStateStore, Command, CommandDoneRow, Row

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
        self._sending: dict[int, set[asyncio.Future[None]]] = {}  # signals not durable yet, by run
        self._inbox = asyncio.Lock()
        self._next_look: asyncio.Task[None] | None = None  # one that has not begun
        runs.catch_up = self.caught_up

    async def cancel(self, run: int, more: list[Row] | None = None) -> bool:
        """Ask a run to stop; False when it has ended, also in the meantime.

        Durable when this returns: the run stops now, or had its end before. True is never followed
        by a run that completes.
        """
        rows: list[Row] = more or []
        while (ticket := self._admission.tickets.get(run)) is not None:
            back = self._resting.wake(ticket, stay=True)
            if back is not None:
                await asyncio.wait([back])
                continue
            execution = self._runs.executions.get(run)
            if execution is None:
                await self._cancel_queued(ticket, rows)
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
            if run not in self._admission.tickets:  # meanwhile it may have been read back
                for ticket in await self._backlog.find([run]):
                    await self._cancel_queued(ticket, rows)
                    return ticket.status is RunStatus.CANCELLED
                return await self._nothing_to_do(rows)
        return await self.cancel(run, rows)

    async def _cancel_queued(self, ticket: RunTicket, rows: list[Row]) -> None:
        """End a run that does not execute; it does not begin meanwhile."""
        end = status_row(ticket.row, RunStatus.CANCELLED, finished_at=self._services.now())
        was_delayed = self._resting.forget(ticket)  # or it might become due meanwhile
        ticket.is_held = True
        try:
            await self._services.commits.write([*rows, end])
        except StoreError:
            ticket.is_held = False
            if was_delayed:
                self._resting.delay(ticket)
            else:
                self._runs.go_on(ticket)
            raise
        is_shelved = self._backlog.shelf_of(ticket.row) is not None
        if is_shelved:
            self._backlog.ended(ticket)
        if is_shelved or ticket.row.run in self._admission.tickets:
            ticket.status = RunStatus.CANCELLED
            ticket.error = run_cancelled(ticket.id)
            self._runs.finish(ticket, None)

    async def _nothing_to_do(self, rows: list[Row]) -> bool:
        if rows:
            await self._services.commits.write(rows)
        return False

    async def retry(self, run: int, more: list[Row] | None = None) -> bool:
        """Put a failed or cancelled run at the end of its key's queue; False when it is neither."""
        rows: list[Row] = more or []
        row = (await self._store.runs([run])).get(run)
        if row is None or row.status not in _UNSUCCESSFUL or run in self._admission.tickets:
            return await self._nothing_to_do(rows)
        row = row._replace(
            status=STATUS_NUMBERS[RunStatus.QUEUED], place=self._admission.next_number(),
            attempt=row.attempt + 1, error=None, finished_at=0,
        )  # fmt: skip
        again = retry_rows(row, self._services.now())
        await self._services.commits.write([*again, *rows])
        self._services.counters.retries += 1
        await self._runs.stored.take_up([row])
        return True

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
        if run not in self._admission.tickets:
            async with self._backlog.reading:
                if run not in self._admission.tickets:  # meanwhile it may have been read back
                    if not await self._backlog.find([run]):
                        return await self._nothing_to_do(rows)
                    signal = await self._new_signal(run, name, value, at)
                    await self._services.commits.write([signal, *rows])
                    return True  # it is in the journal when the run is read back
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sending.setdefault(run, set()).add(sent)
        try:
            return await self._send(self._admission.tickets[run], name, value, rows, at)
        finally:
            sent.set_result(None)
            self._sending[run].discard(sent)
            if not self._sending[run]:
                del self._sending[run]

    async def _send(
        self, ticket: RunTicket, name: str, value: bytes, rows: list[Row], at: int
    ) -> bool:
        run = ticket.row.run
        signal = await self._new_signal(run, name, value, at)
        try:
            await self._services.commits.write([signal, *rows])
        except StoreError as error:
            self._look_again(ticket, error)
            raise
        ticket.signals = [*(ticket.signals or ()), signal]
        execution = self._runs.executions.get(run)
        if execution is not None:
            execution.signal(signal)
        else:
            self._resting.wake(ticket)  # it finds the signal in its journal
        return True

    async def _new_signal(self, run: int, name: str, value: bytes, at: int) -> Record:
        """Return the record of a signal. Its time identifies it in its run, so it must be new."""
        if not at:
            self._last_signal = at = max(self._last_signal + 1, self._services.now())
            return Record.signal(run, name, value, at)
        records = (await self._store.records([run])).get(run, ())
        known = {r.signal_id for r in records if r.kind == RecordKind.SIGNAL}
        while at in known:
            at += 1
        return Record.signal(run, name, value, at)

    def _look_again(self, ticket: RunTicket, error: StoreError) -> None:
        """Have a run read back: a signal may be durable though its commit failed (G25)."""
        if isinstance(error, StoreDataError):
            return  # it is not
        execution = self._runs.executions.get(ticket.row.run)
        if execution is not None:
            execution.store_failed(error)
        else:
            ticket.has_history, ticket.records = True, None  # where it has still to begin
            self._resting.wake(ticket)

    # The inbox

    async def watch(self) -> None:
        """Carry out what other processes ask, until cancelled."""
        while True:
            await asyncio.sleep(INBOX_SECONDS)
            await self.empty_inbox()

    async def empty_inbox(self) -> None:
        """Carry out what the inbox holds."""
        try:
            await self._look()
        except StoreFormatError:
            raise  # it would be so again
        except StoreError as error:
            logger.error("commands cannot be read: %s", error)

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
            await asyncio.wait(list(sending))

    async def _begin_look(self) -> None:
        async with self._inbox:
            self._next_look = None  # who asks from here on needs another
            await self._carry_all_out()

    async def _look(self) -> None:
        async with self._inbox:
            await self._carry_all_out()

    async def _carry_all_out(self) -> None:
        for command in await self._store.commands() or ():
            await self._carry_out(command)

    async def _carry_out(self, command: Command) -> None:
        done: list[Row] = [CommandDoneRow(number=command.number)]
        run = command.run
        if command.command == "cancel":
            carried_out = await self.cancel(run, done)
        elif command.command == "retry":
            carried_out = await self.retry(run, done)
        elif command.command == "signal" and (signal := _signal(command)) is not None:
            carried_out = await self.signal(run, *signal, done, at=command.at)
        else:
            logger.error(
                "the command %r of run %s is not known: passed over", command.command, run_id(run)
            )
            await self._services.commits.write(done)
            return
        if not carried_out:
            logger.warning("%s of run %s has nothing to do", command.command, run_id(run))


def _signal(command: Command) -> tuple[str, bytes] | None:
    try:
        return decode_signal(command.payload or b"")
    except DecodeError as error:
        logger.error("%s", error)
        return None
