"""G25: a command whose commit only looked as if it had failed is carried out all the same, once.

So is one that is durable when nobody waits for it any longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from tests.inside import runtime_of
from tests.promises.legs import (
    Legs,
    agent_for,
    all_wait,
    go,
    has_kind,
    has_status,
    results,
    until,
    waits_for,
)
from tests.promises.support import COROUTINE, SECONDS, State, agent_of, hold, out
from tests.promises.test_store_failures import Trouble, has_type

from perdure import RunStatus, StoreError
from perdure.journal.record import RecordKind
from perdure.run import run_number
from perdure.runtime import backlog
from perdure.store.base import Row, RunRow

is_signal = has_kind(RecordKind.SIGNAL)


@pytest.fixture(params=[True, False], ids=["written", "lost"])
def written(request: pytest.FixtureRequest) -> bool:
    """Whether the commit that fails was written all the same."""
    return bool(request.param)


def first_run(job: Any) -> int:
    return run_number(runtime_of(job).job_number, "r1")


async def abandoned(
    legs: Legs, command: Coroutine[Any, Any, bool], wanted: Callable[[Sequence[Row]], bool]
) -> None:
    """Have a command asked for by somebody who goes away while its rows are being written."""
    held = legs.hold_commits(wanted)
    asking = asyncio.ensure_future(command)
    await held.is_reached()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    held.release()


# Signals


def held_then_asked(event: Any, ctx: Any) -> Any:
    yield ctx.durable_execute_async(hold)
    out(ctx, (yield ctx.wait_for_signal("ok")))


def test_g25_a_signal_in_doubt_reaches_a_run_that_is_being_read_back(
    kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome before it failed likewise: there is no execution that could take the signal."""

    def either(rows: Sequence[Row]) -> bool:
        return is_signal(rows) or has_kind(RecordKind.RESULT)(rows)

    async def test() -> list[Any]:
        trouble = Trouble(either, times=2, after=True)
        trouble.install(monkeypatch)
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, held_then_asked)) as job:
            run_ = await job.submit({}, key="a")
            await until(State.gate.reached.is_set)
            State.gate.release()
            await until(lambda: trouble.failed)
            with pytest.raises(StoreError):
                await run_.signal("ok", "approved")
            assert trouble.failed == 2
            return await results(run_)

    assert go(test) == ["approved"]


@pytest.mark.parametrize("place", ["at rest", "queued", "on the shelf"])
def test_g25_a_signal_in_doubt_reaches_its_run_once(
    place: str, written: bool, kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "on the shelf":
        monkeypatch.setattr(backlog, "IN_MEMORY", 0)

    async def test() -> list[Any]:
        Trouble(is_signal, after=written).install(monkeypatch)
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_for("go", "ok"))) as job:
            runs = [await job.submit(n, key="a") for n in range(1 if place == "at rest" else 2)]
            await all_wait(runs[:1])
            with pytest.raises(StoreError):
                await runs[-1].signal("ok", 1)
            await runs[-1].signal("ok", 2)
            if len(runs) > 1:
                await runs[0].signal("go")
                await runs[0].signal("ok")
            await runs[-1].signal("go")
            return await results(runs[-1])

    assert go(test) == [[None, 1 if written else 2]]


def test_g6_a_signal_reaches_its_run_though_its_sender_waits_no_longer(
    kind: str, store: str
) -> None:
    async def test() -> list[Any]:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_for("ok"))) as job:
            run_ = await job.submit({}, key="a")
            await all_wait([run_])
            await abandoned(legs, run_.signal("ok", "approved"), is_signal)
            return await results(run_)

    assert go(test) == [["approved"]]


def test_g25_a_job_that_closes_leaves_a_signal_in_doubt_to_the_next(
    written: bool, kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> list[Any]:
        Trouble(is_signal, after=written).install(monkeypatch)
        legs = Legs(store, kind)
        async with legs.crashing(agent_for(kind, waits_for("ok"))) as job:
            run_ = await job.submit({}, key="a", id=1)
            await all_wait([run_])
            with pytest.raises(StoreError):
                await run_.signal("ok", 1)
        async with legs.opened(agent_for(kind, waits_for("ok"))) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("ok", 2)
            return await results(run_)

    assert go(test) == [[1 if written else 2]]


# Runs of which nobody knows yet


@pytest.mark.parametrize("command", ["signal", "cancel"])
def test_g25_a_command_reaches_a_run_whose_admission_only_seemed_to_fail(
    command: str, kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        Trouble(has_type(RunRow), after=True).install(monkeypatch)
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_for("ok"))) as job:
            with pytest.raises(StoreError):
                await job.submit({}, key="a", id=1)
            if command == "cancel":
                assert await runtime_of(job).cancel(first_run(job)) is True
            else:
                assert await job.signal("r1", "ok", "approved") is True
            run_ = await job.submit({}, key="a", id=1)
            status = await asyncio.wait_for(run_.wait(), SECONDS)
            cancelled = command == "cancel"
            assert status is (RunStatus.CANCELLED if cancelled else RunStatus.COMPLETED)
            if not cancelled:
                assert await results(run_) == [["approved"]]

    go(test)


# Cancellations of runs that do not execute


