"""G10: timeouts, retries and back-offs of durable calls; G11: attempts and reconcilers."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from tests.inside import runtime_of
from tests.patience import PATIENCE
from tests.promises.clock import HOUR, Clock

from perdure import (
    Agent,
    ConfigurationError,
    InputEvent,
    LocalEngine,
    OutputEvent,
    RetryableError,
    RetryPolicy,
    TerminalError,
    action,
    durable,
)

QUICK = RetryPolicy(max_attempts=3, initial_interval=0.01, jitter=0.0)
attempts: dict[str, list[float]] = {}


@pytest.fixture(autouse=True)
def no_attempts() -> None:
    attempts.clear()


def attempt(name: str) -> int:
    attempts.setdefault(name, []).append(time.time())
    return len(attempts[name])


ERRORS = {"os": OSError, "terminal": TerminalError, "retryable": RetryableError}


def fails(name: str, times: int, error: str = "os") -> int:
    count = attempt(name)
    if count <= times:
        raise ERRORS[error](f"attempt {count}")
    return count


async def hangs(name: str) -> None:
    attempt(name)
    await asyncio.sleep(60)


def blocks(name: str, seconds: float) -> str:
    attempt(name)
    time.sleep(seconds)
    return "late"


@durable(timeout=0.05, retry=RetryPolicy(max_attempts=2, initial_interval=0.0), id="declared")
async def declared() -> None:
    await hangs("declared")


def outcomes(engine: LocalEngine, make_calls, plain: bool = False):
    """Run one action that makes the calls at once; return its outcomes as text."""

    class Coroutine(Agent):
        @action(InputEvent)
        async def go(self, event, ctx):
            found = await ctx.gather(*make_calls(ctx))
            texts = [repr(o.value) if o.ok else repr(o.error) for o in found]
            ctx.send_event(OutputEvent(output=texts))

    class Plain(Agent):
        @action(InputEvent)
        def go(self, event, ctx):
            found = ctx.gather(*make_calls(ctx))
            texts = [repr(o.value) if o.ok else repr(o.error) for o in found]
            ctx.send_event(OutputEvent(output=texts))

    outputs = engine.run(Plain() if plain else Coroutine(), [{"id": 1}], key="id")
    return outputs[0].value


@pytest.mark.parametrize("plain", [False, True], ids=["coroutine", "plain"])
@pytest.mark.parametrize("continuations", ["auto", "off"])
def test_g10_failed_attempts_are_followed_by_others(plain: bool, continuations: str) -> None:
    def calls(ctx):
        retried = ctx.with_options(retry=QUICK)
        return [
            retried.durable_execute_async(fails, "twice", 2),
            retried.durable_execute_async(fails, "always", 9),
            retried.durable_execute_async(fails, "terminal", 9, "terminal"),
            retried.durable_execute_async(fails, "retryable", 1, "retryable"),
            ctx.durable_execute_async(fails, "once", 1),
        ]

    engine = LocalEngine(store="memory://", config={"continuations": continuations})
    twice, always, terminal, retryable, once = outcomes(engine, calls, plain)
    assert (twice, retryable) == ("3", "2")
    assert "OSError('attempt 3')" in always
    assert "TerminalError" in terminal
    assert "OSError" in once
    counts = {name: len(times) for name, times in attempts.items()}
    assert counts == {"twice": 3, "always": 3, "terminal": 1, "retryable": 2, "once": 1}


def test_g10_a_timeout_is_an_outcome_of_an_attempt() -> None:
    def calls(ctx):
        bounded = ctx.with_options(timeout=0.05)
        return [
            bounded.durable_execute_async(hangs, "coroutine"),
            bounded.durable_execute_async(blocks, "thread", 0.3),
            bounded.with_options(retry=QUICK).durable_execute_async(hangs, "retried"),
            ctx.durable_execute_async(declared),
        ]

    for text in outcomes(LocalEngine(store="memory://"), calls):
        assert text.startswith("TimeoutError(")
    counts = {name: len(times) for name, times in attempts.items()}
    assert counts == {"coroutine": 1, "thread": 1, "retried": 3, "declared": 2}


def test_g10_hung_threads_do_not_take_the_pool() -> None:
    def calls(ctx):
        hung = ctx.with_options(timeout=0.05)
        return [
            *(hung.durable_execute_async(stays, n) for n in range(12)),
            ctx.durable_execute_async(blocks, "behind", 0.0),
        ]

    released, ended = threading.Event(), []

    def stays(n: int) -> None:
        ended.append(released.wait(PATIENCE))

    config = {"num-async-threads": 2, "max-abandoned-threads": 12}
    engine = LocalEngine(store="memory://", config=config)
    try:
        *hung, behind = outcomes(engine, calls)
        assert ended == []  # nobody waited for a hung callable
    finally:
        released.set()
    assert all(text.startswith("TimeoutError(") for text in hung)
    assert behind == "'late'"


def test_g10_total_timeout_ends_the_attempts() -> None:
    policy = RetryPolicy(
        max_attempts=1000, initial_interval=0.02, backoff_coefficient=1.0, total_timeout=0.15
    )

    def calls(ctx):
        return [ctx.with_options(retry=policy).durable_execute_async(fails, "total", 1000)]

    outcome = outcomes(LocalEngine(store="memory://"), calls)[0]
    # The last failure between two attempts, and that it took too long in the middle of one.
    assert "OSError" in outcome or "not done after 0.15 s in all its attempts" in outcome
    assert 2 <= len(attempts["total"]) <= 9


def test_g10_a_back_off_goes_on_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    policy = RetryPolicy(max_attempts=2, initial_interval=HOUR, max_interval=HOUR, jitter=0.0)

    class Waits(Agent):
        @action(InputEvent)
        async def go(self, event, ctx):
            call = ctx.with_options(retry=policy).durable_execute_async(fails, "waits", 9)
            (outcome,) = await ctx.gather(call)
            ctx.send_event(OutputEvent(output=repr(outcome.error)))

    async def begin() -> None:
        engine = LocalEngine(store=f"sqlite:///{tmp_path}/w.db")
        with pytest.raises(RuntimeError, match="as if killed"):
            async with engine.open(Waits()) as job:
                await job.submit({"id": 1}, key=1, id="one")
                while not runtime_of(job).counters.call_retries:
                    await asyncio.sleep(0.01)
                # What is durable after the failed attempt shows that the attempt is.
                await job.submit({"id": 2}, key=2, delay=100 * HOUR)
                raise RuntimeError("as if killed")

    async def go_on():
        engine = LocalEngine(store=f"sqlite:///{tmp_path}/w.db")
        async with engine.open(Waits()) as job:
            run_ = await job.submit({"id": 1}, key=1, id="one")
            assert len(attempts["waits"]) == 1
            clock.forward(HOUR / 2)  # begun anew the wait would have an hour yet
            return await asyncio.wait_for(run_.outputs(), PATIENCE)

    asyncio.run(begin())
    clock.forward(HOUR / 2)
    (output,) = asyncio.run(go_on())
    assert output.value == "OSError('attempt 2')"
    assert len(attempts["waits"]) == 2


def test_bad_options_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="max_attempts=0"):
        RetryPolicy(max_attempts=0)
    with pytest.raises(ConfigurationError, match="timeout=0"):
        durable(timeout=0)
