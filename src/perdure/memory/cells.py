"""The cells of a memory: what is at each path, and since when. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Final, NamedTuple

__all__ = ["NEVER", "OBJECT", "Cell", "Delta", "Draft", "ancestors", "apply_delta", "keep"]

Delta = list[tuple[str, bytes | None]]

# What marks an object. No codec encodes a value as nothing, so it is never taken for one.
OBJECT: Final = b""
NEVER: Final = -(1 << 64)
LATEST: Final = 1 << 64


class Cell(NamedTuple):
    """One stored path.

    Attributes:
        data: The encoded value; empty for an object made by `new_object`.
        written_at: Wall-clock time of the write, in nanoseconds.
    """

    data: bytes
    written_at: int


def apply_delta(current: MutableMapping[str, Cell], delta: Delta, now: int) -> None:
    """Apply recorded writes to a state, in place.

    Args:
        current: The state by path; changed.
        delta: Writes as `ActionMemory.apply` gave them.
        now: Time of the writes, in nanoseconds.
    """
    for path, data in delta:
        if data is None:
            current.pop(path, None)
        else:
            current[path] = Cell(data, now)


def keep(current: MutableMapping[str, Cell], paths: Iterable[str], now: int) -> None:
    """Let the time to live of paths begin anew, in place: never a value, and never back.

    Args:
        current: The state by path; changed.
        paths: Paths that were read; those that are gone stay so.
        now: When they were, in nanoseconds.
    """
    for path in paths:
        cell = current.get(path)
        if cell is not None and cell.written_at < now:
            current[path] = Cell(cell.data, now)


def ancestors(path: str) -> Iterator[str]:
    """Return the paths that `path` is below, the nearest first."""
    end = path.rfind(".")
    while end > 0:
        path = path[:end]
        yield path
        end = path.rfind(".")


class Draft:
    """A state being read and written: copies the mapping that it was given on the first write.

    Owned state: the cells, the paths touched, and how many cells are below each path (counted
    when first needed, so that a flat memory never pays for a search).
    """

    __slots__ = ("_below", "_cells", "_oldest", "_original", "_own", "touched")

    def __init__(self, cells: Mapping[str, Cell], oldest: int) -> None:
        """Begin with `cells`; those not written after `oldest` (nanoseconds) are not read."""
        self._original = cells
        self._cells = cells
        self._own: dict[str, Cell] | None = None
        self._oldest = oldest
        self._below: Counter[str] | None = None
        self.touched: set[str] = set()

    def value(self, path: str) -> bytes | None:
        """Return the encoded value at `path`, None when there is none."""
        cell = self._cells.get(path)
        if cell is None or cell.written_at <= self._oldest or cell.data == OBJECT:
            return None
        return cell.data

    def written_at(self, path: str) -> int:
        """Return when what is at `path` was written; later than everything where nothing is."""
        cell = self._cells.get(path)
        return LATEST if cell is None or cell.written_at <= self._oldest else cell.written_at

    def is_object(self, path: str) -> bool:
        """Return whether `path` is an object; the root always is."""
        if not path:
            return True
        cell = self._cells.get(path)
        if cell is not None and cell.data == OBJECT and cell.written_at > self._oldest:
            return True
        return any(self._is_live(below) for below in self._paths_below(path))

    def names(self, path: str) -> list[str]:
        """Return the names directly below `path`, sorted: the same in every process."""
        start = len(path) + 1 if path else 0
        below: Iterable[str] = self._paths_below(path) if path else self._cells
        return sorted({p[start:].partition(".")[0] for p in below if self._is_live(p)})

    def put(self, path: str, data: bytes, now: int) -> None:
        """Set `path`; what is below it goes, and a value above it becomes an object."""
        cells = self._mutable()
        if data != OBJECT:
            for below in list(self._paths_below(path)):
                self._drop(below)
        if "." in path:
            for above in ancestors(path):
                cell = cells.get(above)
                if cell is not None and cell.data != OBJECT:
                    self._drop(above)
        if self._below is not None and path not in cells:
            self._below.update(ancestors(path))
        cells[path] = Cell(data, now)
        self.touched.add(path)

    def remove(self, path: str) -> None:
        """Delete `path` and what is below it."""
        cells = self._mutable()
        for below in list(self._paths_below(path)):
            self._drop(below)
        if path in cells:
            self._drop(path)

    def result(self) -> dict[str, Cell]:
        """Return the cells as they are now, as a mapping of the caller's own."""
        return dict(self._cells) if self._own is None else self._own

    def _is_live(self, path: str) -> bool:
        return self._cells[path].written_at > self._oldest

    def _mutable(self) -> dict[str, Cell]:
        if self._own is None:
            self._cells = self._own = dict(self._original)
        return self._own

    def _drop(self, path: str) -> None:
        del self._mutable()[path]
        self.touched.add(path)
        if self._below is not None:
            self._below.subtract(ancestors(path))

    def _paths_below(self, path: str) -> Iterable[str]:
        if self._below is None:
            nested = [each for each in self._cells if "." in each]
            if not nested:
                return ()  # nothing to count, and flat memories are the rule
            self._below = Counter(above for each in nested for above in ancestors(each))
        if self._below[path] <= 0:
            return ()
        prefix = f"{path}."
        return (each for each in self._cells if each.startswith(prefix))
