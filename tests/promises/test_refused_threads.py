"""G10, G18: the system gives no thread, or as many hang as may: the rest of the job goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises.support import agent_of, out

from perdure import Configuration, LocalEngine, PerdureError
from perdure.run import RunStatus

CONFIG = {"num-async-threads": 2}


class Threads:
    """What the system gives: `left` threads more, then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 1000
        self.of = "perdure-call"  # what their names begin with
        self.error: Exception = RuntimeError("can't start new thread")
        self.released = threading.Event()
        start = threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            if not thread.name.startswith(self.of):
                return start(thread)
            if self.left <= 0:
                raise self.error
            self.left -= 1
            return start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)

    def hang(self, n: int) -> int:
        self.released.wait(PATIENCE)
        return n


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Threads]:
    threads = Threads(monkeypatch)
    yield threads
    threads.released.set()


def hanging(threads: Threads, number: int, timeout: float | None = 0.05) -> Any:
    async def go(event: Any, ctx: Any) -> None:
        if event.input != "hang":
            await ctx.sleep(0.01)
            out(ctx, "slept")
            return
        bound = ctx.with_options(timeout=timeout)
        calls = [bound.durable_execute_async(threads.hang, n) for n in range(number)]
        out(ctx, sorted(type(one.error).__name__ for one in await ctx.gather(*calls)))

    return agent_of(go)


def test_g10_timed_out_calls_settle_where_the_system_gives_no_more_threads(
    threads: Threads, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    threads.left = 5

    async def main() -> list[Any]:
        async with LocalEngine(store, config=CONFIG).open(hanging(threads, 12)) as job:
            first, second = await job.submit("hang", key=1), await job.submit("sleep", key=2)
            outputs = [await run.outputs() for run in (first, second)]
            third = await job.submit("sleep", key=3)
            return [*outputs, await third.outputs()]

    first, second, third = asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert first[0].value == ["TimeoutError"] * 12
    assert [second[0].value, third[0].value] == ["slept", "slept"]
    told = [line for line in caplog.messages if "refuses a thread" in line]
    assert len(told) == 1
    assert "can't start new thread" in told[0]


def test_g10_a_job_takes_no_thread_of_the_hosts_loop(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the loop's own pool wants a thread more, which a system may refuse."""

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(str, event.input))

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        in_executor = loop.run_in_executor

        def refusing(executor: Any, *given: Any) -> Any:
            assert executor is not None, "the loop's own pool was used"
            return in_executor(executor, *given)

        monkeypatch.setattr(loop, "run_in_executor", refusing)
        async with LocalEngine(store).open(agent_of(go)) as job:
            return await (await job.submit(7, key=1)).outputs()

    assert [each.value for each in asyncio.run(main())] == ["7"]


REFUSALS = [
    RuntimeError("can't start new thread"),
    MemoryError("no room for a stack"),
    OSError(11, "try again"),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_g19_plain_actions_wait_for_their_thread_where_the_system_refuses_it(
    error: Exception, threads: Threads, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    threads.left, threads.of, threads.error = 0, "perdure-action", error

    def go(event: Any, ctx: Any) -> None:
        out(ctx, ctx.durable_execute(str, event.input))

    async def main() -> list[Any]:
        async with LocalEngine(store, config={"continuations": "off"}).open(agent_of(go)) as job:
            runs = [await job.submit(n, key=n) for n in range(3)]
            await asyncio.sleep(0.02)
            assert [run.status for run in runs] == [RunStatus.RUNNING] * 3
            threads.left = 1
            return [(await run.outputs())[0].value for run in runs]

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == ["0", "1", "2"]
    [told] = [line for line in caplog.messages if "refuses the thread for plain actions" in line]
    assert str(error) in told


def test_g19_a_job_ends_though_its_plain_actions_have_no_thread(threads: Threads) -> None:
    threads.left, threads.of = 0, "perdure-action"

    async def main() -> None:
        async with LocalEngine("memory://", config={"continuations": "off"}).open(
            agent_of(lambda event, ctx: None)
        ) as job:
            await job.submit(1, key=1)
            job.stop_now()

    with pytest.raises(PerdureError, match="was stopped"):
        asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_g18_the_pool_goes_on_when_the_system_gives_threads_again(
    error: Exception, threads: Threads
) -> None:
    threads.left, threads.error = 0, error

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(threads.hang, 7))

    async def main() -> list[Any]:
        async with LocalEngine("memory://", config=CONFIG).open(agent_of(go)) as job:
            threads.released.set()
            run = await job.submit("x", key=1)
            await asyncio.sleep(0.05)
            assert run.status is RunStatus.RUNNING
            threads.left = 1
            return await run.outputs()

    [output] = asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert output.value == 7


def test_g10_no_more_threads_hang_than_may_and_the_run_says_what_it_waits_for(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    config = Configuration({**CONFIG, "max-abandoned-threads": 3})

    async def main() -> tuple[Any, list[Any], str]:
        engine = LocalEngine("memory://", config=config)
        async with engine.open(hanging(threads, 7)) as job:
            run = await job.submit("hang", key=1)
            while not (activity := run.activity):
                await asyncio.sleep(0.005)
            begun = 1000 - threads.left
            threads.released.set()  # the threads come back, and take what waits
            outputs = await run.outputs()
            return activity, [output.value for output in outputs], str(begun)

    activity, outputs, begun = asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert begun == "5"
    [waiting] = activity["calls that wait"][:1]
    assert "waits for a thread: 5 hang in calls that timed out" in waiting
    assert "max-abandoned-threads" in waiting
    assert outputs[0].count("TimeoutError") == 5
    assert [line for line in caplog.messages if "plain calls wait for a thread" in line]
