"""Actions of one run begin in turn: each sees what those wrote that ended before it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext
from tests.patience import PATIENCE

from perdure import LocalEngine, RunStatus
from perdure.flink_agents.border.compiled import compiled
from perdure.flink_agents.plan.configuration import AgentConfiguration
from perdure.testing.simulation import simulate

PARTS = 5
INPUTS = [{"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "a", "n": 3}]


def ten_times(n: int) -> int:
    return 10 * n


class Parts(Agent):
    """Splits an input; subclasses join what comes of the parts."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def split(event: Event, ctx: RunnerContext) -> None:
        n = InputEvent.from_event(event).input["n"]
        for part in range(PARTS):
            ctx.send_event(Event(type="part", attributes={"n": n + part}))

    @action("part")
    @staticmethod
    async def work(event: Event, ctx: RunnerContext) -> None:
        found = await ctx.durable_execute_async(ten_times, event.get_attr("n"))
        ctx.send_event(Event(type="done", attributes={"n": found}))


def join(event: Event, ctx: RunnerContext) -> None:
    seen = [*(ctx.sensory_memory.get("seen") or []), event.get_attr("n")]
    ctx.sensory_memory.set("seen", seen)
    ctx.short_term_memory.set("total", (ctx.short_term_memory.get("total") or 0) + seen[-1])
    if len(seen) == PARTS:
        ctx.send_event(OutputEvent(output=[sorted(seen), ctx.short_term_memory.get("total")]))


class Plain(Parts):
    @action("done")
    @staticmethod
    def join(event: Event, ctx: RunnerContext) -> None:
        join(event, ctx)


class Coroutine(Parts):
    @action("done")
    @staticmethod
    async def join(event: Event, ctx: RunnerContext) -> None:
        join(event, ctx)


class Both(Parts):
    """Its joins also wait, once they have written."""

    @action("done")
    @staticmethod
    def join(event: Event, ctx: RunnerContext) -> None:
        join(event, ctx)
        ctx.send_event(Event(type="joined"))

    @action("joined")
    @staticmethod
    def rest(event: Event, ctx: RunnerContext) -> None:
        ctx.durable_execute(ten_times, 0)


FORMS = [(Plain, "auto"), (Plain, "off"), (Coroutine, "auto"), (Both, "auto"), (Both, "off")]


@pytest.mark.parametrize(("agent", "continuations"), FORMS)
def test_what_is_done_at_the_same_time_is_joined_by_memory(
    agent: type[Agent], continuations: str, store: str
) -> None:
    env = AgentsExecutionEnvironment.get_execution_environment(store=store, job="parts")
    env.get_config().set_str("continuations", continuations)
    outputs = env.from_list([{"key": each["id"], "value": each} for each in INPUTS])
    found = outputs.apply(agent()).to_list()
    env.execute()

    first, second, third = ([10 * (each["n"] + part) for part in range(PARTS)] for each in INPUTS)
    assert found == [
        {"a": [first, sum(first)]},
        {"b": [second, sum(second)]},
        {"a": [third, sum(first) + sum(third)]},
    ]


@pytest.mark.parametrize("continuations", ["auto", "off"])
def test_g14_and_after_a_crash_at_any_commit_as_well(continuations: str) -> None:
    done = simulate(
        lambda: compiled(Plain(), AgentConfiguration()),
        INPUTS[::2],
        key="id",
        seeds=1,
        config={"continuations": continuations},
        compare={"statuses", "memory"},  # which part is the last may be another
    )
    assert done.crashes > 2 * PARTS


class Failing(Parts):
    @action("done")
    @staticmethod
    def join(event: Event, ctx: RunnerContext) -> None:
        raise LookupError(event.get_attr("n"))


def test_an_action_that_fails_takes_those_that_were_to_begin_with_it() -> None:
    env = AgentsExecutionEnvironment.get_execution_environment()
    env.from_list([{"key": "k", "value": INPUTS[0]}]).apply(Failing())
    with pytest.raises(LookupError):
        env.execute()


class Stuck(Parts):
    """Its parts wait until they are let go."""

    @action("part")
    @staticmethod
    def work(event: Event, ctx: RunnerContext) -> None:
        found = ctx.durable_execute(hang, event.get_attr("n"))
        ctx.send_event(OutputEvent(output=found))


STARTED, GO_ON = threading.Event(), threading.Event()


def hang(n: int) -> int:
    STARTED.set()
    assert GO_ON.wait(PATIENCE)
    return n


@pytest.mark.parametrize("continuations", ["auto", "off"])
def test_a_run_that_is_cancelled_begins_no_more_and_all_of_it_when_it_is_put_back(
    continuations: str,
) -> None:
    STARTED.clear()
    GO_ON.clear()

    async def cancelled_and_retried() -> list[Any]:
        engine = LocalEngine(config={"continuations": continuations})
        async with engine.open(compiled(Stuck(), AgentConfiguration())) as job:
            run = await job.submit({"n": 1}, key="k")
            await asyncio.to_thread(STARTED.wait, PATIENCE)
            cancelling = asyncio.create_task(run.cancel())
            GO_ON.set()
            assert await cancelling
            assert await run.wait() is RunStatus.CANCELLED
            assert await job.retry(run)
            return [each.value for each in await run.outputs()]

    assert sorted(asyncio.run(cancelled_and_retried())) == [1 + part for part in range(PARTS)]
