"""What ends, jobs and event loops: closing that comes to its end, and starters that hear of it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

__all__ = ["begin", "end", "hold", "let_go", "loop_ends", "loop_left", "to_its_end"]


class Starter(Protocol):
    """Who starts calls on an event loop."""

    def loop_ends(self, loop: asyncio.AbstractEventLoop) -> None:
        """Told between two steps: where `loop` is its own, start nothing, take no outcome."""


class Holder(Protocol):
    """Who has changed what is the whole process's, for as long as it is open."""

    def loop_left(self, loop: asyncio.AbstractEventLoop) -> None:
        """Told that nothing runs on a loop any more: where it is its own, put all of that back."""


_starters: weakref.WeakSet[Starter] = weakref.WeakSet()
_holders: weakref.WeakSet[Holder] = weakref.WeakSet()


def begin(starter: Starter) -> None:
    """Have `starter` told of loops that end from now on, until `end`."""
    _starters.add(starter)


def end(starter: Starter) -> None:
    """The starter starts nothing any more."""
    _starters.discard(starter)


def loop_ends(loop: asyncio.AbstractEventLoop) -> None:
    """Tell all starters that a loop is about to end, which cancels what is under way there.

    On the loop's thread, before that: the calls that are cancelled have no outcome.
    """
    for starter in list(_starters):
        starter.loop_ends(loop)


def hold(holder: Holder) -> None:
    """Have `holder` told of loops that were left, until `let_go`."""
    _holders.add(holder)


def let_go(holder: Holder) -> None:
    """The holder has put all back."""
    _holders.discard(holder)


def loop_left(loop: asyncio.AbstractEventLoop) -> None:
    """Tell all holders that a loop is closed, perhaps with a job half open on it."""
    for holder in list(_holders):
        holder.loop_left(loop)


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
