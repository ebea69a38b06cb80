"""Memory: what an action reads and writes of its key's memory, and how that becomes the state.

A memory is a flat mapping of dotted paths to encoded values. A path is either a value or an
object; an object exists when `new_object` made it or something is below it. An action reads the
state as it was when it started, overlaid by its own writes. Its writes reach the state when it
completes, in their order, over what other actions completed meanwhile.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final, Literal, NamedTuple

from perdure.errors import ContextAccessError, EncodeError

__all__ = ["ActionMemory", "Cell", "MemoryKind", "MemoryObject", "MemoryRef", "apply_delta"]

MemoryKind = Literal["sensory", "short_term"]
Delta = list[tuple[str, bytes | None]]
Update = Callable[[Any], Any]

# What marks an object. No codec encodes a value as nothing, so it is never taken for one.
_OBJECT: Final = b""
_NEVER: Final = -(1 << 64)


class Cell(NamedTuple):
    """One stored path.

    Attributes:
        data: The encoded value; empty for an object made by `new_object`.
        written_at: Wall-clock time of the write, in nanoseconds.
    """

    data: bytes
    written_at: int


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryRef:
    """Where a value is in memory; an event may carry it instead of the value.

    Attributes:
        memory: Which memory.
        path: The path from its root.
    """

    __journal_name__ = "perdure:MemoryRef"

    memory: MemoryKind
    path: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Write:
    """One write of an action: exactly one of value, update, or neither (a delete)."""

    path: str
    data: bytes | None = None
    update: Update | None = None


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


def _check_path(path: str) -> str:
    if not isinstance(path, str):
        raise TypeError(f"a memory path is a string such as 'a.b', not {path!r}")
    if not path or path[0] == "." or path[-1] == "." or ".." in path:
        raise ValueError(f"memory path {path!r} has an empty segment: write it as 'a.b'")
    return path


def _ancestors(path: str) -> Iterator[str]:
    end = path.rfind(".")
    while end > 0:
        path = path[:end]
        yield path
        end = path.rfind(".")


class _Draft:
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
        if cell is None or cell.written_at <= self._oldest or cell.data == _OBJECT:
            return None
        return cell.data

    def is_object(self, path: str) -> bool:
        """Return whether `path` is an object; the root always is."""
        if not path:
            return True
        cell = self._cells.get(path)
        if cell is not None and cell.data == _OBJECT and cell.written_at > self._oldest:
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
        if data != _OBJECT:
            for below in list(self._paths_below(path)):
                self._drop(below)
        if "." in path:
            for above in _ancestors(path):
                cell = cells.get(above)
                if cell is not None and cell.data != _OBJECT:
                    self._drop(above)
        if self._below is not None and path not in cells:
            self._below.update(_ancestors(path))
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
            self._below.subtract(_ancestors(path))

    def _paths_below(self, path: str) -> Iterable[str]:
        if self._below is None:
            nested = [each for each in self._cells if "." in each]
            if not nested:
                return ()  # nothing to count, and flat memories are the rule
            self._below = Counter(above for each in nested for above in _ancestors(each))
        if self._below[path] <= 0:
            return ()
        prefix = f"{path}."
        return (each for each in self._cells if each.startswith(prefix))


class ActionMemory:
    """One action's view of one memory.

    Owned state: the snapshot with the action's own writes over it, and these writes in order.
    Lives from the action's start to its completion; works only in turns of its action.
    """

    def __init__(
        self,
        base: Mapping[str, Cell],
        *,
        kind: MemoryKind,
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        check: Callable[[], None],
        now: int,
        ttl_ns: int = 0,
    ) -> None:
        """Open a view.

        Args:
            base: The state when the action first started; never changed.
            kind: Which memory it is.
            encode: Gives a value's encoded form, never empty.
            decode: Gives a value of its own back, each time.
            check: Raises ContextAccessError outside a turn of the action.
            now: The action's start, in nanoseconds of wall-clock time.
            ttl_ns: How long a write lives, in nanoseconds; 0 for ever.
        """
        self.kind: MemoryKind = kind
        self._encode = encode
        self._decode = decode
        self._check = check
        self._now = now
        # Judged at the start, so that a replay reads what the first execution read.
        self._oldest = now - ttl_ns if ttl_ns else _NEVER
        self._view = _Draft(base, self._oldest)
        self._writes: list[_Write] = []
        self._updating = False

    @property
    def root(self) -> MemoryObject:
        """The memory as the action sees it."""
        return MemoryObject(self, "")

    def pending(self) -> bool:
        """Return whether the action wrote anything."""
        return bool(self._writes)

    def apply(self, current: Mapping[str, Cell], now: int) -> tuple[dict[str, Cell], Delta]:
        """Apply the action's writes, in their order, to the last completed state.

        Args:
            current: The last completed state; not changed, and nothing else is when this raises.
            now: Time of the action's completion, in nanoseconds.

        Returns:
            The new state, and the writes that lead to it: one for each path, None where a path
            is gone. `apply_delta` with them gives the same state.

        Raises:
            Exception: Whatever a function given to `update` raised.
        """
        draft = _Draft(current, self._oldest)
        for write in self._writes:
            self._perform(write, draft, now)
        new = draft.result()
        # What was both made and deleted here was never anywhere: it leaves no tombstone.
        changed = sorted(path for path in draft.touched if path in new or path in current)
        return new, [(path, new[path].data if path in new else None) for path in changed]

    def value(self, path: str) -> bytes | None:
        """Return the encoded value at `path`, None when there is none."""
        self._enter()
        return self._view.value(path)

    def decoded(self, data: bytes) -> Any:
        """Return the value of `data`, the caller's own."""
        return self._decode(data)

    def is_object(self, path: str) -> bool:
        """Return whether `path` is an object."""
        self._enter()
        return self._view.is_object(path)

    def names(self, path: str) -> list[str]:
        """Return the names directly below `path`, sorted."""
        self._enter()
        return self._view.names(path)

    def set(self, path: str, value: Any) -> None:
        """Set `path` to `value`, encoded now."""
        self._enter()
        self._record(_Write(path, data=self._encoded(path, value)))

    def new_object(self, path: str) -> None:
        """Make `path` an object."""
        self._enter()
        self._record(_Write(path, data=_OBJECT))

    def delete(self, path: str) -> None:
        """Delete `path` and what is below it, also where only another action wrote it."""
        self._enter()
        self._record(_Write(path))

    def update(self, path: str, fn: Update) -> None:
        """Apply `fn` now to the value seen, and at completion to the last completed one."""
        self._enter()
        if not callable(fn) or inspect.iscoroutinefunction(fn):
            raise TypeError(f"update({path!r}) takes a plain function of the value, not {fn!r}")
        self._record(_Write(path, update=fn))

    def _enter(self) -> None:
        self._check()
        if self._updating:
            raise ContextAccessError(
                "the function given to memory.update uses memory: compute from its argument alone"
            )

    def _record(self, write: _Write) -> None:
        self._perform(write, self._view, self._now)
        self._writes.append(write)

    def _perform(self, write: _Write, draft: _Draft, now: int) -> None:
        if write.update is not None:
            draft.put(write.path, self._updated(write.path, write.update, draft), now)
        elif write.data is not None:
            draft.put(write.path, write.data, now)
        else:
            draft.remove(write.path)

    def _updated(self, path: str, fn: Update, draft: _Draft) -> bytes:
        data = draft.value(path)
        if data is None and draft.is_object(path):
            raise TypeError(f"memory.update({path!r}): it is an object: update a value below it")
        self._updating = True
        try:
            value = fn(None if data is None else self._decode(data))
        finally:
            self._updating = False
        return self._encoded(path, value)

    def _encoded(self, path: str, value: Any) -> bytes:
        try:
            return self._encode(value)
        except EncodeError as error:
            raise EncodeError(
                f"{self.kind}_memory, path {path!r}, cannot be set: {error}"
            ) from error


