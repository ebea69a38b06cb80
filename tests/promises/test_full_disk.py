"""G25: while the store does not write, nothing starts, and what was made is not made again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.inside import commits_of
from tests.promises.disk import Disk
from tests.promises.support import SECONDS, State, agent_of, config_of, echo, out, pick, values

from perdure import LocalEngine, Output, RetryableError, RetryPolicy, RunStatus, StoreError
from perdure.runtime.stored_runs import StoredRuns

KEYS = "abcde"
BYTES = "x" * 3000


@pytest.fixture
def disk(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(sqlite, monkeypatch)
    yield disk
    disk.free()


class Threads:
    """What plain callables wait for."""

    go = threading.Event()


def paid_plain(name: str) -> str:
    State.calls.append(name)
    Threads.go.wait(SECONDS)
    return BYTES


async def paid(name: str) -> str:
    State.calls.append(name)
    await State.gate.released.wait()
    return BYTES


def begin_anew() -> None:
    Threads.go = threading.Event()


def let_calls_end() -> None:
    Threads.go.set()
    State.gate.release()


async def both_ways(event: Any, ctx: Any) -> None:
    k = event.input
    first = ctx.durable_execute_async(paid, f"{k}1")
    second = ctx.durable_execute_async(paid_plain, f"{k}2")
    await first
    await second
    await ctx.durable_execute_async(echo, f"{k}3")
    out(ctx, k)


def both_ways_plain(event: Any, ctx: Any) -> None:
    k = event.input
    first = ctx.durable_execute_async(paid, f"{k}1")
    second = ctx.durable_execute_async(paid_plain, f"{k}2")
    first.result()
    second.result()
    ctx.durable_execute(echo_now, f"{k}3")
    out(ctx, k)


def echo_now(name: str) -> str:
    State.calls.append(name)
    return name


async def until(done: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not done():
            await asyncio.sleep(0.005)


def test_g25_no_call_starts_on_a_full_disk_and_none_is_made_twice(
    kind: str, sqlite: str, disk: Disk
) -> None:
    """Two threads for five keys: what waits for a thread does not start either."""
    begin_anew()
    agent = pick(kind, both_ways, both_ways_plain)
    config = {**config_of(kind), "num-async-threads": 2}

    async def main() -> None:
        async with LocalEngine(sqlite, config=config).open(agent) as job:
            runs = [await job.submit(k, key=k) for k in KEYS]
            under_way = 2 if kind == "off" else len(KEYS) + 2
            under_way = 1 if kind == "off" else under_way
            await until(lambda: len(State.calls) >= under_way)
            disk.fill()
            let_calls_end()
            await until(lambda: commits_of(job).stalled)
            begun = list(State.calls)
            await disk.probed()
            assert State.calls == begun
            assert not any(call.endswith("3") for call in begun)
            disk.free()
            for run_ in runs:
                assert values(await asyncio.wait_for(run_.outputs(), SECONDS)) == [run_.key]
            assert not commits_of(job).stalled

    asyncio.run(main())
    assert sorted(State.calls) == sorted(f"{k}{n}" for k in KEYS for n in (1, 2, 3))


def failing_once(name: str) -> str:
    State.calls.append(name)
    if State.calls.count(name) == 1:
        raise RetryableError("not yet", retry_after=0.02)
    return name


async def waiting_for_something(event: Any, ctx: Any) -> None:
    retried = ctx.with_options(retry=RetryPolicy(max_attempts=3, initial_interval=0.02))
    slow = ctx.with_options(limit="slow")
    calls = [
        retried.durable_execute_async(failing_once, "retried"),
        *(slow.durable_execute_async(echo, f"slow{n}") for n in range(3)),
        ctx.durable_execute_async(paid, "first"),
    ]
    await asyncio.sleep(0.01)
    for call in calls:
        await call
    child = await ctx.submit("child", key="other")
    out(ctx, values(await child.outputs()))


async def whole(event: Any, ctx: Any) -> None:
    if event.input == "child":
        State.calls.append("child")
        out(ctx, await ctx.durable_execute_async(echo, "of child"))
    else:
        await waiting_for_something(event, ctx)


def test_g25_what_waits_for_a_retry_a_limit_or_a_parent_does_not_start_on_a_full_disk(
    sqlite: str, disk: Disk
) -> None:
    config = {"limits.slow.rate": "1/1s", "limits.slow.concurrency": 1}

    async def main() -> None:
        async with LocalEngine(sqlite, config=config).open(agent_of(whole)) as job:
            run_ = await job.submit("parent", key="one")
            await until(lambda: "first" in State.calls and "slow0" in State.calls)
            disk.fill()
            let_calls_end()
            await until(lambda: commits_of(job).stalled)
            begun = list(State.calls)
            await disk.probed(12)  # over a second: the limit and the back-off would be over
            assert State.calls == begun
            disk.free()
            assert values(await asyncio.wait_for(run_.outputs(), SECONDS)) == [["of child"]]

    asyncio.run(main())
    assert State.calls.count("retried") == 2
    once = ["slow0", "slow1", "slow2", "first", "of child"]
    assert [State.calls.count(name) for name in once] == [1] * 5


def test_g25_submit_is_refused_on_a_full_disk_and_goes_on_when_there_is_room(
    sqlite: str, disk: Disk
) -> None:
    async def main() -> None:
        async with LocalEngine(sqlite).open(agent_of(simple)) as job:
            waiting = await job.submit("a", key="a")
            await until(lambda: waiting.status is RunStatus.COMPLETED)
            disk.fill()
            for _ in range(3):
                with pytest.raises(StoreError, match=r"\(ulimit -f\)"):
                    await asyncio.wait_for(job.submit(BYTES * 10, key="b", id="b"), SECONDS)
            assert commits_of(job).stalled
            disk.free()
            await until(lambda: not commits_of(job).stalled)
            run_ = await job.submit("c", key="b", id="c")
            assert values(await asyncio.wait_for(run_.outputs(), SECONDS)) == ["c"]
        assert [info.input for info in LocalEngine(sqlite).runs()] == ["c", "a"]

    asyncio.run(main())


async def simple(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.durable_execute_async(echo, event.input))


def test_g25_a_job_closes_on_a_full_disk_and_the_next_goes_on(sqlite: str, disk: Disk) -> None:
    agent = agent_of(both_ways)

    async def main() -> None:
        engine = LocalEngine(sqlite)
        with pytest.raises(KeyError):
            async with engine.open(agent) as job:
                await job.submit("a", key="a")
                await until(lambda: len(State.calls) == 2)
                disk.fill()
                let_calls_end()
                await until(lambda: commits_of(job).stalled)
                raise KeyError("stop")
        disk.free()
        async with engine.open(agent):
            pass

    begin_anew()
    asyncio.run(main())
    assert [info.status for info in LocalEngine(sqlite).runs()] == [RunStatus.COMPLETED]
    assert {name: State.calls.count(name) for name in ("a1", "a2", "a3")} == {
        "a1": 2, "a2": 2, "a3": 1,
    }  # fmt: skip  # no process could know what came of them


def test_g4_outputs_are_delivered_while_recovery_goes_on(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery waits here until the sink has what was there before."""
    delivered: list[Output] = []

    async def main() -> None:
        engine = LocalEngine(sqlite)
        reached = asyncio.Event()

        def sink(output: Output) -> None:
            if not open_again:
                reached.set()
                raise ConnectionError("the sink is away")
            delivered.append(output)

        open_again = False
        with pytest.raises(Exception, match="away"):
            async with engine.open(agent_of(simple), sink=sink) as job:
                await job.submit("a", key="a")
                await reached.wait()
        open_again = True
        real = StoredRuns.recover

        async def slow(runs: StoredRuns, shard: int = 0) -> None:
            await until(lambda: delivered)  # recovery would never end if the sink waited for it
            await real(runs, shard)

        monkeypatch.setattr(StoredRuns, "recover", slow)
        async with engine.open(agent_of(simple), sink=sink):
            pass

    asyncio.run(main())
    assert values(delivered) == ["a"]
