"""G9, G10: what comes of a call that its action, a loop that is left or the callable cancels."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from tests.promises.callees import never, told
from tests.promises.support import ONE, State, agent_of, config_of, echo, out, pick, run, values

from perdure import LocalEngine, RetryPolicy


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
