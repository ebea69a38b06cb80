"""TimerService: many durable timers, one timer of the host loop."""

from __future__ import annotations

import asyncio
import time
import weakref

import pytest
from tests.patience import PATIENCE
from tests.unit.action_driver import on_host

from perdure.runtime.shared import timers
from perdure.runtime.shared.timers import TimerService

pytestmark = pytest.mark.usefixtures("no_blocking")
MS = 1_000_000
HOUR_NS = 3_600_000 * MS


@on_host
async def test_g12_timers_fire_in_the_order_of_their_deadlines() -> None:
    service = TimerService()
    fired: list[int] = []
    now = time.time_ns()
    for ms in (30, 10, 20, 0):
        service.arm(now + ms * MS, lambda ms=ms: fired.append(ms))
    assert fired == []
    await asyncio.sleep(0.06)
    assert fired == [0, 10, 20, 30]


@on_host
async def test_timers_of_one_deadline_fire_in_the_order_of_their_arming() -> None:
    service = TimerService()
    fired: list[int] = []
    deadline = time.time_ns() + 5 * MS
    for n in range(20):
        service.arm(deadline, lambda n=n: fired.append(n))
    await asyncio.sleep(0.03)
    assert fired == list(range(20))


@on_host
async def test_a_timer_never_fires_early_or_inside_arm() -> None:
    service = TimerService()
    late: list[int] = []
    deadline = time.time_ns() + 15 * MS
    service.arm(deadline, lambda: late.append(time.time_ns() - deadline))
    service.arm(0, lambda: late.append(0))
    assert late == []
    await asyncio.sleep(0.04)
    assert late[0] == 0
    assert late[1] >= 0


@on_host
async def test_all_timers_share_one_of_the_host() -> None:
    service = TimerService()
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", None)
    if scheduled is None:
        pytest.skip("only asyncio's own loop shows its timers")
    now = time.time_ns()
    for n in range(1_000, 0, -1):
        service.arm(now + 3_600_000 * MS + n * MS, lambda: None)
    assert len([handle for handle in scheduled if not handle.cancelled()]) == 1
    service.close()


@on_host
async def test_g12_a_clock_that_jumps_forward_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "LOOK_AGAIN", 0.01)
    ahead = 0
    service = TimerService(lambda: time.time_ns() + ahead)
    due, later = asyncio.Event(), asyncio.Event()
    service.arm(time.time_ns() + HOUR_NS, due.set)
    service.arm(time.time_ns() + 3 * HOUR_NS, later.set)
    await asyncio.sleep(0.03)
    assert not due.is_set(), "looking again fires nothing early"
    ahead = 2 * HOUR_NS
    await asyncio.wait_for(due.wait(), PATIENCE)
    assert not later.is_set()
    service.close()


@on_host
async def test_the_time_is_looked_at_again_only_while_a_timer_is_armed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timers, "LOOK_AGAIN", 0.01)
    looks: list[int] = []
    service = TimerService(lambda: looks.append(1) or time.time_ns())
    service.cancel(service.arm(time.time_ns() + 5 * MS, lambda: None))
    await asyncio.sleep(0.03)
    seen = len(looks)
    await asyncio.sleep(0.03)
    assert len(looks) == seen


@on_host
async def test_an_earlier_timer_goes_before_a_later_one_that_was_armed_first() -> None:
    service = TimerService()
    fired: list[str] = []
    now = time.time_ns()
    service.arm(now + 3_600_000 * MS, lambda: fired.append("later"))
    service.arm(now + 5 * MS, lambda: fired.append("soon"))
    await asyncio.sleep(0.03)
    assert fired == ["soon"]
    service.close()


@on_host
async def test_a_cancelled_timer_does_not_fire_and_holds_nothing() -> None:
    class Held:
        def fire(self) -> None:
            fired.append("never")

    service = TimerService()
    fired: list[str] = []
    held = Held()
    seen = weakref.ref(held)
    timer = service.arm(time.time_ns() + 5 * MS, held.fire)
    service.arm(time.time_ns() + 6 * MS, lambda: fired.append("other"))
    service.cancel(timer)
    service.cancel(timer)
    del held
    assert seen() is None
    await asyncio.sleep(0.03)
    assert fired == ["other"]
    service.cancel(timer)


@on_host
async def test_cancelled_timers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "COMPACT_ABOVE", 10)
    service = TimerService()
    fired: list[str] = []
    now = time.time_ns()
    service.arm(now + 10 * MS, lambda: fired.append("kept"))
    for n in range(500):
        service.cancel(service.arm(now + 3_600_000 * MS + n, lambda: fired.append("never")))
    assert len(service._heap) < 30
    await asyncio.sleep(0.03)
    assert fired == ["kept"]
    service.close()


@on_host
async def test_a_callback_may_arm_and_cancel() -> None:
    service = TimerService()
    fired: list[str] = []
    now = time.time_ns()
    victim = service.arm(now + 6 * MS, lambda: fired.append("never"))

    def first() -> None:
        fired.append("first")
        service.cancel(victim)
        service.arm(0, lambda: fired.append("second"))

    service.arm(now + 5 * MS, first)
    await asyncio.sleep(0.04)
    assert fired == ["first", "second"]


@on_host
async def test_a_closed_service_fires_nothing() -> None:
    service = TimerService()
    fired: list[str] = []
    service.arm(time.time_ns() + 2 * MS, lambda: fired.append("never"))
    service.close()
    service.close()
    await asyncio.sleep(0.01)
    assert fired == []


@on_host
async def test_a_callback_that_fails_silences_no_other_and_is_told() -> None:
    told: list[BaseException] = []
    service = TimerService(time.time_ns, told.append)
    fired: list[str] = []

    def fails() -> None:
        raise ValueError("in a callback")

    now = time.time_ns()
    service.arm(now, fails)
    service.arm(now, lambda: fired.append("behind it"))
    service.arm(now + MS, lambda: fired.append("later"))
    await asyncio.sleep(0.02)
    assert fired == ["behind it", "later"]
    assert [str(error) for error in told] == ["in a callback"]


@on_host
async def test_an_interrupt_in_a_callback_leaves_the_others_armed() -> None:
    service = TimerService()
    fired: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    now = time.time_ns()
    service.arm(0, interrupted)
    service.arm(now, lambda: fired.append("next"))
    with pytest.raises(KeyboardInterrupt):
        service._fire()
    await asyncio.sleep(0.02)
    assert fired == ["next"]
