"""Product reviews in a Flink job: the agent of ../product_reviews, unchanged.

    python examples/flink_reviews/job.py

Without a cluster it runs in Flink's mini cluster, in this process. Outputs go to files that are
committed with Flink's checkpoints, so each is in them once, whatever fails on the way. Then the
same agent runs over the same reviews on the local engine, and the outputs are compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "product_reviews" / "sample_reviews.jsonl"
sys.path.insert(0, str(SAMPLE.parent))


def to_json(output: dict[str, Any]) -> str:
    """Return an output as the line that is written."""
    return json.dumps(output)


def review_id(review: dict[str, Any]) -> str:
    """Return what the source knows a review by."""
    return str(review["line"])


def on_flink(reviews: list[dict[str, Any]], folder: Path) -> list[str]:
    """Run the job; return the lines of its files."""
    from agent import ReviewAgent  # a module of its own: workers import it
    from pyflink.common import Types
    from pyflink.common.serialization import Encoder
    from pyflink.datastream.connectors.file_system import FileSink, RollingPolicy

    from perdure import FlinkEngine

    with FlinkEngine(job="reviews") as engine:
        env = engine.environment({"execution.checkpointing.interval": "1 s"})
        env.set_parallelism(2)
        outputs = engine.apply(ReviewAgent, env.from_collection(reviews), key="id", id=review_id)
        sink = (
            FileSink.for_row_format(str(folder), Encoder.simple_string_encoder())
            .with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy())
            .build()
        )
        outputs.map(to_json, Types.STRING()).sink_to(sink)
        engine.execute(env)
    files = [file for file in folder.glob("*/part-*") if not file.name.startswith(".")]
    return [line for file in files for line in file.read_text("utf-8").splitlines()]


def on_the_local_engine(reviews: list[dict[str, Any]]) -> list[str]:
    """Run the same agent in this process alone."""
    from agent import ReviewAgent

    from perdure import LocalEngine

    outputs = LocalEngine("memory://").run(ReviewAgent, reviews, key="id", id=review_id)
    return [to_json(output.value) for output in outputs]


def main() -> None:
    """Run both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, default=SAMPLE, help="reviews, a JSON object a line")
    parser.add_argument("--limit", type=int, default=None, help="the first so many alone")
    options = parser.parse_args()
    lines = options.input.read_text("utf-8").splitlines()[: options.limit]
    reviews = [{**json.loads(line), "line": number} for number, line in enumerate(lines)]
    with tempfile.TemporaryDirectory() as folder:
        flink = on_flink(reviews, Path(folder))
    local = on_the_local_engine(reviews)
    # Each says how many its product had before it; those of several come as they are done.
    same = sorted(flink) == sorted(local)
    print(
        f"{len(reviews)} reviews: {len(flink)} outputs of Flink, {len(local)} of the local engine"
    )
    print("the same, byte for byte" if same else "NOT THE SAME")
    sys.exit(not same)


if __name__ == "__main__":
    main()
