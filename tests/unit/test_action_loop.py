"""ActionLoop: deterministic hashes, its own time, refusals, the spin limit."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import blockbuster
import pytest
from tests.unit.action_driver import SECOND, START, Driver, on_host

from perdure.errors import ActionLoopError, SpinningActionError
from perdure.executor.loop import ActionLoop

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("no_blocking")

ORDERS = """
import asyncio
from tests.unit.action_driver import Driver

async def main(d):
    calls = [d.call(str(n)) for n in range(20)]
    tasks = [asyncio.ensure_future(asyncio.sleep(1)) for _ in range(20)]
    d.log += [call.function for call in set(calls)] + [task.get_name() for task in set(tasks)]
    done, _ = await asyncio.wait(tasks)
    d.log += [task.get_name() for task in done]
    async def hang(n):
        try:
            await asyncio.Event().wait()
        finally:
            d.log.append(f"stopped {n}")
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(hang(n))
            await asyncio.sleep(0)
            raise KeyError
    except* KeyError:
        pass

async def host():
    ballast = [object() for _ in range(SIZE)]
    d = Driver(main).start()
    d.turn(after=2)
    assert d.finished and d.error is None, d.error
    print(d.log)

asyncio.run(host())
"""


def orders(ballast: int, seed: str) -> str:
    """Return what sets of calls and tasks look like in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ORDERS.replace("SIZE", str(ballast))],
        cwd=ROOT, env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_g6_sets_of_calls_and_tasks_iterate_alike_in_every_process() -> None:
    first = orders(0, "1")
    assert "stopped 19" in first
    assert orders(12_345, "2") == first


@on_host
async def test_hashes_follow_the_seed_and_the_order_of_creation() -> None:
    async def main(d: Driver) -> None:
        task = asyncio.ensure_future(asyncio.sleep(0))
        d.log += [hash(d.call("a")), hash(d.loop.create_future()), hash(task)]
        await task

    one, same, other = (Driver(main, seed=seed).start().log for seed in (7, 7, 1 << 40))
    assert one == same
    assert len({*one, *other}) == 6


@on_host
async def test_default_task_names_are_the_same_in_every_process() -> None:
    async def main(d: Driver) -> None:
        task = asyncio.create_task(asyncio.sleep(0))
        d.log.append(task.get_name())
        await task

    assert Driver(main).start().log == Driver(main).start().log


# Time


@on_host
async def test_g12_time_is_that_of_the_last_settlement_and_never_goes_back() -> None:
    async def main(d: Driver) -> None:
        loop = asyncio.get_running_loop()
        for name in ("a", "b"):
            d.log.append(loop.time())
            await d.call(name)
        d.log.append(loop.time())

    driver = Driver(main).start()
    driver.settle("a", after=5)
    driver.settle("b", after=-3)
    assert driver.log == [START / SECOND, START / SECOND + 5, START / SECOND + 5]


@on_host
async def test_g12_timers_fire_in_the_turn_that_is_late_enough() -> None:
    async def sleeper(d: Driver, seconds: float) -> None:
        await asyncio.sleep(seconds)
        d.log.append(seconds)

    async def main(d: Driver) -> None:
        await asyncio.gather(*(sleeper(d, seconds) for seconds in (3, 1, 2, 1.5)))

    driver = Driver(main).start()
    assert driver.loop.next_deadline() == pytest.approx(START + SECOND, abs=1_000)
    driver.turn(after=0.5)
    assert driver.log == []
    driver.turn(after=0.5)
    assert driver.log == [1]
    driver.turn(after=1.25)
    assert driver.log == [1, 1.5, 2]
    assert not driver.finished
    driver.turn(after=9)
    assert driver.finished
    assert driver.loop.next_deadline() is None


@on_host
async def test_a_turn_at_its_own_deadline_fires_a_timer() -> None:
    """Times are floats of seconds for asyncio, which cannot tell all nanoseconds apart."""

    async def main(d: Driver) -> None:
        for seconds in (0.1, 0.0333333333, 1e-9, 86_400.123456789):
            await asyncio.sleep(seconds)
            d.log.append(seconds)

    driver = Driver(main).start()
    for count in range(1, 5):
        deadline = driver.loop.next_deadline()
        driver.context.turn(deadline, lambda: None)
        assert len(driver.log) == count


@on_host
async def test_cancelled_timers_have_no_deadline() -> None:
    async def main(d: Driver) -> None:
        async with asyncio.timeout(5):
            await d.call("a")
        await d.call("b")

    driver = Driver(main).start()
    assert driver.loop.next_deadline() is not None
    driver.settle("a")
    assert driver.loop.next_deadline() is None
    driver.settle("b", after=10)
    assert driver.finished
    assert driver.error is None


@on_host
async def test_g10_a_timeout_cancels_what_it_bounds() -> None:
    async def main(d: Driver) -> None:
        try:
            async with asyncio.timeout(5):
                await d.call("a")
        except TimeoutError:
            d.log.append("late")

    driver = Driver(main).start()
    driver.turn(after=4.9)
    assert driver.log == []
    driver.turn(after=0.2)
    assert driver.log == ["late"]
    assert driver.cancelled == ["a"]


# asyncio's tools work unchanged


