"""Whoever waits for a job when it is closed is told so, and waits no longer (G22)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises.legs import until
from tests.promises.support import agent_of, out

from perdure import LocalEngine, RunStatus, StoreError
from perdure.connectors.iterable import IterableSource
from perdure.engine.job import Job, Run


async def waits(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.wait_for_signal("go"))


AGENT = agent_of(waits)
WAITERS: dict[str, Callable[[Job, Run], Awaitable[Any]]] = {
    "outputs": lambda job, run: run.outputs(),
    "wait": lambda job, run: run.wait(),
    "drain": lambda job, run: job.drain(),
    "outputs, looked up": lambda job, run: job.run(run.id).outputs(),
    "wait, looked up": lambda job, run: job.run(run.id).wait(),
    "gathered": lambda job, run: asyncio.gather(run.wait(), run.outputs()),
    "drive": lambda job, run: job.drive(_endless(), key=str),
}


def _endless() -> IterableSource:
    async def values() -> Any:
        await asyncio.Event().wait()
        yield 1

    return IterableSource(values())


async def ended(tasks: list[asyncio.Task[Any]]) -> list[BaseException | None]:
    done, left = await asyncio.wait(tasks, timeout=PATIENCE)
    assert not left
    return [task.exception() for task in done]


async def begun(store: str, key: Any = "w") -> tuple[Job, Run]:
    job = await LocalEngine(store).start(AGENT)
    run = await job.submit(0, key=key)
    await until(lambda: run.status is RunStatus.WAITING)
    return job, run


@pytest.mark.parametrize("waiter", list(WAITERS))
def test_whoever_waits_for_a_job_that_is_closed_is_told(waiter: str, store: str) -> None:
    async def test() -> None:
        job, run = await begun(store)
        waiting = [asyncio.ensure_future(WAITERS[waiter](job, run)) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await job.close()
        for error in await ended(waiting):
            assert isinstance(error, StoreError)
            assert "job 'default' was closed while this was waited for" in str(error)
            assert "\n" not in str(error)

    asyncio.run(test())


def test_a_block_left_with_an_exception_leaves_nobody_waiting(store: str) -> None:
    async def test() -> None:
        waiting = []
        with pytest.raises(ZeroDivisionError):
            async with LocalEngine(store).open(AGENT) as job:
                run = await job.submit(0, key="w")
                waiting.append(asyncio.ensure_future(run.outputs()))
                await asyncio.sleep(0)
                raise ZeroDivisionError
        assert [type(error) for error in await ended(waiting)] == [StoreError]

    asyncio.run(test())


@pytest.mark.parametrize("turns", range(6))
def test_what_is_asked_as_a_job_closes_is_done_or_refused(turns: int, store: str) -> None:
    async def test() -> None:
        job, run = await begun(store)
        asked = [asyncio.ensure_future(job.submit(n, key=n, id=f"i{n}")) for n in range(5)]
        others: list[Any] = [
            job.signal(run, "other"), job.cancel(run), run.cancel(), job.retry(run.id),
            job.signal(run.id, "other"),
        ]  # fmt: skip
        commands = [asyncio.ensure_future(each) for each in others]
        for _ in range(turns):
            await asyncio.sleep(0)
        await job.close()
        for error in await ended(asked + commands):
            assert error is None or isinstance(error, StoreError)
        known = {task.result().id for task in asked if not task.exception()}
        if store != "memory://":  # another engine has a store of its own
            again = await LocalEngine(store).start(AGENT)
            for n in range(5):
                submitted = await again.submit(n, key=n, id=f"i{n}")
                assert submitted.is_new is (submitted.id not in known)
            await again.close()

    asyncio.run(test())


def test_a_submission_that_waits_for_room_is_refused(store: str) -> None:
    async def test() -> None:
        config = {"max-runs-in-flight": 1}
        job = await LocalEngine(store, config=config).start(agent_of(sleeps))
        await job.submit(0, key=0)
        waiting = [asyncio.ensure_future(job.submit(n, key=n)) for n in (1, 2)]
        await asyncio.sleep(0)
        await job.close()
        assert [type(error) for error in await ended(waiting)] == [StoreError, StoreError]

    asyncio.run(test())


async def sleeps(event: Any, ctx: Any) -> None:
    await asyncio.Event().wait()


def test_whoever_is_cancelled_as_the_job_closes_is_cancelled(store: str) -> None:
    async def test() -> None:
        job, run = await begun(store)
        waiting = asyncio.ensure_future(run.outputs())
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(job.close())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=PATIENCE)
        assert waiting.cancelled()
        await closing

    asyncio.run(test())


def test_a_job_that_closes_is_closed_for_all_who_close_it(store: str) -> None:
    async def test() -> None:
        engine = LocalEngine(store)
        job = await engine.start(AGENT)
        closing = asyncio.ensure_future(job.close())
        await asyncio.sleep(0)
        given_up = asyncio.ensure_future(job.close())
        await asyncio.sleep(0)
        given_up.cancel()  # which does not end the closing
        await job.close()
        again = await engine.start(AGENT)  # the store is free
        await again.close()
        await closing
        assert given_up.cancelled()

    asyncio.run(test())
