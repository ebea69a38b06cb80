"""`perdure retry` and `perdure cancel`: leave a command for a run's job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.options import DEFAULT_STORE, JobOption, StoreOption, epilog, open_job
from perdure.errors import ConfigurationError

if TYPE_CHECKING:
    from perdure.history import History, JobRow


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        epilog=epilog(
            "perdure retry r1f",
            "perdure retry --all-failed --store sqlite:///reviews.db --job reviews",
        )
    )(retry)
    app.command(epilog=epilog("perdure cancel r1f", "perdure cancel r1f --job reviews"))(cancel)


def retry(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's id.")] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="All failed runs.")] = False,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Put a failed or cancelled run back into its key's queue.

    What succeeded before the failure is not done again. The job's process takes the command at
    once; without one it waits for the next `perdure run`.
    """
    import perdure.control as control

    if all_failed == (run is not None):
        raise ConfigurationError("retry: give either a run's id or --all-failed")
    with open_job(store, job) as (history, row):
        if run is not None:
            info = control.retry(history, row, run)
            print(f"run {info.id} (key {info.key!r}) will be retried: {_when(history, row)}")
            return
        failed = control.retry_all_failed(history, row)
        if not failed:
            print(f"job {row.name!r} has no failed runs: there is nothing to retry")
            return
        runs = "1 failed run" if len(failed) == 1 else f"{len(failed):,} failed runs"
        print(f"{runs} will be retried: {_when(history, row)}")


def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, such as r1f.")],
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Ask that an unfinished run is stopped.

    The job's process takes the command at once; without one it waits for the next `perdure run`.
    """
    import perdure.control as control

    with open_job(store, job) as (history, row):
        info = control.cancel(history, row, run)
        print(f"run {info.id} (key {info.key!r}) will be cancelled: {_when(history, row)}")


def _when(history: History, job: JobRow) -> str:
    if history.is_owned(job):
        return f"the process that runs job {job.name!r} takes it within a second"
    return f"no process runs job {job.name!r} now; the next `perdure run` of it takes it"
