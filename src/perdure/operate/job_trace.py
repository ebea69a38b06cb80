"""When the runs of a job were queued, at work and waiting, as their journals tell it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from perdure.operate.history import AsyncHistory
from perdure.operate.run_detail import RunDetail
from perdure.run import RunInfo, RunStatus
from perdure.store.base import JobRow

COMMIT = 50_000_000  # ns: what an outcome takes until its action has seen it is no wait
Span = tuple[int, int]  # from, to: ns since the epoch

__all__ = ["RunSpans", "Span", "job_spans", "spans_of"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunSpans:
    """How a run spent its time; each span ns since the epoch, in their order.

    Attributes:
        run: its head.
        queued: behind earlier runs of its key.
        working: calls were under way, or its actions computed.
        waiting: for time, a signal, a person or another run; also while no process had the job.
    """

    run: RunInfo
    queued: tuple[Span, ...]
    working: tuple[Span, ...]
    waiting: tuple[Span, ...]

    @property
    def end(self) -> int:
        """The last time known of it."""
        spans = (*self.queued, *self.working, *self.waiting)
        return max((end for _, end in spans), default=self.run.admitted_at)


async def job_spans(history: AsyncHistory, job: JobRow, *, limit: int, now: int) -> list[RunSpans]:
    """Return how the newest runs of a job spent their time, oldest first.

    Args:
        history: the store.
        job: the job.
        limit: how many runs at most.
        now: until when the unfinished ones are drawn, ns since the epoch.
    """
    runs = await history.runs(job, limit=limit)
    return [spans_of(await history.journal_detail(info), now) for info in reversed(runs)]


def spans_of(detail: RunDetail, now: int) -> RunSpans:
    """Return how a run spent its time."""
    run = detail.run
    end = run.finished_at or max(now, run.admitted_at)
    started = [action.started_at for action in detail.actions if action.started_at]
    # One without a record is begun when it is found to run: what it does is not known yet.
    begun = min(started) if started else run.admitted_at if run.status is RunStatus.RUNNING else end
    queued_from = min(max(run.admitted_at, run.due), begun)
    waiting = [(run.admitted_at, queued_from)]
    working = _joined(_busy(detail, end))
    waiting += _between(working, begun, end)
    return RunSpans(
        run=run,
        queued=tuple(_real([(queued_from, begun)])),
        working=tuple(working),
        waiting=tuple(_real(waiting)),
    )


def _busy(detail: RunDetail, end: int) -> Iterator[Span]:
    """Yield when calls were under way, and points at which actions went on."""
    known = 0
    for action in detail.actions:
        times = [action.started_at, action.finished_at, action.cancelled_at, *action.timers]
        for call in action.calls:
            # Of one without an outcome it is not known how long it went on.
            settled = call.settled_at or (call.started_at if detail.run.status.is_final else end)
            yield call.started_at, settled
            times.append(settled)
        for at in filter(None, times):
            yield at, at
            known = max(known, at)
    if detail.run.status is RunStatus.RUNNING:
        yield known or detail.run.admitted_at, end  # what is in flight has no record yet


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans in their order, those that all but touch as one."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1] + COMMIT:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def _between(spans: Iterable[Span], begin: int, end: int) -> Iterator[Span]:
    """Yield what spans leave free from `begin` to `end`."""
    for first, last in spans:
        yield begin, first
        begin = max(begin, last)
    yield begin, end


def _real(spans: Iterable[Span]) -> Iterator[Span]:
    return ((begin, end) for begin, end in spans if end > begin)
