"""SteadyClock: time that passes, however the wall clock is set."""

from __future__ import annotations

import random

from perdure.runtime.shared.clock import SteadyClock
from perdure.runtime.shared.world import World


class Clocks:
    """A wall clock that is set, and one that only passes."""

    def __init__(self) -> None:
        self.wall, self.passed = 1_000_000, 50

    def pass_(self, ns: int) -> None:
        self.wall += ns
        self.passed += ns

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.passed)


def test_g12_it_is_the_wall_clock_where_nobody_sets_that() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    for ns in (0, 1, 500, 10_000):
        clocks.pass_(ns)
        assert clock() == clocks.wall


def test_g12_time_goes_on_where_it_was_when_the_clock_is_set_back() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    before = clock()
    clocks.wall -= 900_000
    assert clock() == before
    clocks.pass_(70)
    assert clock() == before + 70  # nothing waits longer
    clocks.wall += 2_000_000
    assert clock() == clocks.wall  # it has come by, and is followed forward


def test_g12_time_never_goes_back_and_pauses_between_two_readings_do_not_add_up() -> None:
    chance = random.Random(1)
    clocks = Clocks()

    def wall() -> int:
        now = clocks.wall
        clocks.pass_(chance.choice([0, 0, 0, 400]))  # the process is put aside after reading it
        return now

    clock = SteadyClock(wall, lambda: clocks.passed)
    last = 0
    for _ in range(2_000):
        clocks.pass_(10)
        now = clock()
        assert last <= now <= clocks.wall
        last = now


def test_simulated_time_is_one_for_everything() -> None:
    world = World(now=lambda: 7)
    assert (world.now(), world.monotonic()) == (7, 7)
    real = World()
    assert real.monotonic() < real.now()
