"""What `perdure run` says of runs that only wait: how many, and what to do about them."""

from __future__ import annotations

import asyncio
import time

from perdure.cli import render
from perdure.cli.progress_view import View
from perdure.engine.job import Job

LOOK_SECONDS = 0.5
HINT_SECONDS = 2.0  # that nothing else is done before the user is told
AGAIN_SECONDS = 60.0  # between two hints at least


def how_many(waiting: int) -> str:
    """Return `1 run waits`, `3 runs wait`."""
    return f"{render.count(waiting, 'run')} wait{'s' if waiting == 1 else ''}"


def advice(selection: str, run: str = "RUN") -> str:
    """Return how to send a signal and how to see who waits.

    Args:
        selection: the options that name store and job.
        run: id of the run, if it is known.
    """
    return (
        f"send a signal: perdure signal {run} NAME VALUE{selection};"
        f" see who waits: perdure runs --status waiting{selection}"
    )


class Hint:
    """Tells the user when only waiting runs keep the job open, and how to let them go on.

    Args:
        job: the open job.
        view: where it is told.
        selection: the options that name store and job.
    """

    def __init__(self, job: Job, view: View, selection: str) -> None:
        self._job = job
        self._view = view
        self._selection = selection
        self._seen: tuple[int, ...] = ()
        self._since = 0.0
        self._told: tuple[int, ...] = ()
        self._told_at = float("-inf")

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, now: float) -> None:
        """Tell what there is to tell; `now` in seconds."""
        counts = self._job.progress
        waiting = counts.waiting - counts.delayed
        state = (waiting, counts.completed, counts.failed, counts.cancelled)
        if counts.in_flight or not waiting or state != self._seen:
            self._seen, self._since = (() if counts.in_flight else state), now
            return
        if now - self._since < HINT_SECONDS or now - self._told_at < AGAIN_SECONDS:
            return
        if state != self._told:
            self._told, self._told_at = state, now
            self._view.note(self._text(waiting))

    def _text(self, waiting: int) -> str:
        waits = next(self._job.waiting_runs())
        who = f"{waits.id}, key {render.shown_key(waits.key)}"
        activity = render.activity(waits.activity)
        who += f", says {activity!r}" if activity else ""
        such = "" if waiting == 1 else "such as "
        run = waits.id if waiting == 1 else "RUN"
        return (
            f"{self._job.name}: {how_many(waiting)} for a signal or for time ({such}{who}) and"
            f" nothing else is under way; {advice(self._selection, run)}"
        )
