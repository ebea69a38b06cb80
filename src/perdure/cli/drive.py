"""Drives a job for `perdure run`: signals, progress, the summary at the end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from perdure.cli import render, waits
from perdure.cli.load import AnyAgent
from perdure.cli.options import selection
from perdure.cli.progress_view import Total, View, keep_showing, make_view, show_warnings
from perdure.config.configuration import Configuration
from perdure.connectors.base import Sink
from perdure.connectors.iterable import CallableSink
from perdure.connectors.json_text import to_json
from perdure.connectors.jsonl import JsonlSink, JsonlSource
from perdure.engine.job import Job
from perdure.engine.local import LocalEngine
from perdure.engine.progress import DriveResult
from perdure.engine.progress import Progress as Counts
from perdure.run import Output, RunStatus

GRACE_SECONDS = 5.0  # that the runs in flight have after the first signal
LISTED_FAILURES = 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a `perdure run` is to do; see its options. `command` is how it was called."""

    agent: AnyAgent
    job: str
    store: str
    input: str
    key: str
    id: str | None
    output: str | None
    envelope: bool
    config: Configuration
    summary: str | None
    quiet: bool
    command: str
    is_named: bool

    @property
    def selection(self) -> str:
        """The options with which other commands find this job."""
        return selection(self.store, self.job if self.is_named else None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The counts at the end, as `--summary-json` writes them.

    Inputs, completed, failed and cancelled are of all inputs read, those of earlier processes
    included; waiting are the runs left in the store for time or a signal to continue; the other
    counts are of this process.
    """

    inputs: int
    outputs: int
    completed: int
    failed: int
    cancelled: int
    waiting: int
    calls_made: int
    calls_replayed: int
    retries: int
    late_results: int
    seconds: float


async def drive(plan: Plan) -> int:
    """Run the job to the end of its input, or until a signal; return the exit code."""
    engine = LocalEngine(store=plan.store, job=plan.job, config=plan.config)
    total = Total(plan.input)
    view = make_view(plan.job, total, quiet=plan.quiet, outputs_on_stdout=plan.output is None)
    stopping = Stopping(view)
    began = time.monotonic()
    result: DriveResult | None = None
    unwatch = show_warnings()
    try:
        with stopping:
            result = await _run(engine, plan, view, stopping)
    except BaseException:
        if stopping.received is None or not stopping.is_forced:
            raise
    finally:
        view.close()
        unwatch()
        if stopping.job is not None:
            summary = _summary(stopping, stopping.job, result, time.monotonic() - began)
            if plan.summary is not None:
                _write_summary(plan.summary, summary)
    if stopping.job is not None:
        _print_summary(plan, view, summary, stopping.job.progress)
    if result is not None:
        _list_failures(plan, view, result)
    if stopping.job is not None:
        _print_waiting(plan, view, stopping)
    if stopping.received is not None:
        view.note(f"interrupted; nothing is lost. To go on, run the same again:\n  {plan.command}")
        return 128 + stopping.received
    assert result is not None
    return 1 if result.failed else 0


async def _run(engine: LocalEngine, plan: Plan, view: View, stopping: Stopping) -> DriveResult:
    async with engine.open(plan.agent, sink=_sink(plan)) as job:
        stopping.opened(job)
        hint = waits.Hint(job, view, plan.selection)
        loop = asyncio.get_running_loop()
        showing = [
            loop.create_task(keep_showing(view, lambda: job.progress)),
            loop.create_task(hint.watch()),
        ]
        try:
            return await job.drive(JsonlSource(plan.input), key=plan.key, id=plan.id, collect=False)
        finally:
            stopping.waiting = job.progress.waiting  # a closed job no longer knows
            for task in showing:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def _sink(plan: Plan) -> Sink:
    if plan.output is not None:
        return JsonlSink(plan.output, envelope=plan.envelope)

    def write(output: Output) -> None:
        value: Any = output.value
        if plan.envelope:
            value = {
                "key": output.key, "run_id": output.run_id, "id": output.id, "value": value,
            }  # fmt: skip
        sys.stdout.buffer.write(to_json(value) + b"\n")
        sys.stdout.buffer.flush()

    return CallableSink(write, name="stdout")


class Stopping:
    """What signals do: the first one lets the runs in flight end, the second one stops at once.

    Owns: the handlers of SIGINT and SIGTERM while it is entered.

    Attributes:
        received: number of the first signal, None before.
        is_forced: the job was told not to wait for the runs in flight.
        job: the job, once it is open.
        waiting: number of runs that only waited at the end.
    """

    def __init__(self, view: View) -> None:
        self.received: int | None = None
        self.is_forced = False
        self.job: Job | None = None
        self.waiting = 0
        self._view = view
        self._deadline: asyncio.TimerHandle | None = None
        self._main: asyncio.Task[Any] | None = None
        self._restore: list[Callable[[], Any]] = []

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._on_signal, number)
                self._restore.append(lambda number=number: loop.remove_signal_handler(number))  # type: ignore[misc]
            except (NotImplementedError, RuntimeError, ValueError):
                pass  # on Windows, or not on the main thread: Ctrl-C raises KeyboardInterrupt

    def __exit__(self, *_error: object) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._release()

    def opened(self, job: Job) -> None:
        """Take the job that signals are to stop."""
        self.job = job

    def _on_signal(self, number: int) -> None:
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
        self._release()  # a third signal ends the process, whatever it is doing
        if self.job is not None:
            self.job.stop_now()
        elif self._main is not None:
            self._main.cancel()

    def _release(self) -> None:
        restore, self._restore = self._restore, []
        for undo in restore:
            undo()


def _summary(stopping: Stopping, job: Job, result: DriveResult | None, seconds: float) -> Summary:
    counts = job.progress
    if result is not None:
        inputs = result.inputs
        failed = sum(info.status is RunStatus.FAILED for info in result.failed)
        cancelled = len(result.failed) - failed
        completed = inputs - len(result.failed)
        if stopping.received is not None:
            # What waits are inputs, runs they started, and earlier inputs not read this time.
            before = counts.already_done - len(result.failed)
            completed = max(completed - stopping.waiting, before, 0)
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
        calls_made=counts.calls_made,
        calls_replayed=counts.calls_replayed,
        retries=counts.retries,
        late_results=counts.late_results,
        seconds=round(seconds, 3),
    )


def _write_summary(path: str, summary: Summary) -> None:
    """Write it so that a reader never sees half of it."""
    temporary = f"{path}.tmp{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(summary), file)
        file.write("\n")
    os.replace(temporary, path)


def _print_summary(plan: Plan, view: View, summary: Summary, counts: Counts) -> None:
    parts = [f"{summary.completed:,} completed"]
    for number, name in (
        (summary.failed, "failed"),
        (summary.cancelled, "cancelled"),
        (summary.waiting, "waiting"),
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
        f"{plan.job}: {render.count(summary.inputs, 'input')} ({', '.join(parts)}); {calls};"
        f" {render.count(summary.outputs, 'output')} in {render.duration(summary.seconds * 1e9)}"
    )


def _print_waiting(plan: Plan, view: View, stopping: Stopping) -> None:
    """Say what becomes of the runs that wait."""
    if not stopping.waiting:
        return
    those = waits.how_many(stopping.waiting)
    if stopping.received is not None:
        view.note(
            f"{those} in the store for a signal or for time; a signal that is sent meanwhile is"
            f" kept; {waits.advice(plan.selection)}"
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
        reason = render.failure(info.error) if info.error else info.status.value
        view.note(f"  {info.id}  key {render.shown_key(info.key)}: {render.first_line(reason)}")
    if len(failed) > LISTED_FAILURES:
        view.note(f"  and {len(failed) - LISTED_FAILURES:,} more: perdure runs{plan.selection}")
    view.note(
        f"look at one: perdure show {failed[0].id}{plan.selection}; put one back:"
        f" perdure retry {failed[0].id}{plan.selection}; then run the same command again"
    )
