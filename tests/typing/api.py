"""What type checkers make of the public API: checked by mypy, never run.

An unused `type: ignore` is an error, so each of them proves that the line is refused.
"""

from __future__ import annotations

import asyncio
import datetime
from typing import assert_type

from perdure import (
    Agent,
    ChildRun,
    DurableCall,
    Event,
    InputEvent,
    Limit,
    LocalEngine,
    Outcome,
    Output,
    OutputEvent,
    RetryPolicy,
    RunnerContext,
    action,
    ask,
    durable,
)


async def judge(text: str, aspect: str) -> dict[str, int]:
    return {text: len(aspect)}


def count(text: str) -> int:
    return len(text)


@durable(timeout=5, retry=RetryPolicy(max_attempts=2), id="declared")
def declared(text: str) -> bytes:
    return text.encode()


class Scored(Event):
    score: int
    note: str = ""


class Typed(Agent):
    @action(InputEvent)
    async def coroutine(self, event: InputEvent, ctx: RunnerContext) -> None:
        call = ctx.durable_execute_async(judge, "text", aspect="fit")
        assert_type(call, DurableCall[dict[str, int]])
        assert_type(await call, dict[str, int])
        assert_type(await ctx.durable_execute_async(count, "text"), int)
        assert_type(await ctx.durable_execute_async(declared, "text"), bytes)
        assert_type(ctx.durable_execute(count, "text"), int)
        first, second = await asyncio.gather(call, ctx.durable_execute_async(count, "x"))
        assert_type(first, dict[str, int])
        assert_type(second, int)
        outcomes = await ctx.gather(call, call)
        assert_type(outcomes, list[Outcome[dict[str, int]]])
        careful = ctx.with_options(timeout=30, retry=RetryPolicy(max_attempts=4))
        assert_type(await careful.durable_execute_async(count, "text"), int)
        limited = careful.with_options(limit="openai")
        assert_type(await limited.durable_execute_async(count, "text"), int)
        assert_type(await ctx.sleep(1.0), None)
        ctx.set_status({"asking": "a person"})
        answer = await ctx.wait_for_signal("approve", timeout=60)
        child = await ctx.submit({"answer": answer}, key="other", delay=1.0)
        assert_type(child, ChildRun)
        assert_type(child.id, str)
        assert_type(await child.outputs(), list[Output])
        ctx.submit({"no": "key"})  # type: ignore[call-arg]
        ctx.durable_execute_async(count, "text", reconciler=count)
        ctx.durable_execute_async(count, "text", durable_id="count")
        ctx.durable_execute_async(count, 3)  # type: ignore[call-overload]
        ctx.durable_execute_async(judge, "text")  # type: ignore[call-overload]
        ctx.durable_execute(count, "text", "more")  # type: ignore[call-overload]
        assert_type(await ask(ctx, "model", "text", output_schema=Scored), Scored)
        ctx.send_event(Scored(score=3))
        ctx.send_event(Scored(scor=3))  # type: ignore[call-arg]
        ctx.send_event(OutputEvent(output=event.input))

    @action(Scored)
    def plain(self, event: Scored, ctx: RunnerContext) -> None:
        assert_type(event.score, int)
        assert_type(ctx.durable_execute_async(count, event.note).result(), int)


async def serve() -> None:
    async with LocalEngine(config={"limits": {"openai": Limit(concurrency=5)}}).open(Typed) as job:
        submitted = await job.submit({"id": 1}, key=1, delay=5.0)
        assert_type(await submitted.signal("approve", True), bool)
        assert_type(await job.signal(submitted.id, "approve"), bool)
        schedule = await job.schedule("nightly", "0 2 * * *", {"id": 2}, key=2)
        assert_type(schedule.next_tick, datetime.datetime | None)
        assert_type(await submitted.outputs(), list[Output])


def run() -> None:
    outputs = LocalEngine(store="memory://").run(Typed(), [{"id": 1}], key="id")
    assert_type(outputs, list[Output])
