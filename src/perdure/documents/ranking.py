"""Which documents fit best: rankings fused, words scored."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Final

from perdure.documents.document import Document, document_id, words_of

__all__ = ["FUSION_DEPTH", "keyword_scores", "reciprocal_rank_fusion"]


FUSION_DEPTH: Final = 50  # how many of each ranking are fused, at least


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[Document]], limit: int, *, k: int = 60
) -> list[Document]:
    """Return the documents of several rankings, ordered by the sum of 1 / (k + rank).

    Cormack, Clarke, Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods, SIGIR 2009. It needs no scores that can be compared with each other.

    Args:
        rankings: Documents with ids, the best first; ranks count from 1.
        limit: Most documents of the result.
        k: How little the first ranks stand out.

    Returns:
        Documents with that sum as their score; equal ones in the order of the rankings.
    """
    scores: dict[str, float] = collections.defaultdict(float)
    documents: dict[str, Document] = {}
    for ranking in rankings:
        for rank, document in enumerate(ranking, start=1):
            id_ = document_id(document)
            scores[id_] += 1 / (k + rank)
            documents.setdefault(id_, document)
    best = sorted(documents, key=lambda id_: -scores[id_])[:limit]
    return [dataclasses.replace(documents[id_], score=scores[id_]) for id_ in best]


def keyword_scores(
    query: str, contents: Sequence[str], *, k1: float = 1.2, b: float = 0.75
) -> list[float]:
    """Return how well each text fits the words of a query, by BM25; 0 where it has none of them.

    Robertson, Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond, 2009. For stores
    without a keyword search of their own; the statistics are those of `contents`.

    Args:
        query: Words; all others of the texts do not count.
        contents: The texts.
        k1: How soon more of the same word says no more.
        b: How much a text's length counts.
    """
    counts = [collections.Counter(words_of(content)) for content in contents]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / max(1, len(lengths)) or 1.0
    scores = [0.0] * len(contents)
    for word in dict.fromkeys(words_of(query)):
        having = sum(1 for count in counts if word in count)
        weight = math.log(1 + (len(contents) - having + 0.5) / (having + 0.5))
        for index, count in enumerate(counts):
            if times := count[word]:
                damped = times + k1 * (1 - b + b * lengths[index] / mean)
                scores[index] += weight * times * (k1 + 1) / damped
    return scores
