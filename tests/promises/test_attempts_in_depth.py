"""G10, G11: attempts that crash, hang, wait and are late; the time that a call and a run have."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.promises.crashing_agents import start
from tests.promises.support import (
    OFF,
    SECONDS,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    error_text,
    failures,
    finish,
    hold,
    killed,
    log_lines,
    out,
    pick,
    run,
    values,
)

from perdure import (
    Agent,
    Event,
    InputEvent,
    Limit,
    LocalEngine,
    RetryableError,
    RetryPolicy,
    RunsFailedError,
    RunStatus,
    StoreError,
    TerminalError,
    action,
    durable,
)
from perdure.runtime.call_attempts import CallAttempts

ONE = [{"k": "a"}]
LONG = 600.0


def told(outcome: Any) -> Any:
    """Return what came of a call: the value, or the type of the error."""
    return outcome.value if outcome.ok else type(outcome.error).__name__


# Defaults


def fails(name: str, times: int = 99) -> int:
    State.calls.append(name)
    count = State.calls.count(name)
    if count <= times:
        raise OSError(f"attempt {count}")
    return count


@durable(retry=RetryPolicy(max_attempts=2, initial_interval=0.0))
def declared(name: str) -> int:
    return fails(name)


async def never(name: str) -> None:
    State.calls.append(name)
    await asyncio.Event().wait()


@durable(timeout=0.05)
async def bounded(name: str) -> None:
    await never(name)


@pytest.mark.parametrize(
    "retry",
    [
        {"retry.max-attempts": 4, "retry.initial-interval": 0.001, "retry.jitter": 0},
        {"retry": RetryPolicy(max_attempts=4, initial_interval=0.001)},
        {"retry": {"max-attempts": 4, "initial-interval": 0.001}},
    ],
    ids=["keys", "policy", "mapping"],
)
def test_g10_the_configured_retry_is_what_calls_have_unless_they_say_otherwise(
    retry: dict[str, Any], kind: str, store: str
) -> None:
    own = RetryPolicy(max_attempts=3, initial_interval=0.0)

    async def calls(event: Any, ctx: Any) -> None:
        found = await ctx.gather(
            ctx.durable_execute_async(fails, "default"),
            ctx.durable_execute_async(declared, "declared"),
            ctx.with_options(retry=own).durable_execute_async(declared, "given"),
            ctx.with_options(timeout=LONG).durable_execute_async(fails, "partly given"),
        )
        out(ctx, [told(one) for one in found])

    def calls_plain(event: Any, ctx: Any) -> None:
        found = ctx.gather(
            ctx.durable_execute_async(fails, "default"),
            ctx.durable_execute_async(declared, "declared"),
            ctx.with_options(retry=own).durable_execute_async(declared, "given"),
            ctx.with_options(timeout=LONG).durable_execute_async(fails, "partly given"),
        )
        out(ctx, [told(one) for one in found])

    config = config_of(kind) | retry
    results = run(pick(kind, calls, calls_plain), ONE, store=store, config=config)
    assert results == [["OSError"] * 4]
    counts = {name: State.calls.count(name) for name in State.calls}
    assert counts == {"default": 4, "declared": 2, "given": 3, "partly given": 4}


def test_g10_without_a_configured_retry_there_is_one_attempt(kind: str) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in await ctx.gather(ctx.durable_execute_async(fails, "a"))])

    def calls_plain(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in ctx.gather(ctx.durable_execute_async(fails, "a"))])

    assert run(pick(kind, calls, calls_plain), ONE, config=config_of(kind)) == [["OSError"]]
    assert State.calls == ["a"]


def test_g10_the_configured_timeout_is_what_calls_have_unless_they_say_otherwise(
    store: str,
) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        found = await ctx.gather(
            ctx.durable_execute_async(never, "default"),
            ctx.with_options(timeout=LONG).durable_execute_async(echo, "given", 0.4),
            ctx.with_options(retry=RetryPolicy(max_attempts=1)).durable_execute_async(never, "b"),
        )
        out(ctx, [told(one) for one in found])

    results = run(agent_of(calls), ONE, store=store, config={"timeout": 0.1})
    assert results == [["TimeoutError", "given", "TimeoutError"]]


def test_g10_a_declared_timeout_goes_before_the_configured_one(kind: str) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in await ctx.gather(ctx.durable_execute_async(bounded, "a"))])

    def calls_plain(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in ctx.gather(ctx.durable_execute_async(bounded, "a"))])

    config = config_of(kind, timeout=LONG)
    assert run(pick(kind, calls, calls_plain), ONE, config=config) == [["TimeoutError"]]


def attempted(times: int) -> Any:
    """Return a function that differs from others made here in its options only."""

    @durable(retry=RetryPolicy(max_attempts=times, initial_interval=0.0))
    def made(name: str) -> None:
        fails(name)

    return made


def test_g10_functions_made_in_one_place_have_their_own_options(kind: str) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        for times in (2, 3, 2):
            await ctx.gather(ctx.durable_execute_async(attempted(times), f"{times} times"))

    def calls_plain(event: Any, ctx: Any) -> None:
        for times in (2, 3, 2):
            ctx.gather(ctx.durable_execute_async(attempted(times), f"{times} times"))

    run(pick(kind, calls, calls_plain), ONE, config=config_of(kind))
    assert State.calls == [*["2 times"] * 2, *["3 times"] * 3, *["2 times"] * 2]


# What a callable may say of its own attempts


def says(error: Exception) -> None:
    State.calls.append(time.monotonic())
    raise error


def test_g10_a_retryable_error_says_when_the_next_attempt_is_due(store: str) -> None:
    soon = RetryPolicy(max_attempts=2, initial_interval=LONG, max_interval=LONG)
    never_again = RetryPolicy(max_attempts=5, initial_interval=0.0, retry_on=())

    def limited_by_peer() -> None:
        says(RetryableError("slow down", retry_after=0.1))

    def at_once() -> None:
        State.calls.append("at once")
        raise RetryableError("now", retry_after=0)

    async def calls(event: Any, ctx: Any) -> None:
        call = ctx.with_options(retry=soon).durable_execute_async(limited_by_peer)
        other = ctx.with_options(retry=never_again).durable_execute_async(at_once)
        found = await ctx.gather(call, other)
        out(ctx, [[told(one), str(one.error), one.error.retry_after] for one in found])

    results = run(agent_of(calls), ONE, store=store)
    assert results == [[["RetryableError", "slow down", 0.1], ["RetryableError", "now", 0]]]
    first, second = (one for one in State.calls if one != "at once")
    assert second - first >= 0.1
    assert State.calls.count("at once") == 5


@pytest.mark.parametrize("inline", [False, True], ids=["async", "inline"])
def test_g10_a_terminal_error_ends_the_attempts(inline: bool, kind: str, store: str) -> None:
    policy = RetryPolicy(max_attempts=5, initial_interval=0.0, retry_on=(Exception,))

    def refuses(name: str) -> None:
        State.calls.append(name)
        raise TerminalError(name)

    async def calls(event: Any, ctx: Any) -> None:
        again = ctx.with_options(retry=policy)
        try:
            if inline:
                again.durable_execute(refuses, "no")
            await again.durable_execute_async(refuses, "no")
        except TerminalError as error:
            out(ctx, str(error))

    def calls_plain(event: Any, ctx: Any) -> None:
        again = ctx.with_options(retry=policy)
        try:
            if inline:
                again.durable_execute(refuses, "no")
            again.durable_execute_async(refuses, "no").result()
        except TerminalError as error:
            out(ctx, str(error))

    results = run(pick(kind, calls, calls_plain), ONE, store=store, config=config_of(kind))
    assert results == ["no"]
    assert State.calls == ["no"]


def test_g10_non_retryable_goes_before_retry_on(store: str) -> None:
    policy = RetryPolicy(max_attempts=5, initial_interval=0.0, non_retryable=(FileNotFoundError,))

    def misses(error: str) -> None:
        State.calls.append(error)
        raise {"missing": FileNotFoundError, "other": PermissionError}[error](error)

    async def calls(event: Any, ctx: Any) -> None:
        again = ctx.with_options(retry=policy)
        names = ("missing", "other")
        found = await ctx.gather(*(again.durable_execute_async(misses, name) for name in names))
        out(ctx, [told(one) for one in found])

    assert run(agent_of(calls), ONE, store=store) == [["FileNotFoundError", "PermissionError"]]
    assert sorted(State.calls) == ["missing", *["other"] * 5]


# Attempts that end with their process

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
            for execution in list(job.runtime._executions.values()):
                execution.store_failed(StoreError("the disk was full for a moment"))
            return values(await asyncio.wait_for(run_.outputs(), SECONDS))

    assert asyncio.run(go()) == ["held"]


# Attempts and reconcilers

AGAIN = RetryPolicy(max_attempts=3, initial_interval=0.3, jitter=0.0, backoff_coefficient=1.0)
AT_ONCE = RetryPolicy(max_attempts=3, initial_interval=0.0)


async def pays(holds_in: int, fails_in: tuple[int, ...]) -> str:
    """Hang in one attempt of the first leg, fail in others; attempts count over both legs."""
    State.calls.append("pay")
    attempt = State.calls.count("pay")
    if attempt in fails_in:
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
    await asyncio.sleep(0.02)  # the failed attempt is written
    await hold()


def test_g11_a_failed_attempt_is_in_no_doubt_and_counts_over_a_crash(store: str) -> None:
    agent = paying(AGAIN, asks, 0, (1, 2, 3, 4))
    assert crash_and_resume(agent, ONE, store=store) == ["OSError('attempt 3')"]
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


# The time that a call has in all

BRIEF = RetryPolicy(max_attempts=5, initial_interval=0.0, total_timeout=0.15)


def test_g10_total_timeout_ends_a_call_that_still_waits_for_a_thread(store: str) -> None:
    release = threading.Event()

    def blocks() -> None:
        release.wait(SECONDS)

    async def frees() -> None:
        release.set()

    async def calls(event: Any, ctx: Any) -> None:
        blocked = [ctx.durable_execute_async(blocks) for _ in range(8)]
        (queued,) = await ctx.gather(
            ctx.with_options(retry=BRIEF).durable_execute_async(fails, "queued")
        )
        await ctx.durable_execute_async(frees)
        await ctx.gather(*blocked)
        out(ctx, [told(queued), str(queued.error)])

    ((error, message),) = run(agent_of(calls), ONE, store=store, config={"num-async-threads": 2})
    assert error == "TimeoutError"
    assert "0.15 s in all its attempts" in message
    assert State.calls == []


def test_g10_total_timeout_ends_a_call_that_still_waits_for_a_limit(store: str) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        if event.input["k"] == "first":
            out(ctx, await api.durable_execute_async(echo, "first", 0.6))
            return
        while not State.calls:
            await ctx.sleep(0.01)
        brief = api.with_options(retry=BRIEF)
        (queued,) = await ctx.gather(brief.durable_execute_async(echo, "queued"))
        out(ctx, [told(queued), "in all its attempts" in str(queued.error)])

    config = {"limits": {"api": Limit(concurrency=1)}}
    results = run(agent_of(calls), [{"k": "first"}, {"k": "next"}], store=store, config=config)
    assert results == [["TimeoutError", True], "first"]
    assert State.calls == ["first"]


def test_g10_total_timeout_goes_on_while_the_process_is_down(kind: str, store: str) -> None:
    policy = RetryPolicy(max_attempts=5, initial_interval=0.0, total_timeout=0.4)

    async def calls(event: Any, ctx: Any) -> None:
        # No settlement before it: the time at which it was made must be durable all the same.
        bound = ctx.with_options(retry=policy)
        (outcome,) = await ctx.gather(bound.durable_execute_async(held_for_long))
        out(ctx, told(outcome))

    def calls_plain(event: Any, ctx: Any) -> None:
        bound = ctx.with_options(retry=policy)
        (outcome,) = ctx.gather(bound.durable_execute_async(held_for_long))
        out(ctx, told(outcome))

    agent = pick(kind, calls, calls_plain)
    results = crash_and_resume(agent, ONE, store=store, config=config_of(kind), pause=0.6)
    # Counted anew from the second leg on, its time would be enough.
    assert results == ["TimeoutError"]


async def held_for_long() -> str:
    """Hang in the first leg, take 0.3 s in the second."""
    await hold()
    await asyncio.sleep(0.3)
    return "in time"


# Calls that are cancelled before they begin, results that come too late


@pytest.mark.parametrize("how", ["reconciler", "count_crashes"])
def test_g10_a_call_cancelled_while_its_record_is_written_does_not_begin(
    how: str, store: str
) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        if how == "reconciler":
            careful = ctx.with_options(reconciler=echo)
        else:
            careful = ctx.with_options(retry=RetryPolicy(count_crashes=True))
        call = careful.durable_execute_async(echo, "cancelled")  # its record is on its way
        call.cancel()
        out(ctx, [await ctx.durable_execute_async(echo, "next"), call.cancelled()])

    assert run(agent_of(calls), ONE, store=store) == [["next", True]]
    assert State.calls == ["next"]


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_g10_late_results_of_threads_are_dropped_and_counted(how: str, store: str) -> None:
    release = threading.Event()

    def late(n: int) -> str:
        State.calls.append(n)
        release.wait(SECONDS)
        if n % 2:
            raise OSError("late")
        return "late"

    async def frees() -> None:
        while len(State.calls) < 4:
            await asyncio.sleep(0.001)
        release.set()

    async def calls(event: Any, ctx: Any) -> None:
        hung = ctx.with_options(timeout=0.05) if how == "timeout" else ctx
        made = [hung.durable_execute_async(late, n) for n in range(4)]
        if how == "cancel":
            while len(State.calls) < 4:
                await ctx.sleep(0.005)
            for one in made:
                one.cancel()
        seen = [told(one) for one in await ctx.gather(*made)]
        await ctx.durable_execute_async(frees)
        again = [told(one) for one in await ctx.gather(*made)]
        out(ctx, [seen == again, *set(seen)])

    async def go() -> tuple[list[Any], int, int]:
        async with LocalEngine(store).open(agent_of(calls)) as job:
            run_ = await job.submit({}, key="a")
            outputs = await asyncio.wait_for(run_.outputs(), SECONDS)
            deadline = time.monotonic() + SECONDS
            while job.progress.late_results < 4 and time.monotonic() < deadline:
                await asyncio.sleep(0.005)
            executor = job.runtime.services.executor
            return values(outputs), job.progress.late_results, executor.in_flight

    error = "TimeoutError" if how == "timeout" else "CancelledError"
    assert asyncio.run(go()) == ([[True, error]], 4, 0)


def test_g10_fifty_hung_threads_do_not_stop_fifty_others(store: str) -> None:
    release = threading.Event()

    def hangs(n: int) -> None:
        release.wait(60)

    def works(n: int) -> int:
        State.calls.append(n)
        return n

    async def calls(event: Any, ctx: Any) -> None:
        bound = ctx.with_options(timeout=0.2)
        hung = [bound.durable_execute_async(hangs, n) for n in range(50)]
        others = [ctx.durable_execute_async(works, n) for n in range(50)]
        done = [told(one) for one in await ctx.gather(*others)]
        out(ctx, [done, {told(one) for one in await ctx.gather(*hung)}])

    began = time.monotonic()
    try:
        results = run(agent_of(calls), ONE, store=store, config={"num-async-threads": 8})
    finally:
        release.set()
    assert results == [[list(range(50)), {"TimeoutError"}]]
    assert sorted(State.calls) == list(range(50))
    assert time.monotonic() - began < 30  # seven rounds of 0.2 s; nobody waited for the threads


# The time that a run has


async def overstays(event: Any, ctx: Any) -> None:
    try:
        await ctx.durable_execute_async(never, "never")
    finally:
        State.calls.append(await ctx.durable_execute_async(echo, "clean up"))


def overstays_plain(event: Any, ctx: Any) -> None:
    try:
        ctx.durable_execute_async(never, "never").result()
    finally:
        State.calls.append(ctx.durable_execute_async(echo, "clean up").result())


def test_g10_a_run_that_takes_too_long_fails_and_cleans_up(kind: str, store: str) -> None:
    agent = pick(kind, overstays, overstays_plain)
    failed = failures(agent, ONE, store=store, config=config_of(kind, run_timeout=0.1))
    for part in ("TimeoutError", "0.1 s", "run-timeout"):
        assert part in error_text(failed)
    assert failed.failed[0].status is RunStatus.FAILED
    assert State.calls == ["never", "clean up", "clean up"]


async def fails_to_clean_up(event: Any, ctx: Any) -> None:
    try:
        State.gate.reached.set()
        await ctx.durable_execute_async(never, "never")
    finally:
        raise LookupError("in its end")


def fails_to_clean_up_plain(event: Any, ctx: Any) -> None:
    try:
        State.gate.reached.set()
        ctx.durable_execute_async(never, "never").result()
    finally:
        raise LookupError("in its end")


@pytest.mark.parametrize("strategy", ["dead-letter", "retry", "fail"])
@pytest.mark.parametrize("why", ["too late", "cancelled"])
def test_g10_a_run_that_was_to_stop_is_not_tried_again_though_its_end_failed(
    why: str, strategy: str, kind: str, store: str
) -> None:
    config = config_of(kind, error_handling_strategy=strategy, retry_wait_interval=0.0)
    if why == "too late":
        config["run-timeout"] = 0.05

    async def go() -> RunStatus:
        engine = LocalEngine(store, config=config)
        async with engine.open(pick(kind, fails_to_clean_up, fails_to_clean_up_plain)) as job:
            run_ = await job.submit({}, key="a")
            if why == "cancelled":
                await asyncio.wait_for(State.gate.reached.wait(), SECONDS)
                await asyncio.sleep(0.01)
                await run_.cancel()
            await asyncio.wait_for(run_.wait(), SECONDS)
        assert "LookupError" in str(engine.run_info(run_.id).error)
        return engine.run_info(run_.id).status

    assert asyncio.run(go()) is RunStatus.FAILED
    assert State.calls == ["never"]


@pytest.mark.parametrize("nap", ["ctx.sleep", "asyncio.sleep", "signal"])
def test_g10_so_does_one_that_sleeps(nap: str, kind: str, store: str) -> None:
    async def sleeps(event: Any, ctx: Any) -> None:
        try:
            if nap == "ctx.sleep":
                await ctx.sleep(3600)
            elif nap == "signal":
                await ctx.wait_for_signal("never")
            else:
                await asyncio.sleep(3600)
        finally:
            await ctx.durable_execute_async(echo, "clean up")

    def sleeps_plain(event: Any, ctx: Any) -> None:
        try:
            (ctx.wait_for_signal("never") if nap == "signal" else ctx.sleep(3600)).result()
        finally:
            ctx.durable_execute_async(echo, "clean up").result()

    # Many that wait, of which most leave memory meanwhile.
    inputs = [{"k": n} for n in range(5 if kind != OFF else 2)]
    config = config_of(kind, run_timeout=0.2, max_runs_in_flight=2)
    failed = failures(pick(kind, sleeps, sleeps_plain), inputs, store=store, config=config)
    assert "TimeoutError" in error_text(failed)
    assert len(failed.failed) == len(inputs)
    assert State.calls == ["clean up"] * len(inputs)


class Steps(Agent):
    """The first action completes, the second hangs."""

    @action(InputEvent)
    async def first(self, event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(echo, "first"))
        ctx.short_term_memory.set("seen", event.input["k"])
        ctx.send_event(Event(type="next", attributes={}))

    @action("next")
    async def second(self, event: Any, ctx: Any) -> None:
        if State.leg == 1:
            out(ctx, "never seen")
            await ctx.durable_execute_async(never, "never")
        out(ctx, ["second", ctx.short_term_memory.get("seen")])


def test_g10_what_had_completed_before_a_run_was_too_late_stays(store: str) -> None:
    failed = failures(Steps(), ONE, store=store, config={"run-timeout": 0.1})
    assert "TimeoutError" in error_text(failed)
    assert values(failed.outputs) == ["first"]
    assert State.calls == ["first", "never"]


def test_g10_a_run_put_back_by_hand_has_its_time_anew(store: str) -> None:
    async def go() -> list[Any]:
        engine = LocalEngine(store, config={"run-timeout": 0.3})
        async with engine.open(Steps()) as job:
            run_ = await job.submit({"k": "a"}, key="a")
            assert await asyncio.wait_for(run_.wait(), SECONDS) is RunStatus.FAILED
            await asyncio.sleep(0.3)  # counted from its first beginning it would be too late
            State.leg = 2
            await asyncio.to_thread(engine.retry, run_.id)
            deadline = time.monotonic() + SECONDS
            while engine.run_info(run_.id).status is not RunStatus.COMPLETED:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            return values(await run_.outputs())

    assert asyncio.run(go()) == ["first", ["second", "a"]]
    assert State.calls == ["first", "never"]


@pytest.mark.parametrize("where", ["in its first call", "after a call", "asleep"])
def test_g10_a_runs_time_goes_on_while_the_process_is_down(
    where: str, kind: str, store: str
) -> None:
    async def waits(event: Any, ctx: Any) -> None:
        if where == "after a call":
            await ctx.durable_execute_async(echo, "first")
        if where == "asleep":
            asleep = ctx.sleep(3600)
            await ctx.durable_execute_async(reach)
            await asleep
        await ctx.durable_execute_async(held_for_long)

    def waits_plain(event: Any, ctx: Any) -> None:
        if where == "after a call":
            ctx.durable_execute_async(echo, "first").result()
        if where == "asleep":
            asleep = ctx.sleep(0.001 if kind == OFF else 3600)
            ctx.durable_execute_async(reach).result()
            asleep.result()
        ctx.durable_execute_async(held_for_long).result()

    # Counted anew from the second leg on, the time would be enough but for the one asleep.
    agent, config = pick(kind, waits, waits_plain), config_of(kind, run_timeout=0.6)
    with pytest.raises(RunsFailedError) as caught:
        crash_and_resume(agent, ONE, store=store, config=config, pause=0.8)
    assert "TimeoutError" in error_text(caught.value)


async def reach() -> None:
    State.gate.reached.set()


# Shutdown is no outcome


async def leaves_the_loop() -> str:
    """End the process's event loop in the first leg, as a handler of SIGTERM may do."""
    if State.leg == 1:
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.Event().wait()
    return "went on"


