"""What is checked of a command's files before anything is opened."""

from __future__ import annotations

import os

from perdure.connectors.jsonl import JsonlSink, JsonlSource
from perdure.engine.files import is_same_file
from perdure.errors import ConfigurationError, InputError


def check_files(
    source: JsonlSource,
    sink: JsonlSink,
    *,
    agent: str,
    config: str | None,
    summary: str | None,
) -> None:
    """Refuse an input that is not there, and a file that is written and is another one too.

    Args:
        source: the input.
        sink: the output.
        agent: the agent's file or module, with its name or without.
        config: the file of `--config`, if any.
        summary: the file of `--summary-json`, if any.

    Raises:
        ConfigurationError: says which; nothing was opened.
    """
    read = [("--input", path) for path in _inputs(source)]
    read.append(("the agent's file", agent.rpartition(":")[0] or agent))
    read += [("--config", config)] if config else []
    written = [("--output", sink.file), ("--summary-json", summary)]
    for at, (option, path) in enumerate(written):
        for other, second in (*read, *written[:at]):
            if path is not None and second is not None and is_same_file(path, second):
                raise ConfigurationError(
                    f"{option} {path} is the same file as {other} {second}: give another file"
                )


def _inputs(source: JsonlSource) -> list[str]:
    """Return the files of the input; standard input and pipes are none."""
    try:
        files = source.files()
    except InputError as error:
        raise ConfigurationError(f"--input: {error}") from error
    if not files and source.path != "-" and not os.path.exists(source.path):
        raise ConfigurationError(f"--input {source.path}: there is no such file in {os.getcwd()}")
    return list(files.values())
