"""G10, G25: attempts that end with their process count where asked for, those it stops do not."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.inside import executions_of
from tests.promises.callees import LONG
from tests.promises.crashing_agents import start
from tests.promises.support import (
    ONE,
    SECONDS,
    State,
    agent_of,
    crash_and_resume,
    echo,
    finish,
    hold,
    killed,
    log_lines,
    out,
    values,
)

from perdure import LocalEngine, RetryableError, RetryPolicy, StoreError
from perdure.runtime.action.attempts import CallAttempts

AGENTS = [
    ("calls_coroutine", {}),
    ("calls_plain", {}),
    ("calls_plain", {"continuations": "off"}),
]


def ended(process: subprocess.Popen[str], code: int) -> None:
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == code, errors


@pytest.mark.parametrize(("agent", "config"), AGENTS)
@pytest.mark.parametrize("callee", ["dies", "dies_coroutine"])
def test_g10_a_call_that_kills_its_process_is_not_attempted_for_ever(
    callee: str, agent: str, config: dict[str, Any], tmp_path: Path
) -> None:
    inputs = [{"k": "a", "callee": callee, "how": "kill"}]
    for _ in range(3):
        killed(start(agent, inputs, tmp_path, config))
    (told_of,) = finish(start(agent, inputs, tmp_path, config))["outputs"]
    assert told_of.startswith("RetryableError: the process ended during attempt 3")
    assert log_lines(tmp_path) == ["dies kill"] * 3


@pytest.mark.parametrize("inline", [False, True], ids=["thread", "inline"])
def test_g10_nor_is_one_that_exits_it(inline: bool, tmp_path: Path) -> None:
    inputs = [{"k": "a", "callee": "dies", "how": "exit", "inline": inline}]
    for _ in range(3):
        ended(start("calls_plain", inputs, tmp_path), 70)
    (told_of,) = finish(start("calls_plain", inputs, tmp_path))["outputs"]
    assert told_of.startswith("RetryableError: the process ended during attempt 3")
    assert log_lines(tmp_path) == ["dies exit"] * 3


def test_g10_failed_and_crashed_attempts_count_together(tmp_path: Path) -> None:
    inputs = [{"k": "a", "callee": "fails_then_dies", "how": "kill"}]
    killed(start("calls_coroutine", inputs, tmp_path))
    assert finish(start("calls_coroutine", inputs, tmp_path))["outputs"] == ["attempt 3"]
    assert log_lines(tmp_path) == [*["fails then dies"] * 2, "dies kill", "fails then dies"]


def interrupt_when(lines: int, process: subprocess.Popen[str], folder: Path) -> None:
    """Send Ctrl-C once the call log has so many lines; the process must end by it."""
    deadline = time.monotonic() + SECONDS
    while len(log_lines(folder)) < lines:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert finish(process)["error"] == "KeyboardInterrupt"


@pytest.mark.parametrize(("agent", "config"), AGENTS)
def test_g10_a_process_that_is_stopped_in_good_order_is_no_failed_attempt(
    agent: str, config: dict[str, Any], tmp_path: Path
) -> None:
    inputs = [{"k": "a", "callee": "stuck", "how": "wait"}]
    for stops in range(1, 5):  # more often than there are attempts
        interrupt_when(stops, start(agent, inputs, tmp_path, config), tmp_path)
    (tmp_path / "go").touch()
    assert finish(start(agent, inputs, tmp_path, config))["outputs"] == ["went on"]
    assert log_lines(tmp_path) == ["stuck"] * 5


async def fails_then_holds() -> str:
    State.calls.append("attempt")
    if State.calls == ["attempt"]:
        raise OSError("first")
    return await hold()


def test_g10_nor_is_one_stopped_in_its_second_attempt(store: str) -> None:
    # The first attempt may be followed by one at once; a crash would have to wait for `LONG`.
    policy = RetryPolicy(
        max_attempts=2, initial_interval=0.0, count_crashes=True, non_retryable=(RetryableError,)
    )

    async def calls(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.with_options(retry=policy).durable_execute_async(fails_then_holds))

    assert crash_and_resume(agent_of(calls), ONE, store=store) == ["held"]
    assert State.calls == ["attempt"] * 3


def test_g10_nor_is_one_stopped_between_an_attempts_record_and_its_beginning(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_attempt = CallAttempts._start

    def start_or_stop(self: CallAttempts) -> None:
        if State.leg == 1:
            State.gate.reached.set()  # its record is durable
        else:
            start_attempt(self)

    monkeypatch.setattr(CallAttempts, "_start", start_or_stop)
    policy = RetryPolicy(max_attempts=1, count_crashes=True)

    async def calls(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.with_options(retry=policy).durable_execute_async(echo, "first"))

    assert crash_and_resume(agent_of(calls), ONE, store=store) == ["first"]
    assert State.calls == ["first"]


@pytest.mark.parametrize("attempts", [1, 2])
def test_g25_nor_is_one_that_begins_again_because_the_store_failed(
    attempts: int, store: str
) -> None:
    policy = RetryPolicy(max_attempts=attempts, initial_interval=LONG, count_crashes=True)

    async def calls(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.with_options(retry=policy).durable_execute_async(hold))

    async def go() -> list[Any]:
        async with LocalEngine(store).open(agent_of(calls)) as job:
            run_ = await job.submit({}, key="a")
            await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
            State.gate.open = True
            for execution in executions_of(job):
                execution.store_failed(StoreError("the disk was full for a moment"))
            return values(await asyncio.wait_for(run_.outputs(), SECONDS))

    assert asyncio.run(go()) == ["held"]
