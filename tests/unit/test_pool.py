"""ThreadPool: turns between keys, dropped invocations, hung threads, closing."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.unit.action_driver import on_host

from perdure.executor.executor import ContinuationActionExecutor
from perdure.executor.pool import Invocation, ThreadPool

pytestmark = pytest.mark.usefixtures("no_blocking")


class Bench:
    """An executor with a pool of `size` threads, and what happened on it.

    Attributes:
        begun: names of the calls that began, in order.
        finished: their outcomes as the host loop was told.
    """

    def __init__(self, size: int, max_abandoned: int | None = None) -> None:
        self.stops: list[BaseException] = []
        self._others = set(threading.enumerate())
        self.executor = ContinuationActionExecutor(
            num_async_threads=size, continuations=True, on_shutdown=self.stops.append,
            max_abandoned_threads=max_abandoned,
        )  # fmt: skip
        self.begun: list[str] = []
        self.finished: list[str] = []

    @property
    def pool(self) -> ThreadPool:
        return self.executor._pool

    @property
    def threads(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - self._others

    def call(
        self, name: str, key: Any = None, work: Callable[[], Any] = lambda: None
    ) -> Invocation:
        def run() -> None:
            self.begun.append(name)
            work()

        def finish(invocation: Invocation, value: Any, error: BaseException | None) -> None:
            self.finished.append(name)

        invocation = Invocation(run, (), {}, finish, contextvars.copy_context())
        invocation.key = key
        self.executor.start(invocation, is_coroutine=False)
        return invocation


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


@on_host
async def test_invocations_have_no_key_unless_they_are_given_one() -> None:
    context = contextvars.copy_context()
    assert Invocation(print, (), {}, lambda *_: None, context).key is None


@on_host
async def test_one_hot_key_does_not_make_another_wait_for_all_it_has() -> None:
    bench = Bench(2)
    gate = threading.Event()
    for n in range(200):
        bench.call(f"hot{n}", "hot", gate.wait)
    bench.call("single", "other")
    gate.set()
    await until(lambda: len(bench.finished) == 201)
    # Two execute, two have been handed over, one is the hot key's turn; what threads overtake
    # meanwhile is a matter of the machine.
    assert bench.begun.index("single") < 50
    hot = [name for name in bench.finished if name != "single"]
    assert sorted(hot) == sorted(f"hot{n}" for n in range(200))
    await bench.executor.close()


@on_host
async def test_one_thread_executes_the_keys_in_turns_and_each_in_order() -> None:
    bench = Bench(1)
    gate = threading.Event()
    for n in range(5):
        bench.call(f"a{n}", "a", gate.wait)
    for key in "bc":
        for n in range(3):
            bench.call(f"{key}{n}", key)
    gate.set()
    await until(lambda: bench.executor.in_flight == 0)
    assert bench.begun == ["a0", "a1", "a2", "b0", "c0", "a3", "b1", "c1", "a4", "b2", "c2"]
    await bench.executor.close()


@on_host
async def test_what_the_threads_have_is_twice_what_they_can_execute() -> None:
    bench = Bench(3)
    gate = threading.Event()
    for n in range(20):
        bench.call(str(n), n, gate.wait)
    assert len(bench.pool._handed) == 6
    assert bench.executor.in_flight == 20
    await until(lambda: len(bench.begun) == 3)
    gate.set()
    await until(lambda: len(bench.finished) == 20)
    assert bench.executor.in_flight == 0
    assert bench.pool._threads == 3
    await bench.executor.close()


@on_host
async def test_a_dropped_call_that_waits_is_gone_at_once() -> None:
    bench = Bench(1)
    gate = threading.Event()
    bench.call("hangs", "a", gate.wait)
    bench.call("handed", "a")
    waiting = [bench.call(f"w{n}", "a") for n in range(50)]
    last = bench.call("last", "a")
    await until(lambda: bench.begun == ["hangs"])
    for invocation in waiting:
        bench.executor.drop(invocation)
    assert bench.executor.in_flight == 3  # with every thread still taken
    for invocation in waiting:
        bench.executor.drop(invocation)
    assert bench.executor.in_flight == 3
    assert last.started_at == 0
    gate.set()
    await until(lambda: bench.executor.in_flight == 0)
    assert bench.finished == bench.begun == ["hangs", "handed", "last"]
    assert bench.executor.late_results == 0
    await bench.executor.close()


@on_host
async def test_a_dropped_call_that_a_thread_is_about_to_take_is_passed_over() -> None:
    bench = Bench(1)
    gate = threading.Event()
    bench.call("hangs", "a", gate.wait)
    handed = bench.call("handed", "a")
    bench.call("last", "a")
    await until(lambda: bench.begun == ["hangs"])
    bench.executor.drop(handed)
    gate.set()
    await until(lambda: bench.executor.in_flight == 0)
    assert bench.finished == bench.begun == ["hangs", "last"]
    assert bench.executor.late_results == 0
    assert bench.pool._threads == 1  # nothing hung: no thread had to be replaced
    await bench.executor.close()


@on_host
async def test_g10_hung_calls_do_not_stop_the_others_and_their_results_come_late() -> None:
    bench = Bench(8, max_abandoned=50)
    hang = threading.Event()
    hung = [bench.call(f"hung{n}", "a", hang.wait) for n in range(50)]
    for n in range(20):
        bench.call(f"good{n}", "b")
    # As a timeout does: what has begun and not ended is given up.
    given_up: set[Invocation] = set()
    async with asyncio.timeout(PATIENCE):
        while len(bench.finished) < 20 or len(given_up) < 50:
            for invocation in hung:
                if invocation.started_at and invocation not in given_up:
                    given_up.add(invocation)
                    bench.executor.drop(invocation)
            await asyncio.sleep(0.001)
    assert sorted(bench.finished) == sorted(f"good{n}" for n in range(20))
    assert bench.executor.in_flight == 50
    assert bench.executor.late_results == 0
    assert bench.pool._threads <= 58
    hang.set()
    await until(lambda: bench.executor.in_flight == 0)
    assert bench.executor.late_results == 50
    assert len(bench.finished) == 20
    await until(lambda: len(bench.threads) <= 8)
    assert bench.pool._threads <= 8
    bench.call("after")
    await until(lambda: bench.finished[-1] == "after")
    await bench.executor.close()
    await until(lambda: not bench.threads)


@on_host
async def test_giving_up_a_call_twice_or_after_its_end_adds_no_thread() -> None:
    bench = Bench(1)
    hang = threading.Event()
    hung = bench.call("hung", "a", hang.wait)
    await until(lambda: hung.started_at > 0)
    bench.executor.drop(hung)
    bench.executor.drop(hung)
    assert bench.pool._allowed == 2
    hang.set()
    await until(lambda: bench.executor.in_flight == 0)
    bench.executor.drop(hung)
    assert bench.pool._allowed == 1
    await bench.executor.close()


@on_host
async def test_closing_ends_idle_threads_and_forgets_what_has_not_begun() -> None:
    bench = Bench(2)
    gate = threading.Event()
    for n in range(10):
        bench.call(str(n), n, gate.wait)
    await until(lambda: len(bench.begun) == 2)
    await bench.executor.close()
    assert bench.executor.in_flight == 2
    assert len(bench.threads) == 2
    gate.set()
    await until(lambda: not bench.threads)
    await until(lambda: bench.executor.in_flight == 0)
    assert len(bench.begun) == 2
    assert bench.finished == []
    assert bench.executor.late_results == 2


@on_host
async def test_closing_ends_a_thread_too_many_as_well() -> None:
    bench = Bench(1)
    hang, gate = threading.Event(), threading.Event()
    hung = bench.call("hung", "a", hang.wait)
    await until(lambda: hung.started_at > 0)
    bench.executor.drop(hung)
    bench.call("busy", "a", gate.wait)
    bench.call("waits", "a", gate.wait)
    await until(lambda: "busy" in bench.begun)
    hang.set()
    # Its thread takes the next call, and an ending for one of them stands in the queue.
    await until(lambda: "waits" in bench.begun and bench.executor.in_flight == 2)
    await bench.executor.close()
    gate.set()
    await until(lambda: not bench.threads)


@on_host
async def test_each_invocation_executes_with_its_own_context_variables() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    bench = Bench(1)
    gate = threading.Event()
    seen: list[int] = []
    bench.call("first", None, gate.wait)
    for n in range(5):
        variable.set(n)
        bench.call(str(n), None, lambda: seen.append(variable.get()))
    gate.set()
    await until(lambda: bench.executor.in_flight == 0)
    assert seen == list(range(5))
    await bench.executor.close()


@on_host
async def test_a_call_is_begun_and_ended_on_the_host_loop() -> None:
    bench = Bench(1)
    told: list[tuple[str, threading.Thread]] = []
    before = time.time_ns()

    def finish(invocation: Invocation, value: Any, error: BaseException | None) -> None:
        told.append((f"{value} {error!r}", threading.current_thread()))

    contexts = contextvars.copy_context(), contextvars.copy_context()
    invocation = Invocation(divmod, (7, 2), {}, finish, contexts[0])
    invocation.on_start = lambda begun: told.append(("begun", threading.current_thread()))
    bench.executor.start(invocation, is_coroutine=False)
    divided = Invocation(divmod, (7, 0), {}, finish, contexts[1])
    bench.executor.start(divided, is_coroutine=False)
    await until(lambda: len(told) == 3)
    assert [what.partition("(")[0] for what, _ in told] == ["begun", "", "None ZeroDivisionError"]
    assert {thread for _, thread in told} == {threading.current_thread()}
    assert before <= invocation.started_at <= time.time_ns()
    await bench.executor.close()
