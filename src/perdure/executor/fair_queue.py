"""A queue in which no key makes the others wait for all that it has put in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Hashable)


class FairQueue(Generic[K, T]):
    """First in, first out within a key; the keys with something waiting take turns.

    Between two items of one key every other key that waits has its turn. A key joins the round at
    its end, and again after its last item has left: what it had before gives it no advantage. Each
    operation is O(1), amortised.

    Owns: a lane of items for each key that has some, in the order of the keys' turns. Lifecycle:
    nothing stays behind of a key or an item that has left. Not thread-safe.
    """

    __slots__ = ("_lanes", "_length")

    def __init__(self) -> None:
        # OrderedDict, not dict: taking the first entries of a dict away makes it slower and slower.
        self._lanes: OrderedDict[K, OrderedDict[T, None]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """Iterate over all that waits, key by key."""
        for lane in self._lanes.values():
            yield from lane

    def push(self, key: K, item: T) -> None:
        """Add `item` behind all that waits under `key`.

        Raises:
            ValueError: it waits under `key` already.
        """
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = OrderedDict({item: None})
        elif item in lane:
            raise ValueError(f"{item!r} waits under {key!r} already: take it out first")
        else:
            lane[item] = None
        self._length += 1

    def pop(self) -> T:
        """Take out the first item of the key whose turn it is.

        Raises:
            IndexError: nothing waits.
        """
        if not self._lanes:
            raise IndexError("nothing waits in this FairQueue: ask for its length first")
        key, lane = next(iter(self._lanes.items()))
        item, _ = lane.popitem(last=False)
        if lane:
            self._lanes.move_to_end(key)
        else:
            del self._lanes[key]
        self._length -= 1
        return item

    def remove(self, key: K, item: T) -> bool:
        """Take out `item`, wherever it stands; return False if it does not wait under `key`."""
        lane = self._lanes.get(key)
        if lane is None or item not in lane:
            return False
        del lane[item]
        if not lane:
            del self._lanes[key]
        self._length -= 1
        return True
