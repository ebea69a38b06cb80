"""Error strategies; retrying and cancelling a run by hand (G1)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from tests.promises.legs import until
from tests.promises.support import (
    SECONDS,
    State,
    agent_of,
    config_of,
    echo,
    failures,
    hold,
    out,
    pick,
    run,
    values,
)

from perdure import Agent, Event, InputEvent, LocalEngine, RunCancelledError, RunStatus, action
from perdure.errors import PerdureError
from perdure.journal.record import Record, RecordKind
from perdure.store.base import Row
from perdure.store.pace import CommitPace
from perdure.store.sqlite.store import SqliteStore


class Flaky(Exception):
    """What a callable raises while it is not mended."""


def flaky(name: str) -> str:
    State.calls.append(f"flaky {name}")
    if State.leg == 1:
        raise Flaky(name)
    return f"mended {name}"


async def three(event: Any, ctx: Any) -> None:
    k = event.input["k"]
    ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
    if event.input.get("bad"):
        calls = [
            ctx.durable_execute_async(echo, f"{k} before"),
            ctx.durable_execute_async(flaky, k),
            ctx.durable_execute_async(echo, f"{k} after", 0.05),
        ]
        await asyncio.wait(calls)
        for call in calls:
            call.result()
    out(ctx, [k, event.input["n"], ctx.short_term_memory.get("n")])


def three_plain(event: Any, ctx: Any) -> None:
    k = event.input["k"]
    ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
    if event.input.get("bad"):
        calls = [
            ctx.durable_execute_async(echo, f"{k} before"),
            ctx.durable_execute_async(flaky, k),
            ctx.durable_execute_async(echo, f"{k} after", 0.05),
        ]
        outcomes = ctx.gather(*calls)
        for outcome in outcomes:
            outcome.unwrap()
    out(ctx, [k, event.input["n"], ctx.short_term_memory.get("n")])


BAD = {"k": "a", "n": 0, "bad": True}
INPUTS = [BAD, {"k": "a", "n": 1}, {"k": "b", "n": 2}]


def test_dead_letter_keeps_the_failed_run_and_goes_on(kind: str, store: str) -> None:
    agent = pick(kind, three, three_plain)
    failed = failures(agent, INPUTS, store=store, config=config_of(kind))
    assert sorted(o.value for o in failed.outputs) == [["a", 1, 1], ["b", 2, 1]]
    assert [info.status for info in failed.failed] == [RunStatus.FAILED]
    error = failed.failed[0].error
    assert error is not None
    assert "Flaky" in error["type"]


def test_a_retry_by_hand_answers_later_successes_and_joins_the_end_of_its_queue(
    kind: str, store: str
) -> None:
    agent = pick(kind, three, three_plain)
    engine = LocalEngine(store, config=config_of(kind))
    with pytest.raises(PerdureError):
        engine.run(agent, INPUTS, key="k")
    (info,) = engine.runs(status=RunStatus.FAILED)
    engine.retry(info.id)
    State.leg = 2
    more = [*INPUTS, {"k": "a", "n": 3}]
    outputs = values(engine.run(agent, more, key="k"))
    assert State.calls.count("a before") == 1
    assert State.calls.count("a after") == 1
    assert State.calls.count("flaky a") == 2
    assert engine.run_info(info.id).status is RunStatus.COMPLETED
    assert engine.run_info(info.id).attempts == 1
    # The memory is that of its new place: after the run that had gone on without it.
    assert ["a", 0, 2] in outputs
    assert ["a", 1, 1] in outputs
    assert ["a", 3, 3] in outputs


def test_g1_a_retried_run_waits_for_the_runs_of_its_key(sqlite: str) -> None:
    async def go() -> list[str]:
        engine, outside = LocalEngine(sqlite), LocalEngine(sqlite)
        async with engine.open(agent_of(ordered)) as job:
            first = await job.submit({"name": "first"}, key="a")
            assert await asyncio.wait_for(first.wait(), SECONDS) is RunStatus.FAILED
            State.leg = 2
            slow = await job.submit({"name": "slow"}, key="a")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            await asyncio.to_thread(outside.retry, first.id)
            await until(lambda: engine.run_info(first.id).status is RunStatus.QUEUED)
            State.gate.release()
            await asyncio.wait_for(slow.wait(), SECONDS)
            await until(lambda: engine.run_info(first.id).status is RunStatus.COMPLETED)
        return [call for call in State.calls if isinstance(call, str)]

    async def ordered(event: Any, ctx: Any) -> None:
        name = event.input["name"]
        State.calls.append(f"begin {name}")
        if name == "first" and State.leg == 1:
            raise Flaky(name)
        await ctx.durable_execute_async(*((hold,) if name == "slow" else (echo, 0)))
        State.calls.append(f"end {name}")

    assert asyncio.run(go()) == [
        "begin first", "begin slow", "end slow", "begin first", "end first",
    ]  # fmt: skip


def test_of_several_that_retry_a_run_at_a_time_one_does(store: str) -> None:
    async def fails_once(event: Any, ctx: Any) -> None:
        State.calls.append(event.input)
        if len(State.calls) == 1:
            raise LookupError("as it is meant to")

    async def go() -> tuple[list[bool], int, int]:
        engine = LocalEngine(store)
        async with engine.open(agent_of(fails_once)) as job:
            run_ = await job.submit(1, key="a")
            assert await run_.wait() is RunStatus.FAILED
            told = await asyncio.gather(*(job.retry(run_) for _ in range(4)))
            assert await run_.wait() is RunStatus.COMPLETED
            return told, job.progress.retries, engine.run_info(run_.id).attempts

    assert asyncio.run(go()) == ([True, False, False, False], 1, 1)
    assert State.calls == [1, 1]


def test_a_completed_run_cannot_be_retried_or_cancelled(store: str) -> None:
    engine = LocalEngine(store)
    engine.run(agent_of(three), INPUTS[1:], key="k")
    for info in engine.runs():
        with pytest.raises(PerdureError, match="only failed and cancelled"):
            engine.retry(info.id)
        with pytest.raises(PerdureError, match="already"):
            engine.cancel(info.id)
    with pytest.raises(PerdureError, match="no run"):
        engine.retry("r999")


def test_the_retry_strategy_tries_again_up_to_its_limit(kind: str, store: str) -> None:
    agent = pick(kind, three, three_plain)
    config = config_of(
        kind, error_handling_strategy="retry", max_retries=2, retry_wait_interval=0.01
    )
    failed = failures(agent, INPUTS, store=store, config=config)
    assert State.calls.count("flaky a") == 3
    assert State.calls.count("a before") == 1
    assert failed.failed[0].attempts == 2
    assert ["a", 1, 1] in [o.value for o in failed.outputs]  # after it, in the order of the key


def test_the_retry_strategy_succeeds_when_the_fault_is_gone(kind: str, store: str) -> None:
    tried = []

    def twice(name: str) -> str:
        tried.append(name)
        if len(tried) < 3:
            raise Flaky(name)
        return name

    async def tries(event: Any, ctx: Any) -> None:
        first = await ctx.durable_execute_async(echo, "once")
        ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
        out(ctx, [first, await ctx.durable_execute_async(twice, "x")])

    def tries_plain(event: Any, ctx: Any) -> None:
        first = ctx.durable_execute_async(echo, "once").result()
        ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
        out(ctx, [first, ctx.durable_execute_async(twice, "x").result()])

    config = config_of(kind, error_handling_strategy="retry", retry_wait_interval=0.01)
    agent = pick(kind, tries, tries_plain)
    assert run(agent, [{"k": "a"}], store=store, config=config) == [["once", "x"]]
    assert State.calls == ["once"]
    assert tried == ["x"] * 3


def test_the_fail_strategy_stops_the_job_and_the_next_run_goes_on(kind: str, store: str) -> None:
    agent = pick(kind, three, three_plain)
    engine = LocalEngine(store, config=config_of(kind, error_handling_strategy="fail"))
    with pytest.raises(Flaky):
        engine.run(agent, INPUTS, key="k")
    assert [info.status for info in engine.runs(key="a")][-1] is not RunStatus.FAILED
    State.leg = 2
    outputs = values(engine.run(agent, INPUTS, key="k"))
    assert sorted(outputs) == [["a", 0, 1], ["a", 1, 2], ["b", 2, 1]]
    assert State.calls.count("a before") == 1


def test_memory_of_completions_before_a_failure_is_kept_over_a_retry(store: str) -> None:
    class Two(Agent):
        @action(InputEvent)
        async def first(self, event: Any, ctx: Any) -> None:
            ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
            ctx.send_event(Event(type="next", attributes={}))

        @action("next")
        async def second(self, event: Any, ctx: Any) -> None:
            await ctx.durable_execute_async(flaky, "x")
            ctx.short_term_memory.update("n", lambda n: n + 10)
            out(ctx, ctx.short_term_memory.get("n"))

    engine = LocalEngine(store)
    with pytest.raises(PerdureError):
        engine.run(Two(), [{"k": "a"}], key="k")
    State.leg = 2
    (info,) = engine.runs()
    engine.retry(info.id)
    assert values(engine.run(Two(), [{"k": "a"}], key="k")) == [11]


class CancelledBetween(Agent):
    """Is asked to stop while its first action's completion is being written."""

    @action(InputEvent)
    async def first(self, event: Any, ctx: Any) -> None:
        ctx.send_event(Event(type="next", attributes={}))
        State.gate.reached.set()

    @action("next")
    async def second(self, event: Any, ctx: Any) -> None:
        State.calls.append("second")
        await ctx.sleep(3600)


