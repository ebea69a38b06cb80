"""G10: `run.cancel()` says True of a run that will not complete, False of one that has ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.legs import (
    Held,
    Legs,
    action_for,
    agent_for,
    go,
    has_kind,
    has_status,
    until,
)
from tests.promises.support import SECONDS, State, agent_of, echo, hold, out

from perdure import Event, RunStatus, StoreError
from perdure.journal.record import RecordKind

SLOW = 0.03  # seconds that a commit takes, so that a cancellation comes while one is under way


def one_call(event: Any, ctx: Any) -> Any:
    yield ctx.durable_execute_async(echo, 1)
    State.calls.append("ended")
    out(ctx, "seen")


def two_actions(kind: str) -> Any:
    """The second action waits for ever."""

    def first(event: Any, ctx: Any) -> Any:
        yield ctx.durable_execute_async(echo, 1)
        State.calls.append("ended")
        ctx.send_event(Event(type="next"))

    def second(event: Any, ctx: Any) -> Any:
        State.calls.append("second")
        yield ctx.sleep(3600)

    agent = agent_of(action_for(kind, first))
    return agent.add_action("next", ["next"], action_for(kind, second))


def fails(event: Any, ctx: Any) -> Any:
    yield ctx.durable_execute_async(echo, 1)
    State.calls.append("ended")
    raise LookupError("as it is meant to")


async def submitted(job: Any, held: Held) -> Any:
    """Submit a run and return it when its action has ended and nothing says so in the store."""
    run_ = await job.submit({}, key="a", id=1)
    await held.is_reached()
    assert State.calls[-1] == "ended"
    return run_


async def cancelled(run_: Any, held: Held) -> bool:
    """Cancel the run while the commit is held; return what that says."""
    cancelling = asyncio.ensure_future(run_.cancel())
    await held.settled()
    assert not run_.status.is_final
    assert not cancelling.done()
    held.release()
    said: bool = await asyncio.wait_for(cancelling, SECONDS)
    return said


def test_g10_cancel_is_false_of_a_run_whose_completion_is_on_its_way(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        held = legs.hold_commits(has_kind(RecordKind.COMPLETED))
        async with legs.opened(agent_for(kind, one_call)) as job:
            run_ = await submitted(job, held)
            assert await cancelled(run_, held) is False
            assert run_.status is RunStatus.COMPLETED
            assert [output.value for output in await run_.outputs()] == ["seen"]
            assert await run_.cancel() is False

    go(test)


def test_g10_a_run_cancelled_between_two_actions_is_cancelled_over_a_crash(
    kind: str, store: str
) -> None:
    """No action was left to ask: what cancel says is durable all the same."""

    async def test() -> None:
        legs = Legs(store, kind)
        held = legs.hold_commits(has_kind(RecordKind.COMPLETED))
        async with legs.crashing(two_actions(kind)) as job:
            run_ = await submitted(job, held)
            assert await cancelled(run_, held) is True
        assert legs.engine.run_info(run_.id).status is RunStatus.CANCELLED

    go(test)
    assert "second" not in State.calls


def held_call(event: Any, ctx: Any) -> Any:
    yield ctx.durable_execute_async(hold)
    State.calls.append("went on")


def test_g6_an_outcome_that_is_written_with_a_cancellation_comes_after_it(
    kind: str, store: str
) -> None:
    """Both wait for a commit that is under way: they are delivered in the order of the journal."""

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, held_call)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await until(State.gate.reached.is_set)
            held = legs.hold_commits()
            before = asyncio.create_task(job.submit({}, key="b", id=2))
            await held.is_reached()
            cancel = asyncio.create_task(run_.cancel())
            await held.settled()
            State.gate.release()
            await held.settled()
            held.release()
            assert await cancel is True
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED
            await (await before).wait()

    go(test)
    assert State.calls == ["went on"]  # the other run


def test_g10_cancel_is_false_of_a_run_that_is_failing(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        held = legs.hold_commits(has_status(RunStatus.FAILED))
        async with legs.opened(agent_for(kind, fails)) as job:
            run_ = await submitted(job, held)
            assert await cancelled(run_, held) is False
            assert run_.status is RunStatus.FAILED

    go(test)


def test_g10_a_run_that_is_being_put_back_can_be_cancelled(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(
            store, kind, error_handling_strategy="retry", max_retries=3, retry_wait_interval=0.0
        )
        held = legs.hold_commits(has_kind(RecordKind.RETRY))
        async with legs.opened(agent_for(kind, fails)) as job:
            run_ = await submitted(job, held)
            assert await cancelled(run_, held) is True
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.CANCELLED
        assert legs.engine.run_info(run_.id).status is RunStatus.CANCELLED

    go(test)


@pytest.mark.parametrize("late", [True, False], ids=["its turn comes", "queued"])
def test_g10_a_queued_run_that_is_cancelled_never_begins(late: bool, kind: str, store: str) -> None:
    """Nor while its cancellation is written, though its turn comes then."""

    def waits(event: Any, ctx: Any) -> Any:
        State.calls.append(event.input)
        yield ctx.wait_for_signal("go")
        out(ctx, event.input)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits)) as job:
            first, second, third = [await job.submit(n, key="a") for n in (1, 2, 3)]
            await until(lambda: first.status is RunStatus.WAITING)
            legs.slow_commits(SLOW)
            cancelling = asyncio.ensure_future(second.cancel())
            if late:
                await asyncio.sleep(0)
                await first.signal("go")
            assert await cancelling is True
            assert second.status is RunStatus.CANCELLED
            legs.quick_commits()
            if not late:
                await first.signal("go")
            await third.signal("go")
            assert await asyncio.wait_for(third.wait(), SECONDS) is RunStatus.COMPLETED

    go(test)
    assert 2 not in State.calls


def test_g10_a_run_that_could_not_be_cancelled_goes_on(store: str) -> None:
    """The store refuses to write that a queued run is cancelled."""

    def says(event: Any, ctx: Any) -> Any:
        if event.input == 1:
            yield ctx.wait_for_signal("go")
        out(ctx, event.input)

    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for("coroutine", says)) as job:
            opened = legs.engine._store
            real = opened.commit
            first, second = [await job.submit(n, key="a") for n in (1, 2)]
            await until(lambda: first.status is RunStatus.WAITING)

            def commit(rows: Any) -> asyncio.Future[None]:
                if not has_status(RunStatus.CANCELLED)(rows):
                    return real(rows)  # that the first one waits
                failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_later(
                    SLOW, failed.set_exception, StoreError("the disk is away")
                )
                opened.commit = real  # type: ignore[method-assign]
                return failed

            opened.commit = commit  # type: ignore[method-assign]
            with pytest.raises(StoreError, match="away"):
                await second.cancel()
            await first.signal("go")
            assert await asyncio.wait_for(second.wait(), SECONDS) is RunStatus.COMPLETED

    go(test)
