"""KeptOutputs: what a run has sent out, in memory for those who hold its `Run`.

Whoever submits an input and waits for its outputs gets what this process has just committed: asking
the store for it would cost more than the rest of a short run.
"""

from __future__ import annotations

import collections
from typing import Any

from perdure.codec.codec import Codec
from perdure.run import Output

MAX_BYTES = 64 * 1024 * 1024  # of all outputs that a job keeps
OUTPUT_BYTES = 300  # what an output takes besides its value


class OutputKeeper:
    """The room for outputs that a job keeps in memory.

    Owns: how many bytes are left. Lifecycle: that of the job, on the host loop but for `give_back`.

    Args:
        codec: what values are journaled with.
        limit: bytes of all that is kept; what comes on top is read from the store.
    """

    __slots__ = ("_given_back", "_left", "codec")

    def __init__(self, codec: Codec, limit: int = MAX_BYTES) -> None:
        self.codec = codec
        self._left = limit
        self._given_back: collections.deque[int] = collections.deque()

    def take(self, size: int) -> bool:
        """Count bytes as kept; False where there is no room for them."""
        while self._given_back:
            self._left += self._given_back.popleft()
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """Count bytes as free again, from any thread: the last `Run` may be let go anywhere."""
        self._given_back.append(size)


class KeptOutputs:
    """The outputs of one run in journal form, as they become durable.

    Owns: the outputs, and their room until it is let go. Lifecycle: that of its holders, the run's
    handles; the run's ticket knows it weakly. On the host loop.
    """

    __slots__ = ("__weakref__", "_keeper", "_outputs", "_size")

    def __init__(self, keeper: OutputKeeper) -> None:
        self._keeper = keeper
        self._outputs: list[tuple[str, bytes]] = []  # id and value
        self._size = 0  # -1: it lacks one, so more are of no use

    def add(self, id: str, value: bytes) -> None:
        """Keep an output that is durable; where there is no room, none of the run's is kept."""
        size = len(value) + OUTPUT_BYTES
        if self._size >= 0 and self._keeper.take(size):
            self._outputs.append((id, value))
            self._size += size
        else:
            self._let_go()
            self._size = -1

    def read(self, run: str, key: Any, encoded: bytes, count: int) -> list[Output] | None:
        """Return the outputs anew; None where these are not all that the run has.

        Args:
            run: the run's id.
            key: its key.
            encoded: its key in journal form.
            count: how many outputs it has.
        """
        if len(self._outputs) != count:
            return None
        codec = self._keeper.codec
        return [
            Output(codec.decode(value), codec.read_back(key, encoded), run, id_)
            for id_, value in self._outputs
        ]

    def _let_go(self) -> None:
        if self._size > 0:
            self._keeper.give_back(self._size)
        self._outputs = []

    def __del__(self) -> None:
        self._let_go()
