"""When async pays: from which duration of a call on it is quicker at once than in turn."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, folder, main, median, rounds

RUNS, CALLS = 20, 20
MILLISECONDS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
NAMES = {"threads": "a plain function, on 16 threads", "coroutines": "a coroutine function"}


def bench(options: argparse.Namespace) -> Iterator[Result]:
    for milliseconds in MILLISECONDS[::3] if options.quick else MILLISECONDS:
        found = []
        for _ in range(rounds(options, 3)):
            with folder() as path:
                found.append(
                    child(
                        "async_or_not", store=str(path / "a.db"), runs=RUNS, calls=CALLS,
                        seconds=milliseconds / 1e3,
                    )
                )  # fmt: skip
        for way, name in NAMES.items():
            ratio = median(each[way] / each["in_turn"] for each in found)
            long = milliseconds >= 1.0
            yield Result(
                name=f"{RUNS} runs of {CALLS} calls of {milliseconds:g} ms at once, {name}",
                measured=1e3 * median(each[way] for each in found),
                raw=1e3 * median(each["in_turn"] for each in found),
                unit="ms",
                raw_name="in turn with durable_execute",
                ratio=ratio,
                target="under 1" if long else "none",
                ok=not long or ratio < 1.0,
                details={"rounds": found},
            )


if __name__ == "__main__":
    main(bench)
