"""G6, G12: a wait that loses against time or another call leaves its signal to the next."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.clock import HOUR, Clock
from tests.promises.legs import (
    KINDS,
    Held,
    Legs,
    action_for,
    agent_for,
    all_wait,
    go,
    has_kind,
    results,
    stuck,
    until,
)
from tests.promises.support import COROUTINE, State, agent_of, echo, hold, out

import perdure
from perdure import Agent, Event, RunStatus
from perdure.journal.record import RecordKind

# A wait that loses


async def poke() -> str:
    """Send the run of the test a signal and return before it has reached the action."""
    Poked.sending = asyncio.ensure_future((await Poked.run).signal("x", "sent"))
    await Poked.held.is_reached()
    return "poked"


class Poked:
    """The run that `poke` sends the signal, the commit of that, and what sends it."""

    run: asyncio.Future[Any]
    held: Held
    sending: asyncio.Future[bool]


async def poked(legs: Legs, job: Any, value: Any) -> Any:
    """Submit the run that is poked; return it when its signal is durable, after the outcome."""
    Poked.run = asyncio.get_running_loop().create_future()
    Poked.held = legs.hold_commits(has_kind(RecordKind.SIGNAL))
    Poked.run.set_result(await job.submit(value, key="a", id=1))
    await Poked.held.is_reached()
    await Poked.held.settled()
    Poked.held.release()
    assert await Poked.sending
    return Poked.run.result()


def give_up(ctx: Any, kind: str) -> Any:
    """Steps in which a signal is under way to a wait that loses against a call."""
    wait, call = ctx.wait_for_signal("x"), ctx.durable_execute_async(poke)
    if kind == COROUTINE:
        yield asyncio.ensure_future(asyncio.wait([wait, call], return_when=asyncio.FIRST_COMPLETED))
    else:
        perdure.wait([wait, call], return_when="FIRST_COMPLETED")
    assert call.done()
    assert not wait.done()
    wait.cancel()


def loses_then_waits(kind: str) -> Any:
    def steps(event: Any, ctx: Any) -> Any:
        yield from give_up(ctx, kind)
        yield ctx.durable_execute_async(hold)
        out(ctx, (yield ctx.wait_for_signal("x")))

    return steps


def loses_then_sends(kind: str) -> Agent:
    def first(event: Any, ctx: Any) -> Any:
        yield from give_up(ctx, kind)
        ctx.send_event(Event(type="next"))
        if event.input["slow"]:
            yield ctx.durable_execute_async(echo, 1, 0.2)
        yield ctx.durable_execute_async(hold)

    def second(event: Any, ctx: Any) -> Any:
        out(ctx, (yield ctx.wait_for_signal("x")))

    agent = agent_of(action_for(kind, first))
    return agent.add_action("next", ["next"], action_for(kind, second))


@pytest.mark.parametrize("crash", ["no crash", "on its way", "unused"])
@pytest.mark.parametrize("kind", KINDS)
def test_g6_the_next_wait_gets_the_signal_of_one_that_lost(
    kind: str, crash: str, store: str
) -> None:
    agent = agent_for(kind, loses_then_waits(kind))

    async def test() -> None:
        legs = Legs(store, kind)
        State.gate.open = crash == "no crash"
        async with legs.crashing(agent) as job:
            run_ = await poked(legs, job, {})
            if crash == "no crash":
                assert await results(run_) == ["sent"]
                return
            await stuck()
            if crash == "unused":  # it is durable that the action took it when the next one is
                assert await run_.signal("y")
        async with legs.opened(agent) as job:
            again = await job.submit({}, key="a", id=1)
            assert await results(again) == ["sent"]

    go(test)


@pytest.mark.parametrize("slow", [True, False], ids=["unused", "on its way"])
@pytest.mark.parametrize("crash", [True, False], ids=["crash", "no crash"])
@pytest.mark.parametrize("kind", KINDS)
def test_g6_the_next_action_gets_the_signal_of_a_wait_that_lost(
    kind: str, crash: bool, slow: bool, store: str
) -> None:
    agent = loses_then_sends(kind)

    async def test() -> None:
        legs = Legs(store, kind)
        State.gate.open = not crash
        async with legs.crashing(agent) as job:
            run_ = await poked(legs, job, {"slow": slow})
            if not crash:
                assert await results(run_) == ["sent"]
                return
            await stuck()
        async with legs.opened(agent) as job:
            again = await job.submit({"slow": slow}, key="a", id=1)
            assert await results(again) == ["sent"]

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g6_a_signal_that_the_replay_no_longer_reaches_goes_to_the_next_action(
    kind: str, store: str
) -> None:
    """The action ends before the settlement that handed it the signal is fed to it."""

    def first(event: Any, ctx: Any) -> Any:
        wait = ctx.wait_for_signal("x")
        yield ctx.durable_execute_async(echo, 1)
        ctx.send_event(Event(type="next"))
        if State.leg == 1:  # in the second leg it ends here, before it was handed the signal
            yield wait
            yield ctx.durable_execute_async(hold)

    def second(event: Any, ctx: Any) -> Any:
        out(ctx, (yield ctx.wait_for_signal("x")))

    agent = agent_of(action_for(kind, first))
    agent.add_action("next", ["next"], action_for(kind, second))

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await until(lambda: run_.status is RunStatus.WAITING)
            await run_.signal("x", "kept")
            await stuck()
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            assert await results(run_) == ["kept"]

    go(test)


def test_g12_asyncio_timeout_around_a_wait_loses_no_signal(store: str) -> None:
    async def patient(event: Any, ctx: Any) -> None:
        seen = []
        while len(seen) < 5:
            try:
                async with asyncio.timeout(0.01):
                    seen.append(await ctx.wait_for_signal("x"))
            except TimeoutError:
                State.calls.append("late")
        out(ctx, seen)

    async def test() -> None:
        legs = Legs(store)
        for leg in range(5):
            async with legs.crashing(agent_of(patient)) as job:
                run_ = await job.submit({}, key="a", id=1)
                before = len(State.calls)
                await until(lambda before=before: len(State.calls) > before + 3)
                await run_.signal("x", leg)
        async with legs.opened(agent_of(patient)) as job:
            run_ = await job.submit({}, key="a", id=1)
            assert await results(run_) == [[0, 1, 2, 3, 4]]

    go(test)


def polls(event: Any, ctx: Any) -> Any:
    seen: list[Any] = []
    while len(seen) < 10:
        try:
            seen.append((yield ctx.wait_for_signal("x", timeout=0.004)))
        except TimeoutError:
            State.calls.append("late")
    out(ctx, seen)


def test_g12_timeouts_that_come_with_signals_lose_none(kind: str, store: str) -> None:
    """Signals come about when waits time out; each is taken once, in order."""

    async def test() -> None:
        legs = Legs(store, kind)
        n = 0
        while n < 10:
            async with legs.crashing(agent_for(kind, polls)) as job:
                run_ = await job.submit({}, key="a", id=1)
                for _ in range(5):
                    await asyncio.sleep(0.003)
                    await run_.signal("x", n)
                    n += 1
        async with legs.opened(agent_for(kind, polls)) as job:
            run_ = await job.submit({}, key="a", id=1)
            assert await results(run_) == [list(range(10))]

    go(test)


# The same branch again


def races(kind: str) -> Any:
    def steps(event: Any, ctx: Any) -> Any:
        won = []
        for seconds in (0.03, 60, 0.03, 60):
            wait, timer = ctx.wait_for_signal("x"), ctx.sleep(seconds)
            if kind == COROUTINE:
                yield asyncio.ensure_future(
                    asyncio.wait([wait, timer], return_when=asyncio.FIRST_COMPLETED)
                )
            else:
                perdure.wait([wait, timer], return_when="FIRST_COMPLETED")
            won.append(wait.result() if wait.done() else "timer")
            State.won = len(won)
            wait.cancel()
            timer.cancel()
        State.calls.append(won)
        yield ctx.durable_execute_async(hold)
        out(ctx, won)

    return steps


@pytest.mark.parametrize("kind", KINDS)
def test_g6_a_signal_against_a_timer_takes_the_same_branch_again(kind: str, store: str) -> None:
    agent = agent_for(kind, races(kind))

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await until(lambda: State.won == 1)
            await run_.signal("x", "one")
            await until(lambda: State.won == 3)
            await run_.signal("x", "two")
            await stuck()
            await run_.signal("x", "too late")
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            assert await results(run_) == [["timer", "one", "timer", "two"]]

    go(test)
    assert State.calls == [["timer", "one", "timer", "two"]] * 2


# Timeouts


def expires(event: Any, ctx: Any) -> Any:
    began = ctx.now()
    try:
        yield ctx.wait_for_signal("x", timeout=HOUR)
    except TimeoutError as error:
        yield ctx.durable_execute_async(hold)
        out(ctx, [str(error), (ctx.now() - began).total_seconds()])


@pytest.mark.parametrize("down", [0.5, 1.5], ids=["due later", "due while down"])
def test_g12_a_wait_times_out_at_its_first_deadline(
    kind: str, down: float, store: str, clock: Clock
) -> None:
    """Set anew by the second leg it would be over an hour after that began: not in this test."""

    async def test() -> float:
        legs = Legs(store, kind)
        async with legs.crashing(agent_for(kind, expires)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await all_wait([run_])
        clock.forward(down * HOUR)
        async with legs.opened(agent_for(kind, expires)) as job:
            run_ = await job.submit({}, key="a", id=1)
            if down < 1.0:
                await all_wait([run_])
                clock.forward((1.0 - down) * HOUR)
            ((message, took),) = await results(run_)
        assert "'x'" in message
        assert f"{HOUR:g}" in message
        return took

    assert HOUR <= go(test) < (down + 0.6) * HOUR


def test_g12_a_wait_that_timed_out_does_so_again_on_replay(
    kind: str, store: str, clock: Clock
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent_for(kind, expires)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await all_wait([run_])
            clock.forward(HOUR)
            await stuck()
            assert await run_.signal("x", "late")
        async with legs.opened(agent_for(kind, expires)) as job:
            run_ = await job.submit({}, key="a", id=1)
            ((_, took),) = await results(run_)
            assert took >= HOUR

    go(test)
