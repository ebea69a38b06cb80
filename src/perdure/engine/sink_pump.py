"""SinkPump: hands outputs from the outbox to the sink (G4)."""

from __future__ import annotations

import asyncio
import collections
import functools

from perdure.connectors.base import Sink, SinkState
from perdure.engine.files import check_sink_name
from perdure.run import Output
from perdure.runtime.backoff import until_store_answers
from perdure.runtime.job import JobRuntime
from perdure.store.base import DeliveredRow, Row, SinkRow, StoredOutput

BATCH = 1000
BACKLOG = 10_000  # undelivered outputs at which the source waits


class SinkPump:
    """Delivers a job's outputs in commit order, which is the order of each key.

    Owns: the queue of undelivered outputs, the open sink. Lifecycle: `open` before the job
    recovers, `run` as a task, `close`. A batch is written and durable in the sink first; then its
    delivered marks and the sink's offset are committed together.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._queue: collections.deque[tuple[int, int, Output]] = collections.deque()
        self._wake: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._busy = False
        self._base = 0
        self.delivered = 0

    async def open(self, runtime: JobRuntime, undelivered: list[StoredOutput]) -> None:
        """Open the sink where the store says it stands; queue what it has not got.

        Raises:
            SinkError: the sink is not what the store says it is.
        """
        self._runtime = runtime
        await check_sink_name(runtime, self._sink)
        row = await runtime.store.sink(self._sink.name)
        self._sink.expect([self._queued(output) for output in undelivered])
        state = await self._sink.open(SinkState(row.base, row.offset) if row else None)
        self._base = state.base
        if row is None or (row.base, row.offset) != (state.base, state.offset):
            await self._commit([self._sink_row(state.offset)])

    def _queued(self, output: StoredOutput) -> Output:
        told = self._runtime.output(output)
        self.add(output.run, output.number, told)
        return told

    def add(self, run: int, number: int, output: Output) -> None:
        """Queue an output that is durable in the store."""
        self._queue.append((run, number, output))
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def wait_for_room(self) -> None:
        """Return when the sink is not too far behind."""
        while len(self._queue) > BACKLOG:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    async def drain(self) -> None:
        """Return when everything queued is delivered and marked so."""
        while self._queue or self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    async def run(self) -> None:
        """Deliver for ever.

        Raises:
            SinkError: the sink refused an output, which stays undelivered.
        """
        while True:
            if not self._queue:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
            self._busy = True
            batch = [self._queue[i] for i in range(min(BATCH, len(self._queue)))]
            offset = await self._sink.write([output for _, _, output in batch])
            rows: list[Row] = [DeliveredRow(run=run, number=n) for run, n, _ in batch]
            if offset is not None:
                rows.append(self._sink_row(offset))
            await self._commit(rows)
            for _ in batch:
                self._queue.popleft()
            self.delivered += len(batch)
            self._busy = False
            if not self._queue and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            if self._room is not None and len(self._queue) <= BACKLOG:
                self._room.set_result(None)
                self._room = None

    async def close(self) -> None:
        """Close the sink."""
        await self._sink.close()

    def _sink_row(self, offset: int) -> SinkRow:
        job = self._runtime.job_number
        return SinkRow(job=job, name=self._sink.name, base=self._base, offset=offset)

    async def _commit(self, rows: list[Row]) -> None:
        """Commit until it succeeds: these rows may be written twice."""
        write = functools.partial(self._runtime.commits.write, rows)
        await until_store_answers(write, "deliveries cannot be recorded")
