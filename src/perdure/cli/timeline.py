"""The picture of `perdure trace`: bars over the time of a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise

from rich.cells import cell_len
from rich.text import Text

from perdure.cli import render
from perdure.cli.tables import wrapped
from perdure.operate.lives import LifeInfo
from perdure.operate.run_detail import ActionTimeline, CallInfo, RunDetail
from perdure.printable import printable
from perdure.run import ChildInfo, SignalInfo

NARROWEST_BAR = 20
DURATION_WIDTH = 9
_BLOCKS = {
    "action": "─", "returned": "█", "raised": "▓", "in doubt": "░", "retrying": "▒", "begun": "▒",
    "interrupted": "▒", "child": "═", "timer": "◆", "signal": "◇", "times": "×",
    "crash": "╋", "over": "│",
}  # fmt: skip
_ASCII = {
    "action": "-", "returned": "#", "raised": "x", "in doubt": "?", "retrying": "~", "begun": "~",
    "interrupted": "~", "child": "=", "timer": "*", "signal": "o", "times": "x",
    "crash": "+", "over": "|",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: a label, a bar from `begin` to `end` (ns), how it is drawn and coloured.

    Of the label `name` and `mark` are never cut; `more`, which stands between them, may be.
    """

    name: str
    kind: str
    begin: int
    end: int
    style: str
    more: str = ""
    mark: str = ""
    is_point: bool = False

    @property
    def label(self) -> str:
        """The whole label."""
        return f"{self.name}{self.more}{self.mark}"

    def label_within(self, width: int, ellipsis: str) -> str:
        """Return the label with as much of `more` as there is room for."""
        room = width - cell_len(self.name) - cell_len(self.mark)
        if cell_len(self.more) <= room:
            return self.label
        cut = Text(self.more)
        cut.truncate(max(room - 1, 0))
        return f"{self.name}{cut.plain}{ellipsis if room > 0 else ''}{self.mark}"


def print_timeline(detail: RunDetail, job: str, processes: Sequence[LifeInfo] = ()) -> None:
    """Print the timeline of a run, as wide as the terminal.

    Args:
        detail: the run.
        job: name of its job.
        processes: those that had the job meanwhile.
    """
    width, console = render.screen_width(), render.make_console(width=render.PIPE_WIDTH)
    for line in timeline(detail, job, width, _marks(), processes):
        for part in wrapped(console, line, width, indent=4):
            console.print(part)


def _marks() -> dict[str, str]:
    return _BLOCKS if render.can_print("".join(_BLOCKS.values())) else _ASCII


