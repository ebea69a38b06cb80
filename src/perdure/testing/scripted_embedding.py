"""Embeddings without a model: texts that share words are near each other."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any, Final

from perdure.checks import checked_bound
from perdure.llm.embedding_model import BaseEmbeddingModelConnection

__all__ = ["ScriptedEmbeddingModel", "word_embedding"]

_WORD: Final = re.compile(r"\w+")
_PLACES: Final = 4  # numbers that one word changes


def word_embedding(text: str, dimensions: int = 64) -> list[float]:
    """Return an embedding of a text's words: of length 1, the same in every process.

    Args:
        text: The text; case, order and punctuation do not matter.
        dimensions: How many numbers.
    """
    numbers = [0.0] * dimensions
    for word in _WORD.findall(text.lower()):
        digest = hashlib.blake2b(word.encode(), digest_size=3 * _PLACES).digest()
        for at in range(0, len(digest), 3):
            place = int.from_bytes(digest[at : at + 2], "big") % dimensions
            numbers[place] += 1.0 if digest[at + 2] & 1 else -1.0
    length = math.sqrt(sum(number * number for number in numbers))
    if not length:
        return [1.0] + [0.0] * (dimensions - 1)  # a text without words is somewhere too
    return [number / length for number in numbers]


class ScriptedEmbeddingModel(BaseEmbeddingModelConnection):
    """An embedding model connection that counts words instead of asking a model.

    Attributes:
        requests: The texts of each request, in order.
    """

    __journal_name__ = "perdure:ScriptedEmbeddingModel"

    def __init__(self, dimensions: int = 64, *, delay: float = 0.0) -> None:
        """Say how the embeddings are.

        Args:
            dimensions: How many numbers.
            delay: Seconds that a request takes.
        """
        self.dimensions = dimensions
        self.delay = checked_bound("delay", delay)
        self.requests: list[list[str]] = []

    async def embed(
        self, texts: Sequence[str], *, model: str = "", **kwargs: Any
    ) -> list[list[float]]:
        self.requests.append(list(texts))
        if self.delay:
            await asyncio.sleep(self.delay)
        dimensions = int(kwargs.get("dimensions") or self.dimensions)
        return [word_embedding(text, dimensions) for text in texts]
