"""G9, G10: what comes of a call that its action, a loop that is left or the callable cancels."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import sys
import weakref
from typing import Any

import pytest
from tests.promises.callees import never, told
from tests.promises.support import (
    ONE,
    SECONDS,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    hold,
    out,
    pick,
    run,
    values,
)

from perdure import LocalEngine, RetryPolicy, wait


@pytest.mark.parametrize("how", ["reconciler", "count_crashes"])
def test_g10_a_call_cancelled_while_its_record_is_written_does_not_begin(
    how: str, store: str
) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        if how == "reconciler":
            careful = ctx.with_options(reconciler=echo)
        else:
            careful = ctx.with_options(retry=RetryPolicy(count_crashes=True))
        call = careful.durable_execute_async(echo, "cancelled")  # its record is on its way
        call.cancel()
        out(ctx, [await ctx.durable_execute_async(echo, "next"), call.cancelled()])

    assert run(agent_of(calls), ONE, store=store) == [["next", True]]
    assert State.calls == ["next"]


async def leaves_the_loop() -> str:
    """End the process's event loop in the first leg, as a handler of SIGTERM may do."""
    if State.leg == 1:
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.Event().wait()
    return "went on"


async def converts() -> str:
    """Do the same, and make another error of the cancellation."""
    try:
        return await leaves_the_loop()
    except asyncio.CancelledError:
        raise OSError("connection lost") from None


@pytest.mark.parametrize("callee", [leaves_the_loop, converts])
def test_g9_a_loop_that_is_left_cancels_calls_and_that_is_no_outcome(
    callee: Any, kind: str, store: str
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        others = [ctx.durable_execute_async(echo_once, n) for n in range(3)]
        out(ctx, [await ctx.durable_execute_async(callee), *await asyncio.gather(*others)])

    def go_plain(event: Any, ctx: Any) -> None:
        out(ctx, [ctx.durable_execute_async(callee).result(), 0, 1, 2])

    agent = pick(kind, go, go_plain)
    engine = LocalEngine(store, config=config_of(kind))
    with pytest.raises(SystemExit):
        engine.run(agent, ONE, key="k")
    State.leg = 2
    assert values(engine.run(agent, ONE, key="k")) == [["went on", 0, 1, 2]]


async def echo_once(value: Any) -> Any:
    """Hang in the first leg."""
    if State.leg == 1:
        await asyncio.Event().wait()
    return value


@pytest.mark.parametrize("how", ["itself", "a task of its own"])
def test_g9_a_callable_that_cancels_itself_has_failed(how: str, kind: str, store: str) -> None:
    async def cancels() -> None:
        task = asyncio.current_task() if how == "itself" else asyncio.ensure_future(never("x"))
        assert task is not None
        task.cancel()
        await (asyncio.sleep(60) if how == "itself" else task)

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in await ctx.gather(ctx.durable_execute_async(cancels))])

    def go_plain(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in ctx.gather(ctx.durable_execute_async(cancels))])

    results = run(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind))
    assert results == [["DurableCallError"]]


