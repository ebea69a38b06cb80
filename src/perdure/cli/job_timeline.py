"""The picture of `perdure trace --job`: keys down, time across."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from perdure.cli import render
from perdure.cli.render import STATUS_STYLES as STYLES
from perdure.cli.tables import wrapped
from perdure.operate.job_trace import RunSpans
from perdure.printable import printable

NARROWEST_BAR = 20
_BLOCKS = {"queued": "·", "waiting": "╱", "working": "█", "failed": "▓", "cancelled": "×"}
_ASCII = {"queued": ".", "waiting": "/", "working": "#", "failed": "x", "cancelled": "c"}
_LEGEND = ("queued", "working", "waiting", "failed", "cancelled")


def print_job(runs: Sequence[RunSpans], job: str, more: str) -> None:
    """Print how the runs of a job spent their time, as wide as the terminal.

    Args:
        runs: the runs, oldest first.
        job: the job's name.
        more: said of runs that are not shown.
    """
    console = render.make_console(width=render.PIPE_WIDTH)
    marks = _BLOCKS if render.can_print("".join(_BLOCKS.values())) else _ASCII
    width = render.screen_width()
    for line in job_timeline(runs, job, width, marks, more):
        for part in wrapped(console, line, width, indent=4):
            console.print(part)


def job_timeline(
    runs: Sequence[RunSpans], job: str, width: int, marks: dict[str, str], more: str = ""
) -> Iterator[Text]:
    """Return the lines of the picture; see `print_job`."""
    if not runs:
        yield Text(f"job {printable(job)}: no runs yet")
        return
    rows = _by_key(runs)
    first = min(each.run.admitted_at for each in runs)
    last = max(each.end for each in runs)
    counted = f"{render.count(len(runs), 'run')} of {render.count(len(rows), 'key')}"
    yield Text(
        f"job {printable(job)}: {counted},"
        f" {render.duration(last - first)} from {render.moment_and_age(first)}{more}"
    )
    tails = {key: _tail(own) for key, own in rows.items()}
    label_width = min(max(map(cell_len, rows)), max(12, width // 4))
    tail_width = max(cell_len(tail.plain) for tail in tails.values())
    bar_width = width - label_width - tail_width - 2
    is_below = bar_width < max(NARROWEST_BAR, width // 3)
    if is_below:  # what names a run is never cut
        bar_width = max(NARROWEST_BAR, width - label_width - 1)
    yield Text(f"{'':{label_width}} 0{render.duration(last - first).rjust(bar_width - 1)}")
    ellipsis = "~" if marks is _ASCII else "…"
    for key, own in rows.items():
        label = _cut(key, label_width, ellipsis)
        bar = _bar(own, first, last, bar_width, marks)
        line = Text.assemble(f"{label}{' ' * (label_width - cell_len(label))} ", bar)
        if is_below:
            line.rstrip()
            yield line
            yield Text.assemble("  ", tails[key])
        else:
            yield Text.assemble(line, " ", tails[key])
    yield Text("   ".join(f"{marks[what]} {what}" for what in _LEGEND))


def _by_key(runs: Sequence[RunSpans]) -> dict[str, list[RunSpans]]:
    rows: dict[str, list[RunSpans]] = {}
    for each in runs:
        rows.setdefault(render.shown_key(each.run.key), []).append(each)
    return rows


def _tail(runs: list[RunSpans]) -> Text:
    """Return what stands beside a key: its newest run, how that stands, and how many there are."""
    run = runs[-1].run
    before = f", {len(runs) - 1:,} before" if len(runs) > 1 else ""
    return Text.assemble(printable(run.title), " ", render.styled(run.status.value), before)


def _cut(label: str, width: int, ellipsis: str) -> str:
    if cell_len(label) <= width:
        return label
    cut = Text(label)
    cut.truncate(width - 1)
    return f"{cut.plain}{ellipsis}"


def _bar(runs: list[RunSpans], first: int, last: int, width: int, marks: dict[str, str]) -> Text:
    """Return a key's bar: of what falls into one place, what matters more is drawn."""
    scale = width / max(last - first, 1)
    places: list[tuple[str, str]] = [(" ", "")] * width

    def draw(begin: int, end: int, mark: str, style: str) -> None:
        left = max(min(int((begin - first) * scale), width - 1), 0)
        right = min(max(math.ceil((end - first) * scale), left + 1), width)
        places[left:right] = [(mark, style)] * (right - left)

    for kind, style in (("queued", "dim"), ("waiting", "blue"), ("working", "")):
        for each in runs:
            own = STYLES.get(each.run.status.value, "")
            for begin, end in getattr(each, kind):
                draw(begin, end, marks[kind], style or own)
    for each in runs:
        status = each.run.status.value
        if status in ("failed", "cancelled"):  # where it ended
            draw(each.run.finished_at, each.run.finished_at, marks[status], STYLES[status])
    bar = Text()
    for (mark, style), alike in itertools.groupby(places):
        bar.append(mark * len(list(alike)), style)
    return bar
