"""What the command line shows at each width, as it was looked at; and what holds at any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.cells import cell_len
from tests.golden.data import CALLS, OPEN_CALLS, RUNS
from tests.golden.screens import (
    FILES,
    FOLDER,
    PIPE,
    SCREENS,
    WIDTHS,
    drawn,
    path_of,
    written,
)

from perdure.cli import render
from perdure.cli.tables import Table

NARROW = [width for width in WIDTHS if width != PIPE]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_it_was_looked_at(name: str, width: int) -> None:
    kept = path_of(name, width).read_text(encoding="utf-8")
    assert drawn(name, width) == kept, "if it is meant: python -m tests.golden.renew, and look"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_as_it_was_looked_at(name: str) -> None:
    kept = (FOLDER / name).read_text(encoding="utf-8")
    assert written(name) == kept, "if it is meant: python -m tests.golden.renew, and look"


@pytest.mark.parametrize("width", NARROW)
@pytest.mark.parametrize("name", SCREENS)
def test_no_line_is_wider_than_the_screen(name: str, width: int) -> None:
    lines = [
        line
        for line in drawn(name, width).partition("\nTraceback")[0].splitlines()
        if "perdure " not in line  # a command to be copied stays in one piece
    ]
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_ids_and_statuses_are_whole_at_any_width(width: int) -> None:
    lines = drawn("runs", width).splitlines()
    for run in RUNS:
        (line,) = [line for line in lines if line.startswith(f"{run.title} ")]
        assert run.status.value in line.split()
    assert "RefundRefused: the order 10-4471" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_command_to_be_copied_is_whole_at_any_width(width: int) -> None:
    for name in ("inbox", "show-waiting"):
        assert "perdure approve 'ticket 1002' refund" in drawn(name, width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("name", "calls"), [("show-failed", CALLS), ("show-waiting", OPEN_CALLS)])
def test_call_numbers_and_functions_are_whole_at_any_width(
    name: str, calls: tuple, width: int
) -> None:
    screen = drawn(name, width)
    starts = [line.split()[0] for line in screen.splitlines() if line.split()]
    for call in calls:
        # One that is longer than the screen goes on in the next line.
        name_room = call.function[: (width or 200) - 4]
        assert name_room in screen
        assert str(call.number) in starts
        assert call.status in screen


@pytest.mark.parametrize("width", WIDTHS)
def test_the_trace_names_each_call_whole(width: int) -> None:
    screen = drawn("trace", width)
    for start in (
        "1 ×3 TicketAgent.classify",
        "2 look_up_the_order_with_all_its_items",
        "3 refund",
    ):
        assert f"  {start}" in screen
    assert "  10 refund" in screen
    assert "raised, made again" in screen


def test_status_has_colour_in_a_terminal_alone() -> None:
    for name, word in (("runs", "failed"), ("show-failed", "raised"), ("trace", "failed")):
        assert f"\x1b[31m{word}" in SCREENS[name](100)
        assert "\x1b" not in SCREENS[name](PIPE)


def test_in_a_pipe_a_row_is_a_line_and_nothing_is_cut() -> None:
    screen = drawn("runs", PIPE)
    assert len(screen.splitlines()) == len(RUNS) + 2
    assert "…" not in screen
    assert "which account the amount shall go to" in screen


@pytest.fixture
def lines_of() -> Iterator:
    console = render.make_console(width=80)

    def lines(table: Table, width: int) -> list[str]:
        return [line.plain for line in table.lines(console, width)]

    return lines


@pytest.mark.parametrize("width", range(27, 130, 7))
def test_a_table_never_cuts_what_names_a_thing(lines_of, width: int) -> None:
    table = Table("id", "key", "status", "started", "duration", "error", right=("duration",))
    for number in range(3):
        table.add_row(f"r{number}ffff", "k" * 40, "cancelled", "59 m ago", "23 h 59 m", "no " * 90)
    found = lines_of(table, width)
    for number in range(3):
        assert any(line.startswith(f"r{number}ffff ") for line in found)
    assert max(map(len, found)) <= width
    assert sum("cancelled" in line for line in found) == 3
    assert sum(line.endswith("…") for line in found) >= 3


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a\tb"])
def test_a_cell_is_text_that_does_not_act(lines_of, text: str) -> None:
    table = Table("id", "error")
    table.add_row("r1", text)
    assert len(lines_of(table, 60)) == 2
    assert "\x1b" not in lines_of(table, 60)[1]


def test_an_empty_table_is_its_head(lines_of) -> None:
    assert lines_of(Table("id", "key"), 60) == ["id  key"]


def test_ages_are_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10**18
    monkeypatch.setattr(render, "now", lambda: now)
    spans = {0: "0 s", 59: "59 s", 60: "1 m", 5_399: "1 h", 86_399: "23 h", 3 * 86_400: "3 d"}
    for seconds, shown in spans.items():
        assert render.age(now - seconds * 10**9) == f"{shown} ago"
    assert render.age(now + 90 * 10**9) == "in 1 m"
    assert render.age(0) == ""
