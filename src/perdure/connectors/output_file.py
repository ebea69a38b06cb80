"""OutputFile: the regular file behind a sink, appended to under a lock and cut back with care."""

from __future__ import annotations

import collections
import errno
import os
import stat
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Literal

from perdure.connectors.base import SinkState
from perdure.errors import SinkError, what_to_do
from perdure.printable import printable_logger
from perdure.same_file import is_still

__all__ = ["BehindPolicy", "OutputFile"]

logger = printable_logger("perdure")

BehindPolicy = Literal["refuse", "keep", "move"]
Lines = Callable[[], Sequence[bytes]]

_COPY_BYTES = 1 << 20
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class OutputFile:
    """A file that one job at a time appends lines to. Every method blocks; one thread uses it.

    Owned state: a descriptor that holds an exclusive lock on the file, which no forked child
    keeps, and the offset behind the last line that counts. Lifecycle: `open`, then `append` until
    `close`.

    Args:
        path: A regular file in a folder that exists; the file itself need not.
        behind: What becomes of bytes behind the recorded offset that are not this job's to cut.
    """

    def __init__(self, path: str, behind: BehindPolicy) -> None:
        self._path = path
        self._behind = behind
        self._place: str | None = None  # absolute, links followed; None where it has none
        self._file: int | None = None
        self._offset = 0
        self._dirty = False

    def open(self, state: SinkState | None, undelivered: Lines) -> SinkState:
        """Lock the file; cut off what was written of `undelivered` without being recorded (G28).

        Args:
            state: The last recorded state, None before there is one.
            undelivered: Gives the lines, each with its end, that will be appended first; asked
                only where there is something to compare.

        Returns:
            The state to record.

        Raises:
            SinkError: The file is locked, missing, shorter than recorded, not a regular file, ends
                in the middle of a line, or holds what is not this job's behind the offset.
        """
        wanted = 0 if state is None else state.offset
        try:
            existed = os.path.exists(self._path)
            if not existed and wanted > 0:
                raise self._changed(f"is missing but should hold {wanted} bytes")
            file = os.open(self._path, _OPEN_FLAGS, 0o666)
            self._file = file
            _OPEN.add(self)
            self._lock(file)
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise SinkError(f"output {self._path} is not a regular file: give a file or a pipe")
            if not existed:
                _sync_folder(os.path.dirname(self._path) or ".")
            state = self._adopt(file, status.st_size, state, undelivered)
        except OSError as error:
            do = what_to_do(error, "check the folder and its permissions")
            raise SinkError(f"cannot write {self._path}: {error.strerror}: {do}") from error
        self._offset = state.offset
        place = os.path.realpath(self._path)  # the working directory may change
        self._place = place if is_still(place, status) else None
        return state

    def append(self, data: bytes) -> int:
        """Append whole lines and force them to the disk.

        Returns:
            The size of the file in bytes: the offset to record.

        Raises:
            SinkError: The disk refused, another program wrote, or the file is no longer at its
                path. It is then as before.
        """
        file = self._file
        if file is None:
            raise SinkError(f"output file {self._path} is not open: open the sink first")
        if not data:
            return self._offset
        try:
            self._check_unchanged(file)
            self._dirty = True
            _write_all(file, data, self._offset)
            _sync(file)
        except OSError as error:
            self._roll_back(file)
            raise SinkError(
                f"cannot write {self._path}: {error.strerror}: make room or repair, then run again"
            ) from error
        self._offset += len(data)
        self._dirty = False
        return self._offset

    def close(self) -> None:
        """Release the lock."""
        file, self._file = self._file, None
        _OPEN.discard(self)
        if file is not None:
            os.close(file)

    def _lock(self, file: int) -> None:
        try:
            _lock_file(file)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise SinkError(
                f"output file {self._path} is being written by another job or process:"
                " end that one or give another file"
            ) from error

    def _adopt(
        self, file: int, size: int, state: SinkState | None, undelivered: Lines
    ) -> SinkState:
        if state is None:
            if size and _read_at(file, size - 1, 1) != b"\n":
                raise SinkError(
                    f"output file {self._path} ends in the middle of a line:"
                    " complete the line or give another file"
                )
            return SinkState(base=size, offset=size)
        if size < state.offset:
            raise self._changed(f"holds {size} bytes but should hold {state.offset}")
        if state.offset > state.base and _read_at(file, state.offset - 1, 1) != b"\n":
            raise self._changed(f"has no line end at byte {state.offset}, where the job left it")
        if size == state.offset:
            return state
        if _is_made_of(file, state.offset, size, undelivered()):
            os.ftruncate(file, state.offset)
            _sync(file)
            return state
        return self._pass_over(file, size, state)

    def _pass_over(self, file: int, size: int, state: SinkState) -> SinkState:
        """Go on although something else stands behind the recorded offset, or refuse to."""
        more = size - state.offset
        what = f"output file {self._path} has {more} bytes behind byte {state.offset}"
        if self._behind == "keep":
            if _read_at(file, size - 1, 1) != b"\n":
                raise SinkError(
                    f"{what} that end in the middle of a line: complete the line, or move them to a"
                    " file of their own (--output-behind move, behind='move')"
                )
            logger.warning("%s, where this job left it; it goes on behind them", what)
            return SinkState(base=state.base, offset=size)
        if self._behind == "move":
            orphaned = _move_tail(file, self._path, state.offset, size)
            logger.warning("%s, where this job left it; they are now in %s", what, orphaned)
            return state
        raise SinkError(
            f"{what}, where this job left it, that are none of the outputs it has still to write:"
            " another job or a person wrote them, or the store is behind its output (a power"
            " failure under durability relaxed, a restored backup); they were not touched: give"
            " another file, or go on behind them (--output-behind keep, behind='keep'), or move"
            f" them to {self._path}.orphaned-N (--output-behind move, behind='move')"
        )

    def _changed(self, what: str) -> SinkError:
        return SinkError(
            f"output file {self._path} {what}: put back the file that this job wrote, or give"
            " another file a name of its own (--sink-name, name=); what was delivered before is not"
            " delivered again: `perdure outputs --output F` writes it to a new file"
        )

    def _check_unchanged(self, file: int) -> None:
        if self._dirty:
            os.ftruncate(file, self._offset)
            return
        status = os.fstat(file)
        if self._place is not None and not is_still(self._place, status):
            raise self._changed("was removed, moved or replaced by another program")
        if (size := status.st_size) != self._offset:
            raise self._changed(f"was changed by another program: {size} bytes, not {self._offset}")

    def _roll_back(self, file: int) -> None:
        try:
            os.ftruncate(file, self._offset)
        except OSError:
            return  # Still dirty: the next write, or the next process, cuts it off.
        self._dirty = False

    def _let_go_in_child(self) -> None:
        # A forked child shares the lock, and would hold it when this process is gone.
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


