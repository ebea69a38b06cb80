"""G10: a run that takes too long fails and cleans up, wherever its time went."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.promises.callees import held_for_long, never
from tests.promises.clock import HOUR, Clock
from tests.promises.legs import all_wait, until
from tests.promises.support import (
    OFF,
    ONE,
    SECONDS,
    State,
    config_of,
    crash_and_resume,
    echo,
    error_text,
    failures,
    out,
    pick,
    run,
    values,
)

from perdure import Agent, Event, InputEvent, LocalEngine, RunsFailedError, RunStatus, action


async def overstays(event: Any, ctx: Any) -> None:
    try:
        await ctx.durable_execute_async(never, "never")
    finally:
        State.calls.append(await ctx.durable_execute_async(echo, "clean up"))


def overstays_plain(event: Any, ctx: Any) -> None:
    try:
        ctx.durable_execute_async(never, "never").result()
    finally:
        State.calls.append(ctx.durable_execute_async(echo, "clean up").result())


@pytest.fixture
def late(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour passes when `never` is called."""
    monkeypatch.setattr(State, "late", lambda: clock.forward(HOUR))


@pytest.mark.usefixtures("late")
def test_g10_a_run_that_takes_too_long_fails_and_cleans_up(kind: str, store: str) -> None:
    agent = pick(kind, overstays, overstays_plain)
    failed = failures(agent, ONE, store=store, config=config_of(kind, run_timeout=HOUR))
    for part in ("TimeoutError", f"{HOUR:g} s", "run-timeout"):
        assert part in error_text(failed)
    assert failed.failed[0].status is RunStatus.FAILED
    assert State.calls == ["never", "clean up", "clean up"]


async def fails_to_clean_up(event: Any, ctx: Any) -> None:
    try:
        State.gate.reached.set()
        await ctx.durable_execute_async(never, "never")
    finally:
        raise LookupError("in its end")


def fails_to_clean_up_plain(event: Any, ctx: Any) -> None:
    try:
        State.gate.reached.set()
        ctx.durable_execute_async(never, "never").result()
    finally:
        raise LookupError("in its end")


@pytest.mark.parametrize("strategy", ["dead-letter", "retry", "fail"])
@pytest.mark.parametrize("why", ["too late", "cancelled"])
def test_g10_a_run_that_was_to_stop_is_not_tried_again_though_its_end_failed(
    why: str, strategy: str, kind: str, store: str, clock: Clock
) -> None:
    config = config_of(kind, error_handling_strategy=strategy, retry_wait_interval=0.0)
    if why == "too late":
        config["run-timeout"] = HOUR

    async def go() -> RunStatus:
        engine = LocalEngine(store, config=config)
        async with engine.open(pick(kind, fails_to_clean_up, fails_to_clean_up_plain)) as job:
            run_ = await job.submit({}, key="a")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            await until(lambda: State.calls)
            if why == "cancelled":
                await run_.cancel()
            else:
                clock.forward(HOUR)
            await asyncio.wait_for(run_.wait(), SECONDS)
        assert "LookupError" in str(engine.run_info(run_.id).error)
        return engine.run_info(run_.id).status

    assert asyncio.run(go()) is RunStatus.FAILED
    assert State.calls == ["never"]


@pytest.mark.parametrize("nap", ["ctx.sleep", "asyncio.sleep", "signal"])
def test_g10_so_does_one_that_sleeps(nap: str, kind: str, store: str, clock: Clock) -> None:
    async def sleeps(event: Any, ctx: Any) -> None:
        try:
            if nap == "ctx.sleep":
                await ctx.sleep(2 * HOUR)
            elif nap == "signal":
                await ctx.wait_for_signal("never")
            else:
                await asyncio.sleep(2 * HOUR)
        finally:
            await ctx.durable_execute_async(echo, "clean up")

    def sleeps_plain(event: Any, ctx: Any) -> None:
        try:
            (ctx.wait_for_signal("never") if nap == "signal" else ctx.sleep(2 * HOUR)).result()
        finally:
            ctx.durable_execute_async(echo, "clean up").result()

    async def go() -> list[RunStatus]:
        config = config_of(kind, run_timeout=HOUR, max_runs_in_flight=2)
        engine = LocalEngine(store, config=config)
        async with engine.open(pick(kind, sleeps, sleeps_plain)) as job:
            # Many that wait, of which most leave memory meanwhile.
            runs = [await job.submit(n, key=n) for n in range(5 if kind != OFF else 2)]
            await all_wait(runs)
            clock.forward(HOUR)
            statuses = [await asyncio.wait_for(run_.wait(), SECONDS) for run_ in runs]
        assert all("TimeoutError" in str(engine.run_info(run_.id).error) for run_ in runs)
        return statuses

    statuses = asyncio.run(go())
    assert set(statuses) == {RunStatus.FAILED}
    assert State.calls == ["clean up"] * len(statuses)


