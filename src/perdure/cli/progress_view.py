"""How a running job shows on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from rich.cells import cell_len
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from perdure.cli import render
from perdure.engine.progress import Progress as Counts
from perdure.printable import printable

BAR_SECONDS = 0.2
LINE_SECONDS = 3.0
SAME_LINE_SECONDS = 60.0  # between lines while runs only wait
RATE_WINDOW_SECONDS = 10.0
BAR_WIDTHS = (24, 10)  # cells, the wider one where there is room
LONGEST_NAME = 24  # cells of the job's name before a bar
LEAST_SAID = 4  # the rank of what says least of all counts
SAME_MESSAGES = 10  # shown of each kind


class View(Protocol):
    """Shows the progress of a job, until it is closed."""

    seconds: float

    def show(self, counts: Counts) -> None:
        """Show the counts as of now."""

    def note(self, text: str) -> None:
        """Print a line that stays."""

    def close(self) -> None:
        """Show nothing more."""


class Total:
    """The number of records of files, counted on a thread of its own; None until it is known.

    Args:
        paths: the regular files; without any (standard input, a pipe) it stays unknown.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.value: int | None = None
        files = list(paths)
        if files:
            threading.Thread(target=self._count, args=(files,), daemon=True).start()

    def _count(self, paths: Sequence[str]) -> None:
        total = 0
        try:
            for path in paths:
                with open(path, "rb") as file:
                    total += sum(1 for line in file if not line.isspace())
        except OSError:
            return  # whoever reads it for good says so
        self.value = total


class Meter:
    """Finished inputs and their rate: over the last seconds, and on average."""

    def __init__(self) -> None:
        self._samples = collections.deque([(time.monotonic(), 0)])
        self._began = time.monotonic()

    def done(self, counts: Counts) -> int:
        """Return how many of the inputs read so far are finished."""
        finished = counts.already_done + _finished(counts)
        # A run left over from before may end before its input is read.
        return min(finished, counts.inputs)

    def rate(self, counts: Counts) -> float:
        """Return runs finished by this process a second."""
        now, finished = time.monotonic(), _finished(counts)
        samples = self._samples
        samples.append((now, finished))
        while samples[0][0] < now - RATE_WINDOW_SECONDS:
            samples.popleft()
        since, before = samples[0]
        return (finished - before) / (now - since) if now > since else 0.0

    def average(self, counts: Counts) -> float | None:
        """Return runs a second since this process had its first; None while none is finished."""
        now, finished = time.monotonic(), _finished(counts)
        if not finished:
            if not counts.in_flight:
                self._began = now  # so far it only reads past what is finished already
            return None
        return finished / max(now - self._began, 0.001)


def _finished(counts: Counts) -> int:
    """Return how many runs this process has finished."""
    return counts.completed + counts.failed + counts.cancelled


def shown_rate(rate: float) -> str:
    """Return runs a second as text: a minute or an hour where that makes less than one."""
    for factor, unit in ((1, "s"), (60, "min")):
        if rate * factor >= 1:
            return f"{rate * factor:,.0f}/{unit}"
    return f"{rate * 3600:.2g}/h"


def details(counts: Counts, rate: str | None, leave_out: int = 0) -> str:
    """Return what is said behind the number of finished inputs.

    Args:
        counts: what is counted.
        rate: the rate, if one is known.
        leave_out: how many of those that say least are left out, for a narrow screen.
    """
    parts = [(2, rate)] if rate is not None else []
    parts.append((1, f"{counts.in_flight:,} in flight"))
    waiting = (counts.waiting, "waiting")
    for number, name in (waiting, (counts.failed, "failed"), (counts.cancelled, "cancelled")):
        if number:
            parts.append((0, f"{number:,} {name}"))
    if counts.retries:
        parts.append((3, f"{counts.retries:,} retried"))
    calls = f"calls {counts.calls_made:,} made, {counts.calls_replayed:,} replayed"
    parts.append((LEAST_SAID, calls))
    return " · ".join(text for least, text in parts if least <= LEAST_SAID - leave_out)


