"""Which event loop, and which task on it, a thread says is running: the one place to change it.

A turn of an action runs inside a callback or a task of the host loop, and a callable may run inside
a turn: each time the thread's running loop changes, and must be as before afterwards. asyncio keeps
the running loop by thread. The current task it keeps by loop up to Python 3.13, and from 3.14 on by
thread, beside the running loop: there the host's task would stand in the way of the action's
("Cannot enter into task ... while another task ... is being executed"), and a turn that parks would
leave its own to the host. So both change together here, and no other file touches asyncio's private
names for either.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import select
import selectors
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from perdure.executor import forks

T = TypeVar("T")

Place: TypeAlias = "tuple[asyncio.AbstractEventLoop | None, asyncio.Task[Any] | None, object]"


class TurnLoop(asyncio.AbstractEventLoop):
    """A loop that turns run on, with its hooks of async generators."""

    def first_iteration(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Hook: an async generator was iterated for the first time."""
        raise NotImplementedError

    def finalize_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Hook: a generator lost its last reference before it was exhausted."""
        raise NotImplementedError


# The thread's running loop or None, where `asyncio.get_running_loop` raises; no call in between.
running_loop = asyncio._get_running_loop

if sys.version_info >= (3, 14):

    def put_task_aside() -> asyncio.Task[Any] | None:
        """Make no task the current one; return the one that was, for `take_task_up`."""
        loop = asyncio._get_running_loop()
        return None if loop is None else asyncio.tasks._swap_current_task(loop, None)

    def take_task_up(task: asyncio.Task[Any] | None) -> None:
        """Make `task` of the running loop the current one again."""
        if task is not None:
            asyncio.tasks._swap_current_task(task.get_loop(), task)

    def here() -> Place:
        """Return where the thread is, which `leave` takes it back to."""
        loop = asyncio._get_running_loop()
        return loop, None if loop is None else asyncio.current_task(loop), forks.process

    def go_to(loop: asyncio.AbstractEventLoop | None) -> None:
        """Make `loop` the thread's running loop, with no current task; None: outside every loop."""
        put_task_aside()
        asyncio._set_running_loop(loop)

else:

    def put_task_aside() -> asyncio.Task[Any] | None:
        """Make no task the current one; nothing to do where each loop has its own."""
        return None

    def take_task_up(task: asyncio.Task[Any] | None) -> None:
        """Make `task` of the running loop the current one again."""

    def here() -> Place:
        """Return where the thread is, which `leave` takes it back to."""
        return asyncio._get_running_loop(), None, forks.process

    # Makes a loop the thread's running loop; None: outside every loop.
    go_to = asyncio._set_running_loop


def enter(loop: asyncio.AbstractEventLoop | None) -> Place:
    """Make `loop` the thread's running loop, with no current task; return what `leave` needs.

    None is what a callable sees that runs outside every loop. Where Ctrl-C may come in between,
    `here` and `go_to` do it in two.
    """
    before = here()
    go_to(loop)
    return before


def leave(before: Place) -> None:
    """Put back the running loop and the current task as they were; doing so twice is the same.

    A child that was forked in between ends here.
    """
    loop, task, process = before
    if process is not forks.process:
        forks.end_child()
    asyncio._set_running_loop(loop)
    if task is not None:
        take_task_up(task)


# Ctrl-C raises KeyboardInterrupt between any two steps of what is below. A thread that stayed in an
# action's loop by that would have all that the host does next fail, for good. So what puts the
# thread back does it again, in full, where anything was raised meanwhile.


def within(loop: TurnLoop | None, work: Callable[..., object], *given: Any) -> None:
    """Run `work` between `enter` and `leave`, with the hooks of async generators on `loop`."""
    before, hooks = here(), sys.get_asyncgen_hooks()
    try:
        go_to(loop)
        if loop is not None:
            sys.set_asyncgen_hooks(loop.first_iteration, loop.finalize_generator)
        work(*given)
        sys.set_asyncgen_hooks(*hooks)
        leave(before)
    except BaseException:
        sys.set_asyncgen_hooks(*hooks)
        leave(before)
        raise


if sys.version_info >= (3, 12):

    def task_at_once(
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T],
        context: contextvars.Context,
        hooks: Any,
        *,
        name: str,
    ) -> asyncio.Task[T]:
        """Return a task of `loop` that has begun: its first step is made here and now.

        What ends in that step never takes a turn of the loop. May be called inside the turn of an
        action: the step sees `loop` as the running one, and another task of it may be under way.

        Args:
            loop: runs on this thread.
            work: what the task does.
            context: what it is done in; nothing else is under way there.
            hooks: those of async generators on `loop`.
            name: the task's name.
        """
        place, before = here(), sys.get_asyncgen_hooks()
        try:
            go_to(loop)
            sys.set_asyncgen_hooks(*hooks)
            task = asyncio.Task(work, loop=loop, name=name, context=context, eager_start=True)
            sys.set_asyncgen_hooks(*before)
            leave(place)
        except BaseException:
            sys.set_asyncgen_hooks(*before)
            leave(place)
            raise
        return task

else:  # `asyncio.timeout` wants a task, and one that has begun cannot be made before 3.12

    def task_at_once(
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T],
        context: contextvars.Context,
        hooks: Any,
        *,
        name: str,
    ) -> asyncio.Task[T]:
        """Return a task of `loop` that begins when its turn comes."""
        return asyncio.Task(work, loop=loop, context=context, name=name)


def later_task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, T],
    context: contextvars.Context | None = None,
    *,
    name: str | None = None,
) -> asyncio.Task[T]:
    """Return a task of `loop` that begins when its turn comes, whatever the loop's task factory.

    An eager one would begin it inside the turn of an action, or while its maker is half way.
    """
    return asyncio.Task(work, loop=loop, context=context, name=name)


def call_next(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
    """Have `loop` run `work` next, where it is one of asyncio's; else after what is ready by now.

    Args:
        loop: of this thread, or of one that a forked child does not have.
        work: what runs on it.
    """
    handle = loop.call_soon(work)
    ready = getattr(loop, "_ready", None)
    if isinstance(ready, deque) and ready[-1] is handle:
        ready.rotate(1)


def set_apart(loop: asyncio.AbstractEventLoop) -> None:
    """In a forked child: have what `loop` still does take no wake-ups or files from its parent's.

    They share a set of epoll, and uvloop looks there before it does what is next.
    """
    if not hasattr(select, "epoll") or loop.is_closed():
        return
    backend = getattr(loop, "_get_backend_id", None)
    selector = getattr(loop, "_selector", None)
    if isinstance(selector, selectors.EpollSelector):
        backend = selector.fileno
    if backend is not None:
        with select.epoll() as own:
            os.dup2(own.fileno(), backend(), inheritable=False)


def as_loop(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], None]:
    """Return what runs some work of `loop`, on its thread, with it as the running loop.

    A child that was forked since ends there: it has come back to what is its parent's.
    """
    process = forks.process

    def run(work: Callable[[], None]) -> None:
        if process is not forks.process:
            forks.end_child()
        if running_loop() is loop:
            work()
            return
        before = here()
        try:
            go_to(loop)
            work()
            leave(before)
        except BaseException:
            leave(before)
            raise

    return run