class Steps(Agent):
    """The first action completes, the second hangs."""

    @action(InputEvent)
    async def first(self, event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(echo, "first"))
        ctx.short_term_memory.set("seen", event.input["k"])
        ctx.send_event(Event(type="next", attributes={}))

    @action("next")
    async def second(self, event: Any, ctx: Any) -> None:
        if State.leg == 1:
            out(ctx, "never seen")
            await ctx.durable_execute_async(never, "never")
        out(ctx, ["second", ctx.short_term_memory.get("seen")])


def test_g10_what_had_completed_before_a_run_was_too_late_stays(store: str) -> None:
    failed = failures(Steps(), ONE, store=store, config={"run-timeout": 0.1})
    assert "TimeoutError" in error_text(failed)
    assert values(failed.outputs) == ["first"]
    assert State.calls == ["first", "never"]


@pytest.mark.usefixtures("late")
def test_g10_a_run_put_back_by_hand_has_its_time_anew(store: str) -> None:
    """Counted from its first beginning it would be too late when it is put back."""

    async def go() -> list[Any]:
        engine = LocalEngine(store, config={"run-timeout": HOUR})
        async with engine.open(Steps()) as job:
            run_ = await job.submit({"k": "a"}, key="a")
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.FAILED
            State.leg = 2
            await asyncio.to_thread(engine.retry, run_.id)
            deadline = time.monotonic() + SECONDS
            while engine.run_info(run_.id).status is not RunStatus.COMPLETED:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            return values(await run_.outputs())

    assert asyncio.run(go()) == ["first", ["second", "a"]]
    assert State.calls == ["first", "never"]


@pytest.mark.parametrize("where", ["in its first call", "after a call", "asleep"])
def test_g10_a_runs_time_goes_on_while_the_process_is_down(
    where: str, kind: str, store: str, clock: Clock
) -> None:
    async def waits(event: Any, ctx: Any) -> None:
        if where == "after a call":
            await ctx.durable_execute_async(echo, "first")
        if where == "asleep":
            asleep = ctx.sleep(2 * HOUR)
            await ctx.durable_execute_async(reach)
            await asleep
        await ctx.durable_execute_async(held_for_long)

    def waits_plain(event: Any, ctx: Any) -> None:
        if where == "after a call":
            ctx.durable_execute_async(echo, "first").result()
        if where == "asleep":
            asleep = ctx.sleep(0.001 if kind == OFF else 2 * HOUR)
            ctx.durable_execute_async(reach).result()
            asleep.result()
        ctx.durable_execute_async(held_for_long).result()

    # Counted anew from the second leg on, the time would be enough but for the one asleep.
    agent, config = pick(kind, waits, waits_plain), config_of(kind, run_timeout=HOUR)
    with pytest.raises(RunsFailedError) as caught:
        crash_and_resume(agent, ONE, store=store, config=config, down=lambda: clock.forward(HOUR))
    assert "TimeoutError" in error_text(caught.value)


async def reach() -> None:
    State.gate.reached.set()


def test_g10_a_run_that_ends_in_time_is_not_disturbed(kind: str, store: str) -> None:
    async def quick(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(echo, event.input["k"]))

    def quick_plain(event: Any, ctx: Any) -> None:
        out(ctx, ctx.durable_execute_async(echo, event.input["k"]).result())

    inputs = [{"k": n} for n in range(20)]
    config = config_of(kind, run_timeout=30)
    assert sorted(run(pick(kind, quick, quick_plain), inputs, store=store, config=config)) == list(
        range(20)
    )
