"""What a call waited for, in one number of eight bytes, and in its record."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RetryPolicy
from perdure.journal.waited import SHORTEST, Waited, pack_waited, unpack_waited
from perdure.operate.history import History
from perdure.operate.run_detail import CallInfo

MS, S = 1_000_000, 1_000_000_000
YEAR = 365 * 86_400 * S


@pytest.mark.parametrize("time", [SHORTEST, 1_234_567, 65_535_999, 65_536_000, 9 * S, 3 * YEAR])
@pytest.mark.parametrize("place", range(3))
def test_a_time_is_kept_to_a_thousandth(time: int, place: int) -> None:
    given = [0, 0, 0]
    given[place] = time
    packed = pack_waited(*given)
    assert packed is not None
    assert 0 < packed < 1 << 63
    found = unpack_waited(packed)
    assert found[place] == pytest.approx(time, rel=0.001)
    assert sum(found) == found[place]


def test_all_three_have_room_beside_each_other() -> None:
    packed = pack_waited(5 * MS, YEAR, 90 * S)
    assert packed is not None
    assert packed < 1 << 63
    assert unpack_waited(packed) == pytest.approx((5 * MS, YEAR, 90 * S), rel=0.001)
    longest = unpack_waited(pack_waited(10**30, 10**30, 10**30))
    assert min(longest) > 4 * YEAR  # what is longer is cut


def test_what_is_short_is_nothing_and_takes_no_room() -> None:
    assert pack_waited(SHORTEST - 1, 0, SHORTEST - 1) is None
    assert unpack_waited(None) == Waited()
    short = pack_waited(60 * MS, 0, 0)  # a thread that was soon free: two bytes
    assert short is not None
    assert short < 1 << 16


def calls_of(agent: Agent, tmp_path: Any, **config: Any) -> list[CallInfo]:
    store = f"sqlite:///{tmp_path / 'waited.db'}"
    LocalEngine(store, config=config).run(agent, [{"k": "a"}], key="k")
    with History.open(store) as history:
        (action,) = history.detail(history.choose_job(None), "r1").actions
    return list(action.calls)


@pytest.mark.parametrize("form", ["coroutine", "plain"])
def test_a_call_says_how_long_it_waited_for_a_thread(form: str, tmp_path: Any) -> None:
    began, free = threading.Event(), threading.Event()

    def first() -> None:
        began.set()
        free.wait()

    def second() -> str:
        return "done"

    async def let_go() -> None:
        # The second asks for a thread before this begins, and waits for longer than the first did.
        asked = time.monotonic()
        while not began.is_set():
            pass
        until = asked + (time.monotonic() - since[0]) + 0.05
        while time.monotonic() < until:
            pass
        free.set()

    since: list[float] = []

    def made(ctx: Any) -> list[Any]:
        since.append(time.monotonic())
        calls = [ctx.durable_execute_async(first), ctx.durable_execute_async(second)]
        return [*calls, ctx.durable_execute_async(let_go)]

    async def coroutine(event: Any, ctx: Any) -> None:
        for call in made(ctx):
            await call
        ctx.send_event(OutputEvent(output=1))

    def plain(event: Any, ctx: Any) -> None:
        for call in made(ctx):
            call.result()
        ctx.send_event(OutputEvent(output=1))

    action = coroutine if form == "coroutine" else plain
    agent = Agent().add_action("go", [InputEvent], action)
    one, two, _ = calls_of(agent, tmp_path, **{"num-async-threads": 1})
    assert one.waited_for_thread < two.waited_for_thread
    assert two.waited_for_thread >= 40 * MS
    assert two.waited_for_limit == two.waited_for_retries == 0


def test_a_call_says_how_long_it_waited_for_its_limit_and_its_retries(tmp_path: Any) -> None:
    tries: list[str] = []

    async def flaky() -> str:
        tries.append("flaky")
        if len(tries) == 1:
            raise ConnectionError("busy")
        return "done"

    async def go(event: Any, ctx: Any) -> None:
        patient = ctx.with_options(limit="slow", retry=RetryPolicy(initial_interval=0.2, jitter=0))
        await patient.durable_execute_async(flaky)
        ctx.send_event(OutputEvent(output=1))

    agent = Agent().add_action("go", [InputEvent], go)
    # A second start within a second waits for the rate, behind its pause.
    limits = {"limits.slow.rate": "1/1s"}
    (call,) = calls_of(agent, tmp_path, **limits)
    assert call.attempts == 2
    assert call.waited_for_retries >= 190 * MS
    assert call.waited_for_thread == 0
    # Both together take as long as the rate asks for, whichever of them it was.
    assert call.waited_for_limit + call.waited_for_retries >= 900 * MS
