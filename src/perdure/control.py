"""What a person does to a run from outside: through the inbox, whether its job runs or not."""

from __future__ import annotations

from typing import Any

from perdure.call import checked_name
from perdure.errors import PerdureError
from perdure.history import ALL, History
from perdure.journal.record import encode_signal
from perdure.run import RunInfo, RunStatus
from perdure.store.reader import JobRow

_RETRIED = (RunStatus.FAILED, RunStatus.CANCELLED)


def retry(history: History, job: JobRow, id_: str) -> RunInfo:
    """Ask that a failed or cancelled run is put back into its key's queue.

    Durable when it returns; the job's process does it at once, or when it runs next.

    Raises:
        PerdureError: there is no such run, or it neither failed nor was cancelled.
    """
    info = history.run(job, id_)
    if info.status not in _RETRIED:
        raise PerdureError(
            f"run {id_} is {info.status.value}: only failed and cancelled runs can be retried"
        )
    history.reader.leave_command(job.job, info.number, "retry")
    return info


def retry_all_failed(history: History, job: JobRow) -> list[RunInfo]:
    """Ask that every failed run is put back, oldest first: in that order they join their queues.

    Durable when it returns; the job's process does it at once, or when it runs next.
    """
    failed = history.runs(job, status=RunStatus.FAILED, limit=ALL)[::-1]
    for info in failed:
        history.reader.leave_command(job.job, info.number, "retry")
    return failed


def cancel(history: History, job: JobRow, id_: str) -> RunInfo:
    """Ask that an unfinished run is stopped.

    Durable when it returns; the job's process does it at once, or when it runs next.

    Raises:
        PerdureError: there is no such run, or it is finished.
    """
    info = history.run(job, id_)
    if info.status.is_final:
        raise PerdureError(f"run {id_} is {info.status.value} already: there is nothing to cancel")
    history.reader.leave_command(job.job, info.number, "cancel")
    return info


def signal(history: History, job: JobRow, id_: str, name: str, value: Any) -> RunInfo:
    """Send an unfinished run a signal, for `ctx.wait_for_signal(name)`.

    Durable when it returns; the job's process delivers it at once, or when it runs next.

    Raises:
        PerdureError: there is no such run, or it is finished.
        EncodeError: the value cannot be journaled.
    """
    info = history.run(job, id_)
    if info.status.is_final:
        raise PerdureError(
            f"run {id_} is {info.status.value} already: no action waits for a signal"
            + (" (retry it first)" if info.status in _RETRIED else "")
        )
    payload = encode_signal(checked_name(name), history.codec.encode(value))
    history.reader.leave_command(job.job, info.number, "signal", payload)
    return info