_OPEN: weakref.WeakSet[OutputFile] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for file in list(_OPEN):
        file._let_go_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def _is_made_of(file: int, start: int, end: int, lines: Sequence[bytes]) -> bool:
    """Say whether a stretch of the file is some of `lines`, the last perhaps cut short."""
    if end - start > sum(map(len, lines)):
        return False
    *whole, rest = _read_at(file, start, end - start).split(b"\n")
    # Not compared in order: after a failure of the store they may have been written in another.
    left = collections.Counter(lines)
    for text in whole:
        line = text + b"\n"
        if not left[line]:
            return False
        left[line] -= 1
    return not rest or any(count and line.startswith(rest) for line, count in left.items())


def _move_tail(file: int, path: str, start: int, end: int) -> str:
    """Move a file's bytes from `start` on to a new file beside it; return that one's path."""
    number = 1
    while True:
        orphaned = f"{path}.orphaned-{number}"
        try:
            target = os.open(orphaned, _OPEN_FLAGS | os.O_EXCL, 0o666)
            break
        except FileExistsError:
            number += 1
    try:
        for at in range(start, end, _COPY_BYTES):
            _write_all(target, _read_at(file, at, min(_COPY_BYTES, end - at)), at - start)
        _sync(target)
    finally:
        os.close(target)
    _sync_folder(os.path.dirname(path) or ".")
    os.ftruncate(file, start)
    _sync(file)
    return orphaned


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


def _read_at(file: int, offset: int, size: int) -> bytes:
    os.lseek(file, offset, os.SEEK_SET)
    parts = []
    while size and (part := os.read(file, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


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
