"""G6, G12, G13: whatever asyncio composes calls with takes the same way after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.promises.patterns import STAGGERED, OddError, call, crash_at_each_call, saw, text
from tests.promises.support import COROUTINE


async def gathers(ctx: Any) -> Any:
    saw(await asyncio.gather(call(ctx, "a", 0.02), call(ctx, "b"), call(ctx, "c", 0.01)))
    return saw(await asyncio.gather(call(ctx, "d"), call(ctx, "e")))


async def gathers_with_exceptions(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.01), call(ctx, "b", 0.0, True), call(ctx, "c", 0.02, True)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    return saw([text(one) for one in found])


async def gather_fails(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.03), call(ctx, "b", 0.0, True), call(ctx, "c", 0.02, True)]
    try:
        await asyncio.gather(*calls)
    except OddError as error:
        saw(text(error))
    saw([one.done() for one in calls])
    return saw(await calls[0])


async def gather_is_cancelled(ctx: Any) -> Any:
    calls = [call(ctx, "a"), call(ctx, "b", 30)]
    both = asyncio.gather(*calls)
    saw(await calls[0])
    both.cancel()
    try:
        await both
    except asyncio.CancelledError:
        saw("cancelled")
    return saw([calls[0].cancelled(), calls[1].cancelled()])


async def waits_for_the_first(ctx: Any) -> Any:
    pending = {call(ctx, name, delay) for name, delay in STAGGERED.items()}
    order = []
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        order += [saw(one.result()) for one in done]
    return order


async def waits_for_an_exception(ctx: Any) -> Any:
    calls = [call(ctx, "a"), call(ctx, "b", 0.01, True), call(ctx, "c", 30)]
    done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
    saw([text(one.exception() or one.result()) for one in calls if one in done])
    for one in pending:
        one.cancel()
    return saw(await call(ctx, "d"))


async def waits_with_a_timeout(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.001), call(ctx, "b", 30)]
    await calls[0]
    done, pending = await asyncio.wait(calls, timeout=0.05)
    saw([len(done), len(pending)])
    calls[1].cancel()
    return saw(await call(ctx, "c"))


async def takes_as_completed(ctx: Any) -> Any:
    calls = [call(ctx, name, delay) for name, delay in STAGGERED.items()]
    return [saw(await one) for one in asyncio.as_completed(calls)]


async def groups(ctx: Any) -> Any:
    async def two(first: str, second: str, delay: float) -> str:
        before = saw(await call(ctx, first, delay))
        return saw(before + await call(ctx, second))

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(two("a", "b", 0.02)),
            group.create_task(two("c", "d", 0.0)),
            group.create_task(two("e", "f", 0.01)),
        ]
    return saw([task.result() for task in tasks])


async def group_fails(ctx: Any) -> Any:
    ended = []

    async def one(name: str, delay: float, fails: bool = False) -> None:
        try:
            await call(ctx, name, delay, fails)
        except (OddError, asyncio.CancelledError):  # and not the crash
            ended.append(saw(f"{name} ended"))
            raise

    try:
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(one(name, 30))
            group.create_task(one("d", 0.01, True))
            group.create_task(one("e", 0.0))
    except* OddError as errors:
        saw([text(error) for error in errors.exceptions])
    saw(await call(ctx, "f"))
    return ended


async def awaits_a_task_later(ctx: Any) -> Any:
    async def in_task() -> str:
        return saw(await call(ctx, "a", 0.02)) + saw(await call(ctx, "b"))

    task = asyncio.create_task(in_task())
    saw(await call(ctx, "c"))
    saw(await call(ctx, "d", 0.03))
    return saw(await task)


async def bounds_one(ctx: Any) -> Any:
    results = []
    for name, delay, patience in (("a", 30, 0.05), ("b", 0, 30)):
        try:
            async with asyncio.timeout(patience):
                results.append(saw(await call(ctx, name, delay)))
        except TimeoutError:
            results.append(saw(f"{name} is late"))
    return results


async def bounds_several(ctx: Any) -> Any:
    results = []
    try:
        async with asyncio.timeout(0.1):
            results.append(saw(await call(ctx, "a")))
            results += saw(await asyncio.gather(call(ctx, "b"), call(ctx, "c")))
            results.append(saw(await call(ctx, "d", 30)))
    except TimeoutError:
        results.append(saw("late"))
    results.append(saw(await call(ctx, "e")))
    return results[-2:]


async def bounds_inside_bounds(ctx: Any) -> Any:
    try:
        async with asyncio.timeout(0.15):
            try:
                async with asyncio.timeout(0.05):
                    await call(ctx, "a", 30)
            except TimeoutError:
                saw("inner")
            saw(await call(ctx, "b"))
            await call(ctx, "c", 30)
    except TimeoutError:
        saw("outer")
    return saw(await call(ctx, "d"))


async def waits_for(ctx: Any) -> Any:
    results = [saw(await asyncio.wait_for(call(ctx, "a"), 30))]
    try:
        await asyncio.wait_for(call(ctx, "b", 30), 0.05)
    except TimeoutError:
        results.append(saw("b is late"))
    results.append(saw(await asyncio.wait_for(call(ctx, "c"), None)))
    return results


async def shields(ctx: Any) -> Any:
    inner = call(ctx, "a", 0.1)
    try:
        await asyncio.wait_for(asyncio.shield(inner), 0.03)
    except TimeoutError:
        saw("outer is late")
    saw(await call(ctx, "b"))
    return saw(await inner)


async def queues(ctx: Any) -> Any:
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)
    taken = []

    async def produce(names: str, delay: float) -> None:
        for name in names:
            await queue.put(saw(await call(ctx, name, delay)))

    async def consume() -> None:
        while (item := await queue.get()) is not None:
            taken.append(saw(f"took {item}"))
            queue.task_done()

    consumer = asyncio.create_task(consume())
    await asyncio.gather(produce("abc", 0.01), produce("def", 0.005))
    await queue.join()
    await queue.put(None)
    await consumer
    return taken


async def locks(ctx: Any) -> Any:
    lock, semaphore = asyncio.Lock(), asyncio.Semaphore(2)
    inside, most = 0, 0

    async def one(name: str, delay: float) -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            saw(await call(ctx, name, delay))
            inside -= 1
        async with lock:
            saw(await call(ctx, name.upper()))

    await asyncio.gather(one("a", 0.02), one("b", 0.0), one("c", 0.01), one("d", 0.0))
    return most


async def signals_with_events(ctx: Any) -> Any:
    ready, condition, order = asyncio.Event(), asyncio.Condition(), []

    async def waiter(name: str) -> None:
        await ready.wait()
        async with condition:
            await condition.wait()
        order.append(saw(await call(ctx, name)))

    waiters = [asyncio.create_task(waiter(name)) for name in "abc"]
    saw(await call(ctx, "d"))
    ready.set()
    saw(await call(ctx, "e"))
    async with condition:
        condition.notify(2)
    await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    async with condition:
        condition.notify_all()
    await asyncio.gather(*waiters)
    return sorted(order)


async def gathers_outcomes(ctx: Any) -> Any:
    found = await ctx.gather(call(ctx, "a", 0.01), call(ctx, "b", 0.0, True), call(ctx, "c"))
    return saw([text(one.error or one.value) for one in found])


async def sleeps_between(ctx: Any) -> Any:
    async def ticks() -> None:
        for n in range(4):
            await asyncio.sleep(0.005)
            saw(f"tick {n}")

    ticking = asyncio.create_task(ticks())
    for name in "abc":
        saw(await call(ctx, name, 0.004))
    await ticking
    timer, slow = ctx.sleep(0.01), call(ctx, "d", 30)
    done, _ = await asyncio.wait([timer, slow], return_when="FIRST_COMPLETED")
    slow.cancel()
    return saw([timer in done, len(done)])


async def nests(ctx: Any) -> Any:
    async def branch(names: str, patience: float) -> Any:
        try:
            async with asyncio.timeout(patience):
                first = await asyncio.gather(*(call(ctx, name, 0.002) for name in names[:2]))
                saw(first)
                race = [call(ctx, names[2], 30), call(ctx, names[3], 0.005)]
                done, pending = await asyncio.wait(race, return_when="FIRST_COMPLETED")
                for one in pending:
                    one.cancel()
                return saw([*first, *(one.result() for one in done)])
        except TimeoutError:
            return saw("gave up")

    async with asyncio.TaskGroup() as group:
        one = group.create_task(branch("abcd", 20))
        two = group.create_task(branch("efgh", 20))
        saw(ctx.durable_execute(str, "inline"))
    return saw([one.result(), two.result(), await call(ctx, "i")])


COROUTINES: dict[Callable[[Any], Awaitable[Any]], Any] = {
    gathers: ["d", "e"],
    gathers_with_exceptions: ["a", "OddError b", "OddError c"],
    gather_fails: "a",
    gather_is_cancelled: [False, True],
    waits_for_the_first: None,
    waits_for_an_exception: "d",
    waits_with_a_timeout: "c",
    takes_as_completed: None,
    groups: ["ab", "cd", "ef"],
    group_fails: None,
    awaits_a_task_later: "ab",
    bounds_one: ["a is late", "b"],
    bounds_several: ["late", "e"],
    bounds_inside_bounds: "d",
    waits_for: ["a", "b is late", "c"],
    shields: "a",
    queues: None,
    locks: 2,
    signals_with_events: ["a", "b", "c"],
    gathers_outcomes: ["a", "OddError b", "c"],
    sleeps_between: [True, 1],
    nests: [["a", "b", "d"], ["e", "f", "h"], "i"],
}


@pytest.mark.parametrize("pattern", COROUTINES, ids=lambda pattern: pattern.__name__)
def test_g6_coroutine_actions_take_the_same_way_again(pattern: Any, store: str) -> None:
    crash_at_each_call(COROUTINE, pattern, COROUTINES[pattern], store)
