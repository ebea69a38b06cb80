"""A command's files: what is checked before anything is opened, and how one is written whole."""

from __future__ import annotations

import contextlib
import glob
import os
from typing import TYPE_CHECKING

from perdure.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from perdure.connectors.jsonl import JsonlSink, JsonlSource


def check_files(
    source: JsonlSource,
    sink: JsonlSink,
    *,
    agent: str,
    config: str | None,
    summary: str | None,
    store: str,
) -> None:
    """Refuse an input that is not there, and a file that is written and is another one too.

    Args:
        source: the input.
        sink: the output.
        agent: the agent's file or module, with its name or without.
        config: the file of `--config`, if any.
        summary: the file of `--summary-json`, if any.
        store: the store's URL.

    Raises:
        ConfigurationError: says which; nothing was opened.
    """
    from perdure.engine.files import is_same_file

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
    if summary is not None:
        check_written("--summary-json", summary, store)


def check_written(option: str, path: str, store: str) -> None:
    """Refuse a file that is the store's, or that cannot be one.

    Args:
        option: what the path was given with.
        path: the file, which need not exist; what is written there replaces it.
        store: the store's URL.

    Raises:
        ConfigurationError: says why; nothing was opened.
    """
    from perdure.connectors.output_stream import is_stream
    from perdure.operate.store_files import store_file

    if not path:
        raise ConfigurationError(f"{option} is empty: give the path of a file, or leave it out")
    if (found := store_file(store, path)) is not None:
        raise ConfigurationError(
            f"{option} {path} is the same file as {found} of the store: give another file"
        )
    if os.path.isdir(path):
        raise ConfigurationError(f"{option} {path} is a folder: give a file in it")
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise ConfigurationError(
            f"{option} {path}: there is no folder {folder}: make it, or give another path"
        )
    if not is_stream(path) and not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"{option} {path}: this user may not write in the folder {folder}: give it that right,"
            " or give another path"
        )


def write_whole(path: str, data: bytes) -> None:
    """Write a file so that a reader never sees half of it; on pipes and devices go on with it.

    Raises:
        OSError: it cannot be written.
        SinkError: the pipe or the device cannot be.
    """
    from perdure.connectors.output_stream import OutputStream, is_stream

    if is_stream(path):
        stream = OutputStream(path)
        stream.open()
        try:
            stream.write(data)
        finally:
            stream.close()
        return
    real = os.path.realpath(path)  # a link stays one
    temporary = f"{real}.tmp{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, real)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _inputs(source: JsonlSource) -> list[str]:
    """Return the files of the input; standard input and pipes are none."""
    try:
        files = source.files()
    except InputError as error:
        raise ConfigurationError(f"--input: {error}") from error
    if not files and source.path != "-" and not glob.has_magic(source.path):
        _check_there(source.path)
    return list(files.values())


def _check_there(path: str) -> None:
    try:
        os.stat(path)
    except PermissionError as error:
        raise ConfigurationError(
            f"--input {path}: {error.strerror}: give this user the right to search its folder"
        ) from error
    except OSError as error:
        where = os.getcwd()
        raise ConfigurationError(f"--input {path}: there is no such file in {where}") from error
