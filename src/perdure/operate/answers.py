"""Answers to waits: what a person sends a run, and what is found out before it is sent.

Coroutine functions over an `AsyncHistory`; `history.blocking` makes plain ones of them.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from perdure.checks import checked_name
from perdure.codec.codec import Codec
from perdure.errors import ConfigurationError, PerdureError, UnreadableAnswerError
from perdure.journal.record import Record, RecordKind, decode_signal
from perdure.operate.damaged_run import DAMAGE, damaged_run
from perdure.operate.history import AsyncHistory, all_of
from perdure.run import RunInfo, WaitInfo
from perdure.run.approval import APPROVAL, Approval, read_approval
from perdure.store.base import Command, JobRow

__all__ = ["CheckedAnswer", "awaited", "checked_answer", "unawaited"]


def awaited(info: RunInfo) -> str:
    """Return what a run waits for, for messages: `the approval 'refund' and the signal 'go'`."""
    return " and ".join(dict.fromkeys(_named(wait) for wait in info.waits)) or "no signal"


def _named(wait: WaitInfo) -> str:
    return f"the {wait.kind} {wait.name!r}"


def unawaited(info: RunInfo, name: str) -> str:
    """Return the warning about a signal that the run does not wait for now; "" where it does."""
    if not info.waits or any(wait.name == name for wait in info.waits):
        return ""
    return (
        f"run {info.title} waits for {awaited(info)}, not for {name!r}: it is kept until an action"
        " waits for it"
    )


class CheckedAnswer(NamedTuple):
    """What an answer that may be sent is for.

    Attributes:
        info: the run as it is now.
        name: name of the approval.
        records: number of the run's records that were read.
        command: number of the newest command for it that was; 0 without.
    """

    info: RunInfo
    name: str
    records: int
    command: int


async def checked_answer(
    history: AsyncHistory,
    job: JobRow,
    info: RunInfo,
    name: str | None,
    asked: Sequence[WaitInfo] = (),
) -> CheckedAnswer:
    """Find out which approval an answer is for, and that nobody has answered it.

    Args:
        history: the store.
        job: the job.
        info: the run.
        name: the name that was given; None where it is to be found.
        asked: what the run waited for when the answer was given, where that was before `info`.

    Raises:
        ConfigurationError: none was given, and several are waited for, or what was is no name.
        PerdureError: the run waits for none, or no longer, or somebody has answered.
    """
    meant = [
        each for each in asked or info.waits if each.kind == APPROVAL and name in (None, each.name)
    ]
    while True:
        sent, records, command = await _sent(history, job, info)
        seen = (await history.infos([info.number])).get(info.number, info)
        if seen.waits == info.waits:
            break
        info = seen  # what was sent may have ended a wait in between: neither fits the other
    opened = _open_by_name(info.waits, meant)

    def is_answered(name: str) -> bool:
        # A wait is gone with the record of the answer that its action has taken.
        return name in sent and len(sent[name].unread) >= opened[name]

    if meant and not opened and not any(each.name in sent for each in meant):
        raise PerdureError(
            f"run {info.title} waits for {_named(meant[0])} no longer, and nobody has answered it:"
            f" see what it waits for now: {awaited(info)}"
        )
    if name is None:
        unanswered = [each for each in opened if not is_answered(each)]
        if len(unanswered) > 1:
            listed = ", ".join(map(repr, unanswered))
            raise ConfigurationError(
                f"run {info.title} waits for {len(unanswered)} approvals: give the name of one of"
                f" {listed}"
            )
        if unanswered:
            return CheckedAnswer(info, unanswered[0], records, command)
        names = (*(each.name for each in meant), *reversed(sent))
        name = next((each for each in names if each in sent), None)
        if name is None:
            raise PerdureError(
                f"run {info.title} waits for no approval: it waits for {awaited(info)}"
            )
    if is_answered(checked_name(name)):
        said = _said(sent[name].counted(opened[name]))
        raise PerdureError(f"run {info.title}: {name!r} has been answered already: {said}")
    return CheckedAnswer(info, name, records, command)


def _open_by_name(waits: Sequence[WaitInfo], meant: Sequence[WaitInfo]) -> Counter[str]:
    """Return how many approvals an answer may be for, by name.

    Args:
        waits: what the run waits for.
        meant: the approvals it waited for when the answer was given, if any: the answer is for none
            that was opened since, which nobody has seen who gave it.
    """
    opened = Counter(_identity(each) for each in waits if each.kind == APPROVAL)
    if meant:
        opened &= Counter(map(_identity, meant))
    return Counter(name for name, *_ in opened.elements())


def _identity(wait: WaitInfo) -> tuple[str, str, int, int, str | None]:
    return wait.name, wait.action, wait.event, wait.since, wait.question


class _Sent:
    """The answers of one name that came for a run.

    Attributes:
        unread: those that no action has taken, oldest first.
        taken: the newest that one has.
    """

    def __init__(self) -> None:
        self.unread: list[Approval] = []
        self.taken: Approval | None = None

    def add(self, approval: Approval, *, is_taken: bool) -> None:
        """Take note of a further answer, which an action may have taken."""
        if is_taken:
            self.taken = approval
        else:
            self.unread.append(approval)

    def counted(self, opened: int) -> Approval:
        """Return the answer by which nobody else's is needed, where that many waits are open."""
        if opened or self.taken is None:
            return self.unread[max(opened - 1, 0)]
        return self.taken


def _said(approval: Approval) -> str:
    by = f" by {approval.by}" if approval.by else ""
    comment = f" ({approval.comment})" if approval.comment else ""
    return f"{'yes' if approval.approved else 'no'}{by}{comment}"


async def _sent(
    history: AsyncHistory, job: JobRow, info: RunInfo
) -> tuple[dict[str, _Sent], int, int]:
    """Return the readable answers by their name, that of the newest last.

    With how many records and up to which command was read for it.
    """
    left = functools.partial(history.view.commands, job.job, run=info.number)
    commands = await all_of(left)
    while True:
        records = await history.view.records(info.number)
        before, commands = commands, await all_of(left)
        if before == commands:  # else one may have become a record in between
            break
    try:
        sent = _answers(history.codec, info.number, records, commands)
    except DAMAGE as error:
        url, codec = history.view.url, history.codec
        raise damaged_run(url, codec, info, records, error, commands=commands) from error
    return sent, len(records), commands[-1].number if commands else 0


def _answers(
    codec: Codec, run: int, records: Sequence[Record], commands: Iterable[Command]
) -> dict[str, _Sent]:
    left = [
        Record.signal(run, *decode_signal(each.payload or b""), each.at)
        for each in commands
        if each.command == "signal"
    ]
    taken = {record.signal_id for record in records if record.kind == RecordKind.TAKEN}
    sent: dict[str, _Sent] = {}
    came = [record for record in records if record.kind == RecordKind.SIGNAL]
    for record in (*came, *left):
        try:
            approval = read_approval(codec.to_json(record.signal_value))
        except UnreadableAnswerError:
            continue
        name = record.signal_name
        answers = sent[name] = sent.pop(name) if name in sent else _Sent()
        answers.add(approval, is_taken=record.signal_id in taken)
    return sent
