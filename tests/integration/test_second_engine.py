"""A second engine: it drives jobs from another thread, and knows the runtime by its seam alone."""

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import gc
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import pytest

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunStatus
from perdure.config.configuration import Configuration
from perdure.engine.plan_of import plan_of
from perdure.errors import InputError, PerdureError, StoreLockedError
from perdure.run import Output
from perdure.runtime.job_runtime import JobRuntime, NewInput, RunTicket
from perdure.store.base import ActionStateStore
from perdure.store.url import open_store

SECONDS = 10.0


class Host:
    """Runs a job on an event loop of its own, in a daemon thread; every method is for any thread.

    It is what an operator of a stream processor would have: records are handed in, what they come
    to is popped, and the operator's thread never waits for a run.
    """

    def __init__(self, agent: Agent, store: ActionStateStore, **options: Any) -> None:
        self.popped: list[tuple[int, Any]] = []  # run, output
        self.ended: dict[int, RunTicket] = {}
        config = Configuration(options.pop("config", None))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        plan = plan_of(agent, config)
        self.runtime = JobRuntime(store, "job", plan, config, listeners=[self], **options)

    def __enter__(self) -> Self:
        try:
            self.on_loop(self.runtime.open)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.on_loop(self.runtime.drain)
        self.on_loop(self.runtime.close)
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    def on_loop(self, func: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(func(*args), self._loop).result(SECONDS)

    def admit(self, *items: NewInput) -> list[int]:
        async def admitted() -> list[int]:
            await self.runtime.wait_for_room()
            return [each.run for each in await asyncio.gather(*map(self.runtime.admit, items))]

        return list(self.on_loop(admitted))

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.005)

    # The job's listener

    def on_output(self, ticket: RunTicket, number: int, output: Output) -> None:
        assert threading.current_thread() is self._thread
        self.popped.append((ticket.number, output.value))

    def on_resting(self, ticket: RunTicket) -> None: ...

    def on_finished(self, ticket: RunTicket) -> None:
        self.ended[ticket.number] = ticket


begun = threading.Event()
gate = threading.Event()


@pytest.fixture(autouse=True)
def closed_gate() -> None:
    begun.clear()
    gate.clear()


async def price(item: str) -> int:
    return len(item)


async def slow(item: str) -> str:
    begun.set()
    while not gate.is_set():
        await asyncio.sleep(0.005)
    return item


class Shop(Agent):
    """Sums up what a key has bought; asks, hangs or fails where the input says so."""

    def __init__(self) -> None:
        super().__init__()
        self.add_action("buy", InputEvent, self.buy)

    async def buy(self, event: Any, ctx: Any) -> None:
        item = event.input
        if item == "bad":
            raise ValueError("no such item")
        if item == "ask":
            item = await ctx.wait_for_signal("instead")
        if item == "slow":
            await ctx.durable_execute_async(slow, item)
        costs = await ctx.durable_execute_async(price, item)
        total = (ctx.short_term_memory.get("total") or 0) + costs
        ctx.short_term_memory.set("total", total)
        ctx.send_event(OutputEvent(output=[item, total]))


def inputs(*items: tuple[str, str]) -> list[NewInput]:
    return [NewInput(item, key, id=n) for n, (key, item) in enumerate(items)]


BOUGHT = [(f"k{n % 3}", "x" * (1 + n % 5)) for n in range(30)]


