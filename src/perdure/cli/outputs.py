"""`perdure outputs`: the recorded outputs of a job again, whatever became of those delivered."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.options import DEFAULT_STORE, JobOption, StoreOption, epilog
from perdure.errors import ConfigurationError
from perdure.printable import printable

if TYPE_CHECKING:
    from perdure.connectors.jsonl import JsonlSink
    from perdure.operate.history import AsyncHistory, JobRow


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        epilog=epilog(
            "perdure outputs | jq .mean",
            "perdure outputs --output again.jsonl --envelope",
            "perdure outputs --output again.jsonl --store sqlite:///reviews.db --job reviews",
        )
    )(outputs)


def outputs(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            metavar="F.jsonl",
            help="A new file; - or none is stdout.",
            show_default=False,
        ),
    ] = "-",
    envelope: Annotated[
        bool, typer.Option("--envelope", help="Write {key, run_id, id, value} instead.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Give the recorded outputs of a job again.

    As JSON lines, in the order of their commits, delivered or not, those of unfinished runs
    included; nothing is run and nothing changes. The lines are those that `perdure run` writes,
    except that an enum is the name of its member, and a named tuple an object: their classes are
    in the agent's code, which is not loaded.
    """
    import asyncio

    from perdure.cli import render
    from perdure.cli.files import check_written
    from perdure.connectors.jsonl import JsonlSink

    sink = JsonlSink(output, envelope=envelope)
    if sink.file is not None and os.path.lexists(sink.file):
        raise ConfigurationError(
            f"--output {sink.file} exists, and may be what a job writes: it was not touched; give a"
            " new file"
        )
    if sink.file is not None:
        check_written("--output", sink.file, store)
    name, count = asyncio.run(_copy(store, job, sink))
    render.say(f"job {printable(name)}: {render.count(count, 'output')}", error=True)


async def _copy(store: str, name: str | None, sink: JsonlSink) -> tuple[str, int]:
    """Write what the store has to the sink; return the job's name and the number of outputs."""
    from perdure.operate.history import AsyncHistory

    async with AsyncHistory.at(store) as history:
        job = await history.choose_job(name)
        await sink.open(None)
        try:
            count = await _write(history, job, sink)
        except BaseException:
            if sink.file is not None:  # half of them would look like all
                with contextlib.suppress(OSError):
                    os.unlink(sink.file)
            raise
        finally:
            await sink.close()
    return job.title, count


async def _write(history: AsyncHistory, job: JobRow, sink: JsonlSink) -> int:
    count, after = 0, ""
    while True:
        page, after = await history.outputs_page(job, after=after)
        await sink.write(page)
        count += len(page)
        if not after:
            return count
