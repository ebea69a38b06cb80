"""JSON Lines: inputs from a file or standard input, outputs to a file exactly once."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from perdure.connectors.base import Sink, SinkState, Source, SourceItem
from perdure.connectors.json_text import to_json
from perdure.errors import InputError, SinkError
from perdure.run import Output

__all__ = ["JsonlSink", "JsonlSource"]

T = TypeVar("T")

_CHUNK_BYTES = 1 << 18
_BOM = b"\xef\xbb\xbf"


class JsonlSource(Source):
    """One JSON value a line, in UTF-8, from a file or from standard input.

    Blank lines are skipped: they count as lines but not as items. A byte order mark at the
    start, Windows line ends and a last line without a newline are accepted, and so are the NaN
    and Infinity that Python writes. Reading and parsing happen in a thread, a chunk at a time.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        """Take the path; nothing is opened yet.

        Args:
            path: The file, or "-" for standard input.
            name: The source's name in its job; by default the file's name without its folder,
                so that a folder may be moved between two runs of a job.
        """
        self.path = os.fspath(path)
        is_stdin = self.path == "-"
        self.name = name or ("stdin" if is_stdin else os.path.basename(self.path))
        self._place = "<stdin>" if is_stdin else self.path

    async def open(self) -> AsyncGenerator[SourceItem, None]:
        """Read the file from its first line.

        Raises:
            InputError: The file cannot be read, or a line is not JSON; names file and line.
        """
        # The lines run out in order, so the parser's counters belong to this reading.
        parser = _LineParser(self._place)
        descriptor = await _in_daemon_thread(self._open_file)
        try:
            while not parser.finished:
                items, error = await _in_daemon_thread(lambda: parser.read_from(descriptor))
                for item in items:
                    yield item
                if error is not None:
                    raise error
        finally:
            # On a thread, which nobody waits for: a read from a terminal may still be under way.
            threading.Thread(target=parser.close, args=(descriptor,), daemon=True).start()

    def _open_file(self) -> int:
        try:
            if self.path == "-":
                return os.dup(0)
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise InputError(
                f"cannot read {self._place}: {error.strerror}: check the path"
            ) from error
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InputError(f"cannot read {self._place}: it is a folder: give a file in it")
        return descriptor


