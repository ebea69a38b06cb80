"""G17, G20, G22: backpressure, idleness, and one owner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import (
    ONE,
    SECONDS,
    State,
    agent_of,
    config_of,
    echo,
    finish,
    killed,
    log_lines,
    out,
    pick,
    process,
    run,
    values,
)

from perdure import LocalEngine, Output
from perdure.connectors.base import Sink, SinkState
from perdure.store.sqlite.store import SqliteStore

LIMIT = 10


class Meter:
    """Counts the inputs that were read but have not finished."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0
        self.finished = 0
        self.most = 0

    def numbers(self) -> Iterator[dict[str, Any]]:
        for n in range(self.count):
            self.read += 1
            self.most = max(self.most, self.read - self.finished)
            yield {"k": n, "n": n}

    async def numbers_async(self) -> AsyncIterator[dict[str, Any]]:
        for value in self.numbers():
            await asyncio.sleep(0)
            yield value


@pytest.mark.parametrize("is_async", [False, True], ids=["iterable", "async iterable"])
def test_g20_a_source_is_not_read_ahead_of_the_runs_in_flight(
    is_async: bool, kind: str, store: str
) -> None:
    meter = Meter(60)

    async def slow(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(echo, 1, 0.005)
        meter.finished += 1

    def slow_plain(event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(echo, 1, 0.005).result()
        meter.finished += 1

    inputs = meter.numbers_async() if is_async else meter.numbers()
    config = config_of(kind, max_runs_in_flight=LIMIT)
    run(pick(kind, slow, slow_plain), inputs, store=store, config=config)
    assert meter.finished == 60
    # One more may have been taken from the source while there was room.
    assert LIMIT // 2 <= meter.most <= LIMIT + 1


def test_g20_submissions_wait_for_room(store: str) -> None:
    async def slow(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(echo, 1, 0.01)

    async def go() -> int:
        most = 0
        engine = LocalEngine(store, config={"max-runs-in-flight": LIMIT})
        async with engine.open(agent_of(slow)) as job:
            tasks = [asyncio.ensure_future(job.submit({}, key=n)) for n in range(50)]
            while not all(task.done() for task in tasks):
                most = max(most, job.progress.in_flight)
                await asyncio.sleep(0.001)
        return most

    assert 1 <= asyncio.run(go()) <= LIMIT


def test_g17_ten_thousand_waiting_calls_cost_nothing(store: str) -> None:
    many = 10_000

    async def waits(event: Any, ctx: Any) -> None:
        calls = [ctx.durable_execute_async(forever, n) for n in range(100)]
        State.gate.reached.set()
        await asyncio.wait(calls)

    async def forever(n: int) -> None:
        State.calls.append(n)
        await asyncio.Event().wait()

    async def go() -> tuple[float, float]:
        with contextlib.suppress(LookupError):
            began = time.process_time()
            async with LocalEngine(store).open(agent_of(waits)) as job:
                await asyncio.gather(*(job.submit({}, key=n) for n in range(many // 100)))
                while len(State.calls) < many:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)
                before = time.process_time()
                await asyncio.sleep(1.0)
                used = time.process_time() - before
                raise LookupError
        return before - began, used

    # CPU time, and against what the same calls cost to make: an idle second is next to nothing.
    made, waited = asyncio.run(go())
    assert waited < made / 10


def test_g22_a_second_process_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    inputs = [{"k": "a", "seconds": 30}]
    owner = process("stays", inputs, tmp_path)
    try:
        deadline = time.monotonic() + SECONDS
        while log_lines(tmp_path) != ["started", "slept"]:
            assert time.monotonic() < deadline
            assert owner.poll() is None
            time.sleep(0.01)
        refused = finish(process("stays", inputs, tmp_path))
        assert "StoreLockedError" in refused["error"]
        assert f"pid {owner.pid}" in refused["error"]
        # Another job of the same file is nobody's yet.
        engine = LocalEngine(f"sqlite:///{tmp_path / 'store.db'}", job="other")
        assert engine.run(agent_of(sends), [{"k": 1}], key="k")[0].value == 1
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.communicate()


async def sends(event: Any, ctx: Any) -> None:
    out(ctx, event.input["k"])


def test_g22_a_restart_right_after_sigkill_is_not_refused(tmp_path: Path) -> None:
    inputs = [{"k": "a", "seconds": 0, "die": True}]
    killed(process("stays", inputs, tmp_path))
    assert finish(process("stays", inputs, tmp_path))["outputs"] == ["stayed"]
    assert log_lines(tmp_path) == ["started", "slept"]


def test_g22_one_engine_opens_a_job_once(store: str) -> None:
    async def go() -> None:
        engine = LocalEngine(store)
        async with engine.open(agent_of(sends)):
            with pytest.raises(Exception, match=r"open already|another process"):
                async with engine.open(agent_of(sends)):
                    pass
        async with engine.open(agent_of(sends)) as job:
            await job.submit({"k": 1}, key=1)

    asyncio.run(go())


def test_g22_two_engines_of_one_process_are_two_owners(sqlite: str) -> None:
    async def go() -> None:
        async with LocalEngine(sqlite).open(agent_of(sends)) as job:
            with pytest.raises(Exception, match=f"pid {os.getpid()}"):
                async with LocalEngine(sqlite).open(agent_of(sends)):
                    pass
            await (await job.submit({"k": 1}, key=1)).wait()

    asyncio.run(go())


def test_a_job_closes_its_store_when_its_block_raises(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    real = SqliteStore.close

    async def close(store: SqliteStore) -> None:
        await real(store)
        closed.append(store)

    monkeypatch.setattr(SqliteStore, "close", close)

    async def go() -> None:
        async with LocalEngine(sqlite).open(agent_of(sends)):
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(go())
    assert closed


class SlowToClose(Sink):
    """A sink that takes its time to close."""

    name = "slow"

    async def open(self, state: SinkState | None) -> SinkState:
        return state or SinkState(0, 0)

    async def write(self, outputs: Sequence[Output]) -> None:
        """Take everything."""

    async def close(self) -> None:
        State.gate.reached.set()
        await State.gate.released.wait()


@pytest.mark.parametrize("times", [1, 3])
def test_g22_a_job_is_given_back_though_its_closing_is_cancelled(times: int, store: str) -> None:
    async def echoes(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(echo, event.input["k"]))

    async def go() -> list[Any]:
        engine = LocalEngine(store)
        running = asyncio.ensure_future(
            engine.run_async(agent_of(echoes), ONE, key="k", sink=SlowToClose())
        )
        await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
        for _ in range(times):
            running.cancel()
            await asyncio.sleep(0)
        State.gate.release()
        with pytest.raises(asyncio.CancelledError):
            await running
        return values(await engine.run_async(agent_of(echoes), ONE, key="k"))

    assert asyncio.run(go()) == ["a"]
    assert State.calls == ["a"]
