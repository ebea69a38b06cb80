"""HeldUp: the inputs of keys that are full, each key's in the order in which they came."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from perdure.runtime.shared.inputs import NewInput
from perdure.runtime.shared.mailbox import Key, RunTicket

Submitted = tuple[NewInput, asyncio.Future[Any]]


class QueuedRuns(Protocol):
    """What admission needs of the runs that are queued behind runs that wait."""

    @property
    def room(self) -> int:
        """How many more there may be; below 1 where there is none."""

    def refuses(self, key: Key) -> bool:
        """Say whether no more runs of a key may be admitted for now."""

    def expect(self, key: Key) -> Callable[[], None] | None:
        """Count an admission under way; return what says that it is over, None if it counts not."""

    async def find(self, runs: Collection[int]) -> list[RunTicket]:
        """Return tickets of those of these runs that are out of memory."""


class HeldUp:
    """Inputs that wait until runs before them in their keys have begun.

    One whose future is done, since it was lost or refused, counts no more.

    Owns: these inputs. Lifecycle: that of the admission. On the host loop.
    """

    def __init__(self) -> None:
        self._by_key: dict[bytes, deque[Submitted]] = {}  # by a digest of the key
        self._keys: dict[asyncio.Future[Any], bytes] = {}

    def __bool__(self) -> bool:
        """Return whether there may be any."""
        return bool(self._by_key)

    def add(self, key: bytes, item: NewInput, future: asyncio.Future[Any]) -> None:
        """Put an input behind those of its key, which a digest names; one that is here stays."""
        if future not in self._keys:
            self._keys[future] = key
            self._by_key.setdefault(key, deque()).append((item, future))

    def is_behind(self, keys: Iterable[bytes], future: asyncio.Future[Any]) -> bool:
        """Say whether inputs of its key, which any of the digests may name, come before one."""
        for key in keys:
            first = self._first(key)
            if first is not None:
                return first is not future
        return False

    def let_go(self, future: asyncio.Future[Any]) -> bool:
        """Take out an input that begins, the first of its key; False where it is not here."""
        key = self._keys.pop(future, None)
        if key is None:
            return False
        self._by_key[key].popleft()
        return True

    def first(self, may_begin: Callable[[bytes], bool], at_most: int) -> list[Submitted]:
        """Return inputs of keys that are full no more, each key's in their order; they stay here.

        Args:
            may_begin: says of a key's digest whether it is full no more.
            at_most: number of inputs.
        """
        found: list[Submitted] = []
        for key in list(self._by_key):
            if len(found) >= at_most:
                break
            if self._first(key) is not None and may_begin(key):
                found += itertools.islice(self._by_key[key], at_most - len(found))
        return found

    def take_all(self) -> list[Submitted]:
        """Take out all of them."""
        taken = [each for queue in self._by_key.values() for each in queue]
        self._by_key.clear()
        self._keys.clear()
        return taken

    def _first(self, key: bytes) -> asyncio.Future[Any] | None:
        queue = self._by_key.get(key)
        if queue is None:
            return None
        while queue and queue[0][1].done():
            del self._keys[queue.popleft()[1]]
        if queue:
            return queue[0][1]
        del self._by_key[key]
        return None
