"""Outbox: the outputs of a job that wait for a sink, and how far each sink has come (G4)."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from perdure.codec.codec import Codec
from perdure.errors import DecodeError
from perdure.run import Output, run_id
from perdure.runtime.shared.backoff import until_store_answers
from perdure.store.base import ActionStateStore, DeliveredRow, Row, SinkRow, StoredOutput
from perdure.store.damage import damaged
from perdure.store.group_commit import GroupCommit

NumberedOutput = tuple[int, int, Output]  # run, its number in the run, the output
SinkPosition = tuple[int, int]  # the sink's size at the start, its last durable offset


class Outbox:
    """What an engine asks of the store for its sink.

    A pump reads what is undelivered, never all after a last position: late commits would be lost.
    Owns nothing. On the host loop.
    """

    def __init__(
        self, store: ActionStateStore, commits: GroupCommit, codec: Codec, job: int
    ) -> None:
        self._store = store
        self._commits = commits
        self._codec = codec
        self._job = job

    async def undelivered(self) -> list[NumberedOutput]:
        """Return the job's outputs that no sink has, in commit order."""
        return [self.decoded(stored) for stored in await self._store.undelivered()]

    async def position(self, sink: str) -> SinkPosition | None:
        """Return how far a sink has come; None for one that is new."""
        row = await self._store.sink(sink)
        return None if row is None else (row.base, row.offset)

    async def delivered(
        self,
        outputs: Iterable[NumberedOutput],
        sink: str = "",
        position: SinkPosition | None = None,
    ) -> None:
        """Record that a sink has these outputs; durable when this returns.

        Tries again for as long as the store fails.

        Args:
            outputs: what the sink holds durably.
            sink: its name.
            position: where it stands now; None if it has no positions.
        """
        rows: list[Row] = [DeliveredRow(run=run, number=number) for run, number, _ in outputs]
        if position is not None:
            rows.append(SinkRow(self._job, sink, *position))
        # They may be written twice: both say the same.
        write = functools.partial(self._commits.write, rows)
        await until_store_answers(self._commits, write, "deliveries cannot be recorded")

    def decoded(self, stored: StoredOutput) -> NumberedOutput:
        """Return a stored output as users see it."""
        decode, run = self._codec.decode, run_id(stored.run)
        try:
            output = Output(decode(stored.value), decode(stored.key), run, stored.id)
        except DecodeError as error:
            if error.is_damage:
                place = f"table output, output {stored.number} of run {run}, or the run's key"
                raise damaged(self._store.url, place, error) from error
            raise
        return stored.run, stored.number, output
