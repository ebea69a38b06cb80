"""What a person does to a run from outside: through the inbox, whether its job runs or not.

Coroutine functions over an `AsyncHistory`; `history.blocking` makes plain ones of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from time import time_ns
from typing import Any

from perdure.checks import checked_name
from perdure.errors import PerdureError
from perdure.journal.record import encode_signal
from perdure.operate.answers import checked_answer, unawaited
from perdure.operate.history import AsyncHistory, all_of
from perdure.printable import printable_logger
from perdure.run import RunInfo, RunStatus, WaitInfo
from perdure.run.approval import Approval, answer_value, check_readable
from perdure.store.base import CommandRow, JobRow

logger = printable_logger("perdure")

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

    One that the run does not wait for is kept; a warning names what it waits for. Durable when it
    returns; the job's process delivers it at once, or when it runs next.

    Raises:
        PerdureError: there is no such run, or it is finished.
        UnreadableAnswerError: it waits for an approval, and this is neither yes nor no.
        EncodeError: the value cannot be journaled.
    """
    info = await _unfinished(history, job, id_)
    check_readable(info.title, info.waits, name, value)
    payload = encode_signal(checked_name(name), history.codec.encode(value))
    await _leave(history, job, [info], "signal", payload)
    if warning := unawaited(info, name):
        logger.warning("%s", warning)
    return info


async def approve(
    history: AsyncHistory,
    job: JobRow,
    id_: str,
    name: str | None,
    approval: Approval,
    asked: Sequence[WaitInfo] = (),
) -> tuple[RunInfo, str]:
    """Answer a run that waits for an approval; return it, and the name that was answered.

    One under a name that the run does not wait for is kept; a warning names what it waits for.
    Durable when it returns; the job's process delivers it at once, or when it runs next.

    Args:
        history: the store.
        job: the job.
        id_: the run's id.
        name: name of the approval; None for the only one that is waited for.
        approval: the answer.
        asked: the waits that whoever answers was shown, if any; it is for none opened later.

    Raises:
        ConfigurationError: no name is given, and several are waited for.
        PerdureError: there is no such run, it waits for none, or no longer, or somebody has
            answered.
    """
    info = await _unfinished(history, job, id_)
    _refuse_earlier(job)
    asked = asked or info.waits
    is_left = False
    while not is_left:  # else somebody has answered in between
        checked = await checked_answer(history, job, info, name, asked)
        value = history.codec.encode(answer_value(approval))
        answer = _command(job, checked.info, "signal", encode_signal(checked.name, value))
        is_left = await history.view.leave_answer(
            answer, records=checked.records, command=checked.command
        )
    info, name = checked.info, checked.name
    if warning := unawaited(info, name):
        logger.warning("%s", warning)
    return info, name


async def _unfinished(history: AsyncHistory, job: JobRow, id_: str) -> RunInfo:
    info = await history.run(job, id_)
    if info.status.is_final:
        raise PerdureError(
            f"run {id_} is {info.status.value} already: no action waits for a signal"
            + (" (retry it first)" if info.status in _RETRIED else "")
        )
    return info


async def _leave(
    history: AsyncHistory,
    job: JobRow,
    runs: list[RunInfo],
    command: str,
    payload: bytes | None = None,
) -> None:
    _refuse_earlier(job)
    commands = [_command(job, info, command, payload) for info in runs]
    await history.view.leave_commands(commands)


def _command(job: JobRow, info: RunInfo, command: str, payload: bytes | None) -> CommandRow:
    return CommandRow(job=job.job, run=info.number, command=command, payload=payload, at=time_ns())


def _refuse_earlier(job: JobRow) -> None:
    if job.later:
        raise PerdureError(
            f"{job.title} is a generation of job {job.name!r} that {job.later:,} came after: it is"
            f" only looked at, and no process goes on with its runs"
        )
