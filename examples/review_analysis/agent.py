"""An agent that has a language model judge product reviews, and keeps a mean for each product.

Run by itself it starts the model, judges the sample and prints what came of it. Elsewhere it asks
the OpenAI-compatible server that PERDURE_EXAMPLE_MODEL_URL names.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal, TypedDict, get_args

from pydantic import BaseModel, Field, StringConstraints

from perdure import (
    Agent,
    ChatMessage,
    ChatModel,
    ChatRequestEvent,
    ChatResponseEvent,
    InputEvent,
    LocalEngine,
    OutputEvent,
    Prompt,
    ResourceType,
    RunnerContext,
    action,
)
from perdure.testing import local_model

MODEL_URL = "PERDURE_EXAMPLE_MODEL_URL"
SAMPLE = Path(__file__).parents[1] / "product_reviews" / "sample_reviews.jsonl"
REQUESTS_AT_ONCE = 4

Word = Literal["terrible", "bad", "fair", "good", "excellent"]
Reason = Annotated[str, StringConstraints(max_length=40)]


class Verdict(BaseModel):
    """What the model is made to answer. Reasons first: then the word follows from them."""

    reasons: Annotated[list[Reason], Field(min_length=1, max_length=2)]
    verdict: Word


class Review(TypedDict):
    """One input: the product's id, the text and when it was written, in ms since 1970."""

    id: str
    review: str
    ts: int


def shown(review: str, verdict: Word, *reasons: str) -> list[ChatMessage]:
    """Return an example for the model: small ones learn from these more than from being told."""
    answer = Verdict(reasons=list(reasons), verdict=verdict)
    return [ChatMessage.user(review), ChatMessage.assistant(answer.model_dump_json())]


# The same beginning in each request: the server computes it once, and then has it in its cache.
PROMPT = Prompt(
    [
        ChatMessage.system("Say what the customer thinks of the product, with reasons."),
        *shown("The zip broke after two days. No reply from the shop.", "terrible", "zip broke"),
        *shown("Soft, warm and it fits. I would buy it again!", "excellent", "soft", "it fits"),
        *shown("It works, but the manual is hard to read.", "fair", "works", "hard manual"),
        *shown("I am disappointed: it is cheap and it smells.", "bad", "cheap", "smells"),
        *shown("A nice lamp for the money.", "good", "nice", "fair price"),
    ]
)


class ReviewAnalysis(Agent):
    """Asks the model about each review; reviews of one product go on one after another."""

    def __init__(self, base_url: str) -> None:
        model = ChatModel(
            "smollm2-135m-instruct",
            base_url=base_url,
            prompt=PROMPT,
            output_schema=Verdict,
            limit="model",  # as many requests at once as the configuration says
            temperature=0.0,
            max_tokens=80,
        )
        self.add_resource("judge", ResourceType.CHAT_MODEL, model)

    @action(InputEvent)
    def ask(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Ask the model. The built-in chat action makes the request, as a durable call."""
        review: Review = event.input
        ctx.sensory_memory.set("review", review)  # until the end of this run
        ctx.send_event(ChatRequestEvent("judge", review["review"]))

    @action(ChatResponseEvent)
    def judge(self, event: ChatResponseEvent, ctx: RunnerContext) -> None:
        """Add the score to the product's, and send one output."""
        review: Review = ctx.sensory_memory.get("review")
        verdict: Verdict = event.output
        score = get_args(Word).index(verdict.verdict) + 1
        memory = ctx.short_term_memory  # of the key, which is the product's id
        memory.update("scores", lambda scores: [*(scores or []), score])
        scores = memory.get("scores")
        output = {
            "id": review["id"],
            "ts": review["ts"],
            "score": score,
            "reasons": verdict.reasons,
            "mean": round(sum(scores) / len(scores), 2),
            "count": len(scores),
        }
        ctx.send_event(OutputEvent(output=output))


def agent() -> ReviewAnalysis:
    """Return the agent for `perdure run`."""
    url = os.environ.get(MODEL_URL)
    if url is None:
        raise SystemExit(f"set {MODEL_URL} to where an OpenAI-compatible server is, up to /v1")
    return ReviewAnalysis(url)


def main(count: int = 8) -> None:
    """Judge the first reviews of the sample with the local model and print what came of it."""
    with SAMPLE.open(encoding="utf-8") as lines:
        reviews = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
    with tempfile.TemporaryDirectory() as folder, local_model(slots=REQUESTS_AT_ONCE) as url:
        engine = LocalEngine(
            store=f"sqlite:///{folder}/reviews.db",
            job="reviews",
            config={"limits.model.concurrency": REQUESTS_AT_ONCE},
        )
        for output in engine.run(ReviewAnalysis(url), reviews, key="id"):
            score, reasons = output.value["score"], ", ".join(output.value["reasons"])
            print(f"{output.key:<12} {'*' * score:<5}  {reasons}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
