"""The two ends of a job: sources of inputs and sinks of outputs.

A source is always read from its start. On resumption the engine compares the items that it
has admitted already with what it reads, so a source needs no offsets and no memory of its own.

A sink is handed the outputs that the store holds, in the order of their keys (G4). How often it
shows one of them depends on the sink: a transactional sink shows each exactly once, any other at
least once, and an output's `id` tells a repetition.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from perdure.checks import checked_choice
from perdure.run import Output

__all__ = ["BadLinePolicy", "Sink", "SinkState", "Source", "SourceItem", "checked_policy"]

BadLinePolicy = Literal["stop", "skip"]


def checked_policy(on_bad_line: BadLinePolicy) -> BadLinePolicy:
    """Return what becomes of bad lines, if it is one of the two.

    Raises:
        ConfigurationError: it is neither: no line is passed over, or refused, by a typing error.
    """
    return checked_choice("on_bad_line", on_bad_line, get_args(BadLinePolicy))


class SourceItem(NamedTuple):
    """One input as its source gives it.

    Attributes:
        position: Number of the item in its source, from 0, without gaps.
        value: The input.
        raw: The bytes that the value was read from, if any; they stand for it in digests.
        line: Line number from 1, if the source has lines; for error messages.
        source: Name of what the position counts in, where the reader reads several; else "".
        problem: Why it is no input: of an item that is passed over. It keeps its position, so
            that mending it moves no other.
    """

    position: int
    value: Any
    raw: bytes | None = None
    line: int | None = None
    source: str = ""
    problem: str = ""


class Source(ABC):
    """A sequence of inputs that can be read from its start.

    Attributes:
        name: Part of the identity of every input without an id (G2): the same for the same data.
        on_bad_line: What becomes of an input that cannot be read, has no key or cannot be
            journaled. "stop" refuses it and everything behind it, "skip" passes over it and
            keeps its place and the reason in the store.
    """

    name: str
    on_bad_line: BadLinePolicy = "stop"

    def files(self) -> Mapping[str, str]:
        """Return the regular files that it reads, as they are now: name of the source -> path.

        Raises:
            InputError: Two of them would have one name.
        """
        return {}

    @abstractmethod
    def open(self) -> AsyncGenerator[SourceItem, None]:
        """Read the source from position 0, in order.

        The caller closes the generator with `aclose()`. Nothing may block the event loop.

        Raises:
            InputError: An item is bad; it names the place. Those before it were given.
        """


class SinkState(NamedTuple):
    """What a transactional sink needs to know to go on after a crash.

    Attributes:
        base: Size of the file in bytes before the job wrote to it.
        offset: Size of the file in bytes after the last recorded write.
    """

    base: int
    offset: int


class Sink(ABC):
    """A place that outputs are delivered to. One job writes to it at a time.

    Attributes:
        name: The key under which the engine records the sink's state.
        transactional: Whether a crash at any moment leaves every output in it exactly once.
        file: Path of the regular file that it writes, if any.
    """

    name: str
    transactional: bool = False
    file: str | None = None

    def expect(self, undelivered: Sequence[Output]) -> None:
        """Take note of what it will be given first: called before `open`.

        Args:
            undelivered: The outputs that the store has and this sink has not, in commit order.
        """

    @abstractmethod
    async def open(self, state: SinkState | None) -> SinkState:
        """Take hold of the sink and undo what was written after `state`, and nothing else (G28).

        Args:
            state: The last recorded state, or None when nothing was recorded yet.

        Returns:
            The state to record durably before the first write.

        Raises:
            SinkError: The sink cannot be used, or is not as `state` left it.
        """

    @abstractmethod
    async def write(self, outputs: Sequence[Output]) -> int | None:
        """Deliver outputs, in order. They are durable in the sink when this returns.

        After a cancelled write it is unknown what was written: close the sink, do not write again.

        Returns:
            The offset to record together with the delivery, or None without offsets.

        Raises:
            SinkError: Not all of the outputs were delivered.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of the sink. May be called again, and after a failed `open`."""
