"""`perdure run`: an agent over a file of inputs, to its end; the same command again resumes."""

from __future__ import annotations

import enum
import functools
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.log_format import LogFormat, LogFormatOption, log_written
from perdure.cli.options import DEFAULT_STORE, Invocation, StoreOption, epilog

if TYPE_CHECKING:
    from perdure.cli.load import LoadedAgent
    from perdure.operate.job_names import ChosenName


class BadLines(enum.StrEnum):
    """What `--on-bad-line` takes."""

    STOP = "stop"
    SKIP = "skip"


class Behind(enum.StrEnum):
    """What `--output-behind` takes."""

    REFUSE = "refuse"
    KEEP = "keep"
    MOVE = "move"


AgentArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE_OR_FILE:AGENT",
        help="An Agent, its class, a function that makes it, or an agent of a YAML file.",
    ),
]
InputOption = Annotated[
    str,
    typer.Option(
        "--input",
        metavar="F.jsonl",
        help="JSON lines; - is standard input, 'part-*.jsonl' (quoted) several files.",
    ),
]
KeyOption = Annotated[
    str,
    typer.Option(
        "--key", metavar="FIELD", help="The field that is an input's key; a.b is field b of a."
    ),
]
IdOption = Annotated[
    str | None,
    typer.Option("--id", metavar="FIELD", help="The field that is an input's id, if any."),
]
OutputOption = Annotated[
    str,
    typer.Option(
        "--output",
        metavar="O.jsonl",
        help="Where outputs go; - or none is stdout.",
        show_default=False,
    ),
]
EnvelopeOption = Annotated[
    bool, typer.Option("--envelope", help="Write {key, run_id, id, value} instead.")
]
NewJobOption = Annotated[
    str | None,
    typer.Option(
        "--job",
        metavar="NAME",
        envvar="PERDURE_JOB",
        help="The job; else it is named after the agent's file and the agent.",
    ),
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", metavar="FILE.yaml", help="Options from a YAML file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One option; may be given several times."),
]
SummaryOption = Annotated[
    str | None, typer.Option("--summary-json", metavar="PATH", help="Write the counts there.")
]
BadLineOption = Annotated[
    BadLines,
    typer.Option(
        "--on-bad-line", help="At a line that is no input: stop, or skip it and keep its place."
    ),
]
BehindOption = Annotated[
    Behind,
    typer.Option(
        "--output-behind",
        help="Lines that are not this job's, behind its own: refuse them, go on behind them, or"
        " move them to O.jsonl.orphaned-N.",
    ),
]
SourceNameOption = Annotated[
    str | None,
    typer.Option("--source-name", metavar="NAME", help="The input's name; else the file's."),
]
SinkNameOption = Annotated[
    str | None,
    typer.Option("--sink-name", metavar="NAME", help="The output's name; else the file's."),
]
FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Run all inputs anew, with empty memory and documents; what was before is kept as"
        " job NAME@N.",
    ),
]
AbandonOption = Annotated[
    bool, typer.Option("--abandon", help="With --fresh: cancel the runs that are unfinished.")
]
FlinkAgentsOption = Annotated[
    bool,
    typer.Option(
        "--flink-agents",
        help="AGENT is one of Flink Agents, and `import flink_agents` means perdure.flink_agents.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        epilog=epilog(
            "perdure run agent.py:agent --input reviews.jsonl --key id --output scores.jsonl",
            "perdure run shop.agents:ReviewAgent --input - --key id < reviews.jsonl | jq .mean",
            "perdure run agents.yaml:review_agent --input reviews.jsonl --key id",
            "perdure run agent.py --input reviews.jsonl --key id --output scores.jsonl \\",
            "    --store sqlite:///reviews.db --job reviews --set num-async-threads=16",
        )
    )(run)


def run(
    ctx: typer.Context,
    agent: AgentArgument,
    input: InputOption,
    key: KeyOption,
    id: IdOption = None,
    output: OutputOption = "-",
    envelope: EnvelopeOption = False,
    store: StoreOption = DEFAULT_STORE,
    job: NewJobOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    on_bad_line: BadLineOption = BadLines.STOP,
    output_behind: BehindOption = Behind.REFUSE,
    source_name: SourceNameOption = None,
    sink_name: SinkNameOption = None,
    summary_json: SummaryOption = None,
    fresh: FreshOption = False,
    abandon: AbandonOption = False,
    flink_agents: FlinkAgentsOption = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Run an agent over a file of inputs to its end.

    The same command again resumes: finished inputs are not run again, unfinished runs go on from
    their journal. Ctrl-C stops cleanly. Ends with 0 only when every run succeeded.
    """
    # Here, so that `perdure --help` waits for none of it.
    from perdure.cli.drive import Plan, drive, signals_of
    from perdure.cli.files import check_files
    from perdure.cli.load import load_flink_agent, load_with_configuration
    from perdure.connectors.jsonl import JsonlSink, JsonlSource
    from perdure.engine.event_loop import runner_of

    source = JsonlSource(input, name=source_name, on_bad_line=on_bad_line.value)
    sink = JsonlSink(output, envelope=envelope, name=sink_name, behind=output_behind.value)
    check_files(source, sink, agent=agent, config=config, summary=summary_json, store=store)
    load = load_flink_agent if flink_agents else load_with_configuration
    loaded, configuration = load(agent, config, set_ or ())
    chosen = job_name(store, job, loaded)
    plan = Plan(
        agent=loaded.agent,
        job=chosen.name,
        store=store,
        source=source,
        key=key,
        id=id,
        sink=sink,
        config=configuration,
        summary=summary_json,
        quiet=quiet or log_format is LogFormat.JSON,  # no progress among the lines of the log
        command=_command_that_goes_on(ctx),
        is_named=not chosen.is_alone,
        fresh=fresh,
        abandon=abandon,
    )
    with log_written(log_format):
        if code := signals_of(plan).run(runner_of(plan.config), functools.partial(drive, plan)):
            raise typer.Exit(code)


def job_name(store: str, given: str | None, loaded: LoadedAgent) -> ChosenName:
    """Return the name of the job; say so where it is not the one that a new job has."""
    from perdure.cli import render
    from perdure.operate.job_names import ChosenName, choose_name

    if given is not None:
        return ChosenName(given, is_former=False, is_alone=False)
    chosen = choose_name(store, loaded.name, loaded.former)
    if chosen.is_former:
        render.say(
            f"job {chosen.name!r} goes on under this name, which an older version gave it; a new"
            f" one would be {loaded.name!r} (--job)",
            error=True,
        )
    return chosen


def _command_that_goes_on(ctx: typer.Context) -> str:
    """Return the command that goes on with what this one begins."""
    if not isinstance(ctx.obj, Invocation):
        return "perdure run"
    return ctx.obj.without("--fresh", "--abandon").command
