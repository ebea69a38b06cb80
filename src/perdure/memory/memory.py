"""Memory: what an action reads and writes of its key's memory, and how that becomes the state.

A memory is a flat mapping of dotted paths to encoded values. A path is either a value or an
object; an object exists when `new_object` made it or something is below it. An action reads the
state as it was when it started, overlaid by its own writes. Its writes reach the state when it
completes, in their order, over what other actions completed meanwhile.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, Protocol

import msgspec

from perdure.errors import ContextAccessError, EncodeError
from perdure.memory.cells import NEVER, OBJECT, Cell, Delta, Draft, ancestors, keep
from perdure.printable import unstorable

__all__ = ["ActionMemory", "MemoryKind", "MemoryObject", "MemoryRef"]

MemoryKind = Literal["sensory", "short_term"]
Update = Callable[[Any], Any]


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

    def resolve(self, ctx: _HasMemories) -> Any:
        """Return the value, read from the memory of an action's context; None when it is gone."""
        memory = ctx.sensory_memory if self.memory == "sensory" else ctx.short_term_memory
        return memory.get(self)


class _HasMemories(Protocol):
    @property
    def sensory_memory(self) -> MemoryObject: ...

    @property
    def short_term_memory(self) -> MemoryObject: ...


class _Write(msgspec.Struct, frozen=True):
    """One write of an action: exactly one of value, update, or neither (a delete)."""

    path: str
    data: bytes | None = None
    update: Update | None = None


