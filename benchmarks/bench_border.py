"""What a run costs through `perdure.flink_agents`, beside the same agent of perdure's own."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, cpu_of, folder, main, median, rounds

AGENTS = {
    "steps": "a call, an event and two memories",
    "chats": "a chat by events with a tool call",
}


def bench(options: argparse.Namespace) -> Iterator[Result]:
    count = 300 if options.quick else 1_000
    for what, name in AGENTS.items():
        own, theirs = [], []
        for _ in range(rounds(options)):
            for found, is_theirs in ((own, False), (theirs, True)):
                with folder() as path:
                    store = str(path / "store.db")
                    found.append(
                        child("border", store=store, count=count, what=what, is_theirs=is_theirs)
                    )
        pairs = [(a["cpu"] / count, b["cpu"] / count) for a, b in zip(own, theirs, strict=True)]
        yield Result(
            name=f"CPU that the border of Flink Agents adds to a run: {name}",
            measured=median(b - a for a, b in pairs) * 1e6,
            raw=median(a for a, _ in pairs) * 1e6,
            unit="µs",
            raw_name="the run of perdure's own agent",
            ratio=median((b - a) / a for a, b in pairs),
            target="none",
            ok=True,
            **cpu_of(theirs, count, "run through the border"),
            details={"own": own, "theirs": theirs},
        )


if __name__ == "__main__":
    main(bench)
