"""What Ctrl-C does to a job that `LocalEngine.run` runs to its end.

asyncio cancels its main task at the first one, and raises the second wherever the main thread is:
in the middle of a commit, or in a turn of an action, whose run then seems to take another way than
before. Here the second one ends the loop between two steps.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType

__all__ = ["Interrupts"]

LONGEST_STEP = 1.0  # seconds until one that comes to no end is interrupted after all


class Interrupts:
    """The handler of SIGINT while a job is run, where the application has none of its own.

    The first signal stops the job in good order, the second ends the event loop after the step that
    it is in, a third one raises KeyboardInterrupt at once; so does the second where that step goes
    on for longer than a second, such as in a callable that blocks the loop.

    Owns: the handler, while it is entered. On the main thread; elsewhere it hears of none.

    Attributes:
        count: how many there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._owns = False
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> Interrupts:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._on_signal)
            self._owns = True
        return self

    def __exit__(self, *_error: object) -> None:
        if self._owns and signal.getsignal(signal.SIGINT) == self._on_signal:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def stop_this_task(self) -> None:
        """Have the first signal cancel the current task, which is the loop's main one."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        loop, task = self._loop, self._task
        if loop is None or task is None or not loop.is_running() or self.count > 2:
            raise KeyboardInterrupt
        if self.count == 1 and not task.done():
            task.cancel()
            loop.call_soon_threadsafe(lambda: None)  # it may be waiting
            return
        loop.call_soon_threadsafe(self._end_loop)
        insisting = threading.Timer(LONGEST_STEP, self._insist)
        insisting.daemon = True
        insisting.start()

    def _end_loop(self) -> None:
        self._ended = True
        raise KeyboardInterrupt

    def _insist(self) -> None:
        main = threading.main_thread().ident
        if self._ended or main is None or signal.getsignal(signal.SIGINT) != self._on_signal:
            return
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)  # ends what waits for the system, too
        else:
            signal.raise_signal(signal.SIGINT)