class Bar:
    """A progress bar in the terminal; what the program prints appears above it."""

    def __init__(self, job: str, total: Total, *, redirect_stdout: bool) -> None:
        self.seconds = BAR_SECONDS
        self._total = total
        self._meter = Meter()
        self._console = render.make_console(stderr=True)
        self._name = TextColumn("{task.description}", markup=False)
        self._bar = BarColumn(bar_width=BAR_WIDTHS[0])
        self._text = TextColumn("{task.fields[text]}", markup=False)
        self._progress = Progress(
            self._name,
            self._bar,
            self._text,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=redirect_stdout,
        )
        self._job = Text(printable(job))
        self._job.truncate(LONGEST_NAME, overflow="ellipsis")
        self._task: TaskID = self._progress.add_task(self._job.plain, total=None, text="")
        self._progress.start()

    def show(self, counts: Counts) -> None:
        done, total = self._meter.done(counts), self._total.value
        number = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        text = self._fitted(counts, number, f"{self._meter.rate(counts):,.0f}/s")
        self._progress.update(self._task, completed=done, total=total, text=text)
        self._progress.refresh()

    def _fitted(self, counts: Counts, number: str, rate: str) -> str:
        """Return the text, and make the bar as wide, as there is room for."""
        room = self._console.width - cell_len(self._job.plain) - 2
        texts = [
            " · ".join(filter(None, (number, details(counts, rate, leave_out=least))))
            for least in range(LEAST_SAID + 1)
        ]
        for text, bar in itertools.product(texts, BAR_WIDTHS):
            if bar + 1 + cell_len(text) <= room:
                self._bar.bar_width = bar
                self._progress.columns = (self._name, self._bar, self._text)
                return text
        self._progress.columns = (self._text,)
        return texts[-1]

    def note(self, text: str) -> None:
        self._console.print(text)

    def close(self) -> None:
        self._progress.stop()


class Lines:
    """A plain line every few seconds, for logs."""

    def __init__(self, job: str, total: Total) -> None:
        self.seconds = LINE_SECONDS
        self._job = printable(job)
        self._total = total
        self._meter = Meter()
        self._shown: Counts | None = None
        self._shown_at = 0.0

    def show(self, counts: Counts) -> None:
        now = time.monotonic()
        rests = bool(counts.waiting) and not counts.in_flight and counts == self._shown
        if rests and now - self._shown_at < SAME_LINE_SECONDS:
            return  # a run may wait for days
        self._shown, self._shown_at = dataclasses.replace(counts), now
        done, total = self._meter.done(counts), self._total.value
        number = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        rate = self._meter.average(counts)
        shown = shown_rate(rate) if rate is not None else None
        self.note(f"{self._job}: {number} done · {details(counts, shown)}")

    def note(self, text: str) -> None:
        render.say(text, error=True)

    def close(self) -> None:
        pass


class Silent:
    """Shows no progress; notes are still printed."""

    seconds = 3600.0

    def show(self, counts: Counts) -> None:
        pass

    def note(self, text: str) -> None:
        render.say(text, error=True)

    def close(self) -> None:
        pass


def make_view(job: str, total: Total, *, quiet: bool, outputs_on_stdout: bool) -> View:
    """Return the view that fits: a bar would be torn by outputs on the same terminal."""
    if quiet or (outputs_on_stdout and sys.stdout.isatty()):
        return Silent()
    if sys.stderr.isatty():
        return Bar(job, total, redirect_stdout=sys.stdout.isatty())
    return Lines(job, total)


async def keep_showing(view: View, counts: Callable[[], Counts]) -> None:
    """Show the counts again and again, until cancelled."""
    # The first line of a log says where it stands, not that nothing has happened yet.
    await asyncio.sleep(min(view.seconds, 1.0))
    while True:
        view.show(counts())
        await asyncio.sleep(view.seconds)


class LogHandler(logging.Handler):
    """Prints the job's warnings to stderr as it is then: above the bar, if there is one.

    Of messages that differ only in their values the first few are shown: a thousand failed runs
    are listed at the end.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._seen: collections.Counter[object] = collections.Counter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._seen[record.msg] += 1
            seen = self._seen[record.msg]
            if seen > SAME_MESSAGES:
                return
            more = " (more of this kind are not shown)" if seen == SAME_MESSAGES else ""
            render.say(f"{record.levelname.lower()}: {self.format(record)}{more}", error=True)
        except Exception:
            self.handleError(record)


def show_warnings() -> Callable[[], None]:
    """Show the job's warnings, unless the program has set up logging itself; return the undoing."""
    logger = logging.getLogger("perdure")
    if logging.getLogger().handlers or logger.handlers:
        return lambda: None
    handler = LogHandler()
    logger.addHandler(handler)
    return lambda: logger.removeHandler(handler)
