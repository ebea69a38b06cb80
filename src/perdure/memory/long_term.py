"""Long-term memory of a key: named sets of texts that can be searched, kept in a vector store."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from perdure.call import DurableCall, Outcome, outcome_of

__all__ = ["LongTermMemory", "LongTermOperation", "MemorySet", "MemorySetItem"]


@dataclasses.dataclass(frozen=True, slots=True)
class LongTermOperation:
    """One operation of an action on a memory set, noted when it is begun.

    Attributes:
        what: Which one: "add", "get", "search", "update", "delete", "replace" or "size".
        memory_set: Name of the set.
        args: Its arguments.
        call: Its durable call.
    """

    __journal_name__ = "perdure:LongTermOperation"

    what: str
    memory_set: str
    args: tuple[Any, ...]
    call: DurableCall[Any]

    @property
    def outcome(self) -> Outcome[Any] | None:
        """What came of it; None where it is under way."""
        return outcome_of(self.call) if self.call.done() else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MemorySetItem:
    """One item of a memory set.

    Attributes:
        memory_set_name: The set that it is in.
        id: Its id in the set.
        value: The text.
        created_at: When it was added.
        updated_at: When it was last changed.
        metadata: What else is known of it; filters read it.
        score: In a search result: how well it fits, more is better; None elsewhere.
    """

    __journal_name__ = "perdure:MemorySetItem"

    memory_set_name: str
    id: str
    value: str
    created_at: datetime.datetime
    updated_at: datetime.datetime
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    score: float | None = None


class MemorySet(Protocol):
    """A named set of the key's long-term memory.

    Each method is one durable call: awaited in a coroutine action, `.result()` in a plain one. It
    sees and changes items of the run's key alone. What it writes is visible at once, to later runs
    of the key too, also when the action fails afterwards; a call that is made again after a crash
    writes the same again.
    """

    @property
    def name(self) -> str:
        """The set's name."""

    def add(
        self,
        items: str | Sequence[str],
        metadatas: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        ids: str | Sequence[str] | None = None,
    ) -> DurableCall[list[str]]:
        """Add items; one with the id of another takes its place.

        Args:
            items: A text, or several.
            metadatas: JSON values by name, for all items or for each; no name begins with "_".
            ids: Their ids; None: new ones.

        Returns:
            Their ids, in order.
        """

    def get(
        self,
        ids: str | Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
    ) -> DurableCall[list[MemorySetItem]]:
        """Return items by their ids, or those whose metadata passes the filters, oldest first."""

    def search(
        self,
        query: str,
        limit: int = 5,
        filters: Mapping[str, Any] | None = None,
        mode: str | None = None,
    ) -> DurableCall[list[MemorySetItem]]:
        """Return the items that fit a text, the best first.

        Args:
            query: The text.
            limit: Most items of the result.
            filters: What their metadata must be.
            mode: "semantic", "keyword" or "hybrid"; None: semantic where there is an embedding
                model, else by keywords.
        """

    def update(
        self, id: str, value: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> DurableCall[bool]:
        """Change an item's text, its metadata (as a whole) or both; False when it is not there."""

    def delete(
        self,
        ids: str | Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> DurableCall[None]:
        """Delete items by their ids, those that pass the filters, or all."""

    def size(self) -> DurableCall[int]:
        """Return how many items the set has."""

    async def compact(self, *, above: int = 0, keep: int = 0, model: str | None = None) -> int:
        """Let a chat model rewrite the set's oldest items as fewer; in a coroutine action.

        The model's request is a durable call of its own, as are the reading and the writing.

        Args:
            above: Do nothing unless the set has more items than this.
            keep: How many of the newest items stay as they are.
            model: The chat model; None: `long-term-memory.chat-model` of the configuration.

        Returns:
            By how many items the set became smaller.
        """


class LongTermMemory(Protocol):
    """The long-term memory of the run's key, as one action sees it."""

    def get_memory_set(self, name: str) -> MemorySet:
        """Return a set; one that nothing was added to is empty."""

    def delete_memory_set(self, name: str) -> DurableCall[None]:
        """Delete a set with all its items."""