def test_it_needs_no_other_import_of_the_runtime() -> None:
    tree = ast.parse(Path(__file__).read_text("utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and "perdure.runtime" in name} == {
        "perdure.runtime.job_runtime"
    }


def test_g29_it_gives_the_outputs_of_the_local_engine_key_by_key() -> None:
    with Host(Shop(), open_store("memory://")) as host:
        runs = host.admit(*inputs(*BOUGHT))
    keys = dict(zip(runs, (key for key, _ in BOUGHT), strict=True))
    found: dict[str, list[Any]] = {}
    for run, value in host.popped:
        found.setdefault(keys[run], []).append(value)
    local: dict[str, list[Any]] = {}
    given = [{"key": key, "item": item} for key, item in BOUGHT]

    class Same(Shop):
        async def buy(self, event: Any, ctx: Any) -> None:
            await super().buy(InputEvent(input=event.input["item"]), ctx)

    for output in LocalEngine("memory://").run(Same(), given, key="key"):
        local.setdefault(output.key, []).append(output.value)
    assert found == local
    assert host.runtime.counters.completed == len(BOUGHT)


def test_g2_an_input_known_from_before_gives_its_run_with_its_outcome() -> None:
    store = open_store("memory://")
    with Host(Shop(), store) as host:
        good, bad = host.admit(*inputs(("a", "tea"), ("b", "bad")))
    assert isinstance(host.ended[bad].error, ValueError)
    with Host(Shop(), store) as host:
        assert host.admit(*inputs(("a", "tea"), ("b", "bad"))) == [good, bad]
        assert [o.value for o in host.on_loop(host.runtime.outputs_of, good)] == [["tea", 3]]
        with pytest.raises(ValueError, match="no such item"):
            host.on_loop(host.runtime.outputs_of, bad)
        statuses = host.on_loop(host.runtime.statuses, [good, bad])
        assert statuses == {good: RunStatus.COMPLETED, bad: RunStatus.FAILED}
        with pytest.raises(InputError):
            host.admit(NewInput("coffee", "a", id=0))
    assert host.popped == []


def test_g6_what_was_in_flight_goes_on_in_the_next_host() -> None:
    store = open_store("memory://")
    with pytest.raises(RuntimeError, match="the operator failed"):
        with Host(Shop(), store) as host:
            host.admit(*inputs(("a", "slow"), ("a", "tea")))
            host.until(begun.is_set)
            raise RuntimeError("the operator failed")
    assert host.popped == []
    gate.set()
    with Host(Shop(), store) as host:
        pass
    assert [value for _, value in host.popped] == [["slow", 4], ["tea", 7]]


def test_g22_a_job_is_driven_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with Host(Shop(), open_store(url)):
        with pytest.raises(StoreLockedError), Host(Shop(), open_store(url)):
            pass


def test_runs_are_commanded_through_the_seam() -> None:
    with Host(Shop(), open_store("memory://")) as host:
        runtime = host.runtime
        asked, dropped, bad = host.admit(*inputs(("a", "ask"), ("b", "ask"), ("c", "bad")))
        host.until(lambda: runtime.counters.waiting == 2 and bad in host.ended)
        assert set(runtime.runs) == {asked, dropped}
        assert host.on_loop(runtime.signal, asked, "instead", "tea")
        assert host.on_loop(runtime.cancel, dropped)
        assert host.on_loop(runtime.retry, bad)
        assert not host.on_loop(runtime.retry, asked)
        host.until(lambda: not runtime.runs)
        assert not host.on_loop(runtime.cancel, asked)
        assert not host.on_loop(runtime.signal, asked, "instead", "tea")
        with pytest.raises(PerdureError, match="has no run"):
            host.on_loop(runtime.signal, asked + 1000, "instead", "tea")
    assert host.ended[asked].status is RunStatus.COMPLETED
    assert host.ended[dropped].status is RunStatus.CANCELLED
    counters = runtime.counters
    assert (counters.completed, counters.cancelled, counters.failed) == (1, 1, 2)
    assert host.popped == [(asked, ["tea", 3])]


def test_a_drain_leaves_what_rests_when_it_is_told_to() -> None:
    store = open_store("memory://")
    with Host(Shop(), store) as host:
        (asking,) = host.admit(NewInput("ask", "a"))
        later = NewInput("tea", "b", due=host.runtime.now() + 3_600_000_000_000)
        (due,) = host.admit(later)
        host.until(lambda: host.runtime.counters.waiting == 2)
        assert host.runtime.counters.delayed == 1
        assert host.runtime.runs[due].is_delayed

        async def drains() -> bool:
            draining = asyncio.ensure_future(host.runtime.drain())
            done, _ = await asyncio.wait([draining], timeout=0.05)
            host.runtime.leave_resting()
            await draining
            return bool(done)

        assert not host.on_loop(drains)
    assert host.ended == {}
    with Host(Shop(), store) as host:
        assert set(host.runtime.runs) == {asking, due}
        host.on_loop(host.runtime.signal, asking, "instead", "tea")
    assert set(host.ended) == {asking}


def test_g4_outputs_wait_in_the_outbox_until_they_are_delivered() -> None:
    store = open_store("memory://")
    with Host(Shop(), store, outbox=True) as host:
        first, second = host.admit(*inputs(("a", "tea"), ("a", "coffee")))
        host.until(lambda: not host.runtime.runs)
        outbox = host.runtime.outbox
        waiting = host.on_loop(outbox.undelivered)
        assert [(run, output.value) for run, _, output in waiting] == host.popped
        assert host.on_loop(outbox.position, "sink") is None
        host.on_loop(outbox.delivered, waiting[:1], "sink", (0, 17))

    before: list[Any] = []

    async def look() -> None:
        before.extend(await again.runtime.outbox.undelivered())
        before.append(await again.runtime.outbox.position("sink"))

    again = Host(Shop(), store, outbox=True, before_recovery=look)
    with again:
        assert [output[0] for output in before[:-1]] == [second]
        assert before[-1] == (0, 17)
        recorded = again.on_loop(again.runtime.recorded_outputs, [first, second])
        assert [run for run, _, _ in recorded] == [first, second]


def test_g4_without_an_outbox_outputs_count_as_delivered() -> None:
    with Host(Shop(), open_store("memory://")) as host:
        host.admit(*inputs(("a", "tea")))
        host.until(lambda: host.popped)
        assert host.on_loop(host.runtime.outbox.undelivered) == []


def test_time_calls_until_the_job_closes() -> None:
    called: list[str] = []
    with Host(Shop(), open_store("memory://")) as host:
        runtime = host.runtime

        async def arm() -> None:
            soon = runtime.now() + 20_000_000
            runtime.call_at(soon, lambda: called.append("due"))
            runtime.call_at(soon, lambda: called.append("cancelled"))()
            runtime.call_at(soon + 3_600_000_000_000, lambda: called.append("later"))

        host.on_loop(arm)
        host.until(lambda: called)
    assert called == ["due"]


def test_what_stops_a_job_reaches_its_engine() -> None:
    stopped: concurrent.futures.Future[BaseException | None] = concurrent.futures.Future()
    host = Host(Shop(), open_store("memory://"), config={"error-handling-strategy": "fail"})
    with pytest.raises(ValueError, match="no such item"), host:
        host.runtime.stopped.add_done_callback(lambda each: stopped.set_result(each.exception()))
        host.admit(NewInput("bad", "a"))
        raise stopped.result(SECONDS) or AssertionError("it ended")


def test_two_jobs_on_two_threads_share_the_settings_of_the_process_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("open_jobs", 0), ("runs", 0), ("before", None)):  # others are left open
        monkeypatch.setattr(f"perdure.runtime.shared.collector._Process.{name}", value)
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        with Host(Shop(), open_store("memory://")) as one:
            with Host(Shop(), open_store("memory://")) as other:
                one.admit(*inputs(("a", "tea")))
                other.admit(*inputs(("a", "coffee")))
            assert [value for _, value in other.popped] == [["coffee", 6]]
            assert gc.get_threshold()[0] > 700
        assert [value for _, value in one.popped] == [["tea", 3]]
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*before)
