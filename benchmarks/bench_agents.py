"""Agents with models: what the runtime adds to a chat, and what overlaps."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common import Result, child, folder, main, median, rounds


def bench(options: argparse.Namespace) -> Iterator[Result]:
    yield from chats(options)
    yield from overlap(options)
    yield beside_a_retry(options)


def chats(options: argparse.Namespace) -> Iterator[Result]:
    count = 300 if options.quick else 2000
    for name, inside in (("by events", False), ("inside an action", True)):
        results = []
        for _ in range(rounds(options, 3)):
            with folder() as path:
                store = str(path / "store.db")
                results.append(child("chat_cpu", store=store, count=count, inside=inside))
        added = median(r["cpu_ms"] - r["bare_ms"] for r in results)
        bare = median(r["bare_ms"] for r in results)
        yield Result(
            name=f"CPU that a run adds to a chat {name}, journal included",
            measured=added,
            raw=bare,
            unit="ms",
            raw_name="TestModel alone",
            ratio=added / bare,
            target="at most 0.5 ms",
            ok=added <= 0.5,
            details={"rounds": results},
        )


def overlap(options: argparse.Namespace) -> Iterator[Result]:
    keys, seconds = 10, 0.5
    runs: dict[str, dict[str, bool]] = {
        "all async": {},
        "chat.async off": {"chat.async": False},
        "tool-call.async off": {"tool-call.async": False},
    }
    at_least = {"all async": 0.0, "chat.async off": 2 * keys * seconds}
    outputs = None
    for name, config in runs.items():
        found = child("two_chats_and_a_tool", seconds=seconds, keys=keys, config=config)
        outputs = outputs or found["outputs"]
        least = at_least.get(name, keys * seconds)
        yield Result(
            name=f"10 keys of 2 requests and a tool call of 0.5 s, {name}",
            measured=found["wall"],
            raw=max(least, 3 * seconds),
            unit="s",
            raw_name="the sleeps",
            ratio=found["wall"] / max(least, 3 * seconds),
            target="under 2.5 s" if not least else "no overlap, same outputs",
            ok=(found["wall"] < 2.5 if not least else found["wall"] >= least)
            and found["outputs"] == outputs,
        )
    wall = median(child("five_tools", seconds=seconds)["wall"] for _ in range(rounds(options, 3)))
    yield Result(
        name="5 tool calls of one turn of 0.5 s, parallelism 5",
        measured=wall,
        raw=seconds,
        unit="s",
        raw_name="one of them",
        ratio=wall / seconds,
        target="under 0.8 s",
        ok=wall < 0.8,
    )


def beside_a_retry(options: argparse.Namespace) -> Result:
    count = 50 if options.quick else 300
    walls: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds(options, 3)):
        for retrying in walls:
            with folder() as path:
                store = str(path / "store.db")
                found = child("beside_a_retry", store=store, count=count, retrying=retrying)
                walls[retrying].append(found["wall"])
    ratio = median(a / b for a, b in zip(walls[True], walls[False], strict=True))
    return Result(
        name=f"{count} chats of one key, one by one, beside a chat that backs off for 30 s",
        measured=median(walls[True]),
        raw=median(walls[False]),
        unit="s",
        raw_name="without it",
        ratio=ratio,
        target="at most 1.2 times",
        ok=ratio <= 1.2,
        details={"walls": {str(key): value for key, value in walls.items()}},
    )


if __name__ == "__main__":
    main(bench)
