"""`perdure stats`: calls by function, tokens and cost by model, failures by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.options import (
    DEFAULT_STORE,
    MOST,
    JobOption,
    JsonOption,
    StoreOption,
    epilog,
    open_job,
)

if TYPE_CHECKING:
    from perdure.operate.stats import JobStats

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII_BLOCKS = " .:-=+*#@"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(epilog=epilog("perdure stats", "perdure stats --limit 10000 --json"))(stats)


def stats(
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST, help="Of how many runs, the newest ones.")
    ] = 1000,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Sum up what a job did: calls, tokens and cost, failures.

    Calls are by function, tokens and cost by model, failures by kind. Durations are from a call's
    first attempt to its outcome; a histogram goes from the shortest of all to the longest, each of
    its places longer than the one before by the same factor.
    """
    from perdure.cli import render
    from perdure.cli.inspect import print_json
    from perdure.operate.history import blocking
    from perdure.operate.stats import job_stats

    with open_job(store, job) as (history, row):
        found = blocking(job_stats)(history, row, limit=limit)
    if as_json:
        print_json(_as_json(row.title, found))
        return
    _print(found)
    shown = "" if found.runs < limit else f" (the newest {limit:,}; --limit takes more)"
    render.say_wrapped(f"job {row.title}: {render.count(found.runs, 'run')}{shown}")


def _as_json(job: str, found: JobStats) -> dict[str, object]:
    return {
        "job": job,
        "runs": found.runs,
        "functions": [
            {
                "function": each.function, "calls": each.calls, "returned": each.returned,
                "raised": each.raised, "open": each.open, "retries": each.retries,
                "p50_ns": each.percentile(0.5), "p95_ns": each.percentile(0.95),
            }
            for each in found.functions
        ],
        "models": found.models,
        "failures": [
            {"type": name, "where": where, "runs": count} for name, where, count in found.failures
        ],
    }  # fmt: skip


def _print(found: JobStats) -> None:
    from perdure.cli import render
    from perdure.cli.tables import Table
    from perdure.printable import shown_place

    console = render.make_console()
    if found.functions:
        numbers = ("calls", "raised", "retries", "p50", "p95")
        table = Table("function", *numbers, "from short to long", right=numbers)
        spans = [span for each in found.functions for span in each.durations]
        for each in found.functions:
            table.add_row(
                each.function, f"{each.calls:,}", f"{each.raised:,}", f"{each.retries:,}",
                render.duration(each.percentile(0.5)) if each.durations else "-",
                render.duration(each.percentile(0.95)) if each.durations else "-",
                _drawn(each.histogram(min(spans), max(spans))) if each.durations else "",
            )  # fmt: skip
        console.print(table)
        console.print()
    if found.models:
        counted = ("requests", "tokens in", "tokens out", "cost")
        table = Table("model", *counted, right=counted)
        for model in found.models:
            table.add_row(
                model.model, f"{model.requests:,}", f"{model.input_tokens:,}",
                f"{model.output_tokens:,}", "-" if model.cost is None else f"${model.cost:,.4f}",
            )  # fmt: skip
        console.print(table)
        console.print()
    if found.failures:
        table = Table("runs", "failed with", "reason", right=("runs",))
        for name, where, count in found.failures:
            table.add_row(f"{count:,}", name, shown_place(where))
        console.print(table)
        console.print()


def _drawn(counts: list[int]) -> str:
    """Return a histogram as a line of blocks; what is there at all is seen."""
    from perdure.cli.render import can_print

    blocks = BLOCKS if can_print(BLOCKS) else ASCII_BLOCKS
    most = max(counts)
    return "".join(blocks[0 if not each else max(each * 8 // most, 1)] for each in counts)
