"""SIGINT and SIGTERM of a command: heard while its loop is blocked, and its end at the latest.

A loop's own handlers need a turn of it: a step that blocks the loop would keep a process from
hearing any. And what a process is asked to end may not end: a callable that goes on when it is
cancelled. Since a job loses nothing when its process is killed, the command ends itself then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import sysconfig
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from perdure.printable import printable, shown_place

__all__ = ["StopSignals"]

LONGEST_END = 3.0  # seconds that a command has, which is to stop at once
_T = TypeVar("_T")
NUMBERS = (signal.SIGINT, signal.SIGTERM)

# What is named where a process stands is in none of these.
_OTHERS = tuple(
    str(each)
    for each in (Path(__file__).parents[1], *map(sysconfig.get_path, ("stdlib", "purelib")))
)
_SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"  # on a line of its own, in the place of a bar


class StopSignals:
    """What signals do to a command, beside what it does itself when it hears of them.

    It is told of each on its loop. `grace` and `LONGEST_END` seconds after the first one the
    process is ended, LONGEST_END seconds after the second, and at once at the third, unless it has
    ended by itself. What it does at the time, in threads or on the loop, is left there.

    Owns: the handlers of SIGINT and SIGTERM from `tell` on, as long as it is entered, which is
    longer than the loop is there. On the main thread; elsewhere it hears of none.

    Args:
        grace: seconds that the command takes at most between the first signal and `LONGEST_END`.
        last_words: made and written where it is ended: one line or more, given why.
    """

    def __init__(self, *, grace: float, last_words: Callable[[str], str]) -> None:
        self._grace = grace
        self._last_words = last_words
        self._count = 0
        self._first = 0  # its number
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard: Callable[[int], object] | None = None
        self._before: dict[int, Any] = {}
        self._end: threading.Timer | None = None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in NUMBERS}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, before if before is not None else signal.SIG_DFL)
        if self._end is not None:
            self._end.cancel()

    def run(
        self, runner: asyncio.Runner, main: Callable[[StopSignals], Coroutine[Any, Any, _T]]
    ) -> _T:
        """Run a command on a loop of its own, until that is closed; return what it does."""
        with self, runner:
            return runner.run(main(self))

    def tell(self, heard: Callable[[int], object]) -> None:
        """Have `heard` called with the number of each signal, on the running loop."""
        self._loop, self._heard = asyncio.get_running_loop(), heard
        for number in self._before:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        loop, heard = self._loop, self._heard
        assert loop is not None
        assert heard is not None
        if os.getpid() != self._process:  # a forked child's is no business of the command
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._count += 1
        self._first = self._first or number
        if self._count > 2:
            self._end_here("interrupted")
        with contextlib.suppress(RuntimeError):  # a closed loop: the command is over
            loop.call_soon_threadsafe(heard, number)
        if self._end is not None:
            self._end.cancel()
        seconds = LONGEST_END + (self._grace if self._count == 1 else 0)
        self._end = threading.Timer(seconds, self._end_late)
        self._end.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread is left: the third one ends it
            self._end.start()

    def _end_late(self) -> None:
        if (place := _place()) is not None:
            why = f"{place} blocks the event loop"
        else:
            why = "what was stopped did not end (a callable that goes on when it is cancelled?)"
        self._end_here(f"{why}, so the process was ended as it stood")

    def _end_here(self, why: str) -> None:
        """End the process. Through no lock or buffer: who holds it may be what was interrupted."""
        with contextlib.suppress(OSError, ValueError):
            text = (printable(self._last_words(why), lines=True) + "\n").encode(errors="replace")
            if sys.platform == "win32" or select.select((), (2,), (), 0)[1]:  # else nobody reads
                os.write(2, (_SHOW_CURSOR if os.isatty(2) else b"") + text)
        os._exit(128 + self._first)


def _place() -> str | None:
    """Return which of the program's functions the main thread is in; None on its loop."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        code, path = frame.f_code, os.path.abspath(frame.f_code.co_filename)
        if code is StopSignals.run.__code__:  # whoever runs the loop is not in it
            return None
        if not path.startswith(_OTHERS):
            return f"{code.co_qualname} ({shown_place(f'{path}:{frame.f_lineno}')})"
        frame = frame.f_back
    return None
