"""perdure.testing.simulate, as the author of an agent uses it."""

from __future__ import annotations

import asyncio
import math
import random
import time
from typing import Any

import pytest

from perdure import (
    Agent,
    ConfigurationError,
    InputError,
    InputEvent,
    OutputEvent,
    RetryPolicy,
    action,
)
from perdure.testing.simulation import SimulationFailed, simulate, takes

INPUTS = [{"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "a", "n": 3}]


async def double(n: int) -> int:
    await asyncio.sleep(5)
    return 2 * n


def add(a: int, b: int) -> int:
    return a + b


class GoodAgent(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        calls = [
            ctx.durable_execute_async(double, event.input["n"]),
            ctx.durable_execute_async(add, 1, 2),
        ]
        values = [await call for call in asyncio.as_completed(calls)]
        await ctx.sleep(60)
        ctx.short_term_memory.update("sum", lambda total: (total or 0) + sum(values))
        ctx.send_event(OutputEvent(output=[values, str(ctx.uuid4()), ctx.now()]))

    @action(InputEvent)
    def beside(self, event, ctx):
        ctx.send_event(
            OutputEvent(output=ctx.durable_execute_async(add, 0, event.input["n"]).result())
        )


@pytest.mark.parametrize("agent", [GoodAgent, GoodAgent(), lambda: GoodAgent()])
@pytest.mark.parametrize("continuations", ["auto", "off"])
def test_a_good_agent_passes(agent: Any, continuations: str) -> None:
    config = {"continuations": continuations}
    done = simulate(agent, INPUTS, key="id", seeds=3, config=config)
    assert done.seeds == 3
    assert done.crashes > 3 * len(INPUTS)


def failure_of(agent: Any, **options: Any) -> SimulationFailed:
    with pytest.raises(SimulationFailed) as raised:
        simulate(agent, INPUTS, key="id", **options)
    return raised.value


class Nested(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        ctx.send_event(OutputEvent(output=event.input["a"]["b"]))


def test_keys_are_found_as_an_engine_finds_them() -> None:
    assert simulate(Nested, [{"a": {"b": 1}}], key="a.b", seeds=1).seeds == 1
    with pytest.raises(InputError, match="input 0 has no field 'id' for the key; it has 'a'"):
        simulate(Nested, [{"a": {"b": 1}}], key="id", seeds=1)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"callables": {"double": add}}, "callables: 'double' is not callable"),
        ({"callables": {double: 5}}, "callables: 5 is not callable"),
        ({"callables": [double]}, "callables is a list: give a dict"),
        ({"signals": [(9, 1.0, "nod", True)]}, "no input at position 9: the inputs are 3"),
        ({"signals": [(-1, 1.0, "nod", True)]}, "no input at position -1"),
        ({"signals": [(0, math.inf, "nod", True)]}, "signals: seconds"),
        ({"signals": [(0, 1.0, 5, True)]}, "names no signal"),
        ({"signals": [(0, 1.0)]}, "is no signal"),
        ({"seeds": 0}, "seeds=0 are no seeds"),
        ({"seeds": -1}, "seeds=-1 are no seeds"),
        ({"seeds": []}, r"seeds=\[\] are no seeds"),
        ({"key": 5}, "key=5 is a int"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        simulate(GoodAgent, INPUTS, **{"key": "id", "seeds": 1, **options})


@pytest.mark.parametrize("seconds", [-1, math.nan, "1"])
def test_a_call_cannot_take_what_is_no_time(seconds: Any) -> None:
    told: set[str] = set()

    async def lasts(n: int) -> int:
        try:
            takes(seconds)
        except ConfigurationError as error:
            told.add(str(error))
        return 2 * n

    simulate(GoodAgent, INPUTS, key="id", seeds=1, callables={double: lasts})
    assert told == {f"takes: seconds={seconds!r} is no number from 0 on: give one"}


def test_in_a_running_loop_it_says_what_to_do() -> None:
    async def main() -> int:
        with pytest.raises(RuntimeError, match=r"an event loop is running here.*to_thread"):
            simulate(GoodAgent, INPUTS, key="id", seeds=1)
        done = await asyncio.to_thread(simulate, Nested, [{"a": {"b": 1}}], key="a.b", seeds=1)
        return done.seeds

    assert asyncio.run(main()) == 1


class AsksTheRealClock(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        seen = time.time_ns()
        await ctx.durable_execute_async(double, 1)
        ctx.send_event(OutputEvent(output=seen))


class Draws(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        for _ in range(random.randint(1, 4)):
            await ctx.durable_execute_async(double, 1)


class Counts(Agent):
    def __init__(self) -> None:
        self.count = 0

    @action(InputEvent)
    async def go(self, event, ctx):
        self.count += 1
        await ctx.durable_execute_async(double, self.count)


@pytest.mark.parametrize("agent", [AsksTheRealClock, Draws, Counts()])
def test_g7_an_agent_that_is_not_deterministic_is_found(agent: Any) -> None:
    failure = failure_of(agent, seeds=10)
    assert failure.crashes
    assert failure.differences
    text = str(failure)
    assert f"seed {failure.seed}, crashed after commit {failure.crashes[0]}" in text
    assert f"seeds=[{failure.seed}]" in text
    assert "the journal of that run up to the crash:" in text


def test_a_divergence_is_shown_with_the_journal_up_to_the_crash() -> None:
    failure = failure_of(Counts(), seeds=10)
    assert any("NonDeterminismError" in difference for difference in failure.differences)
    assert any("RESULT 1 of action 'go'" in line for line in failure.history)
    commits = [int(line.split()[1]) for line in failure.history]
    assert max(commits) <= failure.crashes[-1]


def test_what_is_not_compared_may_differ() -> None:
    with pytest.raises(SimulationFailed):
        simulate(AsksTheRealClock, INPUTS, key="id", seeds=3)
    simulate(AsksTheRealClock, INPUTS, key="id", seeds=3, compare=["statuses", "memory"])
    with pytest.raises(ConfigurationError, match="colours"):
        simulate(AsksTheRealClock, INPUTS, key="id", compare=["colours"])


def test_a_callable_is_replaced() -> None:
    executed = []

    def fake(n: int) -> int:
        executed.append(n)
        return 7

    class Asks(Agent):
        @action(InputEvent)
        async def go(self, event, ctx):
            assert await ctx.durable_execute_async(double, event.input["n"]) == 7

    simulate(Asks, INPUTS, key="id", seeds=2, callables={double: fake})
    assert set(executed) == {1, 2, 3}


def triple(n: int) -> int:
    raise RuntimeError("not in tests")


def test_a_fake_of_what_nothing_calls_is_told() -> None:
    class Asks(Agent):
        @action(InputEvent)
        async def go(self, event, ctx):
            ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(double, 1)))
            if event.input["n"] > 3:
                await ctx.durable_execute_async(triple, 1)

    said = r"callables: nothing has called triple, .* without a stand-in were called: double; give"
    fakes = {triple: double}
    with pytest.warns(UserWarning, match=said):
        simulate(Asks, INPUTS, key="id", seeds=1, callables=fakes)
    simulate(Asks, [{"id": "a", "n": 4}], key="id", seeds=1, callables=fakes)


def test_a_failure_tells_of_a_fake_of_what_nothing_calls() -> None:
    with pytest.raises(SimulationFailed) as failed:
        simulate(AsksTheRealClock, INPUTS, key="id", seeds=3, callables={triple: double})
    (note,) = failed.value.__notes__
    assert note.startswith("callables: nothing has called triple")


def hangs_at_first() -> None:
    takes(math.inf)


def test_a_hanging_call_times_out_in_no_time() -> None:
    class Impatient(Agent):
        @action(InputEvent)
        async def go(self, event, ctx):
            patient = ctx.with_options(timeout=3600, retry=RetryPolicy(max_attempts=3))
            try:
                await patient.durable_execute_async(hangs_at_first)
            except TimeoutError:
                ctx.send_event(OutputEvent(output="gave up"))

    simulate(Impatient, INPUTS, key="id", seeds=3)  # each attempt has an hour


def test_what_never_ends_is_reported() -> None:
    class Hangs(Agent):
        @action(InputEvent)
        async def go(self, event, ctx):
            await ctx.durable_execute_async(hangs_at_first)

    failure = failure_of(Hangs, seeds=1)
    assert failure.crashes == []
    assert "nothing is ready and no timer runs" in failure.differences[0]


class Waits(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        first = await ctx.wait_for_signal("approve")
        await ctx.durable_execute_async(double, first)
        try:
            await ctx.wait_for_signal("more", timeout=60)
        except TimeoutError:
            ctx.send_event(OutputEvent(output=[first, await ctx.wait_for_signal("approve")]))


def test_signals_come_once_whatever_crashes() -> None:
    signals = [(n, at, "approve", at) for n in range(len(INPUTS)) for at in (3, 1)]
    assert simulate(Waits, INPUTS, key="id", seeds=5, signals=signals).seeds == 5


class Parent(Agent):
    @action(InputEvent)
    async def go(self, event, ctx):
        if "parent" in event.input:
            ctx.send_event(OutputEvent(output=event.input["parent"]))
            return
        child = await ctx.submit({"parent": event.input["n"]}, key="children", delay=3)
        outputs = await child.outputs()
        ctx.send_event(OutputEvent(output=[output.value for output in outputs]))


def test_runs_that_an_action_starts_are_started_once() -> None:
    assert simulate(Parent, INPUTS, key="id", seeds=5).crashes > 5 * 5


def test_a_key_may_be_computed() -> None:
    assert simulate(GoodAgent, INPUTS, key=lambda item: item["n"] % 2, seeds=[5]).seeds == 1
