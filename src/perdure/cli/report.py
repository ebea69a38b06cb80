"""The text of `perdure show`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from perdure.cli import render
from perdure.cli.tables import Table, labelled, wrapped
from perdure.engine.waiting import answer_command
from perdure.operate.lives import LifeInfo
from perdure.operate.run_detail import ActionTimeline, CallInfo, RunDetail
from perdure.run import RunStatus, WaitInfo

LABEL = 12  # cells before what is said of a run
LIMIT = 400  # characters shown of one value; --json has all of it


def print_detail(detail: RunDetail, job: str, processes: Sequence[LifeInfo] = ()) -> None:
    """Print everything of a run, a section for each kind of thing.

    Args:
        detail: the run.
        job: name of its job.
        processes: those that had the job meanwhile.
    """
    console = render.make_console()
    _print_head(console, detail, job, processes)
    _print_events(console, detail)
    for action in detail.actions:
        _print_action(console, action)
    _print_signals(console, detail)
    _print_children(console, detail)
    if detail.memory:
        table = Table("memory", "path", "value", "by")
        for write in detail.memory:
            value = "(deleted)" if write.deleted else render.compact(write.value, LIMIT)
            table.add_row(write.memory, write.path, value, write.action)
        _section(console, "memory writes", table)
    if detail.outputs:
        table = Table("no.", "id", "delivered", "value", right=("no.",))
        for output in detail.outputs:
            delivered = "yes" if output.delivered else "no"
            value = render.compact(output.value, LIMIT)
            table.add_row(str(output.number), output.id[:8], delivered, value)
        _section(console, "outputs", table)
    if detail.run.error is not None:
        _print_error(console, detail.run.error)


def _print_head(
    console: Console, detail: RunDetail, job: str, processes: Sequence[LifeInfo]
) -> None:
    run = detail.run
    own = f" ({run.id})" if run.title != run.id else ""
    console.print(
        Text.assemble("run ", (run.title, "bold"), own, "  ", render.styled(run.status.value))
    )
    rows = [
        ("activity", render.activity(run.activity, LIMIT)),
        ("waits for", _waits_for(detail)),
        ("asked", _asked(detail)),
        ("job", job),
        ("key", f"{render.shown_key(run.key)}, run {run.sequence} of this key"),
        ("given as", run.label),
        ("admitted", render.moment_and_age(run.admitted_at)),
        ("due", render.moment_and_age(run.due)),
        ("stopped", _stopped(detail)),
        ("finished", _finished(detail)),
        ("attempts", str(run.attempts + 1)),
        ("crashes", _crashes(processes)),
        ("put back", ", ".join(render.moment(at) for at in detail.retried_at)),
        ("input", render.compact(run.input, LIMIT)),
    ]
    for name, value in rows:
        if name == "waits for" and run.waits and cell_len(value) > console.width - LABEL:
            _print_waits(console, run.waits)
        elif value:
            _print_row(console, name, value)


def _crashes(processes: Sequence[LifeInfo]) -> str:
    """Return which processes were killed meanwhile, and when another one went on."""
    return "; ".join(
        f"process {life.number} was killed"
        + (f", process {after.number} began {render.moment(after.begun_at)}" if after else "")
        for life, after in zip_longest(processes, processes[1:])
        if life is not None and life.status == "killed"
    )


def _print_row(console: Console, name: str, value: str) -> None:
    for line in labelled(console, f"  {name:<{LABEL - 3}} ", value, console.width):
        console.print(line)


def _print_waits(console: Console, waits: tuple[WaitInfo, ...]) -> None:
    """Print waits on a narrow screen: commands stay in one piece, to be copied."""
    for number, wait in enumerate(waits):
        _print_row(console, "" if number else "waits for", f"{_asked_for(wait)}:")
        render.say(f"{'':{LABEL}}{answer_command(wait)}")


def _waits_for(detail: RunDetail) -> str:
    """Return what continues the run, and how to send it that."""
    run = detail.run
    if run.is_delayed:
        return f"its time: due {render.moment_and_age(run.due)}"
    if run.waits:
        return "; ".join(_wait(wait) for wait in run.waits)
    return "time" if run.status is RunStatus.WAITING else ""


def _wait(wait: WaitInfo) -> str:
    return f"{_asked_for(wait)}: {answer_command(wait)}"


def _asked_for(wait: WaitInfo) -> str:
    asked = f" ({render.first_line(wait.question)})" if wait.question else ""
    return f"{render.wait(wait)}{asked}"


def _asked(detail: RunDetail) -> str:
    if not detail.commands:
        return ""
    return f"{', '.join(detail.commands)}: taken once a process runs its job"


def _stopped(detail: RunDetail) -> str:
    if not detail.stopped:
        return ""
    reason = "somebody asked to cancel it"
    if detail.stopped == "timed out":
        reason = "it took longer than run-timeout allows"
    return f"{render.moment(detail.stopped_at)}: {reason}"


def _finished(detail: RunDetail) -> str:
    run = detail.run
    if not run.finished_at:
        return ""
    took = render.duration(run.finished_at - run.admitted_at)
    return f"{render.moment_and_age(run.finished_at)}, after {took}"


def _section(console: Console, title: str, content: object) -> None:
    console.print()
    console.print(Text(title, "bold"))
    console.print(content)


def _print_events(console: Console, detail: RunDetail) -> None:
    table = Table("no.", "type", "id", "from", "attributes", right=("no.",))
    for event in detail.events:
        source = "the input"
        if event.source_event is not None:
            source = f"{event.action}, on event {event.source_event}"
        # The input stands above already.
        attributes = render.compact(event.attributes, LIMIT) if event.number else ""
        table.add_row(str(event.number), event.type, event.id[:8] or "-", source, attributes)
    _section(console, "events", table)


def _print_action(console: Console, action: ActionTimeline) -> None:
    console.print()
    took = ""
    if action.finished_at:
        took = f", {render.duration(action.finished_at - action.started_at)}"
    _print_wrapped(
        console,
        Text.assemble(
            (f"action {action.name}", "bold"),
            f" on event {action.event} ({action.event_type}): ",
            render.styled(action.status),
            took,
        ),
    )
    if not action.calls:
        console.print("  no calls are recorded")
        return
    table = Table(
        "call", "function", "arguments", "status", "duration", "outcome", right=("call", "duration")
    )
    for call in action.calls:
        took = render.duration(call.settled_at - call.started_at) if call.settled_at else "-"
        status = _status(call, is_open=action.status == "unfinished")
        table.add_row(str(call.number), call.function, call.arguments, status, took, _outcome(call))
    console.print(table)


def _print_signals(console: Console, detail: RunDetail) -> None:
    if not detail.signals:
        return
    table = Table("name", "came", "taken by", "taken", "value")
    for signal in detail.signals:
        taker = f"{signal.action}, on event {signal.event}" if signal.taken_at else "no action yet"
        if detail.run.status.is_final and not signal.taken_at:
            taker = "no action"
        table.add_row(
            signal.name,
            render.age(signal.came_at),
            taker,
            render.age(signal.taken_at) or "-",
            render.compact(signal.value, LIMIT),
        )
    _section(console, "signals", table)


def _print_children(console: Console, detail: RunDetail) -> None:
    if not detail.children:
        return
    table = Table("id", "key", "status", "started by", "due")
    for child in detail.children:
        head = child.run
        table.add_row(
            child.id,
            render.shown_key(head.key) if head is not None else "-",
            render.styled(head.status.value if head is not None else "no longer kept"),
            f"{child.action}, call {child.call}, on event {child.event}",
            render.age(head.due) if head is not None and head.is_delayed else "",
        )
    _section(console, "runs it started", table)


def _status(call: CallInfo, *, is_open: bool) -> Text:
    status = render.styled(call.status)
    if call.settled_at and call.attempts > 1:
        status += Text(f", {call.attempts} attempts")
    elif call.status == "begun" and is_open:
        status += Text(f": attempt {call.attempts} is under way, or ended with its process")
    elif call.attempts > 1:
        status += Text(f", attempt {call.attempts} of call {call.number}")
        if call.due_at and is_open:
            status += Text(f" due {render.age(call.due_at)}")
    if call.superseded:
        status += Text(", then made again")
    return status


def _outcome(call: CallInfo) -> str:
    if call.error is not None:
        return render.short_failure(call.error)[:LIMIT]
    return render.compact(call.outcome, LIMIT) if call.status == "returned" else ""


def _print_error(console: Console, error: dict[str, object]) -> None:
    console.print()
    said = render.failure(error).splitlines()
    _print_wrapped(console, Text.assemble(("error ", "bold"), (said[0], "red")))
    for line in said[1:]:
        _print_wrapped(console, Text(line, "red"))
    for note in error.get("notes") or ():  # type: ignore[attr-defined]
        _print_wrapped(console, Text(f"  note: {note}"))
    traceback = str(error.get("traceback") or "").rstrip()
    if traceback:
        console.print(traceback)


def _print_wrapped(console: Console, text: Text) -> None:
    for line in wrapped(console, text, console.width, indent=2):
        console.print(line)
