"""What it costs that arguments are values (G5): a copy where something can change, else nothing."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

from common import Result, main, median, rounds

from perdure.codec.copies import own_arguments
from perdure.codec.digests import digest_call

SENTENCE = "The jacket fits well and the fabric feels soft, but a seam came open. "


def reviews(size: int) -> list[dict[str, Any]]:
    """Return about `size` bytes of reviews, as a source gives them."""
    return [
        {"id": n, "review": SENTENCE, "scores": [n % 5, 4], "age": 30 + n % 40}
        for n in range(max(1, size // 110))
    ]


def micros(work: Callable[[], object], options: argparse.Namespace) -> float:
    """Return the µs that `work` takes, the median of several times."""
    times = []
    for _ in range(rounds(options, 7)):
        count, began = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - began < 0.02:
            work()
            count += 1
        times.append((time.perf_counter() - began) / count * 1e6)
    return median(times)


def bench(options: argparse.Namespace) -> Iterator[Result]:
    arguments: list[tuple[str, tuple[Any, ...]]] = [
        ("immutable: a text and a number", (SENTENCE, 7)),
        ("1 kB of dicts", (reviews(1_000),)),
        ("100 kB of dicts", (reviews(100_000),)),
        ("10 MB of dicts", (reviews(10_000_000),)),
        ("a text of 10 MB", ("x" * 10_000_000,)),
    ]
    for name, args in arguments:
        own = micros(lambda args=args: own_arguments(print, args, {}), options)  # type: ignore[misc]
        digest = micros(lambda args=args: digest_call(args, {}), options)  # type: ignore[misc]
        yield Result(
            name=f"arguments of a call, {name}",
            measured=own,
            raw=digest,
            unit="µs",
            raw_name="their digest",
            ratio=own / digest,
            target="at most 3 x their digest",
            ok=own <= 3 * digest,
        )


if __name__ == "__main__":
    main(bench)
