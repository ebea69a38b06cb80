"""Long texts in pieces, as retrieval wants them."""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, overload

from perdure.documents.document import Document
from perdure.errors import ConfigurationError

__all__ = ["split_text"]

# Where a text is cut, the best place first: headings, paragraphs, lines, sentences, words.
_CUTS: Final = tuple(
    re.compile(pattern)
    for pattern in (r"\n(?=#+ )", r"\n\s*\n", r"\n", r"(?<=[.!?…])\s+|(?<=[。！？])", r"\s+")
)


@overload
def split_text(text: str, size: int = ..., overlap: int = ...) -> list[str]: ...


@overload
def split_text(text: Document, size: int = ..., overlap: int = ...) -> list[Document]: ...


def split_text(text: Any, size: int = 1000, overlap: int = 100) -> Any:
    """Cut a text into pieces that are found, and fit into a prompt, by themselves.

    It is cut at headings where that is enough, else at paragraphs, lines, sentences, words, and
    only within a word that is too long. It computes, no more: the same text gives the same pieces.

    Args:
        text: A text, or a document.
        size: Most characters of a piece.
        overlap: How many characters of the one before a piece may begin with, in whole parts.

    Returns:
        The pieces, none of them empty, without space around them. Those of a document are
        documents with its metadata and `part`, their number from 0; their ids and embeddings are
        their own.

    Raises:
        ConfigurationError: `size` is less than 1, or `overlap` is not from 0 to less than `size`.
    """
    if size < 1 or not 0 <= overlap < size:
        raise ConfigurationError(
            f"split_text: size={size}, overlap={overlap}: size is at least 1, and overlap at least"
            " 0 and less than size"
        )
    if not isinstance(text, Document):
        return _pieces(text, size, overlap)
    return [
        dataclasses.replace(
            text, content=piece, metadata={**text.metadata, "part": part}, id=None, embedding=None
        )
        for part, piece in enumerate(_pieces(text.content, size, overlap))
    ]


def _pieces(text: str, size: int, overlap: int) -> list[str]:
    pieces: list[str] = []
    parts: list[str] = []  # of the piece that grows
    pending = deque(_parts(text, size, 0))
    while pending:
        part = pending.popleft()
        room = size - sum(map(len, parts))
        if len(part) <= room:
            parts.append(part)
        elif _is_heading(parts[-1]) and (left := size - len(parts[-1])) > 0:
            # It goes with the beginning of what is below it.
            heading = parts.pop()
            pieces.append("".join(parts))
            parts = [heading]
            pending.extendleft(reversed(list(_parts(part, left, 0))))
        else:
            pieces.append("".join(parts))
            kept = min(overlap, size - len(part))
            while sum(map(len, parts)) > kept:
                del parts[0]
            pending.appendleft(part)
    pieces.append("".join(parts))
    return [stripped for piece in pieces if (stripped := piece.strip())]


def _is_heading(part: str) -> bool:
    return part.startswith("#") and "\n" not in part.rstrip()


def _parts(text: str, size: int, cut: int) -> Iterator[str]:
    """Yield a text in parts of at most `size`, which joined are the text."""
    if len(text) <= size:
        if text:
            yield text
    elif cut == len(_CUTS):
        yield from (text[begin : begin + size] for begin in range(0, len(text), size))
    else:
        begin = 0
        for found in _CUTS[cut].finditer(text):
            yield from _parts(text[begin : found.end()], size, cut + 1)
            begin = found.end()
        yield from _parts(text[begin:], size, cut + 1)
