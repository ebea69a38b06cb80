"""An agent that reads product reviews: three durable calls a review, all under way at once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypedDict

from perdure import Agent, InputEvent, OutputEvent, RunnerContext, action

CALL_LOG = "PERDURE_EXAMPLE_CALL_LOG"

# Common words say nothing about a product.
_STOP_WORDS = frozenset(
    "a after all and as at before but by for from had has have i if in is it its me mine my no"
    " not of on one or our so than that the then there to too two was we what with".split()
)


class Review(TypedDict):
    """One input: the product's id, the text and when it was written, in ms since 1970."""

    id: str
    review: str
    ts: int


class ReviewAgent(Agent):
    """Scores each review and keeps a running mean for each product."""

    @action(InputEvent)
    async def analyse(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Make three calls that overlap, fold the score into the product's, send one output."""
        review: Review = event.input
        # All three have started by now. A thread runs each plain function, the loop the coroutine.
        sentiment, statistics, product = await asyncio.gather(
            ctx.durable_execute_async(score_sentiment, review),
            ctx.durable_execute_async(describe_language, review),
            ctx.durable_execute_async(look_up_product, review),
        )
        # The memory belongs to the key, which is the product's id.
        ctx.short_term_memory.update("score", functools.partial(add_score, value=sentiment))
        score = ctx.short_term_memory.get("score")
        ctx.send_event(
            OutputEvent(
                output={
                    "id": review["id"],
                    "ts": review["ts"],
                    "sentiment": sentiment,
                    "statistics": statistics,
                    "product": product,
                    "mean": round(score["total"] / score["count"], 4),
                    "count": score["count"],
                }
            )
        )


def add_score(score: dict[str, Any] | None, value: float) -> dict[str, Any]:
    """Return a product's score with one more value in it."""
    if score is None:
        return {"count": 1, "total": value}
    return {"count": score["count"] + 1, "total": score["total"] + value}


def score_sentiment(review: Review) -> float:
    """Return how friendly the text is, from -1 to 1."""
    with logged_call("score_sentiment", review):
        return float(_analyzer().polarity_scores(review["review"])["compound"])


@functools.cache
def _analyzer() -> Any:
    # Reads a dictionary of words, so each process makes one, when it first needs it.
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def describe_language(review: Review) -> dict[str, Any]:
    """Return figures about the text and its most frequent telling words."""
    with logged_call("describe_language", review):
        text = review["review"]
        words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower())
        sentences = [part for part in re.split(r"[.!?]+", text) if part.strip()]
        telling = Counter(word for word in words if word not in _STOP_WORDS)
        return {
            "words": len(words),
            "sentences": len(sentences),
            "words_per_sentence": round(len(words) / max(len(sentences), 1), 1),
            "exclamation_ratio": round(text.count("!") / max(len(sentences), 1), 2),
            "top_words": [word for word, _ in telling.most_common(3)],
        }


async def look_up_product(review: Review) -> dict[str, str]:
    """Return title and category, as a service across the network would in 0.3 to 0.5 s."""
    with logged_call("look_up_product", review):
        product = review["id"].partition("/")[0]
        number = int.from_bytes(hashlib.sha256(review["id"].encode()).digest()[:4], "big")
        await asyncio.sleep(0.3 + 0.2 * (number % 1000) / 1000)
        category, _, model = product.partition("-")
        maker = ("Alder", "Birch", "Cedar", "Linden", "Rowan")[int(model or 0) % 5]
        return {"title": f"{maker} {category} {model}", "category": category}


@contextlib.contextmanager
def logged_call(name: str, review: Review) -> Iterator[None]:
    """Note the start and end of a call in the file that PERDURE_EXAMPLE_CALL_LOG names, if any.

    A line is: name, digest of the review and its ts, start or end, process id; by tabs.
    """
    path = os.environ.get(CALL_LOG)
    if path is None:
        yield
        return
    digest = hashlib.sha256(f"{review['id']}\0{review['review']}".encode()).hexdigest()[:12]
    # One write to a file opened for appending: whole lines, from any thread or process.
    os.write(_log_file(path), _log_line(name, digest, review["ts"], "start"))
    yield
    os.write(_log_file(path), _log_line(name, digest, review["ts"], "end"))


@functools.lru_cache(maxsize=1)
def _log_file(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _log_line(name: str, digest: str, ts: int, what: str) -> bytes:
    return f"{name}\t{digest}/{ts}\t{what}\t{os.getpid()}\n".encode()


agent = ReviewAgent()