def timeline(
    detail: RunDetail,
    job: str,
    width: int,
    marks: dict[str, str],
    processes: Sequence[LifeInfo] = (),
) -> Iterator[Text]:
    """Return the lines of the picture.

    Args:
        detail: the run.
        job: name of its job.
        width: characters of a line at most, unless it is too narrow for any picture.
        marks: what bars are drawn with, and the sign before a number of attempts.
        processes: those that had the job meanwhile: a crash is a line over all others.
    """
    run = detail.run
    first, last = detail.span
    yield Text.assemble(
        f"run {printable(run.title)} of job {printable(job)}, key {render.shown_key(run.key)}: ",
        render.styled(run.status.value),
        f", {render.duration(last - first)} from {render.moment_and_age(first)}",
        f", {_before(detail, first)}",
    )
    crashes = _crash_rows(processes, first, last)
    rows = [*crashes, *(_signal_row(signal) for signal in detail.signals)]
    rows += [row for action in detail.actions for row in _rows(action, detail, last, marks)]
    if not detail.actions and not detail.signals:
        due = f": it is due {render.moment_and_age(run.due)}" if run.is_delayed else ""
        yield Text(f"nothing is recorded of it yet{due}")
        return
    longest = max(cell_len(row.label) for row in rows)
    label_width = min(longest, max(12, width * 2 // 5))
    bar_width = max(NARROWEST_BAR, width - label_width - DURATION_WIDTH - 4)
    yield Text(f"{'':{label_width}} {_axis(bar_width, last - first)}")
    picture = Picture(first, last, label_width, bar_width, marks)
    over = {picture.column(row.begin) for row in crashes}
    for row in rows:
        yield from picture.lines(row, over)


def _before(detail: RunDetail, first: int) -> str:
    """Return how the run spent its time before its first action."""
    run = detail.run
    if not run.due:
        return f"after {render.duration(first - run.admitted_at)} in the queue"
    delay = f"delayed by {render.duration(run.due - run.admitted_at)}"
    if run.is_delayed:
        return delay
    return f"{delay}, after {render.duration(first - run.due)} in the queue"


def _signal_row(signal: SignalInfo) -> Row:
    note = "" if signal.taken_at else " (not taken)"
    return _point(f"signal {signal.name}{note}", "signal", signal.came_at, "magenta")


def _crash_rows(processes: Sequence[LifeInfo], first: int, last: int) -> list[Row]:
    """Return where a process went on after one that was killed, while the run was at work."""
    return [
        _point(f"crash: process {after.number} begins", "crash", after.begun_at, "bold red")
        for life, after in pairwise(processes)
        if life.status == "killed" and first <= after.begun_at <= last
    ]


def _point(label: str, kind: str, at: int, style: str) -> Row:
    return Row(name=printable(label), kind=kind, begin=at, end=at, style=style, is_point=True)


def _rows(
    action: ActionTimeline, detail: RunDetail, last: int, marks: dict[str, str]
) -> Iterator[Row]:
    own = (action.name, action.event)
    taken = [signal for signal in detail.signals if (signal.action, signal.event) == own]
    children = [child for child in detail.children if (child.action, child.event) == own]
    times = [action.started_at, action.cancelled_at, *action.timers]
    times += (signal.taken_at for signal in taken)
    end = action.finished_at or max(*times, *(call.settled_at or last for call in action.calls))
    if action.status == "unfinished":
        end = last
    note = "" if action.status == "completed" else f" ({action.status})"
    yield Row(
        name=printable(f"{action.name}, event {action.event}{note}"),
        kind="action",
        begin=action.started_at,
        end=end,
        style=render.STATUS_STYLES.get(action.status, ""),
    )
    rows = [_call_row(call, last, marks) for call in action.calls]
    rows += (_point("  timer", "timer", at, "blue") for at in action.timers)
    for signal in taken:
        rows.append(_point(f"  took signal {signal.name}", "signal", signal.taken_at, "magenta"))
    rows += (_child_row(child, last) for child in children if child.run is not None)
    if action.cancelled_at:
        stopped = detail.stopped or "cancelled"
        rows.append(_point(f"  {stopped}", "timer", action.cancelled_at, "yellow"))
    yield from sorted(rows, key=lambda row: row.begin)


def _call_row(call: CallInfo, last: int, marks: dict[str, str]) -> Row:
    name = call.function.rpartition(":")[2]
    # In front, where a long label is not cut.
    times = f"{marks['times']}{call.attempts} " if call.attempts > 1 else ""
    mark = "" if call.status == "returned" else f" {call.status}"
    again = ", made again" if call.superseded else ""
    return Row(
        name=printable(f"  {call.number} {times}{name}"),
        more=printable(f"({call.arguments})"),
        mark=f"{mark}{again}",
        kind=call.status,
        begin=call.started_at,
        end=call.settled_at or last,
        style=render.STATUS_STYLES.get(call.status, ""),
    )


def _child_row(child: ChildInfo, last: int) -> Row:
    run = child.run
    assert run is not None
    return Row(
        name=f"  run {run.id} ({run.status.value})",
        kind="child",
        begin=run.admitted_at,
        end=run.finished_at or last,
        style=render.STATUS_STYLES.get(run.status.value, ""),
    )


def _axis(width: int, span: int) -> str:
    end = render.duration(span)
    return "0" + end.rjust(width - 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """Where things are: the time of the whole width in ns, and widths in cells."""

    first: int
    last: int
    label_width: int
    bar_width: int
    marks: dict[str, str]

    def column(self, at: int) -> int:
        """Return the column of a time."""
        scale = self.bar_width / max(self.last - self.first, 1)
        return max(min(int((at - self.first) * scale), self.bar_width - 1), 0)

    def lines(self, row: Row, over: Set[int]) -> Iterator[Text]:
        """Return a row: a line, or two where the label needs one of its own.

        Args:
            row: the row.
            over: columns in which a crash is drawn over all rows.
        """
        scale = self.bar_width / max(self.last - self.first, 1)
        left = self.column(row.begin)
        right = min(max(math.ceil((row.end - self.first) * scale), left + 1), self.bar_width)
        if row.is_point:
            right = left + 1
        took = "" if row.is_point else render.duration(row.end - row.begin)
        ellipsis = "~" if self.marks is _ASCII else "…"
        label = row.label_within(self.label_width, ellipsis)
        if cell_len(label) > self.label_width:
            yield Text(row.label_within(self.label_width + self.bar_width, ellipsis))
            label = ""
        space = " " * (self.label_width - cell_len(label))
        line = Text.assemble(
            f"{label}{space} ", *self._cells(row, left, right, over), f" {took:>{DURATION_WIDTH}}"
        )
        line.rstrip()
        yield line

    def _cells(self, row: Row, left: int, right: int, over: Set[int]) -> Iterator[tuple[str, str]]:
        """Yield the cells of a row in pieces with their styles."""
        bar = self.marks[row.kind] * (right - left)
        if not over:
            yield " " * left + bar + " " * (self.bar_width - right), row.style
            return
        crash = self.marks["over"]
        for begin, end in ((0, left), (right, self.bar_width)):
            if begin:
                yield bar, row.style
            yield "".join(crash if at in over else " " for at in range(begin, end)), "red"
