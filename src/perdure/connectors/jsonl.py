"""JSON Lines: inputs from files or standard input, outputs to a file exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import re
import stat
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, get_args

from perdure.checks import checked_choice
from perdure.connectors.base import (
    BadLinePolicy,
    Sink,
    SinkState,
    Source,
    SourceItem,
    checked_policy,
)
from perdure.connectors.daemon_thread import in_daemon_thread
from perdure.connectors.json_text import to_json
from perdure.connectors.jsonl_lines import LineReader
from perdure.connectors.output_file import BehindPolicy, OutputFile
from perdure.connectors.output_stream import OutputStream, is_stdout, is_stream
from perdure.errors import ConfigurationError, InputError, SinkError, what_to_do
from perdure.printable import json_text, quoted_key
from perdure.run import Output

__all__ = ["JsonlSink", "JsonlSource"]

T = TypeVar("T")


class JsonlSource(Source):
    """One JSON value a line, in UTF-8, from a file, several files or standard input.

    Blank lines are skipped: they count as lines but not as items. A byte order mark at the
    start, Windows line ends and a last line without a newline are accepted, and so are the NaN
    and Infinity that Python writes; a number that no float can hold, such as 1e400, is a bad line.
    Reading and parsing happen in a thread, a chunk at a time.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        on_bad_line: BadLinePolicy = "stop",
    ) -> None:
        """Take the path; nothing is opened yet.

        Args:
            path: The file; "-" for standard input; or a pattern such as "part-*.jsonl", whose
                files are read one after another, in the order of their names ("2" before "10").
                Each is a source of its own, so that files may be added later.
            name: The source's name in its job; by default the file's name without its folder,
                so that a folder may be moved between two runs of a job. With a pattern a file is
                named "NAME:path".
            on_bad_line: "stop" ends the reading at a line that is no input; "skip" passes over it,
                and the store keeps its number and what is wrong with it.

        Raises:
            ConfigurationError: The path can be none, or `on_bad_line` is neither.
        """
        self.path = _checked_path(path)
        self.on_bad_line = checked_policy(on_bad_line)
        self.name = name or _default_name(self.path)
        self._given_name = name

    def files(self) -> dict[str, str]:
        """Return the regular files that it reads, as they are now: name of the source -> path.

        Raises:
            InputError: Two files have one name, or none matches the pattern.
        """
        return {name: path for path, name in self._parts() if os.path.isfile(path)}

    async def open(self) -> AsyncGenerator[SourceItem, None]:
        """Read the files from their first lines.

        Raises:
            InputError: A file cannot be read, or a line is not JSON; names file and line.
        """
        for path, name in await in_daemon_thread(self._parts):
            items = self._read(path, name)
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()

    async def _read(self, path: str, name: str) -> AsyncGenerator[SourceItem, None]:
        place = "<stdin>" if path == "-" else path
        reader = LineReader(place, name if name != self.name else "", self.on_bad_line)
        descriptor = await in_daemon_thread(lambda: _open_for_reading(path, place))
        try:
            while not reader.finished:
                items, error = await in_daemon_thread(lambda: reader.read_from(descriptor))
                for item in items:
                    yield item
                if error is not None:
                    raise error
        finally:
            # On a thread, which nobody waits for: a read from a terminal may still be under way.
            threading.Thread(target=reader.close, args=(descriptor,), daemon=True).start()

    def _parts(self) -> list[tuple[str, str]]:
        """Return (path, source name) of each file."""
        if self.path == "-" or not glob.has_magic(self.path) or os.path.exists(self.path):
            return [(self.path, self.name)]
        found = [path for path in glob.glob(self.path, recursive=True) if not os.path.isdir(path)]
        if not found:
            raise InputError(f"no file matches {self.path}: check the pattern and the folder")
        named: dict[str, str] = {}
        for path in sorted(found, key=_natural):
            name = _default_name(path)
            if self._given_name is not None:
                name = f"{self._given_name}:{_printable(path)}"
            if name in named:
                raise InputError(
                    f"{named[name]} and {path} would both be the source {name!r} of this job: give"
                    " a name for all of them (--source-name NAME, name=), which then are"
                    " NAME:path"
                )
            named[name] = path
        return [(path, name) for name, path in named.items()]


def _checked_path(path: str | os.PathLike[str]) -> str:
    """Return a path as text, if a file can have it.

    Raises:
        ConfigurationError: None can.
    """
    try:
        found = os.fspath(path)
    except TypeError:
        found = None
    if not isinstance(found, str):
        why = "it is no text: give the path as str or pathlib.Path"
    elif not found:
        why = "it is empty: give the path of a file, or - for the standard stream"
    elif "\0" in found:
        why = "no file has a null character in its path: give another one"
    else:
        return found
    raise ConfigurationError(f"path {path!r:.200}: {why}")


def _default_name(path: str) -> str:
    return "stdin" if path == "-" else _printable(os.path.basename(path))


def _printable(path: str) -> str:
    """Return a path as text that every store takes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Return what sorts part-2 before part-10."""
    parts = re.split(r"(\d+)", path)
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]


def _open_for_reading(path: str, place: str) -> int:
    try:
        if path == "-":
            return os.dup(0)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        do = what_to_do(error, "check the path")
        raise InputError(f"cannot read {place}: {error.strerror}: {do}") from error
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(
            f"cannot read {place}: it is a folder: give a file in it, or '{place}/*.jsonl'"
        )
    return descriptor


