"""A job that was closed leaves nothing in memory, and nothing locked."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import weakref
from typing import Any

from tests.inside import runtime_of
from tests.patience import PATIENCE
from tests.promises.support import agent_of, config_of, out, pick

from perdure import LocalEngine, PerdureError


def test_closed_jobs_are_let_go_of_whatever_their_actions_did(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        if event.input == "waits":
            await ctx.wait_for_signal("never")
        await ctx.sleep(0)
        ctx.durable_execute(len, "abc")
        out(ctx, await ctx.durable_execute_async(len, "ab"))

    def go_plain(event: Any, ctx: Any) -> None:
        if event.input == "waits":
            ctx.wait_for_signal("never").result()
        ctx.durable_execute(len, "abc")
        out(ctx, ctx.durable_execute_async(len, "ab").result())

    async def main() -> list[weakref.ref[Any]]:
        left = []
        engine = LocalEngine(store, config=config_of(kind))
        for n in range(3):
            with contextlib.suppress(PerdureError):  # it was stopped while one run waits
                async with engine.open(pick(kind, go, go_plain)) as job:
                    left.append(weakref.ref(runtime_of(job)))
                    run = await job.submit("goes", key=n)
                    await run.wait()
                    await job.submit("waits", key="w", id="w")
                    job.stop_now()
        return left

    left = asyncio.run(main())
    gc.collect()
    # Closing does not wait for the pool's threads; one that has yet to be given its turn to end
    # holds its pool.
    deadline = time.monotonic() + PATIENCE
    while any(reference() for reference in left) and time.monotonic() < deadline:
        time.sleep(0.01)
        gc.collect()
    assert [reference() for reference in left] == [None, None, None]


def test_who_is_cancelled_twice_while_a_job_opens_leaves_nothing_locked(sqlite: str) -> None:
    async def steps(event: Any, ctx: Any) -> None:
        out(ctx, event.input["k"])

    async def main(turns: int) -> None:
        opening = asyncio.ensure_future(LocalEngine(sqlite).start(agent_of(steps)))
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(2):
            opening.cancel()
            await asyncio.sleep(0)
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close()
        await (await LocalEngine(sqlite).start(agent_of(steps))).close()

    for turns in range(8):
        asyncio.run(main(turns))
