"""Screens of the command line, drawn from fixed data at a fixed time, at each width and in a pipe.

`python -m tests.golden.renew` writes them anew; look at what changed before it is committed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tests.golden.data import (
    BAD_LINES,
    CALLS,
    COUNTS,
    DETAILS,
    JOB_DETAILS,
    LIVES,
    NOW,
    RUNS,
    WAITS,
    call,
    detail,
)

from perdure.cli import inbox, inspect, progress_view, render, stats
from perdure.cli.main import main
from perdure.connectors.json_text import to_json
from perdure.engine.progress import Progress
from perdure.operate.job_trace import spans_of
from perdure.operate.stats import summed_up
from perdure.store.base import JobRow
from perdure.web.forms import detail_form
from perdure.web.perfetto import trace_events
from perdure.web.trace_file import WHOLE

FOLDER = Path(__file__).parent / "screens"
PIPE = 0
WIDTHS = (60, 80, 100, 120, 200, PIPE)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Pipe(io.StringIO):
    """A stream that takes all characters."""

    encoding = "utf-8"


class Terminal(Pipe):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class StoredRuns:
    """Stands for the history of a store."""

    def __init__(self) -> None:
        self.awaited = self

    def wait(self, work: Any) -> Any:
        work.close()
        if work.__name__ == "lives_during":
            return LIVES
        if work.__name__ == "given_to_others":
            return frozenset()
        if work.__name__ == "job_spans":
            return [spans_of(detail, NOW) for detail in JOB_DETAILS]
        model = {"input_tokens": 12_400, "output_tokens": 310, "cost": 0.0214}
        answers = call(9, "shop.agents:ask", "returned", outcome={"usage": model, "model": "m-4"})
        asked = detail(RUNS[5], (*CALLS[:2], answers), "completed")
        return summed_up([*DETAILS.values(), asked])

    def runs(self, job: Any, *, status: Any = None, key: Any = None, limit: int = 50) -> Any:
        return RUNS[:limit]

    def counts(self, job: Any) -> dict[str, int]:
        return COUNTS

    def detail(self, job: Any, id_: str) -> Any:
        return DETAILS[id_]

    def waits(self, job: Any) -> Any:
        return WAITS

    def bad_lines(self, job: Any, *, limit: int) -> Any:
        return BAD_LINES

    def count_bad_lines(self, job: Any) -> int:
        return len(BAD_LINES)


@contextlib.contextmanager
def _screen(width: int) -> Iterator[io.StringIO]:
    """Have the command line print on a screen of this width; its clock stands still."""
    out = Terminal() if width else Pipe()
    env = {"COLUMNS": str(width or 100), "LINES": "50", "TERM": "xterm-256color", "TZ": "UTC"}

    @contextlib.contextmanager
    def opened(_store: str, _job: str | None) -> Iterator[Any]:
        yield StoredRuns(), JobRow(job=1, name="support", created_at=NOW)

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, env))
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "PERDURE_STORE", "PERDURE_JOB"):
            os.environ.pop(name, None)
        time.tzset()
        for module in (inspect, inbox, stats):
            stack.enter_context(mock.patch.object(module, "open_job", opened))
        stack.enter_context(mock.patch.object(render, "now", return_value=NOW))
        stack.enter_context(mock.patch("sys.stdin", io.StringIO()))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(out))
        try:
            yield out
        finally:
            stack.close()
            time.tzset()


def _command(*arguments: str) -> Callable[[int], str]:
    def draw(width: int) -> str:
        with _screen(width) as out:
            code = main(arguments)
        assert code == 0, out.getvalue()
        return out.getvalue()

    return draw


def _progress(width: int) -> str:
    """Return the bar, as it is when a job has just begun and in the middle of much trouble."""
    few = Progress(inputs=3, completed=1, in_flight=2, calls_made=4)
    much = Progress(
        inputs=84_210, already_done=12, completed=61_000, failed=312, cancelled=4, in_flight=4_096,
        waiting=1_207, retries=77, calls_made=402_133, calls_replayed=1_204,
    )  # fmt: skip
    text = ""
    for job, counts, total in (("support", few, None), ("nightly-" * 5, much, 100_000)):
        clock = mock.patch.object(progress_view.time, "monotonic", return_value=0.0)
        with _screen(width) as out, clock:
            counted = progress_view.Total([])
            counted.value = total
            view = progress_view.make_view(job, counted, quiet=False, outputs_on_stdout=False)
            view.show(counts)
            drawn = out.getvalue()
            view.close()
        text += drawn.rpartition("\r")[2].rstrip("\n") + "\n"
    return text


SCREENS: dict[str, Callable[[int], str]] = {
    "runs": _command("runs"),
    "bad-lines": _command("runs", "--bad-lines"),
    "show-failed": _command("show", "r3e9"),
    "show-waiting": _command("show", "r3ea"),
    "trace": _command("trace", "r3e9"),
    "trace-job": _command("trace", "--job"),
    "inbox": _command("inbox"),
    "stats": _command("stats"),
    "progress": _progress,
}


def drawn(name: str, width: int) -> str:
    """Return a screen without its colours."""
    return plain(SCREENS[name](width))


def plain(text: str) -> str:
    """Return text without what colours it and moves the cursor."""
    return _ESCAPES.sub("", text)


def _form() -> dict[str, Any]:
    """Return the detail of a run as a file has it."""
    form = detail_form(DETAILS["r3e9"], LIVES, WHOLE)
    loaded: dict[str, Any] = json.loads(to_json(form))
    return loaded


# `perdure trace --format ...`, in lines.
FILES: dict[str, Callable[[], Any]] = {
    "trace-detail.json": _form,
    "trace-perfetto.json": lambda: trace_events(_form(), "support"),
}


def written(name: str) -> str:
    """Return a file that the command line makes."""
    return json.dumps(FILES[name](), ensure_ascii=False, indent=1) + "\n"


def path_of(name: str, width: int) -> Path:
    """Return where a screen is kept."""
    return FOLDER / f"{name}-{width or 'pipe'}.txt"
