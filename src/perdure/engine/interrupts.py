"""What Ctrl-C does to a job that `LocalEngine.run` runs to its end.

asyncio cancels its main task at the first one, and raises the second wherever the main thread is:
in the middle of a commit, or in a turn of an action, whose run then seems to take another way than
before. Here the second one ends the loop between two steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from perdure.executor import closing

__all__ = ["Interrupts", "closed_at_its_end"]

ONE_MOMENT = 0.1  # seconds within which several signals are one

LONGEST_STEP = 1.0  # seconds until one that comes to no end is interrupted after all


class Interrupts:
    """The handler of SIGINT while a job is run, where the application has none of its own.

    The first signal stops the job in good order, the second ends the event loop after the step that
    it is in. Where that step goes on, such as in a callable that blocks the loop, a third one
    raises KeyboardInterrupt in it at once; without one it is raised after a second. What closes
    then is given up at the next one. Signals of one moment are one: a burst would be raised in the
    midst of the loop's own code, which takes that badly.

    Owns: the handler, while it is entered. On the main thread; elsewhere it hears of none.

    Attributes:
        count: how many there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._owns = False
        self._newest = -math.inf  # when it came
        self._is_ending = False  # the loop is asked to end, and has not come to it
        self._is_closing = False  # it ends for good, perhaps between two steps of that
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
        now = time.monotonic()
        if now - self._newest < ONE_MOMENT:
            return
        self._newest = now
        self.count += 1
        loop, task = self._loop, self._task
        if loop is None or task is None or not (loop.is_running() or self._is_closing):
            raise KeyboardInterrupt
        if loop.is_closed() or not loop.is_running():
            return
        if self.count == 1 and not task.done():
            task.cancel()
            loop.call_soon_threadsafe(lambda: None)  # it may be waiting
            return
        if self._is_ending:
            raise KeyboardInterrupt
        self._is_ending = True
        loop.call_soon_threadsafe(self._end_loop)
        insisting = threading.Timer(LONGEST_STEP, self._insist)
        insisting.daemon = True
        insisting.start()

    def close_from_here_on(self) -> None:
        """Raise nothing but out of the loop: it is being closed."""
        self._is_closing = True

    def _end_loop(self) -> None:
        self._is_ending = False
        raise KeyboardInterrupt

    def _insist(self) -> None:
        main = threading.main_thread().ident
        is_over = not self._is_ending or signal.getsignal(signal.SIGINT) != self._on_signal
        if is_over or main is None:
            return
        self._newest = -math.inf
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)  # ends what waits for the system, too
        else:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def closed_at_its_end(
    runner: asyncio.Runner,
    interrupts: Interrupts,
    close_now: Callable[[asyncio.AbstractEventLoop], None],
) -> Iterator[None]:
    """Close a runner whatever interrupts what it runs, and its closing.

    `Runner.close` alone leaves all tasks as they are once one of them, or a signal, raises
    KeyboardInterrupt.

    Args:
        runner: runs nothing yet.
        interrupts: entered.
        close_now: closes, once no loop runs any more, what should have been closed on it.
    """
    loop, is_given_up = runner.get_loop(), False
    try:
        yield
    except BaseException:
        interrupts.close_from_here_on()
        is_given_up = not _end_tasks(loop, interrupts)
        raise
    finally:
        interrupts.close_from_here_on()
        try:
            if is_given_up:
                _leave(loop)
            else:
                runner.close()
        finally:
            close_now(loop)
            closing.loop_left(loop)


def _end_tasks(loop: asyncio.AbstractEventLoop, interrupts: Interrupts) -> bool:
    """Cancel all tasks, and wait for them until another signal comes; say whether all are over."""
    count = interrupts.count
    closing.loop_ends(loop)
    while tasks := asyncio.all_tasks(loop):
        if interrupts.count > count:
            return False
        for task in tasks:
            task.cancel()
        try:
            loop.run_until_complete(asyncio.wait(tasks))
        except KeyboardInterrupt:
            continue  # that of one of them, which is over by that; or it was a signal
        finally:
            _look_at(loop, tasks)
    return True


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop at once, whatever is under way on it; nobody is told that it never ended."""
    loop.set_exception_handler(lambda _loop, _context: None)
    asyncio.set_event_loop(None)
    loop.close()


def _look_at(loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[object]]) -> None:
    """Say what tasks have failed with that nobody waits for, as `asyncio.run` does."""
    for task in tasks:
        if not task.done() or task.cancelled():
            continue
        error = task.exception()
        if error is not None and not isinstance(error, KeyboardInterrupt):
            message = "unhandled exception while the event loop was ended"
            loop.call_exception_handler({"message": message, "exception": error, "task": task})
