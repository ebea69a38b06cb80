"""What the tests of actions that make several calls at a time share: a pattern and its crashes.

Each pattern is crashed once at each of its calls: that call hangs, the job is abandoned, and the
second leg must see what the first one saw, in its order, and go on from there. Calls are named a,
b, c, ...
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.promises.support import (
    ONE,
    State,
    config_of,
    crash_and_resume,
    hold,
    out,
    pick,
    reset,
    run,
)

END = "end"
STAGGERED = {"a": 0.03, "b": 0.0, "c": 0.02, "d": 0.01}


class Seen:
    """What each leg saw, in order, and the call that hangs in the first leg."""

    legs: dict[int, list[Any]] = {}
    victim = END


def begin(victim: str) -> None:
    Seen.legs, Seen.victim = {1: [], 2: []}, victim


def saw(value: Any) -> Any:
    Seen.legs[State.leg].append(value)
    return value


class OddError(Exception):
    """What a failing call raises."""


async def work(name: str, delay: float = 0.0, fails: bool = False) -> str:
    """Return `name` after a while, or raise; hang in the first leg if it is the victim."""
    State.calls.append(name)
    if name == Seen.victim:
        await hold()
    await asyncio.sleep(delay)
    if fails:
        raise OddError(name)
    return name


def call(ctx: Any, name: str, delay: float = 0.0, fails: bool = False) -> Any:
    return ctx.durable_execute_async(work, name, delay, fails)


def text(outcome: Any) -> Any:
    """Return a value, or an error as its type and message."""
    if isinstance(outcome, BaseException):
        return f"{type(outcome).__name__} {outcome}"
    return outcome


def agent_for(kind: str, pattern: Callable[[Any], Any]) -> Any:
    """Return an agent that runs the pattern, makes one call more and sends its result out."""

    async def go(event: Any, ctx: Any) -> None:
        result = await pattern(ctx)
        await ctx.durable_execute_async(work, END)
        out(ctx, result)

    def go_plain(event: Any, ctx: Any) -> None:
        result = pattern(ctx)
        ctx.durable_execute_async(work, END).result()
        out(ctx, result)

    return pick(kind, go, go_plain)


def check(results: list[Any], victim: str) -> None:
    """Assert that the second leg saw what the first one did, and repeated nothing recorded."""
    first, second = Seen.legs[1], Seen.legs[2]
    counts = Counter(State.calls)
    assert len(results) == 1
    # Without a second leg the first one gave its victim up and came to its end.
    assert second[: len(first)] == first or (not second and victim != END)
    assert all(counts[name] == 1 for name in first if isinstance(name, str) and name in counts)
    if victim == END:
        assert second == first
        assert {name for name, count in counts.items() if count > 1} == {END}


def crash_at_each_call(kind: str, pattern: Callable[[Any], Any], expected: Any, store: str) -> None:
    agent, config = agent_for(kind, pattern), config_of(kind)
    begin("nobody")
    live = run(agent, ONE, config=config)
    names = list(dict.fromkeys(State.calls))
    assert names[-1] == END
    assert len(names) >= 3
    assert expected is None or live == [expected]
    if store != "memory://":  # each kind of crash once is enough there
        names = [names[len(names) // 2], END]
    for victim in names:
        reset()
        begin(victim)
        url = store if store == "memory://" else f"{store}.{victim}"
        results = crash_and_resume(agent, ONE, store=url, config=config)
        check(results, victim)
        if victim == END and expected is not None:
            assert results == [expected]