def _check_path(path: str) -> str:
    if not isinstance(path, str):
        raise TypeError(f"a memory path is a string such as 'a.b', not {path!r}")
    if not path or path[0] == "." or path[-1] == "." or ".." in path:
        raise ValueError(f"memory path {path!r} has an empty segment: write it as 'a.b'")
    if why := unstorable(path):
        raise ValueError(f"memory path {path!r}: {why}")
    return path


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
        keeps_read: bool = False,
        replaces: bool = False,
        notes_reads: bool = False,
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
            keeps_read: What is read lives so long from then on, as what is written does.
            replaces: A value replaces an object and an object a value without being told to, by
                the rules of before.
            notes_reads: Keep what values were read, for `reads`.
        """
        self.kind: MemoryKind = kind
        self._encode = encode
        self._decode = decode
        self._check = check
        self._now = now
        # Judged at the start, so that a replay reads what the first execution read.
        self._oldest = now - ttl_ns if ttl_ns else NEVER
        # What was touched a moment ago is not touched again: a tenth of its time may pass first.
        self._fresh = now - ttl_ns // 10 if ttl_ns and keeps_read else NEVER
        self._read: set[str] = set()  # paths whose time to live begins anew
        self._replaces = replaces
        self._reads: dict[str, bytes] | None = {} if notes_reads else None
        self._view = Draft(base, self._oldest)
        self._writes: list[_Write] = []
        self._updating = False

    @property
    def root(self) -> MemoryObject:
        """The memory as the action sees it."""
        return MemoryObject(self, "")

    def pending(self) -> bool:
        """Return whether the action changes anything: it wrote, or keeps what it has read."""
        return bool(self._writes or self._read)

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
        draft = Draft(current, self._oldest)
        for write in self._writes:
            self._perform(write, draft, now)
        new = draft.result()
        # What was both made and deleted here was never anywhere: it leaves no tombstone.
        changed = sorted(path for path in draft.touched if path in new or path in current)
        return new, [(path, new[path].data if path in new else None) for path in changed]

    def keep(self, current: MutableMapping[str, Cell], now: int) -> list[str]:
        """Let what the action has read live on; return the paths, for `keep`.

        Args:
            current: The state that `apply` gave; changed.
            now: Time of the action's completion, in nanoseconds.
        """
        kept = sorted(path for path in self._read if path in current)
        keep(current, kept, now)
        return kept

    def value(self, path: str) -> bytes | None:
        """Return the encoded value at `path`, None when there is none."""
        self._enter()
        if self._fresh != NEVER and self._view.written_at(path) <= self._fresh:
            self._read.add(path)
        return self._view.value(path)

    def read(self, path: str) -> bytes | None:
        """Return what `value` returns, and note that it was read, where reads are noted."""
        data = self.value(path)
        if self._reads is not None and data is not None:
            self._reads[path] = data
        return data

    @property
    def reads(self) -> Mapping[str, bytes]:
        """The encoded values that were read by path, the last of each; {} where none is noted."""
        return self._reads or {}

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

    def set(self, path: str, value: Any, *, overwrite: bool) -> None:
        """Set `path` to `value`, encoded now."""
        self._enter()
        if not (overwrite or self._replaces):
            if self._view.is_object(path):
                raise ValueError(
                    f"{self.kind}_memory.set({path!r}): there is an object, with what is below it:"
                    f" set a value below it, or pass overwrite=True to replace all of it"
                )
            self._refuse_under_value("set", path)
        self._record(_Write(path, data=self._encoded(path, value)))

    def new_object(self, path: str, *, overwrite: bool) -> None:
        """Make `path` an object."""
        self._enter()
        if not (overwrite or self._replaces):
            if self._view.value(path) is not None:
                raise ValueError(
                    f"{self.kind}_memory.new_object({path!r}): there is a value: delete it, or pass"
                    " overwrite=True to replace it"
                )
            self._refuse_under_value("new_object", path)
        self._record(_Write(path, data=OBJECT))

    def _refuse_under_value(self, what: str, path: str) -> None:
        for above in ancestors(path):
            if self._view.value(above) is not None:
                do = "" if what == "update" else ", or pass overwrite=True to replace it"
                raise ValueError(
                    f"{self.kind}_memory.{what}({path!r}): {above!r} is a value, not an object:"
                    f" delete it{do}"
                )

    def delete(self, path: str) -> None:
        """Delete `path` and what is below it, also where only another action wrote it."""
        self._enter()
        self._record(_Write(path))

    def update(self, path: str, fn: Update) -> None:
        """Apply `fn` now to the value seen, and at completion to the last completed one."""
        self._enter()
        if not callable(fn) or inspect.iscoroutinefunction(fn):
            raise TypeError(f"update({path!r}) takes a plain function of the value, not {fn!r}")
        if not self._replaces:
            self._refuse_under_value("update", path)
        self._record(_Write(path, update=fn))

    def _enter(self) -> None:
        self._check()
        if self._updating:
            raise ContextAccessError(
                "the function given to memory.update uses memory: compute from its argument alone"
            )

    def _record(self, write: _Write) -> None:
        self._perform(write, self._view, self._now)
        newest = self._writes[-1] if self._writes else None
        if newest is not None and newest.path == write.path and write.data and newest.data:
            self._writes.pop()  # a value that the next one replaces: all that it did is done again
        self._writes.append(write)

    def _perform(self, write: _Write, draft: Draft, now: int) -> None:
        if write.update is not None:
            draft.put(write.path, self._updated(write.path, write.update, draft), now)
        elif write.data is not None:
            draft.put(write.path, write.data, now)
        else:
            draft.remove(write.path)

    def _updated(self, path: str, fn: Update, draft: Draft) -> bytes:
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
        data = self._memory.read(full)
        if data is not None:
            return self._memory.decoded(data)
        return MemoryObject(self._memory, full) if self._memory.is_object(full) else default

    def set(self, path: str, value: Any, *, overwrite: bool = False) -> MemoryRef:
        """Set `path` to `value`.

        Args:
            path: A path.
            value: Anything that the codec takes; encoded now, so later changes do not count.
            overwrite: An object at `path` goes with all that is below it, and a value above it
                becomes an object; else these are errors.

        Returns:
            A reference to it, which events may carry and `get` takes.

        Raises:
            EncodeError: The codec does not take the value.
            ValueError: There is an object, or a value above it.
        """
        full = self._full(path)
        self._memory.set(full, value, overwrite=overwrite)
        return MemoryRef(self._memory.kind, full)

    def new_object(self, path: str, *, overwrite: bool = False) -> MemoryObject:
        """Make `path` an object, unless it is one, and return it.

        Args:
            path: A path.
            overwrite: A value there, or above it, goes; else it is an error.

        Raises:
            ValueError: There is a value, or one above it.
        """
        full = self._full(path)
        self._memory.new_object(full, overwrite=overwrite)
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
