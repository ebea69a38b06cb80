"""Long-term memory on a vector store."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from perdure.actions.chat import chat
from perdure.call import DurableCall
from perdure.config.configuration import AgentExecutionOptions
from perdure.config.options import DEFAULT_VECTOR_STORE
from perdure.context import RunnerContext
from perdure.documents.document import Document, VectorStoreQuery, VectorStoreQueryMode
from perdure.errors import ConfigurationError, TerminalError
from perdure.llm.message import ChatMessage
from perdure.llm.vector_store import BaseVectorStore
from perdure.memory.long_term import LongTermOperation, MemorySetItem
from perdure.printable import unstorable
from perdure.resource import ResourceType

__all__ = ["KeyMemory", "StoredSet"]

COLLECTION: Final = "long-term-memory"
SCOPE, SET, ID, CREATED, UPDATED = "_scope", "_set", "_id", "_created", "_updated"
MOST_COMPACTED: Final = 500

_COMPACT: Final = """\
You keep the notes of an assistant short. Below are its notes, oldest first. Rewrite them as fewer \
notes that keep every fact that may matter later, the newer one where two contradict each other. \
Answer with a JSON object {"notes": ["...", ...]}."""
_COMPACTED: Final = {
    "title": "compacted_notes",
    "type": "object",
    "properties": {"notes": {"type": "array", "items": {"type": "string"}}},
    "required": ["notes"],
}


class SetOperations:
    """What the durable calls of a memory set call: one set of one key, in one store.

    Every document is known by a digest of scope, set and item id, and carries all three: no id and
    no filter of a caller reaches another key's documents.
    """

    def __init__(self, store: BaseVectorStore) -> None:
        self._store = store

    def _collection(self, scope: str, name: str) -> str:
        cheap = self._store.cheap_collections
        return f"{COLLECTION}/{scope}/{name}" if cheap else COLLECTION

    async def add(self, scope: str, name: str, items: list[dict[str, Any]], at: str) -> list[str]:
        """Write items, a microsecond apart: that keeps their order."""
        first = datetime.datetime.fromisoformat(at)
        documents = []
        for number, each in enumerate(items):
            made = (first + datetime.timedelta(microseconds=number)).isoformat()
            documents.append(
                _document(scope, name, each["id"], each["value"], each["metadata"], made, made)
            )
        await self._store.add(documents, self._collection(scope, name))
        return [each["id"] for each in items]

    async def get(
        self,
        scope: str,
        name: str,
        ids: list[str] | None,
        filters: dict[str, Any] | None,
        limit: int | None,
    ) -> list[MemorySetItem]:
        """Read items."""
        wanted = None if ids is None else [_document_id(scope, name, each) for each in ids]
        allowed, collection = _within(scope, name, filters), self._collection(scope, name)
        if wanted is not None:
            found = await self._store.get(wanted, collection, allowed)
            return [_item(each) for each in found]
        found = await self._store.get(None, collection, allowed, limit=None)
        items = sorted(map(_item, found), key=lambda each: (each.created_at, each.id))
        return items if limit is None else items[:limit]

    async def search(
        self,
        scope: str,
        name: str,
        query: str,
        limit: int,
        filters: dict[str, Any] | None,
        mode: str | None,
    ) -> list[MemorySetItem]:
        """Find items."""
        if mode is None:
            has_model = self._store.embedding_model is not None
            mode = VectorStoreQueryMode.SEMANTIC if has_model else VectorStoreQueryMode.KEYWORD
        asked = VectorStoreQuery(
            query,
            limit,
            VectorStoreQueryMode.of(mode),
            self._collection(scope, name),
            _within(scope, name, filters),
        )
        return [_item(each) for each in (await self._store.query(asked)).documents]

    async def update(
        self,
        scope: str,
        name: str,
        id: str,
        value: str | None,
        metadata: dict[str, Any] | None,
        at: str,
    ) -> bool:
        """Change an item."""
        found = await self.get(scope, name, [id], None, None)
        if not found:
            return False
        old = found[0]
        await self._store.add(
            _document(
                scope,
                name,
                id,
                old.value if value is None else value,
                old.metadata if metadata is None else metadata,
                old.created_at.isoformat(),
                at,
            ),
            self._collection(scope, name),
        )
        return True

    async def delete(
        self, scope: str, name: str, ids: list[str] | None, filters: dict[str, Any] | None
    ) -> None:
        """Delete items."""
        wanted = None if ids is None else [_document_id(scope, name, each) for each in ids]
        await self._store.delete(
            wanted, self._collection(scope, name), _within(scope, name, filters)
        )

    async def size(self, scope: str, name: str) -> int:
        """Count items."""
        if self._store.cheap_collections:
            return await self._store.size(self._collection(scope, name))
        allowed = _within(scope, name, None)
        return len(await self._store.get(None, COLLECTION, allowed, limit=None))

    async def replace(
        self, scope: str, name: str, old: list[str], items: list[dict[str, Any]], at: str
    ) -> None:
        """Write the items of a compaction and delete those that they stand for."""
        await self.add(scope, name, items, at)
        await self.delete(scope, name, old, None)


class StoredSet:
    """A memory set of the run's key (see `perdure.memory.long_term.MemorySet`)."""

    def __init__(
        self,
        ctx: RunnerContext,
        operations: SetOperations,
        scope: str,
        name: str,
        notes: list[LongTermOperation] | None = None,
    ) -> None:
        self.name = name
        self._notes = notes
        self._ctx = ctx
        self._operations = operations
        self._scope = scope

    def _call(self, what: str, *args: Any) -> DurableCall[Any]:
        bounded = self._ctx.with_options(durable_id=f"long_term_memory:{what}")
        function = getattr(self._operations, what)
        call: DurableCall[Any] = bounded.durable_execute_async(
            function, self._scope, self.name, *args
        )
        if self._notes is not None:
            self._notes.append(LongTermOperation(what, self.name, args, call))
        return call

    def _now(self) -> str:
        return self._ctx.now().isoformat()

    def add(
        self,
        items: str | Sequence[str],
        metadatas: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        ids: str | Sequence[str] | None = None,
    ) -> DurableCall[list[str]]:
        values = _listed(items)
        known = [self._ctx.uuid4().hex for _ in values] if ids is None else _listed(ids)
        if isinstance(metadatas, Mapping) or metadatas is None:
            metadatas = [metadatas or {}] * len(values)
        if not len(values) == len(known) == len(metadatas):
            raise ConfigurationError(
                f"memory set {self.name!r}: {len(values)} items, {len(known)} ids and"
                f" {len(metadatas)} metadatas: there must be one of each for each item"
            )
        ready = [
            {"id": id_, "value": value, "metadata": _checked(metadata)}
            for id_, value, metadata in zip(known, values, metadatas, strict=True)
        ]
        return self._call("add", ready, self._now())

    def get(
        self,
        ids: str | Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
    ) -> DurableCall[list[MemorySetItem]]:
        return self._call("get", None if ids is None else _listed(ids), _plain(filters), limit)

    def search(
        self,
        query: str,
        limit: int = 5,
        filters: Mapping[str, Any] | None = None,
        mode: str | None = None,
    ) -> DurableCall[list[MemorySetItem]]:
        if mode is not None:
            mode = VectorStoreQueryMode.of(mode).value
        return self._call("search", query, limit, _plain(filters), mode)

    def update(
        self, id: str, value: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> DurableCall[bool]:
        checked = None if metadata is None else _checked(metadata)
        return self._call("update", id, value, checked, self._now())

    def delete(
        self,
        ids: str | Sequence[str] | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> DurableCall[None]:
        return self._call("delete", None if ids is None else _listed(ids), _plain(filters))

    def size(self) -> DurableCall[int]:
        return self._call("size")

    async def compact(self, *, above: int = 0, keep: int = 0, model: str | None = None) -> int:
        setup = model or self._ctx.config.get(AgentExecutionOptions.LONG_TERM_MEMORY_CHAT_MODEL)
        if not setup:
            raise ConfigurationError(
                f"memory set {self.name!r}: compact needs a chat model: pass model=, or set"
                " long-term-memory.chat-model"
            )
        items: list[MemorySetItem] = await self._call("get", None, None, None)
        old = items[: max(0, len(items) - keep)][:MOST_COMPACTED]
        if len(items) <= above or len(old) < 2:
            return 0
        texts = json.dumps([each.value for each in old], ensure_ascii=False)
        answer = await chat(
            self._ctx,
            self._ctx.get_resource(setup, ResourceType.CHAT_MODEL),
            [ChatMessage.system(_COMPACT), ChatMessage.user(texts)],
            output_schema=_COMPACTED,
        )
        notes = [note for note in answer.response.output["notes"] if note.strip()]
        if not notes or len(notes) >= len(old):
            return 0  # the model has not understood: nothing is lost
        written = [
            {"id": self._ctx.uuid4().hex, "value": note, "metadata": {"compacted": len(old)}}
            for note in notes
        ]
        # They take the place of the oldest, and so their time.
        oldest = old[0].created_at.isoformat()
        await self._call("replace", [each.id for each in old], written, oldest)
        return len(old) - len(notes)


class KeyMemory:
    """The long-term memory of the run's key (see `perdure.memory.long_term.LongTermMemory`)."""

    def __init__(
        self, ctx: RunnerContext, scope: str, notes: list[LongTermOperation] | None = None
    ) -> None:
        self._ctx = ctx
        self._scope = scope
        self._notes = notes

    def get_memory_set(self, name: str) -> StoredSet:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"a memory set's name must be a non-empty text, not {name!r}")
        if why := unstorable(name):
            raise ConfigurationError(f"a memory set cannot be named {name!r}: {why}")
        named = self._ctx.config.get(AgentExecutionOptions.LONG_TERM_MEMORY_VECTOR_STORE)
        store = self._ctx.get_resource(named or DEFAULT_VECTOR_STORE, ResourceType.VECTOR_STORE)
        return StoredSet(self._ctx, SetOperations(store), self._scope, name, self._notes)

    def delete_memory_set(self, name: str) -> DurableCall[None]:
        return self.get_memory_set(name).delete()


def _document_id(scope: str, name: str, id_: str) -> str:
    # Here, in the call, not where it is made: its failure is in journals that exist.
    if isinstance(id_, str) and (why := unstorable(id_)):
        raise TerminalError(f"an item of memory set {name!r} cannot have the id {id_!r}: {why}")
    parts = json.dumps([scope, name, id_]).encode()
    return hashlib.blake2b(parts, digest_size=16).hexdigest()


def _document(
    scope: str,
    name: str,
    id_: str,
    value: str,
    metadata: Mapping[str, Any],
    made: str,
    changed: str,
) -> Document:
    return Document(
        content=value,
        id=_document_id(scope, name, id_),
        metadata={
            **metadata, SCOPE: scope, SET: name, ID: id_, CREATED: made, UPDATED: changed,
        },
    )  # fmt: skip


def _item(document: Document) -> MemorySetItem:
    own = document.metadata
    return MemorySetItem(
        memory_set_name=own[SET],
        id=own[ID],
        value=document.content,
        created_at=datetime.datetime.fromisoformat(own[CREATED]),
        updated_at=datetime.datetime.fromisoformat(own[UPDATED]),
        metadata={name: value for name, value in own.items() if not name.startswith("_")},
        score=document.score,
    )


def _within(scope: str, name: str, filters: dict[str, Any] | None) -> dict[str, Any]:
    """Return filters that let only this set of this key through, whatever a caller's say."""
    own = {SCOPE: scope, SET: name}
    return {"$and": [own, filters]} if filters else own


def _listed(values: str | Sequence[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _plain(filters: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if filters is None else dict(filters)


def _checked(metadata: Mapping[str, Any]) -> dict[str, Any]:
    for name in metadata:
        if not isinstance(name, str) or name.startswith("_"):
            raise ConfigurationError(
                f"metadata {name!r}: names are texts, and those that begin with an underscore are"
                " the memory's own"
            )
    return dict(metadata)
