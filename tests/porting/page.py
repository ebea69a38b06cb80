"""What docs/porting-from-flink-agents.md says, and the checks of what it says.

A row of its names that says "the same" is checked by a function that is marked `@same` with the
beginning of its first cell, and one of its differences by one that is marked `@different`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.promises import support

from perdure import OutputEvent, RunnerContext, RunsFailedError

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/porting-from-flink-agents.md").read_text("utf-8")
Check = Callable[[], None]
SAME: dict[str, Check] = {}
DIFFERENT: dict[str, Check] = {}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows() -> Iterator[tuple[str, str]]:
    """Give first and second cell of the rows of the names."""
    for line in section("Names").splitlines():
        cells = re.fullmatch(r"\| (.+?) \| (.+) \|", line)
        if cells and cells[1] != "Flink Agents":
            yield cells[1], cells[2]


SAME_ROWS = [first for first, second in rows() if second.startswith("the same")]
DIFFERENCES = re.findall(r"^- \*\*(.+?)\.\*\*", section("Differences"), re.MULTILINE)


def same(beginning: str) -> Callable[[Check], Check]:
    """Check the row whose first cell begins like this."""
    [row] = [row for row in SAME_ROWS if row.startswith(beginning)] or [beginning]

    def decorate(check: Check) -> Check:
        assert row not in SAME, f"two checks of {row}"
        SAME[row] = check
        return check

    return decorate


def different(name: str) -> Callable[[Check], Check]:
    return lambda check: DIFFERENT.setdefault(name, check)


def put(ctx: RunnerContext, value: Any) -> None:
    """Send an output."""
    ctx.send_event(OutputEvent(output=value))


def _one_key(value: Any) -> str:
    return "k"


def run(agent: Any, inputs: Any, **more: Any) -> list[Any]:
    """Run inputs of one key to the end; return the outputs' values."""
    return support.run(agent, inputs, key=_one_key, **more)


def failures(agent: Any, inputs: Any, **more: Any) -> RunsFailedError:
    """Run inputs of one key to the end, where some runs must have failed."""
    return support.failures(agent, inputs, key=_one_key, **more)


def takes(func: Callable[..., Any], parameters: str) -> None:
    """Fail unless `func` can be called like a function with these parameters.

    Each has the name and place that it has there, and what is optional there is so here, with the
    same default.

    Args:
        func: A function, or a class; `self` does not count.
        parameters: As in a definition, such as "name, type, limit=100, **kwargs".
    """
    theirs = inspect.signature(eval(f"lambda {parameters}: None", {}))
    ours = [each for name, each in inspect.signature(func).parameters.items() if name != "self"]
    named = {each.name: each for each in ours}
    free = any(each.kind is each.VAR_KEYWORD for each in ours)
    spread = any(each.kind is each.VAR_POSITIONAL for each in ours)
    for place, each in enumerate(theirs.parameters.values()):
        if each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
            assert free or spread, f"{func} takes no {each}"
            continue
        mine = named.get(each.name)
        if mine is None:
            assert free, f"{func} takes no {each.name}"
            continue
        if each.kind is each.POSITIONAL_OR_KEYWORD and mine.kind is mine.POSITIONAL_OR_KEYWORD:
            assert ours[place].name == each.name, f"{func} has {each.name} elsewhere"
        if each.default is not each.empty:
            assert mine.default == each.default, f"{func}: {mine}"