def test_g10_a_run_cancelled_between_two_actions_begins_no_other(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, under_way, asked = SqliteStore._write, threading.Event(), threading.Event()

    def slow_commit(self: SqliteStore, rows: Sequence[Row], patient: bool) -> None:
        if any(isinstance(row, Record) and row.kind == RecordKind.COMPLETED for row in rows):
            under_way.set()
            assert asked.wait(SECONDS)
        real(self, rows, patient)

    monkeypatch.setattr(SqliteStore, "_write", slow_commit)
    monkeypatch.setattr(CommitPace, "writes_here", lambda self, rows: False)

    async def go() -> RunStatus:
        async with LocalEngine(store).open(CancelledBetween()) as job:
            run_ = await job.submit({}, key="a")
            await asyncio.to_thread(under_way.wait, SECONDS)
            cancelling = asyncio.ensure_future(run_.cancel())
            for _ in range(10):
                await asyncio.sleep(0)
            asked.set()
            assert await cancelling
            return await asyncio.wait_for(run_.wait(), SECONDS)

    assert asyncio.run(go()) is RunStatus.CANCELLED
    assert State.calls == []


def test_a_cancelled_run_of_an_earlier_process_raises_when_asked_for_outputs(sqlite: str) -> None:
    async def naps(event: Any, ctx: Any) -> None:
        State.gate.reached.set()
        await ctx.sleep(3600)

    async def go() -> None:
        engine = LocalEngine(sqlite)
        async with engine.open(agent_of(naps)) as job:
            run_ = await job.submit({}, key="a", id="one")
            await State.gate.reached.wait()
            await run_.cancel()
        async with LocalEngine(sqlite).open(agent_of(naps)) as job:
            again = await job.submit({}, key="a", id="one")
            assert again.status is RunStatus.CANCELLED
            with pytest.raises(RunCancelledError):
                await again.outputs()

    asyncio.run(go())
