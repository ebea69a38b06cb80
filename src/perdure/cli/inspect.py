"""`perdure runs`, `perdure show` and `perdure trace`: what the store has of runs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from perdure.cli.options import (
    DEFAULT_STORE,
    MOST,
    JobOption,
    JsonOption,
    RunArgument,
    StoreOption,
    epilog,
    open_job,
)
from perdure.printable import printable

if TYPE_CHECKING:
    from perdure.operate.history import History, JobRow
    from perdure.operate.lives import LifeInfo
    from perdure.operate.run_detail import RunDetail
    from perdure.run import RunInfo


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        epilog=epilog(
            "perdure runs",
            "perdure runs --status failed --limit 10",
            "perdure runs --status waiting",
            "perdure runs --bad-lines",
            "perdure runs --key B01 --store sqlite:///reviews.db --json",
        )
    )(runs)
    app.command(epilog=epilog("perdure show r1f", "perdure show r1f --json | jq .actions"))(show)
    app.command(
        cls=_JobAlone,
        epilog=epilog(
            "perdure trace r1f",
            "perdure trace --job",
            "perdure trace --job reviews --limit 1000",
            "COLUMNS=200 perdure trace r1f >r1f.txt",
            "perdure trace r1f --format html -o r1f.html",
            "perdure trace r1f --format perfetto -o r1f.json",
        ),
    )(trace)


def runs(
    status: Annotated[
        str | None,
        typer.Option(metavar="S", help="queued, running, waiting, completed, failed or cancelled."),
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="K", help="Runs of this key alone.")] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST, help="Runs shown at most.")
    ] = 50,
    bad_lines: Annotated[
        bool, typer.Option("--bad-lines", help="Inputs that were passed over instead, and why.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """List the runs of a job, newest first.

    Waiting are those that only a signal or time can continue, and those that are due later.
    """
    from perdure.run import status_named

    if bad_lines:
        _show_bad_lines(store, job, limit, as_json)
        return
    wanted = status_named(status) if status is not None else None
    with open_job(store, job) as (history, row):
        found = _runs_of_key(history, row, wanted, key, limit)
        counts = history.counts(row)
    if as_json:
        print_json(
            {
                "job": row.title,
                "counts": counts,
                "runs": [_with_first_attempt(info) for info in found],
            }
        )
        return
    _print_runs(found)
    shown = "" if len(found) < limit else f" (the newest {limit}; --limit shows more)"
    from perdure.cli import render

    render.say_wrapped(f"job {row.title}: {render.counts(counts) or 'no runs yet'}{shown}")


def _with_first_attempt(info: RunInfo) -> RunInfo:
    """Return a run whose attempts are counted as the tables count them: with the first one."""
    return dataclasses.replace(info, attempts=info.attempts + 1)


def _runs_of_key(
    history: History, job: JobRow, status: Any, key: str | None, limit: int
) -> list[RunInfo]:
    """Return the runs; a key from the command line is what the list shows of it."""
    from perdure.operate.history import blocking
    from perdure.operate.meant_keys import keys_meant, runs_of_keys

    if key is None:
        return history.runs(job, status=status, limit=limit)
    keys = blocking(keys_meant)(history, job, key)
    return blocking(runs_of_keys)(history, job, keys, status=status, limit=limit).items


def _print_runs(found: list[RunInfo]) -> None:
    from perdure.cli import render
    from perdure.cli.tables import Table

    if not found:
        print("no such runs")
        return
    columns = ["id", "key", "seq", "status", "attempts", "started", "duration", "error"]
    # The ids of inputs name their runs; the runs have ids of their own as well.
    has_own = any(info.title != info.id for info in found)
    columns[1:1] = ["run"] * has_own
    # Only where there is something to say: the lines are long enough.
    has_due = any(info.is_delayed for info in found)
    has_waits = any(info.waits for info in found)
    has_activity = any(info.activity is not None for info in found)
    columns += ["due"] * has_due + ["waits for"] * has_waits + ["activity"] * has_activity
    table = Table(*columns, right=("seq", "attempts", "duration"))
    for info in found:
        took = info.finished_at - info.admitted_at
        table.add_row(
            info.title,
            *([info.id] if has_own else []),
            render.shown_key(info.key),
            str(info.sequence),
            render.styled(info.status.value),
            str(info.attempts + 1),
            render.age(info.admitted_at),
            render.duration(took) if info.finished_at else "-",
            render.short_failure(info.error) if info.error else "",
            *([render.age(info.due if info.is_delayed else 0)] if has_due else []),
            *([", ".join(map(render.wait, info.waits))] if has_waits else []),
            *([render.activity(info.activity)] if has_activity else []),
        )
    render.make_console().print(table)


def _show_bad_lines(store: str, job: str | None, limit: int, as_json: bool) -> None:
    from perdure.cli import render
    from perdure.cli.tables import Table

    with open_job(store, job) as (history, row):
        found = history.bad_lines(row, limit=limit)
        count = history.count_bad_lines(row)
    if as_json:
        print_json({"job": row.title, "count": count, "bad_lines": found})
        return
    table = Table("source", "line", "read", "reason", right=("line",))
    for bad in found:
        line = str(bad.line) if bad.line is not None else f"input {bad.position}"
        table.add_row(bad.source, line, render.age(bad.at), render.first_line(bad.reason, 1000))
    if found:
        render.make_console().print(table)
    shown = "" if count <= len(found) else f" (the first {len(found)}; --limit shows more)"
    render.say(f"job {printable(row.title)}: {render.count(count, 'bad line')} passed over{shown}")


def show(
    run: RunArgument,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Show a run: events, actions, calls, signals, outputs, error."""
    with open_job(store, job) as (history, row):
        detail = history.detail(row, run)
        processes = [] if as_json else _processes(history, row, detail)
    if as_json:
        print_json(dataclasses.replace(detail, run=_with_first_attempt(detail.run)))
        return
    from perdure.cli.report import print_detail

    print_detail(detail, row.title, processes)


