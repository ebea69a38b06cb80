"""What ends, jobs and event loops: closing that comes to its end, and jobs that hear of it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

__all__ = ["begin", "end", "loop_ends", "loop_left", "to_its_end"]


class OnLoop(Protocol):
    """What is open on an event loop."""

    def loop_ends(self, loop: asyncio.AbstractEventLoop) -> None:
        """Told between two steps: where `loop` is its own, start nothing, take no outcome."""

    def loop_left(self, loop: asyncio.AbstractEventLoop) -> None:
        """Told that nothing runs on it any more: put back what is the whole process's."""


_open: weakref.WeakSet[OnLoop] = weakref.WeakSet()


def begin(opened: OnLoop) -> None:
    """Have `opened` told of loops that end from now on, until `end`."""
    _open.add(opened)


def end(opened: OnLoop) -> None:
    """It is closed."""
    _open.discard(opened)


def loop_ends(loop: asyncio.AbstractEventLoop) -> None:
    """Tell all of them that a loop is about to end, which cancels what is under way there.

    On the loop's thread, before that: the calls that are cancelled have no outcome.
    """
    for opened in list(_open):
        opened.loop_ends(loop)


def loop_left(loop: asyncio.AbstractEventLoop) -> None:
    """Tell all of them that a loop is closed, perhaps with a job half open on it."""
    for opened in list(_open):
        opened.loop_left(loop)


async def to_its_end(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Close to the end, also for one who is cancelled meanwhile.

    A loop that ends cancels all tasks, that of the closing as well: it is begun again then.

    Args:
        close: does the same again where it was cancelled on the way.

    Raises:
        CancelledError: it is closed, and whoever waited for it was cancelled.
    """
    cancelled: asyncio.CancelledError | None = None
    task = asyncio.ensure_future(close())
    while True:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        if task.cancelled() and task.cancelling():
            task = asyncio.ensure_future(close())
        elif task.done():
            break
    if cancelled is not None and not task.cancelled() and task.exception() is None:
        raise cancelled
    task.result()
