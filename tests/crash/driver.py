"""Runs the review agent over a file of reviews, as one leg of `test_sigkill.py`."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure import JsonlSink, JsonlSource, LocalEngine

EXAMPLE = Path(__file__).parents[2] / "examples" / "product_reviews" / "agent.py"


def load_example() -> ModuleType:
    """Import the example as a user's file."""
    spec = importlib.util.spec_from_file_location("agent", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["agent"] = module
    spec.loader.exec_module(module)
    return module


def quicken(example: ModuleType) -> None:
    """Replace the callables' work by short sleeps: what is tested is who calls them how often."""
    logged = example.logged_call

    def score_sentiment(review: Any) -> float:
        with logged("score_sentiment", review):
            time.sleep(0.001)
            return len(review["review"]) % 7 / 7

    async def look_up_product(review: Any) -> dict[str, str]:
        with logged("look_up_product", review):
            await asyncio.sleep(0.02 + 0.03 * (review["ts"] % 10) / 10)
            return {"title": review["id"], "category": "any"}

    for quick in (score_sentiment, look_up_product):
        quick.__module__, quick.__qualname__ = "agent", quick.__name__
        setattr(example, quick.__name__, quick)


def main() -> None:
    """Run to the end: the arguments are inputs, outputs, store and runs in flight."""
    inputs, outputs, store, in_flight = sys.argv[1:]
    example = load_example()
    quicken(example)
    engine = LocalEngine(store, config={"max-runs-in-flight": int(in_flight)})
    engine.run(example.agent, JsonlSource(inputs), key="id", sink=JsonlSink(outputs))


if __name__ == "__main__":
    main()
