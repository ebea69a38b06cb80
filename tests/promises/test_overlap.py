"""G13, G18, G19: calls start at creation and overlap; without continuations they do not."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import Any

from tests.promises.support import COROUTINE, OFF, State, config_of, out, pick, run

from perdure import is_continuation_supported

DELAY = 0.5
SHORT = 0.2
INPUTS = [{"k": name} for name in "abc"]


async def slow(name: str) -> str:
    began = time.monotonic()
    await asyncio.sleep(DELAY)
    State.calls.append((name, began, time.monotonic()))
    return name.upper()


def slow_plain(name: str) -> str:
    began = time.monotonic()
    time.sleep(SHORT)
    State.calls.append((name, began, time.monotonic()))
    return name.upper()


async def one_call(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.durable_execute_async(slow, event.input["k"]))


def one_call_plain(event: Any, ctx: Any) -> None:
    out(ctx, ctx.durable_execute_async(slow, event.input["k"]).result())


async def three_calls(event: Any, ctx: Any) -> None:
    calls = [ctx.durable_execute_async(slow_plain, event.input["k"] + n) for n in "123"]
    out(ctx, await asyncio.gather(*calls))


def three_calls_plain(event: Any, ctx: Any) -> None:
    calls = [ctx.durable_execute_async(slow_plain, event.input["k"] + n) for n in "123"]
    out(ctx, [call.result() for call in calls])


def overlapping() -> list[bool]:
    """Say for every pair of calls whether they were under way at the same time."""
    return [
        max(first[1], second[1]) < min(first[2], second[2])
        for first, second in itertools.combinations(State.calls, 2)
    ]


def test_g13_calls_of_different_keys_overlap(kind: str, store: str) -> None:
    agent = pick(kind, one_call, one_call_plain)
    results = run(agent, INPUTS, store=store, config=config_of(kind))
    assert sorted(results) == ["A", "B", "C"]
    assert overlapping() == [kind != OFF] * 3


def test_g13_calls_of_one_action_overlap(kind: str) -> None:
    agent = pick(kind, three_calls, three_calls_plain)
    config = config_of(kind, num_async_threads=3)
    assert run(agent, [{"k": "x"}], config=config) == [["X1", "X2", "X3"]]
    assert overlapping() == [kind != OFF] * 3


def test_g18_the_pool_bounds_plain_callables_and_not_coroutines() -> None:
    config = {"num-async-threads": 2}
    agent = pick(COROUTINE, three_calls, three_calls_plain)
    run(agent, [{"k": "x"}], config=config)
    assert overlapping().count(False) >= 1
    State.calls.clear()
    run(pick(COROUTINE, one_call, one_call_plain), INPUTS, config=config)
    assert overlapping() == [True] * 3


def which_thread(name: str) -> str:
    return f"{name}:{threading.current_thread() is threading.main_thread()}"


async def which_thread_coroutine(name: str) -> str:
    return which_thread(name)


async def threads(event: Any, ctx: Any) -> None:
    plain = await ctx.durable_execute_async(which_thread, "plain")
    coroutine = await ctx.durable_execute_async(which_thread_coroutine, "coroutine")
    out(ctx, [plain, coroutine, ctx.durable_execute(which_thread, "inline")])


def threads_plain(event: Any, ctx: Any) -> None:
    plain = ctx.durable_execute_async(which_thread, "plain").result()
    coroutine = ctx.durable_execute_async(which_thread_coroutine, "coroutine").result()
    out(ctx, [plain, coroutine, ctx.durable_execute(which_thread, "inline")])


def test_g18_plain_callables_run_on_threads_coroutines_on_the_loop(kind: str) -> None:
    agent = pick(kind, threads, threads_plain)
    expected = [["plain:False", "coroutine:True", "inline:True"]]
    assert run(agent, [{"k": 1}], config=config_of(kind)) == expected


def test_g19_continuations_are_supported_here() -> None:
    assert is_continuation_supported() is True
