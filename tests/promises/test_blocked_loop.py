"""A callable that blocks the host loop is named in the log, once a function."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from typing import Any

import pytest
from tests.promises.support import agent_of, out, run

from perdure.executor import steps
from perdure.executor.steps import StepWatch

BLOCKS = 3 * steps.BLOCKED_SECONDS


async def blocks_at_once(k: str) -> str:
    time.sleep(BLOCKS)
    return k


async def blocks_later(k: str) -> str:
    await asyncio.sleep(0)
    time.sleep(BLOCKS)
    await asyncio.sleep(0)
    return k


async def blocks_when_cancelled(k: str) -> str:
    try:
        await asyncio.sleep(600)
    finally:
        time.sleep(BLOCKS)
    return k


async def fails_late(k: str) -> str:
    time.sleep(BLOCKS)
    raise KeyError(k)


def on_a_thread(k: str) -> str:
    time.sleep(BLOCKS)
    return k


async def waits() -> None: ...


def warnings(caplog: Any) -> list[str]:
    return [text for text in caplog.messages if "blocked the event loop" in text]


def calls(func: Any, **options: Any) -> Any:
    async def go(event: Any, ctx: Any) -> None:
        made = ctx.with_options(**options) if options else ctx
        try:
            out(ctx, await made.durable_execute_async(func, event.input["k"]))
        except (KeyError, TimeoutError) as error:
            out(ctx, type(error).__name__)

    return agent_of(go)


@pytest.mark.parametrize("func", [blocks_at_once, blocks_later, fails_late])
def test_what_blocks_is_named_once_a_function_with_its_place(func: Any, caplog: Any) -> None:
    run(calls(func), [{"k": f"{n}"} for n in range(3)])
    line = inspect.getsourcelines(func)[1]
    (said,) = warnings(caplog)
    assert said.startswith(f"{func.__name__} (tests/promises/test_blocked_loop.py:{line}) blocked")
    assert "plain function (def)" in said


def test_what_blocks_while_it_is_cancelled_is_named(caplog: Any) -> None:
    assert run(calls(blocks_when_cancelled, timeout=0.01), [{"k": "a"}]) == ["TimeoutError"]
    (said,) = warnings(caplog)
    assert said.startswith("blocks_when_cancelled (")


def test_what_has_a_thread_is_not_named(caplog: Any) -> None:
    assert run(calls(on_a_thread), [{"k": "a"}]) == ["a"]
    assert [text for text in warnings(caplog) if "on_a_thread" in text] == []


def test_a_partial_is_named_as_its_function(caplog: Any) -> None:
    async def go(event: Any, ctx: Any) -> None:
        call = functools.partial(blocks_at_once, "a")
        out(ctx, await ctx.durable_execute_async(call, durable_id="blocks"))

    assert run(agent_of(go), [{"k": "a"}]) == ["a"]
    assert warnings(caplog)[0].startswith("blocks_at_once (")


class Host:
    """A loop that keeps what shall run in its next round."""

    def __init__(self) -> None:
        self.soon: list[Any] = []

    def call_soon(self, func: Any, *args: Any) -> None:
        self.soon.append(functools.partial(func, *args))


@pytest.mark.parametrize(
    ("seconds", "blocked", "is_named"),
    [(0.06, 0.11, True), (0.06, 0.13, False), (0.06, 0.09, False), (0.2, 9.0, True)],
)
def test_a_step_is_named_for_over_half_of_the_time_that_the_loop_was_blocked(
    seconds: float, blocked: float, is_named: bool, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host: Any = Host()
    monkeypatch.setattr(steps, "perf_counter", lambda: blocked)
    StepWatch(host).took(waits, 0.0, seconds)
    for look in host.soon:
        look()
    assert bool(warnings(caplog)) is is_named