async def converts() -> str:
    """Do the same, and make another error of the cancellation."""
    try:
        return await leaves_the_loop()
    except asyncio.CancelledError:
        raise OSError("connection lost") from None


@pytest.mark.parametrize("callee", [leaves_the_loop, converts])
def test_g9_a_loop_that_is_left_cancels_calls_and_that_is_no_outcome(
    callee: Any, kind: str, store: str
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        others = [ctx.durable_execute_async(echo_once, n) for n in range(3)]
        out(ctx, [await ctx.durable_execute_async(callee), *await asyncio.gather(*others)])

    def go_plain(event: Any, ctx: Any) -> None:
        out(ctx, [ctx.durable_execute_async(callee).result(), 0, 1, 2])

    agent = pick(kind, go, go_plain)
    engine = LocalEngine(store, config=config_of(kind))
    with pytest.raises(SystemExit):
        engine.run(agent, ONE, key="k")
    State.leg = 2
    assert values(engine.run(agent, ONE, key="k")) == [["went on", 0, 1, 2]]


async def echo_once(value: Any) -> Any:
    """Hang in the first leg."""
    if State.leg == 1:
        await asyncio.Event().wait()
    return value


@pytest.mark.parametrize("how", ["itself", "a task of its own"])
def test_g9_a_callable_that_cancels_itself_has_failed(how: str, kind: str, store: str) -> None:
    async def cancels() -> None:
        task = asyncio.current_task() if how == "itself" else asyncio.ensure_future(never("x"))
        assert task is not None
        task.cancel()
        await (asyncio.sleep(60) if how == "itself" else task)

    async def go(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in await ctx.gather(ctx.durable_execute_async(cancels))])

    def go_plain(event: Any, ctx: Any) -> None:
        out(ctx, [told(one) for one in ctx.gather(ctx.durable_execute_async(cancels))])

    results = run(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind))
    assert results == [["DurableCallError"]]


def test_g10_a_run_that_ends_in_time_is_not_disturbed(kind: str, store: str) -> None:
    async def quick(event: Any, ctx: Any) -> None:
        out(ctx, await ctx.durable_execute_async(echo, event.input["k"]))

    def quick_plain(event: Any, ctx: Any) -> None:
        out(ctx, ctx.durable_execute_async(echo, event.input["k"]).result())

    inputs = [{"k": n} for n in range(20)]
    config = config_of(kind, run_timeout=30)
    assert sorted(run(pick(kind, quick, quick_plain), inputs, store=store, config=config)) == list(
        range(20)
    )
