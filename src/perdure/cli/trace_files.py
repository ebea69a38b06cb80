"""`perdure trace RUN --format json|html|perfetto`: a run as a file that others open."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from perdure.cli.files import check_written, write_whole
from perdure.errors import ConfigurationError

if TYPE_CHECKING:
    from perdure.operate.history import History, JobRow
    from perdure.operate.run_detail import RunDetail

FORMATS = ("text", "json", "html", "perfetto")
# What a run's file of each format begins with: what does not is none, and not written over.
_BEGINNINGS = {
    "json": b'{"run": {"id": "r',
    "html": (
        b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv='
        b"\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-"
    ),
    "perfetto": b'{"traceEvents": [{"ph": "M", "name": "process_name", "pid": 1, "tid": 0, ',
}


def check_format(name: str, output: str | None, run: str | None) -> None:
    """Refuse a format that there is not, or that a whole job cannot be given in.

    Raises:
        ConfigurationError: says what there is.
    """
    if name not in FORMATS:
        raise ConfigurationError(f"--format {name}: give one of {', '.join(FORMATS)}")
    if run is None and name != "text":
        raise ConfigurationError(f"--format {name} is of one run: name it; a job is drawn as text")
    if output is not None and name == "text":
        raise ConfigurationError(
            "--output is for --format json, html or perfetto: redirect the text, as with >trace.txt"
        )


def check_output(output: str, store: str) -> None:
    """Refuse a file that is the store's, or that is no run's file written before.

    Raises:
        ConfigurationError: says why; it was not touched.
    """
    from perdure.connectors.output_stream import is_stream

    check_written("--output", output, store)
    if is_stream(output) or not os.path.exists(output):
        return
    try:
        with open(output, "rb") as file:
            begins = file.read(max(map(len, _BEGINNINGS.values())))
    except OSError as error:
        raise _cannot(output, error) from None
    if begins and not any(map(begins.startswith, _BEGINNINGS.values())):
        raise ConfigurationError(
            f"--output {output} exists, and no `perdure trace` wrote it: it was not touched; give"
            " a new file"
        )


def _cannot(output: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"--output {output}: {error.strerror}: give another path")


def made(history: History, job: JobRow, detail: RunDetail, name: str) -> str:
    """Return a run in a format other than text.

    Args:
        history: the store.
        job: the run's job.
        detail: the run.
        name: the format.
    """
    from perdure.connectors.json_text import to_json
    from perdure.operate.lives import lives_during
    from perdure.printable import json_text
    from perdure.web.forms import detail_form

    if name == "html":
        from perdure.web.trace_file import html_file, take

        return html_file(history.wait(take(history.awaited, job, detail)))
    processes = history.wait(lives_during(history.awaited, job, detail))
    if name == "json":
        from perdure.web.trace_file import WHOLE

        return json_text(to_json(detail_form(detail, processes, WHOLE)).decode()) + "\n"
    from perdure.web.perfetto import trace_events

    events = trace_events(detail_form(detail, processes), job.title)
    return json_text(to_json(events).decode()) + "\n"


def write(text: str, output: str | None, name: str, run: str) -> None:
    """Write a file, or the standard output.

    Args:
        text: what to write.
        output: path; None or "-" is the standard output.
        name: the format, for the message.
        run: the run's name, for the message.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    from perdure.cli import render

    data = text.encode()
    if output is None or output == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        write_whole(output, data)
    except OSError as error:
        raise _cannot(output, error) from None
    opens = {"perfetto": ": open it at ui.perfetto.dev, or in Chrome's Performance panel"}
    size = f"{len(data) / 1000:,.0f} kB" if len(data) >= 1000 else f"{len(data)} bytes"
    render.say(f"run {run}: {size} in {os.path.abspath(output)}{opens.get(name, '')}", error=True)
