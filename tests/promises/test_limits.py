"""G20: named limits and the pool of threads bound what executes at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from tests.inside import services_of
from tests.promises.support import (
    OFF,
    ONE,
    SECONDS,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    echo,
    error_text,
    failures,
    hold,
    out,
    pick,
    run,
)

from perdure import Event, Limit, LocalEngine, RetryPolicy, durable
from perdure.executor.limits import Limits

NONE = "none of it"


class Inside:
    """How many callables execute at this moment, and how many did at most."""

    lock = threading.Lock()
    now = 0
    most = 0


@pytest.fixture(autouse=True)
def nobody_inside() -> None:
    Inside.now = Inside.most = 0


def enter() -> None:
    with Inside.lock:
        Inside.now += 1
        Inside.most = max(Inside.most, Inside.now)


def leave() -> None:
    with Inside.lock:
        Inside.now -= 1


async def counted(n: int, seconds: float = 0.002) -> int:
    enter()
    try:
        await asyncio.sleep(seconds)
    finally:
        leave()
    return n


def counted_plain(n: int, seconds: float = 0.002) -> int:
    enter()
    time.sleep(seconds)
    leave()
    return n


def limited(concurrency: int | None = None, **more: Any) -> dict[str, Any]:
    """Return a configuration with the limit `api`."""
    rate = {name: more.pop(name) for name in ("rate", "per") if name in more}
    return {"limits": {"api": Limit(concurrency=concurrency, **rate)}, **more}


# Concurrency


@pytest.mark.parametrize("callee", [counted, counted_plain], ids=["coroutine", "thread"])
def test_g20_no_more_attempts_run_than_a_limit_allows(callee: Any, kind: str, store: str) -> None:
    async def many(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        calls = [api.durable_execute_async(callee, n) for n in range(5)]
        out(ctx, sum(await asyncio.gather(*calls)))

    def many_plain(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        calls = [api.durable_execute_async(callee, n) for n in range(5)]
        out(ctx, sum(call.result() for call in calls))

    config = config_of(kind) | limited(3, **{"num-async-threads": 16})
    inputs = [{"k": n} for n in range(30)]
    results = run(pick(kind, many, many_plain), inputs, store=store, config=config)
    assert results == [10] * 30
    # Without continuations plain actions run one at a time, and so do their calls.
    assert Inside.most == (1 if kind == OFF else 3)


def test_g20_calls_without_the_limit_are_not_bounded_by_it() -> None:
    async def many(event: Any, ctx: Any) -> None:
        free = [ctx.durable_execute_async(counted, n, 0.05) for n in range(9)]
        bound = ctx.with_options(limit="api").durable_execute_async(echo, 1)
        await asyncio.gather(bound, *free)
        out(ctx, "done")

    assert run(agent_of(many), ONE, config=limited(1)) == ["done"]
    assert Inside.most == 9


@durable(limit="api")
async def declared(n: int) -> int:
    return await counted(n)


def test_g20_a_limit_may_be_declared_with_the_function() -> None:
    async def many(event: Any, ctx: Any) -> None:
        calls = [ctx.durable_execute_async(declared, n) for n in range(20)]
        out(ctx, sum(await asyncio.gather(*calls)))

    assert run(agent_of(many), ONE, config=limited(2)) == [190]
    assert Inside.most == 2


def test_g20_inline_calls_wait_for_the_limit_and_the_host_does_not(kind: str, store: str) -> None:
    async def mixed(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        first = api.durable_execute_async(counted, 1, 0.02)
        inline = api.durable_execute(counted_plain, 2, 0.0)
        out(ctx, [inline, await first, first.done()])

    def mixed_plain(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        first = api.durable_execute_async(counted, 1, 0.02)
        inline = api.durable_execute(counted_plain, 2, 0.0)
        out(ctx, [inline, first.result(), first.done()])

    inputs = [{"k": n} for n in range(8)]
    agent = pick(kind, mixed, mixed_plain)
    results = run(agent, inputs, store=store, config=config_of(kind) | limited(1))
    assert results == [[2, 1, True]] * 8
    assert Inside.most == 1


def test_g20_many_inline_calls_in_a_row_under_a_limit(kind: str) -> None:
    async def rows(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        out(ctx, [api.durable_execute(counted_plain, n, 0.0) for n in range(20)])

    def rows_plain(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        out(ctx, [api.durable_execute(counted_plain, n, 0.0) for n in range(20)])

    inputs = [{"k": n} for n in range(5)]
    results = run(pick(kind, rows, rows_plain), inputs, config=config_of(kind) | limited(1))
    assert results == [list(range(20))] * 5


# Rate


def test_g20_no_more_attempts_begin_than_a_rate_allows(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []
    acquire = Limits.acquire

    def watched(self: Limits, name: str, key: Any, start: Any) -> Any:
        def begins() -> None:
            begun.append(time.time())
            start()

        return acquire(self, name, key, begins)

    async def many(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        await asyncio.gather(*(api.durable_execute_async(echo, n) for n in range(4)))
        out(ctx, "done")

    monkeypatch.setattr(Limits, "acquire", watched)
    config = limited(rate=5, per=0.2)
    inputs = [{"k": n} for n in range(5)]
    assert run(agent_of(many), inputs, store=store, config=config) == ["done"] * 5
    assert len(begun) == 20
    # Taken a moment after the limit has taken its own time: up to 50 ms of that are let pass.
    assert all(later - earlier > 0.15 for earlier, later in zip(begun, begun[5:], strict=False))
    assert begun[-1] - begun[0] > 0.55


NEVER_AGAIN = {"rate": 1, "per": 1_000.0}


def test_g20_what_waits_for_a_thread_keeps_its_place_in_a_rate(store: str) -> None:
    """However many windows go by: all of them could begin in one moment."""
    blocking, release = threading.Event(), threading.Event()

    def blocks() -> None:
        blocking.set()
        release.wait(SECONDS)

    async def waits(event: Any, ctx: Any) -> None:
        blocked = ctx.durable_execute_async(blocks)
        api = ctx.with_options(limit="api")
        await asyncio.gather(blocked, *(api.durable_execute_async(str, n) for n in range(6)))

    async def go() -> None:
        config = limited(rate=2, per=0.01, **{"num-async-threads": 1})
        async with LocalEngine(store, config=config).open(agent_of(waits)) as job:
            one = await job.submit({}, key="a")
            await asyncio.to_thread(blocking.wait, SECONDS)
            await asyncio.sleep(0.1)
            usage = services_of(job).limits.usage["api"]
            release.set()
            await asyncio.wait_for(one.wait(), SECONDS)
            assert tuple(usage) == (2, 4)

    asyncio.run(go())


def test_g20_a_call_that_was_cancelled_before_it_began_leaves_a_rate_to_the_next(
    store: str,
) -> None:
    release = threading.Event()

    async def cancels(event: Any, ctx: Any) -> None:
        blocked = ctx.durable_execute_async(release.wait, SECONDS, durable_id="blocks")
        api = ctx.with_options(limit="api")
        never = api.durable_execute_async(counted_plain, 1)
        await ctx.sleep(0.01)
        never.cancel()
        out(ctx, await api.durable_execute_async(echo, "next"))
        release.set()
        await blocked

    config = limited(**NEVER_AGAIN, **{"num-async-threads": 1, "run-timeout": SECONDS})
    assert run(agent_of(cancels), ONE, store=store, config=config) == ["next"]
    assert Inside.most == 0


@pytest.mark.parametrize("callee", [echo, counted_plain, "inline"])
@pytest.mark.parametrize("limit", ["api", ("room", "api")])
def test_g20_whatever_has_begun_counts_in_a_rate(callee: Any, limit: Any, store: str) -> None:
    async def twice(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit=limit)
        if callee == "inline":
            api.durable_execute(counted_plain, 1)
        else:
            await api.durable_execute_async(callee, 1)
        again = api.durable_execute_async(echo, 2)
        await ctx.sleep(0.05)
        out(ctx, again.done())
        again.cancel()

    config = limited(**NEVER_AGAIN)
    config["limits"]["room"] = Limit(concurrency=5)
    assert run(agent_of(twice), ONE, store=store, config=config) == [False]


# Fairness


def overtaken(hot: int, config: dict[str, Any], callee: Any, limit: bool) -> int:
    """Return how many calls of a hot run begin while a call of another key waits its turn."""

    async def hot_or_cold(event: Any, ctx: Any) -> None:
        under = ctx.with_options(limit="api") if limit else ctx
        if event.input["k"] == "hot":
            calls = [under.durable_execute_async(callee, f"hot {n}", 0.002) for n in range(hot)]
            ctx.send_event(Event(type="made", attributes={}))
            await asyncio.gather(*calls)
        else:
            while not any(str(call).startswith("hot") for call in State.calls):
                await ctx.sleep(0.002)
            State.calls.append("made")
            await under.durable_execute_async(callee, "cold", 0.002)
        out(ctx, event.input["k"])

    inputs = [{"k": "hot"}, {"k": "cold"}]
    assert run(agent_of(hot_or_cold), inputs, config=config) == ["cold", "hot"]
    assert len(State.calls) == hot + 2
    between = State.calls[State.calls.index("made") : State.calls.index("cold")]
    return len(between) - 1


def test_g20_a_hot_run_does_not_keep_a_limit_from_other_keys() -> None:
    assert overtaken(200, limited(2), echo, limit=True) <= 4


def plainly(value: str, seconds: float) -> str:
    State.calls.append(value)
    time.sleep(seconds)
    return value


def test_g20_a_hot_run_does_not_keep_the_threads_from_other_keys() -> None:
    # As much again as executes has been handed to the threads.
    assert overtaken(200, {"num-async-threads": 2}, plainly, limit=False) <= 8


def test_g20_a_saturated_pool_does_not_block_the_loop(store: str) -> None:
    release = threading.Event()

    def blocks(n: int) -> int:
        release.wait(SECONDS)
        return n

    async def frees() -> str:
        release.set()
        return "free"

    async def saturates(event: Any, ctx: Any) -> None:
        blocked = [ctx.durable_execute_async(blocks, n) for n in range(40)]
        seen = [await ctx.durable_execute_async(echo, "meanwhile"), sum(b.done() for b in blocked)]
        await ctx.sleep(0.01)
        await ctx.durable_execute_async(frees)
        out(ctx, [*seen, sum(await asyncio.gather(*blocked))])

    config = {"num-async-threads": 2}
    assert run(agent_of(saturates), ONE, store=store, config=config) == [["meanwhile", 0, 780]]


# Names that there are not


def test_g20_an_unknown_limit_is_refused_where_it_is_named(kind: str) -> None:
    async def names(event: Any, ctx: Any) -> None:
        ctx.with_options(limit="apl")

    def names_plain(event: Any, ctx: Any) -> None:
        ctx.with_options(limit="apl")

    agent = pick(kind, names, names_plain)
    message = error_text(failures(agent, ONE, config=config_of(kind) | limited(1)))
    for part in ("ConfigurationError", "'apl'", "'api'"):
        assert part in message


@durable(limit="nowhere")
async def nowhere() -> None:
    State.calls.append("executed")


def test_g20_an_unknown_limit_of_a_function_is_refused_at_its_call(kind: str) -> None:
    async def calls(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(nowhere)

    def calls_plain(event: Any, ctx: Any) -> None:
        ctx.durable_execute_async(nowhere).result()

    agent = pick(kind, calls, calls_plain)
    message = error_text(failures(agent, ONE, config=config_of(kind)))
    for part in ("ConfigurationError", "'nowhere'", "limits.nowhere.concurrency"):
        assert part in message
    assert State.calls == []


# Together with the rest of what a call may have


async def fails_once(name: str) -> str:
    State.calls.append(name)
    if State.calls.count(name) == 1:
        raise OSError(name)
    return name


def test_g20_a_place_is_free_during_a_back_off(store: str) -> None:
    async def both(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        again = RetryPolicy(max_attempts=2, initial_interval=0.15, jitter=0.0)
        failing = api.with_options(retry=again).durable_execute_async(fails_once, "failing")
        other = api.durable_execute_async(echo, "other")
        out(ctx, [await other, failing.done(), await failing])

    config = limited(1)
    results = run(agent_of(both), ONE, store=store, config=config)
    assert results == [["other", False, "failing"]]
    assert State.calls == ["failing", "other", "failing"]


async def never() -> None:
    State.calls.append("never")
    await asyncio.Event().wait()


@pytest.mark.parametrize("in_thread", [False, True], ids=["coroutine", "thread"])
def test_g20_a_call_that_has_timed_out_leaves_its_place(in_thread: bool, store: str) -> None:
    ended = threading.Event()

    def hangs() -> None:
        State.calls.append("never")
        ended.wait(SECONDS)

    async def both(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api", timeout=0.05)
        hung = api.durable_execute_async(hangs if in_thread else never)
        other = ctx.with_options(limit="api").durable_execute_async(echo, "other")
        (outcome,) = await ctx.gather(hung)
        out(ctx, [type(outcome.error).__name__, await other])

    try:
        results = run(agent_of(both), ONE, store=store, config=limited(1))
    finally:
        ended.set()
    assert results == [["TimeoutError", "other"]]
    assert State.calls == ["never", "other"]


@pytest.mark.parametrize("inline", [False, True], ids=["waits", "inline waits"])
def test_g20_a_cancelled_call_leaves_the_queue(inline: bool, store: str) -> None:
    async def held(name: str) -> str:
        State.calls.append(name)
        await hold()
        return name

    async def release() -> None:
        State.gate.release()

    async def three(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        first = api.durable_execute_async(held, "first")
        second = api.durable_execute_async(echo, "second")
        third = api.durable_execute_async(echo, "third")
        if inline:
            ctx.durable_execute(str)
        else:
            await ctx.sleep(0.001)
        second.cancel()
        await ctx.durable_execute_async(release)
        out(ctx, [await third, await first, second.cancelled()])

    results = run(agent_of(three), ONE, store=store, config=limited(1))
    assert results == [["third", "first", True]]
    assert State.calls == ["first", "third"]


def test_g20_a_cancelled_call_that_executes_leaves_its_place(store: str) -> None:
    async def two(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        first = api.durable_execute_async(never)
        second = api.durable_execute_async(echo, "second")
        await ctx.sleep(0.01)
        first.cancel()
        out(ctx, await second)

    assert run(agent_of(two), ONE, store=store, config=limited(1)) == ["second"]


def test_g20_an_action_that_ends_leaves_its_places_and_its_queue(store: str) -> None:
    async def leaves(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        if event.input["k"] == "leaves":
            for _ in range(5):
                api.durable_execute_async(never)
            await ctx.sleep(0.01)
            out(ctx, "left")
        else:
            await asyncio.sleep(0.005)
            out(ctx, await api.durable_execute_async(echo, "next"))

    inputs = [{"k": "leaves"}, {"k": "stays"}]
    assert run(agent_of(leaves), inputs, store=store, config=limited(1)) == ["left", "next"]
    assert State.calls == ["never", "next"]


async def transfers(amount: int) -> str:
    State.calls.append(f"transfer {amount}")
    enter()
    await hold()
    leave()
    return "executed"


async def ask(amount: int) -> str:
    State.calls.append(f"ask {amount}")
    await counted(amount, 0.01)
    return f"asked {amount}"


def test_g20_a_reconciler_waits_for_the_limit_of_its_call(store: str) -> None:
    async def pays(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api", reconciler=ask)
        out(ctx, await asyncio.gather(*(api.durable_execute_async(transfers, n) for n in (1, 2))))

    results = crash_and_resume(agent_of(pays), ONE, store=store, config=limited(1))
    # The second call waited for the first at the crash: it is in no doubt.
    assert results == [["asked 1", "executed"]]
    assert State.calls == ["transfer 1", "ask 1", "transfer 2"]
    assert Inside.most == 2  # the call that the crash left behind is one


def test_g20_limits_hold_over_a_crash(kind: str, store: str) -> None:
    async def many(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        calls = [api.durable_execute_async(counted, n) for n in range(6)]
        stuck = ctx.durable_execute_async(hold)
        out(ctx, [sum(await asyncio.gather(*calls)), await stuck])

    def many_plain(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api")
        calls = [api.durable_execute_async(counted, n) for n in range(6)]
        stuck = ctx.durable_execute_async(hold)
        out(ctx, [sum(call.result() for call in calls), stuck.result()])

    config = config_of(kind) | limited(2)
    results = crash_and_resume(pick(kind, many, many_plain), ONE, store=store, config=config)
    assert results == [[15, "held"]]
    assert Inside.most <= 2


def test_g20_nothing_of_a_limit_stays_behind(store: str) -> None:
    async def many(event: Any, ctx: Any) -> None:
        api = ctx.with_options(limit="api", timeout=0.05)
        calls = [api.durable_execute_async(echo, n) for n in range(4)]
        calls.append(api.durable_execute_async(never))
        calls.append(api.durable_execute_async(echo, "cancelled"))
        calls[-1].cancel()
        await ctx.gather(*calls)
        ctx.durable_execute(str)

    async def go() -> Any:
        async with LocalEngine(store, config=limited(2)).open(agent_of(many)) as job:
            runs = [await job.submit({}, key=n) for n in range(10)]
            for one in runs:
                await asyncio.wait_for(one.wait(), SECONDS)
            return services_of(job).limits.usage["api"]

    assert tuple(asyncio.run(go())) == (0, 0)
