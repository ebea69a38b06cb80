"""`perdure run`: an agent over a file of inputs, to its end; the same command again resumes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.options import DEFAULT_STORE, Invocation, StoreOption, epilog
from perdure.errors import ConfigurationError

AgentArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE_OR_FILE:AGENT",
        help="An Agent, its class, a function that makes it, or an agent of a YAML file.",
    ),
]
InputOption = Annotated[
    str, typer.Option("--input", metavar="F.jsonl", help="JSON lines; - is standard input.")
]
KeyOption = Annotated[
    str, typer.Option("--key", metavar="FIELD", help="The field that is an input's key.")
]
IdOption = Annotated[
    str | None,
    typer.Option("--id", metavar="FIELD", help="The field that is an input's id, if any."),
]
OutputOption = Annotated[
    str | None,
    typer.Option("--output", metavar="O.jsonl", help="Where outputs go; else to stdout."),
]
EnvelopeOption = Annotated[
    bool, typer.Option("--envelope", help="Write {key, run_id, id, value} instead.")
]
NewJobOption = Annotated[
    str | None,
    typer.Option(
        "--job", metavar="NAME", help="The job; else the agent's file, module or YAML name."
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
    output: OutputOption = None,
    envelope: EnvelopeOption = False,
    store: StoreOption = DEFAULT_STORE,
    job: NewJobOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    summary_json: SummaryOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run an agent over a file of inputs to its end.

    The same command again resumes: finished inputs are not run again, unfinished runs go on from
    their journal. Ctrl-C stops cleanly. Ends with 0 only when every run succeeded.
    """
    # Here, so that `perdure --help` waits for none of it.
    import asyncio

    from perdure.cli.drive import Plan, drive
    from perdure.cli.load import load_agent
    from perdure.config.configuration import Configuration

    if input != "-" and not Path(input).exists():
        raise ConfigurationError(f"--input {input}: there is no such file in {os.getcwd()}")
    loaded = load_agent(agent)
    plan = Plan(
        agent=loaded.agent,
        job=job or loaded.name,
        store=store,
        input=input,
        key=key,
        id=id,
        output=output,
        envelope=envelope,
        config=Configuration.load(config, overrides=set_ or (), below=loaded.config),
        summary=summary_json,
        quiet=quiet,
        command=ctx.obj.command if isinstance(ctx.obj, Invocation) else "perdure run",
        is_named=job is not None,
    )
    code = asyncio.run(drive(plan))
    if code:
        raise typer.Exit(code)