class JsonlSink(Sink):
    """One JSON value a line at the end of a file, each output exactly once.

    The engine records the sink's offset in the transaction that marks outputs as delivered. What
    lies behind the recorded offset when the sink is opened is cut off and written again where it
    is lines of outputs that were not recorded as delivered, as a crashed process leaves them.
    Anything else there is not the job's, and refused (G28). What the file held before the job is
    never touched. From then on the file is the job's: other programs may read it, not write.

    "-" is the standard output. There, and on pipes and devices, an output may be written again
    after a crash: its `id` in the envelope tells.

    Owned state: the file or stream, and one thread for all I/O of a file; from `open` to `close`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        envelope: bool = False,
        name: str | None = None,
        behind: BehindPolicy = "refuse",
    ) -> None:
        """Take the path; nothing is opened yet.

        Args:
            path: A regular file in a folder that exists; the file itself need not. Or "-", a
                named pipe or a device.
            envelope: Write `{"key", "run_id", "id", "value"}` instead of the value alone.
            name: The sink's name in its job; by default made of the file's name.
            behind: What becomes of bytes behind the recorded offset that are not the job's own:
                "refuse" raises, "keep" goes on behind them, "move" moves them to
                `FILE.orphaned-N`.

        Raises:
            ConfigurationError: The path can be none, or `behind` is none of these.
        """
        self.path = _checked_path(path)
        self._is_stream = is_stream(self.path)
        self.transactional = not self._is_stream
        self.file = None if self._is_stream else self.path
        default = f"jsonl:{_printable(os.path.basename(self.path))}"
        self.name = name or ("stdout" if is_stdout(self.path) else default)
        self._envelope = envelope
        self._behind: BehindPolicy = checked_choice("behind", behind, get_args(BehindPolicy))
        self._undelivered: Sequence[Output] = ()
        self._output_file: OutputFile | None = None
        self._output_stream: OutputStream | None = None
        self._thread: ThreadPoolExecutor | None = None

    def expect(self, undelivered: Sequence[Output]) -> None:
        """Take note of the outputs that may stand in the file without being recorded."""
        self._undelivered = undelivered

    async def open(self, state: SinkState | None) -> SinkState:
        """Lock the file and cut off what was written of the undelivered outputs after `state`.

        Raises:
            SinkError: The file is locked, missing, shorter than recorded or not a regular file,
                it ends in the middle of a line, or something else stands behind `state`.
        """
        if self._thread is not None or self._output_stream is not None:
            raise SinkError(f"output {self.path} is open already: close the sink first")
        if self._is_stream:
            self._output_stream = OutputStream(self.path)
            await in_daemon_thread(self._output_stream.open)
            return state or SinkState(0, 0)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="perdure-jsonl-sink")
        file = self._output_file = OutputFile(self.path, self._behind)
        undelivered, self._undelivered = self._undelivered, ()
        try:
            return await self._in_thread(
                lambda: file.open(state, lambda: self._lines_that_can_be(undelivered))
            )
        except BaseException:
            await self.close()
            raise

    async def write(self, outputs: Sequence[Output]) -> int | None:
        """Append one line for each output and force them to the disk.

        Returns:
            The size of the file in bytes: the offset to record. None on a stream.

        Raises:
            SinkError: The sink is not open, the disk refused, nobody reads the pipe, or a value
                has no JSON form. A file is then as it was before the call.
        """
        stream, file = self._output_stream, self._output_file
        if stream is not None:
            # A terminal may be at its end. In a file each line stays as it was first written.
            data = json_text(self._lines_of(outputs).decode()).encode()
            await in_daemon_thread(lambda: stream.write(data))
            return None
        if file is None:
            raise SinkError(f"output {self.path} is not open: open the sink first")
        return await self._in_thread(lambda: file.append(self._lines_of(outputs)))

    async def close(self) -> None:
        """Release the lock and end the thread, after the write that may be under way."""
        stream, self._output_stream = self._output_stream, None
        if stream is not None:
            # Nobody waits for it: a write to a pipe that is not read may still be under way.
            threading.Thread(target=stream.close, daemon=True).start()
        thread, self._thread = self._thread, None
        file, self._output_file = self._output_file, None
        if thread is None or file is None:
            return
        # Without waiting here: the loop's thread must not block on the disk.
        closed = asyncio.get_running_loop().run_in_executor(thread, file.close)
        thread.shutdown(wait=False)
        await asyncio.shield(closed)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            raise SinkError(f"output {self.path} is not open: open the sink first")
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _lines_that_can_be(self, outputs: Sequence[Output]) -> list[bytes]:
        """Return the lines of outputs; one without a line was never written."""
        lines = []
        for output in outputs:
            with contextlib.suppress(SinkError):
                lines.append(self._line_of(output))
        return lines

    def _lines_of(self, outputs: Sequence[Output]) -> bytes:
        return b"".join([self._line_of(output) for output in outputs])

    def _line_of(self, output: Output) -> bytes:
        value: Any = output.value
        if self._envelope:
            value = {"key": output.key, "run_id": output.run_id, "id": output.id, "value": value}
        try:
            return to_json(value) + b"\n"
        except (TypeError, ValueError) as error:
            raise SinkError(
                f"output {output.id} of key {quoted_key(output.key)} cannot be written"
                f" to {self.path}: {error}: send a value that JSON can hold"
            ) from error
