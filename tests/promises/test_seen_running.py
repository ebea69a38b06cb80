"""A run whose first call is under way is running from outside, at no cost for short ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.inside import commits_of, services_of
from tests.promises.legs import Legs, action_for, go, results, until
from tests.promises.support import COROUTINE, OFF, State, agent_of, echo, hold, out

from perdure import RunStatus
from perdure.runtime.shared import soon

released = threading.Event()


def first_call(event: Any, ctx: Any) -> Any:
    yield ctx.durable_execute_async(hold)
    out(ctx, 1)


def on_a_thread() -> str:
    State.gate.reached.set()
    released.wait()
    return "held"


def first_plain_call(event: Any, ctx: Any) -> Any:
    yield ctx.durable_execute_async(on_a_thread)
    out(ctx, 1)


def no_call(event: Any, ctx: Any) -> None:
    """Without continuations an action's code has a thread: it may take its time before any call."""
    released.wait()
    out(ctx, 1)


AGENTS: list[tuple[str, Callable[[str], Any]]] = [
    (kind, lambda kind, steps=steps: agent_of(action_for(kind, steps)))
    for kind in (COROUTINE, "plain", OFF)
    for steps in (first_call, first_plain_call)
]
AGENTS.append((OFF, lambda kind: agent_of(no_call)))


@pytest.fixture(autouse=True)
def _released() -> Any:
    released.clear()
    yield
    released.set()


@pytest.mark.parametrize(("kind", "agent"), AGENTS)
def test_a_run_is_seen_running_before_its_first_call_is_over(
    kind: str, agent: Callable[[str], Any], store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent(kind)) as job:
            run_ = await job.submit({}, key="a")
            behind = await job.submit({}, key="a")
            await until(lambda: legs.engine.run_info(run_.id).status is RunStatus.RUNNING)
            assert [r.id for r in legs.engine.runs(status=RunStatus.RUNNING)] == [run_.id]
            assert legs.engine.run_info(behind.id).status is RunStatus.QUEUED
            released.set()
            State.gate.release()
            assert await results(run_) == [1]

    go(test)


def test_a_run_that_was_put_back_is_seen_running_again(kind: str, store: str) -> None:
    def fails_once(event: Any, ctx: Any) -> Any:
        State.calls.append("try")
        if len(State.calls) == 1:
            raise LookupError("once")
        yield ctx.durable_execute_async(hold)

    async def test() -> None:
        legs = Legs(
            store, kind, error_handling_strategy="retry", max_retries=1, retry_wait_interval=0.0
        )
        async with legs.opened(agent_of(action_for(kind, fails_once))) as job:
            run_ = await job.submit({}, key="a")
            await until(lambda: legs.engine.run_info(run_.id).status is RunStatus.RUNNING)
            assert legs.engine.run_info(run_.id).attempts == 1
            State.gate.release()
            assert await run_.wait() is RunStatus.COMPLETED

    go(test)


def test_a_run_that_is_over_in_a_moment_costs_no_commit_more(
    kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soon, "APART", 3600.0)

    def short(event: Any, ctx: Any) -> Any:
        yield ctx.durable_execute_async(echo, 1)

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_of(action_for(kind, short))) as job:
            for n in range(5):
                before = commits_of(job).commits
                run_ = await job.submit({}, key=n)
                await run_.wait()
                assert commits_of(job).commits - before == 3  # admitted, settled, completed
            for _ in range(soon.ROUNDS + 1):
                services_of(job).soon._look()
            await asyncio.sleep(0)
            assert commits_of(job).commits == 15

    go(test)
