"""G20: the calls that a run may make are bounded, over all its actions and restarts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.promises.support import (
    ONE,
    State,
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
)

from perdure import Agent, Event, InputEvent, RunsFailedError, action


def test_g20_a_run_that_loops_for_ever_is_failed(kind: str, store: str) -> None:
    async def loops(event: Any, ctx: Any) -> None:
        while True:
            await ctx.durable_execute_async(echo, 1)

    def loops_plain(event: Any, ctx: Any) -> None:
        while True:
            ctx.durable_execute_async(echo, 1).result()

    config = config_of(kind, max_calls_per_run=50)
    failed = failures(pick(kind, loops, loops_plain), ONE, store=store, config=config)
    for part in ("PerdureError", "max-calls-per-run = 50", "action go"):
        assert part in error_text(failed)
    assert State.calls == [1] * 50


def test_g20_the_calls_of_a_run_may_be_just_as_many_as_allowed(kind: str) -> None:
    async def counts(event: Any, ctx: Any) -> None:
        for n in range(5):
            ctx.durable_execute(str, n)
        out(ctx, "done")

    def counts_plain(event: Any, ctx: Any) -> None:
        for n in range(5):
            ctx.durable_execute(str, n)
        out(ctx, "done")

    config = config_of(kind, max_calls_per_run=5)
    inputs = [{"k": n} for n in range(3)]
    assert run(pick(kind, counts, counts_plain), inputs, config=config) == ["done"] * 3


def test_g20_an_action_cannot_swallow_that_its_run_makes_too_many_calls(kind: str) -> None:
    async def swallows(event: Any, ctx: Any) -> None:
        for n in range(10):
            try:
                await ctx.durable_execute_async(echo, n)
            except Exception:
                out(ctx, "swallowed")

    def swallows_plain(event: Any, ctx: Any) -> None:
        for n in range(10):
            try:
                ctx.durable_execute_async(echo, n).result()
            except Exception:
                out(ctx, "swallowed")

    config = config_of(kind, max_calls_per_run=5)
    failed = failures(pick(kind, swallows, swallows_plain), ONE, config=config)
    assert "max-calls-per-run" in error_text(failed)
    assert failed.outputs == []
    assert State.calls == list(range(5))


class PingPong(Agent):
    """Two actions that trigger each other, with one call each; the eleventh call is held."""

    @action(InputEvent, "pong")
    async def ping(self, event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(echo, "ping")
        ctx.send_event(Event(type="ping", attributes={}))

    @action("ping")
    async def pong(self, event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(echo, "pong")
        if len(State.calls) >= 10:
            await ctx.durable_execute_async(hold)
        ctx.send_event(Event(type="pong", attributes={}))


def test_g20_the_calls_of_all_actions_of_a_run_count(store: str) -> None:
    State.gate.open = True
    failed = failures(PingPong(), ONE, store=store, config={"max-calls-per-run": 9})
    assert "max-calls-per-run = 9" in error_text(failed)
    assert State.calls == ["ping", "pong"] * 4 + ["ping"]


def test_g20_calls_before_a_restart_count_and_replayed_ones_count_once(store: str) -> None:
    with pytest.raises(RunsFailedError) as caught:
        crash_and_resume(PingPong(), ONE, store=store, config={"max-calls-per-run": 13})
    assert "max-calls-per-run = 13" in error_text(caught.value)
    # Ten, a hold, then two more: a replayed call counts no second time, a completed one stays.
    assert State.calls == ["ping", "pong"] * 6


def test_g20_without_a_bound_a_run_may_make_any_number_of_calls() -> None:
    def many(event: Any, ctx: Any) -> None:
        for n in range(300):
            ctx.durable_execute(str, n)
        out(ctx, "done")

    assert run(agent_of(many), ONE, config={"max-calls-per-run": 0}) == ["done"]
