"""G20: a key that waits holds up its own key and no other, and little of its queue is in memory."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from tests.inside import runtime_of
from tests.promises.legs import KINDS, Legs, agent_for, family, go, results, until
from tests.promises.support import COROUTINE, SECONDS, State, echo, hold, out

from perdure import PerdureError, RunStatus
from perdure.connectors.iterable import as_source
from perdure.runtime import backlog, stored_runs

QUEUED, WAITING, COMPLETED = RunStatus.QUEUED, RunStatus.WAITING, RunStatus.COMPLETED


def first_waits(event: Any, ctx: Any) -> Any:
    """Wait where the input says so; all take note of when they began."""
    State.calls.append(event.input["n"])
    if event.input.get("wait"):
        yield ctx.wait_for_signal("go")
    out(ctx, event.input["n"])


def hot(count: int) -> list[dict[str, Any]]:
    """Return inputs of one key, the first of which waits."""
    return [{"k": "hot", "n": n, "wait": n == 0} for n in range(count)]


def others(count: int) -> list[dict[str, Any]]:
    """Return an input each of other keys."""
    return [{"k": f"other{n}", "n": 100 + n} for n in range(count)]


async def submit_all(job: Any, inputs: list[dict[str, Any]]) -> list[Any]:
    return [await job.submit(each, key=each["k"], id=each["n"]) for each in inputs]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few queued runs be in memory, and few be read at once."""
    monkeypatch.setattr(backlog, "IN_MEMORY", 5)
    monkeypatch.setattr(backlog, "PAGE", 3)
    monkeypatch.setattr(backlog, "LOW", 1)
    monkeypatch.setattr(stored_runs, "PAGE", 4)


def in_memory(job: Any) -> int:
    return len(runtime_of(job).runs)


# Other keys


@pytest.mark.parametrize("kind", KINDS)
def test_g20_a_source_is_read_past_a_key_that_waits(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=4)
        async with legs.opened(agent_for(kind, first_waits)) as job:
            source = as_source([*hot(20), *others(5)])
            driving = asyncio.ensure_future(job.drive(source, key="k"))
            await until(lambda: {100, 101, 102, 103, 104} <= set(State.calls))
            assert job.progress.waiting == 1
            assert job.progress.queued == 19
            waiting = list(job.waiting_runs())
            await waiting[0].signal("go")
            result = await asyncio.wait_for(driving, SECONDS)
        assert [o.value for o in result.outputs if o.key == "hot"] == list(range(20))

    go(test)


def test_g20_submit_of_other_keys_goes_on(store: str) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=2)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            runs = await asyncio.wait_for(submit_all(job, hot(8)), SECONDS)
            for other in await asyncio.wait_for(submit_all(job, others(5)), SECONDS):
                assert await asyncio.wait_for(other.wait(), SECONDS) is COMPLETED
            assert [each.status for each in runs] == [WAITING, *[QUEUED] * 7]
            await runs[0].signal("go")
            assert [await results(each) for each in runs] == [[n] for n in range(8)]

    go(test)


def test_g20_what_was_queued_before_the_first_run_waited_takes_no_room_either(store: str) -> None:
    def calls_then_waits(event: Any, ctx: Any) -> Any:
        if event.input.get("wait"):
            yield ctx.durable_execute_async(hold)
        yield from first_waits(event, ctx)

    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=3)
        async with legs.opened(agent_for(COROUTINE, calls_then_waits)) as job:
            runs = await submit_all(job, hot(3))
            State.gate.release()
            await asyncio.wait_for(submit_all(job, others(4)), SECONDS)
            await runs[0].signal("go")
            assert [await results(each) for each in runs] == [[0], [1], [2]]

    go(test)


# Memory


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("crash", [False, True], ids=["live", "over a crash"])
def test_g1_what_is_not_in_memory_begins_in_its_turn(crash: bool, store: str) -> None:
    async def test() -> None:
        legs, agent = Legs(store), agent_for(COROUTINE, first_waits)
        if crash:
            async with legs.crashing(agent) as job:
                await submit_all(job, hot(30))
        async with legs.opened(agent) as job:
            runs = await submit_all(job, hot(30))
            await until(lambda: runs[0].status is WAITING)
            assert in_memory(job) == 1 + 5
            assert job.progress.queued == 29
            await submit_all(job, others(2))
            await runs[0].signal("go")
            later = [await job.submit({"n": n}, key="hot") for n in (50, 51)]
            for each in [*runs[1:], *later]:
                assert await asyncio.wait_for(each.wait(), SECONDS) is COMPLETED
            assert in_memory(job) == 0
            assert job.progress.queued == 0
        begun = [n for n in State.calls if n < 100 and n]
        assert begun == [*range(1, 30), 50, 51]

    go(test)


