"""Shards: a job whose keys are spread over several runtimes, each of which holds some of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.unit.action_driver import on_host

from perdure import Agent, InputEvent, OutputEvent
from perdure.codec.digests import digest, shard_of
from perdure.config.configuration import Configuration
from perdure.engine.plan_of import plan_of
from perdure.errors import PerdureError, ShardNotHeldError
from perdure.run import Output, RunStatus
from perdure.runtime.job_runtime import JobRuntime, NewInput, RunTicket, ShardInfo
from perdure.store.base import CommandRow, RunRow
from perdure.store.sqlite.memory_store import MemoryStore

SHARDS = 4
NOTHING = ShardInfo(0, 0)


def shard(key: str) -> int:
    return shard_of(digest(key), SHARDS)


def keys_of(wanted: int, count: int) -> list[str]:
    return [key for key in map("k{}".format, range(1000)) if shard(key) == wanted][:count]


class ShardedStore(MemoryStore):
    """Knows its shards by the numbers of its runs, and names what they make by their inputs."""

    names_by_input = True

    async def unfinished_of(
        self, shard: int, after: int = 0, limit: int | None = None
    ) -> list[RunRow]:
        rows = await self.unfinished(after, None)
        return [row for row in rows if row.run % SHARDS == shard][:limit]

    async def inputs_of(self, runs: Any) -> dict[int, tuple[str, str | int]]:
        rows = await self.runs(runs)
        return {run: ("", row.label) for run, row in rows.items() if row.label}


class Host:
    """A listener, and what the actions of its agent wait for."""

    def __init__(self) -> None:
        self.outputs: list[tuple[int, Any]] = []
        self.ended: list[RunTicket] = []
        self.begun: list[Any] = []
        self.gate = asyncio.Event()
        self.agent = Agent()
        self.agent.add_action("work", InputEvent, self.work)

    async def slow(self, value: str) -> str:
        self.begun.append(value)
        await self.gate.wait()
        return value

    async def quick(self, value: str) -> str:
        self.begun.append(value)
        return value

    async def work(self, event: Any, ctx: Any) -> None:
        value = event.input
        if value.startswith("slow"):
            await ctx.durable_execute_async(self.slow, value, durable_id="slow")
        elif value.startswith("ask"):
            await ctx.wait_for_signal("go")
        elif value.startswith("child of"):
            await (await ctx.submit("quick", key=value.split()[-1])).outputs()
        else:
            await ctx.durable_execute_async(self.quick, value, durable_id="quick")
        ctx.send_event(OutputEvent(output=[value, str(ctx.uuid4())]))

    def on_output(self, ticket: RunTicket, number: int, output: Output) -> None:
        self.outputs.append((ticket.shard, output.value[0]))

    def on_resting(self, ticket: RunTicket) -> None: ...

    def on_finished(self, ticket: RunTicket) -> None:
        self.ended.append(ticket)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(
    host: Host, store: ShardedStore | None = None, **options: Any
) -> AsyncIterator[JobRuntime]:
    config = Configuration(options)
    plan = plan_of(host.agent, config)
    used = ShardedStore() if store is None else store
    runtime = JobRuntime(used, "job", plan, config, listeners=[host], shards=SHARDS)
    await runtime.open()
    try:
        yield runtime
    finally:
        host.gate.set()
        await runtime.close()


@on_host
async def test_numbers_of_runs_and_keys_are_never_given_by_two_shards() -> None:
    host, store = Host(), ShardedStore()
    async with opened(host, store) as runtime:
        for each in range(SHARDS):
            await runtime.take(each, NOTHING)
        runs = {}
        for each in range(SHARDS):
            for key in keys_of(each, 5):
                runs[(await runtime.admit(NewInput("quick", key))).run] = each
        await runtime.drain()
        assert len(runs) == 20
        assert {run: runtime.shard_of_run(run) for run in runs} == runs
        assert sorted(host.outputs) == sorted((each, "quick") for each in runs.values())
        assert len(await store.keys_of(list(runs))) == 20
        newest = max(run for run, each in runs.items() if each == 1)
        await runtime.give_back(1)
        await runtime.take(1, ShardInfo(newest, 0))
        again = (await runtime.admit(NewInput("quick", keys_of(1, 1)[0]))).run
        assert again == newest + SHARDS


@on_host
async def test_what_a_job_does_not_hold_is_refused_by_name() -> None:
    host = Host()
    async with opened(host) as runtime:
        await runtime.take(2, NOTHING)
        assert set(runtime.held) == {2}
        mine, other = keys_of(2, 1)[0], keys_of(3, 1)[0]
        run = (await runtime.admit(NewInput("quick", mine))).run
        said = r"shard 3 of job 'job' is not held by this process: take it first"
        with pytest.raises(ShardNotHeldError, match=said):
            await runtime.admit(NewInput("quick", other))
        asked = (
            runtime.cancel(run + 1), runtime.retry(run + 1), runtime.signal(run + 1, "go", 1),
            runtime.drain(3), runtime.give_back(3),
        )  # fmt: skip
        for each in asked:
            with pytest.raises(ShardNotHeldError, match=said):
                await each
        with pytest.raises(PerdureError, match="shard 2 is held already"):
            await runtime.take(2, NOTHING)
        await host.until(lambda: host.ended)
        assert not await runtime.cancel(run)


@on_host
async def test_g6_a_shard_goes_on_where_it_is_taken_again_and_nothing_else_does() -> None:
    store, first, second = ShardedStore(), Host(), Host()
    one, other = keys_of(1, 1)[0], keys_of(2, 1)[0]
    async with opened(first, store) as runtime:
        for each in (1, 2):
            await runtime.take(each, NOTHING)
        for key in (one, other):
            await runtime.admit(NewInput("slow", key, id=key))
            await runtime.admit(NewInput("quick", key, id=f"{key}b"))
        await first.until(lambda: len(first.begun) == 2)
        newest = max(run for run in runtime.runs if runtime.shard_of_run(run) == 1)
        await runtime.give_back(1)
        assert {ticket.shard for ticket in runtime.runs.values()} == {2}
        await runtime.take(1, ShardInfo(newest, 10_000))
        await first.until(lambda: len(first.begun) == 3)  # its call was in flight: made again
        first.gate.set()
        await runtime.drain(1)
        assert [value for held, value in first.outputs if held == 1] == ["slow", "quick"]
        await runtime.drain(2)
        assert [value for held, value in first.outputs if held == 2] == ["slow", "quick"]
        first.gate.clear()
        for key in (one, other):
            await runtime.admit(NewInput("slow", key, id=f"{key}c"))
        await first.until(lambda: len(first.begun) == 7)
        newest = max(runtime.runs)
    async with opened(second, store) as runtime:
        await asyncio.sleep(0)
        assert not runtime.runs
        await runtime.take(2, ShardInfo(newest, 10_000))
        second.gate.set()
        await runtime.drain(2)
        assert second.outputs == [(2, "slow")]
        assert runtime.counters.in_flight == 0


@on_host
async def test_a_shard_that_is_given_back_leaves_nothing_behind() -> None:
    host = Host()
    options = {"max-runs-in-flight": 1, "error-handling-strategy": "retry"}
    async with opened(host, **options) as runtime:
        for each in (1, 2):
            await runtime.take(each, NOTHING)
        one, two, three = keys_of(1, 3)
        await runtime.admit(NewInput("ask", one))
        for _ in range(3):
            await runtime.admit(NewInput("quick", one))  # queued behind a run that waits
        due = runtime.now() + 3_600_000_000_000
        await runtime.admit(NewInput("quick", two, due=due))
        await runtime.admit(NewInput("slow", three))
        await host.until(lambda: host.begun == ["slow"])
        waiting = runtime.admit(NewInput("quick", three))  # for room, which comes
        await runtime.give_back(1)
        with pytest.raises(ShardNotHeldError):
            await waiting
        counters = runtime.counters
        assert (counters.in_flight, counters.waiting, counters.queued, counters.delayed) == (
            0, 0, 0, 0
        )  # fmt: skip
        assert not runtime.runs
        await runtime.admit(NewInput("quick", keys_of(2, 1)[0]))
        await runtime.drain()
        assert host.outputs == [(2, "quick")]


@on_host
async def test_commands_of_other_shards_are_left_to_who_holds_them() -> None:
    host, store = Host(), ShardedStore()
    async with opened(host, store) as runtime:
        for each in (1, 2):
            await runtime.take(each, NOTHING)
        mine = (await runtime.admit(NewInput("slow", keys_of(1, 1)[0]))).run
        others = (await runtime.admit(NewInput("slow", keys_of(2, 1)[0]))).run
        await host.until(lambda: len(host.begun) == 2)
        await runtime.give_back(2)
        job = runtime.job_number
        view = store.view()
        await view.open()
        try:
            for run in (mine, others):
                await view.leave_commands([CommandRow(job, run, "cancel", None, 1)])
            await host.until(lambda: host.ended)
            assert [(ticket.number, ticket.status) for ticket in host.ended] == [
                (mine, RunStatus.CANCELLED)
            ]
            left = (await view.commands(job)).items
            assert [command.run for command in left] == [others]
        finally:
            await view.close()


@on_host
async def test_children_of_another_shard_are_refused_where_they_are_asked_for() -> None:
    host = Host()
    async with opened(host) as runtime:
        for each in (1, 2):
            await runtime.take(each, NOTHING)
        key, same, other = keys_of(1, 1)[0], keys_of(1, 2)[1], keys_of(2, 1)[0]
        await runtime.admit(NewInput(f"child of {same}", key))
        await runtime.admit(NewInput(f"child of {other}", key))
        await runtime.drain()
        assert host.outputs == [(1, "quick"), (1, f"child of {same}")]
        failed = host.ended[-1]
        assert failed.status is RunStatus.FAILED
        assert f"a run of the key {other!r} cannot be started here" in str(failed.error)


@on_host
async def test_g12_what_a_run_makes_is_named_by_its_input_where_the_store_says_so() -> None:
    made: list[dict[str, str]] = []
    key = keys_of(1, 1)[0]
    for ids in (["a", "b", "c"], ["c", "a", "b"]):
        host, store = Host(), ShardedStore()
        async with opened(host, store) as runtime:
            await runtime.take(1, NOTHING)
            admitted = [await runtime.admit(NewInput("quick", key, id=each)) for each in ids]
            await runtime.drain()
            outputs = await runtime.recorded_outputs([each.run for each in admitted])
            made.append(
                {
                    id_: f"{output.value[1]} {output.id}"
                    for id_, (_, _, output) in zip(ids, outputs, strict=True)
                }
            )
    assert made[0] == made[1]
    assert len(set(made[0].values())) == 3


@on_host
async def test_g12_a_run_keeps_the_names_of_its_input_over_a_restart() -> None:
    key, ids = keys_of(1, 1)[0], []
    for stop in (False, True):
        store, host = ShardedStore(), Host()
        async with opened(host, store) as runtime:
            await runtime.take(1, NOTHING)
            run = (await runtime.admit(NewInput("slow", key, id="a"))).run
            await host.until(lambda host=host: host.begun)
            if stop:
                await runtime.give_back(1)
                await runtime.take(1, ShardInfo(run, 10_000))
            host.gate.set()
            await runtime.drain(1)
            ((_, _, output),) = await runtime.recorded_outputs([run])
            ids.append((output.id, output.value))
    assert ids[0] == ids[1]
