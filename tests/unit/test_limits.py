"""Limits: concurrency, an exact rate, turns between keys, one timer and no polling."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.patience import PATIENCE
from tests.unit.action_driver import on_host

from perdure.call import Limit
from perdure.errors import ConfigurationError
from perdure.executor.limits import Limits, LimitUsage, Permit
from perdure.runtime.shared.timers import TimerService

SECOND = 1_000_000_000


class World:
    """One limit `x` under a clock that the test moves.

    Attributes:
        started: what was started, in order; it begins in the same moment.
        starts: when, ns.
        running: of that, what has not ended.
        timers: deadlines and callbacks armed and not fired.
        armed: how many timers there have ever been.
    """

    def __init__(self, **limit: Any) -> None:
        self.now = 1_700_000_000 * SECOND
        self.timers: list[tuple[int, Callable[[], None]]] = []
        self.armed = 0
        self.started: list[Any] = []
        self.starts: list[int] = []
        self.running: dict[Any, Permit] = {}
        self.permits: dict[Any, Permit] = {}
        self.limits = Limits({"x": Limit(**limit)}, lambda: self.now, self._arm)

    def _arm(self, deadline: int, callback: Callable[[], None]) -> None:
        self.armed += 1
        self.timers.append((deadline, callback))
        assert len(self.timers) == 1, "one timer for a limit is enough"

    @property
    def usage(self) -> LimitUsage:
        return self.limits.usage["x"]

    def acquire(
        self, item: Any, key: Any = None, *, then: Callable[[], None] | None = None
    ) -> None:
        def start() -> None:
            self.started.append(item)
            self.starts.append(self.now)
            if item in self.permits:
                self.permits[item].began()
            if then is not None:
                then()

        self.permits[item] = permit = self.limits.acquire("x", key, start)
        permit.began()  # does nothing while it waits

    def release(self, *items: Any) -> None:
        for item in items:
            self.permits[item].release()

    def advance(self, ns: int) -> None:
        """Move the clock, firing timers at their moment."""
        until = self.now + ns
        while self.timers and self.timers[0][0] <= until:
            deadline, callback = self.timers.pop()
            self.now = max(self.now, deadline)
            callback()
        self.now = until


# Names


def limits_named(*names: str) -> Limits:
    return Limits({name: Limit(concurrency=1) for name in names}, time.time_ns, lambda *_: None)


def test_a_name_that_is_not_configured_is_refused_with_the_nearest_one() -> None:
    limits = limits_named("openai", "search")
    limits.check("openai")
    said = "limit 'opneai' is not configured: did you mean 'openai'.*limits.opneai.concurrency"
    with pytest.raises(ConfigurationError, match=said):
        limits.check("opneai")
    with pytest.raises(ConfigurationError, match=said):
        limits.acquire("opneai", "k", lambda: None)


def test_a_name_that_resembles_none_is_refused_with_its_option() -> None:
    with pytest.raises(ConfigurationError, match=r"configured: set the option limits\.x\."):
        limits_named().check("x")


def test_limits_do_not_share_anything() -> None:
    limits = limits_named("a", "b")
    started: list[str] = []
    for name in ("a", "a", "b"):
        limits.acquire(name, None, lambda name=name: started.append(name))
    assert started == ["a", "b"]
    assert limits.usage == {"a": LimitUsage(1, 1), "b": LimitUsage(1, 0)}


# Concurrency


def test_what_has_room_starts_inside_acquire_and_the_rest_as_room_comes() -> None:
    world = World(concurrency=2)
    for item in range(5):
        world.acquire(item)
    assert world.started == [0, 1]
    assert world.usage == LimitUsage(running=2, waiting=3)
    world.release(1)
    assert world.started == [0, 1, 2]
    world.release(0, 2)
    assert world.started == [0, 1, 2, 3, 4]
    world.release(3, 4)
    assert world.usage == LimitUsage(0, 0)
    assert world.armed == 0


def test_release_counts_once() -> None:
    world = World(concurrency=1)
    for item in range(3):
        world.acquire(item)
    world.release(0, 0, 0)
    assert world.started == [0, 1]
    assert world.usage == LimitUsage(1, 1)


def test_a_released_permit_that_waits_never_starts() -> None:
    world = World(concurrency=1)
    for item in range(3):
        world.acquire(item)
    assert world.permits[1].waiting
    world.release(1, 1)
    assert not world.permits[1].waiting
    assert world.usage == LimitUsage(1, 1)
    world.release(0)
    assert world.started == [0, 2]


def test_one_hot_key_delays_another_by_at_most_one_start() -> None:
    world = World(concurrency=1)
    for item in range(1_001):
        world.acquire(item, "hot")
    world.acquire("single", "other")
    world.release(0)
    world.release(1)
    assert world.started == [0, 1, "single"]


def test_an_attempt_that_ends_at_once_needs_no_stack_for_those_behind_it() -> None:
    world = World(concurrency=1)
    world.acquire("first")
    count = 20_000
    for item in range(count):
        world.acquire(item, item % 7, then=lambda item=item: world.release(item))
    assert world.started == ["first"]
    world.release("first")
    assert len(world.started) == count + 1
    assert world.usage == LimitUsage(0, 0)


def test_an_attempt_that_acquires_as_it_starts_needs_no_deeper_stack_either() -> None:
    world = World(concurrency=5_000)

    def again(item: int) -> None:
        if item < 5_000:
            world.acquire(item, then=lambda: again(item + 1))

    again(0)
    assert world.started == list(range(5_000))


# Failing starts


def test_a_start_that_raises_inside_acquire_raises_there_and_takes_no_room() -> None:
    world = World(concurrency=1)
    with pytest.raises(ZeroDivisionError):
        world.acquire("bad", then=lambda: 1 / 0)
    assert world.usage == LimitUsage(0, 0)
    world.acquire("good")
    assert world.started == ["bad", "good"]


def test_a_start_that_raises_later_is_logged_and_the_next_one_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(concurrency=1)
    world.acquire("first")
    world.acquire("bad", then=lambda: 1 / 0)
    world.acquire("good")
    with caplog.at_level(logging.ERROR):
        world.release("first")
    assert world.started == ["first", "bad", "good"]
    assert world.usage == LimitUsage(1, 0)
    assert "limit 'x': an attempt could not be started" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    world.release("bad")
    assert world.usage == LimitUsage(1, 0)


def test_an_interrupted_start_passes_on_and_the_others_go_on_later() -> None:
    world = World(concurrency=1)
    world.acquire("first")

    def interrupt() -> None:
        raise KeyboardInterrupt

    world.acquire("bad", then=interrupt)
    world.acquire("good")
    with pytest.raises(KeyboardInterrupt):
        world.release("first")
    assert world.started == ["first", "bad"]
    world.advance(0)
    assert world.started == ["first", "bad", "good"]
    assert world.usage == LimitUsage(1, 0)


# Rate


def test_the_window_slides_to_the_nanosecond() -> None:
    world = World(rate=2, per=1.0)
    world.acquire(0)
    world.advance(SECOND // 4)
    for item in range(1, 5):
        world.acquire(item)
    assert world.started == [0, 1]
    world.advance(SECOND * 3 // 4 - 1)
    assert world.started == [0, 1]
    world.advance(1)
    assert world.started == [0, 1, 2]
    world.advance(SECOND // 4)
    assert world.started == [0, 1, 2, 3]
    world.advance(SECOND)
    assert world.started == [0, 1, 2, 3, 4]
    assert world.armed == 3  # one for each that had to wait
    assert world.timers == []


def test_no_timer_without_anything_that_waits_for_it() -> None:
    world = World(rate=2, concurrency=2, per=1.0)
    world.acquire(0)
    world.acquire(1)
    world.acquire(2)
    assert world.timers == []  # the concurrency holds it, and its end will tell
    world.release(0)
    assert [deadline for deadline, _ in world.timers] == [world.now + SECOND]
    world.release(2)
    world.advance(10 * SECOND)
    assert world.timers == []
    assert world.armed == 1


def test_a_timer_that_is_late_hurts_nobody() -> None:
    world = World(rate=1, per=1.0)
    for item in range(3):
        world.acquire(item, item)
    world.now += 5 * SECOND
    world.acquire(3, 3)  # the timer has not fired: what waits goes first
    assert world.started == [0, 1]
    world.advance(0)  # fires in vain
    assert world.started == [0, 1]
    world.advance(2 * SECOND)
    assert world.started == [0, 1, 2, 3]


def test_what_begins_late_counts_from_then() -> None:
    world = World(rate=2, per=1.0)
    late = [world.limits.acquire("x", None, lambda: None) for _ in range(2)]
    world.acquire("after")
    world.advance(5 * SECOND)
    assert world.started == []  # two may begin at any moment
    assert world.timers == []
    late[0].began()
    world.advance(SECOND - 1)
    late[1].began()
    late[1].began()
    assert world.started == []
    world.advance(1)
    assert world.started == ["after"]
    world.acquire("last")
    world.advance(SECOND - 2)
    assert world.started == ["after"]
    world.advance(1)
    assert world.started == ["after", "last"]


def test_what_never_begins_counts_for_nothing() -> None:
    world = World(rate=1, per=1.0)
    never = world.limits.acquire("x", None, lambda: None)
    world.acquire("next")
    never.release()
    never.began()
    assert world.started == ["next"]
    world.acquire("later")
    assert world.started == ["next"]


def test_a_rate_without_a_practical_bound_keeps_what_is_in_its_window_alone() -> None:
    world = World(rate=2**63, per=1.0)
    for item in range(100):
        world.acquire(item)
        world.release(item)
        world.advance(SECOND // 4)
    assert len(world.started) == 100
    assert len(world.limits._gates["x"]._begun) <= 4


@on_host
async def test_the_timers_of_the_runtime_serve_a_rate() -> None:
    timers = TimerService()
    limits = Limits({"x": Limit(rate=2, per=0.02)}, time.time_ns, timers.arm)
    starts: list[int] = []
    permits: list[Permit] = []

    def start() -> None:
        starts.append(time.time_ns())
        for each in permits:
            each.began()

    for _ in range(6):
        permits.append(limits.acquire("x", None, start))
        permits[-1].began()
    assert len(starts) == 2
    async with asyncio.timeout(PATIENCE):
        while len(starts) < 6:
            await asyncio.sleep(0.01)
    assert starts[-1] - starts[0] >= 0.039e9
    assert timers._heap == []


# Anything


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("acquire"), st.integers(0, 2)),
        st.tuples(st.just("acquire and end"), st.integers(0, 2)),
        st.tuples(st.just("acquire and fail"), st.integers(0, 2)),
        st.tuples(st.just("release"), st.integers(0, 99)),
        st.tuples(st.just("cancel"), st.integers(0, 99)),
        st.tuples(st.just("advance"), st.integers(0, 25)),
    ),
    max_size=50,
)


class Model(World):
    """Whatever happens: never too many, never too fast, nothing left behind."""

    def __init__(self, concurrency: int | None, rate: int | None) -> None:
        super().__init__(concurrency=concurrency, rate=rate, per=1e-8)  # 10 ns
        self.bounds = (concurrency or 10**9, rate or 10**9)
        self.live: set[int] = set()
        self.cancelled: set[int] = set()
        self.count = itertools.count()

    def step(self, step: str, value: int) -> None:
        if step.startswith("acquire"):
            self.attempt(next(self.count), value, step.removeprefix("acquire").strip())
        elif step == "advance":
            self.advance(value)
        else:
            waiting = {item for item, permit in self.permits.items() if permit.waiting}
            chosen = sorted(self.live if step == "release" else waiting)
            if chosen:
                item = chosen[value % len(chosen)]
                if step == "cancel":
                    self.cancelled.add(item)
                self.end(item)
        self.judge()

    def attempt(self, item: int, key: int, how: str) -> None:
        def then() -> None:
            self.live.add(item)
            self.judge_bounds()
            if how == "fail":
                self.live.discard(item)
                if item not in self.permits:  # it failed before it could begin
                    self.starts.pop()
                raise ZeroDivisionError
            if how == "end" and item in self.permits:
                self.end(item)

        try:
            self.acquire(item, key, then=then)
        except ZeroDivisionError:
            return
        if how == "end" and item in self.live:
            self.end(item)

    def end(self, item: int) -> None:
        self.live.discard(item)
        self.release(item)

    def judge_bounds(self) -> None:
        concurrency, rate = self.bounds
        assert len(self.live) <= concurrency
        assert len(self.starts) <= rate or self.starts[-1] - self.starts[-1 - rate] >= 10

    def judge(self) -> None:
        self.judge_bounds()
        assert self.usage.running == len(self.live)
        if self.usage.waiting and len(self.live) < self.bounds[0]:
            assert len(self.timers) == 1, "something waits, there is room, and nobody will tell"
        if self.timers:
            assert self.timers[0][0] <= self.now + 10


@given(STEPS, st.none() | st.integers(1, 3), st.none() | st.integers(1, 3))
def test_whatever_happens_the_bounds_hold_and_nothing_is_left_behind(
    steps: list[tuple[str, int]], concurrency: int | None, rate: int | None
) -> None:
    model = Model(concurrency, rate)
    logging.getLogger("perdure").disabled = True  # failing starts are logged by the hundred
    try:
        for step, value in steps:
            model.step(step, value)
        while model.live or model.usage.waiting:
            model.step("release", 0)
            model.step("advance", 10)
    finally:
        logging.getLogger("perdure").disabled = False
    assert len(set(model.started)) == len(model.started)
    assert sorted(set(model.started) | model.cancelled) == list(range(next(model.count)))
    assert not set(model.started) & model.cancelled
    model.advance(100)
    assert model.timers == []
