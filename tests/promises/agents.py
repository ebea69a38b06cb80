"""Agents of the tests that run in processes of their own (see `process.py`)."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from tests.promises.support import agent_of, die_once, note, out

from perdure import Agent, Event, InputEvent, OutputEvent, action, wait


async def logged(name: Any, delay: float = 0.0) -> Any:
    """Return `name`; leave a line when it starts."""
    note(f"{name}")
    await asyncio.sleep(delay)
    return name


def logged_plain(name: Any, delay: float = 0.0) -> Any:
    """Return `name` from a thread; leave a line when it starts."""
    note(f"{name}")
    time.sleep(delay)
    return name


# Two calls awaited in the other order, then a crash.


async def _crossed(event: Any, ctx: Any) -> None:
    first = ctx.durable_execute_async(logged, "slow", 0.05)
    second = ctx.durable_execute_async(logged_plain, "fast")
    seen = [await second, await first]
    ctx.send_event(Event(type="seen", attributes={"seen": seen}))
    await ctx.durable_execute_async(die_once)
    out(ctx, seen)


def _crossed_plain(event: Any, ctx: Any) -> None:
    first = ctx.durable_execute_async(logged, "slow", 0.05)
    second = ctx.durable_execute_async(logged_plain, "fast")
    seen = [second.result(), first.result()]
    ctx.send_event(Event(type="seen", attributes={"seen": seen}))
    ctx.durable_execute_async(die_once).result()
    out(ctx, seen)


async def _on_seen(event: Any, ctx: Any) -> None:
    out(ctx, {"event": event.attributes["seen"], "id": event.id})


crossed_coroutine = agent_of(_crossed).add_action("seen", ["seen"], _on_seen)
crossed_plain = agent_of(_crossed_plain).add_action("seen", ["seen"], _on_seen)


# A set as argument, whose order depends on PYTHONHASHSEED.


async def takes_set(words: set[str]) -> list[str]:
    """Return the words sorted."""
    note("set")
    return sorted(words)


async def _passes_set(event: Any, ctx: Any) -> None:
    words = set(event.input["words"])
    first = await ctx.durable_execute_async(takes_set, words)
    second = await ctx.durable_execute_async(takes_set, words=words | {"more"})
    await ctx.durable_execute_async(die_once)
    third = await ctx.durable_execute_async(takes_set, words)
    out(ctx, [first, second, third])


passes_set = agent_of(_passes_set)


# Order of asyncio's sets: what is done, and what a TaskGroup cancels first.


async def instant(n: int) -> int:
    """Return `n` at once."""
    return n


async def _settled_at_once(event: Any, ctx: Any) -> None:
    calls = {ctx.durable_execute_async(instant, n): n for n in range(8)}
    done, _ = await asyncio.wait(calls)
    order = [calls[call] for call in done]
    named = {asyncio.ensure_future(_named(n)) for n in "abcdefgh"}
    done_tasks, _ = await asyncio.wait(named)
    cancelled: list[int] = []
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(8):
                group.create_task(_until_cancelled(n, cancelled))
            await asyncio.sleep(0.01)
            raise LookupError
    except* LookupError:
        pass
    completed = [await call for call in asyncio.as_completed(list(calls))]
    await ctx.durable_execute_async(die_once)
    tasks = [task.result() for task in done_tasks]
    out(ctx, {"done": order, "tasks": tasks, "cancelled": cancelled, "completed": completed})


async def _named(name: str) -> str:
    await asyncio.sleep(0.001)
    return name


async def _until_cancelled(n: int, cancelled: list[int]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.append(n)


def _settled_at_once_plain(event: Any, ctx: Any) -> None:
    calls = {ctx.durable_execute_async(instant, n): n for n in range(8)}
    done, _ = wait(calls)
    order = [calls[call] for call in done]
    ctx.durable_execute_async(die_once).result()
    out(ctx, {"done": order})


settled_at_once = agent_of(_settled_at_once)
settled_at_once_plain = agent_of(_settled_at_once_plain)


# Shutdown inside a callable.


def interrupt_once(name: str) -> str:
    """Raise KeyboardInterrupt the first time any process comes here."""
    note(name)
    marker = os.path.join(os.environ["PROMISE_FOLDER"], "interrupted")
    if os.path.exists(marker):
        return "went on"
    with open(marker, "w", encoding="utf-8"):
        raise KeyboardInterrupt


async def interrupt_once_coroutine(name: str) -> str:
    """Do the same on the event loop."""
    return interrupt_once(name)


async def _interrupted(event: Any, ctx: Any) -> None:
    before = await ctx.durable_execute_async(logged, "before")
    how = event.input["how"]
    if how == "inline":
        result = ctx.durable_execute(interrupt_once, how)
    elif how == "thread":
        result = await ctx.durable_execute_async(interrupt_once, how)
    else:
        result = await ctx.durable_execute_async(interrupt_once_coroutine, how)
    out(ctx, [before, result])


def _interrupted_plain(event: Any, ctx: Any) -> None:
    before = ctx.durable_execute_async(logged, "before").result()
    how = event.input["how"]
    if how == "inline":
        result = ctx.durable_execute(interrupt_once, how)
    elif how == "thread":
        result = ctx.durable_execute_async(interrupt_once, how).result()
    else:
        result = ctx.durable_execute_async(interrupt_once_coroutine, how).result()
    out(ctx, [before, result])


interrupted_coroutine = agent_of(_interrupted)
interrupted_plain = agent_of(_interrupted_plain)


# A process that owns a job, then is killed or refused.


async def _stays(event: Any, ctx: Any) -> None:
    await ctx.durable_execute_async(logged, "started")
    if event.input.get("die"):
        await ctx.durable_execute_async(die_once)
    await ctx.durable_execute_async(logged, "slept", event.input["seconds"])
    out(ctx, "stayed")


stays = agent_of(_stays)


# Derived chance and time over a real crash.


class Chance(Agent):
    """Draws before and after a crash."""

    @action(InputEvent)
    async def draw(self, event: Any, ctx: Any) -> None:
        before = [ctx.now().isoformat(), str(ctx.uuid4()), ctx.random.random()]
        note(f"drew {before}")
        timer = ctx.sleep(0.8)
        await ctx.durable_execute_async(logged, "call")
        during = [ctx.now().isoformat(), str(ctx.uuid4())]
        note(f"drew {during}")
        await ctx.durable_execute_async(die_once)
        await timer
        ctx.send_event(
            OutputEvent(output={"before": before, "during": during, "woke": ctx.now().timestamp()})
        )


chance = Chance()
