"""OutputStream: standard output, a pipe or a device behind a sink; nothing there can be undone."""

from __future__ import annotations

import os
import stat
import sys
import threading

from perdure.errors import SinkError, what_to_do

__all__ = ["STDOUT", "OutputStream", "is_stdout", "is_stream"]

STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")


def is_stdout(path: str) -> bool:
    """Say whether a path stands for the standard output, wherever that goes."""
    return path in STDOUT


def is_stream(path: str) -> bool:
    """Say whether what a path names can only be written on, as a pipe; never a regular file."""
    if is_stdout(path) or path == "/dev/stderr" or path.startswith(_DESCRIPTORS):
        return True  # even where it is a file now: whoever opened it decides what becomes of it
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class OutputStream:
    """Lines to a stream. Its methods block, for as long as nobody reads.

    Owned state: a descriptor, but for the standard output, which is the process's.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None
        # A descriptor closed while a write is under way could be another file's by then.
        self._lock = threading.Lock()
        self._closed = False

    def open(self) -> None:
        """Open it; of a named pipe this waits for a reader.

        Raises:
            SinkError: It cannot be opened.
        """
        if is_stdout(self._path):
            return
        try:
            with self._lock:
                self._file = self._opened()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            do = what_to_do(error, "check the path")
            raise SinkError(f"cannot write to {self._path}: {reason}: {do}") from error

    def _opened(self) -> int:
        for prefix in _DESCRIPTORS:
            if self._path.startswith(prefix):
                return os.dup(int(self._path.removeprefix(prefix)))
        if self._path == "/dev/stderr":
            return os.dup(2)
        return os.open(self._path, os.O_WRONLY)

    def write(self, data: bytes) -> None:
        """Write whole lines.

        Raises:
            SinkError: Nobody reads any more, or the device failed.
        """
        try:
            with self._lock:
                if self._closed:
                    return
                if self._file is None:
                    _write_stdout(data)
                else:
                    _write_all(self._file, data)
        except (OSError, ValueError) as error:  # a closed sys.stdout raises ValueError
            name = "the standard output" if is_stdout(self._path) else self._path
            reason = error.strerror if isinstance(error, OSError) else error
            raise SinkError(
                f"cannot write to {name}: {reason}: what was not read is written again when the"
                " same is run again"
            ) from error

    def close(self) -> None:
        """Let go of it, once no write is under way."""
        with self._lock:
            self._closed = True
            file, self._file = self._file, None
            if file is not None:
                os.close(file)


def _write_stdout(data: bytes) -> None:
    # Not the descriptor: what the program printed before must stay before.
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(data.decode())
    else:
        sys.stdout.flush()
        binary.write(data)
    sys.stdout.flush()


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