class _LineParser:
    """Cuts bytes into lines and lines into items. Used by one thread at a time.

    Owns the counters of lines and items, and the bytes of the line that is not complete yet.
    """

    def __init__(self, place: str) -> None:
        self.finished = False
        self._place = place
        self._line = 0
        self._position = 0
        self._partial: list[bytes] = []
        # A descriptor closed before an abandoned read begins could be another file's by then.
        self._lock = threading.Lock()
        self._closed = False

    def read_from(self, descriptor: int) -> tuple[list[SourceItem], InputError | None]:
        """Read what is there, at most one chunk; waits only when there is nothing.

        Returns:
            The items of the complete lines, and the error that ended the reading after them.
        """
        items: list[SourceItem] = []
        try:
            with self._lock:
                chunk = b"" if self._closed else os.read(descriptor, _CHUNK_BYTES)
            for line in self._complete_lines(chunk):
                item = self._parse(line)
                if item is not None:
                    items.append(item)
        except InputError as error:
            self.finished = True
            return items, error
        except OSError as error:
            self.finished = True
            where = f"{self._place}:{self._line + 1}"
            return items, InputError(f"{where}: cannot read on: {error.strerror}: run again")
        return items, None

    def close(self, descriptor: int) -> None:
        """Close the descriptor once no read of it is under way."""
        with self._lock:
            self._closed = True
            os.close(descriptor)

    def _complete_lines(self, chunk: bytes) -> list[bytes]:
        if not chunk:
            self.finished = True
            last, self._partial = b"".join(self._partial), []
            return [last] if last else []
        head, *rest = chunk.split(b"\n")
        self._partial.append(head)
        if not rest:
            return []
        first = b"".join(self._partial)
        self._partial = [rest.pop()]
        return [first, *rest]

    def _parse(self, line: bytes) -> SourceItem | None:
        self._line += 1
        if self._line == 1:
            line = line.removeprefix(_BOM)
        raw = line.strip()
        if not raw:
            return None
        try:
            value = json.loads(raw.decode())
        except UnicodeDecodeError as error:
            raise self._bad_line(f"not UTF-8 at byte {error.start + 1}") from error
        except json.JSONDecodeError as error:
            raise self._bad_line(f"not JSON at column {error.colno}: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise self._bad_line(f"not readable as JSON: {error}") from error
        item = SourceItem(self._position, value, raw, self._line)
        self._position += 1
        return item

    def _bad_line(self, reason: str) -> InputError:
        return InputError(f"{self._place}:{self._line}: {reason}: correct the line and run again")


class JsonlSink(Sink):
    """One JSON value a line at the end of a file, each output exactly once.

    The engine records the sink's offset in the transaction that marks outputs as delivered. What
    lies behind the recorded offset when the sink is opened was written by a crashed process
    without being recorded, so it is cut off and written again. What the file held before the job
    is never touched. From then on the file is the job's: other programs may read it, not write.

    Owned state: a file descriptor that holds an exclusive lock on the file, the offset, and one
    thread for all of the file's I/O; from `open` to `close`.
    """

    transactional: ClassVar[bool] = True

    def __init__(
        self, path: str | os.PathLike[str], *, envelope: bool = False, name: str | None = None
    ) -> None:
        """Take the path; nothing is opened yet.

        Args:
            path: A regular file in a folder that exists; the file itself need not.
            envelope: Write `{"key", "run_id", "id", "value"}` instead of the value alone.
            name: The sink's name in its job; by default made of the file's name.
        """
        self.path = os.fspath(path)
        self.name = name or f"jsonl:{os.path.basename(self.path)}"
        self._envelope = envelope
        self._file: int | None = None
        self._offset = 0
        self._dirty = False
        self._thread: ThreadPoolExecutor | None = None

    async def open(self, state: SinkState | None) -> SinkState:
        """Lock the file and cut off what was written after `state`.

        Raises:
            SinkError: The file is locked, missing, shorter than recorded or not a regular file,
                or it ends in the middle of a line.
        """
        if self._thread is not None:
            raise SinkError(f"output file {self.path} is open already: close the sink first")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="perdure-jsonl-sink")
        try:
            return await self._in_thread(lambda: self._open_file(state))
        except BaseException:
            await self.close()
            raise

    async def write(self, outputs: Sequence[Output]) -> int:
        """Append one line for each output and force them to the disk.

        Returns:
            The size of the file in bytes: the offset to record.

        Raises:
            SinkError: The sink is not open, the disk refused, or a value has no JSON form. The
                file is then as it was before the call.
        """
        return await self._in_thread(lambda: self._append(outputs))

    async def close(self) -> None:
        """Release the lock and end the thread, after the write that may be under way."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # Without waiting here: the loop's thread must not block on the disk.
        closed = asyncio.get_running_loop().run_in_executor(thread, self._close_file)
        thread.shutdown(wait=False)
        await asyncio.shield(closed)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            raise SinkError(f"output file {self.path} is not open: open the sink first")
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # What follows runs on the sink's thread.

    def _open_file(self, state: SinkState | None) -> SinkState:
        wanted = 0 if state is None else state.offset
        try:
            existed = os.path.exists(self.path)
            if not existed and wanted > 0:
                raise self._changed(f"is missing but should hold {wanted} bytes")
            self._file = os.open(self.path, _OPEN_FLAGS, 0o666)
            self._lock(self._file)
            status = os.fstat(self._file)
            if not stat.S_ISREG(status.st_mode):
                raise SinkError(
                    f"output {self.path} is not a regular file:"
                    " give a file, or a callable as the sink"
                )
            if not existed:
                _sync_folder(os.path.dirname(self.path) or ".")
            state = self._adopt(self._file, status.st_size, state)
        except OSError as error:
            raise SinkError(
                f"cannot write {self.path}: {error.strerror}: check the folder and its permissions"
            ) from error
        self._offset = state.offset
        return state

    def _lock(self, file: int) -> None:
        try:
            _lock_file(file)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise SinkError(
                f"output file {self.path} is being written by another process:"
                " end that one or give another file"
            ) from error

    def _adopt(self, file: int, size: int, state: SinkState | None) -> SinkState:
        if state is None:
            if size and _read_byte(file, size - 1) != b"\n":
                raise SinkError(
                    f"output file {self.path} ends in the middle of a line:"
                    " complete the line or give another file"
                )
            return SinkState(base=size, offset=size)
        if size < state.offset:
            raise self._changed(f"holds {size} bytes but should hold {state.offset}")
        if state.offset > state.base and _read_byte(file, state.offset - 1) != b"\n":
            raise self._changed(f"has no line end at byte {state.offset}, where the job left it")
        if size > state.offset:
            os.ftruncate(file, state.offset)
            _sync(file)
        return state

    def _changed(self, what: str) -> SinkError:
        return SinkError(
            f"output file {self.path} {what}: put back the file that this job wrote,"
            " or start over with another job name"
        )

    def _append(self, outputs: Sequence[Output]) -> int:
        file = self._file
        if file is None:
            raise SinkError(f"output file {self.path} is not open: open the sink first")
        data = b"".join([self._line_of(output) for output in outputs])
        if not data:
            return self._offset
        try:
            self._check_size(file)
            self._dirty = True
            _write_all(file, data, self._offset)
            _sync(file)
        except OSError as error:
            self._roll_back(file)
            raise SinkError(
                f"cannot write {self.path}: {error.strerror}: make room or repair, then run again"
            ) from error
        self._offset += len(data)
        self._dirty = False
        return self._offset

    def _check_size(self, file: int) -> None:
        if self._dirty:
            os.ftruncate(file, self._offset)
            return
        size = os.fstat(file).st_size
        if size != self._offset:
            raise self._changed(f"was changed by another program: {size} bytes, not {self._offset}")

    def _roll_back(self, file: int) -> None:
        try:
            os.ftruncate(file, self._offset)
        except OSError:
            return  # Still dirty: the next write, or the next process, cuts it off.
        self._dirty = False

    def _line_of(self, output: Output) -> bytes:
        value: Any = output.value
        if self._envelope:
            value = {"key": output.key, "run_id": output.run_id, "id": output.id, "value": value}
        try:
            return to_json(value) + b"\n"
        except (TypeError, ValueError) as error:
            raise SinkError(
                f"output {output.id} of key {output.key!r} cannot be written to {self.path}:"
                f" {error}: send a value that JSON can hold"
            ) from error

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = _write_at(file, view, offset)
        view = view[written:]
        offset += written


# Not pread and pwrite, which Windows lacks; one thread uses the descriptor.


def _write_at(file: int, data: memoryview, offset: int) -> int:
    os.lseek(file, offset, os.SEEK_SET)
    return os.write(file, data)


def _read_byte(file: int, offset: int) -> bytes:
    os.lseek(file, offset, os.SEEK_SET)
    return os.read(file, 1)


if sys.platform == "win32":

    def _lock_file(file: int) -> None:
        """Do nothing: there is no flock, but the job's own lock keeps a second process out."""

    def _sync_folder(path: str) -> None:
        """Do nothing: a folder cannot be opened there."""

    _sync = os.fsync
else:
    import fcntl

    def _lock_file(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _sync_folder(path: str) -> None:
        folder = os.open(path, os.O_RDONLY)
        try:
            _sync(folder)
        finally:
            os.close(folder)

    def _sync(file: int) -> None:
        if sys.platform == "darwin":
            # There fsync alone leaves the data in the drive's cache.
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
        else:
            os.fsync(file)


async def _in_daemon_thread(call: Callable[[], T]) -> T:
    """Run a blocking call on a thread that interpreter exit does not wait for.

    A pool's threads are joined at exit, so a read from a terminal would hold up Ctrl-C.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only if T is

    def work() -> None:
        try:
            outcome: tuple[T | None, BaseException | None] = (call(), None)
        except BaseException as error:
            outcome = (None, error)
        try:
            loop.call_soon_threadsafe(settle, *outcome)
        except RuntimeError:
            pass  # The loop is closed: nobody waits any more.

    threading.Thread(target=work, name="perdure-jsonl-source", daemon=True).start()
    return await future
