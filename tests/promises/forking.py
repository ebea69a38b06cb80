"""Runs a job in whose code a process is forked, which comes back from it; prints how all ended.

Arguments: where it is forked, how the child comes back, the store.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, Resource, ResourceType, action

PLACE, WAY, STORE = sys.argv[1:]
STARTED = os.getpid()
forked: list[str] = []
children: list[int] = []
codes: list[int] = []


def fork(place: str) -> None:
    """Fork once, where it is asked for; the child comes back, or ends as it is to."""
    if place != PLACE or forked:
        return
    forked.append(place)
    if WAY == "pool":
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
            assert pool.submit(runs_itself).result() == ["job of its own"]
    elif WAY == "process":
        process = multiprocessing.get_context("fork").Process(target=runs_itself)
        process.start()
        process.join()
        codes.append(process.exitcode or 0)
    elif pid := os.fork():
        children.append(pid)
    elif WAY == "raise":
        raise ValueError("of the child")
    elif WAY == "exit":
        sys.exit(3)
    elif WAY == "run":
        os._exit(runs_itself() != ["job of its own"])


def runs_itself() -> list[Any]:
    """Run a job of a child's own, where no thread of its parent can have held SQLite's locks."""
    if PLACE != "before":
        return ["job of its own"]

    async def go(event: Any, ctx: Any) -> None:
        told = await ctx.durable_execute_async(echo, "job of its own")
        ctx.send_event(OutputEvent(output=told))

    class Own(Agent):
        act = action(InputEvent)(go)

    engine = LocalEngine("memory://")
    return [output.value for output in engine.run(Own(), ["a"], key=str)]


async def echo(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def parents_alone() -> None:
    """Say on stderr that code runs which no child is to run."""
    if os.getpid() != STARTED:
        os.write(2, b"the child goes on with what is its parent's\n")


async def steps(value: Any) -> Any:
    for _ in range(6):
        await asyncio.sleep(0)
        parents_alone()
    return value


async def first_step(value: Any) -> Any:
    fork("first step")
    await asyncio.sleep(0)
    return value


async def later_step(value: Any) -> Any:
    await asyncio.sleep(0)
    fork("later step")
    await asyncio.sleep(0)
    return value


async def last_step(value: Any) -> Any:
    await asyncio.sleep(0)
    fork("last step")
    return value


async def task_of_callable(value: Any) -> Any:
    async def inner() -> Any:
        await asyncio.sleep(0)
        fork("task of a callable")
        return value

    return (await asyncio.gather(inner(), echo(value)))[0]


class Awaitable:
    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        fork("awaitable")
        return "awaitable"


def awaitable(_value: Any) -> Any:
    return Awaitable()


def on_thread(value: Any) -> Any:
    fork("thread")
    return value


def inline(value: Any) -> Any:
    parents_alone()
    fork("inline")
    return value


def source() -> Iterator[Any]:
    yield {"k": "a"}
    fork("source")
    yield {"k": "b"}
    parents_alone()


def sink(_output: Any) -> None:
    parents_alone()
    fork("sink")


class Tool(Resource):
    @classmethod
    def resource_type(cls) -> ResourceType:
        return ResourceType.TOOL

    async def open(self) -> None:
        fork("resource")


FORKING = [first_step, later_step, last_step, task_of_callable, awaitable, on_thread]
CALLABLES = [called for each in FORKING for called in (each, steps)]


class Coroutines(Agent):
    @action(InputEvent)
    async def act(self, event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(echo, 0)
        fork("action")
        calls = [ctx.durable_execute_async(each, 1) for each in CALLABLES]

        async def beside() -> None:
            await ctx.durable_execute_async(echo, 2)
            fork("task of an action")
            await asyncio.sleep(0)
            parents_alone()

        await asyncio.gather(*calls, beside(), beside())
        if PLACE == "inline":  # it needs continuations
            ctx.durable_execute(inline, 3)
        ctx.send_event(OutputEvent(output=event.input["k"]))


class Plain(Agent):
    @action(InputEvent)
    def act(self, event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(echo, 0).result()
        fork(PLACE if PLACE.startswith("plain") else "")
        ctx.durable_execute(inline, 3)
        for call in [ctx.durable_execute_async(each, 1) for each in CALLABLES]:
            call.result()
        ctx.send_event(OutputEvent(output=event.input["k"]))


def main() -> None:
    config = {"continuations": "off" if "fallback" in PLACE else "auto"}
    agent = Plain() if PLACE.startswith("plain") else Coroutines()
    fork("before")
    engine = LocalEngine(STORE, config=config).add_resource("tool", ResourceType.TOOL, Tool())
    outputs = engine.run(agent, source(), key="k", sink=sink)
    if os.getpid() != STARTED:
        print("the child came back from the job", flush=True)
        os._exit(1)
    codes.extend(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
    print(json.dumps([sorted(output.value for output in outputs), codes]))


main()