@on_host
async def test_a_queue_a_lock_and_a_race() -> None:
    async def main(d: Driver) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue(1)
        lock = asyncio.Lock()

        async def worker() -> None:
            while (item := await queue.get()) != "end":
                async with lock:
                    d.log.append(await d.call(item))

        async with asyncio.TaskGroup() as group:
            group.create_task(worker())
            for item in ("a", "b", "end"):
                await queue.put(item)
        first, _ = await asyncio.wait(
            [d.call("slow"), d.call("fast")], return_when=asyncio.FIRST_COMPLETED
        )
        d.log += [call.function for call in first]
        d.log.append(await asyncio.wait_for(asyncio.shield(d.calls["slow"]), 60))

    driver = Driver(main).start()
    for name in ("a", "b", "fast", "slow"):
        driver.settle(name, name.upper())
    assert driver.error is None
    assert driver.finished
    assert driver.log == ["A", "B", "fast", "SLOW"]


# Refusals


IO = [
    ("run_in_executor", lambda loop: loop.run_in_executor(None, print)),
    ("create_connection", lambda loop: loop.create_connection(None)),
    ("add_reader", lambda loop: loop.add_reader(0, print)),
    ("getaddrinfo", lambda loop: loop.getaddrinfo("localhost", 80)),
    ("subprocess_exec", lambda loop: loop.subprocess_exec(None, "ls")),
    ("add_signal_handler", lambda loop: loop.add_signal_handler(2, print)),
    ("run_until_complete", lambda loop: loop.run_until_complete(None)),
]


@pytest.mark.parametrize(("method", "use"), IO, ids=[method for method, _ in IO])
@on_host
async def test_io_is_refused_by_name_and_with_the_way_out(method: str, use: Any) -> None:
    async def main(d: Driver) -> None:
        use(asyncio.get_running_loop())

    driver = Driver(main).start()
    assert isinstance(driver.error, ActionLoopError)
    assert f"act: loop.{method}() is I/O" in str(driver.error)
    assert "ctx.durable_execute_async" in str(driver.error)


@on_host
async def test_what_uses_io_of_the_loop_is_refused() -> None:
    async def main(d: Driver) -> None:
        for work in (
            asyncio.to_thread(print),
            asyncio.open_connection("localhost", 1),
            asyncio.create_subprocess_exec("ls"),
        ):
            try:
                await work
            except ActionLoopError as error:
                d.log.append(str(error))

    assert len(Driver(main).start().log) == 3


@on_host
async def test_scheduling_from_outside_a_turn_is_refused_and_remembered() -> None:
    async def main(d: Driver) -> None:
        await d.call("a")

    driver = Driver(main).start()
    for use in (
        lambda: driver.loop.call_soon(print),
        lambda: driver.loop.call_soon_threadsafe(print),
        lambda: driver.loop.call_later(1, print),
        lambda: driver.loop.call_at(1, print),
    ):
        with pytest.raises(ActionLoopError, match="act: its event loop was used from outside"):
            use()
    coroutine = asyncio.sleep(0)
    with pytest.raises(ActionLoopError, match="Return the value from a durable call instead"):
        driver.loop.create_task(coroutine)
    coroutine.close()
    assert isinstance(driver.loop.violation, ActionLoopError)
    driver.context.close()


@on_host
async def test_an_event_set_by_a_task_of_the_host_is_refused() -> None:
    async def main(d: Driver) -> None:
        d.log.append(asyncio.Event())
        await d.log[0].wait()

    driver = Driver(main).start()

    async def callable_of_the_host() -> None:
        driver.log[0].set()

    with pytest.raises(ActionLoopError):
        await asyncio.create_task(callable_of_the_host())
    assert driver.loop.violation is not None
    driver.context.close()


@on_host
async def test_a_thread_is_refused() -> None:
    async def main(d: Driver) -> None:
        await d.call("a")

    driver = Driver(main).start()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            driver.loop.call_soon_threadsafe(print)
        except ActionLoopError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(raised) == 1
    driver.context.close()


# Spinning


@on_host
async def test_g17_a_spinning_action_is_told_what_it_does() -> None:
    async def main(d: Driver) -> None:
        call = d.call("a")
        while not call.done():
            await asyncio.sleep(0)

    driver = Driver(main)
    with pytest.raises(SpinningActionError, match=r"act ran 100,000 callbacks .* it polls"):
        driver.start()
    driver.context.fail(SpinningActionError("spins"))
    assert driver.finished


@on_host
async def test_g17_much_work_in_one_turn_is_no_spinning() -> None:
    async def main(d: Driver) -> None:
        for _ in range(90_000):
            await asyncio.sleep(0)

    driver = Driver(main).start()
    assert driver.error is None
    assert driver.finished


# Errors of callbacks


@on_host
async def test_a_failing_callback_is_logged_with_its_action(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(d: Driver) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR, "perdure.action"):
        assert Driver(main).start().finished
    assert [record.message.startswith("act: Exception in callback") for record in caplog.records]
    assert "ZeroDivisionError" in caplog.text


def test_a_loop_of_many_tasks_forgets_the_finished_ones() -> None:
    loop = ActionLoop(1, "act")  # type: ignore[abstract]

    async def nothing() -> None:
        pass

    asyncio._set_running_loop(loop)
    try:
        for _ in range(1_000):
            loop.create_task(nothing())
            loop.run_ready()
    finally:
        asyncio._set_running_loop(None)
    assert len(loop.tasks) <= 128
    loop.close()


@on_host
async def test_an_action_that_blocks_fails_its_test() -> None:
    """That is what `no_blocking` is for; without it the tests above would not notice."""

    async def main(d: Driver) -> None:
        time.sleep(0.001)

    assert isinstance(Driver(main).start().error, blockbuster.BlockingError)
