"""Batch: what one commit writes, taken from what is pending when the writer begins."""

from __future__ import annotations

import asyncio
import collections
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from perdure.errors import StoreError
from perdure.store.row_types import Row

Done = Callable[[StoreError | None], None]


class Owner(Protocol):
    """What a batch item belongs to; when `dropped`, its items are neither written nor delivered."""

    dropped: bool


class Item(NamedTuple):
    """Rows that are written together, who is told, and whether they wait for a stalled store."""

    rows: Sequence[Row]
    done: Done
    owner: Owner | None
    waits: bool

    @property
    def is_dropped(self) -> bool:
        """True where nobody wants its rows written any more."""
        return self.owner is not None and self.owner.dropped


class Batch(Sequence[Row]):
    """The rows of one commit: all that is pending when they are first looked at.

    So a store that looks at them when it begins to write has in them what was handed over until
    then. Behind a batch that is not known to be written it has none: what was settled later must
    not overtake it, and is taken when that one has been seen to.

    Owns: its items, once it has taken them. Lifecycle: made on the host loop's thread for one
    commit; its rows are taken once, by that thread or the store's.

    Args:
        pending: what is pending: grows on the host loop's thread, and is taken from its front.
        taking: held while that is done.
        before: the batch that is being written, if one is.

    Attributes:
        items: what it writes, once taken.
        is_taken: what is added from now on is in a later one.
        is_written: its rows are in the store for good, if the disk keeps what the system has
            taken; for the store to say that has written them.
        began: when its rows were taken, in seconds of `time.perf_counter`.
        answer: how its commit ended, once that is known.
    """

    __slots__ = (
        "_before", "_pending", "_rows", "_size", "_taking", "answer", "began", "is_taken",
        "is_written", "items",
    )  # fmt: skip

    def __init__(
        self,
        pending: collections.deque[Item],
        taking: threading.Lock,
        before: Batch | None = None,
    ) -> None:
        self._pending = pending
        self._size = len(pending)
        self._taking = taking
        self._before = before
        self._rows: list[Row] | None = None
        self.items: list[Item] = []
        self.is_taken = self.is_written = False
        self.began = 0.0
        self.answer: Answer | None = None

    def close(self) -> list[Item]:
        """Return its items; where its rows were never looked at, those that it was made for."""
        if self._rows is None:
            self._take(self._size)
        return self.items

    def void(self) -> None:
        """Leave what is pending to another, where it is not taken yet."""
        if self._rows is None:
            self._take(0)

    def _take(self, most: int | None = None) -> list[Row]:
        with self._taking:
            if self._rows is not None:
                return self._rows
            # Before anything is: who adds looks at it after that.
            self.is_taken = True
            self.began = time.perf_counter()
            before, self._before = self._before, None
            if before is None or before.is_written:
                self._take_items(most)
                self.is_written = not self.items  # it stands in nobody's way
            self._rows = rows = [row for item in self.items for row in item.rows]
            return rows

    def _take_items(self, most: int | None) -> None:
        pending, items = self._pending, self.items
        while pending and (most is None or most > 0):
            item = pending.popleft()
            if not item.is_dropped:
                items.append(item)
            if most is not None:
                most -= 1

    def __len__(self) -> int:
        return len(self._take() if self._rows is None else self._rows)

    def __getitem__(self, index: Any) -> Any:
        return (self._take() if self._rows is None else self._rows)[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._take() if self._rows is None else self._rows)


class Answer(NamedTuple):
    """How a commit ended."""

    error: BaseException | None


# For stores


def begin(rows: Sequence[Row]) -> bool:
    """Take the rows of a batch: they are written now. False where there is nothing to write.

    Then the batch before it has all that was pending, or is not known to be written.
    """
    if not isinstance(rows, Batch):
        return True
    len(rows)
    return bool(rows.items)


def are_written(rows: Sequence[Row]) -> None:
    """Say of the rows of a batch that they are written: another may follow, whatever comes."""
    if isinstance(rows, Batch):
        rows.is_written = True


def settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    """End a future with an error, or a value where there is none; unless nobody waits any more."""
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def interrupted(error: BaseException) -> StoreError:
    """Return what is told of a commit that `error`, such as Ctrl-C, has left: nobody knows."""
    return StoreError(f"a commit was interrupted: {type(error).__name__}")


async def until_done(future: asyncio.Future[None]) -> None:
    """Wait for what goes on whoever waits, also for one who is cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            cancelled = error
    future.result()
    if cancelled is not None:
        raise cancelled
