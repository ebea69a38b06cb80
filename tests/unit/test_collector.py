"""The garbage collector's threshold while jobs are open."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from perdure.runtime import collector


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_it_grows_with_the_runs_in_flight_and_comes_back() -> None:
    collector.relax()
    collector.relax()
    assert gc.get_threshold()[0] == collector.YOUNG_OBJECTS
    assert collector.expect(1_001) == 2_002
    grown = gc.get_threshold()[0]
    assert grown == collector.YOUNG_OBJECTS + 2_002 * collector.OBJECTS_OF_RUN
    assert collector.expect(500) == 2_002  # another job, with less
    assert gc.get_threshold()[0] == grown
    collector.restore()
    assert gc.get_threshold()[0] == grown
    collector.restore()
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(0, 10, 10), (1_000_000, 5, 5)], ids=["off", "higher"])
def test_what_the_application_has_chosen_stays(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)
    collector.relax()
    collector.expect(5_000)
    assert gc.get_threshold() == chosen
    collector.restore()
    assert gc.get_threshold() == chosen
