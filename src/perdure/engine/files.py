"""The files of a job: none is two things at once, and a name stands for one file."""

from __future__ import annotations

import os
from collections.abc import Iterable

from perdure.connectors.base import Sink, Source
from perdure.errors import ConfigurationError, InputError, SinkError
from perdure.printable import why_no_name
from perdure.runtime.job_runtime import JobFiles
from perdure.store.base import ActionStateStore
from perdure.store.files import SINK, SOURCE, FileRow


def check_output(
    sink: Sink | None, store: ActionStateStore, job: str, source: Source | None = None
) -> None:
    """Refuse an output file that is the job's input or its store, by whatever path.

    Raises:
        SinkError: it is; nothing was written.
    """
    if sink is None or sink.file is None:
        return
    inputs = source.files().values() if source is not None else ()
    _refuse(sink.file, inputs, "an input of this job")
    _refuse(sink.file, store.paths(job), "where this job keeps its journal")


def _refuse(file: str, others: Iterable[os.PathLike[str] | str], what: str) -> None:
    for other in others:
        if is_same_file(file, other):
            raise SinkError(
                f"output {file} is the same file as {os.fspath(other)}, {what}: give another output"
            )


def is_same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Say whether two paths lead to one file, links of both kinds included; it need not exist."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def check_name(kind: str, name: str) -> None:
    """Refuse a source or sink by whose name no store can know it.

    Raises:
        ConfigurationError: its name is no text, or holds what no text in a store can.
    """
    if why := why_no_name(name):
        raise ConfigurationError(f"a {kind} cannot be named {name!r}: {why}")


async def check_source_names(files: JobFiles, source: Source) -> None:
    """Refuse a file whose name stands for another file of this job; keep what is new.

    Raises:
        InputError: a source of this name is another file, which still exists.
    """
    for name, path in source.files().items():
        other = await _check_name(files, SOURCE, name, path)
        if other is not None:
            raise InputError(
                f"{path} and {other} would both be the source {name!r} of this job, which knows its"
                " inputs by name and position: give this one a name of its own (--source-name NAME,"
                " name=), or inputs ids (--id, id=)"
            )


async def check_sink_name(files: JobFiles, sink: Sink) -> None:
    """Refuse a file whose name stands for another file of this job; keep what is new.

    Raises:
        SinkError: a sink of this name is another file, which still exists.
        ConfigurationError: no store can keep its name.
    """
    check_name("sink", sink.name)
    if sink.file is None:
        return
    other = await _check_name(files, SINK, sink.name, sink.file)
    if other is not None:
        raise SinkError(
            f"{sink.file} and {other} would both be the sink {sink.name!r} of this job, which knows"
            " by its name how far it has written: give this one a name of its own (--sink-name"
            " NAME, name=)"
        )


async def _check_name(files: JobFiles, kind: str, name: str, path: str) -> str | None:
    """Return the other file that a name stands for, if there is one; else keep this one."""
    row = _row(files, kind, name, path)
    known = await files.known(kind, name)
    if known == row:
        return None
    if known is not None and _is_another(known, row):
        return known.path
    await files.keep([row])
    return None


def _is_another(known: FileRow, row: FileRow) -> bool:
    """Say whether a name was given to another file, which still exists."""
    has_moved = bool(row.beside) and known.beside == row.beside  # together with the store
    if known.path == row.path or has_moved or not os.path.exists(known.path):
        return False
    return not is_same_file(known.path, row.path)


def _row(files: JobFiles, kind: str, name: str, path: str) -> FileRow:
    absolute = os.path.abspath(path)
    beside = ""
    if files.store_paths:
        try:
            beside = os.path.relpath(absolute, os.path.abspath(files.store_paths[0].parent))
        except ValueError:
            pass  # on Windows: another drive
    texts = (os.fsencode(text).decode("utf-8", "backslashreplace") for text in (absolute, beside))
    return FileRow(files.job, kind, name, *texts)