def told(event: Any, ctx: Any) -> Any:
    State.calls.append(event.input)
    yield ctx.wait_for_signal("go")
    out(ctx, event.input)


PLACES = ["queued", "on the shelf", "due later"]


@pytest.mark.parametrize("place", PLACES)
def test_g25_a_cancellation_in_doubt_ends_its_run_if_it_was_written(
    place: str, written: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "on the shelf":
        monkeypatch.setattr(backlog, "IN_MEMORY", 0)

    async def test() -> None:
        Trouble(has_status(RunStatus.CANCELLED), after=written).install(monkeypatch)
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, told)) as job:
            first = await job.submit(1, key="a")
            await all_wait([first])
            second = await job.submit(2, key="a", delay=0.5 if place == "due later" else 0)
            third = await job.submit(3, key="a")
            with pytest.raises(StoreError):
                await second.cancel()
            await first.signal("go")  # its turn comes while nobody knows
            await third.signal("go")
            if not written:
                await second.signal("go")
            assert await asyncio.wait_for(third.wait(), SECONDS) is RunStatus.COMPLETED
            expected = RunStatus.CANCELLED if written else RunStatus.COMPLETED
            assert await asyncio.wait_for(second.wait(), SECONDS) is expected
            assert legs.engine.run_info(second.id).status is expected

    go(test)
    assert (2 in State.calls) is not written


@pytest.mark.parametrize("place", PLACES)
def test_g10_a_cancellation_that_is_asked_again_waits_for_what_became_of_it(
    place: str, written: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "on the shelf":
        monkeypatch.setattr(backlog, "IN_MEMORY", 0)

    async def test() -> None:
        Trouble(has_status(RunStatus.CANCELLED), after=written).install(monkeypatch)
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, told)) as job:
            first = await job.submit(1, key="a")
            await all_wait([first])
            second = await job.submit(2, key="a", delay=3600 if place == "due later" else 0)
            with pytest.raises(StoreError):
                await second.cancel()
            assert await second.cancel() is not written  # it has ended by then, or ends now
            assert second.status is RunStatus.CANCELLED
            await first.signal("go")

    go(test)
    assert State.calls == [1]


@pytest.mark.parametrize("place", PLACES)
def test_g10_a_cancellation_holds_though_nobody_waits_for_it_any_longer(
    place: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "on the shelf":
        monkeypatch.setattr(backlog, "IN_MEMORY", 0)

    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, told)) as job:
            first = await job.submit(1, key="a")
            await all_wait([first])
            second = await job.submit(2, key="a", delay=3600 if place == "due later" else 0)
            third = await job.submit(3, key="a")
            await abandoned(legs, second.cancel(), has_status(RunStatus.CANCELLED))
            await asyncio.wait_for(second.wait(), SECONDS)
            assert second.status is RunStatus.CANCELLED
            await first.signal("go")
            await third.signal("go")
            assert await asyncio.wait_for(third.wait(), SECONDS) is RunStatus.COMPLETED

    go(test)
    assert State.calls == [1, 3]


# Retries


async def fails_once(event: Any, ctx: Any) -> None:
    State.calls.append(event.input)
    if len(State.calls) == 1:
        raise LookupError("as it is meant to")
    out(ctx, event.input)


async def retried(job: Any) -> bool:
    """Have the job's first run retried, as another process would through the inbox."""
    return await runtime_of(job).retry(first_run(job))


def test_g25_a_retry_in_doubt_begins_if_it_was_written(
    written: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> list[Any]:
        legs = Legs(store)
        async with legs.opened(agent_of(fails_once)) as job:
            run_ = await job.submit(1, key="a", id=1)
            assert await run_.wait() is RunStatus.FAILED
            Trouble(has_status(RunStatus.QUEUED), after=written).install(monkeypatch)
            with pytest.raises(StoreError):
                await retried(job)
            await until(lambda: job.progress.completed or not written)
            if not written:
                await retried(job)
            return await results(await job.submit(1, key="a", id=1))

    assert go(test) == [1]
    assert State.calls == [1, 1]


def test_g25_who_retries_beside_a_retry_in_doubt_does_what_that_did_not(
    written: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> list[Any]:
        legs = Legs(store)
        async with legs.opened(agent_of(fails_once)) as job:
            run_ = await job.submit(1, key="a", id=1)
            assert await run_.wait() is RunStatus.FAILED
            Trouble(has_status(RunStatus.QUEUED), after=written).install(monkeypatch)
            asked = [retried(job), retried(job)]
            first, second = await asyncio.gather(*asked, return_exceptions=True)
            assert isinstance(first, StoreError)
            assert second is not written
            assert await run_.wait() is RunStatus.COMPLETED
            return [job.progress.retries]

    assert go(test) == [1]
    assert State.calls == [1, 1]


def test_g10_a_retry_begins_though_nobody_waits_for_it_any_longer(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_of(fails_once)) as job:
            run_ = await job.submit(1, key="a", id=1)
            assert await run_.wait() is RunStatus.FAILED
            await abandoned(legs, retried(job), has_status(RunStatus.QUEUED))
            await until(lambda: job.progress.completed)

    go(test)
    assert State.calls == [1, 1]
