"""The agent of EngineContract: what an input says is what its run does.

It lives in a module of its own, since some engines import an agent where it runs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from perdure.agent.declaration import Agent, action
from perdure.call import RetryPolicy
from perdure.context import RunnerContext
from perdure.event import InputEvent, OutputEvent

__all__ = ["PATIENCE", "ContractAgent", "Work", "work"]

PATIENCE: Final = 300.0  # seconds that what has to come may take, on the slowest machine


class Work:
    """What the calls of this process did and do, and gates before them; on any thread.

    Attributes:
        calls: name and input number of each execution of a call, as they began.
        most: the most executions of a call at the same time, by name.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.reset()

    def reset(self) -> None:
        """Forget everything, and close the gates."""
        with self._changed:
            self.calls: list[tuple[str, int]] = []
            self.most: dict[str, int] = {}
            self._under_way: dict[str, int] = {}
            self._is_open = False
            self._changed.notify_all()

    def open_gate(self) -> None:
        """Let the calls go on that wait at the gate, and those that come to it."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def count(self, name: str, n: int) -> int:
        """Return how often a call was executed."""
        with self._changed:
            return self.calls.count((name, n))

    @contextmanager
    def call(self, name: str, n: int) -> Iterator[None]:
        """Take note of an execution."""
        with self._changed:
            self.calls.append((name, n))
            self._under_way[name] = self._under_way.get(name, 0) + 1
            self.most[name] = max(self.most.get(name, 0), self._under_way[name])
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._under_way[name] -= 1

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Return whether something about the calls came to be, waiting for it with patience."""
        with self._changed:
            return self._changed.wait_for(condition, PATIENCE)

    async def passed(self, condition: Callable[[], bool]) -> None:
        """Do what `wait_for` does on an event loop, which it leaves free.

        Raises:
            TimeoutError: it did not come to be.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("it did not come to that")
            await asyncio.sleep(0.005)

    @property
    def is_open(self) -> bool:
        """Whether the gate is open."""
        return self._is_open


work: Final = Work()  # of this process


async def size(n: int, text: str) -> int:
    """Return the length of a text."""
    with work.call("size", n):
        return len(text)


def plain_size(n: int, text: str) -> int:
    """Do the same on a thread."""
    with work.call("plain_size", n):
        return len(text)


async def meet(n: int, guests: int) -> int:
    """Return when as many calls of this name are under way at once."""
    with work.call("meet", n):
        await work.passed(lambda: work.most["meet"] >= guests)
        return guests


async def crowd(n: int) -> int:
    """Give others the time to come in, if they may."""
    with work.call("crowd", n):
        await asyncio.sleep(0.02)
        return n


async def flaky(n: int) -> int:
    """Fail twice; return how often it was tried."""
    with work.call("flaky", n):
        tried = work.count("flaky", n)
        if tried < 3:
            raise ConnectionError("not yet")
        return tried


async def gate(n: int) -> int:
    """Return when the gate is open."""
    with work.call("gate", n):
        await work.passed(lambda: work.is_open)
        return n


class ContractAgent(Agent):
    """Does what the field `do` of an input says, with `n`, its number among all inputs."""

    @action(InputEvent)
    async def act(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Do it, and send one output: what came of it, and how many the key had before."""
        given: dict[str, Any] = event.input
        result = await getattr(self, given["do"])(given["n"], given, ctx)
        count = (ctx.short_term_memory.get("count") or 0) + 1
        ctx.short_term_memory.set("count", count)
        output = {"key": given["key"], "n": given["n"], "count": count, "result": result}
        ctx.send_event(OutputEvent(output=output))

    async def add(self, n: int, given: dict[str, Any], ctx: RunnerContext) -> int:
        """Add up what a call says, in memory; every other call is a plain function."""
        text = given["text"]
        func = plain_size if n % 2 else size
        total = (ctx.short_term_memory.get("total") or 0) + await ctx.durable_execute_async(
            func, n, text
        )
        ctx.short_term_memory.set("total", total)
        return int(total)

    async def meet(self, n: int, given: dict[str, Any], ctx: RunnerContext) -> int:
        """Meet the calls of other keys, and one of its own."""
        calls = [ctx.durable_execute_async(meet, n, given["guests"]) for _ in range(2)]
        return sum(await asyncio.gather(*calls))

    async def fail(self, n: int, given: dict[str, Any], ctx: RunnerContext) -> None:
        """Write to memory and fail: nothing of it may stay."""
        ctx.short_term_memory.set("count", 1000)
        await ctx.durable_execute_async(size, n, "")
        raise ValueError(f"number {n} is bad")

    async def sleep(self, n: int, given: dict[str, Any], ctx: RunnerContext) -> bool:
        """Say whether a timer took its time."""
        begun = ctx.now()
        await ctx.sleep(given["seconds"])
        return (ctx.now() - begun).total_seconds() >= float(given["seconds"])

    async def crowd(self, n: int, given: dict[str, Any], ctx: RunnerContext) -> int:
        """Make calls under a limit."""
        limited = ctx.with_options(limit="contract")
        calls = [limited.durable_execute_async(crowd, each) for each in range(3)]
        return sum(await asyncio.gather(*calls))

    async def retry(self, n: int, given: dict[str, Any], ctx: RunnerContext) -> int:
        """Make a call that fails at first."""
        again = ctx.with_options(retry=RetryPolicy(max_attempts=5, initial_interval=0.01))
        return await again.durable_execute_async(flaky, n)

    async def steps(self, n: int, given: dict[str, Any], ctx: RunnerContext) -> list[Any]:
        """Make dependent calls, the last of which waits at the gate."""
        chance, name = ctx.random.random(), str(ctx.uuid4())
        first = await ctx.durable_execute_async(size, n, "x" * n)
        second = await ctx.durable_execute_async(plain_size, n, "x" * (first + 1))
        third = await ctx.durable_execute_async(gate, n)
        return [first, second, third, chance, name]
