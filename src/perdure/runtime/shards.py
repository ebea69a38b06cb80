"""Shards: the parts of a job that this process takes and gives back while it is open."""

from __future__ import annotations

import asyncio
import contextlib

from perdure.errors import PerdureError, StoreError
from perdure.runtime.live_runs import LiveRuns
from perdure.runtime.shared.mailbox import RunTicket
from perdure.store.base import ShardInfo
from perdure.store.group_commit import GroupCommit


class Shards:
    """Takes shards, whose unfinished runs go on, and gives them back, where they are.

    The only shard of a job is taken when it opens. Owns nothing: what is held is known by the
    numbers of the job. On the host loop.

    Args:
        runs: those of the job.
        commits: where they are written.
    """

    def __init__(self, runs: LiveRuns, commits: GroupCommit) -> None:
        self._runs = runs
        self._commits = commits

    async def take(self, shard: int, newest: ShardInfo) -> None:
        """Hold a shard; its unfinished runs go on.

        Raises:
            PerdureError: it is held already.
            StoreError: its runs cannot be read; it is not held.
        """
        numbers = self._runs.numbers
        if shard in numbers.held:
            raise PerdureError(f"shard {shard} is held already: give it back before it is taken")
        numbers.take(shard, newest)
        try:
            await self._runs.stored.recover(shard)
        except BaseException:
            numbers.give_back(shard)
            raise

    async def give_back(self, shard: int) -> None:
        """Stop the runs of a shard where they are; what has come of them by now is durable.

        Raises:
            ShardNotHeldError: it is not held.
        """
        runs = self._runs
        runs.numbers.check(shard)
        runs.numbers.give_back(shard)  # nothing is admitted from here on
        runs.services.later.write()
        for ticket in self._tickets(shard):
            if (execution := runs.executions.get(ticket.number)) is not None:
                execution.process_ends()
        with contextlib.suppress(StoreError):  # then it goes on from what was durable before
            await self._commits.write([])
        for ticket in self._tickets(shard):
            runs.drop(ticket)
        runs.backlog.drop_shard(shard)
        runs.mailbox.drop_shard(shard)

    async def drain(self, shard: int) -> None:
        """Return when the runs of a shard have ended but those that are due later.

        Raises:
            ShardNotHeldError: it is not held.
        """
        runs = self._runs
        runs.numbers.check(shard)
        while True:
            waiters = {t: t.new_waiter() for t in self._tickets(shard) if not t.is_delayed}
            if waiters:
                try:
                    await asyncio.wait(waiters.values())
                finally:
                    for ticket, waiter in waiters.items():
                        ticket.forget(waiter)
            elif not runs.backlog.shelves_of(shard):
                return
            else:
                async with runs.backlog.reading:  # what is on its way into memory
                    await asyncio.sleep(0)

    def _tickets(self, shard: int) -> list[RunTicket]:
        return [t for t in self._runs.admission.tickets.values() if t.shard == shard]
