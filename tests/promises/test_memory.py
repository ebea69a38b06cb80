"""G14, G15, G16: what an action reads, how concurrent writes meet, how long memory lives."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    error_text,
    failures,
    hold,
    out,
    pick,
    run,
    values,
)

from perdure import Agent, Event, InputEvent, LocalEngine, action

ONE = [{"k": "a"}]


class TwoWriters(Agent):
    """Two actions of one run that write while the other is under way."""

    def __init__(self, memory: str) -> None:
        super().__init__()
        self.memory = memory

    async def _write(self, ctx: Any, name: str, delay: float) -> None:
        memory = getattr(ctx, self.memory)
        memory.update("count", lambda n: (n or 0) + 1)
        memory.update("names", lambda names: [*(names or []), name])
        memory.set("plain", name)
        memory.set(f"own.{name}", True)
        await ctx.durable_execute_async(echo, name, delay)
        memory.update("count", lambda n: (n or 0) + 1)
        assert memory.get("count") == 2  # its own writes over what it started from
        ctx.send_event(Event(type=f"done-{name}", attributes={}))

    @action(InputEvent)
    async def slow(self, event: Any, ctx: Any) -> None:
        await self._write(ctx, "slow", 0.1)

    @action(InputEvent)
    async def fast(self, event: Any, ctx: Any) -> None:
        await self._write(ctx, "fast", 0.0)


def reading(agent: Agent, memory: str) -> Agent:
    async def reads(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(hold)
        kept = getattr(ctx, memory)
        own = sorted(kept.get("own").get_field_names())
        out(ctx, [kept.get("count"), kept.get("names"), kept.get("plain"), own])

    return agent.add_action("reads", ["done-slow"], reads)


@pytest.mark.parametrize("memory", ["sensory_memory", "short_term_memory"])
def test_g15_concurrent_updates_lose_nothing_and_the_last_plain_write_wins(
    memory: str, store: str
) -> None:
    results = crash_and_resume(reading(TwoWriters(memory), memory), ONE, store=store)
    assert results == [[4, ["fast", "slow"], "slow", ["fast", "slow"]]]


def test_g15_an_update_that_raises_fails_its_own_run(store: str) -> None:
    def bad(value: Any) -> Any:
        if value is None:
            return 0
        raise LookupError("cannot add")

    class Bad(Agent):
        @action(InputEvent)
        async def first(self, event: Any, ctx: Any) -> None:
            if event.input["k"] == "bad":
                ctx.short_term_memory.set("n", 1)

        @action(InputEvent)
        async def second(self, event: Any, ctx: Any) -> None:
            ctx.short_term_memory.update("n", bad)  # None as it sees it, 1 when it completes
            await ctx.durable_execute_async(echo, 1, 0.05)
            out(ctx, event.input["k"])

    failed = failures(Bad(), [{"k": "bad"}, {"k": "good"}], store=store)
    assert [o.value for o in failed.outputs] == ["good"]
    assert "cannot add" in error_text(failed)


class Snapshot(Agent):
    """Reads the same path before and after another action has written it."""

    @action(InputEvent)
    async def reads(self, event: Any, ctx: Any) -> None:
        before = [ctx.short_term_memory.get("x"), ctx.sensory_memory.get("y")]
        await ctx.durable_execute_async(echo, "call", 0.05)  # meanwhile `writes` completes
        await ctx.durable_execute_async(hold)
        after = [ctx.short_term_memory.get("x"), ctx.sensory_memory.get("y")]
        out(ctx, [before, after])

    @action(InputEvent)
    async def writes(self, event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("x", "new")
        ctx.short_term_memory.delete("gone")
        ctx.sensory_memory.set("y", "new")
        ctx.send_event(Event(type="later", attributes={}))

    @action("later")
    async def later(self, event: Any, ctx: Any) -> None:
        out(ctx, [ctx.short_term_memory.get("x"), ctx.sensory_memory.get("y")])


def test_g14_an_action_reads_what_was_there_at_its_first_start_also_on_replay(store: str) -> None:
    results = crash_and_resume(Snapshot(), ONE, store=store)
    assert sorted(results, key=str) == sorted(
        [[[None, None], [None, None]], ["new", "new"]], key=str
    )


def test_g16_sensory_memory_ends_with_its_run_short_term_belongs_to_the_key(
    kind: str, store: str
) -> None:
    def both(event: Any, ctx: Any) -> None:
        seen = [ctx.sensory_memory.get("n", 0), ctx.short_term_memory.get("n", 0)]
        ctx.sensory_memory.set("n", seen[0] + 1)
        ctx.short_term_memory.set("n", seen[1] + 1)
        out(ctx, [ctx.key, *seen])

    async def coroutine(event: Any, ctx: Any) -> None:
        both(event, ctx)

    inputs = [{"k": k} for k in "ababa"]
    agent = pick(kind, coroutine, both)
    results = run(agent, inputs, store=store, config=config_of(kind))
    assert [r for r in results if r[0] == "a"] == [["a", 0, 0], ["a", 0, 1], ["a", 0, 2]]
    assert [r for r in results if r[0] == "b"] == [["b", 0, 0], ["b", 0, 1]]


def test_g16_short_term_memory_outlives_the_process(sqlite: str) -> None:
    def counts(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
        ctx.short_term_memory.set("list", [event.input["n"]])
        out(ctx, ctx.short_term_memory.get("n"))

    def deletes(event: Any, ctx: Any) -> None:
        out(ctx, [ctx.short_term_memory.get("list"), ctx.short_term_memory.get("n")])
        ctx.short_term_memory.delete("list")

    inputs = [{"k": "a", "n": n} for n in range(4)]
    assert run(agent_of(counts), inputs[:2], store=sqlite) == [1, 2]
    assert run(agent_of(counts), inputs[:3], store=sqlite)[2:] == [3]
    assert run(agent_of(deletes), inputs[:4], store=sqlite)[3:] == [[[2], 3]]
    more = [*inputs, {"k": "a", "n": 4}]
    assert run(agent_of(deletes), more, store=sqlite)[4:] == [[None, 3]]


def test_g16_a_ttl_hides_what_is_older(store: str) -> None:
    async def remembers(event: Any, ctx: Any) -> None:
        seen = ctx.short_term_memory.get("x")
        if event.input["n"] == 0:
            ctx.short_term_memory.set("x", "old")
        out(ctx, seen)

    async def go() -> list[Any]:
        engine = LocalEngine(store, config={"short-term-memory.state-ttl.ms": 300})
        results = []
        async with engine.open(agent_of(remembers)) as job:
            for n, pause in ((0, 0.0), (1, 0.0), (2, 0.4)):
                await asyncio.sleep(pause)
                started = await job.submit({"n": n}, key="a")
                results += values(await started.outputs())
        return results

    assert asyncio.run(go()) == [None, "old", None]


def test_g14_a_ttl_is_judged_at_the_first_start_also_on_replay(sqlite: str) -> None:
    async def remembers(event: Any, ctx: Any) -> None:
        if event.input["n"] == 0:
            ctx.short_term_memory.set("x", "old")
            return
        before = ctx.short_term_memory.get("x")
        await ctx.durable_execute_async(echo, 1)
        await ctx.durable_execute_async(hold)
        out(ctx, [before, ctx.short_term_memory.get("x")])

    inputs = [{"k": "a", "n": 0}, {"k": "a", "n": 1}]
    config = {"short-term-memory.state-ttl.ms": 250}

    results = crash_and_resume(agent_of(remembers), inputs, store=sqlite, config=config, pause=0.4)
    assert results == [["old", "old"]]


def test_g15_a_failed_action_leaves_no_trace_in_memory(kind: str, store: str) -> None:
    def both(event: Any, ctx: Any) -> None:
        seen = ctx.short_term_memory.get("n", 0)
        ctx.short_term_memory.set("n", seen + 1)
        if event.input["n"] == 1:
            raise LookupError("no")
        out(ctx, seen)

    async def coroutine(event: Any, ctx: Any) -> None:
        both(event, ctx)

    inputs = [{"k": "a", "n": n} for n in range(3)]
    agent = pick(kind, coroutine, both)
    failed = failures(agent, inputs, store=store, config=config_of(kind))
    assert [o.value for o in failed.outputs] == [0, 1]


def test_g16_memory_is_each_jobs_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"

    def counts(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
        out(ctx, ctx.short_term_memory.get("n"))

    for job in ("one", "two"):
        assert values(LocalEngine(url, job=job).run(agent_of(counts), ONE, key="k")) == [1]


def test_g14_what_is_read_is_a_copy(store: str) -> None:
    async def changes(event: Any, ctx: Any) -> None:
        ctx.short_term_memory.set("list", [1])
        ctx.short_term_memory.get("list").append(2)
        first = ctx.short_term_memory.get("list")
        await ctx.durable_execute_async(echo, 1)
        out(ctx, [first, ctx.short_term_memory.get("list")])

    assert run(pick(COROUTINE, changes, changes), ONE, store=store) == [[[1], [1]]]
