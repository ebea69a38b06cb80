"""The processes that had a job: when each took it, and whether it gave it back or was killed."""

from __future__ import annotations

import dataclasses
import functools

from perdure.operate.history import AsyncHistory, all_of
from perdure.operate.run_detail import RunDetail
from perdure.store.base import JobRow

__all__ = ["LifeInfo", "lives", "lives_during"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LifeInfo:
    """A process that had a job.

    Attributes:
        number: its number, ascending with time.
        host: name of its machine.
        pid: its number there.
        begun_at: when it took the job, ns since the epoch.
        seen_at: when it is last known to have had it, ns since the epoch; of one that was killed
            the records that it wrote may tell of a later time.
        ended_at: when it gave the job back, ns since the epoch; 0 where it has it or was killed.
        code: a digest of the agent's source; "" where there is none.
        status: "running", "ended", or "killed": it ended without giving the job back.
    """

    number: int
    host: str
    pid: int
    begun_at: int
    seen_at: int
    ended_at: int
    code: str
    status: str


async def lives(history: AsyncHistory, job: JobRow) -> list[LifeInfo]:
    """Return the processes that had a job, in the order in which they took it.

    What one that was killed had under way was executed again, or is yet to be: a crash.
    """
    rows = await all_of(functools.partial(history.view.lives, job.job))
    last = rows[-1].life if rows and await history.is_owned(job) else 0
    return [
        LifeInfo(
            number=row.life,
            host=row.host,
            pid=row.pid,
            begun_at=row.begun_at,
            seen_at=row.seen_at,
            ended_at=row.ended_at or 0,
            code=row.code or "",
            status="ended" if row.ended_at else "running" if row.life == last else "killed",
        )
        for row in rows
    ]


async def lives_during(history: AsyncHistory, job: JobRow, detail: RunDetail) -> list[LifeInfo]:
    """Return the processes that had a job while one of its runs went on, in their order."""
    first, last = detail.run.admitted_at, detail.span[1]
    is_over = detail.run.status.is_final
    found = await lives(history, job)
    if not found:
        return []  # the rows are gone, which is no reason not to show the run
    # One that was killed had the job for longer than it was seen, until the next at most.
    begins = [life.begun_at for life in found[1:]] + [last]
    return [
        life
        for life, next_begins in zip(found, begins, strict=True)
        if life.status == "running" or (life.ended_at or next_begins) >= first
        if life.begun_at <= last or not is_over
    ]
