"""What a coroutine callable's steps take: one that blocks the host loop is named, once a function.

Nothing polls: each step is timed where it is made, which costs two looks at the clock. The first
one is made by the executor.
"""

from __future__ import annotations

import asyncio
import os
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from time import perf_counter
from typing import Any

from perdure.callables import attribute, innermost
from perdure.executor import forks
from perdure.printable import printable_logger, shown_place

logger = printable_logger("perdure")

BLOCKED_SECONDS = 0.1  # that the loop does nothing else before it is said
LOOK_SECONDS = BLOCKED_SECONDS / 2  # of one step, after which is looked how long it was in all


class StepWatch:
    """Names each function once of which a step blocked the host loop for over BLOCKED_SECONDS.

    A step is said to have, where more than half of that time was its own. Lifecycle: that of the
    executor. On the host loop.

    Args:
        host: the host loop.

    Attributes:
        forked: this is a forked child of the process whose steps these are.
    """

    def __init__(self, host: asyncio.AbstractEventLoop) -> None:
        self.forked = False
        self._host = host
        self._named: set[object] = set()

    def rest(
        self, func: Callable[..., Any], made: Coroutine[Any, Any, Any], waits_for: Any
    ) -> Awaitable[Any]:
        """Return the rest of a coroutine, to be awaited at once; its steps are timed.

        Args:
            func: the callable that has made it.
            made: the coroutine, after its first step.
            waits_for: what it has yielded in that.
        """
        return _Rest(made, waits_for, func, self)

    def took(self, func: Callable[..., Any], began: float, ended: float) -> None:
        """Told of a long step; `began` and `ended` in seconds."""
        seconds = ended - began
        if seconds >= BLOCKED_SECONDS:
            self._name(func, seconds)
        else:
            self._host.call_soon(self._look, func, began, seconds)

    def _look(self, func: Callable[..., Any], began: float, seconds: float) -> None:
        """See, in the loop's next round, how long it was blocked in all."""
        blocked = perf_counter() - began
        if blocked >= BLOCKED_SECONDS and seconds > blocked / 2:
            self._name(func, blocked)

    def _name(self, func: Callable[..., Any], seconds: float) -> None:
        inner = innermost(func)
        key = attribute(inner, "__code__", inner)
        if key in self._named:
            return
        self._named.add(key)
        logger.warning(
            "%s blocked the event loop for %.0f ms, in which nothing else of the job went on: await"
            " what takes time in it, or make it a plain function (def), which runs on a thread;"
            " this is said once a function",
            _called(inner), seconds * 1e3,
        )  # fmt: skip


_NOTHING = object()


class _Rest(Awaitable[Any], Generator[Any, Any, Any]):
    """A coroutine after its first step, whose further steps are timed."""

    __slots__ = ("_coroutine", "_func", "_send", "_waits_for", "_watch")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        waits_for: Any,
        func: Callable[..., Any],
        watch: StepWatch,
    ) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._send = coroutine.send
        self._func = func
        self._watch = watch

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def __next__(self) -> Any:
        if self._waits_for is not _NOTHING:
            first, self._waits_for = self._waits_for, _NOTHING
            return first
        if self._watch.forked:  # another's code came back: this one is the parent's to continue
            forks.end_child()
        began = perf_counter()
        try:
            return self._send(None)
        finally:
            ended = perf_counter()
            if self._watch.forked:
                forks.end_child()
            if ended - began > LOOK_SECONDS:
                self._watch.took(self._func, began, ended)

    def send(self, value: Any) -> Any:
        return self._send(value)

    def throw(self, *error: Any) -> Any:
        if self._watch.forked:
            forks.end_child()
        began = perf_counter()
        try:
            return self._coroutine.throw(*error)
        finally:
            ended = perf_counter()
            if self._watch.forked:
                forks.end_child()
            if ended - began > LOOK_SECONDS:
                self._watch.took(self._func, began, ended)

    def close(self) -> None:
        self._coroutine.close()


def _called(func: Any) -> str:
    """Return what a function is called, and where it is."""
    name: str = attribute(func, "__qualname__", type(func).__qualname__)
    code = attribute(func, "__code__")
    if type(code) is not types.CodeType:  # that of a mock is one too
        return name
    return f"{name} ({shown_place(f'{os.path.abspath(code.co_filename)}:{code.co_firstlineno}')})"
