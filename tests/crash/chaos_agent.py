"""An agent with every feature, whose callables write down when they execute; see `chaos.py`.

It runs under `perdure run` in a process of its own. CHAOS_FOLDER is where it writes.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
from typing import Any

from perdure import Agent, Event, InputEvent, OutputEvent, RetryPolicy, action, durable

WAITS_EACH = 10  # of so many inputs one waits for a signal; the others likewise
CHILD_EACH = 9
HANGS_EACH = 13
FAILS_EACH = 7
PATIENT = RetryPolicy(max_attempts=1000, initial_interval=0.005, max_interval=0.02)
attempts: dict[tuple[Any, ...], int] = {}  # of this process


def write(name: str, entry: Any) -> None:
    """Append a line to a file of the folder, whole or not at all."""
    path = os.path.join(os.environ["CHAOS_FOLDER"], name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, (json.dumps(entry) + "\n").encode())
    os.close(descriptor)


def begins(*call: Any) -> int:
    """Write down that a call executes; return the number of its attempt in this process."""
    write("calls.jsonl", [*call, os.getpid(), time.time_ns()])
    attempts[call] = attempts.get(call, 0) + 1
    return attempts[call]


async def ask(n: int, what: str) -> str:
    """A coroutine callable; some fail at first."""
    attempt = begins(n, what)
    await asyncio.sleep(0.002 * (n % 5))
    if what == "retried" and n % FAILS_EACH == 0 and attempt == 1:
        raise ConnectionError("try again")
    return f"{what} {n}"


def compute(n: int, what: str) -> str:
    """A plain callable; some fail at first."""
    attempt = begins(n, what)
    time.sleep(0.001)
    if what == "retried" and n % FAILS_EACH == 0 and attempt == 1:
        raise ConnectionError("try again")
    return f"{what} {n}"


async def hang(n: int, what: str) -> str:
    """A callable that hangs in its first attempt in each process."""
    if begins(n, what) == 1:
        await asyncio.sleep(3600)
    return f"{what} {n}"


def effects() -> set[int]:
    """Return for which inputs the outside world was changed."""
    path = os.path.join(os.environ["CHAOS_FOLDER"], "effects.jsonl")
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as file:
        return {int(json.loads(line)) for line in file if line.endswith("\n")}


async def pay(n: int, what: str) -> str:
    """A callable whose effect must not be repeated."""
    begins(n, what)
    await asyncio.sleep(0.001)
    write("effects.jsonl", n)
    await asyncio.sleep(0.001)
    return f"{what} {n}"


async def look(n: int, what: str) -> str:
    """Finds out whether it was paid, and pays if it was not."""
    if n not in effects():
        return await pay(n, what)
    return f"{what} {n}"


@durable(limit="few")
async def scarce(n: int, what: str) -> str:
    """A callable under a limit."""
    return await ask(n, what)


@functools.cache
def expected(n: int) -> list[str]:
    """Return what the actions of an input must have seen."""
    seen = [f"{what} {n}" for what in ("first", "retried", "slow", "paid", "paced", "scarce")]
    seen += [f"signal {n}"] if n % WAITS_EACH == 0 else []
    return seen + ([f"child {n}"] if n % CHILD_EACH == 0 else [])


class Chaos(Agent):
    """Coroutine actions and plain ones, one after the other."""

    @action(InputEvent)
    async def begin(self, event: Any, ctx: Any) -> None:
        """What coroutine actions do."""
        n = event.input["n"]
        if "child" in event.input:
            seen = await ctx.durable_execute_async(ask, n, "child")
            ctx.send_event(OutputEvent(output={"child": n, "seen": seen}))
            return
        first, retried = await asyncio.gather(
            ctx.durable_execute_async(ask, n, "first"),
            ctx.with_options(retry=PATIENT).durable_execute_async(compute, n, "retried"),
        )
        bound = ctx.with_options(retry=PATIENT, timeout=0.05 if n % HANGS_EACH == 0 else 3600.0)
        slow = hang if n % HANGS_EACH == 0 else ask
        seen = [first, retried, await bound.durable_execute_async(slow, n, "slow")]
        await ctx.sleep(0.001 * (n % 7))
        paid = await ctx.with_options(reconciler=look).durable_execute_async(pay, n, "paid")
        ctx.short_term_memory.update("count", lambda count: (count or 0) + 1)
        ctx.sensory_memory.set("seen", [*seen, paid])
        ctx.send_event(Event(type="next"))

    @action("next")
    def end(self, event: Any, ctx: Any) -> None:
        """What plain actions do."""
        seen = ctx.sensory_memory.get("seen")
        n = int(seen[0].split()[1])
        paced = ctx.with_options(limit="pace").durable_execute_async(compute, n, "paced")
        narrow = ctx.durable_execute_async(scarce, n, "scarce")
        seen = [*seen, paced.result(), narrow.result()]
        if n % WAITS_EACH == 0:
            ctx.durable_execute(tell, n, ctx.run_id)
            seen.append(ctx.wait_for_signal("go").result())
        if n % CHILD_EACH == 0:
            child = ctx.submit({"n": n, "child": True}, key=f"child {n}").result()
            seen.append(child.outputs().result()[0].value["seen"])
        count = ctx.short_term_memory.get("count")
        ctx.send_event(OutputEvent(output={"n": n, "seen": seen, "count": count}))


def tell(n: int, run: str) -> None:
    """Say that a run is about to wait for its signal."""
    write("waits.jsonl", [n, run])
