"""How values, times and tables look in the terminal and in a pipe."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import sys
import time
from typing import Any

from rich.console import Console
from rich.text import Text

from perdure.connectors.json_text import to_json
from perdure.printable import json_text, printable
from perdure.printable import shown_key as shown_plain_key
from perdure.run import WaitInfo

PIPE_WIDTH = 10_000  # nothing is cut or wrapped where nobody looks at a screen
STATUS_STYLES = {
    "completed": "green",
    "returned": "green",
    "ok": "green",
    "failed": "red",
    "raised": "red",
    "fail": "red",
    "cancelled": "yellow",
    "stopped": "yellow",
    "in doubt": "yellow",
    "retrying": "yellow",
    "warn": "yellow",
    "begun": "yellow",
    "interrupted": "yellow",
    "timed out": "red",
    "waiting": "blue",
    "running": "cyan",
    "unfinished": "cyan",
}


class PrintableConsole(Console):
    """A console that shows what would act in a terminal; colours are its own."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(_shown(each, lines=True) for each in objects), **options)


def _shown(what: Any, *, lines: bool = False) -> Any:
    if isinstance(what, str):
        return printable(what, lines=lines)
    if isinstance(what, Text) and (text := printable(what.plain, lines=lines)) != what.plain:
        return Text(text, what.style)
    return what


def say(text: str, *, error: bool = False) -> None:
    """Print lines of text, of which nothing acts in a terminal.

    Where nobody reads the standard error any more, the command goes on all the same.
    """
    with contextlib.suppress(OSError) if error else contextlib.nullcontext():
        print(printable(text, lines=True), file=sys.stderr if error else sys.stdout, flush=error)


def say_wrapped(text: str) -> None:
    """Print a line of text, in several where the terminal is narrow."""
    from perdure.cli.tables import wrapped

    console = make_console()
    for line in wrapped(console, text, console.width, indent=2):
        console.print(line)


def make_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console that takes text as it is; in a pipe it wraps nothing."""
    stream = sys.stderr if stderr else sys.stdout
    if width is None and not stream.isatty():
        width = PIPE_WIDTH
    return PrintableConsole(
        stderr=stderr, highlight=False, markup=False, emoji=False, width=width, soft_wrap=True
    )


def can_print(text: str) -> bool:
    """Say whether the standard output has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def screen_width() -> int:
    """Return the width of the terminal in characters; of a pipe, COLUMNS or 100."""
    return shutil.get_terminal_size((100, 24)).columns


def styled(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, STATUS_STYLES.get(status, ""))


def compact(value: Any, limit: int = 0) -> str:
    """Return a readable value as one line of JSON, cut to `limit` characters if that is given.

    Of records only the fields that say something are shown, and the name of their class alone.
    """
    text = json_text(to_json(_lean(value)).decode())
    return text if not limit or len(text) <= limit else text[: limit - 1] + "…"


def _lean(value: Any) -> Any:
    if isinstance(value, list):
        return [_lean(each) for each in value]
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("$type"), str):
        return {name: _lean(each) for name, each in value.items()}
    said = {name: _lean(each) for name, each in value.items() if each not in (None, "", [], {})}
    said["$type"] = said["$type"].rpartition(":")[2]
    return said


def shown_key(key: Any) -> str:
    """Return a key: text as it is, anything else as JSON."""
    return shown_plain_key(key) if isinstance(key, str) else compact(key, 100)


def failure(error: dict[str, Any]) -> str:
    """Return a failure's type and message."""
    text = f"{error['type']}: {error['message']}" if error["message"] else str(error["type"])
    return printable(text, lines=True)


def short_failure(error: dict[str, Any]) -> str:
    """Return a failure in one line: the name of its type alone, and its message."""
    name = str(error["type"]).rpartition(".")[2]
    message = " ".join(str(error["message"]).split())
    return printable(f"{name}: {message}" if message else name)


def first_line(text: str, limit: int = 100) -> str:
    """Return the first line of a text, cut to `limit` characters."""
    line = printable(next(iter(text.splitlines()), ""))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def duration(ns: int | float) -> str:
    """Return a time span, from nanoseconds."""
    seconds = max(ns, 0) / 1e9
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} m"


def moment(ns: int) -> str:
    """Return a point in time, from ns since the epoch, in local time."""
    if not ns:
        return ""
    at = datetime.datetime.fromtimestamp(ns / 1e9, tz=datetime.UTC).astimezone()
    return at.strftime("%Y-%m-%d %H:%M:%S")


def now() -> int:
    """Return the time that ages are measured from, ns since the epoch."""
    return time.time_ns()


def age(ns: int) -> str:
    """Return how long ago a point in time was, or in how long it is; "" for none."""
    if not ns:
        return ""
    span = now() - ns
    return f"{rough(span)} ago" if span >= 0 else f"in {rough(-span)}"


def rough(ns: int) -> str:
    """Return a time span in its largest unit."""
    seconds = int(ns / 1e9)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def moment_and_age(ns: int) -> str:
    """Return a point in time with its distance from now; "" for none."""
    return f"{moment(ns)}, {age(ns)}" if ns else ""


def activity(value: Any, limit: int = 100) -> str:
    """Return what a run says that it does: text as it is, anything else as JSON; "" without."""
    if value is None:
        return ""
    return first_line(value, limit) if isinstance(value, str) else compact(value, limit)


def counts(numbers: dict[str, int]) -> str:
    """Return the numbers of runs by status as text, "" when there are none."""
    parts = []
    for name, number in numbers.items():
        if number and name != "waiting":
            parts.append(f"{number:,} {name}")
            if name == "unfinished" and numbers.get("waiting"):
                parts[-1] += f" ({numbers['waiting']:,} waiting)"
    return ", ".join(parts)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 run`, `1,200 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def wait(info: WaitInfo) -> str:
    """Return what is waited for: `approval refund` or `signal go`."""
    return f"{info.kind} {printable(info.name)}"
