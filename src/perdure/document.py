"""Documents, queries, the filter language over metadata, and the index that a job's store keeps."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from perdure.errors import ConfigurationError, TerminalError

__all__ = [
    "AllOf",
    "AnyOf",
    "Comparison",
    "Document",
    "DocumentIndex",
    "MetadataFilter",
    "Not",
    "VectorStoreQuery",
    "VectorStoreQueryMode",
    "VectorStoreQueryResult",
    "document_id",
    "metadata_text",
    "parse_filters",
    "words_of",
]

_WORD: Final = re.compile(r"\w+")
_SHOWN: Final = 60


class VectorStoreQueryMode(enum.StrEnum):
    """How a query finds documents."""

    __journal_name__ = "perdure:VectorStoreQueryMode"

    SEMANTIC = "semantic"  # those whose embeddings are near
    KEYWORD = "keyword"  # those that have its words
    HYBRID = "hybrid"  # both, their ranks fused

    @classmethod
    def of(cls, word: str) -> VectorStoreQueryMode:
        """Return the mode of a word.

        Raises:
            ConfigurationError: There is none.
        """
        try:
            return cls(word)
        except ValueError:
            known = ", ".join(mode.value for mode in cls)
            raise ConfigurationError(f"{word!r} is no query mode: use one of {known}") from None


@dataclasses.dataclass(slots=True)
class Document:
    """A piece of text that can be found again.

    Attributes:
        content: The text.
        metadata: What is known of it: JSON values by name. Filters read it.
        id: What it is stored under; None: made from content and metadata when it is added.
        embedding: Its embedding; None: made when it is added. Search results leave it out.
        score: In a search result: how well it fits, more is better (cosine similarity, weight of
            its keywords, or fused rank); None elsewhere.
    """

    __journal_name__ = "perdure:Document"

    content: str
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    id: str | None = None
    embedding: list[float] | None = None
    score: float | None = None

    def __str__(self) -> str:
        text = self.content if len(self.content) <= _SHOWN else f"{self.content[: _SHOWN - 3]}..."
        return f"Document: {text}"


@dataclasses.dataclass(frozen=True, slots=True)
class VectorStoreQuery:
    """What to look for in a vector store.

    Attributes:
        query_text: The text that documents are wanted for.
        limit: Most documents of the result.
        mode: How they are found; a mode or its word.
        collection_name: Where to look; None: the store's own collection.
        filters: What their metadata must be, see `parse_filters`.
        extra_args: Arguments that only this sort of store knows.
    """

    __journal_name__ = "perdure:VectorStoreQuery"

    query_text: str
    limit: int = 10
    mode: VectorStoreQueryMode = VectorStoreQueryMode.SEMANTIC
    collection_name: str | None = None
    filters: dict[str, Any] | None = None
    extra_args: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take a mode by its word too, and refuse what cannot be asked.

        Raises:
            ConfigurationError: The mode is none, the limit is negative or a filter is wrong.
        """
        if self.limit < 0:
            raise ConfigurationError(f"VectorStoreQuery: limit={self.limit} is negative")
        if type(self.mode) is not VectorStoreQueryMode:
            object.__setattr__(self, "mode", VectorStoreQueryMode.of(self.mode))
        parse_filters(self.filters)

    def __str__(self) -> str:
        return f"{self.mode.value} query: {self.query_text!r} (limit={self.limit})"


@dataclasses.dataclass(frozen=True, slots=True)
class VectorStoreQueryResult:
    """What a query found.

    Attributes:
        documents: The best first.
    """

    __journal_name__ = "perdure:VectorStoreQueryResult"

    documents: list[Document]

    def __str__(self) -> str:
        return f"QueryResult: {len(self.documents)} documents"