@pytest.mark.usefixtures("small")
def test_g20_a_run_that_nobody_holds_is_in_the_store_alone(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            inputs = hot(30)
            (first,) = await submit_all(job, inputs[:1])
            for each in inputs[1:]:
                await job.submit(each, key="hot")
            gc.collect()
            away = runtime_of(job)._runs.backlog._away
            assert len(away) <= 1  # the one that was admitted last
            await first.signal("go")
        assert State.calls == list(range(30))

    go(test)


@pytest.mark.usefixtures("small")
def test_g10_a_queued_run_out_of_memory_can_be_cancelled(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            runs = await submit_all(job, hot(20))
            await until(lambda: runs[0].status is WAITING)
            assert await runs[15].cancel() is True
            assert await runs[15].wait() is RunStatus.CANCELLED
            assert await runs[15].cancel() is False
            assert job.progress.queued == 18
            assert job.progress.cancelled == 1
            await runs[0].signal("go")
            assert await runs[19].wait() is COMPLETED
        assert State.calls == [n for n in range(20) if n != 15]

    go(test)


@pytest.mark.usefixtures("small")
def test_g20_signals_reach_queued_runs_out_of_memory(store: str) -> None:
    def all_wait(event: Any, ctx: Any) -> Any:
        out(ctx, [event.input["n"], (yield ctx.wait_for_signal("go"))])

    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, all_wait)) as job:
            runs = await submit_all(job, hot(12))
            await until(lambda: runs[0].status is WAITING)
            for n in (11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8):
                assert await runs[n].signal("go", n)
            assert [await results(each) for each in runs] == [[[n, n]] for n in range(12)]

    go(test)


@pytest.mark.usefixtures("small")
def test_g2_an_id_is_the_same_run_though_it_is_out_of_memory(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            ids = [each.id for each in await submit_all(job, hot(20))]
            gc.collect()
            again = await submit_all(job, hot(20))
            assert [each.id for each in again] == ids
            assert again[-1].status is QUEUED
            assert job.progress.queued == 19
            waits = [asyncio.ensure_future(results(each)) for each in again]
            await again[0].signal("go")
            assert await asyncio.gather(*waits) == [[n] for n in range(20)]
        assert State.calls == list(range(20))

    go(test)


@pytest.mark.usefixtures("small")
def test_g20_a_parent_waits_for_children_out_of_memory(store: str) -> None:
    def parent(event: Any, ctx: Any) -> Any:
        children = []
        for n in range(12):
            children.append((yield ctx.submit("wait" if n == 0 else n, key="child")))
        State.calls.append("submitted")
        for child in children[::-1]:
            yield child.outputs()
        out(ctx, "all")

    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(family(COROUTINE, parent)) as job:
            run_ = await job.submit({}, key="parent")
            await until(lambda: "submitted" in State.calls)
            await until(lambda: list(job.waiting_runs()))
            await next(job.waiting_runs()).signal("x")
            assert await results(run_) == ["all"]

    go(test)


# The bound


def test_g20_a_full_key_holds_up_its_own_inputs_alone(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_queued=3)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            (first,) = await submit_all(job, hot(1))
            await until(lambda: first.status is WAITING)
            late = [
                asyncio.ensure_future(job.submit(each, key="hot", id=each["n"]))
                for each in hot(8)[1:]
            ]
            for other in await asyncio.wait_for(submit_all(job, others(3)), SECONDS):
                assert await asyncio.wait_for(other.wait(), SECONDS) is COMPLETED
            assert [each.done() for each in late] == [True] * 3 + [False] * 4
            assert job.progress.queued == 3
            assert len(legs.engine.runs(key="hot")) == 4
            await first.signal("go")
            runs = await asyncio.wait_for(asyncio.gather(*late), SECONDS)
            assert [await results(each) for each in runs] == [[n] for n in range(1, 8)]
        assert [n for n in State.calls if n < 100] == list(range(8))

    go(test)
    told = [record.message for record in caplog.records if "max-runs-queued" in record.message]
    assert len(told) == 1
    assert "hot" in told[0]


def test_g20_a_full_key_does_not_keep_a_job_from_draining(store: str) -> None:
    async def test() -> None:
        legs = Legs(store, max_runs_queued=2, max_runs_in_flight=1)
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            driving = asyncio.ensure_future(job.drive(as_source([*hot(9), *others(1)]), key="k"))
            await until(lambda: job.progress.queued == 2)
            late = asyncio.ensure_future(job.submit({"n": 77}, key="hot"))
            await asyncio.sleep(0.02)
            job.drain_soon()
            await asyncio.wait_for(driving, SECONDS)
            with pytest.raises(PerdureError, match="max-runs-queued"):
                await late
        async with legs.opened(agent_for(COROUTINE, first_waits)) as job:
            driving = asyncio.ensure_future(job.drive(as_source([*hot(9), *others(1)]), key="k"))
            await until(lambda: list(job.waiting_runs()))
            await next(job.waiting_runs()).signal("go")
            result = await asyncio.wait_for(driving, SECONDS)
        assert [o.value for o in result.outputs if o.key == "hot"] == list(range(9))

    go(test)


# Draining and stopping


@pytest.mark.parametrize("kind", KINDS)
def test_drain_soon_ends_though_runs_are_queued_behind_one_that_waits(
    kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, first_waits)) as job:
            runs = await submit_all(job, hot(3))
            await until(lambda: runs[0].status is WAITING)
            job.drain_soon()
        assert State.calls == [0]
        async with legs.opened(agent_for(kind, first_waits)) as job:
            runs = await submit_all(job, hot(3))
            await until(lambda: runs[0].status is WAITING)
            await runs[0].signal("go")
        assert [n for n in State.calls if n] == [1, 2]

    go(test)


