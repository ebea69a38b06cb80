"""Documents, and what to look for among them."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self

from perdure.documents.filters import parse_filters
from perdure.errors import ConfigurationError, TerminalError

__all__ = [
    "Document",
    "VectorStoreQuery",
    "VectorStoreQueryMode",
    "VectorStoreQueryResult",
    "document_id",
    "metadata_text",
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

    @classmethod
    def from_file(
        cls, path: str | PathLike[str], metadata: Mapping[str, Any] | None = None
    ) -> Self:
        """Read a text file: plain, Markdown, HTML, whatever is UTF-8.

        It reads the disk, so an action does it in a durable call:
        `await ctx.durable_execute_async(Document.from_file, "terms.md")`.

        Args:
            path: The file.
            metadata: What else is known of it; `source` is the path as it is given.

        Raises:
            TerminalError: It is no UTF-8 text.
            OSError: It cannot be read.
        """
        data = Path(path).read_bytes()
        try:
            content = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TerminalError(
                f"{path} is no UTF-8 text (byte {error.start}): convert it to text first"
            ) from None
        return cls(content, {"source": str(path), **(metadata or {})})

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
