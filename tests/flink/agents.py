"""Agents that the tests of Flink run; workers import them from here."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from typing import Any

from perdure import Agent, InputEvent, OutputEvent, RunnerContext, action

KEYS = 40  # of Steps
SECONDS = 0.2  # of its calls


async def price(item: str) -> int:
    return len(item)


class Shop(Agent):
    """Sums up what a key has bought; fails where the input says so."""

    @action(InputEvent)
    async def buy(self, event: InputEvent, ctx: RunnerContext) -> None:
        order: dict[str, Any] = event.input
        if order.get("bad"):
            raise ValueError("no such item")
        costs = await ctx.durable_execute_async(price, order["item"])
        total = (ctx.short_term_memory.get("total") or 0) + costs
        count = (ctx.short_term_memory.get("count") or 0) + 1
        ctx.short_term_memory.set("total", total)
        ctx.short_term_memory.set("count", count)
        ctx.send_event(OutputEvent(output=[order["key"], order["n"], count, total]))


class Doubled(Agent):
    """Says twice what an output of another agent counts."""

    @action(InputEvent)
    async def double(self, event: InputEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=f"{event.input['id']} {2 * event.input['count']}"))


class Broken(Shop):
    """Can be made where a job is described, and not on a worker."""

    def __init__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("not on a worker")


class Steps(Agent):
    """Two dependent calls, each noted in a file that says which process made it."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        n = int(event.input)
        key = n % KEYS
        first = await ctx.durable_execute_async(noted, "first", n)
        second = await ctx.durable_execute_async(noted, "second", first)
        count = (ctx.short_term_memory.get("count") or 0) + 1
        ctx.short_term_memory.set("count", count)
        ctx.send_event(OutputEvent(output=json.dumps([key, second, count, str(ctx.uuid4())])))


async def noted(name: str, n: int) -> int:
    """Take a while; leave lines before and after: name, number, process, time in seconds."""
    leave(name, n)
    await asyncio.sleep(SECONDS)
    leave(f"{name} done", n)
    return n


def leave(what: str, n: int) -> None:
    line = f"{what}\t{n}\t{os.getpid()}\t{time.time():.3f}\n".encode()
    file = os.open(os.environ["PERDURE_TEST_CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def key_of(n: int) -> int:
    return n % KEYS


class Rated(Agent):
    """Rates what a row of a table says; of the third one it says too much."""

    @action(InputEvent)
    async def rate(self, event: InputEvent, ctx: RunnerContext) -> None:
        row: dict[str, Any] = event.input
        length = await ctx.durable_execute_async(price, row["text"])
        told = {"n": row["n"], "length": length, "at": row["at"], "tags": row["tags"]}
        ctx.send_event(OutputEvent(output={**told, "more": 1} if row["n"] == 3 else told))
