"""What an action has written to memory, applied to that of its run (G14, G15)."""

from __future__ import annotations

from typing import NamedTuple

from perdure.runtime.action.context import ActionMemories
from perdure.runtime.run.state import RunMemory

Delta = list[tuple[str, bytes | None]]


class Written(NamedTuple):
    """What an action has written.

    Attributes:
        memory: the run's memory with it.
        sensory: writes to sensory memory, for the record.
        short_term: the same of short-term memory.
        kept: paths of short-term memory that were read, whose time to live begins anew.
    """

    memory: RunMemory
    sensory: Delta
    short_term: Delta
    kept: list[str]


def written(memories: ActionMemories, memory: RunMemory, at: int) -> Written:
    """Apply what an action has written to the memory as of the run's last completion.

    Raises:
        Exception: what a function given to `update` raises, or a write refuses.
    """
    if not memories.is_used:
        return Written(memory, [], [], [])
    sensory, short_term, touched = memory
    sensory_delta: Delta = []
    short_delta: Delta = []
    kept: list[str] = []
    if (view := memories.written("sensory")) is not None:
        sensory, sensory_delta = view.apply(sensory, at)
    if (view := memories.written("short_term")) is not None:
        short_term, short_delta = view.apply(short_term, at)
        kept = view.keep(short_term, at)
    touched = touched | dict.fromkeys([*(path for path, _ in short_delta), *kept])
    return Written(RunMemory(sensory, short_term, touched), sensory_delta, short_delta, kept)