class DocumentIndex(Protocol):
    """Documents on the job's own store, in named collections of the job.

    Its methods may be awaited on any event loop. What writes is durable when it returns.
    """

    async def put(self, collection: str, documents: Sequence[Document]) -> None:
        """Write documents, each over the one of its id; all of them or none.

        Raises:
            TerminalError: One has no id, bad metadata, or an embedding of another length than the
                collection's.
            StoreError: The store did not take them.
        """

    async def get(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
        limit: int | None = None,
        embeddings: bool = False,
    ) -> list[Document]:
        """Return the documents with these ids, or all; those that pass the filter, oldest first.

        Args:
            collection: Where they are.
            ids: The order of the result; unknown ones are passed over.
            filters: What their metadata must be.
            limit: Most documents of the result.
            embeddings: Whether the result has them.
        """

    async def delete(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filters: MetadataFilter | None = None,
    ) -> int:
        """Delete what `get` with these arguments would return; return how many that was."""

    async def query(
        self,
        collection: str,
        *,
        embedding: Sequence[float] | None = None,
        text: str | None = None,
        limit: int = 10,
        filters: MetadataFilter | None = None,
    ) -> list[Document]:
        """Return documents near an embedding, or with words of a text; both: the ranks fused."""

    async def size(self, collection: str) -> int:
        """Return how many documents a collection has."""


