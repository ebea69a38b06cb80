"""G3, G5, G6, G12, G22: what comes for a run from outside reaches one of its waits, once."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from typing import Any

import pytest
from tests import zygote
from tests.inside import executions_of
from tests.promises.legs import (
    KINDS,
    Legs,
    action_for,
    agent_for,
    go,
    results,
    stuck,
    until,
    waits_for,
)
from tests.promises.support import COROUTINE, SECONDS, State, hold, out

from perdure import Agent, InputEvent, RunStatus
from perdure.engine.job import Run
from perdure.errors import EncodeError, PerdureError

# Once, in order, whenever they come


def test_g6_signals_of_a_name_come_once_and_in_order(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_for(*"xxyxyx"))) as job:
            run_ = await job.submit({}, key="a")
            for n in range(3):  # before and while it waits
                assert await job.signal(run_, "y", ["y", n])
            await until(lambda: run_.status is RunStatus.WAITING)
            sent = [run_.signal("x", ["x", n]) for n in range(5)]
            assert await asyncio.gather(*sent) == [True] * 5
            taken = await results(run_)
            assert taken == [
                [["x", 0], ["x", 1], ["y", 0], ["x", 2], ["y", 1], ["x", 3]],
            ]

    go(test)


def test_g6_a_signal_to_a_run_that_is_queued_waits_for_it(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_for("x"))) as job:
            first = await job.submit({}, key="a")
            second = await job.submit({}, key="a")
            assert await second.signal("x", "second")
            await until(lambda: first.status is RunStatus.WAITING)
            assert second.status is RunStatus.QUEUED
            assert legs.engine.run_info(second.id).status is RunStatus.QUEUED
            assert await first.signal("x", "first")
            assert await results(first) == [["first"]]
            assert await results(second) == [["second"]]

    go(test)


def test_g6_a_signal_to_a_queued_run_survives_a_crash(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = agent_for(kind, waits_for("x"))
        async with legs.crashing(agent) as job:
            first = await job.submit({}, key="a", id=1)
            second = await job.submit({}, key="a", id=2)
            assert await second.signal("x", "second")
        async with legs.opened(agent) as job:
            first, second = [await job.submit({}, key="a", id=n) for n in (1, 2)]
            assert await first.signal("x", "first")
            assert await results(second) == [["second"]]

    go(test)


def test_g6_signals_sent_while_the_process_is_down_are_there(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        agent = agent_for(kind, waits_for(*"xyx"))
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 1)
            await until(lambda: legs.engine.run_info(run_.id).status is RunStatus.WAITING)
        legs.engine.signal(run_.id, "x", 2)
        assert legs.engine.signal(run_.id, "y", 3).id == run_.id
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            assert await results(run_) == [[1, 3, 2]]
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            assert await results(run_) == [[1, 3, 2]]

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g6_signals_reach_runs_out_of_memory(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        async with legs.opened(agent_for(kind, waits_for("x", "x"))) as job:
            runs = [await job.submit({}, key=n) for n in range(6)]
            await until(lambda: len(executions_of(job)) == 1)
            await until(lambda: all(run_.status is RunStatus.WAITING for run_ in runs))
            for round_ in range(2):
                assert await runs[4].signal("nobody waits for it", round_)
                for n, run_ in enumerate(runs):
                    assert await run_.signal("x", [n, round_])
            for n, run_ in enumerate(runs):
                assert await results(run_) == [[[n, 0], [n, 1]]]

    go(test)


def waits_for_both(event: Any, ctx: Any) -> Any:
    first, second = ctx.wait_for_signal("x"), ctx.wait_for_signal("y")
    early = yield first
    out(ctx, [early, (yield second)])


@pytest.mark.parametrize("kind", KINDS)
def test_g6_signals_that_are_taken_together_reach_runs_out_of_memory(kind: str, store: str) -> None:
    """Between the two turns the run only waits, and must not leave memory for that."""

    async def test() -> None:
        legs = Legs(store, kind, max_runs_in_flight=1)
        async with legs.opened(agent_for(kind, waits_for_both)) as job:
            runs = [await job.submit({}, key=n) for n in range(6)]
            await until(lambda: len(executions_of(job)) == 1)
            await until(lambda: all(run_.status is RunStatus.WAITING for run_ in runs))
            for name in "xy":
                await asyncio.gather(*(run_.signal(name, name) for run_ in runs))
            for run_ in runs:
                assert await results(run_) == [["x", "y"]]

    go(test)


# Two waits


def two_at_once(event: Any, ctx: Any) -> Any:
    first, second = ctx.wait_for_signal("x"), ctx.wait_for_signal("x")
    late = yield second
    early = yield first
    out(ctx, [early, late])


def test_g6_two_waits_of_an_action_get_a_signal_each_in_order(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent_for(kind, two_at_once)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 1)
        async with legs.opened(agent_for(kind, two_at_once)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", 2)
            assert await results(run_) == [[1, 2]]

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g6_two_actions_of_a_run_share_its_signals(kind: str, store: str) -> None:
    waits = action_for(kind, waits_for("x"))
    agent = Agent().add_action("one", [InputEvent], waits).add_action("two", [InputEvent], waits)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", "first")
            await asyncio.sleep(0.05)
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await run_.signal("x", "second")
            assert sorted(await results(run_)) == [["first"], ["second"]]

    go(test)


# Values, and runs that take none


@dataclasses.dataclass
class Answer:
    text: str
    score: float


VALUES = [None, 0, "", b"\x00\xff", [1, {"a": (2, 3)}], 1 << 80, Answer("yes", 0.5), {1, 2}]


def test_g5_values_of_all_kinds_come_through(kind: str, store: str) -> None:
    async def answers(value: Answer) -> Answer:
        return value

    def steps(event: Any, ctx: Any) -> Any:
        yield ctx.durable_execute_async(answers, Answer("", 0))
        taken = []
        for _ in VALUES:
            taken.append((yield ctx.wait_for_signal("x")))
        State.calls.append(taken)
        yield ctx.durable_execute_async(hold)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.crashing(agent_for(kind, steps)) as job:
            run_ = await job.submit({}, key="a", id=1)
            await until(lambda: bool(run_.waits))  # its call's annotations tell the job of Answer
            for value in VALUES:
                await run_.signal("x", value)
            await stuck()
        async with legs.opened(agent_for(kind, steps)):
            pass

    go(test)
    assert State.calls == [VALUES, VALUES]
    assert State.calls[0] is not VALUES
    assert State.calls[0][4] is not VALUES[4]  # a copy, live as on replay


def test_g5_a_value_that_cannot_be_kept_is_refused_and_nothing_is_sent(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, waits_for("x"))) as job:
            run_ = await job.submit({}, key="a")
            with pytest.raises(EncodeError):
                await run_.signal("x", object())
            with pytest.raises(EncodeError):
                legs.engine.signal(run_.id, "x", object())
            await run_.signal("x", "good")
            assert await results(run_) == [["good"]]

    go(test)


def test_g6_a_finished_run_takes_no_signal(store: str) -> None:
    async def test() -> None:
        legs = Legs(store)
        async with legs.opened(agent_for(COROUTINE, waits_for())) as job:
            run_ = await job.submit({}, key="a")
            await run_.wait()
            assert not await run_.signal("x")
            assert not await job.signal(run_.id, "x", 1)
            with pytest.raises(PerdureError, match="completed already"):
                legs.engine.signal(run_.id, "x")
            with pytest.raises(PerdureError, match="no run"):
                legs.engine.signal("r999", "x")

    go(test)


# From another process

SEND = """
import sys
from perdure import LocalEngine
store, run, *values = sys.argv[1:]
for value in values:
    LocalEngine(store).signal(run, "x", [value])
"""


def send(store: str, run_: Run, *values_: str) -> None:
    command = [sys.executable, "-c", SEND, store, run_.id, *values_]
    zygote.run(command, timeout=SECONDS).check_returncode()


def test_g22_signals_of_another_process_reach_the_owner(kind: str, sqlite: str) -> None:
    async def test() -> None:
        legs = Legs(sqlite, kind)
        agent = agent_for(kind, waits_for(*"xxxx"))
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id=1)
            await asyncio.to_thread(send, sqlite, run_, "1", "2")
            await until(lambda: legs.engine.run_info(run_.id).status is RunStatus.WAITING)
        await asyncio.to_thread(send, sqlite, run_, "3", "4")
        async with legs.opened(agent) as job:
            again = await job.submit({}, key="a", id=1)
            assert await results(again) == [[["1"], ["2"], ["3"], ["4"]]]

    go(test)
