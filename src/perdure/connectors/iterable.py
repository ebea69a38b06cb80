"""Inputs from any Python iterable; outputs to a callable or a list."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any

from perdure.codec.error_texts import class_name, text_of
from perdure.connectors.base import (
    BadLinePolicy,
    Sink,
    SinkState,
    Source,
    SourceItem,
    checked_policy,
)
from perdure.errors import InputError, SinkError
from perdure.executor import forks
from perdure.executor.shutdown import ends_process
from perdure.printable import quoted_key
from perdure.run import Output

__all__ = ["CallableSink", "IterableSource", "ListSink", "as_sink", "as_source"]

# A plain iterable never suspends by itself, so the loop gets a turn after this many items.
_ITEMS_PER_TURN = 64


class IterableSource(Source):
    """The values of an iterable or an async iterable, which may be endless.

    A plain iterable is advanced on the event loop's thread: one that waits for something should
    be an async iterable. An exception raised by the iterable goes to the reader as it is.
    """

    def __init__(
        self,
        values: Iterable[Any] | AsyncIterable[Any],
        *,
        name: str = "inputs",
        on_bad_line: BadLinePolicy = "stop",
    ) -> None:
        """Take the values; nothing is read yet.

        Args:
            values: What to read. An iterator can be read once only.
            name: The source's name in its job.
            on_bad_line: "stop" ends the reading at a value without a key or a journal form;
                "skip" passes over it, and the store keeps its position and what is wrong with it.

        Raises:
            ConfigurationError: `on_bad_line` is neither.
        """
        self.name = name
        self.on_bad_line = checked_policy(on_bad_line)
        self._values = values
        self._spent = False

    async def open(self) -> AsyncGenerator[SourceItem, None]:
        """Read the values from the first.

        Raises:
            InputError: The values are an iterator that was read before.
        """
        values = self._values
        if self._spent:
            raise InputError(
                f"source {self.name!r} is an iterator and was read already:"
                " give a list, or a new iterator for every run"
            )
        # An iterator goes on where it stopped, so a second reading would number it wrongly.
        self._spent = isinstance(values, Iterator | AsyncIterator)
        position = 0
        if isinstance(values, AsyncIterable):
            async for value in values:
                yield SourceItem(position, value)
                position += 1
            return
        for value in values:
            yield SourceItem(position, value)
            position += 1
            if position % _ITEMS_PER_TURN == 0:
                await asyncio.sleep(0)


class CallableSink(Sink):
    """Calls a function with every output, at least once each.

    A plain function runs on the event loop's thread, so one that waits for something should be a
    coroutine function. When it raises, the outputs before are delivered again with the failed one.
    """

    def __init__(self, deliver: Callable[[Output], Any], *, name: str = "callable") -> None:
        """Take the function; what it returns is awaited if it can be."""
        self.name = name
        self._deliver = deliver

    async def open(self, state: SinkState | None) -> SinkState:
        """Return the state as it is: there is nothing to undo."""
        return state or SinkState(0, 0)

    async def write(self, outputs: Sequence[Output]) -> None:
        """Call the function with each output in turn.

        Raises:
            SinkError: The function raised, and its exception is the cause; or it returned a
                generator. What ends the process is raised as it is.
        """
        process, task = forks.process, asyncio.current_task()
        for output in outputs:
            try:
                result = self._deliver(output)
                if inspect.isawaitable(result):
                    result = await result
            except asyncio.CancelledError:
                raise  # by which the job ends the delivery
            except BaseException as error:
                if ends_process(error) or (
                    isinstance(error, GeneratorExit) and _is_done_away_with(task)
                ):
                    raise
                why = f"{class_name(type(error))}: {text_of(error)}"
                raise self._failed(output, why) from error
            if process is not forks.process:  # the next output is the parent's to deliver
                forks.end_child()
            if isinstance(result, Generator | AsyncGenerator):
                if isinstance(result, Generator):
                    result.close()  # nothing of it has run, and nothing will
                raise self._failed(output, "it returned a generator, of which nothing has run")

    def _failed(self, output: Output, why: str) -> SinkError:
        return SinkError(
            f"sink {self.name!r} failed on output {output.id} of key {quoted_key(output.key)}:"
            f" {why}: correct the sink and run again"
        )

    async def close(self) -> None:
        """Do nothing: the function is the caller's."""


class ListSink(Sink):
    """Keeps the outputs in a list.

    Attributes:
        outputs: What was delivered, in order.
    """

    def __init__(self, *, name: str = "list") -> None:
        """Start with an empty list."""
        self.name = name
        self.outputs: list[Output] = []

    async def open(self, state: SinkState | None) -> SinkState:
        """Return the state as it is: there is nothing to undo."""
        return state or SinkState(0, 0)

    async def write(self, outputs: Sequence[Output]) -> None:
        """Append the outputs."""
        self.outputs.extend(outputs)

    async def close(self) -> None:
        """Keep the list."""


def as_source(inputs: Any, *, name: str = "inputs") -> Source:
    """Make a source of what a user gives as inputs.

    Args:
        inputs: A `Source`, an iterable or an async iterable.
        name: The name of the source if one is made.

    Raises:
        InputError: It is none of these, or a string or mapping, whose items are no inputs.
    """
    if isinstance(inputs, Source):
        return inputs
    if isinstance(inputs, str | bytes | bytearray | Mapping):
        raise InputError(
            f"inputs is one {type(inputs).__name__}:"
            " give a list of inputs, or JsonlSource(path) for a file"
        )
    if not isinstance(inputs, Iterable | AsyncIterable):
        raise InputError(
            f"inputs is a {type(inputs).__name__}: give an iterable, an async iterable or a Source"
        )
    return IterableSource(inputs, name=name)


def as_sink(sink: Any) -> Sink:
    """Make a sink of what a user gives as one.

    Args:
        sink: A `Sink`, or a plain or async callable that takes an `Output`.

    Raises:
        SinkError: It is neither, or a generator function, of which a call would run nothing.
    """
    if isinstance(sink, Sink):
        return sink
    if not callable(sink):
        raise SinkError(
            f"sink is a {type(sink).__name__}: give a callable, or a Sink such as JsonlSink(path)"
        )
    if _makes_generators(sink):
        raise SinkError(
            f"sink '{text_of(getattr(sink, '__qualname__', sink))}' is a generator function, and a"
            " call of it runs nothing: give a function without yield"
        )
    return CallableSink(sink)


def _is_done_away_with(task: asyncio.Task[Any] | None) -> bool:
    """Say whether a coroutine of a task that waits is closed from outside, as its loop is over."""
    try:
        return asyncio.current_task() is not task
    except RuntimeError:  # there is no loop any more
        return True


def _makes_generators(func: Any) -> bool:
    # Not what a decorator wraps: it may well run the generator.
    called = (func, getattr(type(func), "__call__", None))  # noqa: B004 - the method itself
    return any(
        inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in called
    )
