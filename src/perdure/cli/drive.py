"""Drives a job for `perdure run`: signals, progress, the summary at the end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from typing import Any

from perdure.cli import render
from perdure.cli.files import write_whole
from perdure.cli.load import AnyAgent
from perdure.cli.options import selection
from perdure.cli.progress_view import Total, View, keep_showing, make_view, show_warnings
from perdure.cli.stop_signals import StopSignals
from perdure.config.configuration import Configuration
from perdure.connectors.jsonl import JsonlSink, JsonlSource
from perdure.connectors.output_stream import is_stdout
from perdure.engine.job import Job
from perdure.engine.local import LocalEngine
from perdure.engine.progress import DriveResult
from perdure.engine.progress import Progress as Counts
from perdure.engine.waiting import WaitingWatch, how_many
from perdure.errors import (
    EncodeError,
    InputError,
    PerdureError,
    SinkError,
    StoreError,
    TooManyFailuresError,
)
from perdure.printable import printable, shell_word

HINT_SECONDS = 2.0  # that nothing but waiting is done before the user is told
GRACE_SECONDS = 5.0  # that the runs in flight have after the first signal
LISTED_FAILURES = 10
LONGEST_REASON = 300  # characters of a failure in that list


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a `perdure run` is to do; see its options. `command` is what goes on with it."""

    agent: AnyAgent
    job: str
    store: str
    source: JsonlSource
    key: str
    id: str | None
    sink: JsonlSink
    config: Configuration
    summary: str | None
    quiet: bool
    command: str
    is_named: bool
    fresh: bool = False
    abandon: bool = False

    @property
    def selection(self) -> str:
        """The options with which other commands find this job."""
        return selection(self.store, self.job if self.is_named else None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The counts at the end, as `--summary-json` writes them.

    Inputs, completed, failed, cancelled and unfinished are of all inputs read, those of earlier
    processes included; waiting are the runs left in the store for time or a signal to continue;
    bad lines are those that were passed over; the other counts are of this process.
    """

    inputs: int
    outputs: int
    completed: int
    failed: int
    cancelled: int
    waiting: int
    unfinished: int = 0
    bad_lines: int = 0
    calls_made: int
    calls_replayed: int
    retries: int
    late_results: int
    seconds: float


def signals_of(plan: Plan) -> StopSignals:
    """Return what hears the signals of a `perdure run`, around the loop that it is run on."""

    def last_words(why: str) -> str:
        return f"{why}; {_interrupted(plan)}"

    return StopSignals(grace=GRACE_SECONDS, last_words=last_words)


def _interrupted(plan: Plan) -> str:
    return f"nothing is lost. To go on, run the same again:\n  {plan.command}"


async def drive(plan: Plan, signals: StopSignals) -> int:
    """Run the job to the end of its input, or until a signal; return the exit code."""
    engine = LocalEngine(store=plan.store, job=plan.job, config=plan.config)
    total = Total(plan.source.files().values())
    on_stdout = is_stdout(plan.sink.path)
    view = make_view(plan.job, total, quiet=plan.quiet, outputs_on_stdout=on_stdout)
    stopping = Stopping(view)
    began = time.monotonic()
    result: DriveResult | None = None
    refused: PerdureError | None = None
    unwatch = show_warnings()
    try:
        signals.tell(stopping.heard)
        with stopping:
            result = await _run(engine, plan, view, stopping)
    except (InputError, EncodeError, SinkError, StoreError, TooManyFailuresError) as error:
        refused = error  # said last, behind the counts
    except BaseException:
        if stopping.received is None or not stopping.is_forced:
            raise
    finally:
        view.close()
        unwatch()
        if stopping.job is not None:
            summary = _summary(stopping, stopping.job, result, time.monotonic() - began)
            if plan.summary is not None:
                text = json.dumps(dataclasses.asdict(summary)) + "\n"
                write_whole(plan.summary, text.encode())
    if stopping.job is not None:
        _print_summary(plan, view, summary, stopping.job.progress)
    if result is not None:
        _list_failures(plan, view, result)
    if stopping.job is not None:
        _print_waiting(plan, view, stopping)
    if refused is not None and stopping.job is None:
        raise refused
    if refused is not None:
        view.note(f"to go on once that is mended, run the same again:\n  {plan.command}")
        raise refused
    if stopping.received is not None:
        view.note(f"interrupted; {_interrupted(plan)}")
        return 128 + stopping.received
    assert result is not None
    return 1 if result.failed else 0


async def _run(engine: LocalEngine, plan: Plan, view: View, stopping: Stopping) -> DriveResult:
    opened = engine.open(plan.agent, sink=plan.sink, fresh=plan.fresh, abandon=plan.abandon)
    async with opened as job:
        stopping.opened(job)
        hint = WaitingWatch(job, view.note, after=HINT_SECONDS, selection=plan.selection)
        loop = asyncio.get_running_loop()
        showing = [
            loop.create_task(keep_showing(view, lambda: job.progress)),
            loop.create_task(hint.watch()),
        ]
        try:
            return await job.drive(plan.source, key=plan.key, id=plan.id, collect=False)
        finally:
            counts = job.progress  # a closed job no longer knows
            stopping.waiting = counts.waiting
            stopping.queued = counts.queued + counts.in_flight
            for task in showing:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


class Stopping:
    """What signals do: the first one lets the runs in flight end, the second one stops at once.

    Attributes:
        received: number of the first signal, None before.
        is_forced: the job was told not to wait for the runs in flight.
        job: the job, once it is open.
        waiting: number of runs that only waited at the end.
        queued: number of those that had not begun, or were stopped.
    """

    def __init__(self, view: View) -> None:
        self.received: int | None = None
        self.is_forced = False
        self.job: Job | None = None
        self.waiting = 0
        self.queued = 0
        self._view = view
        self._deadline: asyncio.TimerHandle | None = None
        self._main: asyncio.Task[Any] | None = None
        self._over = False

    def __enter__(self) -> None:
        self._main = asyncio.current_task()

    def __exit__(self, *_error: object) -> None:
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()

    def opened(self, job: Job) -> None:
        """Take the job that signals are to stop."""
        self.job = job

    def heard(self, number: int) -> None:
        """Take a signal; on the loop."""
        if self._over:
            return
        if self.received is not None:
            self._force()
            return
        self.received = number
        if self.job is None:
            self._force()
            return
        counts = self.job.progress
        if counts.in_flight:
            stay = f", {counts.waiting:,} waiting in the store" if counts.waiting else ""
            self._view.note(
                f"stopping: {render.count(counts.in_flight, 'run')} in flight may end within"
                f" {GRACE_SECONDS:.0f} s{stay}; once more stops at once"
            )
        self._deadline = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._force)
        self.job.drain_soon()

    def _force(self) -> None:
        self.is_forced = True
        if self.job is not None:
            self.job.stop_now()
        elif self._main is not None:
            self._main.cancel()


def _summary(stopping: Stopping, job: Job, result: DriveResult | None, seconds: float) -> Summary:
    counts = job.progress
    if result is not None:
        inputs, failed, cancelled = result.inputs, result.failures, result.cancelled
        completed = inputs - failed - cancelled
        if stopping.received is not None:
            # What waits are inputs, runs they started, and earlier inputs not read this time.
            before = counts.already_done - failed - cancelled
            completed = max(completed - stopping.waiting - stopping.queued, before, 0)
    else:
        inputs, failed, cancelled = counts.inputs, counts.failed, counts.cancelled
        completed = min(counts.completed + counts.already_done, inputs)
    return Summary(
        inputs=inputs,
        outputs=counts.outputs,
        completed=completed,
        failed=failed,
        cancelled=cancelled,
        waiting=stopping.waiting,
        unfinished=max(inputs - completed - failed - cancelled - stopping.waiting, 0),
        bad_lines=counts.bad_lines,
        calls_made=counts.calls_made,
        calls_replayed=counts.calls_replayed,
        retries=counts.retries,
        late_results=counts.late_results,
        seconds=round(seconds, 3),
    )


def _print_summary(plan: Plan, view: View, summary: Summary, counts: Counts) -> None:
    parts = [f"{summary.completed:,} completed"]
    for number, name in (
        (summary.failed, "failed"),
        (summary.cancelled, "cancelled"),
        (summary.waiting, "waiting"),
        (summary.unfinished, "unfinished"),
    ):
        if number:
            parts.append(f"{number:,} {name}")
    if counts.already_done:
        parts.append(f"{counts.already_done:,} finished before")
    calls = f"{render.count(summary.calls_made, 'call')} made, {summary.calls_replayed:,} replayed"
    if summary.retries:
        calls += f", {render.count(summary.retries, 'retry').replace('retrys', 'retries')}"
    if summary.late_results:
        calls += f", {render.count(summary.late_results, 'late result')} dropped"
    view.note(
        f"{printable(plan.job)}: {render.count(summary.inputs, 'input')} ({', '.join(parts)});"
        f" {calls}; {render.count(summary.outputs, 'output')} in"
        f" {render.duration(summary.seconds * 1e9)}"
    )
    if summary.bad_lines:
        view.note(
            f"{render.count(summary.bad_lines, 'bad line')} passed over; see which, and why:"
            f" perdure runs --bad-lines{plan.selection}"
        )


def _print_waiting(plan: Plan, view: View, stopping: Stopping) -> None:
    """Say what becomes of the runs that wait."""
    if not stopping.waiting:
        return
    those = how_many(stopping.waiting)
    if stopping.received is not None:
        view.note(
            f"{those} in the store for a signal or for time; a signal that is sent meanwhile is"
            f" kept; see who waits, and answer: perdure inbox{plan.selection}"
        )
        return
    # Else the job would have waited for them.
    view.note(
        f"{those} in the store until due; see which: perdure runs --status waiting{plan.selection};"
        f" to go on with what is due then, run the same again:\n  {plan.command}"
    )


def _list_failures(plan: Plan, view: View, result: DriveResult) -> None:
    failed = result.failed
    if not failed:
        return
    for info in failed[:LISTED_FAILURES]:
        reason = render.short_failure(info.error) if info.error else info.status.value
        shown = render.first_line(reason, LONGEST_REASON)
        view.note(f"  {printable(info.title)}  key {render.shown_key(info.key)}: {shown}")
    more = result.failures + result.cancelled - LISTED_FAILURES
    if more > 0:
        status = "failed" if result.failures else "cancelled"
        view.note(f"  and {more:,} more: perdure runs --status {status}{plan.selection}")
    first = shell_word(failed[0].title)
    view.note(
        f"look at one: perdure show {first}{plan.selection}; put one back:"
        f" perdure retry {first}{plan.selection}; then run the same command again"
    )
