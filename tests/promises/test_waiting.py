"""G1, G10, G12, G20: runs that only time or a signal can continue."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from tests.inside import commits_of
from tests.promises.clock import HOUR, Clock
from tests.promises.legs import (
    KINDS,
    Legs,
    action_for,
    agent_for,
    all_wait,
    go,
    in_memory,
    results,
    until,
)
from tests.promises.support import COROUTINE, SECONDS, State, echo, hold, out, values

from perdure import Agent, InputEvent, LocalEngine, RunStatus
from perdure.errors import RunCancelledError
from perdure.runtime import resting_runs


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs leave memory though they wait for a moment only."""
    monkeypatch.setattr(resting_runs, "LONG_NS", 0)


def one_signal(event: Any, ctx: Any) -> Any:
    out(ctx, (yield ctx.wait_for_signal("x")))


def works(event: Any, ctx: Any) -> Any:
    """Wait for a signal where the input says so, else do some work."""
    if event.input == "wait":
        out(ctx, (yield ctx.wait_for_signal("x")))
    else:
        out(ctx, (yield ctx.durable_execute_async(echo, event.input)))


def with_status(legs: Legs, status: RunStatus) -> set[str]:
    return {info.id for info in legs.engine.runs(status=status)}


# What is seen


def waits_then_works(event: Any, ctx: Any) -> Any:
    yield ctx.wait_for_signal("x")
    yield ctx.durable_execute_async(hold)
    yield ctx.wait_for_signal("y")


def test_g20_a_run_is_seen_to_wait_and_to_go_on(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_then_works)) as job:
            run_ = await job.submit({}, key="a")

            async def waits() -> None:
                await until(lambda: run_.status is RunStatus.WAITING)
                await until(lambda: with_status(legs, RunStatus.WAITING) == {run_.id})
                assert not with_status(legs, RunStatus.RUNNING)
                assert job.progress.waiting == 1
                assert job.progress.in_flight == 0

            await waits()
            await run_.signal("x")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            assert run_.status is RunStatus.RUNNING
            assert (job.progress.waiting, job.progress.in_flight) == (0, 1)
            await until(lambda: with_status(legs, RunStatus.RUNNING) == {run_.id})
            assert not with_status(legs, RunStatus.WAITING)
            await run_.cancel()
            await run_.wait()
            assert with_status(legs, RunStatus.CANCELLED) == {run_.id}

    go(test)


@pytest.mark.parametrize("out_of_memory", [True, False])
def test_g20_what_the_store_says_of_a_run_holds_over_a_restart(
    out_of_memory: bool, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=1 if out_of_memory else 10)
        agent = agent_for(COROUTINE, waits_then_works)
        async with legs.crashing(agent) as job:
            runs = [await job.submit({}, key=n, id=n) for n in range(3)]
            ids = {run_.id for run_ in runs}
            await until(lambda: with_status(legs, RunStatus.WAITING) == ids)
        assert with_status(legs, RunStatus.WAITING) == ids
        State.gate.open = False
        async with legs.crashing(agent) as job:
            runs = [await job.submit({}, key=n, id=n) for n in range(3)]
            await all_wait(runs)
            assert with_status(legs, RunStatus.WAITING) == ids
            await runs[2].signal("x")
            await until(lambda: with_status(legs, RunStatus.RUNNING) == {runs[2].id})
            assert with_status(legs, RunStatus.WAITING) == ids - {runs[2].id}
        State.gate.open = False
        async with legs.crashing(agent) as job:  # in the middle of a call
            assert with_status(legs, RunStatus.RUNNING) == {runs[2].id}

    go(test)


def test_g20_a_run_that_was_seen_to_wait_and_ends_at_once_stays_ended(
    kind: str, store: str
) -> None:
    def steps(event: Any, ctx: Any) -> Any:
        if State.leg == 1:
            yield ctx.wait_for_signal("x")
        out(ctx, "ended")

    async def test() -> None:
        legs = Legs(store, kind)
        agent = agent_for(kind, steps)
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await until(lambda: with_status(legs, RunStatus.WAITING) == {run_.id})
        async with legs.opened(agent):
            pass
        assert with_status(legs, RunStatus.COMPLETED) == {run_.id}
        async with legs.crashing(agent) as job:
            later = await job.submit({}, key="a", id=2, delay=0.2)
        async with legs.crashing(agent) as job:
            again = await job.submit({}, key="a", id=2)
            assert await results(again) == ["ended"]
            await commits_of(job).write([])
            assert with_status(legs, RunStatus.COMPLETED) == {run_.id, later.id}

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g20_a_run_waits_as_well_when_another_of_its_actions_ended_last(
    kind: str, store: str
) -> None:
    def slow(event: Any, ctx: Any) -> Any:
        yield ctx.durable_execute_async(echo, 1, 0.05)

    agent = Agent().add_action("one", [InputEvent], action_for(kind, one_signal))
    agent.add_action("two", [InputEvent], action_for(kind, slow))

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a")
            await until(lambda: State.calls == [1])
            await until(lambda: run_.status is RunStatus.WAITING)
            assert job.progress.in_flight == 0
            await run_.signal("x", 1)
            assert await results(run_) == [1]

    go(test)


