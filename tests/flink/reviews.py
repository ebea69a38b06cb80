"""The agent of the example over the same reviews: a store on a file, a mini cluster, a cluster.

python -m tests.flink.reviews --input reviews.jsonl
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pyflink.common import Types
from tests.flink.killed import PROJECT, PYTHON_PATH, into_files, lines

from perdure import FlinkEngine, LocalEngine
from perdure.testing import FlinkCluster

EXAMPLE = PROJECT / "examples" / "product_reviews"
SAMPLE = EXAMPLE / "sample_reviews.jsonl"
COUNT = 3_163


def given(file: Path, count: int | None = None) -> list[dict[str, Any]]:
    """Return reviews, numbered; of a shorter file again from its beginning."""
    read = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    chosen = read if count is None else itertools.islice(itertools.cycle(read), count)
    return [{**review, "line": number} for number, review in enumerate(chosen)]


def review_id(review: dict[str, Any]) -> str:
    return str(review["line"])


def to_json(output: dict[str, Any]) -> str:
    return json.dumps(output)


def by_key(told: Iterable[str]) -> dict[str, list[str]]:
    """Return the lines of each product, in their order."""
    found = collections.defaultdict(list)
    for line in told:
        found[json.loads(line)["id"]].append(line)
    return dict(found)


def on_sqlite(reviews: list[dict[str, Any]], folder: Path) -> list[str]:
    from agent import ReviewAgent  # type: ignore[import-not-found]  # of the example

    engine = LocalEngine(f"sqlite:///{folder / 'reviews.db'}")
    outputs = engine.run(ReviewAgent, reviews, key="id", id=review_id)
    return [to_json(output.value) for output in outputs]


def on_flink(reviews: list[dict[str, Any]], folder: Path, options: Mapping[str, str]) -> list[str]:
    with FlinkEngine(job=f"reviews-{uuid.uuid4().hex[:8]}") as engine:
        env = engine.environment({"execution.checkpointing.interval": "1 s", **options})
        stream = env.from_collection(reviews)
        outputs = engine.apply("agent:ReviewAgent", stream, key="id", id=review_id)
        into_files(outputs.map(to_json, Types.STRING()), folder)
        engine.execute(env)
    return list(lines(folder))


def on_mini_cluster(reviews: list[dict[str, Any]], folder: Path) -> list[str]:
    return on_flink(reviews, folder / "mini", {"parallelism.default": "2"})


def on_cluster(cluster: FlinkCluster, reviews: list[dict[str, Any]], folder: Path) -> list[str]:
    return on_flink(reviews, folder / "cluster", cluster.options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, default=SAMPLE, help="reviews, a JSON object a line")
    parser.add_argument("--count", type=int, default=COUNT)
    asked = parser.parse_args()
    sys.path.insert(0, str(EXAMPLE))
    reviews = given(asked.input, asked.count)
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with FlinkCluster(folder / "flink", python_path=PYTHON_PATH) as cluster:
            for name, run in (
                ("SQLite", lambda: on_sqlite(reviews, folder)),
                ("mini cluster", lambda: on_mini_cluster(reviews, folder)),
                ("two TaskManagers", lambda: on_cluster(cluster, reviews, folder)),
            ):
                began = time.monotonic()
                told = run()
                print(f"{name}: {len(told)} outputs, {time.monotonic() - began:.1f} s", flush=True)
                found[name] = by_key(told)
    wrong = [name for name in found if found[name] != found["SQLite"]]
    print(f"{len(reviews)} reviews, {len(found['SQLite'])} products: ", end="")
    print(f"NOT THE SAME on {wrong}" if wrong else "the same byte for byte, a product in its order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
