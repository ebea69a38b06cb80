"""`perdure inbox`: who waits for a person, for what, since when, and how to answer."""

from __future__ import annotations

import sys
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
    selection,
)
from perdure.printable import printable

if TYPE_CHECKING:
    from perdure.operate.history import History, JobRow
    from perdure.run import WaitInfo


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(epilog=epilog("perdure inbox", "perdure inbox --json | jq .waits"))(inbox)


def inbox(
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST, help="Waits shown at most.")
    ] = 50,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """List who waits for a person, and for what.

    Those that wait longest come first. In a terminal approvals are answered on the spot: y, n,
    Enter for later, q to stop.
    """
    from perdure.cli import render
    from perdure.cli.inspect import print_json
    from perdure.engine.waiting import answer_command
    from perdure.operate.history import blocking
    from perdure.operate.lookup import given_to_others
    from perdure.run import own_name

    with open_job(store, job) as (history, row):
        waits = history.waits(row)
        shown = waits[:limit]
        if as_json:
            print_json({"job": row.title, "count": len(waits), "waits": shown})
            return
        chosen = selection(store, job)
        asks = sys.stdin.isatty() and sys.stdout.isatty()
        twice = blocking(given_to_others)(history, row, {wait.run for wait in shown})
        for each in shown:
            is_twice = each.title in twice
            _print(each, answer_command(each, chosen, own_name(each.run) if is_twice else None))
            if asks and each.kind == "approval" and not _ask(history, row, each):
                break
        count = render.count(len(waits), "wait")
        more = "" if len(shown) == len(waits) else f" (the first {limit}; --limit shows more)"
        render.say(f"job {printable(row.title)}: {count} for an answer from outside{more}")


def _print(wait: WaitInfo, command: str) -> None:
    """Print a wait; the command stays in one piece, to be copied."""
    from perdure.cli import render
    from perdure.cli.tables import wrapped

    console = render.make_console()
    age = render.rough(render.now() - wait.since)
    who = (
        f"{printable(wait.title)}  key {render.shown_key(wait.key)}  waits {age} for"
        f" {render.wait(wait)} (action {printable(wait.action)})"
    )
    lines = [(who, 4)]
    if wait.question and wait.question.strip():
        # Deeper than the command: a question may look like one.
        lines += [(f"    {line}", 4) for line in wait.question.splitlines()]
    for text, indent in lines:
        for line in wrapped(console, text, console.width, indent):
            console.print(line)
    render.say(f"  {command}")


def _ask(history: History, job: JobRow, wait: WaitInfo) -> bool:
    """Let the user answer an approval; False when they want no more."""
    from perdure.cli import render
    from perdure.cli.act import user
    from perdure.errors import PerdureError
    from perdure.operate.control import approve
    from perdure.operate.history import blocking
    from perdure.run import own_name
    from perdure.run.approval import Approval

    while True:
        try:
            said = input("  approve? [y/n, Enter: later, q: stop] ").strip().lower()
        except EOFError:
            return False
        if said in ("", "q"):
            return said == ""
        if said in ("y", "yes", "n", "no"):
            break
    answer = Approval(approved=said[0] == "y", by=user())
    try:
        blocking(approve)(history, job, own_name(wait.run), wait.name, answer, [wait])
    except PerdureError as error:  # somebody was quicker, or the run has ended
        render.say(f"  {error}")
    else:
        render.say(f"  answered {'yes' if answer.approved else 'no'}")
    return True
