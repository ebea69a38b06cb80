"""Agents of `bench_flink.py`, in a module of their own since workers import them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from perdure import Agent, InputEvent, OutputEvent, RunnerContext, action


async def one(value: int) -> int:
    return value


settled: dict[int, float] = {}  # when the call of a record had its outcome


async def wait_and_say(n: int, seconds: float) -> None:
    await asyncio.sleep(seconds)
    settled[n] = time.perf_counter()


async def wait(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


class OneCall(Agent):
    """A trivial durable call a run."""

    @action(InputEvent)
    async def act(self, event: InputEvent, ctx: RunnerContext) -> None:
        given: dict[str, Any] = event.input
        result = await ctx.durable_execute_async(one, given["n"])
        ctx.send_event(OutputEvent(output=result))


class Waits(Agent):
    """A call a run that takes the seconds that the input says."""

    @action(InputEvent)
    async def act(self, event: InputEvent, ctx: RunnerContext) -> None:
        given: dict[str, Any] = event.input
        await ctx.durable_execute_async(wait, given["seconds"])
        ctx.send_event(OutputEvent(output=given["n"]))


class Timed(Agent):
    """Likewise, and notes when it has."""

    @action(InputEvent)
    async def act(self, event: InputEvent, ctx: RunnerContext) -> None:
        given: dict[str, Any] = event.input
        await ctx.durable_execute_async(wait_and_say, given["n"], given["seconds"])
        ctx.send_event(OutputEvent(output=given["n"]))
