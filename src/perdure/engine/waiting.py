"""WaitingWatch: tells when only runs that wait keep a job open, for what, and how to answer."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from perdure.engine.job import Job, Run
from perdure.errors import StoreError
from perdure.printable import printable, quoted_key, shell_word
from perdure.run import run_title
from perdure.run.approval import APPROVAL

if TYPE_CHECKING:
    from perdure.run import WaitInfo

__all__ = ["WaitingWatch", "answer_command", "how_many"]

LOOK_SECONDS = 0.5
AGAIN_SECONDS = 60.0  # between two times at least
NAMED = 3  # runs that are named


def how_many(waiting: int) -> str:
    """Return `1 run waits`, `3 runs wait`."""
    return f"{waiting:,} run{'' if waiting == 1 else 's'} wait{'s' if waiting == 1 else ''}"


def answer_command(wait: WaitInfo, selection: str = "", run: str | None = None) -> str:
    """Return the command that answers a wait.

    Args:
        wait: the wait.
        selection: the options that name store and job, with a space before each.
        run: what names the run; None: its title.
    """
    run, name = shell_word(run or wait.title), shell_word(wait.name)
    if wait.kind == APPROVAL:
        return f"perdure approve {run} {name}{selection}"
    return f"perdure signal {run} {name} VALUE{selection}"


class WaitingWatch:
    """Tells, once a state, that nothing goes on until a signal comes or time passes.

    Args:
        job: the open job.
        tell: is given the line.
        after: seconds in which nothing else is done before it is told.
        selection: the options that name store and job, for the commands in it; None where no
            other process can look into the store.
    """

    def __init__(
        self, job: Job, tell: Callable[[str], None], *, after: float, selection: str | None
    ) -> None:
        self._job = job
        self._tell = tell
        self._after = after
        self._selection = selection
        self._seen: tuple[int, ...] = ()
        self._since = 0.0
        self._told: tuple[int, ...] = ()
        self._told_at = float("-inf")

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look(time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: float) -> None:
        """Tell what there is to tell; `now` in seconds."""
        counts = self._job.progress
        waiting = counts.waiting - counts.delayed
        state = (waiting, counts.completed, counts.failed, counts.cancelled)
        if counts.in_flight or not waiting or state != self._seen:
            self._seen, self._since = (() if counts.in_flight else state), now
            return
        if now - self._since < self._after or now - self._told_at < AGAIN_SECONDS:
            return
        if state != self._told:
            self._told, self._told_at = state, now
            self._tell(await self._text(waiting, counts.queued))

    async def _text(self, waiting: int, queued: int) -> str:
        runs = list(itertools.islice(self._job.waiting_runs(), NAMED))
        try:
            input_ids = await self._job.input_ids(runs)
        except StoreError:
            input_ids = {}  # their own ids name them as well
        waits = [
            dataclasses.replace(wait, input_id=input_ids.get(run.id))
            for run in runs
            for wait in run.waits
        ]
        behind = f"; {queued:,} queued behind {'it' if waiting == 1 else 'them'}" if queued else ""
        more = f"; and {waiting - len(runs):,} more" if waiting > len(runs) else ""
        named = [_named(run, run_title(run.id, input_ids.get(run.id))) for run in runs]
        return (
            f"{self._job.name}: {how_many(waiting)} and nothing else is under way"
            f" ({'; '.join(named)}{more}{behind}){self._advice(waits)}"
        )

    def _advice(self, waits: list[WaitInfo]) -> str:
        if self._selection is None:
            return ""
        answer = f"answer: {answer_command(waits[0], self._selection)}; " if waits else ""
        return f"; {answer}see who waits: perdure inbox{self._selection}"


def _named(run: Run, title: str) -> str:
    waits = ", ".join(f"{each.kind} {printable(each.name)}" for each in run.waits) or "time"
    activity = run.activity
    says = f", says {activity[:60]!r}" if isinstance(activity, str) else ""
    return f"{printable(title)}, key {quoted_key(run.key)}, for {waits}{says}"