# Room


@pytest.mark.parametrize("kind", KINDS)  # without continuations one plain action goes at a time
def test_g20_runs_that_wait_take_no_room(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=2)
        async with legs.opened(agent_for(kind, works)) as job:
            waiting_ = [await job.submit("wait", key=n) for n in range(5)]
            others = [await job.submit(n, key="other") for n in range(20)]
            for n, run_ in enumerate(others):
                assert await results(run_) == [n]
            await all_wait(waiting_)
            for n, run_ in enumerate(waiting_):
                await run_.signal("x", n)
                assert await results(run_) == [n]

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g20_a_source_is_read_past_runs_that_wait(kind: str, store: str, clock: Clock) -> None:
    def naps(event: Any, ctx: Any) -> Any:
        State.calls.append(event.input["k"])
        yield ctx.sleep(HOUR)
        out(ctx, event.input["k"])

    async def test() -> None:
        engine = LocalEngine(store, config={"max-runs-in-flight": 2})
        inputs = [{"k": n} for n in range(30)]
        running = engine.run_async(agent_for(kind, naps), inputs, key="k")
        running = asyncio.ensure_future(running)
        await until(lambda: len(State.calls) == 30)  # nobody's hour is over
        while not running.done():  # one that replays begins to wait when it has come so far
            clock.forward(HOUR)
            await asyncio.sleep(0.01)
        assert sorted(values(await running)) == list(range(30))

    go(test)


# Out of memory and back


def naps_twice(event: Any, ctx: Any, seconds: float = HOUR) -> Any:
    times = [ctx.now()]
    for nap in (1, 2):
        State.calls.append((nap, ctx.key))
        yield ctx.sleep(seconds)
        times.append(ctx.now())
    out(ctx, [(b - a).total_seconds() for a, b in itertools.pairwise(times)])


def naps_briefly(event: Any, ctx: Any) -> Any:
    yield from naps_twice(event, ctx, 0.3)


