"""Tables that fit a terminal: what names a thing is whole at any width, what is long gives way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

from perdure.printable import printable

GAP = 2
LEAST = 20  # cells that a long column has, or it goes below the row
LEAST_OF = {"key": 8, "status": 16, "error": 30}  # others than that
MOST_LINES = 3  # of a long cell; it ends in an ellipsis then
# These wrap, and go below their row where there is no room beside it.
LONG = (
    "key", "source", "arguments", "outcome", "value", "attributes", "activity", "error",
    "waits for", "reason", "from", "path", "taken by", "started by",
)  # fmt: skip
ONE_LINE = ("key", "source")  # of these; they name a thing
# These wrap where there is no room, and are never cut: a word and what more there is to say.
FOLDED = ("status",)
MOVED_LAST = (
    "function",
    "started",
    "due",
    "duration",
)  # below the row, where it would be cut beside the others
# These say least: they are left out before anything else gives way.
LEFT_OUT_FIRST = ("run", "seq", "attempts", "delivered", "admitted", "came", "taken", "read")


class Table:
    """Rows of cells, one line each where there is room and in a pipe.

    Columns named in LONG wrap to at most MOST_LINES lines, or stand below their row. All others are
    never cut: those of LEFT_OUT_FIRST are left out of narrow screens.

    Args:
        columns: their names.
        right: those that are flush right.
    """

    def __init__(self, *columns: str, right: tuple[str, ...] = ()) -> None:
        self._columns = columns
        self._right = right
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Add a row; what would act in a terminal is shown."""
        self._rows.append([_as_line(cell) for cell in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield from self.lines(console, options.max_width)

    def lines(self, console: Console, width: int) -> Iterator[Text]:
        """Return the lines of the table on a screen of this width."""
        beside, below = self._laid_out(width)
        widths = self._widths(beside, width)
        head = [Text(self._columns[at], "bold") for at in beside]
        yield from self._side_by_side(console, head, beside, widths)
        for row in self._rows:
            yield from self._side_by_side(console, [row[at] for at in beside], beside, widths)
            for at in below:
                if row[at].plain:
                    yield from self._below(console, at, row[at], width)

    # Where columns go

    def _laid_out(self, width: int) -> tuple[list[int], list[int]]:
        """Return the columns that stand side by side, and those below their row."""
        beside = list(range(len(self._columns)))
        below: list[int] = []
        for name in LEFT_OUT_FIRST:
            if self._least(beside) > width and name in self._columns:
                beside.remove(self._columns.index(name))
        while self._least(beside) > width:
            movable = [at for at in beside if self._is_long(at) and at > 1]
            movable = movable or [at for at in beside if self._columns[at] in MOVED_LAST]
            if not movable:
                break
            beside.remove(movable[-1])
            below.append(movable[-1])
        return beside, sorted(below)

    def _is_long(self, at: int) -> bool:
        return self._columns[at] in LONG

    def _gives_way(self, at: int) -> bool:
        return self._columns[at] in (*LONG, *FOLDED)

    def _bound(self, at: int) -> int:
        """Return the cells that a column which gives way has at least."""
        return LEAST_OF.get(self._columns[at], LEAST)

    def _natural(self, at: int) -> int:
        """Return the cells that a column takes where there is room."""
        return max(cell_len(text) for text in (self._columns[at], *self._texts(at)))

    def _texts(self, at: int) -> Iterator[str]:
        return (row[at].plain for row in self._rows)

    def _least(self, columns: list[int]) -> int:
        """Return the cells that these columns take at least, side by side."""
        least = [
            min(self._natural(at), self._bound(at)) if self._gives_way(at) else self._natural(at)
            for at in columns
        ]
        return sum(least) + GAP * (len(columns) - 1)

    def _widths(self, columns: list[int], width: int) -> dict[int, int]:
        """Return the cells of each column; what is left goes to the long ones, evenly."""
        widths = {at: self._natural(at) for at in columns}
        excess = sum(widths.values()) + GAP * (len(columns) - 1) - width
        while excess > 0:
            # A name that is longer than the screen is folded.
            long = [at for at in columns if self._gives_way(at) and widths[at] > self._bound(at)]
            widest = max(long or columns, key=lambda at: widths[at])
            others = [widths[at] for at in long if widths[at] < widths[widest]]
            step = min(excess, widths[widest] - max(others, default=widths[widest] - 1))
            widths[widest] = max(widths[widest] - step, 1)
            excess -= step
        return widths

    # Lines

    def _side_by_side(
        self, console: Console, cells: list[Text], columns: list[int], widths: dict[int, int]
    ) -> Iterator[Text]:
        blocks = [
            _wrapped(console, cell, widths[at], self._most_lines(at))
            for at, cell in zip(columns, cells, strict=True)
        ]
        for number in range(max(map(len, blocks), default=0)):
            line = Text()
            for at, block in zip(columns, blocks, strict=True):
                part = block[number] if number < len(block) else Text()
                space = " " * (widths[at] - cell_len(part.plain))
                is_right = self._columns[at] in self._right
                line += Text(space) + part if is_right else part + Text(space)
                line += Text(" " * GAP)
            line.rstrip()
            yield line

    def _most_lines(self, at: int) -> int | None:
        if self._columns[at] in ONE_LINE:
            return 1
        return MOST_LINES if self._is_long(at) else None

    def _below(self, console: Console, at: int, cell: Text, width: int) -> Iterator[Text]:
        text = Text.assemble((f"{self._columns[at]}: ", "dim"), cell)
        for line in _wrapped(console, text, width - 2 * GAP, MOST_LINES):
            yield Text(" " * 2 * GAP) + line


def _as_line(cell: Any) -> Text:
    if isinstance(cell, Text):
        text = printable(cell.plain)
        return cell if text == cell.plain else Text(text, cell.style)
    return Text(printable(str(cell)))


def _wrapped(console: Console, text: Text, width: int, most: int | None) -> list[Text]:
    """Return the lines of a cell; of more than `most` the last one ends in an ellipsis."""
    if cell_len(text.plain) <= width:
        return [text]
    lines = list(text.wrap(console, max(width, 1), overflow="fold"))
    for line in lines:
        line.rstrip()
    if most is not None and len(lines) > most:
        last = lines[most - 1] if most > 1 else text.copy()
        last.truncate(max(width - 1, 1))
        last.append("…")
        lines[most - 1 :] = [last]
    return lines


def wrapped(console: Console, text: str | Text, width: int, indent: int = 0) -> Iterator[Text]:
    """Return the lines of a text, those after the first further in."""
    whole = _as_line(text)
    if cell_len(whole.plain) <= width:
        yield whole
        return
    for number, line in enumerate(_wrapped(console, whole, width - indent, None)):
        yield Text(" " * (indent if number else 0)) + line


def labelled(console: Console, label: str, text: str, width: int) -> Iterator[Text]:
    """Return the lines of a text behind a label, all of them beside it."""
    room = width - cell_len(label)
    for number, line in enumerate(_wrapped(console, _as_line(text), room, None)):
        yield Text(" " * cell_len(label) if number else label) + line