class _JobAlone(TyperCommand):
    """A command whose --job may stand without a name: the one that the store has is meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args[: args.index("--")] if "--" in args else args
        if "--job" in named:
            at = named.index("--job")
            if at + 1 == len(named) or named[at + 1].startswith("-"):
                del args[at]
        return super().parse_args(ctx, args)


def trace(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="A run: the id of its input, or r1f; without it the whole job."
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=MOST, help="Of the whole job: runs drawn at most."),
    ] = 200,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="F",
            help="text, json, html (a file for a browser) or perfetto (for ui.perfetto.dev).",
        ),
    ] = "text",
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where it goes, instead of stdout."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Draw the timeline of a run, or of a job.

    Of a run: actions, calls, timers, signals, crashes. Calls whose bars stand above each other were
    under way at the same time. Of a job (`perdure trace --job`): its keys, one below the other, and
    when the runs of each were queued, at work and waiting.

    With --format html it is one file that shows the run as the web page does, to be sent to a
    colleague: values included.
    """
    from perdure.cli.trace_files import check_format, check_output, made, write

    check_format(format, output, run)
    if output is not None and output != "-":
        check_output(output, store)
    with open_job(store, job) as (history, row):
        if run is None:
            _trace_job(history, row, limit)
            return
        detail = history.detail(row, run)
        processes = _processes(history, row, detail)
        text = "" if format == "text" else made(history, row, detail, format)
    if format != "text":
        write(text, output, format, detail.run.title)
        return
    from perdure.cli.timeline import print_timeline

    print_timeline(detail, row.title, processes)


def _processes(history: History, job: JobRow, detail: RunDetail) -> list[LifeInfo]:
    """Return the processes that had a run's job while it went on."""
    from perdure.operate.lives import lives_during

    return history.wait(lives_during(history.awaited, job, detail))


def _trace_job(history: History, job: JobRow, limit: int) -> None:
    from perdure.cli import render
    from perdure.cli.job_timeline import print_job
    from perdure.operate.history import blocking
    from perdure.operate.job_trace import job_spans

    runs = blocking(job_spans)(history, job, limit=limit, now=render.now())
    more = "" if len(runs) < limit else f" (the newest {limit:,} runs; --limit shows more)"
    print_job(runs, job.title, more)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    from perdure.connectors.json_text import to_json
    from perdure.printable import json_text

    print(json_text(json.dumps(json.loads(to_json(value)), ensure_ascii=False, indent=2)))
