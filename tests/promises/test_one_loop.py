"""A job used on another loop than its own is refused before anything is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.legs import Legs, agent_for, go, until, waits_for
from tests.promises.support import SECONDS, State, agent_of, out

from perdure import PerdureError, RunStatus, StoreError
from perdure.connectors.iterable import as_source

NAMED = "run_coroutine_threadsafe"

COROUTINES: dict[str, Callable[[Any, Any], Any]] = {
    "submit": lambda job, run_: job.submit(2, key="b", id=2),
    "job.signal": lambda job, run_: job.signal(run_, "x", 1),
    "run.signal": lambda job, run_: run_.signal("x", 1),
    "cancel": lambda job, run_: run_.cancel(),
    "wait": lambda job, run_: run_.wait(),
    "outputs": lambda job, run_: run_.outputs(),
    "schedule": lambda job, run_: job.schedule("s", "* * * * *", 1, key="s"),
    "drive": lambda job, run_: job.drive(as_source([{"k": 1}]), key="k"),
}
SYNCHRONOUS: dict[str, Callable[[Any, Any], Any]] = {
    "drain_soon": lambda job, run_: job.drain_soon(),
    "stop_now": lambda job, run_: job.stop_now(),
}
LOOKS: dict[str, Callable[[Any, Any], Any]] = {
    "status": lambda job, run_: run_.status,
    "activity": lambda job, run_: run_.activity,
    "progress": lambda job, run_: job.progress,
    "waiting_runs": lambda job, run_: list(job.waiting_runs()),
}


def on_thread(work: Callable[[], Any]) -> BaseException | None:
    """Do `work` on a thread; return what it raised."""
    raised: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return raised[0] if raised else None


async def opened(legs: Legs, test: Callable[[Any, Any], Any]) -> None:
    """Run `test` with a job and a run that waits; after it nothing else has happened."""
    async with legs.opened(agent_for("coroutine", waits_for("x"))) as job:
        run_ = await job.submit(1, key="a", id=1)
        await until(lambda: run_.status is RunStatus.WAITING)
        test(job, run_)
        assert [info.id for info in legs.engine.runs()] == [run_.id]
        assert run_.status is RunStatus.WAITING
        assert await run_.signal("x", 5)
        assert [output.value for output in await asyncio.wait_for(run_.outputs(), SECONDS)] == [[5]]


@pytest.mark.parametrize("name", COROUTINES)
def test_a_job_is_refused_on_another_threads_loop_before_anything_is_done(
    name: str, store: str
) -> None:
    def elsewhere(job: Any, run_: Any) -> None:
        async def use() -> None:
            await COROUTINES[name](job, run_)

        error = on_thread(lambda: asyncio.run(use()))
        assert isinstance(error, PerdureError)
        assert NAMED in str(error)

    go(lambda: opened(Legs(store), elsewhere))


@pytest.mark.parametrize("name", SYNCHRONOUS | LOOKS)
def test_nor_may_another_threads_loop_end_a_job_or_look_at_it(name: str, store: str) -> None:
    def elsewhere(job: Any, run_: Any) -> None:
        async def use() -> None:
            (SYNCHRONOUS | LOOKS)[name](job, run_)

        error = on_thread(lambda: asyncio.run(use()))
        assert isinstance(error, PerdureError)
        assert NAMED in str(error)

    go(lambda: opened(Legs(store), elsewhere))


@pytest.mark.parametrize("name", SYNCHRONOUS)
def test_nor_may_a_thread_without_a_loop_end_a_job(name: str, store: str) -> None:
    def elsewhere(job: Any, run_: Any) -> None:
        error = on_thread(lambda: SYNCHRONOUS[name](job, run_))
        assert isinstance(error, PerdureError)

    go(lambda: opened(Legs(store), elsewhere))


@pytest.mark.parametrize("name", LOOKS)
def test_a_thread_without_a_loop_may_look_at_a_job(name: str, store: str) -> None:
    def elsewhere(job: Any, run_: Any) -> None:
        assert on_thread(lambda: LOOKS[name](job, run_)) is None

    go(lambda: opened(Legs(store), elsewhere))


def test_what_the_message_names_works(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for("coroutine", waits_for("x"))) as job:
            loop = asyncio.get_running_loop()

            def use() -> Any:
                return asyncio.run_coroutine_threadsafe(job.submit(1, key="a"), loop).result()

            run_ = await asyncio.to_thread(use)
            await run_.signal("x", 7)
            assert [output.value for output in await run_.outputs()] == [[7]]

    go(test)


def test_an_action_may_not_submit_through_the_job(kind: str, store: str) -> None:
    """It would be half done: the run admitted, and the action at the end of its way."""

    async def coroutine(event: Any, ctx: Any) -> None:
        try:
            await State.job.submit("x", key="x")
        except PerdureError as error:
            out(ctx, str(error))

    def plain(event: Any, ctx: Any) -> None:
        try:
            State.job.submit("x", key="x").send(None)
        except PerdureError as error:
            out(ctx, str(error))

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_of(coroutine if kind == "coroutine" else plain)) as job:
            State.job = job  # type: ignore[attr-defined]
            run_ = await job.submit(1, key="a")
            ((said),) = [output.value for output in await run_.outputs()]
            assert "ctx.submit" in said
            assert len(legs.engine.runs()) == 1

    go(test)


def test_a_closed_job_says_that_it_was_closed(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for("coroutine", waits_for())) as job:
            run_ = await job.submit(1, key="a")
        for use in (job.submit(2, key="b"), run_.signal("x"), run_.cancel()):
            with pytest.raises(StoreError, match="was closed"):
                await use
        assert await run_.wait() is RunStatus.COMPLETED

    go(test)