async def cancels_by_timeout(ctx: Any, calls: list[Any]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ctx.gather(*calls)


async def cancels_by_wait_for(ctx: Any, calls: list[Any]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ctx.gather(*calls), 0.01)


async def cancels_its_task(ctx: Any, calls: list[Any]) -> None:
    async def gathers() -> None:
        await ctx.gather(*calls)

    task = asyncio.create_task(gathers())
    await calls[0]
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize("cancels", [cancels_by_timeout, cancels_by_wait_for, cancels_its_task])
def test_g10_gathered_calls_are_cancelled_with_what_awaits_them(cancels: Any, store: str) -> None:
    cancelled: list[int] = []

    async def until_cancelled(n: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(n)
            raise

    async def gathers(event: Any, ctx: Any) -> None:
        is_over = ctx.durable_execute_async(echo, "over")
        calls = [is_over, *(ctx.durable_execute_async(until_cancelled, n) for n in range(2))]
        await cancels(ctx, calls)
        out(ctx, [await is_over, [call.cancelled() for call in calls[1:]], cancelled[:2]])
        await ctx.durable_execute_async(hold)

    assert crash_and_resume(agent_of(gathers), ONE, store=store) == [["over", [True] * 2, [0, 1]]]
    assert cancelled == [0, 1]


@pytest.mark.parametrize("how", ["gather", "durable_execute"])
def test_g10_so_are_those_of_a_plain_action(how: str, store: str) -> None:
    cancelled: list[str] = []

    async def until_cancelled(name: str) -> None:
        State.gate.reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    def waits(event: Any, ctx: Any) -> None:
        try:
            if how == "gather":
                ctx.gather(ctx.durable_execute_async(until_cancelled, "call"))
            else:
                ctx.durable_execute(until_cancelled, "call")
        except asyncio.CancelledError:
            ctx.durable_execute_async(echo, "clean up").result()
            cancelled.append("then cleaned up")
            raise

    async def go() -> None:
        async with LocalEngine(store).open(agent_of(waits)) as job:
            run_ = await job.submit({}, key="a")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            await run_.cancel()
            await asyncio.wait_for(run_.wait(), SECONDS)

    asyncio.run(go())
    assert cancelled == ["call", "then cleaned up"]


@pytest.mark.parametrize("wrong", [5, None, "call", [1]])
def test_what_is_no_call_is_refused_before_anything_is_waited_for(
    wrong: Any, kind: str, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    named = f"is given at place 2 is of type {type(wrong).__name__}: give it what ctx.durable"

    async def gathers(event: Any, ctx: Any) -> None:
        call = ctx.durable_execute_async(echo, "x")
        with pytest.raises(TypeError, match=rf"ctx.gather waits .* {named}"):
            ctx.gather(call, wrong)
        out(ctx, await call)

    def gathers_plain(event: Any, ctx: Any) -> None:
        call = ctx.durable_execute_async(echo, "x")
        with pytest.raises(TypeError, match=rf"ctx.gather waits .* {named}"):
            ctx.gather(call, wrong)
        if not isinstance(wrong, list):  # it keeps each once, by its hash
            with pytest.raises(TypeError, match=rf"perdure.wait waits .* {named}"):
                wait([call, wrong])
        out(ctx, call.result())

    agent = pick(kind, gathers, gathers_plain)
    assert run(agent, ONE, store=store, config=config_of(kind)) == ["x"]
    assert not caplog.records


async def polls(event: Any, ctx: Any) -> None:
    handles: list[weakref.ref[Any]] = []

    def note(handle: Any) -> Any:
        handles.append(weakref.ref(handle))
        return handle

    for _ in range(5):
        note(ctx.durable_execute_async(never)).cancel()
        note(ctx.submit("child", key="other")).cancel()
        approval = note(ctx.wait_for_approval("yes"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await approval
        with contextlib.suppress(TimeoutError):
            await note(ctx.wait_for_approval("yes", timeout=0.001))
    del approval
    await ctx.durable_execute_async(echo, "last")
    gc.collect()
    out(ctx, sum(handle() is not None for handle in handles))


def test_an_action_that_polls_keeps_nothing_of_calls_that_are_over(store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        if event.input != "child":
            await polls(event, ctx)

    (kept,) = run(agent_of(go), ONE, store=store)
    assert kept <= 2  # of each name the newest wait


@dataclasses.dataclass
class Heavy:
    """An argument that takes memory as long as it is kept."""

    n: int


def kept() -> int:
    gc.collect()
    return sum(type(each) is Heavy for each in gc.get_objects())


def test_a_replay_keeps_nothing_of_calls_that_were_cancelled(kind: str, store: str) -> None:
    seen: list[int] = []

    async def act(event: Any, ctx: Any) -> None:
        for n in range(10):
            ctx.durable_execute_async(echo, Heavy(n)).cancel()
            await ctx.durable_execute_async(echo, n)
        seen.append(kept())
        await ctx.durable_execute_async(hold)
        out(ctx, "done")

    def act_plain(event: Any, ctx: Any) -> None:
        for n in range(10):
            ctx.durable_execute_async(echo, Heavy(n)).cancel()
            ctx.durable_execute_async(echo, n).result()
        seen.append(kept())
        ctx.durable_execute_async(hold).result()
        out(ctx, "done")

    agent = pick(kind, act, act_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == ["done"]
    live, replayed = seen
    assert replayed <= live
