"""What the simulation has found in the runtime, reduced.

A test that is expected to fail says what is not kept yet; the constant in `programs` that it names
keeps random agents away from it. When it is mended, the mark, the constant and its uses go.
"""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Agent, Configuration, InputEvent, OutputEvent, RetryPolicy, RunStatus, action
from perdure.agent.plan import AgentPlan
from perdure.run import STATUS_BY_NUMBER
from perdure.testing.simulation import simulate, takes, this_attempt
from perdure.testing.simulation.calls import Outside
from perdure.testing.simulation.campaign import run_seed
from perdure.testing.simulation.fakes import Fakes
from perdure.testing.simulation.lives import EPOCH, Script, live

INPUTS = [{"id": "a"}, {"id": "b"}]


async def quick() -> str:
    takes(0.01)
    return "done"


async def fails_in_the_first_try() -> str:
    attempt = this_attempt()
    assert attempt is not None
    if not attempt.retries:
        raise ValueError("the first try")
    return "done"


class SleepsAndIsPutBack(Agent):
    """Put back, it starts anew: its sleep ends later than the call behind it was settled."""

    @action(InputEvent)
    async def go(self, event, ctx):
        await ctx.sleep(1)
        await ctx.durable_execute_async(quick)
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(fails_in_the_first_try)))


class SleepsAndIsPutBackPlain(Agent):
    @action(InputEvent)
    def go(self, event, ctx):
        ctx.sleep(1).result()
        ctx.durable_execute_async(quick).result()
        call = ctx.durable_execute_async(fails_in_the_first_try)
        ctx.send_event(OutputEvent(output=call.result()))


@pytest.mark.parametrize(
    ("agent", "continuations"),
    [
        (SleepsAndIsPutBack, "auto"),
        (SleepsAndIsPutBackPlain, "auto"),
        (SleepsAndIsPutBackPlain, "off"),
    ],
)
def test_g12_a_run_that_is_put_back_after_a_sleep_goes_on(agent: Any, continuations: str) -> None:
    config = {
        "error-handling-strategy": "retry", "retry-wait-interval": 0.1,
        "continuations": continuations,
    }  # fmt: skip
    simulate(agent, INPUTS, key="id", seeds=5, config=config)


async def never_works() -> None:
    takes(3)
    raise ValueError("never")


class TriesForTenSeconds(Agent):
    """Nothing of it is recorded until its first attempt has failed."""

    @action(InputEvent)
    async def go(self, event, ctx):
        policy = RetryPolicy(max_attempts=99, initial_interval=1.1, jitter=0, total_timeout=10)
        try:
            await ctx.with_options(retry=policy).durable_execute_async(never_works)
        except (ValueError, TimeoutError):
            ctx.send_event(OutputEvent(output=ctx.now()))


async def slow() -> None:
    takes(1)


class SlowAgent(Agent):
    """Its other runs commit while the first attempt of one is under way."""

    @action(InputEvent)
    async def go(self, event, ctx):
        if event.input["id"] == "a":
            await TriesForTenSeconds.go(self, event, ctx)
        else:
            await ctx.durable_execute_async(slow)


def test_g10_a_total_timeout_goes_on_over_a_crash_from_the_first_turn_on() -> None:
    simulate(SlowAgent, INPUTS, key="id", seeds=5)


class WaitsForEver(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        await ctx.wait_for_signal("never")


def test_g10_a_run_that_is_cancelled_as_it_begins_to_wait_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.testing.simulation.lives.CANCEL_AFTER", 0)
    for seed in range(50):
        script = Script(
            plan=lambda: AgentPlan.from_agent(WaitsForEver),
            config=Configuration(),
            inputs=[("a", 1)],
            arrivals=[0],
            fakes=Fakes(),
            seed=seed,
            cancels=[(0, 0)],
        )
        ended = live(script, Outside(seed), [], EPOCH)
        [run] = ended.tables.runs.values()
        assert STATUS_BY_NUMBER[run.status] is RunStatus.CANCELLED


def test_g4_actions_end_in_their_order_though_one_reads_a_large_outcome() -> None:
    """Both are cancelled in one commit, and one of them reads an outcome to replay before that."""
    assert run_seed(2536).failure == ""