def napping(nap: int) -> int:
    """Return how many runs have come to a nap."""
    return len({key for number, key in State.calls if number == nap})


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", KINDS)
def test_g20_time_brings_runs_back_that_have_left_memory(
    kind: str, store: str, clock: Clock
) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        async with legs.opened(agent_for(kind, naps_twice)) as job:
            runs = [await job.submit({}, key=n) for n in range(5)]
            await all_wait(runs)
            await until(lambda: in_memory(job) == 1)
            clock.forward(HOUR)
            await until(lambda: napping(2) == 5)
            await all_wait(runs)
            clock.forward(HOUR)
            for run_ in runs:
                ((first, second),) = await results(run_)
                assert HOUR <= first < 1.5 * HOUR
                assert HOUR <= second < 1.5 * HOUR

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g20_only_runs_that_wait_long_leave_memory(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        async with legs.opened(agent_for(kind, naps_briefly)) as job:
            runs = [await job.submit({}, key=n) for n in range(5)]
            await all_wait(runs)
            assert in_memory(job) == 5

    go(test)


def cleans_up(event: Any, ctx: Any) -> Any:
    try:
        yield ctx.wait_for_signal("x")
    finally:
        # As calls: when a run leaves memory its code leaves this block too, and makes none.
        yield ctx.durable_execute_async(echo, ctx.key)
        yield ctx.durable_execute_async(echo, "cleaned")


@pytest.mark.parametrize("kind", KINDS)
def test_g10_a_run_out_of_memory_cleans_up_when_it_is_cancelled(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        async with legs.opened(agent_for(kind, cleans_up)) as job:
            runs = [await job.submit({}, key=n) for n in range(5)]
            await all_wait(runs)
            await until(lambda: in_memory(job) == 1)
            for run_ in runs:
                assert await run_.cancel()
                assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED
                with pytest.raises(RunCancelledError):
                    await run_.outputs()

    go(test)
    assert State.calls == [v for n in range(5) for v in (n, "cleaned")]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", KINDS)
def test_g10_a_run_cancelled_while_it_comes_back_cleans_up(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        async with legs.opened(agent_for(kind, cleans_up)) as job:
            runs = [await job.submit({}, key=n) for n in range(4)]
            await all_wait(runs)
            for run_ in runs[1:]:
                # The signal that nobody waits for brings it into memory.
                sent = asyncio.ensure_future(run_.signal("other"))
                cancelled = asyncio.ensure_future(run_.cancel())
                await asyncio.wait([sent, cancelled])
                assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED
            await runs[0].cancel()

    go(test)
    assert [c for c in State.calls if c != "cleaned"] == [1, 2, 3, 0]
    assert State.calls.count("cleaned") == 4


@pytest.mark.parametrize("kind", KINDS)
def test_g10_a_cancel_through_the_inbox_reaches_a_run_out_of_memory(kind: str, sqlite: str) -> None:
    async def test() -> None:
        legs = Legs(sqlite, kind, max_runs_in_flight=1)
        async with legs.opened(agent_for(kind, cleans_up)) as job:
            runs = [await job.submit({}, key=n) for n in range(3)]
            await all_wait(runs)
            other = LocalEngine(sqlite)
            for run_ in runs:
                await asyncio.to_thread(other.cancel, run_.id)
            for run_ in runs:
                assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED

    go(test)
    assert [c for c in State.calls if c != "cleaned"] == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_g12_runs_that_have_left_memory_survive_a_restart(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        for _ in range(3):
            async with legs.crashing(agent_for(kind, one_signal)) as job:
                runs = [await job.submit({}, key=n, id=n) for n in range(4)]
                await all_wait(runs)
                await until(lambda job=job: in_memory(job) == 1)
        async with legs.opened(agent_for(kind, one_signal)) as job:
            runs = [await job.submit({}, key=n, id=n) for n in range(4)]
            for n, run_ in enumerate(runs):
                await run_.signal("x", n)
            for n, run_ in enumerate(runs):
                assert await results(run_) == [n]

    go(test)


@pytest.mark.usefixtures("quick")
def test_g12_a_deadline_that_passes_out_of_memory_and_out_of_process(
    store: str, clock: Clock
) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=1)
        agent = agent_for(COROUTINE, naps_twice)
        async with legs.crashing(agent) as job:
            runs = [await job.submit({}, key=n, id=n) for n in range(4)]
            await all_wait(runs)
        clock.forward(1.5 * HOUR)
        async with legs.opened(agent) as job:
            runs = [await job.submit({}, key=n, id=n) for n in range(4)]
            await until(lambda: napping(2) == 4)
            await all_wait(runs)
            clock.forward(HOUR)
            for run_ in runs:
                ((first, second),) = await results(run_)
                assert first >= 1.5 * HOUR
                assert HOUR <= second < 1.5 * HOUR

    go(test)


@pytest.mark.parametrize("limit", [1, 100], ids=["out of memory", "in memory"])
@pytest.mark.parametrize("kind", KINDS)
def test_g1_runs_behind_one_that_waits_keep_their_order(kind: str, limit: int, store: str) -> None:
    def traced(event: Any, ctx: Any) -> Any:
        State.calls.append(("begin", ctx.key, event.input))
        if event.input == 0:
            yield ctx.wait_for_signal("x")
        yield ctx.durable_execute_async(echo, event.input)
        ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
        out(ctx, [event.input, ctx.short_term_memory.get("n")])

    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=limit)
        async with legs.opened(agent_for(kind, traced)) as job:
            first = [await job.submit(0, key=key) for key in "abc"]
            await all_wait(first)
            # As many as there is room for: runs that are queued are in flight.
            more = [asyncio.ensure_future(job.submit(n, key="c")) for n in range(1, 6)]
            await asyncio.sleep(0.1)
            assert not [c for c in State.calls if c[0] == "begin" and c[2]]
            await first[2].signal("x")
            assert await results(first[2]) == [[0, 1]]
            for n, submitted in enumerate(more, 1):
                assert await results(await submitted) == [[n, n + 1]]
            for run_ in first[:2]:
                await run_.signal("x")

    go(test)


# Draining


def test_g20_leaving_the_block_waits_for_runs_that_wait(kind: str, store: str) -> None:
    def naps(event: Any, ctx: Any) -> Any:
        yield ctx.sleep(0.2)
        out(ctx, "slept")

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, naps)) as job:
            runs = [await job.submit({}, key=n) for n in range(2)]
        assert [run_.status for run_ in runs] == [RunStatus.COMPLETED] * 2

    go(test)


def test_g20_leaving_the_block_does_not_wait_for_delayed_runs(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = agent_for(kind, works)
        async with asyncio.timeout(SECONDS), legs.opened(agent) as job:
            later = await job.submit("later", key="a", delay=3600)
            now = await job.submit("now", key="a")
            assert await results(now) == ["now"]
        assert later.status is RunStatus.WAITING
        assert with_status(legs, RunStatus.WAITING) == {later.id}

    go(test)


def test_g20_a_job_that_is_asked_to_end_leaves_what_waits(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        agent = agent_for(COROUTINE, one_signal)
        async with asyncio.timeout(SECONDS), legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            asyncio.get_running_loop().call_later(0.1, job.drain_soon)
        assert with_status(legs, RunStatus.WAITING) == {run_.id}
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 1)
            assert await results(run_) == [1]

    go(test)
