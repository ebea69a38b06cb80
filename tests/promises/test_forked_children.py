"""G22: a forked child of a job's process cannot use the job, and is told so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.support import SECONDS, State, agent_of, echo, out, values

from perdure import LocalEngine

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


async def one_call(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.durable_execute_async(echo, event.input))


def in_child(work: Callable[[], Any]) -> str:
    """Return what `work` raises in a forked child of this process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        text = "nothing"
        try:
            work()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text


async def within(work: Any) -> Any:
    return await asyncio.wait_for(work, SECONDS)


USES: dict[str, Callable[[Any, Any], Any]] = {
    "submit": lambda job, run_: job.submit("c", key="c"),
    "signal": lambda job, run_: job.signal(run_, "x"),
    "cancel": lambda job, run_: run_.cancel(),
    "outputs": lambda job, run_: run_.outputs(),
}


@pytest.mark.parametrize("use", USES)
def test_g22_a_job_is_refused_in_a_forked_child(use: str, store: str) -> None:
    async def main() -> list[Any]:
        async with LocalEngine(store).open(agent_of(one_call)) as job:
            run_ = await job.submit("a", key="a")
            said = in_child(lambda: asyncio.run(within(USES[use](job, run_))))
            assert said.startswith("PerdureError: ")
            assert f"(pid {os.getpid()}), so nothing was done: return values to that" in said
            again = await job.submit("b", key="b")
            return values([*await run_.outputs(), *await again.outputs()])

    assert asyncio.run(main()) == ["a", "b"]
    assert State.calls == ["a", "b"]


def test_g22_an_engine_is_refused_in_a_forked_child_while_its_job_is_open(store: str) -> None:
    async def main() -> list[Any]:
        engine = LocalEngine(store)
        async with engine.open(agent_of(one_call)) as job:
            run_ = await job.submit("a", key="a")
            for other in (engine, LocalEngine(store)) if "sqlite" in store else (engine,):
                said = in_child(lambda other=other: other.run(agent_of(one_call), ["b"], key=str))
                assert said.startswith(("StoreError: ", "StoreLockedError: ")), said
            return values(await run_.outputs())

    assert asyncio.run(main()) == ["a"]
    assert State.calls == ["a"]
