"""What is written with `await`, taken to its end inside a plain `def` action."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from perdure.context import RunnerContext, current_context
from perdure.errors import ConfigurationError

__all__ = ["finished", "refuse_tasks"]

T = TypeVar("T")


def finished(ctx: RunnerContext, work: Coroutine[Any, Any, T]) -> Any:
    """Return a coroutine for an `async def` action to await; in a plain one, what it returns.

    The plain action is suspended meanwhile, as in `.result()`, and so it asks for one thing after
    the other. Its calls have the same numbers with continuations and without.
    """
    if current_context() is None or asyncio.current_task() is not None:
        return work
    go_on: Callable[[], Any] = functools.partial(work.send, None)
    while True:
        try:
            awaited = go_on()
        except StopIteration as stop:
            return stop.value
        go_on = functools.partial(work.send, None)
        if awaited is None:  # it lets others go first
            continue
        awaited._asyncio_future_blocking = False  # as a task says that it waits for it
        try:
            ctx.gather(awaited)
        except BaseException as error:  # it is cancelled, or dropped: so is what it waits for
            awaited.cancel()
            go_on = functools.partial(work.throw, error)


def refuse_tasks() -> None:
    """Refuse what needs tasks in a plain action without continuations: nothing would run them.

    Raises:
        ConfigurationError: so it is.
    """
    if getattr(asyncio.get_running_loop(), "is_sequential", False):
        raise ConfigurationError(
            "without continuations a plain action cannot call a chat model's tools: write it as"
            " `async def`, or install greenlet"
        )
