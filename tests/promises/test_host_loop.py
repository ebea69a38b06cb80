"""G13, G18: on a host loop that begins tasks eagerly, calls are what they are elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest
from tests.promises.support import COROUTINE, PLAIN, agent_of, out, values

from perdure import LocalEngine

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin eagerly from 3.12")


@pytest.fixture(autouse=True)
def _takes_the_factory() -> None:
    if os.environ["PERDURE_EVENT_LOOP"] == "uvloop" and sys.version_info < (3, 14):
        pytest.skip("uvloop passes on what asyncio's eager factory takes from 3.14")


async def on_loop(seconds: float) -> str:
    """Say on which loop this runs, first and at last."""
    began = asyncio.get_running_loop()
    await asyncio.sleep(seconds)
    assert asyncio.get_running_loop() is began
    return type(began).__name__


async def coroutine(event: Any, ctx: Any) -> None:
    calls = [ctx.durable_execute_async(on_loop, 0.0), ctx.durable_execute_async(on_loop, 0.001)]
    out(ctx, [*await asyncio.gather(*calls), ctx.durable_execute(on_loop, 0.0)])


def plain(event: Any, ctx: Any) -> None:
    calls = [ctx.durable_execute_async(on_loop, 0.0), ctx.durable_execute_async(on_loop, 0.001)]
    out(ctx, [*(call.result() for call in calls), ctx.durable_execute(on_loop, 0.0)])


@pytest.mark.parametrize("kind", [COROUTINE, PLAIN])
def test_g18_callables_run_on_the_host_loop_though_it_begins_tasks_eagerly(kind: str) -> None:
    async def body() -> tuple[str, list[Any]]:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        agent = agent_of(coroutine if kind == COROUTINE else plain)
        outputs = await LocalEngine("memory://").run_async(agent, [{"k": "a"}], key="k")
        return type(loop).__name__, values(outputs)

    host, outputs = asyncio.run(body())
    assert outputs == [[host] * 3]


async def parent(event: Any, ctx: Any) -> None:
    if event.input["k"] == "a":
        child = await ctx.submit({"k": "b"}, key="b", delay=0.001)
        out(ctx, [each.value for each in await child.outputs()])
    else:
        out(ctx, "child")


def test_g2_inputs_are_admitted_one_after_another_on_a_loop_that_begins_tasks_eagerly() -> None:
    async def body() -> list[Any]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with LocalEngine("memory://").open(agent_of(parent)) as job:
            runs = [await job.submit({"k": "a"}, key="a") for _ in range(3)]
            return [values(await run.outputs()) for run in runs]

    assert asyncio.run(body()) == [[["child"]]] * 3
