"""G11: what attempts of a call and questions of its reconciler count, over crashes."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from tests.promises.clock import HOUR, Clock
from tests.promises.support import ONE, SECONDS, State, agent_of, crash_and_resume, hold, out, run

from perdure import LocalEngine, RetryPolicy

AGAIN = RetryPolicy(max_attempts=3, initial_interval=HOUR, jitter=0.0, backoff_coefficient=1.0)
AT_ONCE = RetryPolicy(max_attempts=3, initial_interval=0.0)


async def pays(holds_in: int, fails_in: tuple[int, ...]) -> str:
    """Hang in one attempt of the first leg, fail in others; attempts count over both legs."""
    State.calls.append("pay")
    attempt = State.calls.count("pay")
    if attempt in fails_in:
        asyncio.get_running_loop().call_later(0.01, State.late)
        raise OSError(f"attempt {attempt}")
    if attempt == holds_in:
        await hold()
    return f"paid in attempt {attempt}"


async def asks(holds_in: int, fails_in: tuple[int, ...]) -> str:
    State.calls.append("ask")
    return "asked"


def paying(policy: RetryPolicy, reconciler: Any, holds_in: int, fails_in: tuple[int, ...]) -> Any:
    async def go(event: Any, ctx: Any) -> None:
        bank = ctx.with_options(retry=policy, reconciler=reconciler)
        call = bank.durable_execute_async(pays, holds_in, fails_in)
        gate = ctx.durable_execute_async(hold_after_failure) if holds_in == 0 else None
        (outcome,) = await ctx.gather(call)
        if gate is not None:
            await gate
        out(ctx, outcome.value if outcome.ok else repr(outcome.error))

    return agent_of(go)


async def hold_after_failure() -> None:
    while not State.calls:
        await asyncio.sleep(0.001)
    await hold()  # the job is left when the failed attempt is written


def test_g11_a_failed_attempt_is_in_no_doubt_and_counts_over_a_crash(
    store: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passes() -> None:
        if State.leg == 2:  # the crash is in the first back-off
            clock.forward(HOUR)

    monkeypatch.setattr(State, "late", passes)
    agent, down = paying(AGAIN, asks, 0, (1, 2, 3, 4)), functools.partial(clock.forward, HOUR)
    assert crash_and_resume(agent, ONE, store=store, down=down) == ["OSError('attempt 3')"]
    assert State.calls == ["pay"] * 3


def test_g11_an_attempt_under_way_at_a_crash_is_in_doubt_whatever_failed_before(
    store: str,
) -> None:
    agent = paying(AT_ONCE, asks, 2, (1,))
    assert crash_and_resume(agent, ONE, store=store) == ["asked"]
    assert State.calls == ["pay", "pay", "ask"]


async def asks_in_vain(holds_in: int, fails_in: tuple[int, ...]) -> str:
    State.calls.append("ask")
    if State.calls.count("ask") == 1:
        raise OSError("the bank does not answer")
    return "asked"


def test_g11_a_reconciler_that_fails_is_asked_again(store: str) -> None:
    agent = paying(AT_ONCE, asks_in_vain, 1, ())
    assert crash_and_resume(agent, ONE, store=store) == ["asked"]
    assert State.calls == ["pay", "ask", "ask"]


@pytest.mark.parametrize("when", ["back-off", "second question"])
def test_g11_a_crash_after_a_reconciler_failed_leaves_the_call_in_doubt(
    when: str, sqlite: str
) -> None:
    async def asks_and_holds(amount: int) -> str:
        State.calls.append("ask")
        questions = State.calls.count("ask")
        if questions == 1:
            if when == "back-off":
                asyncio.get_running_loop().call_later(0.05, State.gate.reached.set)
            raise OSError("the bank does not answer")
        if questions == 2 and when != "back-off":
            State.gate.reached.set()
            await asyncio.Event().wait()
        return "asked"

    async def transfers(amount: int) -> str:
        State.calls.append("pay")
        State.gate.reached.set()
        if State.calls == ["pay"]:
            await asyncio.Event().wait()
        return "paid again"

    policy = RetryPolicy(
        max_attempts=4, initial_interval=0.2 if when == "back-off" else 0.0, jitter=0.0
    )

    async def go(event: Any, ctx: Any) -> None:
        bank = ctx.with_options(retry=policy, reconciler=asks_and_holds)
        out(ctx, await bank.durable_execute_async(transfers, 5))

    async def one_life() -> None:
        State.gate.reached = asyncio.Event()
        running = asyncio.ensure_future(LocalEngine(sqlite).run_async(agent_of(go), ONE, key="k"))
        await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
        await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(one_life())
    asyncio.run(one_life())
    assert run(agent_of(go), ONE, store=sqlite) == ["asked"]
    assert State.calls == ["pay", *["ask"] * (2 if when == "back-off" else 3)]


def test_g11_a_reconcilers_failures_are_attempts_too(store: str) -> None:
    async def asks_for_ever(holds_in: int, fails_in: tuple[int, ...]) -> str:
        State.calls.append("ask")
        raise OSError("the bank does not answer")

    agent = paying(AT_ONCE, asks_for_ever, 2, (1,))
    assert crash_and_resume(agent, ONE, store=store) == ["OSError('the bank does not answer')"]
    # One attempt failed, the next ended with its process, which does not count: two are left.
    assert State.calls == ["pay", "pay", "ask", "ask"]
