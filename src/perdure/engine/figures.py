"""Figures: what an open job is measured by, as numbers at one moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from perdure.engine.open_job import OpenJob
from perdure.engine.progress import Progress
from perdure.runtime.job_runtime import Distribution, JobCounters, JobMeasures

if TYPE_CHECKING:
    from perdure.runtime.job_runtime import JobSnapshot

__all__ = ["Distribution", "Figures", "OwnMetric", "figures_of"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OwnMetric:
    """A metric of the agent's own code.

    Attributes:
        groups: names of the groups that it is in, the outermost first.
        name: its name.
        kind: "counter", "gauge" or "summary".
        values: its numbers; of a summary `count`, `sum`, `min` and `max`, else one alone.
    """

    groups: tuple[str, ...]
    name: str
    kind: str
    values: tuple[object, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A job in numbers, since it was opened in this process.

    Attributes:
        job: its name.
        agent: name of its agent.
        progress: counts of inputs, runs, outputs and calls.
        counters: those that `progress` has not.
        now: what it does at this moment, at most a second ago.
        waits: how many waits for something from outside are open, by their kind.
        measures: calls, models and commits, since they were first asked for.
        own: the metrics of the agent's own code.
    """

    job: str
    agent: str
    progress: Progress
    counters: JobCounters
    now: JobSnapshot
    waits: Mapping[str, int]
    measures: JobMeasures
    own: tuple[OwnMetric, ...]


def figures_of(job: OpenJob) -> Figures:
    """Return the figures of a job as of now; on its event loop."""
    snapshots = job.runtime.snapshots
    return Figures(
        job=job.runtime.job,
        agent=snapshots.agent,
        progress=job.progress,
        counters=snapshots.counters(),
        now=snapshots.take(),
        waits=snapshots.waits(),
        measures=snapshots.measures(),
        own=tuple(
            OwnMetric(groups=groups, name=name, kind=kind, values=values)
            for groups, name, kind, values in snapshots.own_metrics()
        ),
    )