def document_id(document: Document) -> str:
    """Return the id of a document: its own, or one made from content and metadata."""
    if document.id is not None:
        return document.id
    data = f"{document.content}\0{metadata_text(document.metadata, sort=True)}"
    return hashlib.blake2b(data.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def metadata_text(metadata: Mapping[str, Any], *, sort: bool = False) -> str:
    """Return metadata as JSON.

    Raises:
        TerminalError: It holds something that JSON does not have.
    """
    try:
        if not all(isinstance(name, str) for name in metadata):
            raise TypeError("a name is no str")
        return json.dumps(
            metadata, sort_keys=sort, allow_nan=False, ensure_ascii=False, separators=(",", ":")
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise TerminalError(
            f"metadata of a document must be JSON values by name: {error}; convert it first"
        ) from None


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, in their order."""
    return [word.lower() for word in _WORD.findall(text)]


# Filters


Scalar = str | int | float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """That a field of the metadata compares so with a value.

    Attributes:
        field: Its name.
        operator: One of `$eq $gt $gte $lt $lte $in $exists`.
        value: A scalar; with `$in` a tuple of them, with `$exists` a bool.
    """

    __journal_name__ = "perdure:Comparison"

    field: str
    operator: str
    value: Any

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata is so; of a field that holds a list, whether an element is."""
        if self.operator == "$exists":
            return (self.field in metadata) is self.value
        if self.field not in metadata:
            return False
        found = metadata[self.field]
        compare = _COMPARE[self.operator]
        if isinstance(found, list | tuple):
            return any(compare(each, self.value) for each in found)
        return compare(found, self.value)


@dataclasses.dataclass(frozen=True, slots=True)
class AllOf:
    """That all parts match."""

    __journal_name__ = "perdure:AllOf"

    parts: tuple[MetadataFilter, ...]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata is so."""
        return all(part.matches(metadata) for part in self.parts)


@dataclasses.dataclass(frozen=True, slots=True)
class AnyOf:
    """That at least one part matches."""

    __journal_name__ = "perdure:AnyOf"

    parts: tuple[MetadataFilter, ...]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata is so."""
        return any(part.matches(metadata) for part in self.parts)


@dataclasses.dataclass(frozen=True, slots=True)
class Not:
    """That a part does not match; a field that is not there matches nothing but this."""

    __journal_name__ = "perdure:Not"

    part: MetadataFilter

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether metadata is so."""
        return not self.part.matches(metadata)


MetadataFilter = Comparison | AllOf | AnyOf | Not


def _kind(value: Any) -> type | None:
    # True is no number here, and a number is never equal to a text.
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return type(value)


def _equal(found: Any, wanted: Any) -> bool:
    return _kind(found) is _kind(wanted) and bool(found == wanted)


def _ordered(found: Any, wanted: Any) -> bool:
    kind = _kind(found)
    return kind is _kind(wanted) and kind in (float, str)


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": _equal,
    "$gt": lambda found, wanted: _ordered(found, wanted) and found > wanted,
    "$gte": lambda found, wanted: _ordered(found, wanted) and found >= wanted,
    "$lt": lambda found, wanted: _ordered(found, wanted) and found < wanted,
    "$lte": lambda found, wanted: _ordered(found, wanted) and found <= wanted,
    "$in": lambda found, wanted: any(_equal(found, each) for each in wanted),
}
_OF_FIELDS: Final = (*_COMPARE, "$ne", "$nin", "$exists")
_OF_FILTERS: Final = ("$and", "$or", "$not")


def parse_filters(filters: Mapping[str, Any] | None) -> MetadataFilter | None:
    """Return what a filter means, None where it asks for nothing.

    A filter is a dictionary. `{"field": value}` asks for equality, `{"field": {"$gt": 3}}` for a
    comparison (`$eq $ne $gt $gte $lt $lte $in $nin $exists`); several entries must all match.
    `{"$and": [...]}`, `{"$or": [...]}` and `{"$not": {...}}` combine filters. Values are texts,
    numbers, booleans and None. Texts and numbers never compare with each other; `$gt` and the like
    compare numbers, or texts by code points. A field that holds a list matches when an element
    does. A missing field matches only `$ne`, `$nin`, `$not` and `{"$exists": False}`.

    Args:
        filters: The filter; None for none.

    Raises:
        ConfigurationError: It is no such dictionary; the message names what is wrong.
    """
    if filters is None:
        return None
    parts = tuple(_entries(filters))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _entries(filters: Any) -> Iterator[MetadataFilter]:
    if not isinstance(filters, Mapping):
        raise ConfigurationError(
            f"a metadata filter is a dictionary such as {{'field': value}}, not {filters!r}"
        )
    for name, value in filters.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"metadata filter: {name!r} is no name of a field")
        if name.startswith("$"):
            yield _combined(name, value)
        elif isinstance(value, Mapping):
            if not value:
                raise ConfigurationError(f"metadata filter on {name!r}: {{}} asks for nothing")
            for operator, wanted in value.items():
                yield _compared(name, operator, wanted)
        else:
            yield Comparison(name, "$eq", _scalar(name, "$eq", value))


def _combined(operator: str, value: Any) -> MetadataFilter:
    if operator == "$not":
        return Not(_whole(value))
    if operator not in _OF_FILTERS:
        raise ConfigurationError(_unknown(operator, None))
    if not isinstance(value, list | tuple) or not value:
        raise ConfigurationError(f"metadata filter: {operator} takes a list of filters")
    parts = tuple(_whole(part) for part in value)
    return AllOf(parts) if operator == "$and" else AnyOf(parts)


def _whole(filters: Any) -> MetadataFilter:
    # No entry at all is what every document has.
    return parse_filters(filters if filters is not None else {}) or AllOf(())


def _compared(field: str, operator: Any, value: Any) -> MetadataFilter:
    if operator not in _OF_FIELDS:
        raise ConfigurationError(_unknown(operator, field))
    if operator == "$exists":
        if not isinstance(value, bool):
            raise ConfigurationError(f"metadata filter on {field!r}: $exists takes True or False")
        return Comparison(field, operator, value)
    if operator in ("$in", "$nin"):
        if not isinstance(value, list | tuple | set | frozenset):
            raise ConfigurationError(f"metadata filter on {field!r}: {operator} takes a list")
        among = Comparison(field, "$in", tuple(_scalar(field, operator, each) for each in value))
        return among if operator == "$in" else Not(among)
    wanted = _scalar(field, operator, value)
    if operator == "$ne":
        return Not(Comparison(field, "$eq", wanted))
    if operator != "$eq" and _kind(wanted) not in (float, str):
        raise ConfigurationError(
            f"metadata filter on {field!r}: {operator} compares numbers or texts, not {wanted!r}"
        )
    return Comparison(field, operator, wanted)


def _scalar(field: str, operator: str, value: Any) -> Scalar:
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ConfigurationError(
        f"metadata filter on {field!r}: {operator} takes a text, a number, a boolean or None, not"
        f" {value!r}"
    )


def _unknown(operator: Any, field: str | None) -> str:
    where = f" on {field!r}" if field else ""
    known = ", ".join(sorted(_OF_FIELDS if field else _OF_FILTERS))
    return f"metadata filter{where}: unknown operator {operator!r}; known are {known}"
