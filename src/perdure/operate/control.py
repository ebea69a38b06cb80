"""What a person does to a run from outside: through the inbox, whether its job runs or not.

Coroutine functions over an `AsyncHistory`; `history.blocking` makes plain ones of them.
"""

from __future__ import annotations

import functools
from time import time_ns
from typing import Any

from perdure.call import checked_name
from perdure.errors import PerdureError
from perdure.journal.record import encode_signal
from perdure.operate.history import AsyncHistory, all_of
from perdure.run import RunInfo, RunStatus
from perdure.store.base import CommandRow, JobRow

_RETRIED = (RunStatus.FAILED, RunStatus.CANCELLED)


async def retry(history: AsyncHistory, job: JobRow, id_: str) -> RunInfo:
    """Ask that a failed or cancelled run is put back into its key's queue.

    Durable when it returns; the job's process does it at once, or when it runs next.

    Raises:
        PerdureError: there is no such run, or it neither failed nor was cancelled.
    """
    info = await history.run(job, id_)
    if info.status not in _RETRIED:
        raise PerdureError(
            f"run {id_} is {info.status.value}: only failed and cancelled runs can be retried"
        )
    await _leave(history, job, [info], "retry")
    return info


async def retry_all_failed(history: AsyncHistory, job: JobRow) -> list[RunInfo]:
    """Ask that every failed run is put back, oldest first: in that order they join their queues.

    Durable when it returns; the job's process does it at once, or when it runs next.
    """
    failed = await all_of(
        functools.partial(history.runs_page, job, status=RunStatus.FAILED, limit=1000)
    )
    failed.reverse()
    await _leave(history, job, failed, "retry")
    return failed


async def cancel(history: AsyncHistory, job: JobRow, id_: str) -> RunInfo:
    """Ask that an unfinished run is stopped.

    The asking is durable when it returns; the job's process does it at once, or when it runs next.
    A run that comes to its end before that stays as it ended.

    Raises:
        PerdureError: there is no such run, or it is finished.
    """
    info = await history.run(job, id_)
    if info.status.is_final:
        raise PerdureError(f"run {id_} is {info.status.value} already: there is nothing to cancel")
    await _leave(history, job, [info], "cancel")
    return info


async def signal(history: AsyncHistory, job: JobRow, id_: str, name: str, value: Any) -> RunInfo:
    """Send an unfinished run a signal, for `ctx.wait_for_signal(name)`.

    Durable when it returns; the job's process delivers it at once, or when it runs next.

    Raises:
        PerdureError: there is no such run, or it is finished.
        EncodeError: the value cannot be journaled.
    """
    info = await history.run(job, id_)
    if info.status.is_final:
        raise PerdureError(
            f"run {id_} is {info.status.value} already: no action waits for a signal"
            + (" (retry it first)" if info.status in _RETRIED else "")
        )
    payload = encode_signal(checked_name(name), history.codec.encode(value))
    await _leave(history, job, [info], "signal", payload)
    return info


async def _leave(
    history: AsyncHistory,
    job: JobRow,
    runs: list[RunInfo],
    command: str,
    payload: bytes | None = None,
) -> None:
    at = time_ns()
    await history.view.leave_commands(
        [
            CommandRow(job=job.job, run=info.number, command=command, payload=payload, at=at)
            for info in runs
        ]
    )