def at_work(event: Any, ctx: Any) -> Any:
    """Make a call that the test ends; others of the key are queued meanwhile."""
    State.calls.append(event.input["n"])
    yield ctx.durable_execute_async(hold)
    out(ctx, event.input["n"])


@pytest.mark.parametrize("late", [False, True], ids=["before", "while it drains"])
def test_nothing_queued_begins_once_a_job_drains(kind: str, late: bool, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = agent_for("coroutine" if kind == COROUTINE else "plain", at_work)
        async with legs.opened(agent) as job:
            runs = await submit_all(job, hot(1 if late else 3))
            await until(lambda: State.gate.reached.is_set())
            job.drain_soon()
            if late:
                runs += await submit_all(job, hot(3)[1:])
            State.gate.release()
            assert await results(runs[0]) == [0]
        assert State.calls == [0]
        assert runs[1].status is QUEUED
        async with legs.opened(agent):
            pass
        assert State.calls == [0, 1, 2]

    go(test)


def test_nothing_queued_begins_once_a_job_stops(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        agent = agent_for(COROUTINE, at_work)
        with pytest.raises(PerdureError, match="stopped"):
            async with legs.opened(agent) as job:
                runs = await submit_all(job, hot(3))
                await until(lambda: State.gate.reached.is_set())
                job.stop_now()
                State.gate.release()
                await until(lambda: runs[0].status is COMPLETED)
                await asyncio.sleep(0.02)
        assert State.calls == [0]
        legs._next()
        async with legs.opened(agent):
            pass
        assert State.calls == [0, 1, 2]

    go(test)


def test_a_run_that_a_run_in_flight_waits_for_begins_though_the_job_drains(store: str) -> None:
    def parent(event: Any, ctx: Any) -> Any:
        yield ctx.durable_execute_async(hold)
        child = yield ctx.submit("late", key="child")
        yield child.outputs()
        yield ctx.submit("not waited for", key="other")
        out(ctx, "parent")

    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(family(COROUTINE, parent)) as job:
            run_ = await job.submit({}, key="parent")
            await until(lambda: State.gate.reached.is_set())
            job.drain_soon()
            State.gate.release()
            assert await results(run_) == ["parent"]
        assert [call for call in State.calls if isinstance(call, str)] == ["late", "late"]

    go(test)


def test_g20_a_run_whose_call_is_under_way_counts(store: str) -> None:
    """Only what waits is outside: a key at work is read no faster than its runs finish."""

    async def test() -> None:
        legs = Legs(store, max_runs_in_flight=2)
        async with legs.opened(agent_for(COROUTINE, at_work)) as job:
            await submit_all(job, hot(2))
            await until(lambda: State.gate.reached.is_set())
            third = asyncio.ensure_future(job.submit({"n": 2}, key="hot"))
            await job_turns()
            assert not third.done()
            State.gate.release()
            await asyncio.wait_for(third, SECONDS)

    async def job_turns() -> None:
        await echo(None, 0.05)

    go(test)
