"""G10: the time that a call has in all its attempts, queues and restarts."""

from __future__ import annotations

import functools
import threading
from typing import Any

from tests.promises.callees import fails, held_for_long, told
from tests.promises.clock import HOUR, Clock
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
)

from perdure import Limit, RetryPolicy

BRIEF = RetryPolicy(max_attempts=5, initial_interval=0.0, total_timeout=HOUR)


def test_g10_total_timeout_ends_a_call_that_still_waits_for_a_thread(
    store: str, clock: Clock
) -> None:
    release = threading.Event()

    def blocks() -> None:
        release.wait(SECONDS)

    async def frees() -> None:
        release.set()

    async def calls(event: Any, ctx: Any) -> None:
        blocked = [ctx.durable_execute_async(blocks) for _ in range(8)]
        waits = ctx.with_options(retry=BRIEF).durable_execute_async(fails, "queued")
        clock.forward(HOUR)
        (queued,) = await ctx.gather(waits)
        await ctx.durable_execute_async(frees)
        await ctx.gather(*blocked)
        out(ctx, [told(queued), str(queued.error)])

    ((error, message),) = run(agent_of(calls), ONE, store=store, config={"num-async-threads": 2})
    assert error == "TimeoutError"
    assert f"{HOUR:g} s in all its attempts" in message
    assert State.calls == []


def test_g10_total_timeout_ends_a_call_that_still_waits_for_a_limit(
    store: str, clock: Clock
) -> None:
    async def frees() -> None:
        State.gate.release()

    async def reached() -> None:
        await State.gate.reached.wait()

    async def calls(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        if event.input["k"] == "first":
            out(ctx, await api.durable_execute_async(hold))
            return
        await ctx.durable_execute_async(reached)
        waits = api.with_options(retry=BRIEF).durable_execute_async(echo, "queued")
        clock.forward(HOUR)
        (queued,) = await ctx.gather(waits)
        await ctx.durable_execute_async(frees)
        out(ctx, [told(queued), "in all its attempts" in str(queued.error)])

    config = {"limits": {"api": Limit(concurrency=1)}}
    results = run(agent_of(calls), [{"k": "first"}, {"k": "next"}], store=store, config=config)
    assert sorted(results, key=str) == [["TimeoutError", True], "held"]
    assert State.calls == []


def test_g10_total_timeout_goes_on_while_the_process_is_down(
    kind: str, store: str, clock: Clock
) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        # No settlement before it: the time at which it was made must be durable all the same.
        bound = ctx.with_options(retry=BRIEF)
        (outcome,) = await ctx.gather(bound.durable_execute_async(held_for_long))
        out(ctx, told(outcome))

    def calls_plain(event: Any, ctx: Any) -> None:
        bound = ctx.with_options(retry=BRIEF)
        (outcome,) = ctx.gather(bound.durable_execute_async(held_for_long))
        out(ctx, told(outcome))

    agent, config = pick(kind, calls, calls_plain), config_of(kind)
    down = functools.partial(clock.forward, HOUR)
    # Counted anew from the second leg on, its time would be enough.
    assert crash_and_resume(agent, ONE, store=store, config=config, down=down) == ["TimeoutError"]