class MemoryObject:
    """A memory, or an object in it, as an action sees it; paths are relative to the object.

    Every method raises ContextAccessError outside a turn of the action that it belongs to, and
    ValueError for a path with an empty segment.
    """

    __slots__ = ("_memory", "_path")

    def __init__(self, memory: ActionMemory, path: str) -> None:
        """View `path` of `memory`; the empty path is the root."""
        self._memory = memory
        self._path = path

    def get(self, path: str | MemoryRef, default: Any = None) -> Any:
        """Return the value at `path`, a copy of the action's own.

        Args:
            path: A path, or a reference that `set` returned (whose path is from the root).
            default: What to return when there is nothing.

        Returns:
            The value, a `MemoryObject` for an object, else `default`.
        """
        full = self._full(path)
        data = self._memory.value(full)
        if data is not None:
            return self._memory.decoded(data)
        return MemoryObject(self._memory, full) if self._memory.is_object(full) else default

    def set(self, path: str, value: Any) -> MemoryRef:
        """Set `path` to `value`; what is below it goes, and a value above it becomes an object.

        Args:
            path: A path.
            value: Anything that the codec takes; encoded now, so later changes do not count.

        Returns:
            A reference to it, which events may carry and `get` takes.

        Raises:
            EncodeError: The codec does not take the value.
        """
        full = self._full(path)
        self._memory.set(full, value)
        return MemoryRef(self._memory.kind, full)

    def new_object(self, path: str) -> MemoryObject:
        """Make `path` an object, unless it is one, and return it; a value there goes."""
        full = self._full(path)
        self._memory.new_object(full)
        return MemoryObject(self._memory, full)

    def is_exist(self, path: str | MemoryRef) -> bool:
        """Return whether there is a value or an object at `path`."""
        full = self._full(path)
        return self._memory.value(full) is not None or self._memory.is_object(full)

    def get_field_names(self) -> list[str]:
        """Return the names directly below this object, sorted."""
        return self._memory.names(self._path)

    def get_fields(self) -> dict[str, Any]:
        """Return what is directly below this object by name: values, and objects as such."""
        return {name: self.get(name) for name in self.get_field_names()}

    def delete(self, path: str) -> None:
        """Delete `path` and what is below it; nothing happens when there is nothing."""
        self._memory.delete(self._full(path))

    def update(self, path: str, fn: Update) -> None:
        """Change the value at `path` so that concurrent updates lose nothing.

        Args:
            path: A path of a value, or of nothing.
            fn: Pure and plain: gets the value (None when there is none), returns the new one.
                Called now, for what this action reads afterwards, and again when the action
                completes, with the last completed value.

        Raises:
            TypeError: `path` is an object, or `fn` is not a plain function.
            Exception: Whatever `fn` raises; nothing is written then.
        """
        self._memory.update(self._full(path), fn)

    def __getitem__(self, path: str | MemoryRef) -> Any:
        """Return what `get` returns; KeyError when there is nothing."""
        if not self.is_exist(path):
            raise KeyError(path if isinstance(path, str) else path.path)
        return self.get(path)

    def __setitem__(self, path: str, value: Any) -> None:
        """Set `path` to `value`."""
        self.set(path, value)

    def __delitem__(self, path: str) -> None:
        """Delete `path` and what is below it; KeyError when there is nothing."""
        if not self.is_exist(path):
            raise KeyError(path)
        self.delete(path)

    def __contains__(self, path: object) -> bool:
        """Return whether there is a value or an object at `path`."""
        return isinstance(path, (str, MemoryRef)) and self.is_exist(path)

    def __repr__(self) -> str:
        """Return which memory and where; reads nothing, so it works anywhere."""
        return f"MemoryObject({self._memory.kind}, {self._path or 'root'})"

    def _full(self, path: str | MemoryRef) -> str:
        if isinstance(path, MemoryRef):
            if path.memory != self._memory.kind:
                raise ValueError(
                    f"reference to {path.path!r} is into {path.memory} memory: "
                    f"get it there, not from {self._memory.kind} memory"
                )
            return _check_path(path.path)
        _check_path(path)
        return f"{self._path}.{path}" if self._path else path
