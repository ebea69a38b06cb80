"""Where tests reach into an open job: what no user may touch, in one place."""

from __future__ import annotations

from perdure.engine.job import Job
from perdure.runtime.job_runtime import JobRuntime
from perdure.runtime.live_runs import LiveRuns
from perdure.runtime.run.execution import RunExecution
from perdure.runtime.shared.services import JobServices
from perdure.store.group_commit import GroupCommit


def runtime_of(job: Job) -> JobRuntime:
    """Return the runtime that the job drives."""
    return job._job.runtime


def runs_of(job: Job) -> LiveRuns:
    """Return what supervises the job's runs."""
    return runtime_of(job)._runs


def services_of(job: Job) -> JobServices:
    """Return the parts that the job's runs work with."""
    return runs_of(job).services


def executions_of(job: Job) -> list[RunExecution]:
    """Return the runs in memory."""
    return list(runs_of(job).executions.values())


def commits_of(job: Job) -> GroupCommit:
    """Return where the job's rows are written."""
    return services_of(job).commits


async def delivered(job: Job) -> None:
    """Return when the job's sink, where it has one, has got what is queued for it."""
    if (pump := job._job._pump) is not None:
        await job._job.until_stopped(pump.drain())
