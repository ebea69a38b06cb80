"""The last hour of a job: how many calls were settled in each minute of it."""

from __future__ import annotations

import asyncio
import dataclasses
import time

from perdure.operate.history import AsyncHistory
from perdure.store.base import JobRow, Settled

__all__ = ["MINUTES", "LastHour", "Minute"]

MINUTES = 60  # of an hour, the last of which goes on
_MINUTE = 60 * 10**9  # ns


@dataclasses.dataclass(slots=True)
class Minute:
    """How many calls returned, and how many raised, in one minute."""

    returned: int = 0
    raised: int = 0


class LastHour:
    """Counts the calls of a job by minute, from the newest back to an hour before.

    A look reads what is new since the one before, and as much of what is older as there is time
    for, so it costs the same however much the journal has; the next one goes on further back.
    On the event loop of the history.

    Args:
        seconds: that one look takes, about.
        piece: records that are read at once.
    """

    def __init__(self, *, seconds: float = 0.01, piece: int = 500) -> None:
        self._seconds = seconds
        self._piece = piece
        self._lock = asyncio.Lock()
        self._begin_at(0)
        self._last = 0  # position up to which records are counted

    def _begin_at(self, first: int) -> None:
        """Forget all counts; what is older than a position is not counted yet."""
        self._first = first
        self._minutes: dict[int, Minute] = {}
        self._oldest: int | None = None  # minute of the oldest record that was counted

    async def look(
        self, history: AsyncHistory, job: JobRow, now: int
    ) -> tuple[dict[int, Minute], int]:
        """Return the calls of each minute in which there were any, and the first that is known.

        Minutes are counted since the epoch; there are MINUTES of them, and the last goes on.

        Args:
            history: the store.
            job: always the same one.
            now: ns since the epoch.
        """
        begin = now // _MINUTE - MINUTES + 1
        async with self._lock:
            deadline = time.monotonic() + self._seconds
            await self._count_new(history, job, begin, deadline)
            while self._first and not self._is_before(begin):
                piece = await self._read(history, job, 0, self._first)
                self._first = piece.first
                self._count(piece)
                if time.monotonic() >= deadline:
                    break
            for minute in [minute for minute in self._minutes if minute < begin]:
                del self._minutes[minute]
            return dict(self._minutes), self._known(begin)

    def _known(self, begin: int) -> int:
        if not self._first or self._is_before(begin):
            return begin
        return begin + MINUTES if self._oldest is None else self._oldest + 1

    def _is_before(self, minute: int) -> bool:
        """Say whether the journal was counted back to before a minute."""
        return self._oldest is not None and self._oldest < minute

    async def _count_new(
        self, history: AsyncHistory, job: JobRow, begin: int, deadline: float
    ) -> None:
        """Count what is new, from the newest back; forget the rest where that takes too long."""
        pieces = [await self._read(history, job, self._last, None)]
        if pieces[0].last < self._last:  # the store is another one
            self._begin_at(0)
            self._last = 0
            pieces = [await self._read(history, job, 0, None)]
        while (first := pieces[-1].first) > self._last:
            is_past = pieces[-1].minutes and pieces[-1].minutes[0][0] < begin
            if is_past or time.monotonic() >= deadline:
                self._begin_at(first)
                break
            pieces.append(await self._read(history, job, self._last, first))
        for piece in pieces:
            self._count(piece)
        self._last = pieces[0].last

    async def _read(
        self, history: AsyncHistory, job: JobRow, after: int, until: int | None
    ) -> Settled:
        return await history.view.settled(job.job, after=after, until=until, limit=self._piece)

    def _count(self, piece: Settled) -> None:
        for number, returned, raised in piece.minutes:
            minute = self._minutes.setdefault(number, Minute())
            minute.returned += returned
            minute.raised += raised
        if piece.minutes:
            oldest = piece.minutes[0][0]
            self._oldest = oldest if self._oldest is None else min(self._oldest, oldest)
