"""`--log-format`: how the log of a command that runs a job is written."""

from __future__ import annotations

import contextlib
import enum
import logging
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

__all__ = ["LogFormat", "LogFormatOption", "line_of_log", "log_written", "told_in_log"]


class LogFormat(enum.StrEnum):
    """What `--log-format` takes."""

    TEXT = "text"
    JSON = "json"


LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar="PERDURE_LOG_FORMAT",
        help="The log on stderr: text, or a JSON object a line, with run, key and action.",
    ),
]


@contextlib.contextmanager
def log_written(form: LogFormat) -> Iterator[None]:
    """Write the whole process's log so, to stderr, while this is entered; text is left alone.

    As JSON: where the program has set up logging itself, its handlers of streams keep their place
    and levels; else all warnings are written, and what perdure and its actions tell.
    """
    from perdure.log_lines import JsonLogFormatter

    if form is LogFormat.TEXT:
        yield
        return
    root, logger, formatter = logging.getLogger(), logging.getLogger("perdure"), JsonLogFormatter()
    streams = [
        each
        for each in (*root.handlers, *logger.handlers)
        if isinstance(each, logging.StreamHandler) and not isinstance(each, logging.FileHandler)
    ]
    before, level = [each.formatter for each in streams], logger.level
    added: list[logging.Handler] = []
    if not (root.handlers or logger.handlers):
        added.append(logging.StreamHandler(sys.stderr))
        root.addHandler(added[0])
        if level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    for handler in (*streams, *added):
        handler.setFormatter(formatter)
    try:
        yield
    finally:
        for each, was in zip(streams, before, strict=True):
            each.setFormatter(was)
        for mine in added:
            root.removeHandler(mine)
        logger.setLevel(level)


def told_in_log(text: str) -> None:
    """Tell the person at the command line by a line of the log."""
    from perdure.printable import printable_logger

    printable_logger("perdure").info("%s", text)


def line_of_log(text: str) -> str:
    """Return the line that a warning of perdure's is in the JSON log, for whoever writes it."""
    from perdure.log_lines import JsonLogFormatter

    record = logging.LogRecord("perdure", logging.WARNING, __file__, 0, text, (), None)
    return JsonLogFormatter().format(record)
