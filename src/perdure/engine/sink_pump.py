"""SinkPump: hands outputs from the outbox to the sink (G4)."""

from __future__ import annotations

import asyncio
import collections

from perdure.connectors.base import Sink, SinkState
from perdure.runtime.job_runtime import NumberedOutput, Outbox, SinkPosition

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
        self._queue: collections.deque[NumberedOutput] = collections.deque()
        self._wake: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._busy = False
        self._base = 0
        self.delivered = 0

    async def open(self, outbox: Outbox) -> None:
        """Open the sink where the store says it stands; queue what it has not got.

        Raises:
            SinkError: the sink is not what the store says it is.
        """
        self._outbox = outbox
        undelivered = await outbox.undelivered()
        self._sink.expect([output for _, _, output in undelivered])
        recorded = await outbox.position(self._sink.name)
        state = await self._sink.open(SinkState(*recorded) if recorded else None)
        self._base = state.base
        if recorded != state:
            await self._delivered([], state)
        for output in undelivered:
            self.add(output)

    def add(self, output: NumberedOutput) -> None:
        """Queue an output that is durable in the store."""
        self._queue.append(output)
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
            await self._delivered(batch, None if offset is None else (self._base, offset))
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

    async def _delivered(
        self, outputs: list[NumberedOutput], position: SinkPosition | None
    ) -> None:
        await self._outbox.delivered(outputs, self._sink.name, position)
