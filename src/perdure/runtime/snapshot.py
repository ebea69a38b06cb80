"""What an open job does at this moment: nothing of it is in the store yet, or ever will be."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

from perdure.executor.limits import LimitUsage
from perdure.executor.pool import PoolUsage
from perdure.journal.record import Record, RecordKind
from perdure.run import run_id
from perdure.run.approval import APPROVAL
from perdure.runtime.action.waits import SIGNAL
from perdure.runtime.live_runs import LiveRuns
from perdure.runtime.shared.measures import Distribution, JobMeasures
from perdure.runtime.shared.services import JobCounters

__all__ = ["CallNow", "Distribution", "JobMeasures", "JobSnapshot", "Snapshots"]

MOST_CALLS = 1_000  # that a snapshot names
Seen = tuple[Record, str, int, int, int]  # a call's record, and `now` of its attempts
EVERY_NS = 1_000_000_000  # between two snapshots at least
OUTCOMES = (RecordKind.RESULT, RecordKind.ERROR)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallNow:
    """A durable call that is under way.

    Attributes:
        run: id of its run.
        event: number of the event that its action handles.
        action: name of its action.
        number: number in its action, from 1.
        function: identity of the callable.
        arguments: short text.
        state: "queued" for a thread, "limited": held by a limit, "running", "backing off" until
            its next attempt, "recording": something must be durable before it starts, or
            "committing": executed, and its outcome is not durable yet.
        since: when that began, ns since the epoch; of one that commits, when it began to execute.
        attempt: the number of its attempt, from 1; 0 where that is not known.
        due: of one that backs off, when the next attempt begins, ns since the epoch; else 0.
    """

    run: str
    event: int
    action: str
    number: int
    function: str
    arguments: str
    state: str
    since: int
    attempt: int = 0
    due: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobSnapshot:
    """A job at one moment, seen from the process that has it.

    Attributes:
        at: when it was taken, ns since the epoch.
        calls: those under way, by run; of very many the first.
        calls_by_state: how many there are in each state, all of them counted.
        pool: the threads for plain functions.
        limits: what runs and waits under each limit, by its name.
        in_flight: runs in flight.
        waiting: runs that only time or a signal can continue.
        queued: runs behind others of their keys.
        store_writes: False from when a commit failed until the store writes again: no call starts.
    """

    at: int
    calls: tuple[CallNow, ...]
    calls_by_state: dict[str, int]
    pool: PoolUsage
    limits: dict[str, LimitUsage]
    in_flight: int
    waiting: int
    queued: int
    store_writes: bool


class Snapshots:
    """Takes snapshots of a job, one a second at most; nobody who does not ask pays for them.

    Owns: the last one. Lifecycle: that of the job; on the host loop.

    Args:
        runs: the runs of the job.
        counters: returns its counters as of now.

    Attributes:
        counters: likewise.
    """

    def __init__(self, runs: LiveRuns, counters: Callable[[], JobCounters]) -> None:
        self._runs = runs
        self.counters = counters
        self._last: JobSnapshot | None = None
        self._taken_at = 0  # by the monotonic clock, ns

    def take(self) -> JobSnapshot:
        """Return what the job does now, or did less than a second ago."""
        now = self._runs.services.world.monotonic()
        if self._last is None or now - self._taken_at >= EVERY_NS:
            self._last, self._taken_at = self._take(), now
        return self._last

    def _take(self) -> JobSnapshot:
        services = self._runs.services
        calls: list[CallNow] = []
        by_state: dict[str, int] = {}
        for record, state, since, attempt, due in itertools.chain(
            self._under_way(), self._committing()
        ):
            by_state[state] = by_state.get(state, 0) + 1
            if len(calls) < MOST_CALLS:
                calls.append(_of_record(record, state, since, attempt, due))
        counters = self.counters()
        return JobSnapshot(
            at=services.now(),
            calls=tuple(calls),
            calls_by_state=by_state,
            pool=services.executor.pool_usage,
            limits=services.limits.usage,
            in_flight=counters.in_flight,
            waiting=counters.waiting,
            queued=counters.queued,
            store_writes=not services.commits.stalled,
        )

    def _under_way(self) -> Iterator[Seen]:
        for execution in self._runs.executions.values():
            for action in execution.active.values():
                for attempts in action.calls.under_way:
                    yield attempts.template, *attempts.now

    def _committing(self) -> Iterator[Seen]:
        for row in self._runs.services.commits.waiting_rows():
            if isinstance(row, Record) and row.call and row.kind in OUTCOMES:
                yield row, "committing", row.started_at, 0, 0

    # Figures

    @property
    def agent(self) -> str:
        """The name of the job's agent."""
        return self._runs.services.plan.name

    def own_metrics(self) -> list[tuple[tuple[str, ...], str, str, tuple[int | float, ...]]]:
        """Return what the agent's own code measures, see `MetricGroup.listed`."""
        return self._runs.services.metrics.listed()

    def measures(self) -> JobMeasures:
        """Return what is counted of calls and commits: from the first time that it is asked for."""
        return self._runs.services.measure()

    def waits(self) -> dict[str, int]:
        """Return how many waits for something from outside are open, by their kind."""
        found = {APPROVAL: 0, SIGNAL: 0}
        for ticket in self._runs.admission.tickets.values():
            for wait in ticket.waits.values():
                found[wait.kind] = found.get(wait.kind, 0) + 1
        return found


def _of_record(record: Record, state: str, since: int, attempt: int, due: int) -> CallNow:
    return CallNow(
        run=run_id(record.run), event=record.event, action=record.action, number=record.call,
        function=record.function, arguments=record.detail, state=state, since=since,
        attempt=attempt, due=due,
    )  # fmt: skip
